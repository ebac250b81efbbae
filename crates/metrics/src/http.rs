//! The node's own API: its requests, and the reviews that they need.

use std::time::Duration;

use crate::{
    family::{Single, Vector},
    labels::{group, label_set, words},
    value::{Counter, Gauge, Histogram},
};

words! {
    /// Which server answers.
    ServerType {
        ReadOnly = "readonly",
        ReadWrite = "readwrite",
    }
}

label_set! {
    /// Requests that are counted together. The values are of closed lists, whatever a client sends.
    Served {
        long_running "long_running": bool,
        method "method": &'static str,
        path "path": &'static str,
        server_type "server_type": ServerType,
    }
}

words! {
    /// What a stream is for.
    Subresource "subresource" {
        Exec = "exec",
        Attach = "attach",
        PortForward = "portforward",
    }
}

label_set! {
    /// HTTP status of the API server's answer, or `<error>`.
    Code { code "code": Answered }
}

/// How the API server answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Answered {
    /// With this HTTP status.
    Status(u16),
    /// Not at all.
    Error,
}

impl crate::labels::Word for Answered {
    fn text(&self) -> std::borrow::Cow<'_, str> {
        match self {
            Self::Status(status) => status.to_string().into(),
            Self::Error => "<error>".into(),
        }
    }
}

words! {
    /// Whether the cache of tokens knew one.
    Cached "status" {
        Hit = "hit",
        Miss = "miss",
    }
}

words! {
    /// How a review of a token for the cache ended.
    Fetched "status" {
        Ok = "ok",
        Error = "error",
    }
}

words! {
    /// Whether a review of a token is under way or waits for a place.
    Fetching "status" {
        Blocked = "blocked",
        InFlight = "in_flight",
    }
}

group! {
    /// What is measured of the node's own API.
    Http {
        requests: Vector<Served, Counter> = Metrics "kubelet_http_requests_total",
        request_seconds: Vector<Served, Histogram> = Metrics "kubelet_http_requests_duration_seconds",
        in_flight: Vector<Served, Gauge> = Metrics "kubelet_http_inflight_requests",
        web_sockets: Vector<Subresource, Counter> = Metrics "kubelet_websocket_streaming_requests_total",
        certificate_life: Single<Histogram> = Metrics "apiserver_client_certificate_expiration_seconds",
        token_reviews: Vector<Code, Counter> = Metrics "apiserver_delegated_authn_request_total",
        token_review_seconds: Vector<Code, Histogram> = Metrics "apiserver_delegated_authn_request_duration_seconds",
        access_reviews: Vector<Code, Counter> = Metrics "apiserver_delegated_authz_request_total",
        access_review_seconds: Vector<Code, Histogram> = Metrics "apiserver_delegated_authz_request_duration_seconds",
        tokens: Vector<Cached, Counter> = Metrics "authentication_token_cache_request_total",
        token_seconds: Vector<Cached, Histogram> = Metrics "authentication_token_cache_request_duration_seconds",
        token_fetches: Vector<Fetched, Counter> = Metrics "authentication_token_cache_fetch_total",
        token_fetches_under_way: Vector<Fetching, Gauge> = Metrics "authentication_token_cache_active_fetch_count",
    }
}

/// What somebody has the API server review.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Review {
    /// Whose token it is.
    Token,
    /// Whether somebody may.
    Access,
}

impl Http {
    /// A review was answered, or was not.
    pub fn reviewed(&self, review: Review, code: Answered, took: Duration) {
        let code = Code { code };
        let (count, seconds) = match review {
            Review::Token => (&self.token_reviews, &self.token_review_seconds),
            Review::Access => (&self.access_reviews, &self.access_review_seconds),
        };
        count.inc(&code);
        seconds.took(&code, took);
    }
}
