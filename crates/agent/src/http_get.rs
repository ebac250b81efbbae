//! GET requests to containers, as probes and lifecycle hooks send them: one connection each, no verified TLS, redirects
//! on the same host only (contract §7.1, §8). A probe over TLS speaks HTTP/2 with a server that chooses it; hooks speak
//! HTTP/1.1 alone, as upstream's do.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Uri};
use http_body_util::{BodyExt as _, Empty};
use hyper::{
    body::Incoming,
    client::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use k8s_openapi::api::core::v1::HTTPGetAction;
use rustls::Error as TlsError;
use tokio::net::TcpStream;

use crate::{
    address::bracketed,
    redirect::{self, escaped},
};

mod insecure;

use insecure::Protocol;

/// An answer whose body is still to be read.
pub(crate) type Response = http::Response<Incoming>;

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A probe.
    Probe,
    /// A lifecycle hook.
    Hook,
}

impl Purpose {
    fn user_agent(self) -> &'static str {
        match self {
            Self::Probe => "kube-probe/1.37",
            Self::Hook => "kube-lifecycle/1.37",
        }
    }
}

/// Why there is no answer. Displays as Go prints the error of a GET.
#[derive(Debug, thiserror::Error)]
#[error("Get \"{url}\": {cause}")]
pub(crate) struct GetError {
    url: String,
    /// Why.
    #[source]
    pub(crate) cause: Cause,
}

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Cause {
    /// The URL or a header cannot be sent.
    #[error("{0}")]
    Request(String),
    /// No connection.
    #[error("dial tcp {address}: {}", plain(error))]
    Dial {
        /// `host:port`.
        address: String,
        /// Why.
        error: std::io::Error,
    },
    /// The server does not speak TLS.
    #[error("http: server gave HTTP response to HTTPS client")]
    NotTls,
    /// TLS failed.
    #[error("{0}")]
    Tls(std::io::Error),
    /// HTTP failed.
    #[error("{0}")]
    Http(hyper::Error),
    /// Too many redirects.
    #[error("stopped after {} redirects", redirect::REQUESTS)]
    Redirects,
}

/// URL of an action. What a URL may not hold is escaped, as Go does.
pub(crate) fn url(get: &HTTPGetAction, host: &str, port: u16) -> String {
    let scheme = get.scheme.as_deref().unwrap_or("HTTP").to_ascii_lowercase();
    let path = escaped(get.path.as_deref().unwrap_or_default().as_bytes());
    format!("{scheme}://{}:{port}/{}", bracketed(host), path.trim_start_matches('/'))
}

/// Asks, and follows redirects on the same host. One to another host is the answer.
///
/// # Errors
/// There is no answer.
pub(crate) async fn get(url: &str, get: &HTTPGetAction, purpose: Purpose) -> Result<Response, GetError> {
    let mut at = url.to_owned();
    for _ in 0..redirect::REQUESTS {
        let answer =
            fetch(&at, get, purpose).await.map_err(|cause| GetError { url: url.to_owned(), cause })?;
        match redirect::location(&answer).and_then(|location| redirect::same_host(&at, &location)) {
            Some(next) => at = next,
            None => return Ok(answer),
        }
    }
    Err(GetError { url: url.to_owned(), cause: Cause::Redirects })
}

/// What of a body comes before `most` bytes, its end or an error.
pub(crate) async fn beginning(mut body: Incoming, most: usize) -> (Vec<u8>, Option<hyper::Error>) {
    let (mut all, mut broken) = (Vec::new(), None);
    while all.len() < most
        && let Some(frame) = body.frame().await
    {
        match frame {
            Ok(frame) => {
                if let Some(data) = frame.data_ref() {
                    all.extend_from_slice(data);
                }
            }
            Err(error) => {
                broken = Some(error);
                break;
            }
        }
    }
    all.truncate(most);
    (all, broken)
}

/// One request on a connection of its own; nothing is kept alive.
async fn fetch(url: &str, get: &HTTPGetAction, purpose: Purpose) -> Result<Response, Cause> {
    let uri: Uri = url.parse().map_err(|error| Cause::Request(format!("parse {url}: {error}")))?;
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let secure = uri.scheme_str() == Some("https");
    let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
    let request = request(&uri, get, purpose).map_err(Cause::Request)?;
    let stream = TcpStream::connect((host.as_str(), port))
        .await
        .map_err(|error| Cause::Dial { address: format!("{}:{port}", bracketed(&host)), error })?;
    if secure {
        let stream = insecure::connect(stream, &host, purpose).await.map_err(tls)?;
        match insecure::agreed(&stream) {
            Protocol::Http1 => send(TokioIo::new(stream), request).await,
            Protocol::Http2 => send_http2(TokioIo::new(stream), http2_form(request)?).await,
        }
    } else {
        send(TokioIo::new(stream), request).await
    }
}

/// A server that answers in plain HTTP gives bytes that are no TLS record.
fn tls(error: std::io::Error) -> Cause {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<TlsError>());
    match inner {
        Some(TlsError::InvalidMessage(_)) => Cause::NotTls,
        _ => Cause::Tls(error),
    }
}

async fn send<IO>(io: IO, request: Request<Empty<Bytes>>) -> Result<Response, Cause>
where
    IO: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::handshake(io).await.map_err(Cause::Http)?;
    // Ends with the sender: the connection is good for one request.
    tokio::spawn(async move { drop(connection.await) });
    sender.send_request(request).await.map_err(Cause::Http)
}

async fn send_http2<IO>(io: IO, request: Request<Empty<Bytes>>) -> Result<Response, Cause>
where
    IO: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), io).await.map_err(Cause::Http)?;
    // Ends with the sender and the answer's body.
    tokio::spawn(async move { drop(connection.await) });
    sender.send_request(request).await.map_err(Cause::Http)
}

/// The same request in HTTP/2, where the host is a part of the address and connections have no headers.
fn http2_form(mut request: Request<Empty<Bytes>>) -> Result<Request<Empty<Bytes>>, Cause> {
    let headers = request.headers_mut();
    headers.remove(http::header::CONNECTION);
    let host = headers.remove(http::header::HOST);
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    *request.uri_mut() = Uri::builder()
        .scheme("https")
        .authority(host.as_ref().map_or(&b""[..], HeaderValue::as_bytes))
        .path_and_query(path)
        .build()
        .map_err(|error| Cause::Request(error.to_string()))?;
    *request.version_mut() = http::Version::HTTP_2;
    Ok(request)
}

fn request(uri: &Uri, get: &HTTPGetAction, purpose: Purpose) -> Result<Request<Empty<Bytes>>, String> {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let mut request = Request::get(path).body(Empty::new()).map_err(|error| error.to_string())?;
    let headers = request.headers_mut();
    let host = redirect::host_and_port(uri);
    headers.insert(http::header::HOST, HeaderValue::from_str(host).map_err(|error| error.to_string())?);
    headers.insert(http::header::USER_AGENT, HeaderValue::from_static(purpose.user_agent()));
    headers.insert(http::header::ACCEPT, HeaderValue::from_static("*/*"));
    headers.insert(http::header::CONNECTION, HeaderValue::from_static("close"));
    let mut own = vec![http::header::HOST, http::header::USER_AGENT, http::header::ACCEPT];
    for header in get.http_headers.iter().flatten() {
        let name = HeaderName::try_from(header.name.as_str()).map_err(|error| error.to_string())?;
        let value = HeaderValue::from_str(&header.value).map_err(|error| error.to_string())?;
        // The first mention of a header of ours replaces it, with nothing if it is empty.
        if let Some(at) = own.iter().position(|known| *known == name) {
            own.swap_remove(at);
            if name != http::header::HOST {
                headers.remove(&name);
            }
            if header.value.is_empty() {
                continue;
            }
            headers.insert(name, value);
        } else if name != http::header::HOST {
            headers.append(name, value);
        }
    }
    Ok(request)
}

/// Go's words for the usual errors of a connection.
pub(crate) fn plain(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::ConnectionRefused => "connect: connection refused".to_owned(),
        std::io::ErrorKind::ConnectionReset => "read: connection reset by peer".to_owned(),
        std::io::ErrorKind::HostUnreachable => "connect: no route to host".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests;
