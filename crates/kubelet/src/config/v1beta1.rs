//! The fields of KubeletConfiguration v1beta1, in upstream's order.
//!
//! `value` and `pointer` say which kind of "not set" a field has ([`Unset`](super::schema::Unset)). The defaults are
//! those of a configuration *file*; the insecure ones of the flag baseline are in [`super::defaults`].

use std::collections::BTreeMap;

use super::schema::{
    Kind::{
        Bool, BoolMap, Duration, Float, Int32, Int64, Ints, Object, Objects, Text, TextMap, Texts, TextsMap,
    },
    Preset::{Bool as B, Int as I, Nothing, Text as T, Texts as L},
    Support::{self, Effective, NoEffectUpstream},
    not_yet, wire,
};
use crate::duration::GoDuration;

mod parts;

pub use parts::{
    Anonymous, Authentication, Authorization, CrashLoopBackOff, FormatOptions, Logging, MemoryReservation,
    MemorySwap, OutputRouting, PriorityGrace, TaintSpec, Tracing, UserNamespaces, VModuleItem,
    WebhookAuthentication, WebhookAuthorization, X509,
};

const SERVING_BOOTSTRAP: Support = not_yet(
    "serving certificates from the API server are not built yet; the pair is self-signed, or from files",
);
const EVICTION: Support = not_yet("eviction is not built yet");
const CPUS: Support = not_yet("the CPU manager is not built yet");
const MEMORY: Support = not_yet("the memory manager is not built yet");
const TOPOLOGY: Support = not_yet("the topology manager is not built yet");
const IMAGE_GC: Support = not_yet("image garbage collection is not built yet");
const SHUTDOWN: Support = not_yet("graceful node shutdown is not built yet");
const MEMORY_QOS: Support = not_yet("memory QoS is not built yet");
const RESERVED_CGROUPS: Support = not_yet("limits on the cgroups of system daemons are not built yet");

wire! {
    /// The whole object, after defaulting; `apiVersion` and `kind` are implied.
    pub struct KubeletConfiguration {
        /// Serve the HTTPS API.
        enable_server: bool, "enableServer", Bool, pointer B(true), Effective;
        /// Directory of static pod manifests, or one manifest. Empty: none.
        static_pod_path: String, "staticPodPath", Text, value Nothing, Effective;
        /// Root of container logs. Absolute, clean, ASCII.
        pod_logs_dir: String, "podLogsDir", Text, value T("/var/log/pods"), Effective;
        /// How often a pod is looked at when nothing happens.
        sync_frequency: GoDuration, "syncFrequency", Duration, value T("1m0s"), Effective;
        /// How often the static pod path is read again besides its watch.
        file_check_frequency: GoDuration, "fileCheckFrequency", Duration, value T("20s"), Effective;
        /// How often `staticPodURL` is read.
        http_check_frequency: GoDuration, "httpCheckFrequency", Duration, value T("20s"), Effective;
        /// Where to fetch further static pods. Empty: none.
        static_pod_url: String, "staticPodURL", Text, value Nothing, Effective;
        /// Headers for that request; their values are masked in logs.
        static_pod_url_header: BTreeMap<String, Vec<String>>, "staticPodURLHeader", TextsMap, value Nothing, Effective;
        /// Address of the HTTPS server.
        address: String, "address", Text, value T("0.0.0.0"), Effective;
        /// Port of the HTTPS server.
        port: i32, "port", Int32, value I(10250), Effective;
        /// Port of the plain HTTP server without authentication. 0: off.
        read_only_port: i32, "readOnlyPort", Int32, value Nothing, Effective;
        /// Serving certificate chain.
        tls_cert_file: String, "tlsCertFile", Text, value Nothing, Effective;
        /// Its key.
        tls_private_key_file: String, "tlsPrivateKeyFile", Text, value Nothing, Effective;
        /// Cipher suites of TLS 1.2, by Go's names.
        tls_cipher_suites: Vec<String>, "tlsCipherSuites", Texts, value Nothing, Support::Differs { how: "suites without forward secrecy or AEAD are never offered" };
        /// Key exchange groups, by IANA number, preferred first.
        tls_curve_preferences: Vec<i32>, "tlsCurvePreferences", Ints, value Nothing, not_yet("the key exchanges are X25519, P-256 and P-384, in this order");
        /// Lowest TLS version: `VersionTLS12` or `VersionTLS13`.
        tls_min_version: String, "tlsMinVersion", Text, value Nothing, Support::Differs { how: "older versions than TLS 1.2 are never spoken" };
        /// Renew the client certificate before it expires.
        rotate_certificates: bool, "rotateCertificates", Bool, value Nothing, not_yet("rotation of the client certificate is not built yet");
        /// Get the serving certificate by a CertificateSigningRequest.
        server_tls_bootstrap: bool, "serverTLSBootstrap", Bool, value Nothing, SERVING_BOOTSTRAP;
        /// Who may talk to the HTTPS server.
        authentication: Authentication, "authentication", Object(Authentication::FIELDS), value Nothing, Effective;
        /// What they may do.
        authorization: Authorization, "authorization", Object(Authorization::FIELDS), value Nothing, Effective;
        /// Image pulls a second. 0: no limit.
        registry_pull_qps: i32, "registryPullQPS", Int32, pointer I(5), Effective;
        /// How many pulls may exceed that rate at once.
        registry_burst: i32, "registryBurst", Int32, value I(10), Effective;
        /// When credentials are checked for images that are already on the node.
        image_pull_credentials_verification_policy: String, "imagePullCredentialsVerificationPolicy", Text, value Nothing, Effective;
        /// Images that need no check, with `NeverVerifyAllowlistedImages`.
        preloaded_images_verification_allowlist: Vec<String>, "preloadedImagesVerificationAllowlist", Texts, value Nothing, Effective;
        /// Events a second. 0: no limit.
        event_record_qps: i32, "eventRecordQPS", Int32, pointer I(50), Effective;
        /// How many events may exceed that rate at once.
        event_burst: i32, "eventBurst", Int32, value I(100), Effective;
        /// Serve exec, attach, logs and port-forward.
        enable_debugging_handlers: bool, "enableDebuggingHandlers", Bool, pointer B(true), Effective;
        /// Lock contention profiles.
        enable_contention_profiling: bool, "enableContentionProfiling", Bool, value Nothing, not_yet("there is no Go runtime to profile");
        /// Port of the health server. 0: off.
        healthz_port: i32, "healthzPort", Int32, pointer I(10248), Effective;
        /// Address of the health server.
        healthz_bind_address: String, "healthzBindAddress", Text, value T("127.0.0.1"), Effective;
        /// `oom_score_adj` of this process.
        oom_score_adj: i32, "oomScoreAdj", Int32, pointer I(-999), Effective;
        /// DNS domain of the cluster.
        cluster_domain: String, "clusterDomain", Text, value Nothing, Effective;
        /// DNS servers for pods.
        cluster_dns: Vec<String>, "clusterDNS", Texts, value Nothing, Effective;
        /// Idle time of exec and the like.
        streaming_connection_idle_timeout: GoDuration, "streamingConnectionIdleTimeout", Duration, value T("4h0m0s"), Support::Differs { how: "ends streams that are idle for as long, also where the runtime would not" };
        /// How often the node status is computed.
        node_status_update_frequency: GoDuration, "nodeStatusUpdateFrequency", Duration, value T("10s"), Effective;
        /// How often it is posted without a change.
        node_status_report_frequency: GoDuration, "nodeStatusReportFrequency", Duration, value T("5m0s"), Effective;
        /// Lifetime of the node's lease; renewed at a quarter of it.
        node_lease_duration_seconds: i32, "nodeLeaseDurationSeconds", Int32, value I(40), Effective;
        /// Least age of an unused image before it may be removed.
        image_minimum_gc_age: GoDuration, "imageMinimumGCAge", Duration, value T("2m0s"), IMAGE_GC;
        /// Age at which an unused image is removed. 0: never.
        image_maximum_gc_age: GoDuration, "imageMaximumGCAge", Duration, value Nothing, IMAGE_GC;
        /// Disk use in percent that starts image garbage collection.
        image_gc_high_threshold_percent: i32, "imageGCHighThresholdPercent", Int32, pointer I(85), IMAGE_GC;
        /// Disk use in percent at which it stops.
        image_gc_low_threshold_percent: i32, "imageGCLowThresholdPercent", Int32, pointer I(80), IMAGE_GC;
        /// How often disk use of volumes is measured. Negative: never.
        volume_stats_agg_period: GoDuration, "volumeStatsAggPeriod", Duration, value T("1m0s"), Support::Differs { how: "the age at which a volume is measured again when statistics are asked for; nothing is measured unasked" };
        /// Cgroup to move this process to.
        kubelet_cgroups: String, "kubeletCgroups", Text, value Nothing, Support::Differs { how: "its statistics are told; this process is not moved" };
        /// Cgroup to move all other processes to.
        system_cgroups: String, "systemCgroups", Text, value Nothing, Support::Differs { how: "its statistics are told; no process is moved" };
        /// Cgroup below which `kubepods` is made. Empty: the root, with `cgroupsPerQOS`.
        cgroup_root: String, "cgroupRoot", Text, value Nothing, Effective;
        /// Make a cgroup per QoS class and per pod.
        cgroups_per_qos: bool, "cgroupsPerQOS", Bool, pointer B(true), Effective;
        /// `cgroupfs` or `systemd`; the runtime's answer wins.
        cgroup_driver: String, "cgroupDriver", Text, value T("cgroupfs"), Support::Differs { how: "`systemd` stops the start while `cgroupsPerQOS` is on: it is not built yet" };
        /// `none` or `static`.
        cpu_manager_policy: String, "cpuManagerPolicy", Text, value T("none"), CPUS;
        /// On out of memory, kill one process and not the whole container (cgroup v2).
        single_process_oom_kill: Option<bool>, "singleProcessOOMKill", Bool, pointer Nothing, Effective;
        /// Options of that policy.
        cpu_manager_policy_options: BTreeMap<String, String>, "cpuManagerPolicyOptions", TextMap, value Nothing, CPUS;
        /// How often CPU sets are compared with the runtime's.
        cpu_manager_reconcile_period: GoDuration, "cpuManagerReconcilePeriod", Duration, value T("10s"), CPUS;
        /// `None` or `Static`.
        memory_manager_policy: String, "memoryManagerPolicy", Text, value T("None"), MEMORY;
        /// `none`, `best-effort`, `restricted` or `single-numa-node`.
        topology_manager_policy: String, "topologyManagerPolicy", Text, value T("none"), TOPOLOGY;
        /// `container` or `pod`.
        topology_manager_scope: String, "topologyManagerScope", Text, value T("container"), TOPOLOGY;
        /// Options of that policy.
        topology_manager_policy_options: BTreeMap<String, String>, "topologyManagerPolicyOptions", TextMap, value Nothing, TOPOLOGY;
        /// Share of a resource that is kept from lower QoS classes: `memory=50%` (gate QOSReserved).
        qos_reserved: BTreeMap<String, String>, "qosReserved", TextMap, value Nothing, not_yet("QoS reservations are not built yet");
        /// Deadline of runtime calls other than pull, logs, exec and attach.
        runtime_request_timeout: GoDuration, "runtimeRequestTimeout", Duration, value T("2m0s"), Effective;
        /// How a pod reaches itself through a service.
        hairpin_mode: String, "hairpinMode", Text, value T("promiscuous-bridge"), NoEffectUpstream;
        /// Most pods on the node.
        max_pods: i32, "maxPods", Int32, value I(110), Effective;
        /// Pod addresses without an API server.
        pod_cidr: String, "podCIDR", Text, value Nothing, Effective;
        /// Most processes in a pod. -1: what the node allows.
        pod_pids_limit: i64, "podPidsLimit", Int64, pointer I(-1), Effective;
        /// The node's resolver configuration. Empty: none.
        resolv_conf: String, "resolvConf", Text, pointer T("/etc/resolv.conf"), Effective;
        /// Run the static pods once and end.
        run_once: bool, "runOnce", Bool, value Nothing, Support::Rejected { why: "run-once mode is gone upstream as well" };
        /// Enforce CPU limits by CFS quota.
        cpu_cfs_quota: bool, "cpuCFSQuota", Bool, pointer B(true), Effective;
        /// Period of that quota, 1 ms to 1 s.
        cpu_cfs_quota_period: GoDuration, "cpuCFSQuotaPeriod", Duration, pointer T("100ms"), Effective;
        /// Most images in the node's status. -1: all.
        node_status_max_images: i32, "nodeStatusMaxImages", Int32, pointer I(50), Effective;
        /// Most open files of this process.
        max_open_files: i64, "maxOpenFiles", Int64, value I(1_000_000), Effective;
        /// Encoding of requests to the API server.
        content_type: String, "contentType", Text, value T("application/vnd.kubernetes.protobuf"), Support::Differs { how: "requests and answers are JSON whatever is set" };
        /// Requests a second to the API server. 0: 5.
        kube_api_qps: i32, "kubeAPIQPS", Int32, pointer I(50), Effective;
        /// How many may exceed that rate at once.
        kube_api_burst: i32, "kubeAPIBurst", Int32, value I(100), Effective;
        /// Pull one image at a time.
        serialize_image_pulls: bool, "serializeImagePulls", Bool, pointer B(true), Support::Differs { how: "when neither it nor maxParallelImagePulls is set, up to 5 images are pulled side by side" };
        /// Most pulls at once. Unset with `serializeImagePulls: false`: no limit.
        max_parallel_image_pulls: Option<i32>, "maxParallelImagePulls", Int32, pointer Nothing, Effective;
        /// Thresholds that evict at once: signal to quantity or percentage.
        eviction_hard: BTreeMap<String, String>, "evictionHard", TextMap, value Nothing, Support::Differs { how: "lowers allocatable; nothing is evicted yet" };
        /// Thresholds that evict after a grace period.
        eviction_soft: BTreeMap<String, String>, "evictionSoft", TextMap, value Nothing, EVICTION;
        /// Those grace periods.
        eviction_soft_grace_period: BTreeMap<String, String>, "evictionSoftGracePeriod", TextMap, value Nothing, EVICTION;
        /// How long a pressure condition is kept.
        eviction_pressure_transition_period: GoDuration, "evictionPressureTransitionPeriod", Duration, value T("5m0s"), EVICTION;
        /// Most seconds a pod gets on soft eviction.
        eviction_max_pod_grace_period: i32, "evictionMaxPodGracePeriod", Int32, value Nothing, EVICTION;
        /// Least amount to free per signal.
        eviction_minimum_reclaim: BTreeMap<String, String>, "evictionMinimumReclaim", TextMap, value Nothing, EVICTION;
        /// Fill single missing keys of `evictionHard` with their defaults.
        merge_default_eviction_settings: bool, "mergeDefaultEvictionSettings", Bool, pointer B(false), Effective;
        /// Most pods per CPU. 0: no such limit.
        pods_per_core: i32, "podsPerCore", Int32, value Nothing, Effective;
        /// Volumes are attached by the controller and not by the node.
        enable_controller_attach_detach: bool, "enableControllerAttachDetach", Bool, pointer B(true), Effective;
        /// Refuse to start when kernel settings differ, in place of changing them.
        protect_kernel_defaults: bool, "protectKernelDefaults", Bool, value Nothing, Effective;
        /// Make the iptables chains that other components look for.
        make_iptables_util_chains: bool, "makeIPTablesUtilChains", Bool, pointer B(true), not_yet("iptables chains are not made yet");
        /// Packet mark bit, long unused.
        iptables_masquerade_bit: i32, "iptablesMasqueradeBit", Int32, pointer I(14), NoEffectUpstream;
        /// Packet mark bit, long unused.
        iptables_drop_bit: i32, "iptablesDropBit", Int32, pointer I(15), NoEffectUpstream;
        /// Feature gates.
        feature_gates: BTreeMap<String, bool>, "featureGates", BoolMap, value Nothing, Effective;
        /// Refuse to start when swap is on.
        fail_swap_on: bool, "failSwapOn", Bool, pointer B(true), Effective;
        /// Swap for pods.
        memory_swap: MemorySwap, "memorySwap", Object(MemorySwap::FIELDS), value Nothing, Effective;
        /// Size at which a container's log is rotated. Negative: never.
        container_log_max_size: String, "containerLogMaxSize", Text, value T("10Mi"), Effective;
        /// Log files kept per container.
        container_log_max_files: i32, "containerLogMaxFiles", Int32, pointer I(5), Effective;
        /// Rotations at once.
        container_log_max_workers: i32, "containerLogMaxWorkers", Int32, pointer I(1), Effective;
        /// How often log sizes are looked at.
        container_log_monitor_interval: GoDuration, "containerLogMonitorInterval", Duration, pointer T("10s"), Effective;
        /// How config maps and secrets are followed: `Watch`, `Cache` or `Get`.
        config_map_and_secret_change_detection_strategy: String, "configMapAndSecretChangeDetectionStrategy", Text, value T("Watch"), Support::Differs { how: "`Cache` and `Get` behave as `Watch`" };
        /// Resources kept for system daemons.
        system_reserved: BTreeMap<String, String>, "systemReserved", TextMap, value Nothing, Effective;
        /// Resources kept for Kubernetes' own daemons.
        kube_reserved: BTreeMap<String, String>, "kubeReserved", TextMap, value Nothing, Effective;
        /// CPUs kept for both; wins over the cpu amounts.
        reserved_system_cpus: String, "reservedSystemCPUs", Text, value Nothing, Support::Differs { how: "counts as reserved CPU time; sets of exclusive CPUs are not built yet" };
        /// Show metrics hidden since this version.
        show_hidden_metrics_for_version: String, "showHiddenMetricsForVersion", Text, value Nothing, Support::Differs { how: "no metric is hidden here, so that there is none to show" };
        /// Cgroup of system daemons.
        system_reserved_cgroup: String, "systemReservedCgroup", Text, value Nothing, RESERVED_CGROUPS;
        /// Cgroup of Kubernetes' own daemons.
        kube_reserved_cgroup: String, "kubeReservedCgroup", Text, value Nothing, RESERVED_CGROUPS;
        /// Which reservations are enforced.
        enforce_node_allocatable: Vec<String>, "enforceNodeAllocatable", Texts, value L(&["pods"]), Support::Differs { how: "`pods` and `none` only; the limits on reserved cgroups are not built yet" };
        /// Sysctls that pods may set although they are not safe.
        allowed_unsafe_sysctls: Vec<String>, "allowedUnsafeSysctls", Texts, value Nothing, Effective;
        /// Sysctls for every pod (gate DefaultPodSysctls).
        default_pod_sysctls: BTreeMap<String, String>, "defaultPodSysctls", TextMap, value Nothing, not_yet("default sysctls are not built yet");
        /// Directory of flexvolume drivers.
        volume_plugin_dir: String, "volumePluginDir", Text, value T("/usr/libexec/kubernetes/kubelet-plugins/volume/exec/"), not_yet("flexvolume is not built yet");
        /// The machine's name in the cloud; goes to `spec.providerID`.
        provider_id: String, "providerID", Text, value Nothing, Effective;
        /// Let the kernel notify about memory thresholds.
        kernel_memcg_notification: bool, "kernelMemcgNotification", Bool, value Nothing, EVICTION;
        /// Logging.
        logging: Logging, "logging", Object(Logging::FIELDS), value Nothing, Effective;
        /// Serve `/logs/`.
        enable_system_log_handler: bool, "enableSystemLogHandler", Bool, pointer B(true), Effective;
        /// Serve `/logs/?query=`.
        enable_system_log_query: bool, "enableSystemLogQuery", Bool, pointer B(false), Effective;
        /// Time for all pods on node shutdown. 0: off.
        shutdown_grace_period: GoDuration, "shutdownGracePeriod", Duration, value Nothing, SHUTDOWN;
        /// The part of it that is for critical pods.
        shutdown_grace_period_critical_pods: GoDuration, "shutdownGracePeriodCriticalPods", Duration, value Nothing, SHUTDOWN;
        /// The same by priority.
        shutdown_grace_period_by_pod_priority: Vec<PriorityGrace>, "shutdownGracePeriodByPodPriority", Objects(PriorityGrace::FIELDS), value Nothing, SHUTDOWN;
        /// Restart delays.
        crash_loop_back_off: CrashLoopBackOff, "crashLoopBackOff", Object(CrashLoopBackOff::FIELDS), value Nothing, Effective;
        /// Memory kept per NUMA node.
        reserved_memory: Vec<MemoryReservation>, "reservedMemory", Objects(MemoryReservation::FIELDS), value Nothing, MEMORY;
        /// Serve `/debug/pprof`.
        enable_profiling_handler: bool, "enableProfilingHandler", Bool, pointer B(true), Support::Differs { how: "off answers as upstream does; on, there is no Go runtime to profile" };
        /// Serve `/debug/flags/v`.
        enable_debug_flags_handler: bool, "enableDebugFlagsHandler", Bool, pointer B(true), Effective;
        /// `RuntimeDefault` seccomp for containers that name no profile.
        seccomp_default: bool, "seccompDefault", Bool, pointer B(false), Effective;
        /// Share of a memory limit at which throttling starts.
        memory_throttling_factor: Option<f64>, "memoryThrottlingFactor", Float, pointer Nothing, MEMORY_QOS;
        /// `None` or `TieredReservation`.
        memory_reservation_policy: String, "memoryReservationPolicy", Text, value T("None"), MEMORY_QOS;
        /// Taints given at registration.
        register_with_taints: Vec<TaintSpec>, "registerWithTaints", Objects(TaintSpec::FIELDS), value Nothing, Effective;
        /// Register the node.
        register_node: bool, "registerNode", Bool, pointer B(true), Effective;
        /// OpenTelemetry traces.
        tracing: Option<Tracing>, "tracing", Object(Tracing::FIELDS), pointer Nothing, not_yet("traces are not built yet");
        /// Count and limit local ephemeral storage.
        local_storage_capacity_isolation: bool, "localStorageCapacityIsolation", Bool, pointer B(true), Support::Differs { how: "counts `ephemeral-storage` in the node and in what pods request; limits on its use come with eviction, which is not built yet" };
        /// Socket of the container runtime.
        container_runtime_endpoint: String, "containerRuntimeEndpoint", Text, value T("unix:///run/containerd/containerd.sock"), Effective;
        /// Socket for images. Empty: the same.
        image_service_endpoint: String, "imageServiceEndpoint", Text, value Nothing, Effective;
        /// Refuse hosts with cgroup v1.
        fail_cgroup_v1: bool, "failCgroupV1", Bool, pointer B(true), Effective;
        /// User namespaces.
        user_namespaces: Option<UserNamespaces>, "userNamespaces", Object(UserNamespaces::FIELDS), pointer Nothing, Effective;
    }
}
