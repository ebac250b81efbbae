//! What is counted of requests, and of the reviews that they need.
//!
//! Labels are of closed lists, whatever a client sends: the path's root if it is one of the table's, the method if it is one of
//! HTTP's. A request that becomes a stream is under way until the stream ends.

use std::{future::Future, sync::Arc};

use http_body_util::BodyExt as _;
use hyper::{Method, Request, Response, body::Incoming};
use metrics::{
    Metrics,
    http::{Answered, Http, Review, Served, ServerType},
    value::Gauge,
};
use seams::ApiError;
use tokio::time::Instant;

use super::{
    Api,
    answer::{Body, Holding},
    connection::Connection,
    listener::Peer,
};
use crate::catalog::routes::{ROUTES, Server};

/// What clients may call the method of a request; upstream's list.
const METHODS: [&str; 8] = ["OPTIONS", "GET", "HEAD", "POST", "PUT", "DELETE", "TRACE", "CONNECT"];
/// First elements of paths whose answers may take as long as they like; upstream's list.
const LONG_RUNNING: [&str; 4] = ["exec", "attach", "portforward", "debug"];
/// Pages of metrics that are told apart; upstream's list.
const METRICS_PAGES: [&str; 3] = ["metrics/cadvisor", "metrics/probes", "metrics/resource"];
/// For what is in no list.
const OTHER: &str = "other";

impl Api {
    /// Answers a request, and counts it.
    pub(super) async fn answer(
        &self,
        mut request: Request<Incoming>,
        peer: &Peer,
        connection: &Arc<Connection>,
    ) -> Response<Body> {
        let server_type = if self.read_only { ServerType::ReadOnly } else { ServerType::ReadWrite };
        let path = root(request.uri().path());
        let served = Served {
            long_running: LONG_RUNNING.contains(&path),
            method: method(request.method()),
            path,
            server_type,
        };
        let counted = Arc::new(Counted::begin(Arc::clone(&self.parts.metrics), served));
        request.extensions_mut().insert(Arc::clone(&counted));
        let answer = self.respond(request, peer, connection).await;
        answer.map(|body| Holding::new(body, counted).boxed_unsync())
    }
}

/// The first element of a path; below `/metrics` the page.
fn root(path: &str) -> &'static str {
    let mut elements = path.strip_prefix('/').unwrap_or(path).splitn(3, '/');
    let (first, second) = (elements.next().unwrap_or_default(), elements.next());
    if let ("metrics", Some(page)) = (first, second) {
        let mut known = METRICS_PAGES.into_iter();
        return known.find(|known| known.ends_with(&format!("/{page}"))).unwrap_or(OTHER);
    }
    let mut known = ROUTES.iter().filter(|route| route.server == Server::Main);
    let known = known.find_map(|route| route.path.split('/').nth(1).filter(|known| *known == first));
    known.unwrap_or(OTHER)
}

fn method(method: &Method) -> &'static str {
    METHODS.into_iter().find(|known| *known == method.as_str()).unwrap_or(OTHER)
}

/// What a stream holds as long as it goes on: the place of its connection, and the count of the request that it was.
pub(super) struct Held {
    _connection: Arc<Connection>,
    _counted: Option<Arc<Counted>>,
}

impl Held {
    /// By the stream that a request becomes.
    pub(super) fn by(connection: &Arc<Connection>, request: &Request<Incoming>) -> Self {
        Self {
            _connection: Arc::clone(connection),
            _counted: request.extensions().get::<Arc<Counted>>().cloned(),
        }
    }
}

/// A request that is being answered. It is so until the end of its answer's body, and of the stream that it becomes.
struct Counted {
    metrics: Arc<Metrics>,
    served: Served,
    in_flight: Arc<Gauge>,
    began: Instant,
}

impl Counted {
    fn begin(metrics: Arc<Metrics>, served: Served) -> Self {
        metrics.http.requests.inc(&served);
        let in_flight = metrics.http.in_flight.of(&served);
        in_flight.add(1.0);
        Self { metrics, served, in_flight, began: Instant::now() }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.in_flight.add(-1.0);
        self.metrics.http.request_seconds.took(&self.served, self.began.elapsed());
    }
}

/// One try of a review, timed.
pub(super) async fn reviewed<T>(
    metrics: &Http,
    review: Review,
    asking: impl Future<Output = Result<T, ApiError>>,
) -> Result<T, ApiError> {
    let began = Instant::now();
    let answer = asking.await;
    let code = match &answer {
        // Reviews are created.
        Ok(_) => Answered::Status(201),
        Err(ApiError::NotFound(_)) => Answered::Status(404),
        Err(ApiError::Conflict { .. }) => Answered::Status(409),
        Err(ApiError::Forbidden(_)) => Answered::Status(403),
        Err(ApiError::Gone(_)) => Answered::Status(410),
        Err(ApiError::Status { code, .. }) => Answered::Status(*code),
        Err(_) => Answered::Error,
    };
    metrics.reviewed(review, code, began.elapsed());
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_of_closed_lists() {
        for (path, label) in [
            ("/metrics/probes", "metrics/probes"),
            ("/metrics/cadvisor", "metrics/cadvisor"),
            ("/metrics/slis", "other"),
            ("/metricsand", "other"),
            ("/metrics", "metrics"),
            ("/containerLogs/ns/pod/c", "containerLogs"),
            ("/", "other"),
            ("/secret-of-mine", "other"),
            ("/pods/", "pods"),
            ("/healthz/ping", "healthz"),
        ] {
            assert_eq!(root(path), label, "{path}");
        }
        assert_eq!(method(&Method::POST), "POST");
        assert_eq!(method(&Method::from_bytes(b"MINE").unwrap()), "other");
    }
}
