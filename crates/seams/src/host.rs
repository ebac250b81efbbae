//! The machine: cgroups, facts, usage, mounts.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use lifecycle::PodUid;
pub use node::cgroup::CgroupValues;

/// A failed operation on the machine.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// A file or directory operation.
    #[error("{operation} {path}: {source}")]
    Path {
        /// What was tried, as a verb: `write`, `create`, `remove`.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// System's answer.
        source: std::io::Error,
    },
    /// Something on the machine is not as it has to be.
    #[error("{0}")]
    Unsupported(String),
}

/// Facts that do not change while the machine runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MachineFacts {
    /// Logical CPUs that are online.
    pub cpus: u32,
    /// Bytes of memory (`MemTotal`).
    pub memory_bytes: u64,
    /// Bytes of swap.
    pub swap_bytes: u64,
    /// `/etc/machine-id`.
    pub machine_id: String,
    /// DMI product uuid, or the machine id.
    pub system_uuid: String,
    /// Kernel's boot id.
    pub boot_id: String,
    /// `uname -r`.
    pub kernel_version: String,
    /// `PRETTY_NAME` of os-release.
    pub os_image: String,
    /// Kubernetes' name of the architecture: `amd64`.
    pub architecture: &'static str,
    /// (page size in bytes, pages) per size.
    pub hugepages: Vec<(u64, u64)>,
}

/// Use of the filesystem below a path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FsUsage {
    /// Bytes.
    pub capacity_bytes: u64,
    /// Bytes free to unprivileged users.
    pub available_bytes: u64,
    /// Bytes used: not the difference of the two, since some are kept for root.
    pub used_bytes: u64,
    /// Inodes.
    pub inodes: u64,
    /// Free inodes.
    pub inodes_free: u64,
}

/// Names of one pod's place in the hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodCgroup {
    /// Uid.
    pub uid: PodUid,
    /// QoS class.
    pub qos: node::qos::QosClass,
}

/// The machine. Cgroup methods block on kernel files only and are quick; the rest says so.
#[async_trait]
pub trait Host: Send + Sync + 'static {
    /// Facts, read once.
    fn facts(&self) -> &MachineFacts;
    /// Makes `kubepods` and the QoS groups and applies the node's limits to `kubepods`.
    fn ensure_node_cgroups(&self, kubepods: &CgroupValues) -> Result<(), HostError>;
    /// Applies values to a QoS group (burstable shares).
    fn set_qos_cgroup(&self, qos: node::qos::QosClass, values: &CgroupValues) -> Result<(), HostError>;
    /// Makes or updates a pod's cgroup.
    fn ensure_pod_cgroup(&self, pod: &PodCgroup, values: &CgroupValues) -> Result<(), HostError>;
    /// Kills what is left in a pod's cgroup and removes it, whatever QoS group it is in; idempotent.
    async fn remove_pod_cgroup(&self, uid: &PodUid) -> Result<(), HostError>;
    /// Uids that have a cgroup.
    fn list_pod_cgroups(&self) -> Result<Vec<PodUid>, HostError>;
    /// CRI `cgroup_parent` of a pod: path with cgroupfs, slice with systemd.
    fn cgroup_parent(&self, pod: &PodCgroup) -> String;
    /// Usage of the filesystem that holds a path.
    fn fs_usage(&self, path: &Path) -> Result<FsUsage, HostError>;
    /// What is mounted at and below a directory, the newest first. Compared as text: an absolute path without links.
    fn mounts_below(&self, directory: &Path) -> Result<Vec<PathBuf>, HostError>;
    /// Bytes available before the node runs out: capacity − working set of the root cgroup.
    fn memory_available(&self) -> Result<u64, HostError>;
    /// (running processes, maximum).
    fn process_count(&self) -> Result<(u64, u64), HostError>;
}
