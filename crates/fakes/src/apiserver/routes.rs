//! From a request to an answer.

use std::{convert::Infallible, sync::Arc};

use bytes::Bytes;
use http::{Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::{
    Request, Shared, delete, query, requests,
    resources::{self, Target},
    status::Refusal,
    token,
    watching::{self, Watch},
    write,
};

/// Body of every answer.
pub(super) type Body = UnsyncBoxBody<Bytes, Infallible>;

/// Events that wait for a slow client before the watch waits too.
const WATCH_BUFFER: usize = 64;

/// Answer; changes are signalled.
pub(super) fn answer(shared: &Arc<Shared>, request: &Request) -> Response<Body> {
    let answered = route(shared, request);
    let revision = shared.store.lock().revision();
    shared.signal(|signals| signals.revision = revision);
    answered.unwrap_or_else(|refusal| refused(&refusal))
}

fn route(shared: &Arc<Shared>, request: &Request) -> Result<Response<Body>, Refusal> {
    match request.path.as_str() {
        "/healthz" | "/readyz" | "/livez" => return Ok(plain("ok")),
        "/version" => {
            return Ok(json_answer(200, &json!({ "major": "1", "minor": "37", "gitVersion": "v1.37.2" })));
        }
        _ => {}
    }
    let target = resources::target(&request.path).ok_or_else(Refusal::no_such_path)?;
    let is_watch = query::flag(&request.query, "watch");
    match (request.method.as_str(), target.subresource.as_str()) {
        ("GET", "") if is_watch => {
            let watch = Watch::new(shared, target, &request.query)?;
            let (sender, receiver) = mpsc::channel(WATCH_BUFFER);
            tokio::spawn(watch.run(sender));
            let mut response = Response::new(StreamBody::new(ReceiverStream::new(receiver)).boxed_unsync());
            response
                .headers_mut()
                .insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
            Ok(response)
        }
        ("GET", "") if target.name.is_empty() => {
            Ok(json_answer(200, &watching::list(&shared.store.lock(), &target, &request.query)?))
        }
        ("GET", "" | "status") if !target.name.is_empty() => {
            let store = shared.store.lock();
            let found =
                store.get(&target.key()).ok_or_else(|| Refusal::not_found(target.served, &target.name))?;
            Ok(json_answer(200, found))
        }
        ("POST", "") if target.name.is_empty() => post(shared, &target, request),
        ("POST", "token") if target.served.plural == "serviceaccounts" => {
            Ok(json_answer(201, &token::issue(&shared.store.lock(), &target, body(request)?)?))
        }
        ("PUT", "" | "status") if !target.name.is_empty() => {
            Ok(json_answer(200, &write::replace(&mut shared.store.lock(), &target, body(request)?)?))
        }
        ("PATCH", "" | "status") if !target.name.is_empty() => {
            let mut store = shared.store.lock();
            Ok(json_answer(
                200,
                &write::patch(&mut store, &target, request.header("content-type"), &request.body)?,
            ))
        }
        ("DELETE", "") if !target.name.is_empty() => {
            let options = if request.body.is_empty() { Value::Null } else { body(request)? };
            let grace = query::number(&request.query, "gracePeriodSeconds")?
                .and_then(|grace| i64::try_from(grace).ok());
            Ok(json_answer(200, &delete::delete(&mut shared.store.lock(), &target, &options, grace)?))
        }
        (_, "" | "status" | "token") => Err(Refusal::method_not_allowed()),
        _ => Err(Refusal::no_such_path()),
    }
}

fn post(
    shared: &Arc<Shared>,
    target: &Target,
    request: &requests::Request,
) -> Result<Response<Body>, Refusal> {
    let responder = shared.responders.lock().get(target.served.plural).cloned();
    let object = body(request)?;
    Ok(match responder {
        Some(responder) => json_answer(201, &responder(object)),
        None => json_answer(201, &write::create(&mut shared.store.lock(), target, object)?),
    })
}

fn body(request: &Request) -> Result<Value, Refusal> {
    serde_json::from_slice(&request.body).map_err(|error| {
        Refusal::bad_request(format!("couldn't get version/kind; json parse error: {error}"))
    })
}

/// A `Status` answer.
pub(super) fn refused(refusal: &Refusal) -> Response<Body> {
    json_answer(refusal.code, &refusal.body())
}

fn json_answer(code: u16, value: &Value) -> Response<Body> {
    let mut response = plain(value.to_string());
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    response
}

/// An answer of text.
pub(super) fn plain(text: impl Into<Bytes>) -> Response<Body> {
    Response::new(Full::new(text.into()).boxed_unsync())
}
