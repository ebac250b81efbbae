//! How long pods take to start, as the API server sees it: from the object's creation until its status shows every
//! container started. What the node cannot help, image pulls and init containers, is told apart.
//!
//! ```text
//!   created ───────────────► first seen ──► all started, decided ──► the watch shows it
//!              scheduler        ███ pulls   ███ init containers
//! ```
//!
//! Only pods count that this process saw before they had a start time: of the others nobody knows what they waited for.

use std::{collections::HashMap, sync::Arc};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodStatus, Volume};
use lifecycle::{ContainerName, PodKey, PodUid, observation::RuntimePod};
use metrics::Metrics;
use parking_lot::Mutex;

/// A stretch of time.
type Span = (Timestamp, Timestamp);

/// Pods that have not started yet.
#[derive(Debug)]
pub struct Starts {
    metrics: Arc<Metrics>,
    pods: Mutex<Pods>,
}

#[derive(Debug, Default)]
struct Pods {
    starting: HashMap<PodUid, Starting>,
    /// Whether a pod with a network of its own has started; as upstream, one without volumes that outlive it.
    network: bool,
}

#[derive(Debug, Default)]
struct Starting {
    /// Pulls and init containers.
    outside: Vec<Span>,
    /// Images that are being pulled, by container, since when.
    pulling: HashMap<ContainerName, Pulling>,
    /// This process has found all containers started.
    started: bool,
}

/// A pull until it succeeds, with its waits and its tries.
#[derive(Clone, Copy, Debug)]
struct Pulling {
    since: Timestamp,
    /// A try was for nothing.
    failed: bool,
}

impl Starts {
    /// None yet.
    #[must_use]
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self { metrics, pods: Mutex::default() }
    }

    /// The API server shows a pod like this.
    pub fn shown(&self, pod: &Pod, now: Timestamp) {
        let uid = PodKey::of(pod).uid;
        let status = pod.status.as_ref();
        let mut pods = self.pods.lock();
        let known = pods.starting.get(&uid).map(|starting| starting.started);
        match known {
            None if status.is_none_or(|status| status.start_time.is_none()) => {
                pods.starting.insert(uid, Starting::default());
            }
            Some(true) if status.is_some_and(all_started) => {
                if let Some(starting) = pods.starting.remove(&uid) {
                    let first_network = !pods.network && !on_host_network(pod) && !is_stateful(pod);
                    pods.network |= first_network;
                    drop(pods);
                    self.measure(pod, &starting, now, first_network);
                }
            }
            _ => {}
        }
    }

    fn measure(&self, pod: &Pod, starting: &Starting, now: Timestamp, first_network: bool) {
        let Some(created) = pod.metadata.creation_timestamp.as_ref().map(|time| time.0) else { return };
        let total = now.duration_since(created);
        let own = total - covered(&starting.outside);
        let counts = &self.metrics.pods;
        counts.start_total_seconds.observe(total.as_secs_f64());
        if !is_stateful(pod) {
            counts.start_sli_seconds.observe(own.as_secs_f64());
        }
        if first_network {
            counts.first_network_start.set(own.as_secs_f64());
        }
    }

    /// The image of a container is asked for, be it once more.
    pub fn asks_for_image(&self, uid: &PodUid, container: &ContainerName, now: Timestamp) {
        if let Some(starting) = self.pods.lock().starting.get_mut(uid) {
            let pulling = Pulling { since: now, failed: false };
            starting.pulling.entry(container.clone()).or_insert(pulling);
        }
    }

    /// That ended: it was pulled, or was there, or could not be had, so that it is asked for again.
    pub fn has_image(&self, uid: &PodUid, container: &ContainerName, had: Had, now: Timestamp) {
        let mut pods = self.pods.lock();
        let Some(starting) = pods.starting.get_mut(uid) else { return };
        if had == Had::NotYet {
            if let Some(pulling) = starting.pulling.get_mut(container) {
                pulling.failed = true;
            }
            return;
        }
        let pulling = starting.pulling.remove(container);
        // One that was there at the first look took no time.
        starting.outside.extend(
            pulling
                .filter(|pulling| pulling.failed || had == Had::Pulled)
                .map(|pulling| (pulling.since, now)),
        );
    }

    /// A status was decided. From the first one on that shows all containers started, the API server's word is awaited.
    pub fn decided(&self, uid: &PodUid, pod: &Pod, status: &PodStatus, runtime: &RuntimePod) {
        if !all_started(status) {
            return;
        }
        let mut pods = self.pods.lock();
        let Some(starting) = pods.starting.get_mut(uid).filter(|starting| !starting.started) else { return };
        starting.started = true;
        starting.outside.extend(init_spans(pod, runtime));
    }

    /// The pod is gone.
    pub fn forget(&self, uid: &PodUid) {
        self.pods.lock().starting.remove(uid);
    }
}

/// How it went to get an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Had {
    /// It was pulled.
    Pulled,
    /// It was there.
    Present,
    /// It was not to be had.
    NotYet,
}

/// Runs of init containers that ended, sidecars left out.
fn init_spans<'a>(pod: &'a Pod, runtime: &'a RuntimePod) -> impl Iterator<Item = Span> + 'a {
    let init = pod.spec.iter().flat_map(|spec| spec.init_containers.iter().flatten());
    let names: Vec<&str> = init
        .filter(|container| container.restart_policy.as_deref() != Some("Always"))
        .map(|container| container.name.as_str())
        .collect();
    runtime
        .containers
        .iter()
        .filter(move |record| names.contains(&record.name.as_str()))
        .filter_map(|record| Some((record.started_at?, record.finished_at?)))
}

/// Time that the spans cover, each instant once.
fn covered(spans: &[Span]) -> SignedDuration {
    let mut spans = spans.to_vec();
    spans.sort_unstable();
    let mut total = SignedDuration::ZERO;
    let mut reached: Option<Timestamp> = None;
    for (from, to) in spans {
        let from = reached.map_or(from, |reached| reached.max(from));
        if to > from {
            total += to.duration_since(from);
        }
        reached = Some(reached.map_or(to, |reached| reached.max(to)));
    }
    total
}

/// Whether every regular container runs, or ran, in the eyes of a status.
fn all_started(status: &PodStatus) -> bool {
    let runs = |container: &ContainerStatus| {
        container
            .state
            .as_ref()
            .and_then(|state| state.running.as_ref())
            .is_some_and(|running| running.started_at.is_some())
    };
    let containers = status.container_statuses.as_deref().unwrap_or_default();
    !containers.is_empty() && containers.iter().all(runs)
}

fn on_host_network(pod: &Pod) -> bool {
    pod.spec.as_ref().is_some_and(|spec| spec.host_network == Some(true))
}

/// Whether a pod waits for volumes that are made elsewhere.
fn is_stateful(pod: &Pod) -> bool {
    let own = |volume: &Volume| {
        volume.secret.is_some()
            || volume.config_map.is_some()
            || volume.downward_api.is_some()
            || volume.empty_dir.is_some()
            || volume.projected.is_some()
    };
    pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten()).any(|volume| !own(volume))
}

#[cfg(test)]
mod tests;
