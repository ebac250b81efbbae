//! The health server on `healthzBindAddress:healthzPort`: `/healthz` and one path per check.
//!
//! Upstream's texts: `ok`; with `?verbose` or on failure a line per check. A bind failure is told and tried again every
//! five seconds; the node runs without.

use std::{convert::Infallible, fmt, fmt::Write as _, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{ALLOW, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS},
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{debug, error, info};

/// Between two tries to bind, upstream's period.
const RETRY: Duration = Duration::from_secs(5);
/// For the head of a request: a health probe is one packet.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// Connections at once; more wait in the kernel's queue.
const CONNECTIONS: usize = 64;

/// A named check.
#[derive(Clone)]
pub struct Check {
    name: &'static str,
    run: Arc<dyn Fn() -> Result<(), String> + Send + Sync>,
}

impl Check {
    /// A check; its error text is logged and not shown to callers.
    #[must_use]
    pub fn new(name: &'static str, run: impl Fn() -> Result<(), String> + Send + Sync + 'static) -> Self {
        Self { name, run: Arc::new(run) }
    }

    /// The check that succeeds while the process answers.
    #[must_use]
    pub fn ping() -> Self {
        Self::new("ping", || Ok(()))
    }

    /// Runs it.
    ///
    /// # Errors
    /// What is unhealthy.
    pub fn run(&self) -> Result<(), String> {
        (self.run)()
    }

    /// Runs it, for a caller that asks several: the error says which check it is.
    ///
    /// # Errors
    /// What is unhealthy.
    pub fn named(&self) -> Result<(), String> {
        self.run().map_err(|cause| format!("checker {} failed: {cause}", self.name))
    }
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Check").field(&self.name).finish()
    }
}

/// Serves until `stop`.
pub async fn serve(address: SocketAddr, checks: Vec<Check>, stop: CancellationToken) {
    let checks: Arc<[Check]> = checks.into();
    loop {
        // Cancel-safe: binding leaves nothing behind, and `listen` is only dropped when everything ends.
        tokio::select! {
            () = stop.cancelled() => return,
            result = listen(address, Arc::clone(&checks), stop.clone()) => match result {
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

async fn listen(address: SocketAddr, checks: Arc<[Check]>, stop: CancellationToken) -> std::io::Result<()> {
    let listener = TcpListener::bind(address).await?;
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
        let checks = Arc::clone(&checks);
        tracker.spawn(async move {
            let service = service_fn(move |request| {
                let answer = answer(&request, &checks);
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

fn answer(request: &Request<Incoming>, checks: &[Check]) -> Response<Full<Bytes>> {
    respond(request.method(), request.uri().path(), request.uri().query().unwrap_or_default(), checks)
}

fn respond(method: &Method, path: &str, query: &str, checks: &[Check]) -> Response<Full<Bytes>> {
    let text = |status: StatusCode, body: String| {
        let mut response = Response::new(Full::new(Bytes::from(body)));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        response
    };
    let Some(rest) = path.strip_prefix("/healthz") else {
        return text(StatusCode::NOT_FOUND, "404 page not found\n".to_owned());
    };
    if !matches!(*method, Method::GET | Method::HEAD) {
        let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed\n".to_owned());
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    if let Some(name) = rest.strip_prefix('/').filter(|name| !name.is_empty()) {
        return match checks.iter().find(|check| check.name == name).map(Check::run) {
            None => text(StatusCode::NOT_FOUND, "404 page not found\n".to_owned()),
            Some(Ok(())) => text(StatusCode::OK, "ok".to_owned()),
            Some(Err(cause)) => {
                text(StatusCode::INTERNAL_SERVER_ERROR, format!("internal server error: {cause}\n"))
            }
        };
    }
    if !matches!(rest, "" | "/") {
        return text(StatusCode::NOT_FOUND, "404 page not found\n".to_owned());
    }
    let parameters = || query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let verbose = parameters().any(|(name, _)| name == "verbose");
    let mut lines = String::new();
    let mut failed = false;
    for check in checks {
        if parameters().any(|(name, value)| name == "exclude" && value == check.name) {
            let _ = writeln!(lines, "[+]{} excluded: ok", check.name);
            continue;
        }
        match check.run() {
            Ok(()) => {
                let _ = writeln!(lines, "[+]{} ok", check.name);
            }
            Err(cause) => {
                failed = true;
                error!(check = check.name, err = cause, "Healthz check failed");
                let _ = writeln!(lines, "[-]{} failed: reason withheld", check.name);
            }
        }
    }
    if failed {
        text(StatusCode::INTERNAL_SERVER_ERROR, format!("{lines}healthz check failed\n"))
    } else if verbose {
        text(StatusCode::OK, format!("{lines}healthz check passed\n"))
    } else {
        text(StatusCode::OK, "ok".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    async fn get(path: &str, query: &str, checks: &[Check]) -> (u16, String) {
        let response = respond(&Method::GET, path, query, checks);
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn answers_are_upstreams() {
        let good = [Check::ping()];
        assert_eq!(get("/healthz", "", &good).await, (200, "ok".to_owned()));
        assert_eq!(get("/healthz/ping", "", &good).await, (200, "ok".to_owned()));
        assert_eq!(
            get("/healthz", "verbose", &good).await,
            (200, "[+]ping ok\nhealthz check passed\n".to_owned())
        );
        assert_eq!(get("/healthz/none", "", &good).await.0, 404);
        assert_eq!(get("/healthzz", "", &good).await.0, 404);
        assert_eq!(get("/pods", "", &good).await.0, 404);
        let bad = [Check::ping(), Check::new("syncloop", || Err("stuck".to_owned()))];
        let text = "[+]ping ok\n[-]syncloop failed: reason withheld\nhealthz check failed\n";
        assert_eq!(get("/healthz", "", &bad).await, (500, text.to_owned()));
        assert_eq!(get("/healthz", "exclude=syncloop", &bad).await, (200, "ok".to_owned()));
        assert_eq!(get("/healthz/syncloop", "", &bad).await.0, 500);
        assert_eq!(respond(&Method::POST, "/healthz", "", &good).status(), 405);
    }
}
