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
//! * at most one dial at a time, which goes on when who asked for it has left; those who wait for one that fails get its
//!   error instead of dialling again;
//! * a connection is used with the credentials it was made with, and is dropped when the files change;
//! * a server that does not speak HTTP/2 (or plain `http://`) gets a connection per request.

mod body;
mod dial;
mod login;
mod pool;
mod race;
mod reach;
mod tls;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, Uri, header};
use http_body_util::Full;

pub(crate) use body::{Body, BodyError};
pub(crate) use dial::TransportError;

use crate::kubeconfig::Access;
use login::Authorization;
use pool::{Place, Pool};
pub(crate) use reach::Reach;

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
    authorization: Authorization,
    user_agent: HeaderValue,
    pool: Arc<Pool>,
    reach: Arc<Reach>,
}

impl Transport {
    pub(crate) fn new(access: Arc<Access>, user_agent: HeaderValue, reach: Arc<Reach>) -> Self {
        Self {
            authorization: Authorization::new(Arc::clone(&access)),
            pool: Arc::new(Pool::new(Arc::clone(&access))),
            access,
            user_agent,
            reach,
        }
    }

    pub(crate) fn server_url(&self) -> &str {
        &self.access.server().url
    }

    /// Drops every connection; requests on the way fail, the next one dials anew.
    pub(crate) fn reset(&self) {
        self.pool.reset();
    }

    /// Drops the connections that have been there for a while, since nothing answers over them; the next request dials anew.
    /// A dial that is under way goes on.
    pub(crate) fn retire(&self) {
        self.pool.retire();
    }

    /// Drops every connection if the certificate files changed since they were last read. True when they did.
    pub(crate) fn reset_if_rotated(&self) -> bool {
        self.pool.reset_if_rotated()
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
        // A server that goes away says so on all its connections at once. Each of them may be found out only by a request
        // that it does not take, and so may one that is dialled meanwhile.
        let mut left = self.pool.size() + 1;
        loop {
            let place = self.pool.place(purpose).await?;
            let scheme = match &place {
                // Absolute URI: HTTP/2 carries scheme and authority as pseudo headers.
                Place::Shared { .. } => Some(if self.access.server().tls { "https" } else { "http" }),
                Place::Single(_) => None,
            };
            let prepared = self.prepare(request, scheme)?;
            let login = prepared.headers().get(header::AUTHORIZATION).cloned();
            let answer = match place {
                Place::Shared { mut sender, slot } => {
                    let answer = sender.send_request(prepared).await;
                    answer.map(|response| response.map(|incoming| Body::shared(incoming, slot)))
                }
                Place::Single(mut sender) => {
                    let answer = sender.send_request(prepared).await;
                    answer.map(|response| response.map(|incoming| Body::single(incoming, sender)))
                }
            };
            match answer {
                Ok(response) => {
                    if let Some(login) = login.filter(|_| response.status() == StatusCode::UNAUTHORIZED) {
                        self.authorization.refused(&login);
                    }
                    return Ok(response);
                }
                // The connection went away before the request was on the wire.
                Err(error) if left > 0 && error.is_canceled() => left -= 1,
                Err(error) => return Err(TransportError::of(&error)),
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
