//! Requests to the API server.

use std::sync::Arc;

use crate::{
    family::Vector,
    http::Answered,
    labels::{group, label_set, words},
    value::{Counter, Histogram},
};

words! {
    /// Method of a request.
    Verb {
        Get = "GET",
        Post = "POST",
        Put = "PUT",
        Patch = "PATCH",
        Delete = "DELETE",
    }
}

label_set! {
    /// Requests of one method to one server.
    Sent { host "host": Arc<str>, verb "verb": Verb }
}

label_set! {
    /// Answers to them.
    Answers { code "code": Answered, host "host": Arc<str>, method "method": Verb }
}

label_set! {
    /// Answers that asked to try again.
    Retried { code "code": Answered, host "host": Arc<str>, verb "verb": Verb }
}

group! {
    /// What is measured of requests to the API server.
    Rest {
        answers: Vector<Answers, Counter> = Metrics "rest_client_requests_total",
        seconds: Vector<Sent, Histogram> = Metrics "rest_client_request_duration_seconds",
        waits: Vector<Sent, Histogram> = Metrics "rest_client_rate_limiter_duration_seconds",
        sent_bytes: Vector<Sent, Histogram> = Metrics "rest_client_request_size_bytes",
        received_bytes: Vector<Sent, Histogram> = Metrics "rest_client_response_size_bytes",
        retries: Vector<Retried, Counter> = Metrics "rest_client_request_retries_total",
    }
}
