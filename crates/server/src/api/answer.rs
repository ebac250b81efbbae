//! Answers.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, combinators::UnsyncBoxBody};
use hyper::{
    Response, StatusCode,
    body::{Body as HttpBody, Frame, SizeHint},
    header::{ALLOW, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS},
};

/// The body of an answer. What fails in the middle of one is told in it, or ends it.
pub(super) type Body = UnsyncBoxBody<Bytes, Infallible>;

pub(super) const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
pub(super) const JSON: HeaderValue = HeaderValue::from_static("application/json");
pub(super) const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");

pub(super) const METRICS: HeaderValue = HeaderValue::from_static(metrics::text::CONTENT_TYPE);

/// For a client to take more of an answer, at least a piece of it: a page is made to be read at once.
const UNTAKEN: Duration = Duration::from_secs(60);

/// For how long the client may leave an answer lying; `None` for ever. It is among the answer's extensions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience(pub(super) Option<Duration>);

impl Default for Patience {
    fn default() -> Self {
        Self(Some(UNTAKEN))
    }
}

/// An answer that people read in their time, with a pager in between: it may lie for as long as a stream may be idle,
/// zero is no limit.
pub(super) fn patient(mut answer: Response<Body>, idle: Duration) -> Response<Body> {
    answer.extensions_mut().insert(Patience((!idle.is_zero()).then_some(idle)));
    answer
}

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

/// A body, and what is dropped when it is over: sent, or given up.
pub(super) struct Holding<T> {
    body: Body,
    _held: T,
}

impl<T> Holding<T> {
    pub(super) fn new(body: Body, held: T) -> Self {
        Self { body, _held: held }
    }
}

impl<T: Unpin> HttpBody for Holding<T> {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
