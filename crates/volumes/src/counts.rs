//! Which volumes are wanted and mounted, and how long it took: for metrics alone.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
    time::Duration,
};

use k8s_openapi::api::core::v1::Volume;
use metrics::{
    End, Metrics,
    volumes::{Held, Met, Operated, OverallOperation, VolumeOperation, World},
};
use parking_lot::Mutex;
use tokio::time::Instant;

/// The volumes of all pods, by the names of their plugins.
pub(crate) struct Counts {
    metrics: Arc<Metrics>,
    pods: Mutex<HashMap<String, Pod>>,
}

struct Pod {
    wanted: Vec<&'static str>,
    mounted: Vec<&'static str>,
    /// When they were asked for, until all of them were mounted.
    since: Option<Instant>,
}

impl Counts {
    /// Tells the metrics, as long as it lives.
    pub(crate) fn new(metrics: Arc<Metrics>) -> Arc<Self> {
        let counts = Arc::new(Self { metrics, pods: Mutex::default() });
        let asked: Weak<Self> = Arc::downgrade(&counts);
        counts.metrics.volumes.held.answered_by(move |put| {
            if let Some(counts) = asked.upgrade() {
                for (held, count) in counts.held() {
                    put(held, f64::from(count));
                }
            }
        });
        counts
    }

    fn held(&self) -> HashMap<Held, u32> {
        let mut held: HashMap<Held, u32> = HashMap::new();
        for pod in self.pods.lock().values() {
            for (plugins, state) in [(&pod.wanted, World::Desired), (&pod.mounted, World::Actual)] {
                for plugin_name in plugins {
                    *held.entry(Held { plugin_name, state }).or_default() += 1;
                }
            }
        }
        held
    }

    /// A pod's volumes are to be mounted, or brought up to date.
    pub(crate) fn wished(&self, uid: &str, plugins: Vec<&'static str>) {
        let mut pods = self.pods.lock();
        match pods.get_mut(uid) {
            Some(pod) => pod.wanted = plugins,
            // Nothing to tell of.
            None if plugins.is_empty() => {}
            None => {
                let pod = Pod { wanted: plugins, mounted: Vec::new(), since: Some(Instant::now()) };
                pods.insert(uid.to_owned(), pod);
            }
        }
    }

    /// One volume was set up, or was not.
    pub(crate) fn set_up(&self, plugin: &'static str, took: Duration, end: End) {
        let operated = Operated::new(VolumeOperation::Mount, plugin, end);
        self.metrics.volumes.operation_seconds.took(&operated, took);
    }

    /// These of a pod's volumes are mounted now.
    pub(crate) fn mounted(&self, uid: &str, mounted: Vec<&'static str>) {
        let mut pods = self.pods.lock();
        let Some(pod) = pods.get_mut(uid) else { return };
        pod.mounted = mounted;
        if pod.mounted.len() < pod.wanted.len() {
            return;
        }
        if let Some(since) = pod.since.take() {
            self.met(OverallOperation::Mount, &pod.mounted, since.elapsed());
        }
    }

    /// All volumes of a pod were taken down, or were not.
    pub(crate) fn taken_down(&self, uid: &str, took: Duration, end: End) {
        let mut pods = self.pods.lock();
        let mounted = pods.get(uid).map(|pod| pod.mounted.clone()).unwrap_or_default();
        for plugin in &mounted {
            let operated = Operated::new(VolumeOperation::Unmount, plugin, end);
            self.metrics.volumes.operation_seconds.took(&operated, took);
        }
        if end == End::Well {
            pods.remove(uid);
            self.met(OverallOperation::Unmount, &mounted, took);
        }
    }

    fn met(&self, operation_name: OverallOperation, plugins: &[&'static str], took: Duration) {
        for plugin_name in plugins {
            self.metrics.volumes.overall_seconds.took(&Met { operation_name, plugin_name }, took);
        }
    }
}

/// What upstream calls the plugin of a volume.
pub(crate) fn plugin_name(volume: &Volume) -> &'static str {
    let known = [
        (volume.empty_dir.is_some(), "kubernetes.io/empty-dir"),
        (volume.host_path.is_some(), "kubernetes.io/host-path"),
        (volume.config_map.is_some(), "kubernetes.io/configmap"),
        (volume.secret.is_some(), "kubernetes.io/secret"),
        (volume.downward_api.is_some(), "kubernetes.io/downward-api"),
        (volume.projected.is_some(), "kubernetes.io/projected"),
    ];
    // Others are refused.
    known.into_iter().find(|(is, _)| *is).map_or("<unknown>", |(_, name)| name)
}

#[cfg(test)]
mod tests {
    use metrics::table::Page;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn volumes_are_counted_from_the_wish_to_the_end() {
        let metrics = Metrics::new();
        let counts = Counts::new(Arc::clone(&metrics));
        let count = |name: &str, state: &str| {
            let line = format!(
                "\nvolume_manager_total_volumes{{plugin_name=\"{name}\",state=\"{state}_state_of_world\"}} "
            );
            let page = metrics.page(Page::Metrics);
            page.split_once(line.as_str()).map(|(_, rest)| rest.split('\n').next().unwrap().to_owned())
        };
        counts.wished("u", vec!["a", "a", "b"]);
        counts.mounted("u", vec!["a"]);
        assert_eq!(count("a", "desired").as_deref(), Some("2"));
        assert_eq!(count("a", "actual").as_deref(), Some("1"));
        tokio::time::advance(Duration::from_secs(3)).await;
        counts.mounted("u", vec!["a", "a", "b"]);
        counts.wished("u", vec!["a", "a", "b"]);
        counts.mounted("u", vec!["a", "a", "b"]);
        let mount = |plugin_name| Met { operation_name: OverallOperation::Mount, plugin_name };
        let seconds = metrics.volumes.overall_seconds.of(&mount("b"));
        assert_eq!((seconds.count(), seconds.sum()), (1, 3.0), "an update is no new wish");
        counts.taken_down("u", Duration::from_secs(1), End::Failed);
        assert_eq!(count("b", "actual").as_deref(), Some("1"));
        counts.taken_down("u", Duration::from_secs(1), End::Well);
        assert_eq!(count("b", "actual"), None);
        let operated = Operated::new(VolumeOperation::Unmount, "a", End::Failed);
        assert_eq!(metrics.volumes.operation_seconds.of(&operated).count(), 2);
    }
}
