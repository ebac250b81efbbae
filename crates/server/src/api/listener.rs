//! Accepting, with limits, so that silent, slow and many clients are each other's problem only.
//!
//! ```text
//!   accept ─▶ young: handshake, first request, within YOUNG_TIME ─▶ proven: idle no longer than IDLE ─▶ closed
//!                 │ too slow, or the oldest of too many: closed, also in the middle of a request
//! ```
//!
//! A connection is proven by a request that was authorized. Young ones have places of their own, and few for each host:
//! whoever cannot prove anything cannot use up what those need who can. When there are too many, the oldest make room,
//! those before the others that ask for nothing; who came just now is left alone, so that a burst of good clients gets in.
//! Where nothing has to be proven, on the read-only port, a connection that was answered has the times of a proven one and
//! the place of a young one.
//!
//! An answer that its client does not take is let go, and the connection with it if it carries nothing else.

use std::{convert::Infallible, net::SocketAddr, pin::Pin, sync::Arc, time::Duration};

use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use rustls::pki_types::CertificateDer;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    Api,
    answer::Patience,
    connection::{Connection, Places},
    tls::Tls,
};

/// For the TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// For the head of a request once its first byte is awaited; a silent connection ends by its age or idleness before.
const HEAD: Duration = Duration::from_secs(95);
/// Largest head of a request. Upstream allows 1 MiB; a URI of hyper's has at most 64 KiB, tokens and cookies a few.
const HEAD_BYTES: usize = 128 << 10;
/// The same on HTTP/2, where many heads may wait on one connection before anything is proven.
const HEADERS_BYTES: u32 = 64 << 10;
/// Requests at once on one HTTP/2 connection: an API server multiplexes its log readers.
const STREAMS: u32 = 250;
/// What is received of the bodies of requests before anybody reads it, bytes, on a stream and on an HTTP/2 connection: the
/// least that the protocol allows for the latter. A body here has a number in it.
const WINDOW: u32 = (64 << 10) - 1;
/// Between two pings on HTTP/2, and for their answer: a peer that is gone without a word is noticed.
const PING: Duration = Duration::from_secs(30);
const PONG: Duration = Duration::from_secs(15);
/// Pause after a failed accept: out of descriptors, mostly.
const PAUSE: Duration = Duration::from_millis(100);
/// For connections to end in good order at the end of the process.
const FAREWELL: Duration = Duration::from_millis(500);

/// Who is at the other end.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    /// Address.
    pub(super) address: SocketAddr,
    /// Certificate chain that was presented; its own first. Not verified.
    pub(super) certificates: Arc<[CertificateDer<'static>]>,
}

/// What is spoken on a socket.
#[derive(Clone, Debug)]
pub(super) enum Transport {
    /// HTTPS.
    Tls(Arc<Tls>),
    /// Plain HTTP.
    Plain,
}

/// Versions of HTTP that a client may speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spoken {
    /// HTTP/1.1 or HTTP/2, as it begins.
    Both,
    /// HTTP/1.1: without TLS nobody speaks anything else, and a connection carries one answer at a time.
    Http1,
}

/// Serves until `stop`.
pub(super) async fn serve(
    listener: TcpListener,
    transport: Transport,
    api: Arc<Api>,
    stop: CancellationToken,
) {
    let places = Places::default();
    let tracker = TaskTracker::new();
    loop {
        // Cancel-safe: `accept` loses no connection when dropped.
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::debug!(%error, "Failed to accept a connection");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        // A socket of both families tells IPv4 in IPv6's words: it is the same host.
        let address = SocketAddr::new(address.ip().to_canonical(), address.port());
        // Without a place the stream is closed here.
        let Some(connection) = places.take(address.ip()) else { continue };
        let (transport, api) = (transport.clone(), Arc::clone(&api));
        let stop = stop.clone();
        tracker.spawn(async move {
            let place = Arc::clone(&connection);
            // Cancel-safe: the connection is dropped for good when another has its place.
            let ended = tokio::select! {
                ended = welcome(stream, address, transport, api, connection, stop) => ended,
                () = place.ousted() => Err("it proved nothing while others waited for a place".into()),
            };
            if let Err(error) = ended {
                tracing::debug!(peer = %address, %error, "A connection to the API ended early");
            }
        });
    }
    tracker.close();
    // What is left is ended by the end of the process.
    let _ = tokio::time::timeout(FAREWELL, tracker.wait()).await;
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

async fn welcome(
    stream: TcpStream,
    address: SocketAddr,
    transport: Transport,
    api: Arc<Api>,
    connection: Arc<Connection>,
    stop: CancellationToken,
) -> Result<(), BoxError> {
    stream.set_nodelay(true)?;
    match transport {
        Transport::Plain => {
            let peer = Peer { address, certificates: Arc::default() };
            Box::pin(converse(stream, Spoken::Http1, peer, api, connection, stop)).await
        }
        Transport::Tls(tls) => {
            let acceptor = TlsAcceptor::from(Arc::clone(&tls.current().server));
            let stream = tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await??;
            let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default();
            let certificates = certificates.iter().map(|one| one.clone().into_owned()).collect();
            let peer = Peer { address, certificates };
            Box::pin(converse(stream, Spoken::Both, peer, api, connection, stop)).await
        }
    }
}

/// Speaks HTTP on a stream.
pub(super) async fn converse<S>(
    stream: S,
    spoken: Spoken,
    peer: Peer,
    api: Arc<Api>,
    connection: Arc<Connection>,
    stop: CancellationToken,
) -> Result<(), BoxError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let here = Arc::clone(&connection);
    let service = service_fn(move |request: Request<Incoming>| {
        let (api, peer, connection) = (Arc::clone(&api), peer.clone(), Arc::clone(&here));
        async move {
            let busy = connection.busy();
            let answer = api.answer(request, &peer, &connection).await;
            let patience = answer.extensions().get::<Patience>().copied().unwrap_or_default();
            Ok::<_, Infallible>(answer.map(|body| busy.until_end_of(body, patience)))
        }
    });
    let stream = TokioIo::new(stream);
    if spoken == Spoken::Http1 {
        let mut builder = http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(HEAD_BYTES);
        let http = std::pin::pin!(builder.serve_connection(stream, service).with_upgrades());
        return attend(http, |http| http.graceful_shutdown(), &connection, &stop).await;
    }
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(HEAD_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING)
        .keep_alive_timeout(PONG)
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(HEADERS_BYTES)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW);
    let http = std::pin::pin!(builder.serve_connection_with_upgrades(stream, service));
    attend(http, |http| http.graceful_shutdown(), &connection, &stop).await
}

/// Lets a connection go on until its end, or until it has outlived its time; bids it farewell at `stop`.
async fn attend<H, E>(
    mut http: Pin<&mut H>,
    farewell: fn(Pin<&mut H>),
    connection: &Connection,
    stop: &CancellationToken,
) -> Result<(), BoxError>
where
    H: Future<Output = Result<(), E>>,
    E: Into<BoxError>,
{
    // Cancel-safe: the connection is dropped for good when it has outlived its time.
    tokio::select! {
        ended = http.as_mut() => return ended.map_err(Into::into),
        () = connection.outlived() => return Ok(()),
        () = stop.cancelled() => {}
    }
    farewell(http.as_mut());
    http.await.map_err(Into::into)
}
