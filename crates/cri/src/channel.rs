//! The connection to a socket: made when first needed, made again when it breaks.
//!
//! ```text
//!          call                ok
//!   idle ───────► connecting ──────► connected ── broken ──► idle
//!                     │ failed
//!                     ▼
//!                  waiting 100 ms … 3 s: calls fail at once with the last error
//! ```
//!
//! Invariant: a socket that is not there costs one `connect` per back-off, however many pods ask.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use futures::future::BoxFuture;
use hyper_util::rt::TokioIo;
use tokio::{net::UnixStream, time::Instant};
use tonic::{
    codegen::http::Uri,
    transport::{Channel, Endpoint as TonicEndpoint},
};
use tower::Service;

use crate::endpoint::Endpoint;

/// First wait after a failed connect (contract §26).
const BACKOFF_MIN: Duration = Duration::from_millis(100);
/// Longest wait (contract §26).
const BACKOFF_MAX: Duration = Duration::from_secs(3);
/// A connect that takes longer has failed (contract §26 "min connect 5 s").
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A channel that dials when it is first used. Must be called within a tokio runtime.
pub(crate) fn lazy(endpoint: &Endpoint) -> Channel {
    // The authority: runtimes built on grpc-go accept any, those on h2 only a well-formed one. A socket path is not.
    TonicEndpoint::from_static("http://localhost")
        .connect_timeout(CONNECT_TIMEOUT)
        .connect_with_connector_lazy(Dial {
            endpoint: endpoint.clone(),
            backoff: Arc::new(Mutex::new(Backoff::default())),
        })
}

/// When to dial again.
#[derive(Debug, Default)]
struct Backoff {
    wait: Duration,
    until: Option<Instant>,
    last: Option<(io::ErrorKind, String)>,
}

impl Backoff {
    fn blocked(&self, now: Instant) -> Option<io::Error> {
        let (kind, text) = self.until.filter(|until| now < *until).and(self.last.as_ref())?;
        Some(io::Error::new(*kind, text.clone()))
    }

    fn failed(&mut self, now: Instant, kind: io::ErrorKind, text: String) {
        self.wait = (self.wait * 2).clamp(BACKOFF_MIN, BACKOFF_MAX);
        self.until = Some(now + self.wait);
        self.last = Some((kind, text));
    }
}

#[derive(Clone, Debug)]
struct Dial {
    endpoint: Endpoint,
    backoff: Arc<Mutex<Backoff>>,
}

impl Service<Uri> for Dial {
    type Response = TokioIo<UnixStream>;
    type Error = io::Error;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let Self { endpoint, backoff } = self.clone();
        Box::pin(async move {
            if let Some(error) = lock(&backoff).blocked(Instant::now()) {
                return Err(error);
            }
            match UnixStream::connect(&endpoint.path).await {
                Ok(stream) => {
                    *lock(&backoff) = Backoff::default();
                    Ok(TokioIo::new(stream))
                }
                Err(error) => {
                    let text = describe(&endpoint, &error);
                    lock(&backoff).failed(Instant::now(), error.kind(), text.clone());
                    Err(io::Error::new(error.kind(), text))
                }
            }
        })
    }
}

/// A panic elsewhere cannot leave a back-off half written.
fn lock(backoff: &Mutex<Backoff>) -> std::sync::MutexGuard<'_, Backoff> {
    backoff.lock().unwrap_or_else(PoisonError::into_inner)
}

fn describe(endpoint: &Endpoint, error: &io::Error) -> String {
    let path = endpoint.path.display();
    match error.kind() {
        io::ErrorKind::NotFound => format!(
            "there is no socket {path} ({error}); hint: start the container runtime, or set containerRuntimeEndpoint to its socket"
        ),
        io::ErrorKind::ConnectionRefused => format!(
            "nothing listens on the socket {path} ({error}); hint: the container runtime has stopped, look at its log"
        ),
        io::ErrorKind::PermissionDenied => {
            format!("may not open the socket {path} ({error}); hint: the kubelet has to run as root")
        }
        _ => format!("cannot connect to the socket {path}: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backs_off_from_100_ms_to_3_s() {
        let mut backoff = Backoff::default();
        let mut now = Instant::now();
        let mut waits = Vec::new();
        for _ in 0..8 {
            assert!(backoff.blocked(now).is_none());
            backoff.failed(now, io::ErrorKind::NotFound, "gone".into());
            assert_eq!(backoff.blocked(now).unwrap().to_string(), "gone");
            waits.push(backoff.wait.as_millis());
            now += backoff.wait;
        }
        assert_eq!(waits, [100, 200, 400, 800, 1600, 3000, 3000, 3000]);
    }
}
