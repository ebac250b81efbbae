//! Pods and their containers: how many there are, how long they take, how they end.

use std::sync::Arc;

use crate::{
    family::{Asked, Single, Told, Vector},
    labels::{Word, group, label_set, words},
    value::{Counter, Gauge, Histogram},
};

words! {
    /// What a look at a pod was for.
    Look "operation_type" {
        Create = "create",
        Update = "update",
        Sync = "sync",
        Kill = "kill",
        Terminated = "terminated",
    }
}

words! {
    /// Whether a pod is static, where that is known.
    Static "static" {
        No = "",
        Yes = "true",
        Unknown = "unknown",
    }
}

words! {
    /// How far a pod is in its life.
    Stage {
        Sync = "sync",
        Terminating = "terminating",
        Terminated = "terminated",
    }
}

words! {
    /// Who wants a pod.
    Wish {
        Desired = "desired",
        Orphan = "orphan",
        RuntimeOnly = "runtime_only",
    }
}

words! {
    /// State of a container in the runtime.
    ContainerState "container_state" {
        Created = "created",
        Running = "running",
        Exited = "exited",
        Unknown = "unknown",
    }
}

words! {
    /// Which list of its pod a container is in.
    ContainerType "container_type" {
        Container = "container",
        InitContainer = "init_container",
        EphemeralContainer = "ephemeral_container",
    }
}

words! {
    /// Why a container did not start, as in its pod's status.
    StartError {
        PullImage = "ErrImagePull",
        ImageInspect = "ImageInspectError",
        ImageNeverPull = "ErrImageNeverPull",
        InvalidImageName = "InvalidImageName",
        RegistryUnavailable = "RegistryUnavailable",
        SignatureValidation = "SignatureValidationFailed",
        ContainerConfig = "CreateContainerConfigError",
        CreateContainer = "CreateContainerError",
        RunContainer = "RunContainerError",
        PostStartHook = "PostStartHookError",
    }
}

words! {
    /// Where a pod sets resources.
    ConfigMode {
        Both = "pod_and_container_level",
        Pod = "pod_level",
        Containers = "container_level",
        None = "",
    }
}

words! {
    /// QoS class.
    Qos {
        Guaranteed = "guaranteed",
        Burstable = "burstable",
        BestEffort = "besteffort",
    }
}

words! {
    /// What is done with a cgroup.
    CgroupOperation "operation_type" {
        Create = "create",
        Update = "update",
        Destroy = "destroy",
    }
}

label_set! {
    /// A failed start.
    Started { code "code": StartError, container_type "container_type": ContainerType }
}

label_set! {
    /// How a container ended. Reasons are the runtime's: there are few.
    Ended { container_type "container_type": ContainerType, exit_code "exit_code": i32, reason "reason": Arc<str> }
}

label_set! {
    /// Pods that are worked on.
    Working { config "config": Wish, lifecycle "lifecycle": Stage, is_static "static": Static }
}

label_set! {
    /// Resources of a pod that was admitted.
    Admitted { config_mode "config_mode": ConfigMode, qos_class "qos_class": Qos }
}

label_set! {
    /// The log of a container.
    LogOf {
        container "container": Arc<str>,
        namespace "namespace": Arc<str>,
        pod "pod": Arc<str>,
        uid "uid": Arc<str>,
    }
}

/// Reasons for which pods are rejected, in upstream's words. Those of the scheduler's own checks, such as `NodeAffinity`, are
/// not among them.
const REJECTIONS: &[&str] = &[
    "AppArmor",
    "EmptyPodSharedPoolError",
    "Evicted",
    "InitContainerRestartPolicyForbidden",
    "InvalidNodeInfo",
    "NodeShutdown",
    "OutOfcpu",
    "OutOfephemeral-storage",
    "OutOfmemory",
    "OutOfpods",
    "PodFeatureUnsupported",
    "PodLevelResourcesNotSupported",
    "PodOSNotSupported",
    "PodOSSelectorNodeLabelDoesNotMatch",
    "SupplementalGroupsPolicyNotSupported",
    "SysctlForbidden",
    "TopologyAffinityError",
    "UnexpectedAdmissionError",
    "UnexpectedPredicateFailureType",
    "UnknownReason",
    "VolumeAttachmentLimitExceeded",
];

/// One of the reasons that are told apart. Names of extended resources are not: anybody may make some up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rejection(&'static str);

impl Rejection {
    /// That of a `status.reason`.
    #[must_use]
    pub fn of(reason: &str) -> Self {
        match REJECTIONS.iter().find(|known| **known == reason) {
            Some(known) => Self(known),
            None if reason.starts_with("OutOf") => Self("OutOfExtendedResources"),
            None => Self("Other"),
        }
    }
}

impl Word for Rejection {
    fn text(&self) -> std::borrow::Cow<'_, str> {
        self.0.into()
    }
}

impl crate::family::Labels for Rejection {
    const NAMES: &'static [&'static str] = &["reason"];

    fn values(&self) -> Vec<std::borrow::Cow<'_, str>> {
        vec![self.0.into()]
    }
}

group! {
    /// What is measured of pods.
    Pods {
        active: Asked<Static> = Metrics "kubelet_active_pods",
        admission_rejections: Vector<Rejection, Counter> = Metrics "kubelet_admission_rejections_total",
        cgroup_seconds: Vector<CgroupOperation, Histogram> = Metrics "kubelet_cgroup_manager_duration_seconds",
        containers_per_pod: Single<Histogram> = Metrics "kubelet_containers_per_pod_count",
        desired: Asked<Static> = Metrics "kubelet_desired_pods",
        log_bytes: Told<LogOf> = Metrics "kubelet_container_log_filesystem_used_bytes",
        first_network_start: Single<Gauge> = Metrics "kubelet_first_network_pod_start_sli_duration_seconds",
        hook_http_fallbacks: Single<Counter> = Metrics "kubelet_lifecycle_handler_http_fallbacks_total",
        ephemeral_containers: Asked<()> = Metrics "kubelet_managed_ephemeral_containers",
        mirrors: Asked<()> = Metrics "kubelet_mirror_pods",
        swept: Single<Gauge> = Metrics "kubelet_orphan_pod_cleaned_volumes",
        sweep_errors: Single<Gauge> = Metrics "kubelet_orphan_pod_cleaned_volumes_errors",
        orphans: Single<Counter> = Metrics "kubelet_orphaned_runtime_pods_total",
        discarded_notices: Single<Counter> = Metrics "kubelet_pleg_discard_events",
        relisted_at: Single<Gauge> = Metrics "kubelet_pleg_last_seen_seconds",
        pod_relist_seconds: Single<Histogram> = Metrics "kubelet_pleg_pod_relist_duration_seconds",
        relist_seconds: Single<Histogram> = Metrics "kubelet_pleg_relist_duration_seconds",
        relist_interval: Single<Histogram> = Metrics "kubelet_pleg_relist_interval_seconds",
        admitted: Vector<Admitted, Counter> = Metrics "kubelet_pod_level_resources_admission_total",
        start_seconds: Single<Histogram> = Metrics "kubelet_pod_start_duration_seconds",
        start_sli_seconds: Single<Histogram> = Metrics "kubelet_pod_start_sli_duration_seconds",
        start_total_seconds: Single<Histogram> = Metrics "kubelet_pod_start_total_duration_seconds",
        status_sync_seconds: Single<Histogram> = Metrics "kubelet_pod_status_sync_duration_seconds",
        look_seconds: Vector<Look, Histogram> = Metrics "kubelet_pod_worker_duration_seconds",
        worker_start_seconds: Single<Histogram> = Metrics "kubelet_pod_worker_start_duration_seconds",
        restarted: Vector<Static, Counter> = Metrics "kubelet_restarted_pods_total" [[Static::No, Static::Yes]],
        running_containers: Asked<ContainerState> = Metrics "kubelet_running_containers",
        running: Asked<()> = Metrics "kubelet_running_pods",
        sleeps_cut_short: Single<Counter> = Metrics "kubelet_sleep_action_terminated_early_total",
        container_start_errors: Vector<Started, Counter> = Metrics "kubelet_started_containers_errors_total",
        container_starts: Vector<ContainerType, Counter> = Metrics "kubelet_started_containers_total",
        start_errors: Single<Counter> = Metrics "kubelet_started_pods_errors_total",
        starts: Single<Counter> = Metrics "kubelet_started_pods_total",
        user_namespace_start_errors: Single<Counter> = Metrics "kubelet_started_user_namespaced_pods_errors_total",
        user_namespace_starts: Single<Counter> = Metrics "kubelet_started_user_namespaced_pods_total",
        containers_ended: Vector<Ended, Counter> = Metrics "kubelet_terminated_containers_total",
        admission_milliseconds: Single<Histogram> = Metrics "kubelet_topology_manager_admission_duration_ms",
        admission_requests: Single<Counter> = Metrics "kubelet_topology_manager_admission_requests_total",
        working: Asked<Working> = Metrics "kubelet_working_pods",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_of_rejections_are_a_closed_list() {
        for (reason, label) in [
            ("OutOfcpu", "OutOfcpu"),
            ("OutOfexample.com/gpu", "OutOfExtendedResources"),
            ("NodeAffinity", "Other"),
            ("Something", "Other"),
        ] {
            assert_eq!(Rejection::of(reason).text(), label);
        }
    }
}
