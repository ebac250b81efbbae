//! One row per rule: what is set, and the words that the operator finds.

use std::io::Write as _;

use super::*;
use crate::{
    config::{API_VERSION, KIND, load, problem},
    flags,
};

fn problems(body: &str, args: &[&str]) -> Vec<Problem> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    write!(file, "apiVersion: {API_VERSION}\nkind: {KIND}\n{body}\n").unwrap();
    let mut all = vec![format!("--config={}", file.path().display())];
    all.extend(args.iter().map(|arg| (*arg).to_owned()));
    let flags = flags::parse(all).unwrap();
    let mut loaded = load(&flags).map_err(|problems| problem::summary(&problems)).unwrap();
    let mut found = std::mem::take(&mut loaded.problems);
    found.extend(validate(&loaded, &flags));
    found
}

#[test]
fn the_defaults_are_valid() {
    assert_eq!(problems("", &[]), []);
    let flags = flags::parse(Vec::new()).unwrap();
    assert_eq!(validate(&load(&flags).unwrap(), &flags), []);
}

#[test]
fn each_rule_has_upstreams_words() {
    for (body, words) in [
        (
            "tlsCertFile: /c.crt",
            "tlsPrivateKeyFile (--tls-private-key-file) must be specified together with \"/c.crt\"",
        ),
        (
            "tlsPrivateKeyFile: /c.key",
            "tlsCertFile (--tls-cert-file) must be specified together with \"/c.key\"",
        ),
        ("nodeLeaseDurationSeconds: -1", "nodeLeaseDurationSeconds must be greater than 0"),
        (
            "systemCgroups: /a",
            "systemCgroups (--system-cgroups) was specified and cgroupRoot (--cgroup-root) was not specified",
        ),
        ("eventBurst: -1", "eventBurst (--event-burst) -1 must not be a negative number"),
        ("eventRecordQPS: -1", "eventRecordQPS (--event-qps) -1 must not be a negative number"),
        ("healthzPort: 70000", "healthzPort (--healthz-port) 70000 must be between 1 and 65535, inclusive"),
        (
            "cpuCFSQuotaPeriod: 2s",
            "cpuCFSQuotaPeriod (--cpu-cfs-quota-period) 2s must be between 1ms and 1sec, inclusive",
        ),
        (
            "cpuCFSQuotaPeriod: 50ms\nfeatureGates: {CustomCPUCFSQuotaPeriod: false}",
            "requires feature gate CustomCPUCFSQuotaPeriod",
        ),
        (
            "imageGCHighThresholdPercent: 101",
            "imageGCHighThresholdPercent (--image-gc-high-threshold) 101 must be between 0 and 100",
        ),
        (
            "imageGCLowThresholdPercent: -1",
            "imageGCLowThresholdPercent (--image-gc-low-threshold) -1 must be between 0 and 100",
        ),
        (
            "imageGCLowThresholdPercent: 85",
            "must be less than imageGCHighThresholdPercent (--image-gc-high-threshold) 85",
        ),
        ("defaultPodSysctls: {net.a: \"1\"}", "DefaultPodSysctls feature gate is required"),
        (
            "featureGates: {DefaultPodSysctls: true}\ndefaultPodSysctls: {NET: \"1\"}",
            "is not a valid sysctl name",
        ),
        (
            "featureGates: {DefaultPodSysctls: true}\ndefaultPodSysctls: {vm.swappiness: \"1\"}",
            "is not known to be namespaced",
        ),
        (
            "featureGates: {DefaultPodSysctls: true}\ndefaultPodSysctls: {net.a.b: \"1\", net/a/b: \"1\"}",
            "duplicate sysctl \"net.a.b\"",
        ),
        ("imageMinimumGCAge: -1s", "imageMinimumGCAge -1s must not be negative"),
        ("imageMaximumGCAge: 1m", "imageMaximumGCAge 1m0s must be greater than imageMinimumGCAge 2m0s"),
        ("iptablesDropBit: 32", "iptablesDropBit 32 must be between 0 and 31"),
        ("kubeAPIBurst: -1", "kubeAPIBurst (--kube-api-burst) -1 must not be a negative number"),
        (
            "nodeStatusMaxImages: -2",
            "nodeStatusMaxImages (--node-status-max-images) -2 must be -1 or greater",
        ),
        ("maxOpenFiles: -1", "maxOpenFiles (--max-open-files) -1 must not"),
        ("maxPods: -1", "maxPods (--max-pods) -1 must not"),
        ("oomScoreAdj: -1001", "oomScoreAdj (--oom-score-adj) -1001 must be between -1000 and 1000"),
        ("podsPerCore: -1", "podsPerCore (--pods-per-core) -1 must not"),
        ("port: 70000", "port (--port) 70000 must be between 1 and 65535"),
        ("readOnlyPort: -1", "readOnlyPort (--read-only-port) -1 must be between 0 and 65535"),
        ("registryPullQPS: -1", "registryPullQPS (--registry-qps) -1 must not"),
        ("maxParallelImagePulls: 0", "maxParallelImagePulls 0 must be a positive number"),
        (
            "maxParallelImagePulls: 5\nserializeImagePulls: true",
            "cannot be larger than 1 unless SerializeImagePulls",
        ),
        (
            "serverTLSBootstrap: true\nfeatureGates: {RotateKubeletServerCertificate: false}",
            "requires feature gate RotateKubeletServerCertificate",
        ),
        ("runOnce: true", "Runonce mode has been deprecated"),
        ("registerWithTaints: [{key: a, effect: Never}]", "invalid taint: a=:Never"),
        (
            "registerWithTaints: [{key: a, effect: NoSchedule, timeAdded: \"2020-01-01T00:00:00Z\"}]",
            "taint.TimeAdded is not nil",
        ),
        (
            "topologyManagerPolicy: best",
            "topologyManagerPolicy (--topology-manager-policy) \"best\" must be one of",
        ),
        (
            "topologyManagerScope: node",
            "topologyManagerScope (--topology-manager-scope) \"node\" must be one of",
        ),
        ("cpuManagerPolicy: dynamic", "unknown policy: \"dynamic\""),
        ("memoryManagerPolicy: static", "unknown policy: \"static\""),
        (
            "shutdownGracePeriod: 5s\nshutdownGracePeriodCriticalPods: 6s",
            "shutdownGracePeriodCriticalPods 6s must be <= shutdownGracePeriod 5s",
        ),
        ("shutdownGracePeriod: 5ms", "shutdownGracePeriod 5ms must be either zero or otherwise >= 1 sec"),
        (
            "shutdownGracePeriod: 5s\nshutdownGracePeriodByPodPriority: [{priority: 1, shutdownGracePeriodSeconds: 1}]",
            "Cannot specify both shutdownGracePeriodByPodPriority",
        ),
        ("memorySwap: {swapBehavior: Unlimited}", "memorySwap.swapBehavior \"Unlimited\" must be one of"),
        ("crashLoopBackOff: {maxContainerRestartPeriod: 301s}", "must be set between 1s and 300s"),
        ("crashLoopBackOff: {maxContainerRestartPeriod: 500ms}", "(got: 0.5 seconds)"),
        ("enforceNodeAllocatable: [pods, pods]", "duplicated enforcements \"pods\""),
        ("enforceNodeAllocatable: [pods, none]", "may not contain additional enforcements"),
        (
            "enforceNodeAllocatable: [everything]",
            "option \"everything\" specified for enforceNodeAllocatable",
        ),
        (
            "enforceNodeAllocatable: [system-reserved]",
            "systemReservedCgroup (--system-reserved-cgroup) must be specified",
        ),
        (
            "enforceNodeAllocatable: [kube-reserved, kube-reserved-compressible]\nkubeReservedCgroup: /k",
            "cannot be specified together",
        ),
        ("cgroupsPerQOS: false", "cgroupsPerQOS (--cgroups-per-qos) must be set to true when \"pods\""),
        ("hairpinMode: loop", "option \"loop\" specified for hairpinMode (--hairpin-mode)"),
        (
            "imagePullCredentialsVerificationPolicy: Sometimes",
            "option \"Sometimes\" specified for imagePullCredentialsVerificationPolicy",
        ),
        ("preloadedImagesVerificationAllowlist: [a]", "can't set `preloadedImagesVerificationAllowlist`"),
        (
            "imagePullCredentialsVerificationPolicy: NeverVerifyAllowlistedImages\npreloadedImagesVerificationAllowlist: [\"a:1\"]",
            "neither tag nor digest",
        ),
        (
            "imagePullCredentialsVerificationPolicy: NeverVerifyAllowlistedImages\npreloadedImagesVerificationAllowlist: [\"a*\"]",
            "only patterns ending with '/*'",
        ),
        ("reservedSystemCPUs: a", "unable to parse reservedSystemCPUs (--reserved-cpus) a"),
        ("reservedSystemCPUs: \"0\"\nkubeReservedCgroup: /k", "can't use reservedSystemCPUs"),
        (
            "reservedMemory: [{numaNode: 0, limits: {cpu: 1}}]",
            "the limit type \"cpu\" for NUMA node 0 is not supported",
        ),
        ("reservedMemory: [{numaNode: 0, limits: {memory: 0}}]", "reserved memory may not be zero"),
        (
            "reservedMemory: [{numaNode: 0, limits: {memory: 1}}, {numaNode: 0, limits: {memory: 1}}]",
            "duplicate value for NUMA node 0",
        ),
        ("showHiddenMetricsForVersion: \"1.35\"", "only the previous minor version is allowed"),
        ("logging: {format: xml}", "logging.format: Invalid value: \"xml\": Unsupported log format"),
        (
            "logging: {format: json, vmodule: [{filePattern: a, verbosity: 1}]}",
            "Only supported for text log format",
        ),
        ("logging: {options: {text: {splitStream: true}}}", "Feature LoggingAlphaOptions is disabled"),
        ("tracing: {samplingRatePerMillion: -1}", "sampling rate must be positive"),
        ("tracing: {endpoint: \"http://x\"}", "unsupported scheme: http"),
        ("memoryThrottlingFactor: 1.5", "memoryThrottlingFactor 1.5 must be greater than 0"),
        (
            "memoryThrottlingFactor: 0.8\nfeatureGates: {MemoryQoS: false}",
            "memoryThrottlingFactor must not be set when MemoryQoS",
        ),
        ("memoryReservationPolicy: Some", "option \"Some\" specified for memoryReservationPolicy"),
        ("containerRuntimeEndpoint: tcp://x", "protocol \"tcp\" not supported"),
        (
            "enableSystemLogQuery: true\nenableSystemLogHandler: false",
            "enableSystemLogHandler is required for enableSystemLogQuery",
        ),
        ("containerLogMaxWorkers: 0", "containerLogMaxWorkers must be greater than or equal to 1"),
        ("containerLogMonitorInterval: 2s", "containerLogMonitorInterval must be a positive time duration"),
        ("containerLogMaxFiles: 1", "containerLogMaxFiles must be greater than 1"),
        ("containerLogMaxSize: big", "containerLogMaxSize (--container-log-max-size) \"big\""),
        ("podLogsDir: /a/../b", "must be normalized"),
        ("podLogsDir: /ä", "ASCII characters only"),
        ("userNamespaces: {idsPerPod: 65537}", "must be a multiple of 65536"),
        ("evictionHard: {memory: 1}", ""),
        (
            "evictionSoft: {memory.available: \"1\"}",
            "grace period must be specified for the soft eviction threshold memory.available",
        ),
        ("systemReserved: {disk: \"1\"}", "cannot reserve \"disk\" resource"),
        ("kubeReserved: {cpu: \"-1\"}", "resource quantity for \"cpu\" cannot be negative: -1"),
        (
            "qosReserved: {memory: 110%}\nfeatureGates: {QOSReserved: true}",
            "failed to parse percentage \"110%\"",
        ),
        ("tlsCipherSuites: [NONE]", "Cipher suite NONE not supported or doesn't exist"),
        ("tlsMinVersion: TLS1.2", "unknown tls version \"TLS1.2\""),
        ("tlsCurvePreferences: [29, 29]", "duplicate curve preference 29"),
        ("authorization: {mode: RBAC}", "unknown authorization mode RBAC"),
        (
            "configMapAndSecretChangeDetectionStrategy: Poll",
            "unknown configmap and secret manager mode: Poll",
        ),
        ("featureGates: {Nonsense: true}", "unrecognized feature gate: Nonsense"),
        (
            "featureGates: {NodeSwap: false}",
            "cannot set feature gate NodeSwap to false, feature is locked to true",
        ),
        ("address: localhost", "address (--address) \"localhost\" is not a valid IP address"),
        ("cgroupDriver: none", "must be \"cgroupfs\" or \"systemd\""),
    ] {
        if words.is_empty() {
            continue; // A number where a string belongs: the loader's tests have it.
        }
        let found = problems(body, &[]);
        let matching: Vec<_> = found.iter().filter(|problem| problem.cause.contains(words)).collect();
        assert_eq!(matching.len(), 1, "{body}: {words}\n{found:#?}");
        assert!(!matching[0].hint.is_empty() && !matching[0].path.is_empty());
    }
}

#[test]
fn flags_without_a_field() {
    for (args, words) in [
        (
            &["--node-labels=kubernetes.io/role=x"][..],
            "unknown 'kubernetes.io' or 'k8s.io' labels specified with --node-labels: [kubernetes.io/role]",
        ),
        (&["--node-labels=a=b c"], "invalid node labels: 'b c' - a valid label must be"),
        (&["--cloud-provider=aws"], "unknown cloud provider \"aws\""),
        (&["--exit-on-lock-contention"], "cannot exit on lock file contention: no lock file specified"),
        (&["--root-dir="], "invalid root directory"),
        (
            &["--node-ip=10.0.0.1,10.0.0.2"],
            "bad --node-ip \"10.0.0.1,10.0.0.2\": must contain either a single IP or a dual-stack pair of IPs",
        ),
        (&["--node-ip=0.0.0.0,::"], "dual-stack node IP cannot include"),
        (&["--hostname-override=a_b"], "is no node name"),
        (&["--image-credential-provider-config=/x"], "must be given together"),
    ] {
        let found = problems("", args);
        assert_eq!(found.len(), 1, "{args:?}: {found:#?}");
        assert!(found[0].cause.contains(words), "{args:?}: {}", found[0].cause);
        assert_eq!(found[0].stage, Stage::Flags);
    }
}

#[test]
fn all_problems_come_together_with_their_origin() {
    let found = problems(
        "maxPods: -1\nport: 0\noomScoreAdj: 5000",
        &["--healthz-port=99999", "--cloud-provider=gce"],
    );
    let text = problem::summary(&found);
    assert!(text.starts_with("failed to validate kubelet flags: unknown cloud provider"), "{text}");
    assert!(
        text.contains(
            "failed to validate kubelet configuration, error: [invalid configuration: maxPods (--max-pods) -1"
        ),
        "{text}"
    );
    let healthz = found.iter().find(|problem| problem.path == "healthzPort").unwrap();
    assert_eq!(
        (healthz.value.as_deref(), healthz.origin.as_deref()),
        (Some("99999"), Some("flag --healthz-port"))
    );
    let pods = found.iter().find(|problem| problem.path == "maxPods").unwrap();
    assert!(pods.origin.as_deref().unwrap().starts_with("file /"));
}

#[test]
fn cgroup_v1_is_refused_unless_allowed() {
    let flags = |args: &[&str]| flags::parse(args.iter().map(|arg| (*arg).to_owned())).unwrap();
    let on_v1 = |args: &[&str]| validate_host(&load(&flags(args)).unwrap(), CgroupVersion::V1).len();
    assert_eq!((on_v1(&[]), on_v1(&["--fail-cgroupv1=false"])), (1, 0));
    assert_eq!(validate_host(&load(&flags(&[])).unwrap(), CgroupVersion::V2), []);
}
