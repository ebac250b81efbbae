//! TLS to a container, unverified: a probe or a hook asks whether the server answers, not who it is (contract §8). Nothing
//! secret is ever sent this way.

use std::sync::{Arc, LazyLock};

use rustls::{ClientConfig, Error, crypto::ring, pki_types::ServerName};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::Purpose;

/// What is spoken over a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    /// HTTP/1.1, also with a server that chooses nothing.
    Http1,
    /// HTTP/2.
    Http2,
}

/// HTTP/2 in the list of protocols that a client offers (RFC 7301, section 6).
const HTTP2: &[u8] = b"h2";
/// HTTP/1.1 there.
const HTTP1: &[u8] = b"http/1.1";

/// Offers nothing: upstream's client for hooks knows no other protocol.
static CONFIG: LazyLock<Result<Arc<ClientConfig>, Error>> = LazyLock::new(|| {
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(unverified::verifier(&provider))
        .with_no_client_auth();
    Ok(Arc::new(config))
});

/// Offers HTTP/2, as upstream's client for probes.
static PROBES: LazyLock<Result<Arc<ClientConfig>, Error>> = LazyLock::new(|| {
    let mut config = ClientConfig::clone(CONFIG.as_ref().map_err(Error::clone)?);
    config.alpn_protocols = vec![HTTP2.to_vec(), HTTP1.to_vec()];
    Ok(Arc::new(config))
});

/// Connects without asking for a certificate that can be trusted.
pub(super) async fn connect(
    stream: TcpStream,
    host: &str,
    purpose: Purpose,
) -> std::io::Result<TlsStream<TcpStream>> {
    let config = match purpose {
        Purpose::Probe => &PROBES,
        Purpose::Hook => &CONFIG,
    };
    let config = config.as_ref().map_err(std::io::Error::other)?;
    let name = ServerName::try_from(host.to_owned()).map_err(std::io::Error::other)?;
    TlsConnector::from(Arc::clone(config)).connect(name, stream).await
}

/// What both sides speak.
pub(super) fn agreed(stream: &TlsStream<TcpStream>) -> Protocol {
    match stream.get_ref().1.alpn_protocol() {
        Some(HTTP2) => Protocol::Http2,
        _ => Protocol::Http1,
    }
}

#[cfg(test)]
mod tests;
