//! The node, and this program on it.

use std::sync::Arc;

use crate::{
    family::{Asked, Single, Vector},
    labels::{group, label_set, words},
    value::{Counter, Gauge},
};

label_set! {
    /// The node.
    Node { node "node": Arc<str> }
}

label_set! {
    /// What the statistics come from.
    Provider { provider "provider": &'static str }
}

label_set! {
    /// A build. What is not known is empty.
    Build {
        build_date "build_date": &'static str,
        compiler "compiler": &'static str,
        git_commit "git_commit": &'static str,
        git_tree_state "git_tree_state": &'static str,
        git_version "git_version": Arc<str>,
        go_version "go_version": &'static str,
        major "major": Arc<str>,
        minor "minor": Arc<str>,
        platform "platform": Arc<str>,
    }
}

label_set! {
    /// A feature gate.
    Feature { name "name": &'static str, stage "stage": &'static str }
}

label_set! {
    /// A promise about metrics.
    Promise { deprecated_version "deprecated_version": &'static str, stability_level "stability_level": &'static str }
}

words! {
    /// How a health check ended.
    Health {
        Success = "success",
        Error = "error",
    }
}

label_set! {
    /// A health check.
    HealthCheck { name "name": &'static str, kind "type": &'static str }
}

label_set! {
    /// A health check that was made.
    HealthChecked { name "name": &'static str, status "status": Health, kind "type": &'static str }
}

group! {
    /// What is measured of the node and of this process.
    NodeMetrics {
        build: Vector<Build, Gauge> = Metrics "kubernetes_build_info",
        cgroup_version: Single<Gauge> = Metrics "kubelet_cgroup_version",
        cpu_seconds: Asked<()> = Metrics "process_cpu_seconds_total",
        features: Asked<Feature> = Metrics "kubernetes_feature_enabled",
        health: Vector<HealthCheck, Gauge> = Slis "kubernetes_healthcheck",
        health_checks: Vector<HealthChecked, Counter> = Slis "kubernetes_healthchecks_total",
        max_fds: Asked<()> = Metrics "process_max_fds",
        name: Vector<Node, Gauge> = Metrics "kubelet_node_name",
        network_received: Asked<()> = Metrics "process_network_receive_bytes_total",
        network_sent: Asked<()> = Metrics "process_network_transmit_bytes_total",
        open_fds: Asked<()> = Metrics "process_open_fds",
        provider: Vector<Provider, Gauge> = Metrics "kubelet_metrics_provider",
        registered: Asked<Promise> = Metrics "registered_metrics_total",
        resident: Asked<()> = Metrics "process_resident_memory_bytes",
        started_at: Single<Gauge> = Metrics "process_start_time_seconds",
        started_at_on_probes: Single<Gauge> = Probes "process_start_time_seconds",
        started_at_on_slis: Single<Gauge> = Slis "process_start_time_seconds",
        startup: Single<Gauge> = Metrics "kubelet_node_startup_duration_seconds",
        startup_post_registration: Single<Gauge> = Metrics "kubelet_node_startup_post_registration_duration_seconds",
        startup_pre_kubelet: Single<Gauge> = Metrics "kubelet_node_startup_pre_kubelet_duration_seconds",
        startup_pre_registration: Single<Gauge> = Metrics "kubelet_node_startup_pre_registration_duration_seconds",
        startup_registration: Single<Gauge> = Metrics "kubelet_node_startup_registration_duration_seconds",
        virtual_memory: Asked<()> = Metrics "process_virtual_memory_bytes",
        virtual_memory_max: Asked<()> = Metrics "process_virtual_memory_max_bytes",
    }
}

impl NodeMetrics {
    /// When the process started, in seconds of Unix time, on each page that says so.
    pub fn set_started_at(&self, seconds: f64) {
        for gauge in [&self.started_at, &self.started_at_on_probes, &self.started_at_on_slis] {
            gauge.set(seconds);
        }
    }

    /// A health check was made.
    pub fn health_checked(&self, name: &'static str, status: Health) {
        let kind = "healthz";
        self.health.set(&HealthCheck { name, kind }, if status == Health::Success { 1.0 } else { 0.0 });
        self.health_checks.inc(&HealthChecked { name, status, kind });
    }
}
