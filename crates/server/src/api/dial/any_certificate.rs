//! TLS with a runtime's streaming server, whose certificate nobody has vouched for: runtimes make it themselves.
//!
//! As upstream, any is taken. What it protects is between two processes of this machine, and only its own addresses are
//! dialled.

use std::{io, net::IpAddr, sync::Arc};

use rustls::{ClientConfig, crypto::ring, pki_types::ServerName};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

/// Shakes hands on a connection to an address of this machine.
pub(super) async fn shake_hands(stream: TcpStream, own: IpAddr) -> io::Result<TlsStream<TcpStream>> {
    let provider = Arc::new(ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(unverified::verifier(&provider))
        .with_no_client_auth();
    // Upgrades are HTTP/1's.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    TlsConnector::from(Arc::new(config)).connect(ServerName::IpAddress(own.into()), stream).await
}
