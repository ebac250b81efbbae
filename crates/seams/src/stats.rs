//! What the machine, its pods and their containers use.
//!
//! ```text
//!   Meters (the kernel)                  ┐
//!   RuntimeMeters (names, layers)        ├─▶ the agent: names, rates, sharing ─▶ NodeStats ─▶ pages of the API
//!   VolumePlaces (where volumes are)     ┘
//! ```
//!
//! Nothing here is polled: a reading is made when somebody asks, and shared by all who ask at that time. A figure that
//! is not there is `None`, never 0: the kernel may lack it, or its group may have gone while it was read.

mod disk;
mod group;
mod snapshot;

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use lifecycle::PodUid;

use crate::{HostError, RuntimeError};

pub use disk::{
    Amount, ContainerDisk, DiskCounters, DiskUse, Figure, Filesystem, LogUse, PodDisk, Space, Target,
};
pub use group::{
    Cpu, CpuLimits, Depth, DeviceIo, Faults, GroupReading, Interface, Limits, Memory, MemoryDetail,
    PodReading, Pressure, Pressures, Processes, Stall, Swap, Tasks, Throttling, Traffic, TreeReading,
};
pub use snapshot::{
    ContainerUse, Detailed, GroupUse, MachineUse, NodeUse, PodUse, Snapshot, Summary, SystemGroup,
};

/// The kernel's figures.
pub trait Meters: Send + Sync + 'static {
    /// Reads the root group, the groups of all pods and what is in them, and the configured system groups, in one pass.
    /// Foreign groups are not looked at. Blocks on kernel files only.
    ///
    /// # Errors
    /// [`HostError`] when not even the root group can be read.
    fn read(&self, depth: Depth) -> Result<TreeReading, HostError>;
    /// Measures disk use. Blocks for as long as the file system does, which may be for ever.
    ///
    /// # Errors
    /// [`HostError::Path`].
    fn measure(&self, target: &Target) -> Result<Figure, HostError>;
    /// File systems on block devices, each once, with what their devices did. Asks no file system anything.
    fn filesystems(&self) -> Vec<Filesystem>;
    /// (physical cores, sockets).
    fn processors(&self) -> (u64, u64);
}

/// What a container or sandbox in the runtime is, by its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// Runtime's id; also the name of its cgroup.
    pub id: Arc<str>,
    /// Name of the container; `None` for a sandbox.
    pub container: Option<String>,
    /// Uid of the pod.
    pub uid: PodUid,
    /// Namespace of the pod.
    pub namespace: String,
    /// Name of the pod.
    pub pod: String,
    /// Image as it was asked for; empty for a sandbox.
    pub image: String,
    /// When it was made.
    pub created_at: Timestamp,
}

/// What a container wrote over its image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// Id of the container.
    pub container: String,
    /// Where the file system that holds the layer is mounted.
    pub mountpoint: String,
    /// How much.
    pub amount: Amount,
    /// When the runtime measured it.
    pub at: Timestamp,
}

/// What only the runtime knows.
#[async_trait]
pub trait RuntimeMeters: Send + Sync + 'static {
    /// All containers and sandboxes that carry our labels.
    async fn named(&self) -> Result<Vec<Named>, RuntimeError>;
    /// Image of a sandbox; empty when the runtime does not tell.
    async fn sandbox_image(&self, id: &str) -> Result<String, RuntimeError>;
    /// Writable layers of all containers.
    async fn layers(&self) -> Result<Vec<Layer>, RuntimeError>;
}

/// A volume whose disk use can be measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumePlace {
    /// Name in the pod's spec.
    pub name: String,
    /// How and where.
    pub target: Target,
    /// It counts as ephemeral storage of the pod.
    pub ephemeral: bool,
}

/// Where volumes are.
pub trait VolumePlaces: Send + Sync + 'static {
    /// Volumes of a pod that are measured, in the order of its spec. Those that are not (`hostPath`) are left out.
    fn places(&self, pod: &Pod) -> Vec<VolumePlace>;
}

/// Why there are no figures.
#[derive(Debug, thiserror::Error)]
pub enum StatsError {
    /// The kernel's files.
    #[error("cannot read the cgroups of the node")]
    Host(#[source] HostError),
    /// The thread that read them died.
    #[error("reading the cgroups of the node was broken off")]
    BrokenOff,
}

/// Whether disk use is wanted too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disk {
    /// It is.
    Wanted,
    /// It is not: `only_cpu_and_memory`.
    Skipped,
}

/// The figures, as the API sees them. Askers of one moment get one reading.
#[async_trait]
pub trait NodeStats: Send + Sync + 'static {
    /// For `/metrics/resource`.
    async fn resource(&self) -> Result<Arc<Snapshot>, StatsError>;
    /// For `/stats/summary`.
    async fn summary(&self, disk: Disk) -> Result<Summary, StatsError>;
    /// For `/metrics/cadvisor`.
    async fn detailed(&self) -> Result<Detailed, StatsError>;
    /// For `/metrics`: logs of running containers. Those on a disk that does not answer are left out, or are what they were
    /// when it did.
    async fn logs(&self) -> Vec<LogUse>;
}
