//! Metrics that show 0 as long as the process runs: what they would count does not happen here, and 0 is the truth.
//!
//! Upstream shows them from the start; tools that look for them find them. The table says of each why it is so.

use crate::{
    family::Single,
    labels::group,
    value::{Counter, Gauge},
};

group! {
    /// Nothing is measured here.
    Idle {
        cardinality: Single<Counter> = Metrics "cardinality_enforcement_unexpected_categorizations_total",
        cpu_exclusive: Single<Gauge> = Metrics "kubelet_cpu_manager_exclusive_cpu_allocation_count",
        cpu_errors: Single<Counter> = Metrics "kubelet_cpu_manager_pinning_errors_total",
        cpu_requests: Single<Counter> = Metrics "kubelet_cpu_manager_pinning_requests_total",
        cpu_shared: Single<Gauge> = Metrics "kubelet_cpu_manager_shared_pool_size_millicores",
        disabled: Single<Counter> = Metrics "disabled_metrics_total",
        force_cleaned: Single<Counter> = Metrics "force_cleaned_failed_volume_operations_total",
        force_cleaned_errors: Single<Counter> = Metrics "force_cleaned_failed_volume_operation_errors_total",
        hidden: Single<Counter> = Metrics "hidden_metrics_total",
        image_volumes: Single<Counter> = Metrics "kubelet_image_volume_requested_total",
        image_volumes_failed: Single<Counter> = Metrics "kubelet_image_volume_mounted_errors_total",
        image_volumes_mounted: Single<Counter> = Metrics "kubelet_image_volume_mounted_succeed_total",
        memory_errors: Single<Counter> = Metrics "kubelet_memory_manager_pinning_errors_total",
        memory_requests: Single<Counter> = Metrics "kubelet_memory_manager_pinning_requests_total",
        memory_low: Single<Gauge> = Metrics "kubelet_memory_qos_node_memory_low_bytes",
        memory_min: Single<Gauge> = Metrics "kubelet_memory_qos_node_memory_min_bytes",
        pod_watch_events: Single<Counter> = Metrics "kubelet_pod_watch_events_dropped_total",
        reconstructed: Single<Counter> = Metrics "reconstruct_volume_operations_total",
        reconstruction_errors: Single<Counter> = Metrics "reconstruct_volume_operations_errors_total",
        resizes: Single<Gauge> = Metrics "kubelet_pod_in_progress_resizes",
        shutdown_began: Single<Gauge> = Metrics "kubelet_graceful_shutdown_start_time_seconds",
        shutdown_ended: Single<Gauge> = Metrics "kubelet_graceful_shutdown_end_time_seconds",
        topology_errors: Single<Counter> = Metrics "kubelet_topology_manager_admission_errors_total",
    }
}
