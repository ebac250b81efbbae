//! The HTTPS API and its read-only port, put together.

use std::sync::Arc;

use ::agent::Agent;
use metrics::Metrics;
use seams::{Clock, ContainerLogs, NodeApi, NodeStats, Reviews};
use server::{
    api::{
        AccessSettings, Api, ApiParts, Pages, Switches,
        tls::{Tls, TlsError, TlsSettings, self_signed},
    },
    health::Check,
};
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::warn;

use crate::{
    gates::Gate,
    logging,
    settings::{ServerSettings, Settings},
};

/// Where the machine's logs are.
const NODE_LOGS: &str = "/var/log";

/// What the API needs from elsewhere.
pub(super) struct Around {
    /// Asks the API server.
    pub reviews: Option<Arc<dyn Reviews>>,
    /// Reads logs of containers.
    pub logs: Arc<dyn ContainerLogs>,
    /// Health checks.
    pub checks: Vec<Check>,
    /// Clocks.
    pub clock: Arc<dyn Clock>,
    /// What is measured.
    pub metrics: Arc<Metrics>,
}

/// Serves on what was opened: the port and the read-only port.
///
/// # Errors
/// [`TlsError`]: a serving certificate that cannot be used stops the start, as upstream's does.
pub(super) fn start(
    settings: &Settings,
    agent: &Agent,
    around: Around,
    (main, read_only): (Option<TcpListener>, Option<TcpListener>),
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> Result<(), TlsError> {
    let server = &settings.server;
    let parts = || parts(settings, agent, &around);
    if let Some(listener) = read_only {
        let api = Arc::new(Api::read_only(parts()));
        tasks.spawn(server::api::serve_read_only(listener, api, stop.clone()));
    }
    if let Some(listener) = main {
        let tls = Arc::new(Tls::load(tls(settings, &*around.clock)?)?);
        if around.reviews.is_none()
            && (server.token_review_ttl.is_some() || server.access_review_ttls.is_some())
        {
            warn!(
                hint = "set authentication.webhook.enabled: false and authorization.mode: AlwaysAllow, or give a kubeconfig",
                "There is no API server to ask about callers: the API refuses those that would need it"
            );
        }
        let api = Arc::new(Api::new(parts(), Some(Arc::clone(&tls))));
        tasks.spawn(server::api::serve(listener, tls, api, stop.clone()));
    }
    Ok(())
}

fn tls(settings: &Settings, clock: &dyn Clock) -> Result<TlsSettings, TlsError> {
    let ServerSettings { certificate, client_ca, only_tls13, cipher_suites, .. } = settings.server.clone();
    let (certificate, key) = match certificate {
        Some(pair) => pair,
        None => self_signed(&settings.paths.certificates, &settings.node.name, clock.now().wall)?,
    };
    Ok(TlsSettings { certificate, key, client_ca, only_tls13, cipher_suites })
}

fn parts(settings: &Settings, agent: &Agent, around: &Around) -> ApiParts {
    let server = &settings.server;
    ApiParts {
        access: AccessSettings {
            node_name: settings.node.name.clone(),
            anonymous: server.anonymous,
            token_ttl: server.token_review_ttl,
            access_ttls: server.access_review_ttls,
        },
        switches: Switches {
            debugging: server.debugging_handlers,
            system_logs: server.system_log_handler,
            log_queries: server.system_log_query,
            profiling: server.profiling_handler,
            debug_flags: server.debug_flags_handler,
            split_streams: settings.gates.enabled(Gate::PodLogsQuerySplitStreams),
            websockets: settings.gates.enabled(Gate::ExtendWebSocketsToKubelet),
            checkpoints: settings.gates.enabled(Gate::ContainerCheckpoint),
            allocated_pods: settings.gates.enabled(Gate::KubeletAllocatedPodsEndpoint),
        },
        stream_idle: server.stream_idle,
        reviews: around.reviews.clone(),
        node: Arc::clone(&agent.api) as Arc<dyn NodeApi>,
        stats: Arc::clone(&agent.stats) as Arc<dyn NodeStats>,
        logs: Arc::clone(&around.logs),
        node_logs: Arc::new(linux::node_logs::LogDirectory::new(NODE_LOGS.into())),
        checks: around.checks.clone(),
        pages: pages(settings, &*around.clock),
        clock: Arc::clone(&around.clock),
        metrics: Arc::clone(&around.metrics),
    }
}

fn pages(settings: &Settings, clock: &dyn Clock) -> Pages {
    let mut config = serde_json::json!(&*settings.config);
    config["kind"] = "KubeletConfiguration".into();
    config["apiVersion"] = "kubelet.config.k8s.io/v1beta1".into();
    let verbosity = logging::verbosity();
    Pages {
        configz: serde_json::json!({ "kubeletconfig": config }).to_string().into(),
        flags: Arc::clone(&settings.flagz),
        started: clock.now().wall,
        version: settings.reported_version.trim_start_matches('v').to_owned(),
        set_verbosity: Arc::new(move |level| verbosity.set(level)),
    }
}
