//! Flags of older kubelets. Upstream 1.37 refuses them as unknown; we accept and ignore them with a warning, so that
//! the unit file of an older node still starts. Their old types are needed to know whether a value follows.

use super::value::parse_bool;

/// A flag that upstream has dropped.
#[derive(Debug)]
pub struct Removed {
    /// Long name (`-` for `_`).
    pub name: &'static str,
    /// Whether a value belonged to it.
    pub form: Form,
    /// First release without it; `None` when it went before 1.37 at a release that we did not look up.
    pub since: Option<&'static str>,
    /// What there is in its place.
    pub replaced_by: &'static str,
}

/// Whether a value belongs to a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Bool: only joined by `=`.
    Switch,
    /// A value always follows.
    Value,
    /// A value follows, and only these are harmless to ignore; for others the second text says what to do.
    Only(&'static [&'static str], &'static str),
}

impl Removed {
    /// The value of the flag without one; `None` when one follows.
    #[must_use]
    pub fn implied(&self) -> Option<&'static str> {
        (self.form == Form::Switch).then_some("true")
    }

    /// A hint, when ignoring this value would start a node that cannot do what was asked.
    #[must_use]
    pub fn refuses(&self, text: &str) -> Option<&'static str> {
        match self.form {
            Form::Only(harmless, hint) if !harmless.contains(&text) => Some(hint),
            Form::Switch if parse_bool(text).is_none() => {
                Some("write =true or =false, or better delete the flag")
            }
            _ => None,
        }
    }

    /// The warning.
    #[must_use]
    pub fn warning(&self) -> String {
        let since = self
            .since
            .map_or_else(|| "before Kubernetes 1.37".to_owned(), |since| format!("in Kubernetes {since}"));
        format!("Flag --{} was removed {since} and is ignored: {}", self.name, self.replaced_by)
    }
}

const fn value(name: &'static str, since: &'static str, replaced_by: &'static str) -> Removed {
    Removed { name, form: Form::Value, since: Some(since), replaced_by }
}

const fn switch(name: &'static str, since: &'static str, replaced_by: &'static str) -> Removed {
    Removed { name, form: Form::Switch, since: Some(since), replaced_by }
}

const fn old(name: &'static str, form: Form, replaced_by: &'static str) -> Removed {
    Removed { name, form, since: None, replaced_by }
}

const CADVISOR: &str = "it configured cAdvisor, and nothing replaces it";
const DOCKER: &str = "Docker is no container runtime for Kubernetes any more; use containerd or CRI-O with --container-runtime-endpoint";
const CNI: &str = "the container runtime sets up the network; configure CNI there";
const KLOG: &str = "logs go to standard error; let the service manager store them, and use --v, --vmodule and --logging-format";
const RKT: &str = "rkt is gone; use containerd or CRI-O with --container-runtime-endpoint";
const IPTABLES: &str = "packets are not marked any more; kube-proxy has its own setting";
const HOST_SOURCES: &str = "use Pod Security admission to restrict host namespaces";

/// The flags, sorted by name.
pub const REMOVED: &[Removed] = &[
    switch("add-dir-header", "1.26", KLOG),
    switch(
        "allow-privileged",
        "1.15",
        "privileged containers are allowed; use Pod Security admission to restrict them",
    ),
    switch("alsologtostderr", "1.26", KLOG),
    old("api-servers", Form::Value, "use --kubeconfig"),
    value("application-metrics-count-limit", "1.37", CADVISOR),
    old("azure-container-registry-config", Form::Value, "use --image-credential-provider-config"),
    value("boot-id-file", "1.37", CADVISOR),
    old("bootstrap-checkpoint-path", Form::Value, "use static pods (staticPodPath)"),
    old(
        "cadvisor-port",
        Form::Value,
        "statistics are served on the kubelet's port under /metrics/cadvisor and /stats/summary",
    ),
    old("chaos-chance", Form::Value, "nothing replaces it"),
    old(
        "cloud-config",
        Form::Value,
        "cloud providers run outside; use --cloud-provider=external and configure the cloud controller manager",
    ),
    value("cni-bin-dir", "1.24", CNI),
    value("cni-cache-dir", "1.24", CNI),
    value("cni-conf-dir", "1.24", CNI),
    old("configure-cbr0", Form::Switch, CNI),
    value("container-hints", "1.37", CADVISOR),
    Removed {
        name: "container-runtime",
        form: Form::Only(
            &["remote", ""],
            "Docker and rkt are gone: install containerd or CRI-O, set --container-runtime-endpoint to its socket and delete this flag",
        ),
        since: Some("1.27"),
        replaced_by: "every runtime is remote; --container-runtime-endpoint says where it is",
    },
    value(
        "containerd",
        "1.37",
        "it configured cAdvisor; the runtime's socket is --container-runtime-endpoint",
    ),
    value("containerd-namespace", "1.37", CADVISOR),
    old("containerized", Form::Switch, "run the kubelet on the host"),
    old("docker", Form::Value, DOCKER),
    old("docker-disable-shared-pid", Form::Switch, "use shareProcessNamespace in the pod"),
    value("docker-endpoint", "1.24", DOCKER),
    old("docker-env-metadata-whitelist", Form::Value, DOCKER),
    old("docker-exec-handler", Form::Value, DOCKER),
    old("docker-only", Form::Switch, DOCKER),
    old("docker-root", Form::Value, DOCKER),
    old("docker-tls", Form::Switch, DOCKER),
    old("docker-tls-ca", Form::Value, DOCKER),
    old("docker-tls-cert", Form::Value, DOCKER),
    old("docker-tls-key", Form::Value, DOCKER),
    value(
        "dynamic-config-dir",
        "1.24",
        "use --config and --config-dir, and restart the kubelet after a change",
    ),
    switch("enable-cadvisor-json-endpoints", "1.21", "use /stats/summary and /metrics/cadvisor"),
    old("enable-custom-metrics", Form::Switch, "nothing replaces it"),
    switch("enable-load-reader", "1.37", CADVISOR),
    value("event-storage-age-limit", "1.37", CADVISOR),
    value("event-storage-event-limit", "1.37", CADVISOR),
    old("experimental-allowed-unsafe-sysctls", Form::Value, "use --allowed-unsafe-sysctls"),
    old("experimental-bootstrap-kubeconfig", Form::Value, "use --bootstrap-kubeconfig"),
    old("experimental-check-node-capabilities-before-mount", Form::Switch, "nothing replaces it"),
    old("experimental-cgroups-per-qos", Form::Switch, "use --cgroups-per-qos"),
    old("experimental-dockershim", Form::Switch, DOCKER),
    value("experimental-dockershim-root-directory", "1.24", DOCKER),
    old("experimental-fail-swap-on", Form::Switch, "use --fail-swap-on"),
    old("experimental-kernel-memcg-notification", Form::Switch, "use --kernel-memcg-notification"),
    old("experimental-qos-reserved", Form::Value, "use --qos-reserved"),
    value("global-housekeeping-interval", "1.37", CADVISOR),
    old("host-ipc-sources", Form::Value, HOST_SOURCES),
    old("host-network-sources", Form::Value, HOST_SOURCES),
    old("host-pid-sources", Form::Value, HOST_SOURCES),
    value("image-pull-progress-deadline", "1.24", "the container runtime has its own setting"),
    old("iptables-drop-bit", Form::Value, IPTABLES),
    old("iptables-masquerade-bit", Form::Value, IPTABLES),
    old("keep-terminated-pod-volumes", Form::Switch, "volumes of terminated pods are always removed"),
    value("log-backtrace-at", "1.26", KLOG),
    switch("log-cadvisor-usage", "1.37", CADVISOR),
    value("log-dir", "1.26", KLOG),
    value("log-file", "1.26", KLOG),
    value("log-file-max-size", "1.26", KLOG),
    switch("logtostderr", "1.26", KLOG),
    value("machine-id-file", "1.37", CADVISOR),
    old("master-service-namespace", Form::Value, "the service `kubernetes` in namespace `default` is used"),
    value("max-housekeeping-interval", "1.37", CADVISOR),
    value("network-plugin", "1.24", CNI),
    old("network-plugin-dir", Form::Value, CNI),
    value("network-plugin-mtu", "1.24", CNI),
    value("non-masquerade-cidr", "1.24", "the network plugin decides what is masqueraded"),
    switch("one-output", "1.26", KLOG),
    value(
        "pod-infra-container-image",
        "1.35",
        "the container runtime knows its sandbox image and keeps it from garbage collection",
    ),
    old("really-crash-for-testing", Form::Switch, "nothing replaces it"),
    old("reconcile-cidr", Form::Switch, CNI),
    old("redirect-container-streaming", Form::Switch, "streams go through the kubelet"),
    old(
        "register-schedulable",
        Form::Switch,
        "use --register-with-taints=node.kubernetes.io/unschedulable:NoSchedule, or kubectl cordon",
    ),
    old("require-kubeconfig", Form::Switch, "--kubeconfig is used when it is given"),
    old("rkt-api-endpoint", Form::Value, RKT),
    old("rkt-path", Form::Value, RKT),
    old("rkt-stage1-image", Form::Value, RKT),
    old("seccomp-profile-root", Form::Value, "profiles are in <root-dir>/seccomp"),
    switch("skip-headers", "1.26", KLOG),
    switch("skip-log-headers", "1.26", KLOG),
    value("stderrthreshold", "1.26", KLOG),
    value("storage-driver-buffer-duration", "1.37", CADVISOR),
    value("storage-driver-db", "1.37", CADVISOR),
    value("storage-driver-host", "1.37", CADVISOR),
    value("storage-driver-password", "1.37", CADVISOR),
    switch("storage-driver-secure", "1.37", CADVISOR),
    value("storage-driver-table", "1.37", CADVISOR),
    value("storage-driver-user", "1.37", CADVISOR),
];

/// Looks a removed flag up by its name (`-` only).
#[must_use]
pub fn find(name: &str) -> Option<&'static Removed> {
    REMOVED.iter().find(|flag| flag.name == name)
}
