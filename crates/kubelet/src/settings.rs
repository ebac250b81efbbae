//! What the rest of the program is told: typed, checked, ready to use.
//!
//! Everything that needs parsing is parsed here, once. The configuration object itself is kept only for `/configz`.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use k8s_openapi::api::core::v1::Taint;

use crate::{
    config::{KubeletConfiguration, v1beta1::Logging},
    gates::FeatureGates,
    thresholds::Threshold,
};

mod build;

pub use build::build;

/// The whole of it.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Who this node is.
    pub node: NodeSettings,
    /// How to reach the API server; `None` runs standalone.
    pub api: Option<ApiSettings>,
    /// Directories.
    pub paths: Paths,
    /// Pods that do not come from the API server.
    pub static_pods: StaticPods,
    /// Container runtime.
    pub runtime: RuntimeSettings,
    /// Node status and lease.
    pub heartbeat: Heartbeat,
    /// Rules for all pods.
    pub pods: PodSettings,
    /// Images.
    pub images: ImageSettings,
    /// Cgroups and what is kept from pods.
    pub resources: ResourceSettings,
    /// Eviction thresholds.
    pub eviction: EvictionSettings,
    /// Dead containers.
    pub container_gc: ContainerGc,
    /// Container logs.
    pub container_logs: ContainerLogs,
    /// The HTTPS server.
    pub server: ServerSettings,
    /// Statistics.
    pub stats: StatsSettings,
    /// This process.
    pub process: ProcessSettings,
    /// Feature gates.
    pub gates: FeatureGates,
    /// Release reported in the node object: `v1.37.2`, or what `--version=v…` said.
    pub reported_version: String,
    /// Effective configuration, for `/configz`.
    pub config: Arc<KubeletConfiguration>,
    /// Every flag with its value, sorted, for `/flagz`.
    pub flagz: Arc<[(&'static str, String)]>,
}

/// Who this node is.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeSettings {
    /// Node name: `--hostname-override`, or the host name, lower-cased.
    pub name: String,
    /// The `Hostname` address: the same text.
    pub hostname: String,
    /// `--node-ip`.
    pub ips: NodeIps,
    /// `--node-labels`.
    pub labels: BTreeMap<String, String>,
    /// `registerWithTaints`.
    pub taints: Vec<Taint>,
    /// `registerNode`.
    pub register: Registration,
    /// `--cloud-provider=external`: addresses, zone and provider id come from a controller.
    pub cloud: CloudProvider,
    /// `providerID`.
    pub provider_id: Option<String>,
    /// `enableControllerAttachDetach`: becomes the node's annotation.
    pub controller_attaches_volumes: bool,
    /// `podCIDR`, standalone only.
    pub pod_cidr: Option<String>,
}

/// `--node-ip`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeIps {
    /// Not given: find the address.
    Detect,
    /// `0.0.0.0`: find an IPv4 address first.
    PreferV4,
    /// `::`: find an IPv6 address first.
    PreferV6,
    /// This one, or one of each family in this order.
    Fixed(Vec<IpAddr>),
}

/// Whether the node makes its own object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Registration {
    /// It does.
    Register,
    /// Somebody else does.
    Wait,
}

/// Who completes the node object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloudProvider {
    /// The node itself.
    None,
    /// A cloud controller manager; the node registers with its `uninitialized` taint.
    External,
}

/// How to reach the API server.
#[derive(Clone, Debug, PartialEq)]
pub struct ApiSettings {
    /// `--kubeconfig`; may not exist yet when there is a bootstrap file.
    pub kubeconfig: PathBuf,
    /// `--bootstrap-kubeconfig`.
    pub bootstrap_kubeconfig: Option<PathBuf>,
    /// `rotateCertificates`.
    pub rotate_certificates: bool,
    /// Requests; `kubeAPIQPS` 0 means client-go's own rate of 5, `kubeAPIBurst` 0 its own burst of 10.
    pub rate: Rate,
    /// Events; `eventRecordQPS` 0 is unlimited.
    pub event_rate: Rate,
    /// Deadline of heartbeat requests: the shorter of update frequency and lease duration.
    pub heartbeat_timeout: Duration,
}

/// A token bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rate {
    /// No limit.
    Unlimited,
    /// So many a second, so many at once.
    Limited {
        /// Tokens a second, at least one.
        per_second: u32,
        /// Size of the bucket, at least one.
        burst: u32,
    },
}

/// Directories. All absolute and clean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths {
    /// `--root-dir`.
    pub root: PathBuf,
    /// `--cert-dir`.
    pub certificates: PathBuf,
    /// `podLogsDir`.
    pub pod_logs: PathBuf,
    /// `volumePluginDir`.
    pub volume_plugins: PathBuf,
    /// `resolvConf`; `None` for the empty text.
    pub resolv_conf: Option<PathBuf>,
    /// `--image-credential-provider-config` and `-bin-dir`.
    pub credential_providers: Option<(PathBuf, PathBuf)>,
}

/// Pods that do not come from the API server.
#[derive(Clone, Debug, PartialEq)]
pub struct StaticPods {
    /// `staticPodPath`.
    pub path: Option<PathBuf>,
    /// `fileCheckFrequency`.
    pub file_check: Duration,
    /// `staticPodURL`.
    pub url: Option<String>,
    /// `staticPodURLHeader`: (name, value), in order of names. Values are secrets: do not log them.
    pub headers: Vec<(String, String)>,
    /// `httpCheckFrequency`.
    pub http_check: Duration,
}

/// Container runtime.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuntimeSettings {
    /// Path of `containerRuntimeEndpoint`'s socket.
    pub socket: PathBuf,
    /// Path of `imageServiceEndpoint`'s socket; the same when not set.
    pub image_socket: PathBuf,
    /// `runtimeRequestTimeout`.
    pub request_timeout: Duration,
    /// `--runtime-cgroups`.
    pub cgroup: Option<String>,
}

/// Node status and lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    /// `nodeStatusUpdateFrequency`.
    pub update: Duration,
    /// `nodeStatusReportFrequency`.
    pub report: Duration,
    /// `nodeLeaseDurationSeconds`.
    pub lease: Duration,
    /// `nodeStatusMaxImages`; `None` is all.
    pub max_images: Option<u32>,
}

/// Rules for all pods.
#[derive(Clone, Debug, PartialEq)]
pub struct PodSettings {
    /// `maxPods`.
    pub max: u32,
    /// `podsPerCore`; `None` for 0.
    pub max_per_core: Option<u32>,
    /// `podPidsLimit`; `None` for -1.
    pub pids_limit: Option<i64>,
    /// `syncFrequency`.
    pub sync: Duration,
    /// `crashLoopBackOff.maxContainerRestartPeriod`, 300 s when its gate is off.
    pub max_restart_delay: Duration,
    /// `seccompDefault` or `--seccomp-default`.
    pub seccomp_default: bool,
    /// `cpuCFSQuota` and its period; `None` writes no quota.
    pub cpu_quota_period: Option<Duration>,
    /// `allowedUnsafeSysctls`.
    pub allowed_unsafe_sysctls: Vec<String>,
    /// `defaultPodSysctls`.
    pub default_sysctls: BTreeMap<String, String>,
    /// `clusterDNS`, without what is no address.
    pub cluster_dns: Vec<IpAddr>,
    /// `clusterDomain`; `None` for the empty text.
    pub cluster_domain: Option<String>,
    /// `userNamespaces.idsPerPod`.
    pub ids_per_pod: u32,
}

/// Images.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageSettings {
    /// How many at once.
    pub pulls: Pulls,
    /// `registryPullQPS`, `registryBurst`.
    pub rate: Rate,
    /// `imageMinimumGCAge`.
    pub min_age: Duration,
    /// `imageMaximumGCAge`; `None` for 0.
    pub max_age: Option<Duration>,
    /// `imageGCHighThresholdPercent`.
    pub high_percent: u8,
    /// `imageGCLowThresholdPercent`.
    pub low_percent: u8,
}

/// How many images are pulled at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pulls {
    /// One after the other.
    Serial,
    /// So many.
    Parallel(u32),
    /// `serializeImagePulls: false` without a limit.
    Unlimited,
}

/// Pulls at once when nobody says: enough for a node to come up fast, few enough for its disk.
pub const DEFAULT_PARALLEL_PULLS: u32 = 5;

/// Cgroups and what is kept from pods.
#[derive(Clone, Debug, PartialEq)]
pub struct ResourceSettings {
    /// `cgroupDriver`, unless the runtime says otherwise.
    pub cgroup_driver: CgroupDriver,
    /// `cgroupRoot`; `/` when not set.
    pub cgroup_root: String,
    /// `cgroupsPerQOS`.
    pub cgroups_per_qos: bool,
    /// `systemReserved`, with `reservedSystemCPUs` taken in.
    pub system_reserved: Reserved,
    /// `kubeReserved`, without CPU when `reservedSystemCPUs` is set.
    pub kube_reserved: Reserved,
    /// `reservedSystemCPUs`.
    pub reserved_cpus: BTreeSet<u32>,
    /// `enforceNodeAllocatable` holds `pods`.
    pub enforce_pods: bool,
    /// `--experimental-allocatable-ignore-eviction`.
    pub allocatable_ignores_eviction: bool,
    /// `failSwapOn`.
    pub fail_swap_on: bool,
    /// `protectKernelDefaults`.
    pub protect_kernel_defaults: bool,
    /// `localStorageCapacityIsolation`.
    pub local_storage_isolation: bool,
}

/// How cgroups are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CgroupDriver {
    /// By writing to the hierarchy.
    Cgroupfs,
    /// As slices of systemd.
    Systemd,
}

/// Resources kept from pods. Absent is nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reserved {
    /// Thousandths of a CPU.
    pub cpu_milli: Option<i64>,
    /// Bytes.
    pub memory: Option<i64>,
    /// Bytes.
    pub ephemeral_storage: Option<i64>,
    /// Processes.
    pub pids: Option<i64>,
}

/// Eviction.
#[derive(Clone, Debug, PartialEq)]
pub struct EvictionSettings {
    /// Hard and soft thresholds.
    pub thresholds: Vec<Threshold>,
    /// `evictionPressureTransitionPeriod`.
    pub pressure_transition: Duration,
    /// `evictionMaxPodGracePeriod`, seconds; negative defers to the pod.
    pub max_pod_grace_seconds: i64,
}

/// Dead containers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContainerGc {
    /// `--minimum-container-ttl-duration`.
    pub min_age: Duration,
    /// `--maximum-dead-containers-per-container`; `None` for negative: no limit.
    pub per_container: Option<u32>,
    /// `--maximum-dead-containers`; `None` for negative: no limit.
    pub on_node: Option<u32>,
}

/// Container logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContainerLogs {
    /// `containerLogMaxSize`, bytes; `None` when it is negative: logs are not rotated.
    pub max_size: Option<u64>,
    /// `containerLogMaxFiles`.
    pub max_files: u32,
    /// `containerLogMaxWorkers`.
    pub workers: u32,
    /// `containerLogMonitorInterval`.
    pub interval: Duration,
}

/// The HTTPS server.
#[derive(Clone, Debug, PartialEq)]
pub struct ServerSettings {
    /// `enableServer`: where it listens.
    pub listen: Option<SocketAddr>,
    /// `readOnlyPort`: where plain HTTP without authentication listens.
    pub read_only: Option<SocketAddr>,
    /// `tlsCertFile` and `tlsPrivateKeyFile`.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// `serverTLSBootstrap`.
    pub bootstrap_certificate: bool,
    /// `authentication.x509.clientCAFile`.
    pub client_ca: Option<PathBuf>,
    /// `authentication.anonymous.enabled`.
    pub anonymous: bool,
    /// `authentication.webhook`: how long an answer is kept; `None` when off.
    pub token_review_ttl: Option<Duration>,
    /// `authorization.mode: Webhook`: how long a yes and a no are kept; `None` is `AlwaysAllow`.
    pub access_review_ttls: Option<(Duration, Duration)>,
    /// `enableDebuggingHandlers`.
    pub debugging_handlers: bool,
    /// `enableSystemLogHandler`.
    pub system_log_handler: bool,
    /// `enableSystemLogQuery`.
    pub system_log_query: bool,
    /// `enableProfilingHandler`.
    pub profiling_handler: bool,
    /// `enableDebugFlagsHandler`.
    pub debug_flags_handler: bool,
    /// `tlsMinVersion` is `VersionTLS13`.
    pub only_tls13: bool,
    /// `tlsCipherSuites`.
    pub cipher_suites: Vec<String>,
    /// `streamingConnectionIdleTimeout`.
    pub stream_idle: Duration,
}

/// Statistics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatsSettings {
    /// `volumeStatsAggPeriod`; `None` when disk use of volumes is not to be measured.
    pub volume_period: Option<Duration>,
}

/// This process.
#[derive(Clone, Debug, PartialEq)]
pub struct ProcessSettings {
    /// Where health is served; `None` for `healthzPort: 0`.
    pub healthz: Option<SocketAddr>,
    /// `oomScoreAdj`.
    pub oom_score_adj: i32,
    /// `maxOpenFiles`.
    pub max_open_files: u64,
    /// `--lock-file`.
    pub lock_file: Option<PathBuf>,
    /// `--exit-on-lock-contention`.
    pub exit_on_lock_contention: bool,
    /// Logging.
    pub logging: Logging,
    /// `--housekeeping-interval`.
    pub housekeeping: Duration,
}
