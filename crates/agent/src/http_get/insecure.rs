//! TLS to a container, unverified: a probe or a hook asks whether the server answers, not who it is (contract §8). Nothing
//! secret is ever sent this way.

use std::sync::{Arc, LazyLock};

use rustls::{ClientConfig, Error, crypto::ring, pki_types::ServerName};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

static CONFIG: LazyLock<Result<Arc<ClientConfig>, Error>> = LazyLock::new(|| {
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(unverified::verifier(&provider))
        .with_no_client_auth();
    Ok(Arc::new(config))
});

/// Connects without asking for a certificate that can be trusted.
pub(super) async fn connect(stream: TcpStream, host: &str) -> std::io::Result<TlsStream<TcpStream>> {
    let config = CONFIG.as_ref().map_err(std::io::Error::other)?;
    let name = ServerName::try_from(host.to_owned()).map_err(std::io::Error::other)?;
    TlsConnector::from(Arc::clone(config)).connect(name, stream).await
}

#[cfg(test)]
mod tests;
