//! What upstream's `/metrics` has from libraries that its components share.

use super::{D, DNS, Metric, REMAINING, REST, REVIEW, SIZES, counter, gauge, histogram};
use crate::text::Stability::None;

const SERVER_ONLY: &str = "counts what only an API server does; always 0 with upstream's kubelet";
const QUEUE: &str =
    "there are no work queues: each task has its own channel, and nothing waits in line for a worker";
const EXEC: &str = "credentials of the kubeconfig are not asked of programs";
const TRANSPORTS: &str =
    "client-go's cache of transports: there are two clients here, made once, and no cache of them";

/// The rows, by name.
#[rustfmt::skip]
pub(super) const ROWS: &[Metric] = &[
    counter("aggregator_discovery_aggregation_count_total", &[], "").absent(SERVER_ONLY),
    counter("apiserver_audit_event_total", &[], "").absent(SERVER_ONLY),
    counter("apiserver_audit_requests_rejected_total", &[], "").absent(SERVER_ONLY),
    histogram("apiserver_client_certificate_expiration_seconds", &[], REMAINING, "Seconds that client certificates still had to live when a request came with them"),
    histogram("apiserver_delegated_authn_request_duration_seconds", &["code"], REVIEW, "Seconds that token reviews took, by the code of the API server's answer"),
    counter("apiserver_delegated_authn_request_total", &["code"], "Token reviews, by the code of the API server's answer"),
    histogram("apiserver_delegated_authz_request_duration_seconds", &["code"], REVIEW, "Seconds that access reviews took, by the code of the API server's answer"),
    counter("apiserver_delegated_authz_request_total", &["code"], "Access reviews, by the code of the API server's answer"),
    gauge("apiserver_envelope_encryption_dek_cache_fill_percent", &[], "").absent(SERVER_ONLY),
    histogram("apiserver_storage_data_key_generation_duration_seconds", &[], &[], "").absent(SERVER_ONLY),
    counter("apiserver_storage_data_key_generation_failures_total", &[], "").absent(SERVER_ONLY),
    counter("apiserver_storage_envelope_transformation_cache_misses_total", &[], "").absent(SERVER_ONLY),
    counter("apiserver_validation_declarative_validation_mismatch_total", &[], "").absent(SERVER_ONLY),
    counter("apiserver_validation_declarative_validation_panic_total", &[], "").absent(SERVER_ONLY),
    counter("apiserver_validation_duplicate_validation_error_total", &[], "").absent(SERVER_ONLY),
    counter("apiserver_webhooks_x509_insecure_sha1_total", &[], "").absent(SERVER_ONLY),
    counter("apiserver_webhooks_x509_missing_san_total", &[], "").absent(SERVER_ONLY),
    gauge("authentication_token_cache_active_fetch_count", &["status"], "Requests whose token is being reviewed")
        .differs("who waits for the review to begin counts as `in_flight`"),
    counter("authentication_token_cache_fetch_total", &["status"], "Token reviews that were made for the cache, by how they ended"),
    histogram("authentication_token_cache_request_duration_seconds", &["status"], D, "Seconds until it was known whose token it is, by whether the cache knew it"),
    counter("authentication_token_cache_request_total", &["status"], "Requests with a token, by whether the cache knew it"),
    counter("cardinality_enforcement_unexpected_categorizations_total", &[], "Label values that a list of allowed ones did not have"),
    counter("disabled_metrics_total", &[], "Metrics that were turned off by a flag").beta(),
    counter("hidden_metrics_total", &[], "Metrics that are hidden, since they will go").beta(),
    gauge("kubernetes_build_info", &["build_date", "compiler", "git_commit", "git_tree_state", "git_version", "go_version", "major", "minor", "platform"], "1, with the release of Kubernetes that this program stands for, and what it was built with").beta()
        .differs("no commit, date and state of upstream's tree, no version of Go; `compiler` is rustc"),
    gauge("kubernetes_feature_enabled", &["name", "stage"], "Whether a feature gate is on, 1 or 0").beta(),
    counter("process_cpu_seconds_total", &[], "Seconds of CPU, user's and system's, that the process has used").stability(None),
    gauge("process_max_fds", &[], "Files that the process may have open").stability(None),
    counter("process_network_receive_bytes_total", &[], "Bytes of IP that came to the network namespace of the process").stability(None),
    counter("process_network_transmit_bytes_total", &[], "Bytes of IP that left the network namespace of the process").stability(None),
    gauge("process_open_fds", &[], "Files that the process has open").stability(None),
    gauge("process_resident_memory_bytes", &[], "Bytes of memory that the process has in RAM").stability(None),
    gauge("process_start_time_seconds", &[], "When the process started, seconds of Unix time").stability(None),
    gauge("process_virtual_memory_bytes", &[], "Bytes of the address space of the process").stability(None),
    gauge("process_virtual_memory_max_bytes", &[], "Bytes that the address space of the process may have").stability(None),
    counter("registered_metrics_total", &["deprecated_version", "stability_level"], "Metrics that this program has, by what is promised about them").beta()
        .differs("counts the metrics that are here"),
    counter("rest_client_exec_plugin_call_total", &["call_status", "code"], "").absent(EXEC),
    histogram("rest_client_exec_plugin_certificate_rotation_age", &[], &[], "").absent(EXEC),
    counter("rest_client_exec_plugin_policy_call_total", &["allowed", "denied"], "").absent(EXEC),
    gauge("rest_client_exec_plugin_ttl_seconds", &[], "").absent(EXEC),
    histogram("rest_client_dns_resolution_duration_seconds", &["host"], DNS, "").absent("a connection is dialled once and shared; its look-up is not timed apart"),
    histogram("rest_client_rate_limiter_duration_seconds", &["host", "verb"], REST, "Seconds that requests to the API server waited for their turn"),
    histogram("rest_client_request_duration_seconds", &["host", "verb"], REST, "Seconds that requests to the API server took, waits and tries included, watches left out"),
    counter("rest_client_request_retries_total", &["code", "host", "verb"], "Requests that were sent again since the API server asked to wait, by the code of that answer"),
    histogram("rest_client_request_size_bytes", &["host", "verb"], SIZES, "Bytes of the bodies of requests to the API server, watches left out"),
    counter("rest_client_requests_total", &["code", "host", "method"], "Requests to the API server, by the code of the answer"),
    histogram("rest_client_response_size_bytes", &["host", "verb"], SIZES, "Bytes of the bodies of the API server's answers, watches left out"),
    counter("rest_client_transport_ca_reload_total", &["reason", "result"], "").absent(TRANSPORTS),
    gauge("rest_client_transport_cache_entries", &[], "").absent(TRANSPORTS),
    counter("rest_client_transport_cache_gc_calls_total", &["result"], "").absent(TRANSPORTS),
    counter("rest_client_transport_cert_rotation_gc_calls_total", &[], "").absent(TRANSPORTS),
    counter("rest_client_transport_create_calls_total", &["result"], "").absent(TRANSPORTS),
    counter("workqueue_adds_total", &["name"], "").beta().absent(QUEUE),
    gauge("workqueue_depth", &["name"], "").beta().absent(QUEUE),
    gauge("workqueue_longest_running_processor_seconds", &["name"], "").beta().absent(QUEUE),
    histogram("workqueue_queue_duration_seconds", &["name"], &[], "").beta().absent(QUEUE),
    counter("workqueue_retries_total", &["name"], "").beta().absent(QUEUE),
    gauge("workqueue_unfinished_work_seconds", &["name"], "").beta().absent(QUEUE),
    histogram("workqueue_work_duration_seconds", &["name"], &[], "").beta().absent(QUEUE),
];
