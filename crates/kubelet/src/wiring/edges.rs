//! Makes the edges: runtime, API server, machine, volumes.
//!
//! What the node cannot be without is checked here, before anything runs: each error says what is wrong, where, and
//! what to do.

use std::{
    future::Future,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use agent::{Edges, stats::StatsParts};
use cluster::{Access, ApiCluster, ApiOptions, ChangeDetection, KubeconfigError, RateLimit};
use cri::{CriConfig, CriRuntime, EndpointError};
use linux::{
    LinuxConfig, LinuxHost,
    cgroup::PodCgroups,
    facts::Roots,
    tunables::Tunables,
    usage::{SystemGroups, own_group},
};
use metrics::Metrics;
use node::cgroup::CgroupVersion;
use seams::{
    Clock, ContainerLogs, HostError, LogFiles, Reviews, Runtime, RuntimeError, SystemClock,
    runtime::CgroupDriver,
};
use tracing::{info, warn};

use crate::settings::{self, Rate, Settings};

/// Silence of the runtime at start that is told; its answer is waited for much longer.
const SILENCE: Duration = Duration::from_secs(5);
/// Tries to learn the cgroup driver, and the time between them (contract §1.1, start order).
const DRIVER_TRIES: usize = 3;
const DRIVER_WAIT: Duration = Duration::from_secs(2);
/// Links to container logs, where log collectors look (contract §17).
const LOG_LINKS: &str = "/var/log/containers";

/// Why the node cannot start.
#[derive(Debug, thiserror::Error)]
pub(super) enum EdgeError {
    /// The socket's address is no address.
    #[error(transparent)]
    Endpoint(EndpointError),
    /// The runtime does not answer.
    #[error("the container runtime does not answer")]
    Runtime {
        /// Last answer.
        source: RuntimeError,
    },
    /// The kubeconfig is missing or wrong.
    #[error(transparent)]
    Kubeconfig(KubeconfigError),
    /// Cgroups or facts of the machine.
    #[error(transparent)]
    Host(HostError),
    /// cgroup v1.
    #[error(
        "kubelet is configured to not run on a host using cgroup v1. cgroup v1 support is unsupported and will be \
         removed in a future release"
    )]
    CgroupV1,
    /// Swap.
    #[error("running with swap on is not supported, please disable swap or set --fail-swap-on flag to false")]
    Swap,
    /// Kernel tunables.
    #[error("kernel tunables are not as they have to be: {}", .0.join("; "))]
    Tunables(Vec<String>),
    /// The root directory.
    #[error("cannot make the root directory {}", path.display())]
    RootDir {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

impl EdgeError {
    /// The next step for the operator, where the error itself does not say it.
    pub(super) fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Kubeconfig(error) => return Some(error.hint()),
            Self::Runtime { source: RuntimeError::Deadline { .. } } => {
                "it listens and does not answer: look at its log, or restart it"
            }
            Self::CgroupV1 => "set failCgroupV1: false to run here all the same",
            Self::Swap => "`swapoff -a`, or failSwapOn: false",
            Self::RootDir { .. } => {
                "--root-dir names it: check the path, its file system and the space on it"
            }
            _ => return None,
        };
        Some(hint.to_owned())
    }
}

/// The edges, and the machine as its own type: some questions are asked at start only.
pub(super) struct Made {
    /// For the agent.
    pub edges: Edges,
    /// Asks the API server about callers; `None` in standalone mode.
    pub reviews: Option<Arc<dyn Reviews>>,
    /// Reads logs of containers.
    pub logs: Arc<dyn ContainerLogs>,
    /// Version of the cgroup hierarchy.
    pub cgroups: CgroupVersion,
    /// Reads what is used.
    pub stats: StatsParts,
    /// The files of container logs.
    pub log_files: Arc<dyn LogFiles>,
    /// Whether swap can be limited per container.
    pub swap_is_controlled: bool,
    /// Path of the group of all pods; `None` without `cgroupsPerQOS`.
    pub pods_group: Option<String>,
}

/// Makes them all, but for the root directory, which is there already.
///
/// # Errors
/// [`EdgeError`].
pub(super) async fn make(settings: &Settings, metrics: &Arc<Metrics>) -> Result<Made, EdgeError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
    let runtime = runtime(settings, metrics)?;
    let driver = cgroup_driver(&runtime, settings).await?;
    let host = host(settings, driver, metrics)?;
    let cluster = cluster(settings, &clock, metrics)?;
    let objects = cluster.clone().map(|cluster| cluster as Arc<dyn seams::Objects>);
    let config = volumes::Config { root_dir: settings.paths.root.clone() };
    let volumes = volumes::PodVolumes::new(config, objects.clone(), Arc::clone(&clock), Arc::clone(metrics));
    let (cgroups, swap_is_controlled) = (host.cgroup_version(), host.swap_is_controlled());
    let pods_group = settings.resources.cgroups_per_qos.then(|| host.kubepods_path());
    let reviews = cluster.clone().map(|cluster| cluster as Arc<dyn Reviews>);
    let runtime = Arc::new(runtime);
    let stats = StatsParts {
        meters: Arc::new(host.meter(system_groups(settings, &host))),
        runtime: Arc::clone(&runtime) as Arc<dyn seams::stats::RuntimeMeters>,
        volumes: Arc::new(volumes::Places::new(settings.paths.root.clone())),
        volume_period: settings.stats.volume_period,
    };
    let edges = Edges {
        runtime: Arc::clone(&runtime) as Arc<dyn Runtime>,
        cluster: cluster.map(|cluster| cluster as Arc<dyn seams::Cluster>),
        objects,
        host: Arc::new(host),
        volumes: Arc::new(volumes),
        clock,
        metrics: Arc::clone(metrics),
    };
    Ok(Made {
        edges,
        reviews,
        logs: Arc::clone(&runtime) as Arc<dyn ContainerLogs>,
        cgroups,
        stats,
        log_files: runtime,
        swap_is_controlled,
        pods_group,
    })
}

/// Groups of the system whose figures are told, by upstream's names. Those that are not named are not guessed, but for the
/// kubelet's own, which the kernel knows.
fn system_groups(settings: &Settings, host: &LinuxHost) -> SystemGroups {
    let named = |name: &str| Some(host.system_group(name)).filter(|_| !name.is_empty());
    let config = &settings.config;
    let groups = [
        ("kubelet", named(&config.kubelet_cgroups).or_else(|| own_group(&Roots::default()))),
        ("runtime", settings.runtime.cgroup.as_deref().and_then(named)),
        ("misc", named(&config.system_cgroups)),
    ];
    groups.into_iter().filter_map(|(name, path)| Some((name, path?))).collect()
}

/// The root directory is shared with containers that mount below it, so mounts must spread both ways.
pub(super) fn make_root(settings: &Settings) -> Result<(), EdgeError> {
    use std::os::unix::fs::DirBuilderExt;
    let path = &settings.paths.root;
    let failed = |source| EdgeError::RootDir { path: path.clone(), source };
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true).mode(0o750);
    for dir in [path.clone(), path.join("pods"), path.join("plugins"), path.join("plugins_registry")] {
        builder.create(dir).map_err(failed)?;
    }
    // Its entries are the names and uids of all pods.
    let logs = &settings.paths.pod_logs;
    builder.create(logs).map_err(|source| EdgeError::RootDir { path: logs.clone(), source })?;
    if let Err(error) = linux::mounts::make_rshared(path) {
        warn!(path = %path.display(), %error, "Could not make the root directory a shared mount");
    }
    Ok(())
}

fn runtime(settings: &Settings, metrics: &Arc<Metrics>) -> Result<CriRuntime, EdgeError> {
    let config = CriConfig {
        runtime_endpoint: settings.runtime.socket.display().to_string(),
        image_endpoint: settings.runtime.image_socket.display().to_string(),
        request_timeout: settings.runtime.request_timeout,
        pod_logs_dir: settings.paths.pod_logs.clone(),
        container_links_dir: Some(PathBuf::from(LOG_LINKS)),
        host: cri::config::host_facts(),
        metrics: Arc::clone(metrics),
    };
    CriRuntime::connect(&config).map_err(EdgeError::Endpoint)
}

/// The runtime's word counts; one that does not know the call leaves it to the configuration.
async fn cgroup_driver(runtime: &CriRuntime, settings: &Settings) -> Result<CgroupDriver, EdgeError> {
    let configured = match settings.resources.cgroup_driver {
        settings::CgroupDriver::Cgroupfs => CgroupDriver::Cgroupfs,
        settings::CgroupDriver::Systemd => CgroupDriver::Systemd,
    };
    let mut tries = 0;
    loop {
        tries += 1;
        match telling_silence(runtime.cgroup_driver(), &settings.runtime.socket).await {
            Ok(Some(driver)) => {
                if driver != configured {
                    info!(?driver, ?configured, "Using the cgroup driver that the container runtime reports");
                }
                return Ok(driver);
            }
            Ok(None) => return Ok(configured),
            Err(source) if tries >= DRIVER_TRIES => return Err(EdgeError::Runtime { source }),
            Err(error) => {
                warn!(%error, tries, "The container runtime does not answer yet");
                tokio::time::sleep(DRIVER_WAIT).await;
            }
        }
    }
}

/// Tells once that an answer is waited for: its deadline is minutes away.
async fn telling_silence<T>(answer: impl Future<Output = T>, socket: &Path) -> T {
    let mut answer = std::pin::pin!(answer);
    match tokio::time::timeout(SILENCE, answer.as_mut()).await {
        Ok(answer) => answer,
        Err(_) => {
            let socket = socket.display().to_string();
            warn!(
                socket,
                hint = "if it stays silent, look at its log, or restart it",
                "The container runtime is silent; waiting for its answer"
            );
            answer.await
        }
    }
}

fn host(settings: &Settings, driver: CgroupDriver, metrics: &Arc<Metrics>) -> Result<LinuxHost, EdgeError> {
    let roots = Roots::default();
    let config = LinuxConfig {
        cgroup_driver: driver,
        cgroup_root: settings.resources.cgroup_root.clone(),
        pod_cgroups: if settings.resources.cgroups_per_qos { PodCgroups::PerQos } else { PodCgroups::Off },
        roots: roots.clone(),
        metrics: Arc::clone(metrics),
    };
    let host = LinuxHost::open(config).map_err(EdgeError::Host)?;
    if host.cgroup_version() == CgroupVersion::V1 {
        if settings.config.fail_cgroup_v1 {
            return Err(EdgeError::CgroupV1);
        }
        warn!("cgroup v1 detected. cgroup v1 support is deprecated and will be removed in a future release");
    }
    if settings.resources.fail_swap_on && seams::Host::facts(&host).swap_bytes > 0 {
        return Err(EdgeError::Swap);
    }
    let mode = if settings.resources.protect_kernel_defaults { Tunables::Verify } else { Tunables::Set };
    if let Err(errors) = linux::tunables::apply(&roots, mode, host.in_user_namespace()) {
        return Err(EdgeError::Tunables(errors.iter().map(ToString::to_string).collect()));
    }
    match linux::oom::protect_self(&roots, i64::from(settings.process.oom_score_adj)) {
        Ok(linux::oom::OwnScore::Set) => {}
        Ok(linux::oom::OwnScore::Refused) => {
            warn!("The kernel does not allow the kubelet's own oom_score_adj to be set")
        }
        Err(error) => warn!(%error, "Could not set the kubelet's own oom_score_adj"),
    }
    Ok(host)
}

fn cluster(
    settings: &Settings,
    clock: &Arc<dyn Clock>,
    metrics: &Arc<Metrics>,
) -> Result<Option<Arc<ApiCluster>>, EdgeError> {
    let Some(api) = &settings.api else {
        info!("Standalone mode, no API client");
        return Ok(None);
    };
    let access = Access::load(&api.kubeconfig).map_err(EdgeError::Kubeconfig)?;
    if let Err(error) = access.check_client_certificate(clock.now().wall) {
        return Err(EdgeError::Kubeconfig(error));
    }
    Ok(Some(Arc::new(ApiCluster::start(ApiOptions {
        access,
        node_name: settings.node.name.clone(),
        rate_limit: match api.rate {
            Rate::Unlimited => RateLimit::Unlimited,
            Rate::Limited { per_second, burst } => {
                RateLimit::Bucket { per_second: f64::from(per_second), burst }
            }
        },
        heartbeat_timeout: api.heartbeat_timeout,
        change_detection: ChangeDetection::Watch,
        kubelet_version: settings.reported_version.clone(),
        clock: Arc::clone(clock),
        metrics: Arc::clone(metrics),
    }))))
}
