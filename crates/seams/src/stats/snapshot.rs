//! A reading with names and rates.

use std::sync::Arc;

use jiff::Timestamp;
use lifecycle::PodUid;

use super::{DiskUse, Filesystem, GroupReading, Interface};
use crate::host::{FsUsage, MachineFacts};

/// A group and how fast it uses CPU.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GroupUse {
    /// What was read.
    pub reading: GroupReading,
    /// Billionths of a CPU, between this reading and an earlier one; `None` when there was none.
    pub nano_cores: Option<u64>,
}

/// A group of the system that has a name.
#[derive(Clone, Debug, PartialEq)]
pub struct SystemGroup {
    /// `pods`, `kubelet`, `runtime` or `misc`.
    pub name: &'static str,
    /// Its figures.
    pub group: GroupUse,
}

/// A running container.
#[derive(Clone, Debug, PartialEq)]
pub struct ContainerUse {
    /// Runtime's id.
    pub id: Arc<str>,
    /// Name in the spec; empty for a sandbox.
    pub name: String,
    /// Image as a full reference.
    pub image: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// Its figures.
    pub group: GroupUse,
}

/// A pod.
#[derive(Clone, Debug, PartialEq)]
pub struct PodUse {
    /// Uid.
    pub uid: PodUid,
    /// Namespace; empty while nobody knows the pod but its group.
    pub namespace: String,
    /// Name; likewise.
    pub name: String,
    /// When its sandbox was made.
    pub started_at: Option<Timestamp>,
    /// Figures of the pod's group.
    pub group: GroupUse,
    /// Sandboxes that run: one, but for a moment when it is replaced.
    pub sandboxes: Vec<ContainerUse>,
    /// Containers that run, by name.
    pub containers: Vec<ContainerUse>,
    /// Interfaces; `None` with the node's network.
    pub network: Option<Vec<Interface>>,
}

/// The machine.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MachineUse {
    /// What does not change.
    pub facts: MachineFacts,
    /// Cores, and sockets that they are in.
    pub processors: (u64, u64),
}

/// The node.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NodeUse {
    /// Name.
    pub name: String,
    /// When the machine was started.
    pub booted_at: Option<Timestamp>,
    /// Figures of the root group.
    pub group: GroupUse,
    /// Interfaces.
    pub network: Vec<Interface>,
    /// (threads of the machine, most).
    pub tasks: Option<(u64, u64)>,
    /// Bytes of memory that pods can use: all of it but huge pages.
    pub memory_bytes: u64,
    /// Bytes of swap.
    pub swap_bytes: u64,
}

/// The node, its groups and its pods at one time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// Something runs whose name the runtime did not tell: it is left out.
    pub incomplete: bool,
    /// The node.
    pub node: NodeUse,
    /// Groups that have names, `pods` first.
    pub system: Vec<SystemGroup>,
    /// The QoS groups.
    pub qos: Vec<GroupUse>,
    /// Pods, in order of namespace and name.
    pub pods: Vec<PodUse>,
}

/// What `/stats/summary` tells.
#[derive(Clone, Debug)]
pub struct Summary {
    /// CPU, memory, network.
    pub snapshot: Arc<Snapshot>,
    /// Disks, if they were wanted.
    pub disk: Option<DiskUse>,
}

/// What `/metrics/cadvisor` tells.
#[derive(Clone, Debug)]
pub struct Detailed {
    /// Groups.
    pub snapshot: Arc<Snapshot>,
    /// The machine.
    pub machine: Arc<MachineUse>,
    /// File systems, with their use where they answer.
    pub filesystems: Vec<(Filesystem, Option<FsUsage>)>,
}
