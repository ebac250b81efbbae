//! All values of one kubelet, and the pages made of them.
//!
//! An instance is handed to whoever measures: tests look at their own, and two kubelets in one process would not count
//! into each other.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    family::{self, Family},
    http::Http,
    idle::Idle,
    images::Images,
    node::{NodeMetrics, Promise},
    pods::Pods,
    probes::Probes,
    rest::Rest,
    runtime::Runtime,
    table::{self, Page},
    text,
    value::as_f64,
    volumes::Volumes,
};

/// The values.
#[derive(Debug)]
pub struct Metrics {
    /// Of the container runtime.
    pub runtime: Runtime,
    /// Of pods.
    pub pods: Pods,
    /// Of images.
    pub images: Images,
    /// Of volumes.
    pub volumes: Volumes,
    /// Of probes.
    pub probes: Probes,
    /// Of the node's own API.
    pub http: Http,
    /// Of requests to the API server.
    pub rest: Rest,
    /// Of the node and of this process.
    pub node: NodeMetrics,
    /// Nothing.
    pub idle: Idle,
}

impl Metrics {
    /// Nothing is measured yet.
    #[must_use]
    pub fn new() -> Arc<Self> {
        let node = NodeMetrics::new();
        node.registered.answered_by(|put| {
            let mut counts: BTreeMap<&'static str, u64> = BTreeMap::new();
            for row in table::all().filter(|row| row.page == Page::Metrics && row.support.is_served()) {
                // Metrics of collectors from outside carry no promise, and are not counted.
                if row.stability != text::Stability::None {
                    *counts.entry(row.stability.word()).or_default() += 1;
                }
            }
            for (stability_level, count) in counts {
                put(Promise { deprecated_version: "", stability_level }, as_f64(count));
            }
        });
        Arc::new(Self {
            runtime: Runtime::new(),
            pods: Pods::new(),
            images: Images::new(),
            volumes: Volumes::new(),
            probes: Probes::new(),
            http: Http::new(),
            rest: Rest::new(),
            node,
            idle: Idle::new(),
        })
    }

    /// The text of a page: of `/metrics`, `/metrics/probes` or `/metrics/slis`.
    #[must_use]
    pub fn page(&self, page: Page) -> String {
        let mut families: Vec<&dyn Family> = self.families();
        families.retain(|family| family.row().page == page);
        families.sort_by_key(|family| family.row().name);
        let mut text = text::Page::new();
        for family in families {
            family::write(family, &mut text);
        }
        text.finish()
    }

    fn families(&self) -> Vec<&dyn Family> {
        let Self { runtime, pods, images, volumes, probes, http, rest, node, idle } = self;
        [
            runtime.families(),
            pods.families(),
            images.families(),
            volumes.families(),
            probes.families(),
            http.families(),
            rest.families(),
            node.families(),
            idle.families(),
        ]
        .concat()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::runtime::{End, Operation};

    #[test]
    fn what_the_table_says_is_served_is() {
        let metrics = Metrics::new();
        let kept: BTreeSet<_> =
            metrics.families().iter().map(|family| (family.row().page, family.row().name)).collect();
        assert_eq!(kept.len(), metrics.families().len(), "a row has two values");
        for row in table::all().filter(|row| row.support.is_served()) {
            if matches!(row.page, Page::Metrics | Page::Probes | Page::Slis) {
                assert!(kept.contains(&(row.page, row.name)), "{} is not kept", row.name);
            }
        }
    }

    #[test]
    fn a_page_has_its_families_in_order() {
        let metrics = Metrics::new();
        metrics.runtime.called(Operation::Version, std::time::Duration::from_millis(6), End::Failed);
        let page = metrics.page(Page::Metrics);
        let names: Vec<&str> =
            page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
        assert!(names.is_sorted() && names.contains(&"kubelet_started_pods_total"));
        assert!(page.contains("\nkubelet_runtime_operations_errors_total{operation_type=\"version\"} 1\n"));
        assert!(page.contains("\nkubelet_runtime_operations_duration_seconds_bucket{operation_type=\"version\",le=\"0.005\"} 0\n"));
        assert!(page.contains("\nkubelet_restarted_pods_total{static=\"true\"} 0\n"));
        assert!(!page.contains("kubelet_pod_worker_duration_seconds"), "nothing was looked at");
        assert!(page.contains("stability_level=\"ALPHA\"} "));
        metrics.node.set_started_at(2.5);
        assert!(metrics.page(Page::Slis).ends_with("\nprocess_start_time_seconds 2.5\n"));
        assert!(metrics.page(Page::Probes).ends_with("\nprocess_start_time_seconds 2.5\n"));
    }
}
