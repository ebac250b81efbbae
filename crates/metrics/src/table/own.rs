//! The kubelet's own metrics on `/metrics`.

use super::{D, Metric, POD, PULL, RUNTIME, STATUS, STO, TOPOLOGY, counter, gauge, histogram};
use crate::text::Stability::Internal;

const DEVICES: &str = "there are no device plugins here";
const DRA: &str = "resource claims are not prepared here";
const EVICTION: &str = "nothing is evicted here";
const RESIZE: &str = "pods are not resized in place here";
const CSI: &str = "there are no CSI volumes here";
const PODS_API: &str = "there is no gRPC API of pods here";
const ROTATION: &str = "certificates are read from files, and not asked for by this process";
const WINDOWS: &str = "Windows only";
const CLAIMS: &str = "upstream tells it of volumes of persistent volume claims only, which are not built yet";
const CREDENTIAL_PLUGINS: &str = "there are no credential plugins here";
const SELINUX: &str = "SELinux labels of volumes are not compared";
const NO_PINNING: &str = "always 0: only the policy `none` is here, under which upstream's is 0 too";

/// The rows, by name.
#[rustfmt::skip]
pub(super) const ROWS: &[Metric] = &[
    gauge("csi_node_storage_health_status", &["driver_name", "reason", "status"], "").absent(CSI),
    histogram("csi_operations_seconds", &["driver_name", "grpc_status_code", "method_name", "migrated"], STO, "").absent(CSI),
    histogram("dra_grpc_operations_duration_seconds", &["driver_name", "grpc_status_code", "method_name"], &[], "").absent(DRA),
    counter("dra_node_prepare_skips_total", &["driver_name"], "").absent(DRA),
    counter("dra_node_unprepare_skips_total", &["driver_name"], "").absent(DRA),
    histogram("dra_operations_duration_seconds", &["is_error", "operation_name"], &[], "").absent(DRA),
    gauge("dra_resource_claims_in_use", &["driver_name"], "").absent(DRA),
    counter("force_cleaned_failed_volume_operation_errors_total", &[], "Volumes whose directories could not be cleared away after they were not taken over at start")
        .differs("always 0: volumes of an earlier process are not taken over, but mounted again in place"),
    counter("force_cleaned_failed_volume_operations_total", &[], "Volumes whose directories were cleared away since they were not taken over at start")
        .differs("always 0: volumes of an earlier process are not taken over, but mounted again in place"),
    gauge("kubelet_active_pods", &["static"], "Pods that are on the node to run and have not ended; these count when another pod is admitted"),
    counter("kubelet_admission_rejections_total", &["reason"], "Pods that were told they may not run here, by the reason in their status"),
    histogram("kubelet_cgroup_manager_duration_seconds", &["operation_type"], D, "Seconds that making, changing and removing cgroups took"),
    gauge("kubelet_cgroup_version", &[], "Version of the cgroup hierarchy, 1 or 2"),
    counter("kubelet_certificate_manager_client_expiration_renew_errors", &[], "").absent(ROTATION),
    gauge("kubelet_certificate_manager_client_ttl_seconds", &[], "").absent(ROTATION),
    histogram("kubelet_certificate_manager_server_rotation_seconds", &[], &[], "").absent(ROTATION),
    gauge("kubelet_certificate_manager_server_ttl_seconds", &[], "").absent(ROTATION),
    counter("kubelet_container_aligned_compute_resources_count", &["boundary", "scope"], "").absent("CPUs and memory are not pinned here"),
    counter("kubelet_container_aligned_compute_resources_failure_count", &["boundary", "scope"], "").absent("CPUs and memory are not pinned here"),
    gauge("kubelet_container_log_filesystem_used_bytes", &["container", "namespace", "pod", "uid"], "Bytes that the log files of a running container take on disk, rotated ones too"),
    counter("kubelet_container_requested_resizes_total", &["operation", "requirement", "resource"], "").absent(RESIZE),
    histogram("kubelet_containers_per_pod_count", &[], &[1.0, 2.0, 4.0, 8.0, 16.0], "Regular containers of each pod that came to the node"),
    gauge("kubelet_cpu_manager_allocation_per_numa", &["numa_node"], "").absent("CPUs are not pinned here"),
    gauge("kubelet_cpu_manager_exclusive_cpu_allocation_count", &[], "CPUs that belong to one container alone").differs(NO_PINNING),
    counter("kubelet_cpu_manager_pinning_errors_total", &[], "Tries to pin CPUs that failed").differs(NO_PINNING),
    counter("kubelet_cpu_manager_pinning_requests_total", &[], "Containers that asked for CPUs of their own").differs(NO_PINNING),
    gauge("kubelet_cpu_manager_shared_pool_size_millicores", &[], "Thousandths of CPUs that containers without CPUs of their own share").differs(NO_PINNING),
    gauge("kubelet_credential_provider_config_info", &["hash"], "").absent(CREDENTIAL_PLUGINS),
    histogram("kubelet_credential_provider_plugin_duration", &["plugin_name"], D, "").absent(CREDENTIAL_PLUGINS),
    counter("kubelet_credential_provider_plugin_errors_total", &["plugin_name"], "").absent(CREDENTIAL_PLUGINS),
    gauge("kubelet_cri_losing_support", &["version"], "1 while the container runtime lacks what this version of Kubernetes will need"),
    gauge("kubelet_desired_pods", &["static"], "Pods that the sources want on this node"),
    histogram("kubelet_device_plugin_alloc_duration_seconds", &["resource_name"], D, "").absent(DEVICES),
    counter("kubelet_device_plugin_registration_total", &["resource_name"], "").absent(DEVICES),
    counter("kubelet_evented_pleg_connection_error_count", &[], "Tries to follow the container runtime's events that failed")
        .differs("events are always followed, whatever the gate EventedPLEG says"),
    histogram("kubelet_evented_pleg_connection_latency_seconds", &[], D, "Seconds from an event in the container runtime to its arrival here")
        .differs("events are always followed, whatever the gate EventedPLEG says"),
    counter("kubelet_evented_pleg_connection_success_count", &[], "Streams of container events that were opened")
        .differs("events are always followed, whatever the gate EventedPLEG says"),
    histogram("kubelet_eviction_stats_age_seconds", &["eviction_signal"], D, "").absent(EVICTION),
    counter("kubelet_evictions", &["eviction_signal"], "").absent(EVICTION),
    gauge("kubelet_first_network_pod_start_sli_duration_seconds", &[], "Start of the first pod with a network of its own, in seconds, counted like kubelet_pod_start_sli_duration_seconds").stability(Internal),
    gauge("kubelet_graceful_shutdown_end_time_seconds", &[], "When the last graceful shutdown of the node had stopped its pods, seconds of Unix time")
        .differs("always 0: shutdowns of the node are not waited for"),
    gauge("kubelet_graceful_shutdown_start_time_seconds", &[], "When the last graceful shutdown of the node began, seconds of Unix time")
        .differs("always 0: shutdowns of the node are not waited for"),
    gauge("kubelet_http_inflight_requests", &["long_running", "method", "path", "server_type"], "Requests to the kubelet that are being answered"),
    histogram("kubelet_http_requests_duration_seconds", &["long_running", "method", "path", "server_type"], D, "Seconds until requests to the kubelet were answered"),
    counter("kubelet_http_requests_total", &["long_running", "method", "path", "server_type"], "Requests to the kubelet"),
    counter("kubelet_image_garbage_collected_total", &["reason"], "").absent("unused images are not removed here"),
    counter("kubelet_image_manager_ensure_image_requests_total", &["present_locally", "pull_policy", "pull_required"], "Questions whether a container's image is there, and their answers"),
    histogram("kubelet_image_pull_duration_seconds", &["image_size_in_bytes"], PULL, "Seconds that pulls took, by the size of the image"),
    counter("kubelet_image_volume_mounted_errors_total", &[], "Volumes made of images whose mount failed").beta()
        .differs("always 0: image volumes are refused before a mount is tried"),
    counter("kubelet_image_volume_mounted_succeed_total", &[], "Volumes made of images that were mounted").beta()
        .differs("always 0: image volumes are refused before a mount is tried"),
    counter("kubelet_image_volume_requested_total", &[], "Volumes made of images that pods asked for").beta()
        .differs("always 0: image volumes are refused before a mount is tried"),
    counter("kubelet_imagemanager_image_mustpull_checks_total", &["result"], "Checks whether a pod may use an image that is there without pulling it"),
    gauge("kubelet_imagemanager_inmemory_pulledrecords_usage_percent", &[], "").absent("records of pulled images are read from disk; there is no cache of them"),
    gauge("kubelet_imagemanager_inmemory_pullintents_usage_percent", &[], "").absent("records of begun pulls are read from disk; there is no cache of them"),
    gauge("kubelet_imagemanager_ondisk_pulledrecords", &[], "Records on disk of images that a kubelet pulled"),
    gauge("kubelet_imagemanager_ondisk_pullintents", &[], "Records on disk of pulls that have begun and not ended"),
    counter("kubelet_lifecycle_handler_http_fallbacks_total", &[], "Lifecycle hooks that were sent over HTTP, since the server does not speak HTTPS"),
    gauge("kubelet_managed_ephemeral_containers", &[], "Ephemeral containers in the pods of this node"),
    counter("kubelet_memory_manager_pinning_errors_total", &[], "Tries to pin memory that failed").differs(NO_PINNING),
    counter("kubelet_memory_manager_pinning_requests_total", &[], "Containers that asked for memory of their own").differs(NO_PINNING),
    gauge("kubelet_memory_qos_node_memory_low_bytes", &[], "Bytes of memory.low of the cgroup of all pods")
        .differs("always 0, as upstream's while the gate MemoryQoS is off: it protects no memory of the node here"),
    gauge("kubelet_memory_qos_node_memory_min_bytes", &[], "Bytes of memory.min of the cgroup of all pods")
        .differs("always 0, as upstream's while the gate MemoryQoS is off: it protects no memory of the node here"),
    gauge("kubelet_metrics_provider", &["provider"], "1 for what the statistics of containers come from")
        .differs("`cadvisor` names the series that are served; they are read from the kernel by the kubelet itself"),
    gauge("kubelet_mirror_pods", &[], "Mirror pods of this node that the API server has"),
    gauge("kubelet_node_name", &["node"], "1, with the name of this node"),
    gauge("kubelet_node_startup_duration_seconds", &[], "Seconds from the boot of the machine until a new node was ready"),
    gauge("kubelet_node_startup_post_registration_duration_seconds", &[], "Seconds from a new node's registration until it was ready"),
    gauge("kubelet_node_startup_pre_kubelet_duration_seconds", &[], "Seconds from the boot of the machine to the start of the kubelet, of a new node"),
    gauge("kubelet_node_startup_pre_registration_duration_seconds", &[], "Seconds from the start of the kubelet to the first try to register a new node"),
    gauge("kubelet_node_startup_registration_duration_seconds", &[], "Seconds that the registration of a new node took"),
    gauge("kubelet_orphan_pod_cleaned_volumes", &[], "Pods without a source whose directories were being cleared away by the last sweep")
        .differs("a sweep is made when the runtime shows a pod without a source and once at the start, not every two seconds"),
    gauge("kubelet_orphan_pod_cleaned_volumes_errors", &[], "Pods without a source that the last sweep could not look at")
        .differs("a sweep is made when the runtime shows a pod without a source and once at the start, not every two seconds"),
    counter("kubelet_orphaned_runtime_pods_total", &[], "Pods found in the container runtime that nobody here knew")
        .differs("pods of which only records are left count too"),
    counter("kubelet_pleg_discard_events", &[], "Pods seen in the container runtime without a source whose notice found no room")
        .differs("a change of a known pod rings its worker's bell, which cannot be full"),
    gauge("kubelet_pleg_last_seen_seconds", &[], "When the container runtime's list of pods was last read, seconds of Unix time")
        .differs("the list is a safety net, read every minute and after a gap in the events; every second in the first minute, and for 5 minutes when an event was missing"),
    histogram("kubelet_pleg_pod_relist_duration_seconds", &[], D, "Seconds that a look at one pod in the container runtime took")
        .differs("each look of a pod's worker counts: they are what makes changes known here"),
    histogram("kubelet_pleg_relist_duration_seconds", &[], D, "Seconds that reading the container runtime's list of pods took"),
    histogram("kubelet_pleg_relist_interval_seconds", &[], D, "Seconds between the starts of two readings of the container runtime's list of pods")
        .differs("the list is a safety net, read every minute and after a gap in the events; every second in the first minute, and for 5 minutes when an event was missing"),
    counter("kubelet_pod_deferred_accepted_resizes_total", &["retry_trigger"], "").absent(RESIZE),
    histogram("kubelet_pod_deferred_resize_duration_seconds", &["priority_bucket", "resolution"], &[], "").absent(RESIZE),
    gauge("kubelet_pod_in_progress_resizes", &[], "Pods that are being resized in place").differs("always 0: pods are not resized in place here"),
    counter("kubelet_pod_infeasible_resizes_total", &["reason_detail"], "").absent(RESIZE),
    counter("kubelet_pod_level_resources_admission_total", &["config_mode", "qos_class"], "Pods that were admitted, by where they set resources and by QoS class"),
    gauge("kubelet_pod_pending_resizes", &["priority_bucket", "reason"], "").absent(RESIZE),
    counter("kubelet_pod_requests_get_total", &["server_api_version", "status_code"], "").absent(PODS_API),
    counter("kubelet_pod_requests_list_total", &["server_api_version", "status_code"], "").absent(PODS_API),
    counter("kubelet_pod_requests_total", &["server_api_version", "status_code"], "").absent(PODS_API),
    counter("kubelet_pod_requests_watch_total", &["server_api_version", "status_code"], "").absent(PODS_API),
    histogram("kubelet_pod_resize_duration_milliseconds", &["success"], &[], "").absent(RESIZE),
    counter("kubelet_pod_resources_endpoint_errors_get", &["server_api_version"], "").absent(DEVICES),
    counter("kubelet_pod_resources_endpoint_errors_get_allocatable", &["server_api_version"], "").absent(DEVICES),
    counter("kubelet_pod_resources_endpoint_errors_list", &["server_api_version"], "").absent(DEVICES),
    counter("kubelet_pod_resources_endpoint_requests_get", &["server_api_version"], "").absent(DEVICES),
    counter("kubelet_pod_resources_endpoint_requests_get_allocatable", &["server_api_version"], "").absent(DEVICES),
    counter("kubelet_pod_resources_endpoint_requests_list", &["server_api_version"], "").absent(DEVICES),
    counter("kubelet_pod_resources_endpoint_requests_total", &["server_api_version"], "").absent(DEVICES),
    histogram("kubelet_pod_start_duration_seconds", &[], POD, "Seconds from the first sight of a pod here until it was found running")
        .differs("a pod counts once, when it turns to running; upstream's also counts the first look at each pod"),
    histogram("kubelet_pod_start_sli_duration_seconds", &[], POD, "Seconds from a pod's creation until the API server showed all its containers started, without the time of image pulls and init containers; pods with volumes that outlive them do not count")
        .differs("static pods do not count, nor do pods that never run: upstream takes a rejected pod, which has no containers, for a started one"),
    histogram("kubelet_pod_start_total_duration_seconds", &[], POD, "Seconds from a pod's creation until the API server showed all its containers started, with image pulls and init containers")
        .differs("static pods do not count, nor do pods that never run: upstream takes a rejected pod, which has no containers, for a started one"),
    histogram("kubelet_pod_status_sync_duration_seconds", &[], STATUS, "Seconds from a change of a pod's status until the API server had taken it, changes in between included")
        .differs("from the first change that is not reported; upstream counts from the first status of the pod on, for as long as the pod is there"),
    counter("kubelet_pod_watch_events_dropped_total", &[], "Events of the gRPC API of pods that found no room").differs("always 0: there is no gRPC API of pods here"),
    histogram("kubelet_pod_worker_duration_seconds", &["operation_type"], D, "Seconds that a pod's worker took for one look at its pod")
        .differs("a look hands actions over and does not wait for them: pulls, starts and stops are not part of it"),
    histogram("kubelet_pod_worker_start_duration_seconds", &[], D, "Seconds from the first sight of a pod here until its worker began"),
    gauge("kubelet_podcertificate_states", &["signer_name", "state"], "").absent("certificates are not made for pods here"),
    counter("kubelet_preemptions", &["preemption_signal"], "").absent("no pod has to make room for another here"),
    counter("kubelet_resource_manager_allocation_errors_total", &["resource_name", "source"], "").absent("CPUs and memory are not pinned here"),
    counter("kubelet_resource_manager_allocations_total", &["resource_name", "source"], "").absent("CPUs and memory are not pinned here"),
    counter("kubelet_resource_manager_container_assignments_total", &["assignment_type", "resource_name"], "").absent("CPUs and memory are not pinned here"),
    counter("kubelet_restarted_pods_total", &["static"], "Pods that left their source and came back, with the same uid, before nothing was left of them"),
    histogram("kubelet_run_podsandbox_duration_seconds", &["runtime_handler"], D, "Seconds that the container runtime took to make a sandbox, by runtime handler"),
    counter("kubelet_run_podsandbox_errors_total", &["runtime_handler"], "Sandboxes that the container runtime did not make, by runtime handler"),
    gauge("kubelet_running_containers", &["container_state"], "Containers in the container runtime, by state")
        .differs("a state that no container has any more has no value; upstream keeps the last"),
    gauge("kubelet_running_pods", &[], "Pods that have a sandbox that runs"),
    histogram("kubelet_runtime_operations_duration_seconds", &["operation_type"], RUNTIME, "Seconds that calls to the container runtime took, by call"),
    counter("kubelet_runtime_operations_errors_total", &["operation_type"], "Calls to the container runtime that failed, by call"),
    counter("kubelet_runtime_operations_total", &["operation_type"], "Calls to the container runtime, by call"),
    counter("kubelet_server_expiration_renew_errors", &[], "").absent(ROTATION),
    counter("kubelet_sleep_action_terminated_early_total", &[], "Sleeps of lifecycle hooks that were cut short: none is, also when the grace period of its pod is over before"),
    counter("kubelet_started_containers_errors_total", &["code", "container_type"], "Container starts that failed, by the reason in the pod's status")
        .differs("a pull that waits for its back-off is no try, and counts no ImagePullBackOff"),
    counter("kubelet_started_containers_total", &["container_type"], "Container starts that were tried"),
    counter("kubelet_started_host_process_containers_errors_total", &["code", "container_type"], "").absent(WINDOWS),
    counter("kubelet_started_host_process_containers_total", &["container_type"], "").absent(WINDOWS),
    counter("kubelet_started_pods_errors_total", &[], "Pod starts whose sandbox was not made"),
    counter("kubelet_started_pods_total", &[], "Pod starts that were tried"),
    counter("kubelet_started_user_namespaced_pods_errors_total", &[], "Starts of pods with a user namespace whose sandbox was not made")
        .differs("sandboxes alone; upstream counts what else fails while it makes one, pulls of images for instance"),
    counter("kubelet_started_user_namespaced_pods_total", &[], "Starts of pods with a user namespace that were tried"),
    counter("kubelet_terminated_containers_total", &["container_type", "exit_code", "reason"], "Containers that ended, by exit code and the container runtime's reason")
        .differs("a container that ended while no kubelet ran does not count"),
    histogram("kubelet_topology_manager_admission_duration_ms", &[], TOPOLOGY, "Milliseconds that the question took whether a pod may run here")
        .differs("the whole of the admission is timed: there is no topology to align to"),
    counter("kubelet_topology_manager_admission_errors_total", &[], "Pods whose devices and CPUs could not be aligned")
        .differs("always 0: there is no topology to align to"),
    counter("kubelet_topology_manager_admission_requests_total", &[], "Pods that were asked about, whether they may run here"),
    histogram("kubelet_volume_metric_collection_duration_seconds", &["metric_source"], D, "Seconds that measuring the disk use of a volume, a hosts file or logs took, by the way it was measured")
        .differs("all logs of a pod are measured at once and timed once, where upstream times file by file; volumes in memory are asked by `statfs`, where upstream walks them"),
    gauge("kubelet_volume_stats_available_bytes", &["namespace", "persistentvolumeclaim"], "Bytes that are free in a claim's volume").absent(CLAIMS),
    gauge("kubelet_volume_stats_capacity_bytes", &["namespace", "persistentvolumeclaim"], "Bytes that a claim's volume has in all").absent(CLAIMS),
    gauge("kubelet_volume_stats_inodes", &["namespace", "persistentvolumeclaim"], "Inodes that a claim's volume has in all").absent(CLAIMS),
    gauge("kubelet_volume_stats_inodes_free", &["namespace", "persistentvolumeclaim"], "Inodes that are free in a claim's volume").absent(CLAIMS),
    gauge("kubelet_volume_stats_inodes_used", &["namespace", "persistentvolumeclaim"], "Inodes that are in use in a claim's volume").absent(CLAIMS),
    gauge("kubelet_volume_stats_used_bytes", &["namespace", "persistentvolumeclaim"], "Bytes that are in use in a claim's volume").absent(CLAIMS),
    counter("kubelet_websocket_streaming_requests_total", &["subresource"], "Streams into containers and to ports that were asked for over a WebSocket"),
    gauge("kubelet_working_pods", &["config", "lifecycle", "static"], "Pods that have a worker, by how far they are in their life and who wants them")
        .differs("a rejected pod has a worker too, and counts as `terminated`"),
    gauge("plugin_manager_total_plugins", &["socket_path", "state"], "").absent("there are no plugins here"),
    counter("reconstruct_volume_operations_errors_total", &[], "Volumes of an earlier process that could not be taken over from what is on disk")
        .differs("always 0: volumes of an earlier process are not taken over, but mounted again in place"),
    counter("reconstruct_volume_operations_total", &[], "Volumes of an earlier process that were taken over from what is on disk")
        .differs("always 0: volumes of an earlier process are not taken over, but mounted again in place"),
    histogram("storage_operation_duration_seconds", &["migrated", "operation_name", "status", "volume_plugin"], STO, "Seconds that one operation on one volume took").beta()
        .differs("no volume is attached, so that none is checked for it; the volumes of a pod are unmounted in one operation, timed once for each of them"),
    gauge("volume_manager_selinux_container_errors_total", &["access_mode"], "").absent(SELINUX),
    gauge("volume_manager_selinux_container_warnings_total", &["access_mode"], "").absent(SELINUX),
    gauge("volume_manager_selinux_pod_context_mismatch_errors_total", &["access_mode"], "").absent(SELINUX),
    gauge("volume_manager_selinux_pod_context_mismatch_warnings_total", &["access_mode"], "").absent(SELINUX),
    gauge("volume_manager_selinux_volume_context_mismatch_errors_total", &["access_mode", "volume_plugin"], "").absent(SELINUX),
    gauge("volume_manager_selinux_volume_context_mismatch_warnings_total", &["access_mode", "volume_plugin"], "").absent(SELINUX),
    gauge("volume_manager_selinux_volumes_admitted_total", &["access_mode", "volume_plugin"], "").absent(SELINUX),
    gauge("volume_manager_total_volumes", &["plugin_name", "state"], "Volumes that pods want, and volumes that are mounted, by plugin"),
    histogram("volume_operation_total_seconds", &["operation_name", "plugin_name"], STO, "Seconds from the wish for a volume, or its end, until it was so").beta(),
];
