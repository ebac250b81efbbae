//! A machine of two processors on which everything succeeds, and volumes that are there at once.

use std::{collections::BTreeMap, path::Path, path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use k8s_openapi::api::core::v1::Pod;
use lifecycle::{
    PodUid,
    spec::env::{EnvFile, EnvFileFailure},
};
use node::{cgroup::CgroupValues, qos::QosClass};
use seams::{
    Host, HostError, Volumes,
    host::{FsUsage, MachineFacts, PodCgroup},
    volumes::{MountedVolume, VolumeContext, VolumeError},
};

/// The machine.
#[derive(Debug)]
pub struct FakeHost {
    facts: MachineFacts,
    mounts: Vec<PathBuf>,
}

impl FakeHost {
    /// With something mounted at each of these.
    #[must_use]
    pub fn with_mounts(mounts: Vec<PathBuf>) -> Self {
        Self { mounts, ..Self::default() }
    }
}

impl Default for FakeHost {
    fn default() -> Self {
        let facts = MachineFacts {
            cpus: 2,
            memory_bytes: 4 << 30,
            boot_id: "boot".to_owned(),
            kernel_version: "6.1.0".to_owned(),
            architecture: "amd64",
            ..MachineFacts::default()
        };
        Self { facts, mounts: Vec::new() }
    }
}

#[async_trait]
impl Host for FakeHost {
    fn facts(&self) -> &MachineFacts {
        &self.facts
    }
    fn ensure_node_cgroups(&self, _: &CgroupValues) -> Result<(), HostError> {
        Ok(())
    }
    fn set_qos_cgroup(&self, _: QosClass, _: &CgroupValues) -> Result<(), HostError> {
        Ok(())
    }
    fn ensure_pod_cgroup(&self, _: &PodCgroup, _: &CgroupValues) -> Result<(), HostError> {
        Ok(())
    }
    async fn remove_pod_cgroup(&self, _: &PodUid) -> Result<(), HostError> {
        Ok(())
    }
    fn list_pod_cgroups(&self) -> Result<Vec<PodUid>, HostError> {
        Ok(Vec::new())
    }
    fn cgroup_parent(&self, pod: &PodCgroup) -> String {
        format!("/kubepods/pod{}", pod.uid)
    }
    fn fs_usage(&self, _: &Path) -> Result<FsUsage, HostError> {
        Ok(FsUsage { capacity_bytes: 100 << 30, available_bytes: 50 << 30, ..FsUsage::default() })
    }
    fn mounts_below(&self, directory: &Path) -> Result<Vec<PathBuf>, HostError> {
        Ok(self.mounts.iter().filter(|mount| mount.starts_with(directory)).cloned().collect())
    }
    fn memory_available(&self) -> Result<u64, HostError> {
        Ok(self.facts.memory_bytes)
    }
    fn process_count(&self) -> Result<(u64, u64), HostError> {
        Ok((100, 30_000))
    }
}

/// The volumes.
#[derive(Debug, Default)]
pub struct FakeVolumes;

#[async_trait]
impl Volumes for FakeVolumes {
    async fn mount(
        &self,
        _: &Arc<Pod>,
        _: &VolumeContext,
    ) -> Result<BTreeMap<String, MountedVolume>, Vec<VolumeError>> {
        Ok(BTreeMap::new())
    }
    async fn sub_path(
        &self,
        _: &PodUid,
        _: &str,
        root: &Path,
        sub_path: &str,
        _: &str,
        _: usize,
    ) -> Result<PathBuf, VolumeError> {
        Ok(root.join(sub_path))
    }
    async fn env_file(&self, _: &PodUid, _: &Path, _: &str) -> Result<EnvFile, EnvFileFailure> {
        Err(EnvFileFailure::NoVolume)
    }
    async fn unmount(&self, _: &PodUid) -> Result<(), Vec<VolumeError>> {
        Ok(())
    }
    fn refresh_after(&self, _: &PodUid) -> Option<Duration> {
        None
    }
}
