//! The node's own API (contract §24): HTTPS on 10250, and a part of it in plain HTTP on the read-only port.
//!
//! ```text
//!   listener ─▶ tls ─▶ paths (the table) ─▶ authentication ─▶ authorization ─▶ switch ─▶ method ─▶ endpoint
//!                          │ 404               │ 401             │ 403           │ 405      │ 405
//! ```
//!
//! Invariants:
//! * nothing but 404 and 401 is told before authentication; every route names what it needs in the one table
//!   ([`crate::catalog::routes`]), and a request is authorized by the row that answers it;
//! * commands, streams and port forwards are told in the log with who asked;
//! * a token is kept as its hash only.
//!
//! What differs from upstream: whatever runs something in a container needs `create` on `nodes/proxy`, also by GET;
//! links below `/var/log` are not followed; paths that are not clean are unknown, not redirected.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use hyper::{Request, Response, StatusCode, body::Incoming};
use metrics::{Metrics, table::Page};
use seams::{Clock, ContainerLogs, NodeApi, NodeLogs, NodeStats, Reviews};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    catalog::routes::{Endpoint, ReadOnly, Route, Switch},
    health::{self, Check},
};

use self::{
    answer::{Body, METRICS, full, not_allowed, not_found, of_type, patient, text},
    authentication::Authenticator,
    authorization::Authorizer,
    connection::Connection,
    listener::{Peer, Transport},
    paths::{Found, Parameters},
    tls::Tls,
};

mod answer;
mod authentication;
mod authorization;
mod cache;
mod checkpoint;
mod compress;
mod connection;
mod counting;
mod dial;
mod listener;
mod logs;
mod node_logs;
mod pages;
mod paths;
mod pods;
mod profiles;
mod protocol_token;
pub(crate) mod query;
mod reviewing;
mod spdy_tunnel;
mod stats;
mod stream;
pub mod tls;
mod translate;
mod tunnel;
mod websocket;

pub use pages::{Pages, SetVerbosity};

/// How callers are known and what they may do.
#[derive(Clone, Debug)]
pub struct AccessSettings {
    /// Name of this node.
    pub node_name: String,
    /// `authentication.anonymous.enabled`.
    pub anonymous: bool,
    /// `authentication.webhook`: how long an answer is kept; `None` when tokens are not accepted.
    pub token_ttl: Option<Duration>,
    /// `authorization`: how long a yes and a no are kept; `None` allows everything to whoever is known.
    pub access_ttls: Option<(Duration, Duration)>,
}

/// Which parts are on.
#[derive(Clone, Copy, Debug)]
pub struct Switches {
    /// `enableDebuggingHandlers`.
    pub debugging: bool,
    /// `enableSystemLogHandler`.
    pub system_logs: bool,
    /// `enableSystemLogQuery`.
    pub log_queries: bool,
    /// `enableProfilingHandler`.
    pub profiling: bool,
    /// `enableDebugFlagsHandler`.
    pub debug_flags: bool,
    /// Gate `PodLogsQuerySplitStreams`.
    pub split_streams: bool,
    /// Gate `ExtendWebSocketsToKubelet`.
    pub websockets: bool,
    /// Gate `ContainerCheckpoint`.
    pub checkpoints: bool,
    /// Gate `KubeletAllocatedPodsEndpoint`.
    pub allocated_pods: bool,
}

/// What the API is made from.
pub struct ApiParts {
    /// Who may do what.
    pub access: AccessSettings,
    /// What is on.
    pub switches: Switches,
    /// `streamingConnectionIdleTimeout`.
    pub stream_idle: Duration,
    /// Asks the API server; `None` in standalone mode.
    pub reviews: Option<Arc<dyn Reviews>>,
    /// The agent.
    pub node: Arc<dyn NodeApi>,
    /// What is used of the node.
    pub stats: Arc<dyn NodeStats>,
    /// Reads logs of containers.
    pub logs: Arc<dyn ContainerLogs>,
    /// Reads `/var/log`.
    pub node_logs: Arc<dyn NodeLogs>,
    /// Health checks.
    pub checks: Vec<Check>,
    /// What does not change while the process runs.
    pub pages: Pages,
    /// Clocks.
    pub clock: Arc<dyn Clock>,
    /// What is measured, here and elsewhere.
    pub metrics: Arc<Metrics>,
}

/// The API.
pub struct Api {
    parts: ApiParts,
    authenticator: Authenticator,
    authorizer: Authorizer,
    read_only: bool,
}

impl std::fmt::Debug for Api {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Api").field("read_only", &self.read_only).finish_non_exhaustive()
    }
}

impl Api {
    /// The API over TLS; `tls` also holds the CA that client certificates are judged by.
    #[must_use]
    pub fn new(parts: ApiParts, tls: Option<Arc<Tls>>) -> Self {
        let authenticator = Authenticator::new(&parts, tls);
        let authorizer = Authorizer::new(&parts);
        Self { parts, authenticator, authorizer, read_only: false }
    }

    /// The part of it that everyone may read.
    #[must_use]
    pub fn read_only(parts: ApiParts) -> Self {
        Self { read_only: true, ..Self::new(parts, None) }
    }

    /// Answers a request.
    async fn respond(
        &self,
        request: Request<Incoming>,
        peer: &Peer,
        connection: &Arc<Connection>,
    ) -> Response<Body> {
        let Some(Found { route, parameters }) = paths::find(request.uri().path()) else { return not_found() };
        if self.read_only {
            match route.read_only {
                ReadOnly::Served => {}
                ReadOnly::Disabled => return not_allowed("", DISABLED),
                ReadOnly::Unknown => return not_found(),
            }
            connection.served();
        } else {
            let user = match self.authenticator.user(request.headers(), peer).await {
                Ok(user) => user,
                Err(error) => {
                    tracing::debug!(peer = %peer.address, path = route.path, %error, "Unable to authenticate the request");
                    return text(StatusCode::UNAUTHORIZED, "Unauthorized");
                }
            };
            let stranger = (!connection.is_proven()).then(|| connection::host(peer.address.ip()));
            if let Err(refusal) = self.authorizer.check(&user, request.method(), route, stranger).await {
                return refusal.answer();
            }
            connection.proven();
            if let Some(refusal) = self.switched_off(route.switch) {
                return refusal;
            }
            if route.endpoint.is_audited() {
                let (user, method) = (&user.name, request.method().as_str());
                let Parameters { namespace, pod, container, .. } = &parameters;
                tracing::info!(
                    user,
                    peer = %peer.address,
                    action = ?route.endpoint,
                    method,
                    namespace,
                    pod,
                    container,
                    "Access to a container through the API"
                );
            }
        }
        if route.endpoint == Endpoint::Absent {
            return not_found();
        }
        // Any other way than PUT has an answer of its own there; health and metrics are told however they are asked for.
        let takes_any =
            matches!(route.endpoint, Endpoint::DebugFlags | Endpoint::Health | Endpoint::Metrics(_));
        if !takes_any && !allows(route, request.method().as_str()) {
            return not_allowed(&route.allow(), "Method Not Allowed");
        }
        self.serve(route.endpoint, parameters, request, connection).await
    }

    fn switched_off(&self, switch: Switch) -> Option<Response<Body>> {
        let switches = &self.parts.switches;
        match switch {
            Switch::Always => None,
            Switch::Checkpoints if !switches.checkpoints => Some(not_found()),
            Switch::AllocatedPods if !switches.allocated_pods => Some(not_found()),
            Switch::DebuggingHides | Switch::DebugFlags | Switch::Checkpoints | Switch::AllocatedPods
                if !switches.debugging =>
            {
                Some(not_found())
            }
            _ if !switches.debugging => Some(not_allowed("", DISABLED)),
            Switch::SystemLogs if !switches.system_logs => {
                Some(not_allowed("", "logs endpoint is disabled.\n"))
            }
            Switch::Profiling if !switches.profiling => {
                Some(not_allowed("", "profiling endpoint is disabled.\n"))
            }
            Switch::DebugFlags if !switches.debug_flags => {
                Some(not_allowed("", "flags endpoint is disabled.\n"))
            }
            _ => None,
        }
    }

    async fn serve(
        &self,
        endpoint: Endpoint,
        parameters: Parameters,
        request: Request<Incoming>,
        connection: &Arc<Connection>,
    ) -> Response<Body> {
        let parts = &self.parts;
        let query = request.uri().query().unwrap_or_default();
        match endpoint {
            Endpoint::Absent => not_found(),
            Endpoint::Health => {
                let answer = health::respond(request.uri().path(), query, &parts.checks, &parts.metrics.node);
                answer.map(http_body_util::BodyExt::boxed_unsync)
            }
            Endpoint::Pods => pods::all(&*parts.node),
            Endpoint::AllocatedPods => pods::allocated(&*parts.node, &parameters),
            Endpoint::RunningPods => pods::running(&*parts.node).await,
            Endpoint::Summary => stats::summary(&*parts.stats, request).await,
            Endpoint::Metrics(page) => {
                let answer = match page {
                    Page::Cadvisor => stats::cadvisor(&*parts.stats).await,
                    Page::Resource => stats::resource(&*parts.stats).await,
                    Page::Metrics => stats::metrics(&*parts.stats, &parts.metrics).await,
                    page => of_type(StatusCode::OK, METRICS, full(parts.metrics.page(page))),
                };
                // As Prometheus' own handler does: a page of a full node has megabytes.
                if answer.status() == StatusCode::OK && compress::accepts_gzip(request.headers()) {
                    compress::gzipped(answer, compress::Sent::InBlocks)
                } else {
                    answer
                }
            }
            Endpoint::Configz => parts.pages.configz(),
            Endpoint::Flagz => parts.pages.flagz(),
            Endpoint::Statusz => parts.pages.statusz(parts.clock.now().wall),
            Endpoint::ContainerLogs => {
                patient(logs::serve(parts, &parameters, query).await, parts.stream_idle)
            }
            Endpoint::NodeLogs => {
                let (head, _) = request.into_parts();
                let queries = parts.switches.log_queries;
                let answer = node_logs::serve(&*parts.node_logs, &head, &parameters, queries).await;
                patient(answer, parts.stream_idle)
            }
            Endpoint::DebugFlags => parts.pages.set_verbosity(request).await,
            Endpoint::Exec | Endpoint::Attach | Endpoint::PortForward => {
                stream::serve(parts, endpoint, &parameters, request, connection).await
            }
            Endpoint::Checkpoint => checkpoint::serve(&*parts.node, &parameters, query).await,
            Endpoint::Profiles => profiles::serve(&parameters.rest),
            Endpoint::Run => stream::run(&*parts.node, &parameters, query).await,
        }
    }
}

/// What `enableDebuggingHandlers: false` and the read-only port answer.
const DISABLED: &str = "Debug endpoints are disabled.\n";

fn allows(route: &Route, method: &str) -> bool {
    route.methods.iter().any(|known| known.as_str() == method)
}

/// Serves HTTPS until `stop`.
pub async fn serve(listener: TcpListener, tls: Arc<Tls>, api: Arc<Api>, stop: CancellationToken) {
    listen(listener, Transport::Tls(tls), api, stop).await;
}

/// Serves plain HTTP, likewise.
pub async fn serve_read_only(listener: TcpListener, api: Arc<Api>, stop: CancellationToken) {
    listen(listener, Transport::Plain, api, stop).await;
}

async fn listen(listener: TcpListener, transport: Transport, api: Arc<Api>, stop: CancellationToken) {
    match listener.local_addr() {
        Ok(address) => tracing::info!(%address, "Starting to listen"),
        Err(error) => tracing::info!(%error, "Starting to listen on an unknown address"),
    }
    listener::serve(listener, transport, api, stop).await;
}

/// For bodies that are read: the one that is has a number in it.
async fn small_body(request: Request<Incoming>) -> Result<Bytes, String> {
    use http_body_util::BodyExt as _;
    const MOST: usize = 1 << 10;
    const TIME: Duration = Duration::from_secs(10);
    let body = http_body_util::Limited::new(request.into_body(), MOST).collect();
    match tokio::time::timeout(TIME, body).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("it did not arrive in time".to_owned()),
    }
}

#[cfg(test)]
mod tests;
