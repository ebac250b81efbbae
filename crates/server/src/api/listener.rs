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

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use hyper::{Request, body::Incoming, service::service_fn};
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
    connection::{Connection, Places},
    tls::Tls,
};

/// For the TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// For the head of a request once its first byte is awaited; a silent connection ends by its age or idleness before.
const HEAD: Duration = Duration::from_secs(95);
/// Largest head of a request. Upstream allows 1 MiB; a URI of hyper's has at most 64 KiB, tokens and cookies a few.
const HEAD_BYTES: usize = 128 << 10;
/// Requests at once on one HTTP/2 connection: an API server multiplexes its log readers.
const STREAMS: u32 = 250;
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
            Box::pin(converse(stream, peer, api, connection, stop)).await
        }
        Transport::Tls(tls) => {
            let acceptor = TlsAcceptor::from(Arc::clone(&tls.current().server));
            let stream = tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await??;
            let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default();
            let certificates = certificates.iter().map(|one| one.clone().into_owned()).collect();
            Box::pin(converse(stream, Peer { address, certificates }, api, connection, stop)).await
        }
    }
}

/// Speaks HTTP on a stream.
pub(super) async fn converse<S>(
    stream: S,
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
            Ok::<_, Infallible>(answer.map(|body| busy.until_end_of(body)))
        }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(HEAD_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING)
        .keep_alive_timeout(PONG)
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(u32::try_from(HEAD_BYTES).unwrap_or(u32::MAX));
    let http = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
    let mut http = std::pin::pin!(http);
    // Cancel-safe: the connection is dropped for good when it has outlived its time.
    tokio::select! {
        ended = http.as_mut() => return ended,
        () = connection.outlived() => return Ok(()),
        () = stop.cancelled() => {}
    }
    http.as_mut().graceful_shutdown();
    http.await
}
