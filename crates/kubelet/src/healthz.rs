//! The health server on `healthzBindAddress:healthzPort`: `/healthz` and one path per check.
//!
//! A bind failure is told and tried again every five seconds; the node runs without.
//!
//! Every process on the machine reaches the port, and who restarts the kubelet asks here. So a connection carries one answer
//! and has a bounded time: whatever others do, a probe waits no longer than that for a place, and as a rule not at all.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Response, body::Incoming, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use metrics::Metrics;
use server::{health::respond, port};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{debug, error, info};

pub use server::health::Check;

/// Between two tries to bind, upstream's period.
const RETRY: Duration = Duration::from_secs(5);
/// For the head of a request: a health probe is one packet.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// For the whole of a connection; an answer is a few bytes, made at once.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(10);
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
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
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
        tracker.spawn(converse(stream, Arc::clone(&checks), Arc::clone(&metrics), slot));
    }
    Ok(())
}

/// One connection, which has its place until it ends.
async fn converse<S>(stream: S, checks: Arc<[Check]>, metrics: Arc<Metrics>, slot: OwnedSemaphorePermit)
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let service = service_fn(move |request| {
        let answer = answer(&request, &checks, &metrics);
        async move { Ok::<_, Infallible>(answer) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    match tokio::time::timeout(CONNECTION_TIMEOUT, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(cause)) => debug!(err = %cause, "A healthz connection ended early"),
        Err(_) => debug!("A client of healthz took too long"),
    }
    drop(slot);
}

fn answer(request: &Request<Incoming>, checks: &[Check], metrics: &Metrics) -> Response<Full<Bytes>> {
    let query = request.uri().query().unwrap_or_default();
    respond(request.uri().path(), query, checks, &metrics.node)
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex},
        time::{Instant, sleep, timeout},
    };

    use super::*;

    const ASK: &[u8] = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n";

    /// A connection, when there is a place for it, of which so many bytes fit between the two ends.
    async fn connect(slots: &Arc<Semaphore>, room: usize) -> DuplexStream {
        let slot = Arc::clone(slots).acquire_owned().await.unwrap();
        let (near, far) = duplex(room);
        tokio::spawn(converse(far, [Check::ping()].into(), Metrics::new(), slot));
        near
    }

    /// Asks as anybody does, and tells how long it took.
    async fn probe(slots: &Arc<Semaphore>) -> Duration {
        let begun = Instant::now();
        let mut client = connect(slots, 1 << 12).await;
        client.write_all(ASK).await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\nok"), "{answer}");
        begun.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn clients_that_ask_again_and_again_keep_nobody_out() {
        let slots = Arc::new(Semaphore::new(CONNECTIONS));
        for _ in 0..CONNECTIONS {
            let mut client = connect(&slots, 1 << 12).await;
            tokio::spawn(async move {
                while client.write_all(ASK).await.is_ok() {
                    sleep(Duration::from_secs(5)).await;
                }
            });
        }
        for _ in 0..10 {
            let took = timeout(Duration::from_secs(1), probe(&slots)).await;
            assert!(took.is_ok(), "an answer within a second");
            sleep(Duration::from_secs(2)).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn clients_that_say_nothing_or_do_not_read_hold_their_places_for_seconds_only() {
        let slots = Arc::new(Semaphore::new(CONNECTIONS));
        let mut held = Vec::new();
        for at in 0..CONNECTIONS {
            let mut client = connect(&slots, 64).await;
            if at % 2 == 0 {
                client.write_all(ASK).await.unwrap();
            }
            held.push(client);
        }
        assert!(probe(&slots).await <= CONNECTION_TIMEOUT);
        sleep(CONNECTION_TIMEOUT).await;
        assert_eq!(slots.available_permits(), CONNECTIONS);
    }
}
