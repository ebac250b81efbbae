//! Every flag of upstream's kubelet 1.37.2, sorted by name.
//!
//! Name, type, default and deprecation are upstream's; the texts are ours. The text of a flag that writes a
//! configuration field is that field's.

use super::{
    Deprecation::{self, Because, ConfigFile, No},
    Flag, Kind,
};
use crate::config::{schema, v1beta1::KubeletConfiguration};

/// A flag of its own.
const fn own(
    name: &'static str,
    kind: Kind,
    default: &'static str,
    deprecated: Deprecation,
    help: &'static str,
) -> Flag {
    Flag { name, short: None, kind, default, help, deprecated, field: None }
}

/// A flag that writes a field, and is deprecated in favour of it.
const fn field(name: &'static str, kind: Kind, default: &'static str, field: &'static str) -> Flag {
    Flag { name, short: None, kind, default, help: "", deprecated: ConfigFile, field: Some(field) }
}

/// A flag that writes a field and stays.
const fn kept(
    name: &'static str,
    short: Option<char>,
    kind: Kind,
    default: &'static str,
    field: &'static str,
) -> Flag {
    Flag { name, short, kind, default, help: "", deprecated: No, field: Some(field) }
}

const DEAD_CONTAINERS: Deprecation =
    Because("Use --eviction-hard or --eviction-soft instead. Will be removed in a future version.");

/// The table.
pub const FLAGS: &[Flag] = &[
    field("address", Kind::Ip, "0.0.0.0", "address"),
    field("allowed-unsafe-sysctls", Kind::Texts, "[]", "allowedUnsafeSysctls"),
    field("anonymous-auth", Kind::Bool, "true", "authentication.anonymous.enabled"),
    field("authentication-token-webhook", Kind::Bool, "false", "authentication.webhook.enabled"),
    field(
        "authentication-token-webhook-cache-ttl",
        Kind::Duration,
        "2m0s",
        "authentication.webhook.cacheTTL",
    ),
    field("authorization-mode", Kind::Text, "AlwaysAllow", "authorization.mode"),
    field(
        "authorization-webhook-cache-authorized-ttl",
        Kind::Duration,
        "5m0s",
        "authorization.webhook.cacheAuthorizedTTL",
    ),
    field(
        "authorization-webhook-cache-unauthorized-ttl",
        Kind::Duration,
        "30s",
        "authorization.webhook.cacheUnauthorizedTTL",
    ),
    own(
        "bootstrap-kubeconfig",
        Kind::Text,
        "",
        No,
        "Credentials that may only ask for a client certificate. Used when the file of --kubeconfig is missing, unreadable or has no valid certificate; the result is written to that file.",
    ),
    own(
        "cert-dir",
        Kind::Text,
        "/var/lib/kubelet/pki",
        No,
        "Directory of the certificates that this process makes or gets.",
    ),
    field("cgroup-driver", Kind::Text, "cgroupfs", "cgroupDriver"),
    field("cgroup-root", Kind::Text, "", "cgroupRoot"),
    field("cgroups-per-qos", Kind::Bool, "true", "cgroupsPerQOS"),
    field("client-ca-file", Kind::Text, "", "authentication.x509.clientCAFile"),
    own(
        "cloud-provider",
        Kind::Text,
        "",
        No,
        "Empty, or 'external' when a cloud controller manager completes the node.",
    ),
    field("cluster-dns", Kind::Texts, "[]", "clusterDNS"),
    field("cluster-domain", Kind::Text, "", "clusterDomain"),
    own("config", Kind::Text, "", No, "KubeletConfiguration file, YAML or JSON. Flags win over it."),
    own(
        "config-dir",
        Kind::Text,
        "",
        No,
        "Directory of drop-ins for that configuration: every *.conf below it, in lexical order, as JSON merge patches.",
    ),
    field("container-log-max-files", Kind::Int32, "5", "containerLogMaxFiles"),
    field("container-log-max-size", Kind::Text, "10Mi", "containerLogMaxSize"),
    field(
        "container-runtime-endpoint",
        Kind::Text,
        "unix:///run/containerd/containerd.sock",
        "containerRuntimeEndpoint",
    ),
    field("contention-profiling", Kind::Bool, "false", "enableContentionProfiling"),
    field("cpu-cfs-quota", Kind::Bool, "true", "cpuCFSQuota"),
    field("cpu-cfs-quota-period", Kind::Duration, "100ms", "cpuCFSQuotaPeriod"),
    field("cpu-manager-policy", Kind::Text, "none", "cpuManagerPolicy"),
    field("cpu-manager-policy-options", Kind::TextMapUnsplit, "", "cpuManagerPolicyOptions"),
    field("cpu-manager-reconcile-period", Kind::Duration, "10s", "cpuManagerReconcilePeriod"),
    field("enable-controller-attach-detach", Kind::Bool, "true", "enableControllerAttachDetach"),
    field("enable-debugging-handlers", Kind::Bool, "true", "enableDebuggingHandlers"),
    field("enable-server", Kind::Bool, "true", "enableServer"),
    field("enforce-node-allocatable", Kind::Texts, "[pods]", "enforceNodeAllocatable"),
    field("event-burst", Kind::Int32, "100", "eventBurst"),
    field("event-qps", Kind::Int32, "50", "eventRecordQPS"),
    field("eviction-hard", Kind::AngleMap, "", "evictionHard"),
    field("eviction-max-pod-grace-period", Kind::Int32, "0", "evictionMaxPodGracePeriod"),
    field("eviction-minimum-reclaim", Kind::TextMap, "", "evictionMinimumReclaim"),
    field("eviction-pressure-transition-period", Kind::Duration, "5m0s", "evictionPressureTransitionPeriod"),
    field("eviction-soft", Kind::AngleMap, "", "evictionSoft"),
    field("eviction-soft-grace-period", Kind::TextMap, "", "evictionSoftGracePeriod"),
    own(
        "exit-on-lock-contention",
        Kind::Bool,
        "false",
        No,
        "End when another process opens the file of --lock-file.",
    ),
    own(
        "experimental-allocatable-ignore-eviction",
        Kind::Bool,
        "false",
        Because("will be removed in 1.25 or later."),
        "Leave the hard eviction thresholds out of allocatable.",
    ),
    own(
        "experimental-mounter-path",
        Kind::Text,
        "",
        Because("will be removed in 1.25 or later. in favor of using CSI."),
        "Program that mounts in place of mount(8).",
    ),
    kept("fail-cgroupv1", None, Kind::Bool, "true", "failCgroupV1"),
    field("fail-swap-on", Kind::Bool, "true", "failSwapOn"),
    field("feature-gates", Kind::BoolMap, "", "featureGates"),
    field("file-check-frequency", Kind::Duration, "20s", "fileCheckFrequency"),
    field("hairpin-mode", Kind::Text, "promiscuous-bridge", "hairpinMode"),
    field("healthz-bind-address", Kind::Ip, "127.0.0.1", "healthzBindAddress"),
    field("healthz-port", Kind::Int32, "10248", "healthzPort"),
    Flag { short: Some('h'), ..own("help", Kind::Bool, "false", No, "Print this text.") },
    own("hostname-override", Kind::Text, "", No, "Node name in place of the machine's host name."),
    own("housekeeping-interval", Kind::Duration, "10s", No, "How often container statistics are collected."),
    field("http-check-frequency", Kind::Duration, "20s", "httpCheckFrequency"),
    own(
        "image-credential-provider-bin-dir",
        Kind::Text,
        "",
        No,
        "Directory of the programs that provide image pull credentials.",
    ),
    own(
        "image-credential-provider-config",
        Kind::Text,
        "",
        No,
        "Their configuration: a file, or a directory of JSON and YAML files.",
    ),
    field("image-gc-high-threshold", Kind::Int32, "85", "imageGCHighThresholdPercent"),
    field("image-gc-low-threshold", Kind::Int32, "80", "imageGCLowThresholdPercent"),
    field("image-service-endpoint", Kind::Text, "", "imageServiceEndpoint"),
    field("kernel-memcg-notification", Kind::Bool, "false", "kernelMemcgNotification"),
    field("kube-api-burst", Kind::Int32, "100", "kubeAPIBurst"),
    field("kube-api-content-type", Kind::Text, "application/vnd.kubernetes.protobuf", "contentType"),
    field("kube-api-qps", Kind::Int32, "50", "kubeAPIQPS"),
    field("kube-reserved", Kind::TextMap, "", "kubeReserved"),
    field("kube-reserved-cgroup", Kind::Text, "", "kubeReservedCgroup"),
    own(
        "kubeconfig",
        Kind::Text,
        "",
        No,
        "Address of and credentials for the API server. Empty: run the static pods only.",
    ),
    field("kubelet-cgroups", Kind::Text, "", "kubeletCgroups"),
    field("local-storage-capacity-isolation", Kind::Bool, "true", "localStorageCapacityIsolation"),
    own("lock-file", Kind::Text, "", No, "File to hold a lock on while running."),
    kept("log-flush-frequency", None, Kind::Duration, "5s", "logging.flushFrequency"),
    field("log-json-info-buffer-size", Kind::Quantity, "0", "logging.options.json.infoBufferSize"),
    field("log-json-split-stream", Kind::Bool, "false", "logging.options.json.splitStream"),
    field("log-text-info-buffer-size", Kind::Quantity, "0", "logging.options.text.infoBufferSize"),
    field("log-text-split-stream", Kind::Bool, "false", "logging.options.text.splitStream"),
    field("logging-format", Kind::Text, "text", "logging.format"),
    field("make-iptables-util-chains", Kind::Bool, "true", "makeIPTablesUtilChains"),
    field("manifest-url", Kind::Text, "", "staticPodURL"),
    field("manifest-url-header", Kind::ColonMultimap, "", "staticPodURLHeader"),
    field("max-open-files", Kind::Int64, "1000000", "maxOpenFiles"),
    field("max-pods", Kind::Int32, "110", "maxPods"),
    own(
        "maximum-dead-containers",
        Kind::Int32,
        "-1",
        DEAD_CONTAINERS,
        "Most dead containers kept on the node. Negative: no limit.",
    ),
    own(
        "maximum-dead-containers-per-container",
        Kind::Int32,
        "1",
        DEAD_CONTAINERS,
        "Dead instances kept per container.",
    ),
    field("memory-manager-policy", Kind::Text, "None", "memoryManagerPolicy"),
    own(
        "minimum-container-ttl-duration",
        Kind::Duration,
        "0s",
        DEAD_CONTAINERS,
        "Least age at which a dead container is removed.",
    ),
    field("minimum-image-ttl-duration", Kind::Duration, "2m0s", "imageMinimumGCAge"),
    own(
        "node-ip",
        Kind::Text,
        "",
        No,
        "Address of the node, or an IPv4 and an IPv6 one with a comma between. '0.0.0.0' or '::' prefer a family.",
    ),
    own(
        "node-labels",
        Kind::Labels,
        "",
        No,
        "Labels given at registration, key=value,... Those of 'kubernetes.io' and 'k8s.io' must be allowed ones.",
    ),
    field("node-status-max-images", Kind::Int32, "50", "nodeStatusMaxImages"),
    field("node-status-update-frequency", Kind::Duration, "10s", "nodeStatusUpdateFrequency"),
    field("oom-score-adj", Kind::Int32, "-999", "oomScoreAdj"),
    field("pod-cidr", Kind::Text, "", "podCIDR"),
    field("pod-manifest-path", Kind::Text, "", "staticPodPath"),
    field("pod-max-pids", Kind::Int64, "-1", "podPidsLimit"),
    field("pods-per-core", Kind::Int32, "0", "podsPerCore"),
    field("port", Kind::Int32, "10250", "port"),
    field("protect-kernel-defaults", Kind::Bool, "false", "protectKernelDefaults"),
    kept("provider-id", None, Kind::Text, "", "providerID"),
    field("qos-reserved", Kind::TextMap, "", "qosReserved"),
    field("read-only-port", Kind::Int32, "10255", "readOnlyPort"),
    field("register-node", Kind::Bool, "true", "registerNode"),
    field("register-with-taints", Kind::Taints, "", "registerWithTaints"),
    field("registry-burst", Kind::Int32, "10", "registryBurst"),
    field("registry-qps", Kind::Int32, "5", "registryPullQPS"),
    field("reserved-cpus", Kind::Text, "", "reservedSystemCPUs"),
    field("reserved-memory", Kind::ReservedMemory, "", "reservedMemory"),
    field("resolv-conf", Kind::Text, "/etc/resolv.conf", "resolvConf"),
    own("root-dir", Kind::Text, "/var/lib/kubelet", No, "Directory of pod volumes and state."),
    field("rotate-certificates", Kind::Bool, "false", "rotateCertificates"),
    field("rotate-server-certificates", Kind::Bool, "false", "serverTLSBootstrap"),
    field("runonce", Kind::Bool, "false", "runOnce"),
    own("runtime-cgroups", Kind::Text, "", No, "The runtime's cgroup, for statistics."),
    field("runtime-request-timeout", Kind::Duration, "2m0s", "runtimeRequestTimeout"),
    own(
        "seccomp-default",
        Kind::Bool,
        "false",
        No,
        "RuntimeDefault seccomp for containers that name no profile; true wins over seccompDefault: false.",
    ),
    field("serialize-image-pulls", Kind::Bool, "true", "serializeImagePulls"),
    field("streaming-connection-idle-timeout", Kind::Duration, "4h0m0s", "streamingConnectionIdleTimeout"),
    field("sync-frequency", Kind::Duration, "1m0s", "syncFrequency"),
    field("system-cgroups", Kind::Text, "", "systemCgroups"),
    field("system-reserved", Kind::TextMap, "", "systemReserved"),
    field("system-reserved-cgroup", Kind::Text, "", "systemReservedCgroup"),
    field("tls-cert-file", Kind::Text, "", "tlsCertFile"),
    field("tls-cipher-suites", Kind::Texts, "[]", "tlsCipherSuites"),
    field("tls-min-version", Kind::Text, "", "tlsMinVersion"),
    field("tls-private-key-file", Kind::Text, "", "tlsPrivateKeyFile"),
    field("topology-manager-policy", Kind::Text, "none", "topologyManagerPolicy"),
    field("topology-manager-policy-options", Kind::TextMap, "", "topologyManagerPolicyOptions"),
    field("topology-manager-scope", Kind::Text, "container", "topologyManagerScope"),
    kept("v", Some('v'), Kind::Level, "0", "logging.verbosity"),
    own(
        "version",
        Kind::Version,
        "false",
        No,
        "Print the version and end; =raw prints more, =vX.Y.Z sets the version that is reported.",
    ),
    kept("vmodule", None, Kind::VModule, "", "logging.vmodule"),
    field(
        "volume-plugin-dir",
        Kind::Text,
        "/usr/libexec/kubernetes/kubelet-plugins/volume/exec/",
        "volumePluginDir",
    ),
    field("volume-stats-agg-period", Kind::Duration, "1m0s", "volumeStatsAggPeriod"),
];

/// Looks a flag up by its name (`-` only).
#[must_use]
pub fn find(name: &str) -> Option<&'static Flag> {
    FLAGS.binary_search_by(|flag| flag.name.cmp(name)).ok().map(|index| &FLAGS[index])
}

/// Looks up the flag that writes a field.
#[must_use]
pub fn writing(path: &str) -> Option<&'static Flag> {
    FLAGS.iter().find(|flag| flag.field == Some(path))
}

impl Flag {
    /// What it does.
    #[must_use]
    pub fn text(&self) -> &'static str {
        match self.field.and_then(|path| schema::find(KubeletConfiguration::FIELDS, path)) {
            Some(field) => field.doc.trim(),
            None => self.help,
        }
    }
}
