//! `grpc.health.v1.Health`, by hand: two messages of one field each do not pay for a code generator in a program that is
//! built for an image.
//!
//! Wire format: a request or answer is a byte 0 (not compressed), a big-endian 32-bit length and the message; the outcome is
//! in the trailers `grpc-status` and `grpc-message` (gRPC over HTTP/2).

use std::convert::Infallible;

use bytes::{Buf as _, Bytes};
use http::{HeaderMap, HeaderValue, Request, Response, header};
use http_body_util::{
    BodyExt as _, Either, Limited,
    channel::{Channel, Sender},
};
use hyper::body::Incoming;

use super::{Shared, http_routes::Body};

/// `HealthCheckResponse.ServingStatus`.
pub(super) const UNKNOWN: u8 = 0;
/// As above.
pub(super) const SERVING: u8 = 1;
/// As above.
pub(super) const NOT_SERVING: u8 = 2;
/// As above; only `Watch` sends it.
const SERVICE_UNKNOWN: u8 = 3;

/// gRPC status codes.
const OK: u16 = 0;
const INVALID_ARGUMENT: u16 = 3;
const NOT_FOUND: u16 = 5;
const UNIMPLEMENTED: u16 = 12;

/// A health request is a service name: this is more than enough.
const REQUEST_LIMIT: usize = 64 << 10;

/// The enum's name of a status.
pub(super) fn name(status: u8) -> &'static str {
    match status {
        SERVING => "SERVING",
        NOT_SERVING => "NOT_SERVING",
        SERVICE_UNKNOWN => "SERVICE_UNKNOWN",
        _ => "UNKNOWN",
    }
}

/// Answer one call.
pub(super) async fn answer(
    switches: &Shared,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let path = request.uri().path().to_owned();
    let service = match Limited::new(request.into_body(), REQUEST_LIMIT).collect().await {
        Ok(body) => decode_request(body.to_bytes()),
        Err(_) => None,
    };
    let (sender, body) = Channel::new(4);
    let switches = switches.clone();
    tokio::spawn(async move {
        match (path.as_str(), service) {
            ("/grpc.health.v1.Health/Check", Some(service)) => check(&switches, &service, sender).await,
            ("/grpc.health.v1.Health/Watch", Some(service)) => watch(&switches, &service, sender).await,
            ("/grpc.health.v1.Health/Check" | "/grpc.health.v1.Health/Watch", None) => {
                end(sender, INVALID_ARGUMENT, "not a HealthCheckRequest").await;
            }
            _ => end(sender, UNIMPLEMENTED, "unknown method").await,
        }
    });
    let mut response = Response::new(Either::Right(body));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    Ok(response)
}

async fn check(switches: &Shared, service: &str, mut sender: Sender<Bytes>) {
    match switches.read(|now| now.grpc.get(service).copied()) {
        Some(status) => {
            if sender.send_data(encode_response(status)).await.is_ok() {
                end(sender, OK, "").await;
            }
        }
        None => end(sender, NOT_FOUND, "unknown service").await,
    }
}

/// Sends the status now and after each change, until the client leaves.
async fn watch(switches: &Shared, service: &str, mut sender: Sender<Bytes>) {
    let mut changes = switches.subscribe();
    let mut sent = None;
    loop {
        let now = changes.borrow_and_update().grpc.get(service).copied().unwrap_or(SERVICE_UNKNOWN);
        if sent != Some(now) && sender.send_data(encode_response(now)).await.is_err() {
            return;
        }
        sent = Some(now);
        if changes.changed().await.is_err() {
            return;
        }
    }
}

async fn end(mut sender: Sender<Bytes>, code: u16, message: &'static str) {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from(code));
    if !message.is_empty() {
        trailers.insert("grpc-message", HeaderValue::from_static(message));
    }
    // A client that is gone needs no trailers.
    let _ = sender.send_trailers(trailers).await;
}

/// `HealthCheckResponse { status = 1 }` in its frame.
pub(super) fn encode_response(status: u8) -> Bytes {
    let message: &[u8] = if status == 0 { &[] } else { &[0x08, status] };
    let mut frame = vec![0, 0, 0, 0, u8::try_from(message.len()).unwrap_or(0)];
    frame.extend_from_slice(message);
    frame.into()
}

/// The service name of `HealthCheckRequest { service = 1 }`; unknown fields are skipped. `None` if it is not one.
pub(super) fn decode_request(mut body: Bytes) -> Option<String> {
    if body.len() < 5 || body.get_u8() != 0 {
        return None;
    }
    let length = usize::try_from(body.get_u32()).ok()?;
    if length != body.len() {
        return None;
    }
    let mut service = String::new();
    while body.has_remaining() {
        let tag = varint(&mut body)?;
        match tag & 7 {
            0 => {
                varint(&mut body)?;
            }
            1 => drop(take(&mut body, 8)?),
            2 => {
                let length = usize::try_from(varint(&mut body)?).ok()?;
                let value = take(&mut body, length)?;
                if tag >> 3 == 1 {
                    service = String::from_utf8(value.to_vec()).ok()?;
                }
            }
            5 => drop(take(&mut body, 4)?),
            _ => return None,
        }
    }
    Some(service)
}

fn take(body: &mut Bytes, length: usize) -> Option<Bytes> {
    (length <= body.len()).then(|| body.split_to(length))
}

fn varint(body: &mut Bytes) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        if !body.has_remaining() {
            return None;
        }
        let byte = body.get_u8();
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}
