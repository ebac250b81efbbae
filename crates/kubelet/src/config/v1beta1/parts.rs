//! Nested objects of the configuration.

use std::collections::BTreeMap;

use crate::{
    config::schema::{
        Kind::{
            Bool, Duration, DurationOrNanos, Int32, Int64, Object, Objects, Quantity, QuantityMap, Text,
            Uint32,
        },
        Preset::{Bool as B, Int as I, Nothing, Text as T},
        Support::{self, Effective},
        not_yet, wire,
    },
    duration::GoDuration,
};

const TRACES: Support = not_yet("traces are not built yet");

wire! {
    /// Authentication of callers of the HTTPS server.
    pub struct Authentication {
        /// Client certificates.
        x509: X509, "x509", Object(X509::FIELDS), value Nothing, Effective;
        /// Bearer tokens, by TokenReview.
        webhook: WebhookAuthentication, "webhook", Object(WebhookAuthentication::FIELDS), value Nothing, Effective;
        /// Callers without credentials.
        anonymous: Anonymous, "anonymous", Object(Anonymous::FIELDS), value Nothing, Effective;
    }

    /// Client certificates.
    pub struct X509 {
        /// Authorities that sign them.
        client_ca_file: String, "clientCAFile", Text, value Nothing, Effective;
    }

    /// Bearer tokens.
    pub struct WebhookAuthentication {
        /// Ask the API server.
        enabled: bool, "enabled", Bool, pointer B(true), Effective;
        /// How long an answer is kept.
        cache_ttl: GoDuration, "cacheTTL", Duration, value T("2m0s"), Effective;
    }

    /// Callers without credentials.
    pub struct Anonymous {
        /// Let them in as `system:anonymous`.
        enabled: bool, "enabled", Bool, pointer B(false), Effective;
    }

    /// Authorization of callers of the HTTPS server.
    pub struct Authorization {
        /// `AlwaysAllow` or `Webhook`.
        mode: String, "mode", Text, value T("Webhook"), Effective;
        /// SubjectAccessReview.
        webhook: WebhookAuthorization, "webhook", Object(WebhookAuthorization::FIELDS), value Nothing, Effective;
    }

    /// SubjectAccessReview.
    pub struct WebhookAuthorization {
        /// How long a yes is kept.
        cache_authorized_ttl: GoDuration, "cacheAuthorizedTTL", Duration, value T("5m0s"), Effective;
        /// How long a no is kept.
        cache_unauthorized_ttl: GoDuration, "cacheUnauthorizedTTL", Duration, value T("30s"), Effective;
    }

    /// Swap for pods.
    pub struct MemorySwap {
        /// Empty, `NoSwap` or `LimitedSwap`.
        swap_behavior: String, "swapBehavior", Text, value Nothing, Effective;
    }

    /// Logging.
    pub struct Logging {
        /// `text` or `json`.
        format: String, "format", Text, value T("text"), Effective;
        /// How often buffers are written out. Nothing is buffered here.
        flush_frequency: GoDuration, "flushFrequency", DurationOrNanos, value T("5s"), Support::Differs { how: "lines are written at once" };
        /// Verbosity; higher is more.
        verbosity: u32, "verbosity", Uint32, shown I(0), Effective;
        /// Verbosity per source file.
        vmodule: Vec<VModuleItem>, "vmodule", Objects(VModuleItem::FIELDS), value Nothing, Effective;
        /// Options per format.
        options: FormatOptions, "options", Object(FormatOptions::FIELDS), value Nothing, Effective;
    }

    /// Verbosity of the source files that a pattern names.
    pub struct VModuleItem {
        /// File name without extension; `*`, `?` and `[…]` as in shells.
        file_pattern: String, "filePattern", Text, shown Nothing, Effective;
        /// Verbosity.
        verbosity: u32, "verbosity", Uint32, shown I(0), Effective;
    }

    /// Options per log format.
    pub struct FormatOptions {
        /// Of `text`.
        text: OutputRouting, "text", Object(OutputRouting::FIELDS), value Nothing, Effective;
        /// Of `json`.
        json: OutputRouting, "json", Object(OutputRouting::FIELDS), value Nothing, Effective;
    }

    /// Where log lines go (gate LoggingAlphaOptions).
    pub struct OutputRouting {
        /// Errors to standard error, the rest to standard output.
        split_stream: bool, "splitStream", Bool, value Nothing, Effective;
        /// Buffer for the latter.
        info_buffer_size: String, "infoBufferSize", Quantity, value T("0"), not_yet("lines are written at once");
    }

    /// Shutdown grace of a range of priorities.
    pub struct PriorityGrace {
        /// Lowest priority of the range.
        priority: i32, "priority", Int32, shown Nothing, Effective;
        /// Seconds.
        shutdown_grace_period_seconds: i64, "shutdownGracePeriodSeconds", Int64, shown Nothing, Effective;
    }

    /// Restart delays.
    pub struct CrashLoopBackOff {
        /// Longest delay, 1 s to 300 s.
        max_container_restart_period: Option<GoDuration>, "maxContainerRestartPeriod", Duration, pointer Nothing, Effective;
    }

    /// Memory kept on one NUMA node.
    pub struct MemoryReservation {
        /// Number of the NUMA node.
        numa_node: i32, "numaNode", Int32, shown Nothing, Effective;
        /// Amounts: `memory`, `hugepages-<size>`.
        limits: BTreeMap<String, String>, "limits", QuantityMap, shown Nothing, Effective;
    }

    /// A taint, as upstream writes it.
    pub struct TaintSpec {
        /// Key.
        key: String, "key", Text, shown Nothing, Effective;
        /// Value.
        value: String, "value", Text, value Nothing, Effective;
        /// `NoSchedule`, `PreferNoSchedule` or `NoExecute`.
        effect: String, "effect", Text, shown Nothing, Effective;
        /// Must not be set here.
        time_added: Option<String>, "timeAdded", Text, pointer Nothing, Support::Rejected { why: "the API server sets it" };
    }

    /// OpenTelemetry traces.
    pub struct Tracing {
        /// Collector, host:port.
        endpoint: Option<String>, "endpoint", Text, pointer Nothing, TRACES;
        /// Samples per million.
        sampling_rate_per_million: Option<i32>, "samplingRatePerMillion", Int32, pointer Nothing, TRACES;
    }

    /// User namespaces.
    pub struct UserNamespaces {
        /// Length of a pod's range, a multiple of 65536.
        ids_per_pod: Option<i64>, "idsPerPod", Int64, pointer Nothing, Effective;
    }
}
