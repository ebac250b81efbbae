//! One way to the API server: few HTTP/2 connections that all calls and watches share.
//!
//! ```text
//!            dial (TCP, TLS with the files as they are now, HTTP/2)
//!   nothing ───────────────────────────────────────────► shared connection ──► closed
//!      ▲                                                   │  GOAWAY, reset, no answer to a ping, rotation
//!      └───────────────────────────────────────────────────┘
//! ```
//!
//! Why own code: the pooled clients at hand either speak only HTTP/1.1 (a TLS connection per watch) or put every
//! request on one HTTP/2 connection, and an API server allows 100 streams on one. A node with 110 pods has more
//! watches than that, and then not even the lease gets through. Decision record 0003 has the figures.
//!
//! Invariants:
//! * watches never take the last quarter of a connection's streams: a call finds a place without a new dial;
//! * at most one dial at a time; those who waited for a dial that failed get its error instead of dialling again;
//! * a connection is used with the credentials it was made with, and is dropped when the files change;
//! * a server that does not speak HTTP/2 (or plain `http://`) gets a connection per request.

mod body;
mod dial;
mod login;
mod race;
mod reach;
mod tls;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, Uri, header};
use http_body_util::Full;
use hyper::{body::Incoming, client::conn::http2};
use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub(crate) use body::{Body, BodyError};
pub(crate) use dial::TransportError;

use crate::kubeconfig::Access;
use dial::Dialled;
use login::Authorization;
pub(crate) use reach::Reach;
use tls::TlsFiles;

/// What a request is for, which decides how much of a connection it may fill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Answered at once.
    Call,
    /// Held open for minutes.
    Watch,
}

/// The way to one API server.
pub(crate) struct Transport {
    access: Arc<Access>,
    tls: TlsFiles,
    authorization: Authorization,
    user_agent: HeaderValue,
    pool: Mutex<Pool>,
    dialling: tokio::sync::Mutex<()>,
    reach: Arc<Reach>,
}

#[derive(Default)]
struct Pool {
    connections: Vec<Shared>,
    /// Ends every task of every connection made so far, also of those that are no longer in the pool.
    alive: CancellationToken,
    /// The newest failed dial.
    failed: Option<(Instant, TransportError)>,
}

struct Shared {
    sender: http2::SendRequest<Full<Bytes>>,
    /// One clone for every stream in use.
    streams: Arc<()>,
    /// Streams that the server allows, as last heard.
    most: Arc<AtomicUsize>,
}

impl Shared {
    fn has_place(&self, purpose: Purpose) -> bool {
        let most = self.most.load(Ordering::Relaxed);
        let most = match purpose {
            Purpose::Call => most,
            Purpose::Watch => (most - most / 4).max(1),
        };
        !self.sender.is_closed() && Arc::strong_count(&self.streams) - 1 < most
    }
}

enum Place {
    Shared { sender: http2::SendRequest<Full<Bytes>>, slot: Arc<()> },
    Single(hyper::client::conn::http1::SendRequest<Full<Bytes>>),
}

impl Transport {
    pub(crate) fn new(access: Arc<Access>, user_agent: HeaderValue, reach: Arc<Reach>) -> Self {
        Self {
            tls: TlsFiles::new(Arc::clone(&access)),
            authorization: Authorization::new(Arc::clone(&access)),
            access,
            user_agent,
            pool: Mutex::default(),
            dialling: tokio::sync::Mutex::default(),
            reach,
        }
    }

    pub(crate) fn server_url(&self) -> &str {
        &self.access.server().url
    }

    /// Drops every connection; requests on the way fail, the next one dials anew.
    pub(crate) fn reset(&self) {
        let mut pool = self.pool.lock();
        pool.failed = None;
        pool.connections.clear();
        std::mem::take(&mut pool.alive).cancel();
    }

    /// Drops every connection if the certificate files changed since they were last read. True when they did.
    pub(crate) fn reset_if_rotated(&self) -> bool {
        let rotated = self.tls.changed();
        if rotated {
            self.reset();
        }
        rotated
    }

    /// Whether the server answers.
    pub(crate) fn reach(&self) -> &Reach {
        &self.reach
    }

    /// Sends a request for `path` (with its query, beginning with a slash) and returns the head of the answer.
    pub(crate) async fn send(
        &self,
        purpose: Purpose,
        request: &Request<Bytes>,
    ) -> Result<Response<Body>, TransportError> {
        let answer = self.send_quietly(purpose, request).await;
        if let Ok(response) = &answer {
            self.reach.answered(self.server_url(), response.status());
        }
        answer
    }

    async fn send_quietly(
        &self,
        purpose: Purpose,
        request: &Request<Bytes>,
    ) -> Result<Response<Body>, TransportError> {
        let mut again = true;
        loop {
            match self.place(purpose).await? {
                Place::Shared { mut sender, slot } => {
                    // Absolute URI: HTTP/2 carries scheme and authority as pseudo headers.
                    let scheme = if self.access.server().tls { "https" } else { "http" };
                    let request = self.prepare(request, Some(scheme))?;
                    match sender.send_request(request).await {
                        Ok(response) => return Ok(response.map(|incoming| Body::shared(incoming, slot))),
                        // The connection went away before the request was on the wire.
                        Err(error) if again && error.is_canceled() => again = false,
                        Err(error) => return Err(TransportError::of(&error)),
                    }
                }
                Place::Single(mut sender) => {
                    let request = self.prepare(request, None)?;
                    let response: Response<Incoming> =
                        sender.send_request(request).await.map_err(|e| TransportError::of(&e))?;
                    return Ok(response.map(|incoming| Body::single(incoming, sender)));
                }
            }
        }
    }

    fn prepare(
        &self,
        request: &Request<Bytes>,
        scheme: Option<&'static str>,
    ) -> Result<Request<Full<Bytes>>, TransportError> {
        let server = self.access.server();
        let path = format!("{}{}", server.prefix, request.uri());
        let uri = match scheme {
            Some(scheme) => Uri::builder()
                .scheme(scheme)
                .authority(server.authority.as_str())
                .path_and_query(path)
                .build(),
            None => Uri::builder().path_and_query(path).build(),
        }
        .map_err(|e| TransportError::of(&e))?;
        let mut out = Request::new(Full::new(request.body().clone()));
        *out.method_mut() = request.method().clone();
        *out.uri_mut() = uri;
        *out.headers_mut() = request.headers().clone();
        let headers = out.headers_mut();
        headers.insert(header::USER_AGENT, self.user_agent.clone());
        if let Some(authorization) = self.authorization.header()? {
            headers.insert(header::AUTHORIZATION, authorization);
        }
        if scheme.is_none() {
            let host = HeaderValue::from_str(&server.authority).map_err(|e| TransportError::of(&e))?;
            headers.insert(header::HOST, host);
        }
        Ok(out)
    }

    async fn place(&self, purpose: Purpose) -> Result<Place, TransportError> {
        let arrived = Instant::now();
        if let Some(place) = self.pooled(purpose) {
            return Ok(place);
        }
        let _turn = self.dialling.lock().await;
        if let Some(place) = self.pooled(purpose) {
            return Ok(place);
        }
        let alive = {
            let pool = self.pool.lock();
            if let Some((at, error)) = &pool.failed
                && *at >= arrived
            {
                return Err(error.clone());
            }
            pool.alive.clone()
        };
        let dialled = match Box::pin(self.dial(alive.child_token())).await {
            Ok(dialled) => dialled,
            Err(error) => {
                self.pool.lock().failed = Some((Instant::now(), error.clone()));
                return Err(error);
            }
        };
        let mut pool = self.pool.lock();
        pool.failed = None;
        if alive.is_cancelled() {
            return Err(TransportError::text("the connection was reset while it was being made"));
        }
        match dialled {
            Dialled::Http2 { sender, most } => {
                let streams = Arc::new(());
                let place = Place::Shared { sender: sender.clone(), slot: Arc::clone(&streams) };
                pool.connections.push(Shared { sender, streams, most });
                Ok(place)
            }
            Dialled::Http1 { sender } => Ok(Place::Single(sender)),
        }
    }

    fn pooled(&self, purpose: Purpose) -> Option<Place> {
        let mut pool = self.pool.lock();
        // A connection that refuses new streams (GOAWAY) is let go of quietly: its streams run to their end.
        pool.connections.retain(|shared| !shared.sender.is_closed());
        let shared = pool.connections.iter().find(|shared| shared.has_place(purpose))?;
        Some(Place::Shared { sender: shared.sender.clone(), slot: Arc::clone(&shared.streams) })
    }

    async fn dial(&self, alive: CancellationToken) -> Result<Dialled, TransportError> {
        let server = self.access.server();
        if !server.tls {
            return dial::plain(server, alive).await;
        }
        let name = dial::server_name(server, self.access.server_name())?;
        dial::tls(server, name, self.tls.current()?, alive).await
    }
}

impl Drop for Transport {
    fn drop(&mut self) {
        self.reset();
    }
}

/// HTTP/2 ping interval and the wait for its answer, as client-go's defaults.
pub(crate) const PING: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(15));

#[cfg(test)]
mod tests;
