//! Making one connection: look-up, then TCP, TLS and HTTP with one of the addresses.

use std::{
    error::Error,
    fmt::Write as _,
    future::poll_fn,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::{http1, http2};
use hyper::rt::Executor;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, lookup_host},
    sync::Notify,
    time::timeout,
};
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;

use super::{PING, race};
use crate::kubeconfig::Server;

/// For the look-up of a name. The C library's resolver takes 5 s for each name server that is silent, and asks twice.
const LOOK_UP: Duration = Duration::from_secs(10);
/// For one address; a node in a healthy network needs milliseconds. The other addresses do not wait for it.
const CONNECT: Duration = Duration::from_secs(10);
/// For TLS and HTTP together, as client-go's handshake timeout.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// What a server may send on one stream before we read it. A full one stops that stream only.
const STREAM_WINDOW: u32 = 256 * 1024;
/// The same for all streams of a connection together: 16 stalled streams do not stop the others.
const CONNECTION_WINDOW: u32 = 4 * 1024 * 1024;
/// Streams assumed before the server has said how many it allows; API servers allow 100.
const STREAMS_AT_FIRST: usize = 100;

/// Why there is no answer: the whole chain of causes as text, because the cause is often three levels down.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0}")]
pub(crate) struct TransportError(String);

impl TransportError {
    pub(crate) fn of(error: &dyn Error) -> Self {
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            let more = error.to_string();
            // Some libraries print their source in their own text already.
            if !text.contains(&more) {
                let _ = write!(text, ": {more}");
            }
            cause = error.source();
        }
        Self(text)
    }

    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

/// A connection. Its tasks end with it, or with the token it was dialled with.
pub(super) enum Dialled {
    Http2 {
        sender: http2::SendRequest<Full<Bytes>>,
        /// Streams that the server allows, kept up to date.
        most: Arc<AtomicUsize>,
    },
    Http1 {
        sender: http1::SendRequest<Full<Bytes>>,
    },
}

/// Runs the tasks of one connection, so that all of them can be ended: dropping the sender alone would leave streams
/// that are being read.
#[derive(Clone)]
struct Tasks(CancellationToken);

impl<F> Executor<F> for Tasks
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn execute(&self, task: F) {
        tokio::spawn(self.0.clone().run_until_cancelled_owned(task));
    }
}

pub(super) fn server_name(
    server: &Server,
    wanted: Option<&ServerName<'static>>,
) -> Result<ServerName<'static>, TransportError> {
    match wanted {
        Some(name) => Ok(name.clone()),
        None => ServerName::try_from(server.host.clone()).map_err(|_| {
            TransportError::text(format!("{:?} is neither a DNS name nor an address", server.host))
        }),
    }
}

/// What TLS needs to begin.
#[derive(Clone)]
pub(super) struct Tls {
    /// That the server has to prove.
    pub(super) name: ServerName<'static>,
    pub(super) config: Arc<ClientConfig>,
}

/// A connection to the server, with TLS or without. Takes no longer than its steps may.
///
/// # Errors
/// The look-up, or why each of the addresses failed.
pub(super) async fn to(
    server: &Server,
    tls: Option<Tls>,
    alive: CancellationToken,
) -> Result<Dialled, TransportError> {
    let addresses = match server.host.parse() {
        Ok(ip) => vec![SocketAddr::new(ip, server.port)],
        Err(_) => looked_up(&server.host, lookup_host((server.host.as_str(), server.port))).await?,
    };
    any_of(addresses, tls, alive).await
}

async fn looked_up(
    host: &str,
    look_up: impl Future<Output = io::Result<impl Iterator<Item = SocketAddr>>>,
) -> Result<Vec<SocketAddr>, TransportError> {
    let addresses: Vec<_> = match timeout(LOOK_UP, look_up).await {
        Ok(Ok(addresses)) => addresses.collect(),
        Ok(Err(error)) => return Err(TransportError::text(format!("look up {host}: {error}"))),
        Err(_) => return Err(TransportError::text(format!("look up {host}: no answer within {LOOK_UP:?}"))),
    };
    if addresses.is_empty() {
        return Err(TransportError::text(format!("{host} has no address")));
    }
    Ok(addresses)
}

async fn any_of(
    addresses: Vec<SocketAddr>,
    tls: Option<Tls>,
    alive: CancellationToken,
) -> Result<Dialled, TransportError> {
    let tasks = Tasks(alive);
    let dialled =
        race::first(addresses, |address, connected| attempt(address, tls.clone(), tasks.clone(), connected));
    dialled.await.map_err(|failed| TransportError::text(failed.join("; ")))
}

async fn attempt(
    address: SocketAddr,
    tls: Option<Tls>,
    tasks: Tasks,
    connected: Arc<Notify>,
) -> Result<Dialled, String> {
    let tcp = match timeout(CONNECT, TcpStream::connect(address)).await {
        Ok(Ok(tcp)) => tcp,
        Ok(Err(error)) => return Err(format!("connect {address}: {error}")),
        Err(_) => return Err(format!("connect {address}: no answer within {CONNECT:?}")),
    };
    connected.notify_one();
    // Small frames both ways; a refusal costs nothing but time.
    let _ = tcp.set_nodelay(true);
    let Some(tls) = tls else {
        return http1_over(tcp, &tasks).await.map_err(|e| format!("{address}: {e}"));
    };
    let shake = async {
        let stream = TlsConnector::from(tls.config)
            .connect(tls.name, tcp)
            .await
            .map_err(|e| TransportError::text(format!("TLS: {}", TransportError::of(&e))))?;
        if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
            http2_over(stream, &tasks).await
        } else {
            http1_over(stream, &tasks).await
        }
    };
    match timeout(HANDSHAKE, shake).await {
        Ok(result) => result.map_err(|e| format!("{address}: {e}")),
        Err(_) => Err(format!("{address}: no TLS handshake within {HANDSHAKE:?}")),
    }
}

async fn http2_over<S>(stream: S, tasks: &Tasks) -> Result<Dialled, TransportError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, mut connection) = http2::Builder::new(tasks.clone())
        .timer(TokioTimer::new())
        .keep_alive_interval(PING.0)
        .keep_alive_timeout(PING.1)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .initial_max_send_streams(STREAMS_AT_FIRST)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|e| TransportError::of(&e))?;
    let most = Arc::new(AtomicUsize::new(STREAMS_AT_FIRST));
    let heard = Arc::clone(&most);
    tasks.execute(async move {
        // Polled for every request, and so never further behind than one of them.
        let ended = poll_fn(|context| {
            let ended = Pin::new(&mut connection).poll(context);
            heard.store(connection.current_max_send_streams(), Ordering::Relaxed);
            ended
        });
        report(ended.await);
    });
    Ok(Dialled::Http2 { sender, most })
}

async fn http1_over<S>(stream: S, tasks: &Tasks) -> Result<Dialled, TransportError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|e| TransportError::of(&e))?;
    tasks.execute(async move { report(connection.await) });
    Ok(Dialled::Http1 { sender })
}

fn report(ended: Result<(), hyper::Error>) {
    if let Err(error) = ended {
        tracing::debug!(error = %TransportError::of(&error), "connection to the API server ended");
    }
}

#[cfg(test)]
mod tests;
