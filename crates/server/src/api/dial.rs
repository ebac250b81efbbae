//! Asking the runtime's streaming server for an upgrade.
//!
//! Its address is dialled only when it is this machine's: an address elsewhere would let whoever answers as runtime send
//! node traffic anywhere.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::{
    Method, Request, Response, Uri,
    body::Incoming,
    header::{CONNECTION, CONTENT_LENGTH, HOST, HeaderMap, HeaderValue, TRANSFER_ENCODING, UPGRADE},
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};

use super::answer::{Body, full};

mod any_certificate;

/// For connecting to a server on this machine and for the head of its answer.
const DIAL: Duration = Duration::from_secs(30);
/// For the body of an answer that is no upgrade, and its length: an error text.
const REFUSAL_TIME: Duration = Duration::from_secs(10);
const REFUSAL_BYTES: usize = 64 << 10;

/// Why there is no stream.
#[derive(Debug, thiserror::Error)]
pub(super) enum DialError {
    /// A plain request.
    #[error("Upgrade request required")]
    NoUpgrade,
    /// The runtime's address is none that is dialled.
    #[error(
        "the container runtime's streaming address {url} is not one of this machine, or neither http nor https"
    )]
    Address {
        /// As the runtime gave it, without its path, which holds a token.
        url: String,
    },
    /// Dialling.
    #[error("error dialing backend: {0}")]
    Dial(io::Error),
    /// The exchange.
    #[error("error with the container runtime's streaming server: {0}")]
    Http(hyper::Error),
    /// It speaks another protocol on its streams.
    #[error("the container runtime's streaming server does not speak the protocol that was asked for")]
    Protocol,
    /// The client's handshake for a WebSocket is none.
    #[error("bad WebSocket handshake: {0}")]
    Handshake(&'static str),
    /// It does not answer.
    #[error("the container runtime's streaming server did not answer in time")]
    Late,
}

/// Sends a request without a body to a prepared stream, and gives the answer, an upgrade or not.
pub(super) async fn ask(
    url: &str,
    method: Method,
    headers: HeaderMap,
) -> Result<Response<Incoming>, DialError> {
    let Target { scheme, address, authority, path } = target(url)?;
    let mut request = Request::new(Empty::<Bytes>::new());
    *request.method_mut() = method;
    *request.uri_mut() = path;
    *request.headers_mut() = headers;
    request.headers_mut().insert(HOST, authority);
    tokio::time::timeout(DIAL, send(scheme, address, request)).await.map_err(|_| DialError::Late)?
}

/// What is spoken below HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    Http,
    Https,
}

/// The runtime's streaming server, and what is asked there.
#[derive(Debug)]
struct Target {
    scheme: Scheme,
    address: SocketAddr,
    authority: HeaderValue,
    path: Uri,
}

fn target(url: &str) -> Result<Target, DialError> {
    let uri: Option<Uri> = url.parse().ok();
    let authority = uri.as_ref().and_then(|uri| uri.authority()).map(ToString::to_string).unwrap_or_default();
    let refused = || DialError::Address { url: authority.clone() };
    let uri = uri.as_ref().ok_or_else(refused)?;
    let (scheme, port) = match uri.scheme_str() {
        Some("http") => (Scheme::Http, 80),
        Some("https") => (Scheme::Https, 443),
        _ => return Err(refused()),
    };
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    let ip = match host {
        "localhost" => Some(IpAddr::from([127, 0, 0, 1])),
        host => host.parse().ok(),
    };
    let ip = ip.filter(|ip| is_own(*ip)).ok_or_else(refused)?;
    let path = uri.path_and_query().map_or("/", |path| path.as_str()).parse().map_err(|_| refused())?;
    let header = HeaderValue::from_str(&authority).map_err(|_| refused())?;
    let address = SocketAddr::new(ip, uri.port_u16().unwrap_or(port));
    Ok(Target { scheme, address, authority: header, path })
}

/// Whether an address is this machine's: only then a socket can be bound to it.
fn is_own(ip: IpAddr) -> bool {
    ip.is_loopback() || std::net::UdpSocket::bind((ip, 0)).is_ok()
}

async fn send(
    scheme: Scheme,
    address: SocketAddr,
    request: Request<Empty<Bytes>>,
) -> Result<Response<Incoming>, DialError> {
    let stream = TcpStream::connect(address).await.map_err(DialError::Dial)?;
    stream.set_nodelay(true).map_err(DialError::Dial)?;
    match scheme {
        Scheme::Http => exchange(stream, request).await,
        Scheme::Https => {
            let shaken = any_certificate::shake_hands(stream, address.ip()).await;
            exchange(shaken.map_err(DialError::Dial)?, request).await
        }
    }
}

async fn exchange<S>(stream: S, request: Request<Empty<Bytes>>) -> Result<Response<Incoming>, DialError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(DialError::Http)?;
    // Ends with the sender, or hands the stream over to the upgrade.
    tokio::spawn(async move { drop(connection.with_upgrades().await) });
    sender.send_request(request).await.map_err(DialError::Http)
}

/// An answer that is no upgrade, as it is.
pub(super) async fn handed_on(answer: Response<Incoming>) -> Response<Body> {
    let (head, body) = answer.into_parts();
    let body = tokio::time::timeout(REFUSAL_TIME, Limited::new(body, REFUSAL_BYTES).collect()).await;
    let body = match body {
        Ok(Ok(body)) => body.to_bytes(),
        _ => Bytes::from_static(b"the container runtime's answer did not arrive\n"),
    };
    let mut response = Response::new(full(body));
    *response.status_mut() = head.status;
    *response.headers_mut() = head.headers;
    for name in [CONTENT_LENGTH, TRANSFER_ENCODING, CONNECTION, UPGRADE] {
        response.headers_mut().remove(name);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_dialled() {
        let found = target("http://127.0.0.1:1234/exec/token").unwrap();
        assert_eq!((found.scheme, found.address.to_string().as_str()), (Scheme::Http, "127.0.0.1:1234"));
        assert_eq!((found.authority.to_str().unwrap(), found.path.path()), ("127.0.0.1:1234", "/exec/token"));
        let found = target("https://127.0.0.1/exec/token").unwrap();
        assert_eq!((found.scheme, found.address.to_string().as_str()), (Scheme::Https, "127.0.0.1:443"));
        assert!(target("http://[::1]:1/attach/token").is_ok());
        assert!(target("http://localhost:1/attach/token").is_ok());
        for bad in [
            "http://192.0.2.1:80/exec/token",
            "http://example.org/exec/token",
            "https://192.0.2.1:1/exec/token",
            "unix:///run/x.sock",
            "/exec/token",
            "",
        ] {
            let error = target(bad).unwrap_err();
            assert!(!error.to_string().contains("token"), "{bad}: {error}");
        }
    }
}
