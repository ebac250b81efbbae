//! The record of what clients asked.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::HeaderMap;

/// One request as it arrived.
#[derive(Clone, Debug)]
pub struct Request {
    /// `GET`, `PATCH`, …
    pub method: String,
    /// Path without the query.
    pub path: String,
    /// Query, decoded.
    pub query: BTreeMap<String, String>,
    /// All headers.
    pub headers: HeaderMap,
    /// Body.
    pub body: Bytes,
    /// Number of the connection it came on, counted from 1: equal numbers mean a shared connection.
    pub connection: u64,
    /// Whether it came over HTTP/2.
    pub http2: bool,
    /// Common name of the client's certificate.
    pub client: Option<String>,
    /// Status that was answered; `None` while it is not, and for ever when a fault swallowed it.
    pub answered: Option<u16>,
}

impl Request {
    /// A header as text; empty if it is not there.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The body as JSON; `Null` if it is none.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// Whether it asks for a watch.
    #[must_use]
    pub fn is_watch(&self) -> bool {
        matches!(self.query.get("watch").map(String::as_str), Some("true" | "1"))
    }
}
