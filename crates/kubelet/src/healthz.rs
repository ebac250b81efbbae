//! The health server on `healthzBindAddress:healthzPort`: `/healthz` and one path per check.
//!
//! A bind failure is told and tried again every five seconds; the node runs without.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Response, body::Incoming, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use metrics::Metrics;
use server::{health::respond, port};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{debug, error, info};

pub use server::health::Check;

/// Between two tries to bind, upstream's period.
const RETRY: Duration = Duration::from_secs(5);
/// For the head of a request: a health probe is one packet.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// Connections at once; more wait in the kernel's queue.
const CONNECTIONS: usize = 64;

/// Serves until `stop`.
pub async fn serve(address: SocketAddr, checks: Vec<Check>, metrics: Arc<Metrics>, stop: CancellationToken) {
    let checks: Arc<[Check]> = checks.into();
    loop {
        // Cancel-safe: binding leaves nothing behind, and `listen` is only dropped when everything ends.
        tokio::select! {
            () = stop.cancelled() => return,
            result = listen(address, Arc::clone(&checks), Arc::clone(&metrics), stop.clone()) => match result {
                Ok(()) => return,
                Err(cause) => error!(err = %cause, address = %address, hint = "free the port, or set healthzPort", "Failed to start healthz server"),
            }
        }
        // Cancel-safe: nothing is held.
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(RETRY) => {}
        }
    }
}

async fn listen(
    address: SocketAddr,
    checks: Arc<[Check]>,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let listener = port::bind(address)?;
    info!(v = 1, address = %address, "Serving healthz");
    let tracker = TaskTracker::new();
    let slots = Arc::new(tokio::sync::Semaphore::new(CONNECTIONS));
    loop {
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return Ok(()) };
        // Cancel-safe: `accept` loses no connection when dropped.
        let stream = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(cause) => {
                    // Out of descriptors, mostly: give the others time to end.
                    debug!(err = %cause, "Failed to accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            }
        };
        let (checks, metrics) = (Arc::clone(&checks), Arc::clone(&metrics));
        tracker.spawn(async move {
            let service = service_fn(move |request| {
                let answer = answer(&request, &checks, &metrics);
                async move { Ok::<_, Infallible>(answer) }
            });
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER_TIMEOUT)
                .serve_connection(TokioIo::new(stream), service);
            if let Err(cause) = connection.await {
                debug!(err = %cause, "A healthz connection ended early");
            }
            drop(slot);
        });
    }
    Ok(())
}

fn answer(request: &Request<Incoming>, checks: &[Check], metrics: &Metrics) -> Response<Full<Bytes>> {
    let query = request.uri().query().unwrap_or_default();
    respond(request.uri().path(), query, checks, &metrics.node)
}
