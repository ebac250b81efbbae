//! Settings in the agent's terms.

use std::{
    collections::BTreeMap,
    net::ToSocketAddrs as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use ::agent::{
    AgentConfig,
    config::ManifestUrl,
    images::{PullSettings, Verification, credentials::NodeFiles},
    log_rotation::LogRotation,
    node_status::NodeSettings,
};
use ::node::{
    addresses::CloudProvider,
    admission::sysctls::{PatternError, SysctlAllowlist},
    capacity::{EvictionReserve, NodeResources, Reservations, Threshold},
    cgroup::{CgroupRules, CgroupVersion, Swap},
    log_rotation::LogPolicy,
    quantity::{Format, Quantity, ResourceList},
    registration::Registration,
    user_namespaces::{IDS_PER_POD, IdPool, PoolError},
};
use jiff::{Timestamp, tz::TimeZone};
use lifecycle::spec::{dns::ClusterDns, restart_rules::RestartRules};
use seams::HostError;

use crate::{
    gates::Gate,
    settings::{self, NodeIps, Pulls, Rate, Reserved, Settings},
    thresholds::{Amount, Signal},
    wiring::edges::Made,
};

/// Sandboxes and containers that the runtime makes or starts at once: three for two processors. With more, each call takes
/// longer by as much, and whoever else is needed on the way (the API server of a node that has its own, the runtime's reading
/// of the next request) comes later; with fewer, processors wait while a call waits for the kernel.
const fn starts_at_once(cpus: usize) -> usize {
    cpus.saturating_mul(3).div_ceil(2)
}

/// Directory of device plugins (`pluginapi.DevicePluginPath`): upstream does not move it with `--root-dir`.
const DEVICE_PLUGINS: &str = "/var/lib/kubelet/device-plugins";

/// Why a setting cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConfigError {
    /// `allowedUnsafeSysctls`.
    #[error("allowedUnsafeSysctls: {0}")]
    Sysctls(PatternError),
    /// The files of subordinate ids.
    #[error("failed to read the subordinate ids of the user {KUBELET_USER}")]
    SubordinateIds(#[source] HostError),
    /// What is in them.
    #[error("create user namespace manager: the subordinate ids of the user {KUBELET_USER}")]
    UserIds(#[source] PoolError),
    /// More is kept from pods than the machine has: one sentence a resource.
    #[error("invalid Node Allocatable configuration. {}", .0.join(" "))]
    Reservations(Vec<String>),
}

impl ConfigError {
    /// The next step for the operator.
    pub(super) fn hint(&self) -> Option<String> {
        match self {
            Self::UserIds(_) => Some(format!(
                "give {KUBELET_USER} one range in /etc/subuid and the same in /etc/subgid, or none at all for the default"
            )),
            Self::Reservations(_) => Some(
                "lower systemReserved, kubeReserved or evictionHard: what they keep together is more than this machine has"
                    .to_owned(),
            ),
            _ => None,
        }
    }
}

/// Pods would get nothing of what is reserved more than once over; upstream does not start then either.
///
/// # Errors
/// [`ConfigError::Reservations`].
pub(super) fn reservations_fit(resources: &NodeResources) -> Result<(), ConfigError> {
    let problems = resources.problems();
    if problems.is_empty() { Ok(()) } else { Err(ConfigError::Reservations(problems)) }
}

/// Whose subordinate ids are those of pods.
const KUBELET_USER: &str = "kubelet";

/// What user namespaces of pods are made from.
fn user_ids(settings: &Settings) -> Result<IdPool, ConfigError> {
    let namespaces = settings.config.user_namespaces.as_ref();
    let per_pod = namespaces.and_then(|namespaces| namespaces.ids_per_pod).unwrap_or(IDS_PER_POD.into());
    // Validated before.
    let per_pod = u32::try_from(per_pod).unwrap_or(IDS_PER_POD);
    let found = linux::subordinate_ids::of_user(Path::new("/"), KUBELET_USER);
    let Some(ids) = found.map_err(ConfigError::SubordinateIds)? else { return Ok(IdPool::whole(per_pod)) };
    let max_pods = u32::try_from(settings.config.max_pods).unwrap_or(0);
    IdPool::subordinate(&ids.uids, &ids.gids, per_pod, max_pods).map_err(ConfigError::UserIds)
}

/// The pod side.
///
/// # Errors
/// [`ConfigError`].
pub(super) fn config(settings: &Settings, made: &Made) -> Result<AgentConfig, ConfigError> {
    let facts = made.edges.host.facts();
    let pods = &settings.pods;
    let static_pods = &settings.static_pods;
    Ok(AgentConfig {
        node_name: settings.node.name.clone(),
        root_dir: settings.paths.root.clone(),
        pod_logs_dir: settings.paths.pod_logs.clone(),
        static_pod_path: static_pods.path.clone(),
        file_check_frequency: static_pods.file_check,
        static_pod_url: static_pods.url.clone().map(|url| ManifestUrl {
            url,
            headers: static_pods.headers.clone(),
            frequency: static_pods.http_check,
        }),
        sync_frequency: pods.sync,
        cluster_dns: ClusterDns {
            servers: pods.cluster_dns.iter().map(ToString::to_string).collect(),
            domain: pods.cluster_domain.clone().unwrap_or_default(),
        },
        resolv_conf: settings.paths.resolv_conf.clone(),
        pulls: pulls(settings),
        starts_at_once: starts_at_once(usize::try_from(facts.cpus).unwrap_or(1)),
        seccomp_default: pods.seccomp_default,
        rules: CgroupRules {
            version: made.cgroups,
            quota_period_micros: pods
                .cpu_quota_period
                .and_then(|period| u64::try_from(period.as_micros()).ok()),
            memory_bytes: facts.memory_bytes,
            hugepage_sizes: facts.hugepages.iter().map(|(size, _)| *size).collect(),
            memory_qos: settings.gates.enabled(Gate::MemoryQoS),
            single_process_oom_kill: settings
                .config
                .single_process_oom_kill
                .unwrap_or(made.cgroups == CgroupVersion::V1),
            swap: match (made.swap_is_controlled, settings.config.memory_swap.swap_behavior.as_str()) {
                (false, _) => Swap::Uncontrolled,
                (true, "LimitedSwap") => Swap::Limited { node_swap_bytes: facts.swap_bytes },
                (true, _) => Swap::NoSwap,
            },
            pod_pids_limit: pods.pids_limit,
        },
        max_restart_backoff: pods.max_restart_delay,
        restart_rules: restart_rules(settings),
        sysctls: SysctlAllowlist::new(&facts.kernel_version, &pods.allowed_unsafe_sysctls)
            .map_err(ConfigError::Sysctls)?,
        user_ids: user_ids(settings)?,
    })
}

/// Rotation of container logs; `None` when they are to grow.
#[must_use]
pub(super) fn log_rotation(settings: &Settings, made: &Made) -> Option<LogRotation> {
    let logs = &settings.container_logs;
    Some(LogRotation {
        policy: LogPolicy {
            max_size: logs.max_size?,
            max_files: usize::try_from(logs.max_files).unwrap_or(usize::MAX),
        },
        workers: usize::try_from(logs.workers).unwrap_or(1),
        interval: logs.interval,
        zone: TimeZone::system(),
        files: Arc::clone(&made.log_files),
    })
}

fn pulls(settings: &Settings) -> PullSettings {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    PullSettings {
        max_parallel: match settings.images.pulls {
            Pulls::Serial => Some(1),
            Pulls::Parallel(places) => usize::try_from(places).ok(),
            Pulls::Unlimited => None,
        },
        rate: match settings.images.rate {
            Rate::Unlimited => (0, 0),
            Rate::Limited { per_second, burst } => (per_second, burst),
        },
        node_files: NodeFiles::usual(&settings.paths.root, home.as_deref()),
        verification: verification(settings),
    }
}

fn verification(settings: &Settings) -> Verification {
    let config = &settings.config;
    if !settings.gates.enabled(Gate::KubeletEnsureSecretPulledImages) {
        return Verification::Off;
    }
    match config.image_pull_credentials_verification_policy.as_str() {
        "NeverVerify" => Verification::Never,
        "NeverVerifyAllowlistedImages" => {
            Verification::Allowlisted(config.preloaded_images_verification_allowlist.clone())
        }
        "AlwaysVerify" => Verification::Always,
        // The default; others were refused.
        _ => Verification::Preloaded,
    }
}

fn restart_rules(settings: &Settings) -> RestartRules {
    let on = |gate| settings.gates.enabled(gate);
    match (on(Gate::ContainerRestartRules), on(Gate::RestartAllContainersOnContainerExits)) {
        (false, _) => RestartRules::Off,
        (true, false) => RestartRules::EachAlone,
        (true, true) => RestartRules::All,
    }
}

/// Features that the scheduler must know of, by the name of their gate, sorted.
fn declared_features(settings: &Settings) -> Vec<&'static str> {
    let declared = [Gate::ExtendWebSocketsToKubelet, Gate::RestartAllContainersOnContainerExits];
    declared.into_iter().filter(|gate| settings.gates.enabled(*gate)).map(Gate::name).collect()
}

/// The node side.
#[must_use]
pub(super) fn node(settings: &Settings, made: &Made) -> NodeSettings {
    let node = &settings.node;
    let external = node.cloud == settings::CloudProvider::External;
    let roots = linux::facts::Roots::default();
    NodeSettings {
        registration: Registration {
            node_name: node.name.clone(),
            hostname: node.hostname.clone(),
            architecture: made.edges.host.facts().architecture.to_owned(),
            labels: node.labels.clone(),
            taints: node.taints.clone(),
            external_cloud: external,
            controller_attach: node.controller_attaches_volumes,
            provider_id: node.provider_id.clone().unwrap_or_default(),
        },
        register: node.register == settings::Registration::Register,
        node_ips: match &node.ips {
            NodeIps::Detect => Vec::new(),
            NodeIps::PreferV4 => vec![std::net::Ipv4Addr::UNSPECIFIED.into()],
            NodeIps::PreferV6 => vec![std::net::Ipv6Addr::UNSPECIFIED.into()],
            NodeIps::Fixed(ips) => ips.clone(),
        },
        cloud: if external { CloudProvider::External } else { CloudProvider::None },
        network: Arc::new(|| linux::interfaces::host_network().map_err(|error| error.to_string())),
        resolve: Arc::new(|name| {
            let found = (name, 0).to_socket_addrs().ok()?;
            Some(found.map(|address| address.ip()).collect())
        }),
        root_dir: settings.paths.root.clone(),
        device_plugins_dir: PathBuf::from(DEVICE_PLUGINS),
        local_storage: settings.resources.local_storage_isolation,
        max_pods: settings.pods.max,
        pods_per_core: settings.pods.max_per_core.unwrap_or(0),
        reservations: reservations(settings),
        enforce_pods: settings.resources.enforce_pods,
        pods_group: made.pods_group.clone(),
        pod_cidr: node.pod_cidr.clone(),
        kubelet_version: settings.reported_version.clone(),
        port: settings.server.listen.map_or(0, |address| address.port()),
        declared_features: declared_features(settings),
        max_images: settings.heartbeat.max_images.and_then(|images| i32::try_from(images).ok()).unwrap_or(-1),
        update_frequency: settings.heartbeat.update,
        report_frequency: settings.heartbeat.report,
        lease_duration: settings.heartbeat.lease,
        began: (instant(linux::process::booted_at(&roots)), instant(linux::process::started_at(&roots))),
    }
}

fn instant(since_epoch: Option<Duration>) -> Option<Timestamp> {
    Timestamp::from_duration(since_epoch?.try_into().ok()?).ok()
}

fn reservations(settings: &Settings) -> Reservations {
    let resources = &settings.resources;
    let eviction = settings.eviction.thresholds.iter().filter(|threshold| threshold.grace.is_none());
    let eviction = eviction.filter_map(|threshold| {
        let value = match threshold.value {
            Amount::Units(units) => Threshold::Quantity(Quantity::integer(units, Format::BinarySi)),
            Amount::Share(share) => Threshold::Fraction(share),
        };
        match threshold.signal {
            Signal::MemoryAvailable => Some(EvictionReserve::Memory(value)),
            Signal::NodeFsAvailable => Some(EvictionReserve::NodeFs(value)),
            _ => None,
        }
    });
    Reservations {
        system: reserved(&resources.system_reserved),
        kube: reserved(&resources.kube_reserved),
        eviction: if resources.allocatable_ignores_eviction { Vec::new() } else { eviction.collect() },
    }
}

fn reserved(reserved: &Reserved) -> ResourceList {
    let amounts = [
        ("cpu", reserved.cpu_milli.map(Quantity::milli)),
        ("memory", reserved.memory.map(|bytes| Quantity::integer(bytes, Format::BinarySi))),
        (
            "ephemeral-storage",
            reserved.ephemeral_storage.map(|bytes| Quantity::integer(bytes, Format::BinarySi)),
        ),
        ("pid", reserved.pids.map(Quantity::count)),
    ];
    amounts
        .into_iter()
        .filter_map(|(name, amount)| Some((name.to_owned(), amount?)))
        .collect::<BTreeMap<_, _>>()
}

#[cfg(test)]
mod tests {
    use ::node::capacity::NodeFacts;

    use super::*;

    fn resources(cpu_milli: i64) -> NodeResources {
        let facts = NodeFacts { cpus: 2, memory_bytes: 4 << 30, max_pods: 110, ..NodeFacts::default() };
        let system = reserved(&Reserved { cpu_milli: Some(cpu_milli), ..Reserved::default() });
        NodeResources::of(&facts, &Reservations { system, ..Reservations::default() })
    }

    #[test]
    fn reservations_beyond_the_machine_stop_the_start() {
        reservations_fit(&resources(2000)).unwrap();
        let error = reservations_fit(&resources(2500)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "invalid Node Allocatable configuration. Resource \"cpu\" has a reservation of 2500m but capacity of 2. \
             Expected capacity >= reservation."
        );
        assert!(error.hint().unwrap().contains("systemReserved"));
    }
}
