//! What is counted of requests, and of the reviews that they need.
//!
//! Labels are of closed lists, whatever a client sends: the path's first element if it is one of the table's, the method
//! if it is one of HTTP's.

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
/// For what is in no list.
const OTHER: &str = "other";

impl Api {
    /// Answers a request, and counts it.
    pub(super) async fn answer(
        &self,
        request: Request<Incoming>,
        peer: &Peer,
        connection: &Arc<Connection>,
    ) -> Response<Body> {
        let server_type = if self.read_only { ServerType::ReadOnly } else { ServerType::ReadWrite };
        let path = first_element(request.uri().path());
        let served = Served {
            long_running: LONG_RUNNING.contains(&path),
            method: method(request.method()),
            path,
            server_type,
        };
        let counted = Counted::begin(Arc::clone(&self.parts.metrics), served);
        let answer = self.respond(request, peer, connection).await;
        answer.map(|body| Holding::new(body, counted).boxed_unsync())
    }
}

fn first_element(path: &str) -> &'static str {
    let first = path.trim_start_matches('/').split('/').next().unwrap_or_default();
    let mut known = ROUTES.iter().filter(|route| route.server == Server::Main);
    let known = known.find_map(|route| route.path.split('/').nth(1).filter(|known| *known == first));
    known.unwrap_or(OTHER)
}

fn method(method: &Method) -> &'static str {
    METHODS.into_iter().find(|known| *known == method.as_str()).unwrap_or(OTHER)
}

/// A request that is being answered. It is so until the end of its answer's body.
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
            ("/metrics/probes", "metrics"),
            ("/metrics", "metrics"),
            ("/containerLogs/ns/pod/c", "containerLogs"),
            ("/", "other"),
            ("/secret-of-mine", "other"),
            ("/pods/", "pods"),
            ("/healthz/ping", "healthz"),
        ] {
            assert_eq!(first_element(path), label, "{path}");
        }
        assert_eq!(method(&Method::POST), "POST");
        assert_eq!(method(&Method::from_bytes(b"MINE").unwrap()), "other");
    }
}
