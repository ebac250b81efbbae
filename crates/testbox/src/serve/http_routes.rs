//! The HTTP routes.

use std::{collections::BTreeMap, convert::Infallible, future::pending, time::Duration};

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Either, Full, Limited, channel::Channel};
use hyper::body::Incoming;

use super::{HttpAnswer, Shared, grpc};
use crate::{args, printers};

/// Body of every answer: whole, or made as it goes.
pub(super) type Body = Either<Full<Bytes>, Channel<Bytes, Infallible>>;

/// The largest request body that `/echo` gives back.
const ECHO_LIMIT: usize = 1 << 20;

/// Answer one request.
pub(super) async fn answer(
    switches: &Shared,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let control = path == "/control" || path.starts_with("/control/") || path == "/hits";
    let switched = if control { None } else { switches.take_answer(&path) };
    let response = match switched {
        Some(answer) => {
            tokio::time::sleep(answer.delay).await;
            let body = if answer.body.is_empty() { default_body(answer.status) } else { answer.body };
            text(answer.status, body)
        }
        None => {
            route(switches, &path, request).await.unwrap_or_else(|mistake| text(400, format!("{mistake}\n")))
        }
    };
    if switches.read(|now| now.log_requests) {
        println!("{method} {path} {}", response.status().as_u16());
    }
    Ok(response)
}

async fn route(switches: &Shared, path: &str, request: Request<Incoming>) -> Result<Response<Body>, String> {
    let query = query(request.uri().query().unwrap_or_default());
    let get = |name: &str| query.get(name).map(String::as_str);
    let time = |name: &str| -> Result<Duration, String> {
        get(name).map_or(Ok(Duration::ZERO), |text| {
            args::time(text).map_err(|error| format!("{name}={text}: {error:#}"))
        })
    };
    Ok(match path {
        "/" => text(200, super::ROUTES),
        "/readyz" if switches.read(|now| now.draining) => text(503, "draining\n"),
        "/healthz" | "/readyz" | "/livez" | "/startupz" => text(200, "ok\n"),
        "/control" => text(200, switches.text()),
        "/control/http" => {
            let answer = HttpAnswer {
                status: parse(get("status"), 200)?,
                delay: time("delay")?,
                body: get("body").unwrap_or_default().to_owned(),
                times: get("times").map(|text| parse(Some(text), 0)).transpose()?,
            };
            if StatusCode::from_u16(answer.status).is_err() {
                return Err(format!("no status {}", answer.status));
            }
            let target = get("path").unwrap_or("/healthz").to_owned();
            switches.change(|now| {
                now.http.insert(target, answer);
            });
            text(200, switches.text())
        }
        "/control/grpc" => {
            let status = match get("serving") {
                None | Some("true") => grpc::SERVING,
                Some("false") => grpc::NOT_SERVING,
                Some("unknown") => grpc::UNKNOWN,
                Some(other) => return Err(format!("serving={other}: true, false or unknown")),
            };
            let service = get("service").unwrap_or_default().to_owned();
            switches.change(|now| {
                now.grpc.insert(service, status);
            });
            text(200, switches.text())
        }
        "/control/tcp" => {
            let open = parse(get("open"), true)?;
            switches.change(|now| now.tcp_open = open);
            text(200, switches.text())
        }
        "/control/exit" => {
            let code = parse(get("code"), 0)?;
            let after = time("after")?;
            let switches = switches.clone();
            tokio::spawn(async move {
                tokio::time::sleep(after).await;
                switches.change(|now| now.exit = Some(code));
            });
            text(200, "leaving\n")
        }
        "/control/reset" => {
            switches.reset();
            text(200, switches.text())
        }
        "/hits" => {
            let wanted = get("path").unwrap_or("/healthz");
            text(200, format!("{}\n", switches.read(|now| now.hits.get(wanted).copied().unwrap_or(0))))
        }
        "/redirect" => {
            let to = get("to").ok_or("to=URL is wanted")?;
            let mut response = text(parse(get("code"), 302)?, "");
            let value = header::HeaderValue::from_str(to).map_err(|error| format!("to={to}: {error}"))?;
            response.headers_mut().insert(header::LOCATION, value);
            response
        }
        "/delay" => {
            tokio::time::sleep(time("for")?).await;
            text(200, "ok\n")
        }
        "/hang" => pending().await,
        "/bytes" => {
            let size = get("n").unwrap_or("1Mi");
            let size = args::size(size).map_err(|error| format!("n={size}: {error:#}"))?;
            Response::new(Either::Right(body_of(size)))
        }
        "/headers" => text(200, headers(&request)),
        "/echo" => {
            let mut echo =
                format!("{} {}\n{}\n", request.method(), request.uri(), headers(&request)).into_bytes();
            let body = Limited::new(request.into_body(), ECHO_LIMIT)
                .collect()
                .await
                .map_err(|error| error.to_string())?;
            echo.extend_from_slice(&body.to_bytes());
            text(200, echo)
        }
        "/hostname" => text(200, format!("{}\n", printers::hostname())),
        "/env" => match get("name") {
            Some(name) => text(200, printers::environment(&[name.to_owned()])),
            None => text(200, printers::environment(&[])),
        },
        "/self" => text(200, printers::this_process_text()),
        "/file" => {
            let path = get("path").ok_or("path=P is wanted")?;
            match tokio::fs::read(path).await {
                Ok(contents) => text(200, contents),
                Err(error) => text(404, format!("{path}: {error}\n")),
            }
        }
        _ => match path.strip_prefix("/status/") {
            Some(code) => {
                let code = parse(Some(code), 200)?;
                text(code, default_body(code))
            }
            None => text(404, "no such route; / lists them\n"),
        },
    })
}

fn default_body(status: u16) -> String {
    if (200..400).contains(&status) { "ok\n".to_owned() } else { format!("switched to {status}\n") }
}

/// A whole answer. A status that cannot be is a 500.
fn text(status: u16, body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Either::Left(Full::new(body.into())));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, header::HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

/// A body of that many letters.
fn body_of(size: u64) -> Channel<Bytes, Infallible> {
    /// One frame's worth.
    const BLOCK: &[u8] = &[b'x'; 16 << 10];
    let (mut sender, body) = Channel::new(2);
    tokio::spawn(async move {
        let mut left = size;
        while left > 0 {
            let step = left.min(BLOCK.len() as u64);
            let block = Bytes::from_static(BLOCK).slice(..usize::try_from(step).unwrap_or(BLOCK.len()));
            if sender.send_data(block).await.is_err() {
                return;
            }
            left -= step;
        }
    });
    body
}

fn headers(request: &Request<Incoming>) -> String {
    request
        .headers()
        .iter()
        .map(|(name, value)| format!("{name}: {}\n", String::from_utf8_lossy(value.as_bytes())))
        .collect()
}

fn parse<T: std::str::FromStr>(text: Option<&str>, default: T) -> Result<T, String> {
    text.map_or(Ok(default), |text| {
        text.parse().map_err(|_| format!("'{text}' is no {}", std::any::type_name::<T>()))
    })
}

/// The query's pairs, percent-decoded.
pub(super) fn query(query: &str) -> BTreeMap<String, String> {
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name), decode(value))
        })
        .collect()
}

fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        let hex = tail.get(..2).and_then(|pair| std::str::from_utf8(pair).ok());
        match (first, hex.and_then(|pair| u8::from_str_radix(pair, 16).ok())) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            (b'+', _) => bytes.push(b' '),
            _ => bytes.push(*first),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
