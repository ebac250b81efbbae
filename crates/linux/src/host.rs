//! [`seams::Host`] on a real machine.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use lifecycle::PodUid;
use metrics::{Metrics, pods::CgroupOperation};
use node::{
    cgroup::{CgroupValues, CgroupVersion},
    qos::QosClass,
};
use seams::{
    Host, HostError,
    host::{FsUsage, MachineFacts, PodCgroup},
    runtime::CgroupDriver,
};
use tokio::time::Instant;

use crate::{
    cgroup::{CgroupTree, Layout, PodCgroups},
    facts::{self, Roots},
    mounts::{self, MountError, MountTable},
    usage,
};

/// How the machine is used.
#[derive(Clone, Debug)]
pub struct LinuxConfig {
    /// Cgroup driver: what the runtime reports, or `cgroupDriver`.
    pub cgroup_driver: CgroupDriver,
    /// `cgroupRoot`: has to exist, in every hierarchy; empty is `/`.
    pub cgroup_root: String,
    /// `cgroupsPerQOS`.
    pub pod_cgroups: PodCgroups,
    /// Kernel's filesystems.
    pub roots: Roots,
    /// Where operations on cgroups are timed.
    pub metrics: Arc<Metrics>,
}

impl Default for LinuxConfig {
    fn default() -> Self {
        Self {
            cgroup_driver: CgroupDriver::Cgroupfs,
            cgroup_root: String::new(),
            pod_cgroups: PodCgroups::PerQos,
            roots: Roots::default(),
            metrics: Metrics::new(),
        }
    }
}

/// The machine that this process runs on.
#[derive(Debug)]
pub struct LinuxHost {
    facts: MachineFacts,
    tree: CgroupTree,
    roots: Roots,
    metrics: Arc<Metrics>,
}

impl LinuxHost {
    /// Reads the facts and finds the cgroup hierarchies. Changes nothing.
    ///
    /// # Errors
    /// [`HostError`]: no cgroups, no such cgroup root, the systemd driver, or files that every machine has are
    /// unreadable.
    pub fn open(config: LinuxConfig) -> Result<Self, HostError> {
        let table = MountTable::read().map_err(|error| HostError::Unsupported(error.to_string()))?;
        Self::with_layout(config, Layout::of(&table)?)
    }

    /// Like [`Self::open`], on given hierarchies.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn with_layout(config: LinuxConfig, layout: Layout) -> Result<Self, HostError> {
        if config.cgroup_driver == CgroupDriver::Systemd && config.pod_cgroups == PodCgroups::PerQos {
            return Err(HostError::Unsupported(
                "the systemd cgroup driver is not supported yet; hint: set cgroupDriver: cgroupfs, and SystemdCgroup = \
                 false in the container runtime's configuration"
                    .to_owned(),
            ));
        }
        let tree = CgroupTree::open(layout, config.cgroup_driver, &config.cgroup_root, config.pod_cgroups)?;
        Ok(Self { facts: facts::read(&config.roots)?, tree, roots: config.roots, metrics: config.metrics })
    }

    /// Version of the hierarchies that hold the controllers; v1 is refused by `failCgroupV1`.
    #[must_use]
    pub fn cgroup_version(&self) -> CgroupVersion {
        self.tree.version()
    }

    /// Path of the group of all pods, for messages.
    #[must_use]
    pub fn kubepods_path(&self) -> String {
        self.tree.kubepods_path()
    }

    /// Reads what is used: by the machine, by pods, and by these groups of the system.
    #[must_use]
    pub fn meter(&self, system: usage::SystemGroups) -> usage::Meter {
        usage::Meter::new(&self.tree, &self.roots, system)
    }

    /// Path that a configured name of a system group means (`kubeletCgroups` and the like).
    #[must_use]
    pub fn system_group(&self, name: &str) -> String {
        self.tree.path_of(name)
    }

    /// Whether swap can be limited per container.
    #[must_use]
    pub fn swap_is_controlled(&self) -> bool {
        usage::swap_is_controlled(self.tree.layout(), &self.roots)
    }

    fn timed<T>(&self, operation: CgroupOperation, work: impl FnOnce() -> T) -> T {
        let began = Instant::now();
        let done = work();
        self.metrics.pods.cgroup_seconds.took(&operation, began.elapsed());
        done
    }

    /// Whether this process runs in a user namespace.
    #[must_use]
    pub fn in_user_namespace(&self) -> bool {
        facts::in_user_namespace(&self.roots)
    }
}

#[async_trait]
impl Host for LinuxHost {
    fn facts(&self) -> &MachineFacts {
        &self.facts
    }

    fn ensure_node_cgroups(&self, kubepods: &CgroupValues) -> Result<(), HostError> {
        self.timed(CgroupOperation::Update, || self.tree.ensure_node(kubepods))
    }

    fn set_qos_cgroup(&self, qos: QosClass, values: &CgroupValues) -> Result<(), HostError> {
        self.timed(CgroupOperation::Update, || self.tree.set_qos(qos, values))
    }

    fn ensure_pod_cgroup(&self, pod: &PodCgroup, values: &CgroupValues) -> Result<(), HostError> {
        let operation = match self.tree.has_pod(pod) {
            true => CgroupOperation::Update,
            false => CgroupOperation::Create,
        };
        self.timed(operation, || self.tree.ensure_pod(pod, values))
    }

    async fn remove_pod_cgroup(&self, uid: &PodUid) -> Result<(), HostError> {
        let began = Instant::now();
        let removed = self.tree.remove_pod(uid).await;
        self.metrics.pods.cgroup_seconds.took(&CgroupOperation::Destroy, began.elapsed());
        removed
    }

    fn list_pod_cgroups(&self) -> Result<Vec<PodUid>, HostError> {
        self.tree.pods()
    }

    fn cgroup_parent(&self, pod: &PodCgroup) -> String {
        self.tree.cgroup_parent(pod)
    }

    fn fs_usage(&self, path: &Path) -> Result<FsUsage, HostError> {
        usage::filesystem(path)
    }

    fn mounts_below(&self, directory: &Path) -> Result<Vec<PathBuf>, HostError> {
        mounts::mounts_below(directory).map_err(|error| match error {
            MountError::Table { table, cause } => {
                HostError::Path { operation: "read", path: table, source: cause }
            }
            other => HostError::Unsupported(other.to_string()),
        })
    }

    fn memory_available(&self) -> Result<u64, HostError> {
        usage::memory_available(self.tree.layout(), self.facts.memory_bytes)
    }

    fn process_count(&self) -> Result<(u64, u64), HostError> {
        usage::processes(&self.roots)
    }
}

#[cfg(test)]
mod tests;
