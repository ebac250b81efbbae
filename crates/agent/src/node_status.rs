//! The node object: registered once, then kept true (contract §2).
//!
//! ```text
//!   register (create, or set right what exists) ─► every period, or when the runtime's health changes:
//!       facts ─► node::status::next ─► changed, or due? ─► PATCH
//! ```
//!
//! Without an API server the same object is computed and only kept, for admission and the downward API.

use std::{collections::BTreeMap, net::IpAddr, path::PathBuf, sync::Arc, time::Duration};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, NodeAddress};
use lifecycle::observation::NodeFacts;
use node::{
    addresses::{self, AddressChoice, AddressInputs, CloudProvider, HostNetwork},
    capacity::{self, NodeResources, Reservations},
    conditions::{EventKind, NodeEvent, NotReady, Pressures, ReadyInputs},
    heartbeat::ReportClock,
    registration::{self, ExtendedResources, Registration},
    status::{self, Image, MachineIdentity, RuntimeHandler, RuntimeReport, StatusInputs},
};
use seams::{ApiError, Cluster, runtime::RuntimeVersion};
use tokio::{sync::watch, time::Instant};

use crate::{edges::Edges, events::EventSink, health::Health, observer::RuntimeHealth, resource_version};

mod known;
mod startup;

use known::Known;
use startup::Startup;

/// First and longest delay between tries to register.
const REGISTER_RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(7));
/// How long the runtime's version and the list of images are good for.
const VERSION_AGE: Duration = Duration::from_secs(60);
const IMAGES_AGE: Duration = Duration::from_secs(30);
/// Silence of the runtime after which the node is not ready (contract §2.2 "container runtime is down").
const RUNTIME_DOWN: Duration = Duration::from_secs(30);
/// Tries of one report.
const TRIES: usize = 5;

/// Reads the machine's interfaces and routes.
pub type ReadNetwork = Arc<dyn Fn() -> Result<HostNetwork, String> + Send + Sync>;

/// Settings of the node side.
#[derive(Clone)]
pub struct NodeSettings {
    /// What the node object is made from.
    pub registration: Registration,
    /// `registerNode`.
    pub register: bool,
    /// `--node-ip`, at most two.
    pub node_ips: Vec<IpAddr>,
    /// Whether an external cloud provider sets addresses.
    pub cloud: CloudProvider,
    /// Interfaces and routes.
    pub network: ReadNetwork,
    /// Root directory: its filesystem is the node's ephemeral storage.
    pub root_dir: PathBuf,
    /// `localStorageCapacityIsolation`.
    pub local_storage: bool,
    /// `maxPods`.
    pub max_pods: u32,
    /// `podsPerCore`.
    pub pods_per_core: u32,
    /// What is kept from pods.
    pub reservations: Reservations,
    /// Whether `kubepods` is limited to allocatable (`enforceNodeAllocatable` has `pods`).
    pub enforce_pods: bool,
    /// Version that the node reports, `v1.37.2`.
    pub kubelet_version: String,
    /// Serving port.
    pub port: u16,
    /// `nodeStatusMaxImages`, -1 for all.
    pub max_images: i32,
    /// Features that the scheduler must know of (`status.declaredFeatures`), sorted.
    pub declared_features: Vec<&'static str>,
    /// `nodeStatusUpdateFrequency`.
    pub update_frequency: Duration,
    /// `nodeStatusReportFrequency`.
    pub report_frequency: Duration,
    /// `nodeLeaseDurationSeconds`.
    pub lease_duration: Duration,
    /// When the machine was booted, and this process started; `None`: not known.
    pub began: (Option<Timestamp>, Option<Timestamp>),
}

impl std::fmt::Debug for NodeSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NodeSettings").field("registration", &self.registration).finish_non_exhaustive()
    }
}

impl NodeSettings {
    /// Capacity and what follows from it. Disk size is read anew each time: filesystems grow.
    #[must_use]
    pub fn resources(&self, edges: &Edges) -> NodeResources {
        let machine = edges.host.facts();
        let disk = edges.host.fs_usage(&self.root_dir);
        if let Err(error) = &disk {
            tracing::warn!(%error, "Cannot read the size of the node's filesystem");
        }
        let facts = capacity::NodeFacts {
            cpus: machine.cpus,
            memory_bytes: machine.memory_bytes,
            ephemeral_storage_bytes: disk
                .ok()
                .map(|usage| usage.capacity_bytes)
                .filter(|_| self.local_storage),
            hugepages: machine.hugepages.clone(),
            max_pids: edges.host.process_count().ok().map(|(_, max)| max),
            max_pods: self.max_pods,
            pods_per_core: self.pods_per_core,
        };
        NodeResources::of(&facts, &self.reservations)
    }

    /// Chooses the node's addresses.
    pub fn addresses(&self, reported: &[NodeAddress]) -> Result<AddressChoice, String> {
        let network = (self.network)()?;
        // Asking a resolver may take long, and its answer counts only where no address was given.
        let given = self.node_ips.iter().any(|ip| !ip.is_unspecified());
        let resolved = if given { Vec::new() } else { resolve(&self.registration.hostname) };
        let inputs = AddressInputs {
            node_name: &self.registration.node_name,
            hostname: &self.registration.hostname,
            node_ips: &self.node_ips,
            resolved: &resolved,
            network: &network,
            cloud: self.cloud,
        };
        addresses::choose(&inputs, reported).map_err(|error| error.to_string())
    }
}

/// What the name stands for in the node's own resolver; only asked when no address was given.
fn resolve(hostname: &str) -> Vec<IpAddr> {
    use std::net::ToSocketAddrs;
    (hostname, 0)
        .to_socket_addrs()
        .map(|found| found.map(|address| address.ip()).collect())
        .unwrap_or_default()
}

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
    let mut keeper = Keeper {
        startup,
        edges,
        settings,
        events,
        channels,
        identity,
        clock: ReportClock::default(),
        version: Known::default(),
        told: None,
        images: Known::default(),
        node: None,
    };
    keeper.publish_runtime().await;
    if keeper.edges.cluster.is_some() && keeper.settings.register {
        keeper.register().await;
    }
    keeper.follow().await;
}

struct Keeper {
    startup: Startup,
    edges: Edges,
    settings: NodeSettings,
    events: EventSink,
    channels: Channels,
    identity: MachineIdentity,
    clock: ReportClock,
    version: Known<RuntimeVersion>,
    images: Known<Vec<Image>>,
    /// Status and message of the Ready condition that the log has.
    told: Option<(String, String)>,
    /// As the API server last returned it; in standalone mode as last computed.
    node: Option<Node>,
}

impl Keeper {
    /// Waits for the first answer of the runtime, so that the first status is no spurious NotReady (contract §31).
    async fn publish_runtime(&mut self) {
        let known = self.channels.runtime.wait_for(|health| health.status.is_some());
        drop(tokio::time::timeout(self.settings.update_frequency, known).await);
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

    /// Time until the runtime counts as down if it stays silent; `None` when it does already.
    fn until_down(&self) -> Option<Duration> {
        let good_at = self.channels.runtime.borrow().good_at?;
        let now = self.edges.clock.now().mono;
        good_at.saturating_add(RUNTIME_DOWN).checked_sub(now).filter(|left| !left.is_zero())
    }

    /// Creates the node object, or sets right the one that exists. Tries for ever.
    async fn register(&mut self) {
        let Some(cluster) = self.edges.cluster.clone() else { return };
        let mut delay = REGISTER_RETRY.0;
        loop {
            match self.try_register(&*cluster).await {
                Ok(node) => {
                    tracing::info!(node = self.settings.registration.node_name, "Node is registered");
                    self.node = Some(node);
                    return;
                }
                // Told by the edge, once for all.
                Err(ApiError::Unreachable { .. }) => {}
                Err(error) => {
                    let node = &self.settings.registration.node_name;
                    tracing::error!(node, %error, "Unable to register the node with the API server; will try again");
                }
            }
            tokio::time::sleep(delay).await;
            delay = (delay * 2).min(REGISTER_RETRY.1);
        }
    }

    async fn try_register(&mut self, cluster: &dyn Cluster) -> Result<Node, ApiError> {
        let (fresh, _) = self.computed(&self.settings.registration.node()).await;
        self.publish_facts(&fresh);
        self.startup.attempt(self.edges.clock.now().wall);
        match cluster.create_node(&fresh).await {
            Ok(node) => {
                self.startup.registered(self.edges.clock.now().wall);
                return Ok(node);
            }
            Err(ApiError::Conflict { .. } | ApiError::Forbidden(_)) => {}
            Err(error) => return Err(error),
        }
        let existing = cluster.get_node().await?;
        match registration::reconciled(&existing, &fresh, ExtendedResources::Keep) {
            Some(wanted) => match status::patch(&existing, &wanted) {
                Some(patch) => cluster.patch_node_status(&patch).await,
                None => Ok(existing),
            },
            None => Ok(existing),
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
                    self.node = Some(node);
                    return;
                }
                Err(ApiError::NotFound(_)) if self.settings.register => {
                    tracing::warn!("The node object is gone; registering again");
                    return self.register().await;
                }
                Err(error) => {
                    if !matches!(error, ApiError::Unreachable { .. }) {
                        tracing::error!(%error, "Could not report the node's status; will try again");
                    }
                    if attempt > 0 {
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

    async fn computed(&mut self, base: &Node) -> (Node, Vec<NodeEvent>) {
        let reported =
            base.status.as_ref().and_then(|status| status.addresses.as_deref()).unwrap_or_default();
        let addresses = self.settings.addresses(reported);
        if let Err(error) = &addresses {
            tracing::error!(error, "Cannot choose the node's address");
        }
        let resources = self.settings.resources(&self.edges);
        let runtime = self.runtime_report().await;
        let images = self.images().await;
        let ready = self.ready_inputs();
        let inputs = StatusInputs {
            node_name: &self.settings.registration.node_name,
            addresses: addresses.as_ref().ok(),
            machine: &self.identity,
            resources: &resources,
            runtime: &runtime,
            kubelet_version: &self.settings.kubelet_version,
            port: self.settings.port,
            images: images.as_deref(),
            max_images: self.settings.max_images,
            declared_features: &self.settings.declared_features,
            volumes_in_use: None,
            pressures: Pressures::default(),
            ready: &ready,
        };
        status::next(base, &inputs, self.edges.clock.now().wall)
    }

    /// What pods need to know of the node. It does not wait for the registration: static pods do not either.
    fn publish_facts(&self, node: &Node) {
        let status = node.status.as_ref();
        let ips: Vec<String> = status
            .and_then(|status| status.addresses.as_ref())
            .into_iter()
            .flatten()
            .filter(|address| address.type_ == "InternalIP")
            .map(|address| address.address.clone())
            .collect();
        let runtime = self.version.newest().map(|version| version.name.clone());
        self.channels.facts.send_if_modified(|facts| {
            let before = facts.clone();
            if !ips.is_empty() {
                facts.host_ips.clone_from(&ips);
            }
            if let Some(name) = runtime {
                facts.runtime_name = name;
            }
            if let Some(status) = &self.channels.runtime.borrow().status {
                let handlers = status.handlers.iter().filter(|handler| handler.recursive_read_only_mounts);
                facts.recursive_read_only = handlers.map(|handler| handler.name.clone()).collect();
            }
            *facts != before
        });
    }

    fn publish(&self, node: &Node) {
        self.publish_facts(node);
        let status = node.status.as_ref();
        let allocatable: BTreeMap<String, String> = status
            .and_then(|status| status.allocatable.as_ref())
            .into_iter()
            .flatten()
            .map(|(name, amount)| (name.clone(), amount.0.clone()))
            .collect();
        self.channels.allocatable.send_if_modified(|known| {
            let changed = *known != allocatable;
            *known = allocatable;
            changed
        });
        self.channels.object.send_replace(Some(Arc::new(node.clone())));
    }

    /// The event of a change does not say why; the log does.
    fn tell_readiness(&mut self, node: &Node) {
        let conditions = node.status.iter().flat_map(|status| status.conditions.iter().flatten());
        let Some(ready) = conditions.into_iter().find(|condition| condition.type_ == "Ready") else { return };
        let told = (ready.status.clone(), ready.message.clone().unwrap_or_default());
        if self.told.as_ref().is_some_and(|before| before.0 == told.0) && told.0 == "True" {
            return;
        }
        if self.told.as_ref() != Some(&told) {
            match told.0.as_str() {
                "True" => tracing::info!("The node is ready"),
                _ => tracing::error!(why = told.1, "The node is not ready"),
            }
            self.told = Some(told);
        }
    }

    fn record(&self, events: Vec<NodeEvent>) {
        for NodeEvent { kind, reason, message } in events {
            self.events.record_node(kind == EventKind::Warning, reason, message);
        }
    }

    fn ready_inputs(&self) -> ReadyInputs {
        let now = self.edges.clock.now().mono;
        let relist = self.channels.health.relist_problem();
        let problems = runtime_problems(&self.channels.runtime.borrow(), relist, now);
        ReadyInputs { problems, warnings: Vec::new(), local_storage: self.settings.local_storage }
    }

    async fn runtime_report(&mut self) -> RuntimeReport {
        let runtime = Arc::clone(&self.edges.runtime);
        self.version.refresh(VERSION_AGE, async move { runtime.version().await.ok() }).await;
        let version = self.version.newest();
        let status = self.channels.runtime.borrow().status.clone();
        let handlers = status.iter().flat_map(|status| &status.handlers).map(|handler| RuntimeHandler {
            name: handler.name.clone(),
            recursive_read_only_mounts: handler.recursive_read_only_mounts,
            user_namespaces: handler.user_namespaces,
        });
        RuntimeReport {
            name: version.map(|version| version.name.clone()).unwrap_or_default(),
            version: version.map(|version| version.version.clone()),
            handlers: handlers.collect(),
            supplemental_groups_policy: status.as_ref().map(|status| status.supplemental_groups_policy),
        }
    }

    async fn images(&mut self) -> Option<Vec<Image>> {
        let runtime = Arc::clone(&self.edges.runtime);
        let ask = async move {
            let images = runtime.list_images().await.ok()?.into_iter().map(|image| Image {
                id: image.id,
                repo_digests: image.repo_digests,
                repo_tags: image.repo_tags,
                size_bytes: image.size,
            });
            Some(images.collect())
        };
        self.images.refresh(IMAGES_AGE, ask).await;
        self.images.newest().cloned()
    }
}

fn is_ready(node: &Node) -> bool {
    let conditions = node.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
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

/// Upstream's order: silence, the list of pods, what the runtime says about itself, about its network.
fn runtime_problems(runtime: &RuntimeHealth, relist: Option<NotReady>, now: Duration) -> Vec<NotReady> {
    let mut problems = Vec::new();
    match runtime.good_at {
        None => problems.push(NotReady::RuntimeUnchecked),
        Some(good_at) if now.saturating_sub(good_at) >= RUNTIME_DOWN => problems.push(NotReady::RuntimeDown),
        Some(_) => {}
    }
    problems.extend(relist);
    let Some(status) = &runtime.status else {
        problems.push(NotReady::NetworkUnknown);
        return problems;
    };
    match &status.runtime_ready {
        Some(condition) if condition.ready => {}
        Some(condition) => problems.push(NotReady::RuntimeNotReady(condition.clone())),
        None => problems.push(NotReady::RuntimeDown),
    }
    match &status.network_ready {
        Some(condition) if condition.ready => {}
        Some(condition) => problems.push(NotReady::NetworkNotReady(condition.clone())),
        None => problems.push(NotReady::NetworkUnknown),
    }
    problems
}

#[cfg(test)]
mod tests;
