//! What the agent has been told: validated values, resolved once from flags and configuration.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use lifecycle::{
    PodKey,
    spec::{dns::ClusterDns, restart_rules::RestartRules},
};
use node::{admission::sysctls::SysctlAllowlist, cgroup::CgroupRules, user_namespaces::IdPool};

use crate::images::PullSettings;

/// Settings of the pod side of the agent. Defaults in the docs are upstream's (contract §1.5).
#[derive(Clone, Debug)]
pub struct AgentConfig {
    /// Node name.
    pub node_name: String,
    /// `--root-dir`, default `/var/lib/kubelet`.
    pub root_dir: PathBuf,
    /// `podLogsDir`, default `/var/log/pods`.
    pub pod_logs_dir: PathBuf,
    /// `staticPodPath`: a directory or one file; `None` when unset.
    pub static_pod_path: Option<PathBuf>,
    /// `fileCheckFrequency`, default 20 s: re-read of the static pod path besides inotify.
    pub file_check_frequency: Duration,
    /// `staticPodURL` and the headers to send.
    pub static_pod_url: Option<ManifestUrl>,
    /// `syncFrequency`, default 1 m: how often a pod is looked at when nothing happens.
    pub sync_frequency: Duration,
    /// `clusterDNS` and `clusterDomain`.
    pub cluster_dns: ClusterDns,
    /// `resolvConf`; `None` for the empty string.
    pub resolv_conf: Option<PathBuf>,
    /// Limits and credentials of image pulls.
    pub pulls: PullSettings,
    /// How many sandboxes and containers the runtime is asked to make or start at the same time.
    pub starts_at_once: usize,
    /// `seccompDefault`.
    pub seccomp_default: bool,
    /// How cgroup values are computed: quota period, pid limit, swap, cgroup version.
    pub rules: CgroupRules,
    /// `crashLoopBackOff.maxContainerRestartPeriod`, default 300 s.
    pub max_restart_backoff: Duration,
    /// What of the restart policies and rules of containers counts.
    pub restart_rules: RestartRules,
    /// Safe sysctls and `allowedUnsafeSysctls`.
    pub sysctls: SysctlAllowlist,
    /// What user namespaces are made from.
    pub user_ids: IdPool,
}

impl AgentConfig {
    /// Where the logs of a pod's containers are: `<podLogsDir>/<namespace>_<name>_<uid>` (contract §26).
    #[must_use]
    pub fn pod_log_dir(&self, pod: &PodKey) -> PathBuf {
        log_dir(&self.pod_logs_dir, pod)
    }

    /// Everything below this directory, and no static pods.
    #[cfg(test)]
    pub(crate) fn in_tests(root: &Path) -> Self {
        Self {
            node_name: "n".to_owned(),
            root_dir: root.to_owned(),
            pod_logs_dir: root.join("logs"),
            static_pod_path: None,
            file_check_frequency: Duration::from_secs(20),
            static_pod_url: None,
            sync_frequency: Duration::from_secs(60),
            cluster_dns: ClusterDns::default(),
            resolv_conf: None,
            pulls: PullSettings::default(),
            starts_at_once: 1,
            user_ids: IdPool::whole(65_536),
            seccomp_default: false,
            rules: CgroupRules {
                version: node::cgroup::CgroupVersion::V2,
                quota_period_micros: None,
                memory_bytes: 0,
                hugepage_sizes: Vec::new(),
                memory_qos: false,
                single_process_oom_kill: false,
                swap: node::cgroup::Swap::NoSwap,
                pod_pids_limit: None,
            },
            max_restart_backoff: Duration::from_secs(300),
            restart_rules: RestartRules::Off,
            sysctls: SysctlAllowlist::default(),
        }
    }
}

/// The same, below a given `podLogsDir`.
pub(crate) fn log_dir(pod_logs_dir: &Path, pod: &PodKey) -> PathBuf {
    pod_logs_dir.join(format!("{}_{}_{}", pod.namespace, pod.name, pod.uid))
}

/// `staticPodURL` with its headers.
#[derive(Clone, Debug)]
pub struct ManifestUrl {
    /// URL.
    pub url: String,
    /// `staticPodURLHeader`: name, value.
    pub headers: Vec<(String, String)>,
    /// `httpCheckFrequency`, default 20 s.
    pub frequency: Duration,
}
