//! The local socket: what the kubelet tells root on its own machine, without network, certificates or an API server.
//!
//! ```text
//!   GET /v1/pods                       every pod
//!   GET /v1/explain?pod=[NS/]NAME      why a pod is where it is
//!   GET /v1/timeline?pod=[NS/]NAME     where the time of its start went
//! ```
//!
//! Answers are JSON ([`seams::explain`]). Nothing can be changed by this way.
//!
//! Invariants:
//! * only root and the kubelet's own user are answered: the socket's mode says so, and each peer is asked who it is;
//! * a client can hold one of a bounded number of connections, for a bounded time; the node does not notice;
//! * the kubelet runs where no socket can be made; but not where another process answers on it, which has the root directory.

use std::{convert::Infallible, io, os::unix::fs::MetadataExt, path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Response, body::Incoming, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use seams::Explainer;
use tokio::{
    net::{UnixListener, UnixStream},
    sync::Semaphore,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

mod bind;
mod routes;

pub use bind::{SocketError, bind};

/// The socket's name in the root directory. Upstream has no file of this name.
pub const FILE: &str = "kubelet-rs.sock";

/// Connections at once; more wait in the kernel's queue. People and scripts ask here, one at a time.
const CONNECTIONS: usize = 8;
/// For the head of a request, which a local client sends at once.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// For the whole of a connection. An answer is made in microseconds; this bounds clients that do not read.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(10);
/// Largest head of a request: a path with a namespace and a name.
const HEAD_BYTES: usize = 8 << 10;
/// Pause after a failed accept: out of descriptors, mostly.
const PAUSE: Duration = Duration::from_millis(100);

/// A bound socket.
#[derive(Debug)]
pub struct Socket {
    listener: UnixListener,
    path: PathBuf,
    /// Device and inode of the file: it is removed at the end only while it is still this one.
    file: (u64, u64),
}

/// Serves until `stop`, then removes the socket.
pub async fn serve(socket: Socket, explainer: Arc<dyn Explainer>, stop: CancellationToken) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let tracker = TaskTracker::new();
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { break };
        // Cancel-safe: `accept` loses no connection when dropped.
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = socket.listener.accept() => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::debug!(%error, "Failed to accept a connection on the local socket");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let explainer = Arc::clone(&explainer);
        tracker.spawn(async move {
            if may_ask(&stream) {
                answer(stream, explainer).await;
            }
            drop(place);
        });
    }
    socket.remove();
}

/// Root, or whoever the kubelet runs as.
fn may_ask(stream: &UnixStream) -> bool {
    match stream.peer_cred() {
        Ok(peer) if peer.uid() == 0 || peer.uid() == rustix::process::geteuid().as_raw() => true,
        Ok(peer) => {
            tracing::warn!(uid = peer.uid(), "Refused a user on the local socket: only root may ask");
            false
        }
        Err(error) => {
            tracing::warn!(%error, "Refused a peer on the local socket: it could not be asked who it is");
            false
        }
    }
}

async fn answer(stream: UnixStream, explainer: Arc<dyn Explainer>) {
    let service = service_fn(move |request: Request<Incoming>| {
        let answer = routes::answer(request.method(), request.uri(), &*explainer);
        async move { Ok::<Response<Full<Bytes>>, Infallible>(answer) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .keep_alive(false)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    match tokio::time::timeout(CONNECTION_TIMEOUT, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "A connection on the local socket ended early"),
        Err(_) => tracing::debug!("A client of the local socket did not read its answer"),
    }
}

impl Socket {
    /// Removes the file, unless another process has put its own in its place.
    fn remove(&self) {
        let ours = std::fs::symlink_metadata(&self.path).is_ok_and(|file| identity(&file) == self.file);
        if ours && let Err(error) = std::fs::remove_file(&self.path) {
            tracing::debug!(%error, "Could not remove the local socket");
        }
    }
}

fn identity(file: &std::fs::Metadata) -> (u64, u64) {
    (file.dev(), file.ino())
}

/// As an error of a file operation.
fn kind_is(error: &io::Error, kind: io::ErrorKind) -> bool {
    error.kind() == kind
}

#[cfg(test)]
mod tests;
