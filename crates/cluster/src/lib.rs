//! The Kubernetes API: transport, watches, patches, node, lease, tokens, events.
//!
//! [`ApiCluster`] implements [`seams::Cluster`] and [`seams::Objects`] over one API server. Long-lived tasks, all of
//! them ended when the value is dropped:
//!
//! | task | began by | ends |
//! |---|---|---|
//! | pods | [`seams::Cluster::pods`] | when its receiver is dropped |
//! | node | first [`seams::Cluster::node`] | with the value |
//! | services | first [`seams::Objects::services`] | with the value |
//! | one per config map or secret | first registered pod that refers to it | with the last one, or when it is immutable |
//! | credential files | [`ApiCluster::start`] | with the value |
//! | dialler, one for each transport | a request that no connection has a place for | when nobody waits for a connection any more |
//! | connection drivers | a dial | with the connection |

mod api;
mod calls;
mod counts;
mod feeds;
mod kubeconfig;
mod limit;
mod objects;
mod reviews;
mod shrink;
mod transport;
mod watch;

use std::{collections::HashMap, sync::Arc, time::Duration};

use http::HeaderValue;
use k8s_openapi::api::{core::v1::Node, node::v1::RuntimeClass};
use lifecycle::spec::service_env::ServiceMap;
use metrics::Metrics;
use parking_lot::Mutex;
use seams::Clock;
use tokio::{
    sync::{mpsc, watch as channel},
    time::Instant,
};
use tokio_util::sync::{CancellationToken, DropGuard};

pub use kubeconfig::{Access, KubeconfigError};
pub use limit::RateLimit;
pub use objects::ChangeDetection;

use api::Api;
use counts::Counts;
use objects::Store;
use transport::{Reach, Transport};
use watch::Streaming;

/// Deadline of ordinary calls. Upstream has none; a call that takes longer than this is better made again.
const CALL_DEADLINE: Duration = Duration::from_secs(30);
/// How often credential files are looked at while connections last.
const LOOK_AT_FILES: Duration = Duration::from_mins(1);

/// What an [`ApiCluster`] is made from.
pub struct ApiOptions {
    /// Server and credentials.
    pub access: Access,
    /// Name of this node, as registered.
    pub node_name: String,
    /// `kubeAPIQPS`, `kubeAPIBurst`.
    pub rate_limit: RateLimit,
    /// Longest heartbeat call: the shorter of `nodeStatusUpdateFrequency` and `nodeLeaseDurationSeconds`.
    pub heartbeat_timeout: Duration,
    /// `configMapAndSecretChangeDetectionStrategy`.
    pub change_detection: ChangeDetection,
    /// Version of Kubernetes that this kubelet stands for, for the User-Agent: `v1.37.2`.
    pub kubelet_version: String,
    /// Wall clock, for the validity of certificates.
    pub clock: Arc<dyn Clock>,
    /// Where requests are counted.
    pub metrics: Arc<Metrics>,
}

/// The API server, as a kubelet uses it.
pub struct ApiCluster {
    node_name: String,
    main: Arc<Api>,
    events: Arc<Api>,
    heartbeat: Arc<Api>,
    streaming: Arc<Streaming>,
    store: Arc<Store>,
    node: Mutex<Option<channel::Receiver<Option<Arc<Node>>>>>,
    services: Mutex<Option<channel::Receiver<Option<Arc<ServiceMap>>>>>,
    changes: Mutex<Option<mpsc::Receiver<String>>>,
    runtime_classes: Mutex<HashMap<String, (Instant, Arc<RuntimeClass>)>>,
    stop: CancellationToken,
    _stop_on_drop: DropGuard,
}

impl ApiCluster {
    /// Prepares the clients and starts the task that looks after credential files. Makes no connection yet; must be
    /// called within a tokio runtime.
    #[must_use]
    pub fn start(options: ApiOptions) -> Self {
        let access = Arc::new(options.access);
        let agent = user_agent(&options.kubelet_version);
        let reach = Arc::new(Reach::default());
        let transport =
            |agent: HeaderValue| Arc::new(Transport::new(Arc::clone(&access), agent, Arc::clone(&reach)));
        let shared = transport(agent.clone());
        let beating = transport(agent);
        let counts = Counts::new(options.metrics, &access.server().authority);
        let limiter = options.rate_limit.bucket();
        let main = Arc::new(Api::new(Arc::clone(&shared), limiter, CALL_DEADLINE, counts.clone()));
        // Over the connection of the other calls, but not in their queue: the agent paces its events by rates of their own.
        let events = Arc::new(Api::new(Arc::clone(&shared), None, CALL_DEADLINE, counts.clone()));
        let heartbeat = Arc::new(Api::new(Arc::clone(&beating), None, options.heartbeat_timeout, counts));
        let streaming = Arc::new(Streaming::default());
        let stop = CancellationToken::new();
        let (store, changes) =
            Store::new(Arc::clone(&main), Arc::clone(&streaming), options.change_detection, stop.clone());
        let files = look_after_files(access, [shared, beating], options.clock);
        tokio::spawn(stop.clone().run_until_cancelled_owned(files));
        Self {
            node_name: options.node_name,
            main,
            events,
            heartbeat,
            streaming,
            store,
            node: Mutex::default(),
            services: Mutex::default(),
            changes: Mutex::new(Some(changes)),
            runtime_classes: Mutex::default(),
            _stop_on_drop: stop.clone().drop_guard(),
            stop,
        }
    }
}

impl Drop for ApiCluster {
    fn drop(&mut self) {
        // Drivers of connections end with them; tasks end by the guard.
        self.main.transport().reset();
        self.heartbeat.transport().reset();
    }
}

/// Makes connections anew when certificate files changed, and says once when the client certificate has ended.
async fn look_after_files(access: Arc<Access>, transports: [Arc<Transport>; 2], clock: Arc<dyn Clock>) {
    let mut told = false;
    loop {
        match access.check_client_certificate(clock.now().wall) {
            Ok(()) => told = false,
            Err(error) if !told => {
                tracing::error!("{}", error.told());
                told = true;
            }
            Err(_) => {}
        }
        tokio::time::sleep(LOOK_AT_FILES).await;
        for transport in &transports {
            if transport.reset_if_rotated() {
                tracing::info!(
                    "credential files of the kubeconfig changed; connecting again with the new ones"
                );
            }
        }
    }
}

/// `kubelet/v1.37.2 (linux/amd64) kubelet-rs/0.1.0`.
fn user_agent(version: &str) -> HeaderValue {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "powerpc64" => "ppc64le",
        other => other,
    };
    let text = format!("kubelet/{version} (linux/{architecture}) kubelet-rs/{}", env!("CARGO_PKG_VERSION"));
    HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("kubelet"))
}

#[cfg(test)]
mod stub;
#[cfg(test)]
mod tests;
