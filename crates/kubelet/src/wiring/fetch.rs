//! The GET behind `staticPodURL` (contract §4): 10 s, at most 10 MiB, anything but 200 is an error. Redirects, names and
//! passwords in URLs, and headers are treated as Go's client treats them.

use std::{sync::Arc, time::Duration};

use agent::{config::ManifestUrl, redirect, sources::url::Fetch};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{
    Request, Response, Uri,
    body::Incoming,
    header::{self, HeaderName, HeaderValue},
};
use hyper_util::rt::TokioIo;
use percent_encoding::percent_decode_str;
use rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::pem::PemObject};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Bound on the whole exchange.
const DEADLINE: Duration = Duration::from_secs(10);
/// Largest answer, as for files.
const MAX_BYTES: usize = agent::sources::manifest::MAX_BYTES;
/// Headers that the client writes itself, whatever is configured.
const OURS: [HeaderName; 4] =
    [header::HOST, header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::TRAILER];
/// Headers that are meant for the host of the URL as it is configured, and for those below it.
const SECRET: [&str; 6] =
    ["authorization", "www-authenticate", "cookie", "cookie2", "proxy-authorization", "proxy-authenticate"];
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

/// Which of the configured headers go along.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Headers {
    All,
    /// All but the secret ones. Once a redirect has led elsewhere it stays so.
    Public,
}

async fn get(source: &ManifestUrl) -> Result<Vec<u8>, String> {
    let first: Uri = source.url.parse().map_err(|error| format!("not a URL: {error}"))?;
    let (mut at, mut headers) = (first.clone(), Headers::All);
    for _ in 0..redirect::REQUESTS {
        let answer = ask(&at, source, headers).await?;
        let Some(location) = redirect::location(&answer) else {
            return body(answer).await;
        };
        at = redirect::target(&at, &location)
            .ok_or_else(|| format!("failed to parse Location header {location:?}"))?;
        if !is_at_or_below(host(&at), host(&first)) {
            headers = Headers::Public;
        }
    }
    Err(format!("stopped after {} redirects", redirect::REQUESTS))
}

fn host(url: &Uri) -> &str {
    url.host().unwrap_or_default().trim_matches(['[', ']'])
}

/// Whether a host is another or in its domain. Addresses have no domains.
fn is_at_or_below(host: &str, other: &str) -> bool {
    let (host, other) = (host.to_ascii_lowercase(), other.to_ascii_lowercase());
    host == other
        || (!host.contains([':', '%']) && host.strip_suffix(&other).is_some_and(|rest| rest.ends_with('.')))
}

/// One request on a connection of its own.
async fn ask(url: &Uri, source: &ManifestUrl, headers: Headers) -> Result<Response<Incoming>, String> {
    let secure = match url.scheme_str() {
        Some("http") => false,
        Some("https") => true,
        _ => return Err("the URL is neither http nor https".to_owned()),
    };
    let host = host(url).to_owned();
    if host.is_empty() {
        return Err("the URL has no host".to_owned());
    }
    let port = url.port_u16().unwrap_or(if secure { 443 } else { 80 });
    let request = request(url, source, headers)?;
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

fn request(url: &Uri, source: &ManifestUrl, headers: Headers) -> Result<Request<Empty<Bytes>>, String> {
    let path = url.path_and_query().map_or("/", |path| path.as_str());
    let mut request = Request::get(path)
        .header(header::HOST, redirect::host_and_port(url))
        .header(header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(|error| error.to_string())?;
    let sent = request.headers_mut();
    for (name, value) in &source.headers {
        let name = HeaderName::try_from(name).map_err(|error| error.to_string())?;
        let withheld = headers == Headers::Public && SECRET.contains(&name.as_str());
        if withheld || OURS.contains(&name) {
            continue;
        }
        sent.append(name, HeaderValue::try_from(value).map_err(|error| error.to_string())?);
    }
    let configured = sent.get(header::AUTHORIZATION).is_some_and(|value| !value.is_empty());
    if let Some(credentials) = basic(url).filter(|_| !configured) {
        let value = HeaderValue::try_from(credentials).map_err(|error| error.to_string())?;
        sent.insert(header::AUTHORIZATION, value);
    }
    Ok(request)
}

/// `Authorization` for the name and the password of a URL, if it has any.
fn basic(url: &Uri) -> Option<String> {
    let (user, _) = url.authority()?.as_str().rsplit_once('@')?;
    let (name, password) = user.split_once(':').unwrap_or((user, ""));
    let mut credentials: Vec<u8> = percent_decode_str(name).collect();
    credentials.push(b':');
    credentials.extend(percent_decode_str(password));
    Some(format!("Basic {}", STANDARD.encode(credentials)))
}

async fn send<IO>(io: IO, request: Request<Empty<Bytes>>) -> Result<Response<Incoming>, String>
where
    IO: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let text = |error: hyper::Error| error.to_string();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.map_err(text)?;
    // Ends with the sender and the answer's body: the connection is good for one request.
    tokio::spawn(async move { drop(connection.await) });
    sender.send_request(request).await.map_err(text)
}

async fn body(answer: Response<Incoming>) -> Result<Vec<u8>, String> {
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

#[cfg(test)]
mod tests;
