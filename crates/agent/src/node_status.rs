//! The node object: registered once, then kept true (contract §2).
//!
//! Once a process: who deletes the object of a node whose kubelet runs wants it gone, and a node that comes back by itself
//! is taken out again and again. So upstream's kubelet leaves that to its next start, and so do we. Somebody else may
//! create the object: it is kept true like any other.
//!
//! ```text
//!   first object, kept for admission ─► register (create, or set right what exists)
//!     ─► every period, or when the runtime's health changes:
//!       facts ─► node::status::next ─► changed, or due? ─► PATCH
//! ```
//!
//! Without an API server the same object is computed and only kept, for admission and the downward API.
//!
//! The rounds are here; [`register`] has what comes before the first, [`compute`] what an object is computed from,
//! [`readiness`] the Ready condition, [`publish`] what others hear of it, [`devices`] what becomes of device plugins.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc, time::Duration};

use k8s_openapi::api::core::v1::Node;
use lifecycle::observation::NodeFacts;
use node::{
    conditions::{EventKind, NodeEvent},
    heartbeat::ReportClock,
    status::{self, Image, MachineIdentity},
};
use seams::{ApiError, Cluster, runtime::RuntimeVersion};
use tokio::{sync::watch, time::Instant};

use crate::{edges::Edges, events::EventSink, health::Health, observer::RuntimeHealth, resource_version};

mod compute;
mod devices;
mod known;
mod publish;
mod readiness;
mod register;
mod settings;
mod startup;

pub use devices::DeviceCheckpoint;
use known::Known;
use readiness::is_ready;
pub use settings::{NodeSettings, ReadNetwork, Resolve};
use startup::Startup;

/// Longest wait for the runtime's first answer: no pod is looked at meanwhile, so that it does not grow with the period of
/// reports. Upstream's default for that is as long.
const FIRST_ANSWER: Duration = Duration::from_secs(10);
/// Longest wait for the first word of the resolver, so that the first object has the address that later ones have. One
/// that works needs some milliseconds, or a second where the first name server is dead.
const FIRST_RESOLVED: Duration = Duration::from_secs(2);
/// Tries of one report.
const TRIES: usize = 5;

/// Where the task publishes, and what it follows.
#[derive(Debug)]
pub struct Channels {
    /// For workers.
    pub facts: watch::Sender<NodeFacts>,
    /// Allocatable by resource name, canonical quantities.
    pub allocatable: watch::Sender<BTreeMap<String, String>>,
    /// The node object, for admission.
    pub object: watch::Sender<Option<Arc<Node>>>,
    /// The runtime's health.
    pub runtime: watch::Receiver<RuntimeHealth>,
    /// Our own.
    pub health: Arc<Health>,
    /// What device plugins had registered.
    pub devices: Arc<DeviceCheckpoint>,
}

/// Runs for ever.
pub async fn run(edges: Edges, settings: NodeSettings, events: EventSink, channels: Channels) {
    let machine = edges.host.facts();
    let identity = MachineIdentity {
        machine_id: machine.machine_id.clone(),
        system_uuid: machine.system_uuid.clone(),
        boot_id: machine.boot_id.clone(),
        kernel_version: machine.kernel_version.clone(),
        os_image: machine.os_image.clone(),
        architecture: machine.architecture.to_owned(),
        swap_bytes: machine.swap_bytes,
        in_user_namespace: Some(false),
    };
    let (booted, started) = settings.began;
    let startup = Startup::new(Arc::clone(&edges.metrics), booted, started);
    let devices = Arc::clone(&channels.devices);
    let mut keeper = Keeper {
        startup,
        devices,
        edges,
        settings,
        events,
        channels,
        identity,
        clock: ReportClock::default(),
        version: Known::default(),
        told: None,
        cordoned: false,
        lost: None,
        images: Known::default(),
        resolved: Known::default(),
        node: None,
    };
    keeper.wait_for_runtime().await;
    keeper.refresh_resolved(FIRST_RESOLVED).await;
    keeper.publish_unregistered();
    if keeper.edges.cluster.is_some() && keeper.settings.register {
        keeper.register().await;
    }
    keeper.follow().await;
}

struct Keeper {
    startup: Startup,
    devices: Arc<DeviceCheckpoint>,
    edges: Edges,
    settings: NodeSettings,
    events: EventSink,
    channels: Channels,
    identity: MachineIdentity,
    clock: ReportClock,
    version: Known<RuntimeVersion>,
    images: Known<Vec<Image>>,
    /// What the hostname stands for.
    resolved: Known<Vec<IpAddr>>,
    /// Status and message of the Ready condition that the log has.
    told: Option<(String, String)>,
    /// Whether the node was unschedulable when that was last told: a kubelet starts from schedulable.
    cordoned: bool,
    /// The uid of the object that is gone, as the log has it.
    lost: Option<String>,
    /// As the API server last returned it; in standalone mode as last computed.
    node: Option<Node>,
}

impl Keeper {
    /// Waits for the first answer of the runtime, so that the first status is no spurious NotReady (contract §31).
    async fn wait_for_runtime(&mut self) {
        let known = self.channels.runtime.wait_for(|health| health.status.is_some());
        drop(tokio::time::timeout(self.settings.update_frequency.min(FIRST_ANSWER), known).await);
    }

    async fn follow(&mut self) {
        loop {
            let began = Instant::now();
            self.report().await;
            let next = began + self.settings.update_frequency;
            // A runtime that has been silent for too long is told at that moment, not a period later.
            let at = self.until_down().map_or(next, |left| next.min(Instant::now() + left));
            // Both arms are cancel-safe. A change of the runtime's health is reported at once.
            tokio::select! {
                () = tokio::time::sleep_until(at) => {}
                changed = self.channels.runtime.changed() => if changed.is_err() { return },
            }
        }
    }

    /// One round: compute, publish, and send if there is something to say.
    async fn report(&mut self) {
        let base = match (&self.edges.cluster, self.node.take()) {
            (Some(_), known) => match self.edges.cluster.as_ref().and_then(|c| c.node().borrow().clone()) {
                Some(watched) => newer(known, Node::clone(&watched)),
                None => known,
            },
            (None, known) => Some(known.unwrap_or_else(|| self.settings.registration.node())),
        };
        let Some(mut base) = base else { return self.adopt().await };
        for attempt in 0..TRIES {
            let (next, events) = self.computed(&base).await;
            self.publish(&next);
            self.tell_readiness(&next);
            let Some(cluster) = self.edges.cluster.clone() else {
                self.record(events);
                self.node = Some(next);
                return;
            };
            match self.send(&*cluster, &base, &next).await {
                Ok(node) => {
                    if is_ready(&node) {
                        self.startup.ready(self.edges.clock.now().wall);
                    }
                    self.record(events);
                    self.tell_cordoning(&node);
                    self.node = Some(node);
                    return;
                }
                Err(ApiError::NotFound(_)) => {
                    self.tell_lost(&base);
                    break;
                }
                Err(error) => {
                    if !matches!(error, ApiError::Unreachable { .. }) {
                        tracing::error!(%error, "Could not report the node's status; will try again");
                    } else if attempt > 0 {
                        // The connection at hand may lead to a server that answers its pings and nothing else. An answer
                        // that says no costs none.
                        cluster.reset_connections();
                    }
                    if let Ok(live) = cluster.get_node().await {
                        base = live;
                    }
                }
            }
        }
        self.node = Some(base);
    }

    /// Each loss is told once.
    fn tell_lost(&mut self, node: &Node) {
        let uid = node.metadata.uid.clone().unwrap_or_default();
        if self.lost.as_ref() == Some(&uid) {
            return;
        }
        self.lost = Some(uid);
        let name = &self.settings.registration.node_name;
        let hint = if self.settings.register {
            "restart the kubelet to register the node again"
        } else {
            "create the object again: registerNode is off"
        };
        tracing::error!(
            node = name,
            hint,
            "The node object is gone: nothing is scheduled here, and its pods will be deleted"
        );
    }

    /// Without registration the object may come later, from someone else.
    async fn adopt(&mut self) {
        if let Some(cluster) = self.edges.cluster.clone()
            && let Ok(node) = cluster.get_node().await
        {
            self.node = Some(node);
        }
    }

    async fn send(&mut self, cluster: &dyn Cluster, base: &Node, next: &Node) -> Result<Node, ApiError> {
        let now = self.edges.clock.now();
        let changed = status::has_changed(base, next);
        let Some(due) = self.clock.due(now.mono, changed, self.settings.report_frequency) else {
            return Ok(base.clone());
        };
        let node = match status::patch(base, next) {
            Some(patch) => cluster.patch_node_status(&patch).await?,
            None => base.clone(),
        };
        // Spreads forced reports of nodes that changed together; any cheap source will do.
        let random = f64::from(now.wall.subsec_nanosecond().unsigned_abs() % 1000) / 1000.0;
        self.clock = self.clock.reported(now.mono, due, random);
        Ok(node)
    }

    fn tell_cordoning(&mut self, node: &Node) {
        let name = &self.settings.registration.node_name;
        let event = status::schedulable_event(name, self.cordoned, node);
        self.cordoned = status::is_unschedulable(node);
        self.record(event.into_iter().collect());
    }

    fn record(&self, events: Vec<NodeEvent>) {
        for NodeEvent { kind, reason, message } in events {
            self.events.record_node(kind == EventKind::Warning, reason, message);
        }
    }
}

/// The newer of what we hold and what the watch shows.
fn newer(known: Option<Node>, watched: Node) -> Option<Node> {
    let version = |node: &Node| resource_version::number(&node.metadata);
    match known {
        Some(known) if known.metadata.uid == watched.metadata.uid && version(&known) > version(&watched) => {
            Some(known)
        }
        _ => Some(watched),
    }
}

#[cfg(test)]
mod tests;
