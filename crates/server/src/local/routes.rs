//! Paths of the local socket, and what they answer.

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Method, Response, StatusCode, Uri,
    header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue},
};
use seams::{
    Explainer,
    explain::{PodName, Refusal, Unknown, VERSION, Wanted},
};
use serde::Serialize;

/// Longest namespace, name and uid together that are looked for.
const LONGEST: usize = 1 << 10;

pub(super) fn answer(method: &Method, uri: &Uri, explainer: &dyn Explainer) -> Response<Full<Bytes>> {
    if method != Method::GET {
        let message = format!("{method} is not possible here\nhint: only GET is");
        let mut answer = refusal(StatusCode::METHOD_NOT_ALLOWED, "BadRequest", message, Vec::new());
        answer.headers_mut().insert(ALLOW, HeaderValue::from_static("GET"));
        return answer;
    }
    match uri.path() {
        "/v1/pods" => document(StatusCode::OK, &explainer.pods()),
        "/v1/explain" => of_pod(uri, |wanted| explainer.explain(wanted)),
        "/v1/timeline" => of_pod(uri, |wanted| explainer.timeline(wanted)),
        path => {
            let message = format!(
                "there is no {path}\nhint: /v1/pods, /v1/explain?pod=NAMESPACE/NAME and /v1/timeline?pod=NAMESPACE/NAME are here"
            );
            refusal(StatusCode::NOT_FOUND, "NotFound", message, Vec::new())
        }
    }
}

fn of_pod<T: Serialize>(uri: &Uri, ask: impl Fn(&Wanted) -> Result<T, Unknown>) -> Response<Full<Bytes>> {
    let wanted = match wanted(uri.query().unwrap_or_default()) {
        Ok(wanted) => wanted,
        Err(message) => return refusal(StatusCode::BAD_REQUEST, "BadRequest", message, Vec::new()),
    };
    match ask(&wanted) {
        Ok(found) => document(StatusCode::OK, &found),
        Err(Unknown::NoSuchPod) => {
            let message = format!("this kubelet knows no pod {}", written(&wanted));
            refusal(StatusCode::NOT_FOUND, "NoSuchPod", message, Vec::new())
        }
        Err(Unknown::Several(pods)) => {
            let message = format!("{} is the name of several pods", written(&wanted));
            refusal(StatusCode::CONFLICT, "Several", message, pods)
        }
    }
}

fn written(wanted: &Wanted) -> String {
    match &wanted.namespace {
        Some(namespace) => format!("{namespace}/{}", wanted.name),
        None => wanted.name.clone(),
    }
}

/// `pod=[NAMESPACE/]NAME` and, to tell namesakes apart, `uid=UID`.
fn wanted(query: &str) -> Result<Wanted, String> {
    let mut wanted = Wanted::default();
    if query.len() > LONGEST {
        return Err("the query is too long".to_owned());
    }
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = decoded(value).ok_or_else(|| format!("the value of {key} is not well encoded"))?;
        match key {
            "pod" => {
                let (namespace, name) = match value.split_once('/') {
                    Some((namespace, name)) => (Some(namespace.to_owned()), name.to_owned()),
                    None => (None, value),
                };
                (wanted.namespace, wanted.name) = (namespace, name);
            }
            "uid" => wanted.uid = Some(value),
            other => return Err(format!("there is no parameter {other}\nhint: pod and uid are")),
        }
    }
    match wanted.name.as_str() {
        "" => Err("which pod?\nhint: ?pod=NAMESPACE/NAME".to_owned()),
        _ => Ok(wanted),
    }
}

/// Percent-encoding undone; `None` where it is none, or no UTF-8.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digit =
                    |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
                let (high, low) = (digit(rest.next()?)?, digit(rest.next()?)?);
                high << 4 | low
            }
            b'+' => b' ',
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

fn refusal(status: StatusCode, error: &str, message: String, pods: Vec<PodName>) -> Response<Full<Bytes>> {
    let refusal = Refusal { version: VERSION.to_owned(), error: error.to_owned(), message, pods };
    document(status, &refusal)
}

fn document(status: StatusCode, document: &impl Serialize) -> Response<Full<Bytes>> {
    let (status, mut body) = match serde_json::to_vec(document) {
        Ok(body) => (status, body),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string().into_bytes()),
    };
    body.push(b'\n');
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_name_a_pod() {
        let found = |query: &str| wanted(query).map(|w| (w.namespace.unwrap_or_default(), w.name, w.uid));
        let pod = |namespace: &str, name: &str| Ok((namespace.to_owned(), name.to_owned(), None));
        assert_eq!(found("pod=ns/name"), pod("ns", "name"));
        assert_eq!(found("pod=ns%2Fname&"), pod("ns", "name"));
        assert_eq!(found("pod=name"), pod("", "name"));
        assert_eq!(found("pod=n&uid=a-b"), Ok((String::new(), "n".to_owned(), Some("a-b".to_owned()))));
        for bad in ["", "pod=", "pod=ns/", "pod=%2", "pod=%zz", "pod=%ff", "name=x", "uid=x"] {
            assert!(found(bad).is_err(), "{bad}");
        }
        assert!(found(&format!("pod={}", "x".repeat(2_000))).is_err());
    }
}
