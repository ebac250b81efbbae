//! Answers.

use std::convert::Infallible;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, combinators::UnsyncBoxBody};
use hyper::{
    Response, StatusCode,
    header::{ALLOW, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS},
};

/// The body of an answer. What fails in the middle of one is told in it, or ends it.
pub(super) type Body = UnsyncBoxBody<Bytes, Infallible>;

pub(super) const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
pub(super) const JSON: HeaderValue = HeaderValue::from_static("application/json");
pub(super) const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");

pub(super) const METRICS: HeaderValue = HeaderValue::from_static(metrics::text::CONTENT_TYPE);

/// A body that is there already.
pub(super) fn full(content: impl Into<Bytes>) -> Body {
    Full::new(content.into()).boxed_unsync()
}

/// An answer of any type.
pub(super) fn of_type(status: StatusCode, kind: HeaderValue, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, kind);
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// Plain text.
pub(super) fn text(status: StatusCode, text: impl Into<String>) -> Response<Body> {
    of_type(status, TEXT, full(text.into()))
}

/// A JSON document that cannot fail to be written, or why it could.
pub(super) fn json(document: &impl serde::Serialize) -> Response<Body> {
    match serde_json::to_vec(document) {
        Ok(body) => of_type(StatusCode::OK, JSON, full(body)),
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
}

/// Go's answer for a path that it does not know.
pub(super) fn not_found() -> Response<Body> {
    text(StatusCode::NOT_FOUND, "404 page not found\n")
}

/// 405 with what is allowed.
pub(super) fn not_allowed(allow: &str, message: &'static str) -> Response<Body> {
    let mut response = text(StatusCode::METHOD_NOT_ALLOWED, message);
    if let Ok(allow) = HeaderValue::from_str(allow) {
        response.headers_mut().insert(ALLOW, allow);
    }
    response
}
