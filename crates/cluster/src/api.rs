//! Requests and answers in the API's terms: JSON bodies, `metav1.Status` errors, deadlines, rate limit.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use seams::{ApiError, TokenBucket};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::time::{Instant, sleep, timeout};

use crate::{
    counts::Counts,
    transport::{Body, BodyError, Purpose, Transport, TransportError},
};

/// Largest answer that is held in memory: a page of 500 pods of the largest kind is below it.
const MOST_BYTES: usize = 64 * 1024 * 1024;
/// Largest error body that is read.
const MOST_ERROR_BYTES: usize = 1024 * 1024;

/// A server that says "at once" is not asked at once.
const LEAST_PATIENCE: Duration = Duration::from_secs(1);
/// What a server may ask for at most, whatever it writes: beyond every deadline here, and no clock overflows.
const MOST_PATIENCE: Duration = Duration::from_secs(300);

/// Content types that a PATCH may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PatchType {
    /// Lists merged by their keys.
    StrategicMerge,
}

/// A client with one transport, one limit and one deadline. The deadline is the server's: what a request waits for its
/// turn at the kubelet's own limit does not count, and tells nothing of the server.
pub(crate) struct Api {
    transport: Arc<Transport>,
    limiter: Option<TokenBucket>,
    deadline: Duration,
    counts: Counts,
}

/// What became of one sending of a call.
enum Attempt {
    Received(Vec<u8>),
    /// The server asks for patience, and the deadline leaves it.
    Later(Duration),
}

/// An answer's `metav1.Status`, as far as errors need it.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Status {
    pub(crate) message: String,
    pub(crate) reason: String,
    pub(crate) code: u16,
}

impl Api {
    pub(crate) fn new(
        transport: Arc<Transport>,
        limiter: Option<TokenBucket>,
        deadline: Duration,
        counts: Counts,
    ) -> Self {
        Self { transport, limiter, deadline, counts }
    }

    pub(crate) fn transport(&self) -> &Transport {
        &self.transport
    }

    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ApiError> {
        self.json(self.request(Method::GET, path, None, Bytes::new())?).await
    }

    pub(crate) async fn create<B: Serialize, T: DeserializeOwned>(
        &self,
        path: &str,
        body: &B,
    ) -> Result<T, ApiError> {
        self.json(self.request(Method::POST, path, Some(JSON), encode_body(body)?)?).await
    }

    pub(crate) async fn update<B: Serialize, T: DeserializeOwned>(
        &self,
        path: &str,
        body: &B,
    ) -> Result<T, ApiError> {
        self.json(self.request(Method::PUT, path, Some(JSON), encode_body(body)?)?).await
    }

    pub(crate) async fn patch<T: DeserializeOwned>(
        &self,
        path: &str,
        kind: PatchType,
        patch: &serde_json::Value,
    ) -> Result<T, ApiError> {
        let content_type = match kind {
            PatchType::StrategicMerge => STRATEGIC,
        };
        self.json(self.request(Method::PATCH, path, Some(content_type), encode_body(patch)?)?).await
    }

    pub(crate) async fn delete<B: Serialize>(&self, path: &str, options: &B) -> Result<(), ApiError> {
        let request = self.request(Method::DELETE, path, Some(JSON), encode_body(options)?)?;
        // The answer is the object or a Status: neither says more than its code.
        self.answer(request).await.map(drop)
    }

    /// Opens a watch: from the turn up to the head of the answer it is under the deadline, the body is not.
    pub(crate) async fn watch(&self, path: &str) -> Result<Body, ApiError> {
        let request = self.request(Method::GET, path, None, Bytes::new())?;
        self.turn(request.method()).await;
        let opened = async {
            let response = self.send(Purpose::Watch, &request).await?;
            self.accepted(response).await
        };
        self.within(self.deadline, opened).await
    }

    async fn json<T: DeserializeOwned>(&self, request: Request<Bytes>) -> Result<T, ApiError> {
        let bytes = self.answer(request).await?;
        serde_json::from_slice(&bytes).map_err(|e| ApiError::Malformed(e.to_string()))
    }

    async fn answer(&self, request: Request<Bytes>) -> Result<Vec<u8>, ApiError> {
        let began = Instant::now();
        let answer = self.exchange(&request).await;
        self.counts.took(request.method(), began.elapsed());
        answer
    }

    async fn exchange(&self, request: &Request<Bytes>) -> Result<Vec<u8>, ApiError> {
        let mut left = self.deadline;
        loop {
            self.turn(request.method()).await;
            let began = Instant::now();
            match self.within(left, self.attempt(request, began + left)).await? {
                Attempt::Received(body) => return Ok(body),
                Attempt::Later(delay) => sleep(delay).await,
            }
            left = left.saturating_sub(began.elapsed());
        }
    }

    async fn attempt(&self, request: &Request<Bytes>, until: Instant) -> Result<Attempt, ApiError> {
        let response = self.send(Purpose::Call, request).await?;
        if let Some(delay) = told_to_wait(&response)
            && Instant::now() + delay < until
        {
            self.counts.retried(request.method(), response.status());
            return Ok(Attempt::Later(delay));
        }
        let body = self.accepted(response).await?;
        let received = body.collect(MOST_BYTES).await.map_err(|e| match e {
            BodyError::Broken(e) => self.unreachable(&e.to_string()),
            BodyError::TooLong { .. } => ApiError::Malformed(e.to_string()),
        })?;
        self.counts.carried(request.method(), request.body().len(), received.len());
        Ok(Attempt::Received(received))
    }

    /// Gives the server so long, or what is left of the deadline.
    async fn within<T>(
        &self,
        left: Duration,
        work: impl Future<Output = Result<T, ApiError>>,
    ) -> Result<T, ApiError> {
        match timeout(left, work).await {
            Ok(result) => result,
            Err(_) => Err(self.unreachable(&format!("no answer within {:?}", self.deadline))),
        }
    }

    async fn turn(&self, method: &Method) {
        if let Some(limiter) = &self.limiter {
            let began = Instant::now();
            limiter.turn().await;
            self.counts.waited(method, began.elapsed());
        }
    }

    async fn send(&self, purpose: Purpose, request: &Request<Bytes>) -> Result<Response<Body>, ApiError> {
        let answer = self.transport.send(purpose, request).await;
        let status = answer.as_ref().ok().map(Response::status);
        self.counts.answered(request.method(), status);
        answer.map_err(|e: TransportError| self.unreachable(&e.to_string()))
    }

    async fn accepted(&self, response: Response<Body>) -> Result<Body, ApiError> {
        let (head, body) = response.into_parts();
        if head.status.is_success() {
            return Ok(body);
        }
        let text = body.collect(MOST_ERROR_BYTES).await.unwrap_or_default();
        Err(refused(head.status, &text))
    }

    fn unreachable(&self, message: &str) -> ApiError {
        self.transport.reach().failed(self.transport.server_url(), message);
        ApiError::Unreachable { server: self.transport.server_url().to_owned(), message: message.to_owned() }
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        content_type: Option<HeaderValue>,
        body: Bytes,
    ) -> Result<Request<Bytes>, ApiError> {
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() =
            path.parse().map_err(|e| ApiError::Malformed(format!("cannot ask for {path:?}: {e}")))?;
        let headers = request.headers_mut();
        headers.insert(header::ACCEPT, JSON);
        if let Some(content_type) = content_type {
            headers.insert(header::CONTENT_TYPE, content_type);
        }
        Ok(request)
    }
}

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const STRATEGIC: HeaderValue = HeaderValue::from_static("application/strategic-merge-patch+json");

fn encode_body<B: Serialize>(body: &B) -> Result<Bytes, ApiError> {
    serde_json::to_vec(body)
        .map(Bytes::from)
        .map_err(|e| ApiError::Malformed(format!("the request cannot be written as JSON: {e}")))
}

/// `Retry-After` of a server that is too busy: it asks for patience, and nothing was done.
fn told_to_wait(response: &Response<Body>) -> Option<Duration> {
    let status = response.status();
    if status != StatusCode::TOO_MANY_REQUESTS && !status.is_server_error() {
        return None;
    }
    let seconds: u64 = response.headers().get(header::RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds).clamp(LEAST_PATIENCE, MOST_PATIENCE))
}

/// The error for an answer that is not a success.
fn refused(code: StatusCode, body: &[u8]) -> ApiError {
    match serde_json::from_slice::<Status>(body) {
        Ok(mut status) => {
            status.code = code.as_u16();
            status.into_error()
        }
        Err(_) => {
            let text: String = String::from_utf8_lossy(body).trim().chars().take(300).collect();
            let message = if text.is_empty() { code.to_string() } else { text };
            Status { message, code: code.as_u16(), ..Status::default() }.into_error()
        }
    }
}

impl Status {
    pub(crate) fn into_error(self) -> ApiError {
        let message = if self.message.is_empty() { self.reason.clone() } else { self.message };
        match self.code {
            404 => ApiError::NotFound(message),
            409 => ApiError::Conflict { reason: self.reason, message },
            401 | 403 => ApiError::Forbidden(message),
            410 => ApiError::Gone(message),
            code => ApiError::Status { code, message },
        }
    }
}

/// Percent-encodes a path segment or a query value (RFC 3986 unreserved characters stay).
pub(crate) fn encoded(text: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use serde_json::{Value, json};

    use super::*;
    use crate::stub::{Gate, Reply, Stub, ok, until};

    #[tokio::test]
    async fn a_connection_that_takes_longer_than_a_call_may_serves_the_next_call() {
        let stub = Stub::start(|_: &_| ok(json!({}))).await;
        stub.gate.send_replace(Gate::Held);
        let counts = Counts::new(metrics::Metrics::new(), "stub");
        let api = Api::new(stub.transport(), None, Duration::from_secs(1), counts);
        let late = api.get::<Value>("/a").await.unwrap_err();
        assert!(matches!(late, ApiError::Unreachable { .. }), "{late}");
        stub.gate.send_replace(Gate::Open);
        until("the connection is made", || stub.connections() == 1).await;
        api.get::<Value>("/b").await.unwrap();
        assert_eq!(stub.dials(), 1);
    }

    #[tokio::test]
    async fn waiting_for_a_turn_is_not_waiting_for_the_server() {
        let busy = AtomicBool::new(true);
        let stub = Stub::start(move |_: &_| {
            if busy.swap(false, Ordering::SeqCst) { Reply::Later(429, 1) } else { ok(json!({})) }
        })
        .await;
        // Turns come later than the deadline ends, also the second one of a call that is sent again.
        let limiter = TokenBucket::new(Duration::from_millis(2500), 1);
        let counts = Counts::new(metrics::Metrics::new(), "stub");
        let api = Api::new(stub.transport(), Some(limiter), Duration::from_secs(2), counts);
        let back = api.transport().reach().back();
        let (call, watch) = tokio::join!(api.get::<Value>("/a"), api.watch("/b"));
        call.unwrap();
        watch.unwrap();
        assert!(!back.has_changed().unwrap(), "the server was never away");
    }

    #[test]
    fn errors_carry_the_servers_words() {
        let of = |code: u16, body: &str| refused(StatusCode::from_u16(code).unwrap(), body.as_bytes());
        let status = r#"{"kind":"Status","message":"pods \"x\" not found","reason":"NotFound","code":404}"#;
        assert_eq!(of(404, status), ApiError::NotFound("pods \"x\" not found".into()));
        let conflict = r#"{"message":"m","reason":"AlreadyExists"}"#;
        assert_eq!(
            of(409, conflict),
            ApiError::Conflict { reason: "AlreadyExists".into(), message: "m".into() }
        );
        assert_eq!(of(403, "plain"), ApiError::Forbidden("plain".into()));
        assert_eq!(of(410, "{}"), ApiError::Gone(String::new()));
        assert_eq!(of(502, ""), ApiError::Status { code: 502, message: "502 Bad Gateway".into() });
    }

    #[test]
    fn selectors_are_encoded() {
        assert_eq!(encoded("spec.clusterIP!=None"), "spec.clusterIP%21%3DNone");
    }
}
