//! The way through: an upgraded connection to the runtime's streaming server, and bytes both ways.
//!
//! ```text
//!   client ══ upgrade ══▶ here ── the same upgrade ──▶ runtime (this machine only)
//!          ◀═ 101, its headers ═    ◀── 101 ──           otherwise: its answer is handed on
//! ```
//!
//! Nothing in the stream is looked at: SPDY or WebSocket, the runtime and the client agree. One side's end of sending is
//! handed on, and the other goes on sending; a stream without a byte for the idle timeout ends.
//!
//! The caller's credentials stay here, and the runtime's address is dialled only when it is this machine's: an address
//! elsewhere would let whoever answers as runtime send node traffic anywhere.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::{
    Request, Response, StatusCode, Uri, Version,
    body::Incoming,
    header::{
        AUTHORIZATION, CONNECTION, CONTENT_LENGTH, COOKIE, HOST, HeaderMap, HeaderValue, TRANSFER_ENCODING,
        UPGRADE,
    },
    upgrade::Upgraded,
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::Instant,
};

use super::{
    answer::{Body, full},
    connection::Connection,
};

/// For connecting to a server on this machine and for the head of its answer.
const DIAL: Duration = Duration::from_secs(30);
/// For the body of an answer that is no upgrade, and its length: an error text.
const REFUSAL_TIME: Duration = Duration::from_secs(10);
const REFUSAL_BYTES: usize = 64 << 10;

/// Why there is no stream.
#[derive(Debug, thiserror::Error)]
pub(super) enum TunnelError {
    /// A plain request.
    #[error("Upgrade request required")]
    NoUpgrade,
    /// The runtime's address is none that is dialled.
    #[error("the container runtime's streaming address {url} is not one of this machine, or not http")]
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
    /// It does not answer.
    #[error("the container runtime's streaming server did not answer in time")]
    Late,
}

/// Answers an upgrade request with what the runtime answers to it; with a 101, the stream goes on by itself.
pub(super) async fn open(
    url: &str,
    mut request: Request<Incoming>,
    idle: Duration,
    connection: Arc<Connection>,
) -> Result<Response<Body>, TunnelError> {
    if request.version() != Version::HTTP_11 || !is_upgrade(request.headers()) {
        return Err(TunnelError::NoUpgrade);
    }
    let (address, authority, path) = target(url)?;
    let client = hyper::upgrade::on(&mut request);
    let mut outgoing = Request::new(Empty::<Bytes>::new());
    *outgoing.method_mut() = request.method().clone();
    *outgoing.uri_mut() = path;
    *outgoing.headers_mut() = passed_on(request.headers());
    outgoing.headers_mut().insert(HOST, authority);
    let mut answer = match tokio::time::timeout(DIAL, ask(address, outgoing)).await {
        Ok(answer) => answer?,
        Err(_) => return Err(TunnelError::Late),
    };
    if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Ok(handed_on(answer).await);
    }
    let runtime = hyper::upgrade::on(&mut answer);
    let mut response = Response::new(full(Bytes::new()));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    *response.headers_mut() = answer.headers().clone();
    tokio::spawn(async move {
        match tokio::try_join!(client, runtime) {
            Ok((client, runtime)) => {
                if let Err(error) = carry(client, runtime, idle).await {
                    tracing::debug!(%error, "A stream into a container ended early");
                }
            }
            Err(error) => tracing::debug!(%error, "An upgrade was not completed"),
        }
        drop(connection);
    });
    Ok(response)
}

/// As upstream tells upgrades from other requests.
fn is_upgrade(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    headers.contains_key(UPGRADE) && values.any(|value| value.to_ascii_lowercase().contains("upgrade"))
}

/// Address, authority and path of the runtime's streaming server.
fn target(url: &str) -> Result<(SocketAddr, HeaderValue, Uri), TunnelError> {
    let uri: Option<Uri> = url.parse().ok();
    let authority = uri.as_ref().and_then(|uri| uri.authority()).map(ToString::to_string).unwrap_or_default();
    let refused = || TunnelError::Address { url: authority.clone() };
    let uri = uri.as_ref().filter(|uri| uri.scheme_str() == Some("http")).ok_or_else(refused)?;
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    let ip = match host {
        "localhost" => Some(IpAddr::from([127, 0, 0, 1])),
        host => host.parse().ok(),
    };
    let ip = ip.filter(|ip| is_own(*ip)).ok_or_else(refused)?;
    let path = uri.path_and_query().map_or("/", |path| path.as_str()).parse().map_err(|_| refused())?;
    let authority = HeaderValue::from_str(&authority).map_err(|_| refused())?;
    Ok((SocketAddr::new(ip, uri.port_u16().unwrap_or(80)), authority, path))
}

/// Whether an address is this machine's: only then a socket can be bound to it.
fn is_own(ip: IpAddr) -> bool {
    ip.is_loopback() || std::net::UdpSocket::bind((ip, 0)).is_ok()
}

/// Everything but the caller's credentials and what belongs to the connection's framing.
fn passed_on(headers: &HeaderMap) -> HeaderMap {
    let mut headers = headers.clone();
    for name in [HOST, AUTHORIZATION, COOKIE, CONTENT_LENGTH, TRANSFER_ENCODING] {
        headers.remove(name);
    }
    headers
}

async fn ask(address: SocketAddr, request: Request<Empty<Bytes>>) -> Result<Response<Incoming>, TunnelError> {
    let stream = TcpStream::connect(address).await.map_err(TunnelError::Dial)?;
    stream.set_nodelay(true).map_err(TunnelError::Dial)?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(TunnelError::Http)?;
    // Ends with the sender, or hands the stream over to the upgrade.
    tokio::spawn(async move { drop(connection.with_upgrades().await) });
    sender.send_request(request).await.map_err(TunnelError::Http)
}

/// An answer that is no upgrade, as it is.
async fn handed_on(answer: Response<Incoming>) -> Response<Body> {
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

async fn carry(client: Upgraded, runtime: Upgraded, idle: Duration) -> io::Result<()> {
    let last = Arc::new(Mutex::new(Instant::now()));
    let mut client = Watched { stream: TokioIo::new(client), last: Arc::clone(&last) };
    let mut runtime = Watched { stream: TokioIo::new(runtime), last: Arc::clone(&last) };
    // Cancel-safe: when the stream has been idle for too long, it is dropped for good.
    tokio::select! {
        ended = tokio::io::copy_bidirectional(&mut client, &mut runtime) => ended.map(drop),
        () = idled(&last, idle) => Err(io::ErrorKind::TimedOut.into()),
    }
}

/// Ends when no byte went either way for the time; zero is no limit.
async fn idled(last: &Mutex<Instant>, idle: Duration) {
    if idle.is_zero() {
        return std::future::pending().await;
    }
    loop {
        let until = *last.lock().unwrap_or_else(PoisonError::into_inner) + idle;
        if until <= Instant::now() {
            return;
        }
        tokio::time::sleep_until(until).await;
    }
}

/// A stream that notes when it last moved.
struct Watched<S> {
    stream: S,
    last: Arc<Mutex<Instant>>,
}

impl<S> Watched<S> {
    fn moved(&self) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if read.is_ready() {
            self.moved();
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        if written.is_ready() {
            self.moved();
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_dialled() {
        let (address, authority, path) = target("http://127.0.0.1:1234/exec/token").unwrap();
        assert_eq!(address.to_string(), "127.0.0.1:1234");
        assert_eq!(
            (authority.to_str().unwrap(), path.to_string().as_str()),
            ("127.0.0.1:1234", "/exec/token")
        );
        assert!(target("http://[::1]:1/attach/token").is_ok());
        assert!(target("http://localhost:1/attach/token").is_ok());
        for bad in [
            "http://192.0.2.1:80/exec/token",
            "http://example.org/exec/token",
            "https://127.0.0.1:1/exec/token",
            "unix:///run/x.sock",
            "/exec/token",
            "",
        ] {
            let error = target(bad).unwrap_err();
            assert!(!error.to_string().contains("token"), "{bad}: {error}");
        }
    }

    #[test]
    fn credentials_stay_here() {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::from_static("Bearer secret"));
        headers.insert(COOKIE, HeaderValue::from_static("secret"));
        headers.insert("x-stream-protocol-version", HeaderValue::from_static("v5.channel.k8s.io"));
        headers.append("x-stream-protocol-version", HeaderValue::from_static("v4.channel.k8s.io"));
        let passed = passed_on(&headers);
        assert_eq!(passed.get_all("x-stream-protocol-version").iter().count(), 2);
        assert_eq!(passed.len(), 2);
    }
}
