//! What is counted of probes, until their pod is gone: a name in a metric must not outlive what bears it.

use std::{sync::Arc, time::Duration};

use k8s_openapi::api::core::v1::Pod;
use lifecycle::PodUid;
use metrics::{
    Metrics,
    probes::{Kind as Label, Probe, ProbeEnd, Probed},
};

use super::{Key, Kind, Prober, Table, handler::Answer};

/// The label sets of one probe. They are made when it has run once.
#[derive(Debug)]
pub(super) struct Counts {
    probe: Probe,
    uid: Arc<str>,
}

impl Counts {
    fn new(pod: &Pod, key: &Key) -> Self {
        let text = |text: &Option<String>| Arc::from(text.as_deref().unwrap_or_default());
        let probe = Probe {
            container: Arc::from(key.container.as_str()),
            namespace: text(&pod.metadata.namespace),
            pod: text(&pod.metadata.name),
            probe_type: match key.kind {
                Kind::Liveness => Label::Liveness,
                Kind::Readiness => Label::Readiness,
                Kind::Startup => Label::Startup,
            },
        };
        Self { probe, uid: Arc::from(key.uid.as_str()) }
    }

    fn ended(&self, result: ProbeEnd) -> Probed {
        let Probe { container, namespace, pod, probe_type } = self.probe.clone();
        Probed { container, namespace, pod, pod_uid: Arc::clone(&self.uid), probe_type, result }
    }

    /// As upstream: times are of probes that succeeded, and what the prober could not do itself is no result.
    fn count(&self, metrics: &Metrics, answer: &Answer, took: Duration) {
        match answer {
            Answer::Success | Answer::Warning(_) => {
                metrics.probes.ended.inc(&self.ended(ProbeEnd::Successful));
                metrics.probes.seconds.took(&self.probe, took);
            }
            Answer::Failure(_) => metrics.probes.ended.inc(&self.ended(ProbeEnd::Failed)),
            Answer::Unknown(_) | Answer::Broken(_) => {}
        }
    }

    fn forget(&self, metrics: &Metrics) {
        for result in ProbeEnd::ALL {
            metrics.probes.ended.forget(&self.ended(*result));
        }
        metrics.probes.seconds.forget(&self.probe);
    }
}

impl Prober {
    /// A probe ended. One whose container is no longer probed is not counted.
    pub(super) fn count(&self, key: &Key, answer: &Answer, took: Duration) {
        let mut table = self.table.lock();
        let Table { entries, counts, .. } = &mut *table;
        let Some(entry) = entries.get(key) else { return };
        let counts = counts.entry(key.clone()).or_insert_with(|| Counts::new(&entry.pod, key));
        counts.count(&self.metrics, answer, took);
    }
}

/// Nothing of the pod is probed any more.
pub(super) fn forget(table: &mut Table, metrics: &Metrics, uid: &PodUid) {
    table.counts.retain(|key, counts| {
        let stays = key.uid != *uid;
        if !stays {
            counts.forget(metrics);
        }
        stays
    });
}
