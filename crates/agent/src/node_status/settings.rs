//! What the operator set for the node side, and what follows from it together with the machine: capacity and addresses.

use std::{net::IpAddr, path::PathBuf, sync::Arc, time::Duration};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::NodeAddress;
use node::{
    addresses::{self, AddressChoice, AddressInputs, CloudProvider, HostNetwork},
    capacity::{self, NodeResources, Reservations},
    registration::Registration,
};

use crate::edges::Edges;

/// Reads the machine's interfaces and routes.
pub type ReadNetwork = Arc<dyn Fn() -> Result<HostNetwork, String> + Send + Sync>;

/// What a name stands for in the node's own resolver; `None` when it does not tell. May take as long as name servers are
/// silent, which is a minute and more: only where blocking is allowed.
pub type Resolve = Arc<dyn Fn(&str) -> Option<Vec<IpAddr>> + Send + Sync>;

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
    /// The node's own resolver.
    pub resolve: Resolve,
    /// Root directory: its filesystem is the node's ephemeral storage.
    pub root_dir: PathBuf,
    /// Where an upstream kubelet has its checkpoint of device plugins: the same place whatever the root directory is.
    pub device_plugins_dir: PathBuf,
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
    /// Path of the group of all pods; `None` when there is none (`cgroupsPerQOS` off).
    pub pods_group: Option<String>,
    /// `podCIDR`: counts without an API server only.
    pub pod_cidr: Option<String>,
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

    /// Whether the choice of addresses depends on what the hostname resolves to: only where none was given.
    #[must_use]
    pub fn wants_resolver(&self) -> bool {
        let given = self.node_ips.iter().any(|ip| !ip.is_unspecified());
        !given && self.registration.hostname.parse::<IpAddr>().is_err()
    }

    /// Chooses the node's addresses. `resolved` is what the hostname is known to stand for.
    pub fn addresses(&self, reported: &[NodeAddress], resolved: &[IpAddr]) -> Result<AddressChoice, String> {
        let network = (self.network)()?;
        let inputs = AddressInputs {
            node_name: &self.registration.node_name,
            hostname: &self.registration.hostname,
            node_ips: &self.node_ips,
            resolved,
            network: &network,
            cloud: self.cloud,
        };
        addresses::choose(&inputs, reported).map_err(|error| error.to_string())
    }
}
