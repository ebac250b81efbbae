//! The container runtime: its calls, its sandboxes, its events.

use std::{sync::Arc, time::Duration};

use crate::{
    family::{Single, Vector},
    labels::{group, label_set, words},
    value::{Counter, Gauge, Histogram},
};

words! {
    /// A call to the container runtime, in upstream's words.
    Operation "operation_type" {
        Version = "version",
        Status = "status",
        ListContainers = "list_containers",
        ContainerStatus = "container_status",
        CreateContainer = "create_container",
        StartContainer = "start_container",
        StopContainer = "stop_container",
        RemoveContainer = "remove_container",
        UpdateContainer = "update_container",
        ReopenContainerLog = "reopen_container_log",
        ExecSync = "exec_sync",
        Exec = "exec",
        Attach = "attach",
        PortForward = "port_forward",
        RunPodSandbox = "run_podsandbox",
        StopPodSandbox = "stop_podsandbox",
        RemovePodSandbox = "remove_podsandbox",
        PodSandboxStatus = "podsandbox_status",
        ListPodSandbox = "list_podsandbox",
        ContainerStats = "container_stats",
        ListContainerStats = "list_container_stats",
        PodSandboxStats = "podsandbox_stats",
        ListPodSandboxStats = "list_podsandbox_stats",
        UpdateRuntimeConfig = "update_runtime_config",
        ListImages = "list_images",
        ImageStatus = "image_status",
        PullImage = "pull_image",
        RemoveImage = "remove_image",
        ImageFsInfo = "image_fs_info",
        CheckpointContainer = "checkpoint_container",
        GetContainerEvents = "get_container_events",
        ListMetricDescriptors = "list_metric_descriptors",
        ListPodSandboxMetrics = "list_podsandbox_metrics",
        RuntimeConfig = "runtime_config",
    }
}

label_set! {
    /// A handler of the runtime; empty is its default.
    Handler { runtime_handler "runtime_handler": Arc<str> }
}

label_set! {
    /// A version of Kubernetes.
    Version { version "version": &'static str }
}

group! {
    /// What is measured of the container runtime.
    Runtime {
        operations: Vector<Operation, Counter> = Metrics "kubelet_runtime_operations_total",
        operation_errors: Vector<Operation, Counter> = Metrics "kubelet_runtime_operations_errors_total",
        operation_seconds: Vector<Operation, Histogram> = Metrics "kubelet_runtime_operations_duration_seconds",
        sandbox_seconds: Vector<Handler, Histogram> = Metrics "kubelet_run_podsandbox_duration_seconds",
        sandbox_errors: Vector<Handler, Counter> = Metrics "kubelet_run_podsandbox_errors_total",
        event_streams: Single<Counter> = Metrics "kubelet_evented_pleg_connection_success_count",
        event_stream_errors: Single<Counter> = Metrics "kubelet_evented_pleg_connection_error_count",
        event_latency: Single<Histogram> = Metrics "kubelet_evented_pleg_connection_latency_seconds",
        losing_support: Vector<Version, Gauge> = Metrics "kubelet_cri_losing_support",
    }
}

/// How something ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Well.
    Well,
    /// It failed.
    Failed,
}

impl End {
    /// How a result ended.
    #[must_use]
    pub fn of<T, E>(result: &Result<T, E>) -> Self {
        if result.is_ok() { Self::Well } else { Self::Failed }
    }
}

impl Runtime {
    /// A call was answered, or given up, after this time.
    pub fn called(&self, operation: Operation, took: Duration, end: End) {
        self.operations.inc(&operation);
        self.operation_seconds.took(&operation, took);
        if end == End::Failed {
            self.operation_errors.inc(&operation);
        }
    }

    /// The making of a sandbox ended.
    pub fn sandbox(&self, handler: &str, took: Duration, end: End) {
        let handler = Handler { runtime_handler: Arc::from(handler) };
        self.sandbox_seconds.took(&handler, took);
        if end == End::Failed {
            self.sandbox_errors.inc(&handler);
        }
    }
}
