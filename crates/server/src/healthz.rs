//! The health endpoint: plain HTTP on `healthzBindAddress:healthzPort`, `GET /healthz` answers `ok` (contract §24).
//!
//! It says that the process lives and its runtime turns, nothing about the node; so it needs no authentication and
//! tells nothing. Each connection has a bound on its time, and their number is bounded, so that idle clients cost
//! nothing.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{net::TcpListener, sync::Semaphore};

/// Connections at once; more wait in the accept queue.
const CONNECTIONS: usize = 64;
/// Longest life of a connection.
const CONNECTION_TIME: Duration = Duration::from_secs(30);
/// Time for a request's head.
const HEAD_TIME: Duration = Duration::from_secs(5);
/// Delay before a failed bind or accept is tried again, as upstream does.
const RETRY: Duration = Duration::from_secs(5);

/// Serves for ever; a port that is taken is tried again and again, since health is no reason to stop pods.
pub async fn serve(address: SocketAddr) {
    loop {
        match TcpListener::bind(address).await {
            Ok(listener) => accept(&listener).await,
            Err(error) => tracing::error!(%address, %error, "Cannot serve healthz; will try again"),
        }
        tokio::time::sleep(RETRY).await;
    }
}

async fn accept(listener: &TcpListener) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::error!(%error, "Cannot accept healthz connections; will try again");
                return;
            }
        };
        tokio::spawn(async move {
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIME)
                .serve_connection(TokioIo::new(stream), hyper::service::service_fn(answer));
            // A client that goes away or says nothing is no event.
            let _ = tokio::time::timeout(CONNECTION_TIME, connection).await;
            drop(place);
        });
    }
}

async fn answer<B>(request: Request<B>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (status, body) = match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, "/healthz") => (StatusCode::OK, "ok"),
        (_, "/healthz") => (StatusCode::METHOD_NOT_ALLOWED, "405: Method Not Allowed"),
        _ => (StatusCode::NOT_FOUND, "404 page not found\n"),
    };
    let mut response = Response::new(Full::new(Bytes::from_static(body.as_bytes())));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert("x-content-type-options", http::HeaderValue::from_static("nosniff"));
    Ok(response)
}
