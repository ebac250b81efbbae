//! The GET behind `staticPodURL` (contract §4): 10 s, at most 10 MiB, anything but 200 is an error.

use std::{sync::Arc, time::Duration};

use agent::{config::ManifestUrl, sources::url::Fetch};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{Request, Uri, header};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::pem::PemObject};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Bound on the whole exchange.
const DEADLINE: Duration = Duration::from_secs(10);
/// Largest answer, as for files.
const MAX_BYTES: usize = agent::sources::manifest::MAX_BYTES;
/// Certificate authorities of the system, as distributions lay them out.
const SYSTEM_ROOTS: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem"];

/// The function that the URL source calls.
#[must_use]
pub(super) fn manifest(source: &ManifestUrl) -> Fetch {
    let source = Arc::new(source.clone());
    Arc::new(move || {
        let source = Arc::clone(&source);
        Box::pin(async move {
            match tokio::time::timeout(DEADLINE, get(&source)).await {
                Ok(result) => result,
                Err(_) => Err(format!("no answer within {DEADLINE:?}")),
            }
        })
    })
}

async fn get(source: &ManifestUrl) -> Result<Vec<u8>, String> {
    let uri: Uri = source.url.parse().map_err(|error| format!("not a URL: {error}"))?;
    let host = uri.host().ok_or("the URL has no host")?.trim_matches(['[', ']']).to_owned();
    let secure = match uri.scheme_str() {
        Some("http") => false,
        Some("https") => true,
        _ => return Err("the URL is neither http nor https".to_owned()),
    };
    let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let mut request = Request::get(path)
        .header(header::HOST, uri.authority().map_or("", |authority| authority.as_str()))
        .header(header::CONNECTION, "close");
    for (name, value) in &source.headers {
        request = request.header(name, value);
    }
    let request = request.body(Empty::<Bytes>::new()).map_err(|error| error.to_string())?;
    let stream = TcpStream::connect((host.as_str(), port)).await.map_err(|error| error.to_string())?;
    if secure {
        let name = rustls::pki_types::ServerName::try_from(host).map_err(|error| error.to_string())?;
        let connector = TlsConnector::from(Arc::new(trusting_the_system()?));
        let stream = connector.connect(name, stream).await.map_err(|error| error.to_string())?;
        send(TokioIo::new(stream), request).await
    } else {
        send(TokioIo::new(stream), request).await
    }
}

async fn send<IO>(io: IO, request: Request<Empty<Bytes>>) -> Result<Vec<u8>, String>
where
    IO: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let text = |error: hyper::Error| error.to_string();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.map_err(text)?;
    // Ends with the sender: the connection is good for one request.
    tokio::spawn(async move { drop(connection.await) });
    let answer = sender.send_request(request).await.map_err(text)?;
    let status = answer.status();
    if status != hyper::StatusCode::OK {
        return Err(format!("HTTP status {status}"));
    }
    let body =
        Limited::new(answer.into_body(), MAX_BYTES).collect().await.map_err(|error| error.to_string())?;
    Ok(body.to_bytes().to_vec())
}

fn trusting_the_system() -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    for path in SYSTEM_ROOTS {
        let Ok(certificates) = rustls::pki_types::CertificateDer::pem_file_iter(path) else { continue };
        roots.add_parsable_certificates(certificates.flatten());
        break;
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().map_err(|error| error.to_string())?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}
