//! What is counted of requests: how many, how long, how large.

use std::{sync::Arc, time::Duration};

use http::{Method, StatusCode};
use metrics::{
    Metrics,
    http::Answered,
    rest::{Answers, Retried, Sent, Verb},
};

/// Counts the requests to one server.
#[derive(Clone, Debug)]
pub(crate) struct Counts {
    metrics: Arc<Metrics>,
    /// `host:port`, as metrics name the server.
    host: Arc<str>,
}

impl Counts {
    pub(crate) fn new(metrics: Arc<Metrics>, host: &str) -> Self {
        Self { metrics, host: Arc::from(host) }
    }

    fn sent(&self, method: &Method) -> Sent {
        Sent { host: Arc::clone(&self.host), verb: verb(method) }
    }

    /// A request had its turn after this wait.
    pub(crate) fn waited(&self, method: &Method, time: Duration) {
        self.metrics.rest.waits.took(&self.sent(method), time);
    }

    /// The head of an answer is there, or the error instead of one.
    pub(crate) fn answered(&self, method: &Method, status: Option<StatusCode>) {
        let code = status.map_or(Answered::Error, |status| Answered::Status(status.as_u16()));
        let answers = Answers { code, host: Arc::clone(&self.host), method: verb(method) };
        self.metrics.rest.answers.inc(&answers);
    }

    /// The server asked for patience, and the request is sent again.
    pub(crate) fn retried(&self, method: &Method, status: StatusCode) {
        let code = Answered::Status(status.as_u16());
        let retried = Retried { code, host: Arc::clone(&self.host), verb: verb(method) };
        self.metrics.rest.retries.inc(&retried);
    }

    /// A call is over, with its tries and waits.
    pub(crate) fn took(&self, method: &Method, time: Duration) {
        self.metrics.rest.seconds.took(&self.sent(method), time);
    }

    /// Bytes of a request's body, and of its answer's.
    pub(crate) fn carried(&self, method: &Method, sent: usize, received: usize) {
        let labels = self.sent(method);
        self.metrics.rest.sent_bytes.observe(&labels, bytes(sent));
        self.metrics.rest.received_bytes.observe(&labels, bytes(received));
    }
}

/// No other methods are sent.
fn verb(method: &Method) -> Verb {
    match *method {
        Method::POST => Verb::Post,
        Method::PUT => Verb::Put,
        Method::PATCH => Verb::Patch,
        Method::DELETE => Verb::Delete,
        _ => Verb::Get,
    }
}

/// Exact: no body has 2^32 bytes.
fn bytes(length: usize) -> f64 {
    u32::try_from(length).map_or(f64::INFINITY, f64::from)
}

#[cfg(test)]
mod tests {
    use metrics::table::Page;

    use super::*;

    #[test]
    fn requests_are_counted_by_server_method_and_answer() {
        let metrics = Metrics::new();
        let counts = Counts::new(Arc::clone(&metrics), "192.0.2.1:6443");
        counts.answered(&Method::PATCH, Some(StatusCode::CONFLICT));
        counts.answered(&Method::GET, None);
        counts.retried(&Method::GET, StatusCode::TOO_MANY_REQUESTS);
        counts.carried(&Method::POST, 300, 70);
        let page = metrics.page(Page::Metrics);
        let host = "host=\"192.0.2.1:6443\"";
        for line in [
            format!("rest_client_requests_total{{code=\"409\",{host},method=\"PATCH\"}} 1"),
            format!("rest_client_requests_total{{code=\"<error>\",{host},method=\"GET\"}} 1"),
            format!("rest_client_request_retries_total{{code=\"429\",{host},verb=\"GET\"}} 1"),
            format!("rest_client_request_size_bytes_sum{{{host},verb=\"POST\"}} 300"),
            format!("rest_client_response_size_bytes_bucket{{{host},verb=\"POST\",le=\"64\"}} 0"),
        ] {
            assert!(page.lines().any(|known| known == line), "{line}\n{page}");
        }
    }
}
