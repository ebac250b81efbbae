//! Events about pods and the node: taken without waiting, joined with their likes, sent one at a time.
//!
//! ```text
//!   record_pod, record_node ──► queue (1000) ──► Correlator ──► rate limit ──► create or patch
//!                                 │ full            │ spam                        │ two minutes
//!                                 └► counted        └► dropped                    └► dropped
//! ```
//!
//! Invariants:
//! * recording never waits and never fails: a node that cannot report is still a node that runs pods;
//! * every event is in the log, whatever happens to it afterwards;
//! * memory is bounded: the queue by its length, the correlator by its number of records.

pub mod catalog;
mod correlator;

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use k8s_openapi::{
    api::core::v1::{Event, EventSource, Node, ObjectReference, Pod},
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time},
};
use lifecycle::{Tick, reason::PodEvent};
use seams::{ApiError, Clock, Cluster, TokenBucket};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep},
};

pub use correlator::{Correlator, Verdict};

/// Events that wait to be sent, as upstream's broadcaster.
const QUEUE: usize = 1000;
/// How long one event is tried while the API server is out of reach: upstream's twelve pauses of ten seconds.
const PATIENCE: Duration = Duration::from_secs(120);
/// Pauses between attempts double from the first to the last: a server that is away for a moment must not hold up for
/// ten seconds what pods do in the meantime.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LAST_PAUSE: Duration = Duration::from_secs(10);
/// Name of the reporter.
const COMPONENT: &str = "kubelet";
/// Longest name of an API object.
const LONGEST_NAME: usize = 253;

/// `eventRecordQPS` and `eventBurst`; without one there is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventRate {
    /// Events per second; more than zero.
    pub per_second: u32,
    /// Events at once.
    pub burst: u32,
}

/// Takes events. Cheap to clone.
#[derive(Clone)]
pub struct EventSink {
    inner: Arc<Inner>,
}

struct Inner {
    node_name: String,
    clock: Arc<dyn Clock>,
    node: Option<watch::Receiver<Option<Arc<Node>>>>,
    queue: Option<mpsc::Sender<(Event, Tick)>>,
    dropped: AtomicU64,
    last_nanosecond: AtomicI64,
}

impl std::fmt::Debug for EventSink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventSink").field("dropped", &self.dropped()).finish_non_exhaustive()
    }
}

/// Sends what a sink took. Run it once.
pub struct EventTask {
    cluster: Option<Arc<dyn Cluster>>,
    queue: mpsc::Receiver<(Event, Tick)>,
    rate: Option<EventRate>,
}

impl std::fmt::Debug for EventTask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventTask").finish_non_exhaustive()
    }
}

impl EventSink {
    /// A sink and the task that empties it. Without a cluster events are only logged, and the task ends at once.
    #[must_use]
    pub fn new(
        cluster: Option<Arc<dyn Cluster>>,
        node_name: String,
        rate: Option<EventRate>,
        clock: Arc<dyn Clock>,
    ) -> (Self, EventTask) {
        let (sender, queue) = mpsc::channel(QUEUE);
        let inner = Inner {
            node_name,
            clock,
            node: cluster.as_ref().map(|cluster| cluster.node()),
            queue: cluster.is_some().then_some(sender),
            dropped: AtomicU64::new(0),
            last_nanosecond: AtomicI64::new(i64::MIN),
        };
        (Self { inner: Arc::new(inner) }, EventTask { cluster, queue, rate })
    }

    /// Records an event about a pod or one of its containers.
    pub fn record_pod(&self, pod: &Pod, event: PodEvent) {
        let PodEvent { warning, reason, message, field_path } = event;
        let about = ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Pod".to_owned()),
            namespace: pod.metadata.namespace.clone(),
            name: pod.metadata.name.clone(),
            uid: pod.metadata.uid.clone(),
            resource_version: pod.metadata.resource_version.clone(),
            field_path,
        };
        self.record(about, warning, &reason, message);
    }

    /// Records an event about the node.
    pub fn record_node(&self, warning: bool, reason: &'static str, message: impl Into<String>) {
        let uid = if carries_uid(reason) { self.node_uid() } else { None };
        let about = ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Node".to_owned()),
            name: Some(self.inner.node_name.clone()),
            uid,
            ..ObjectReference::default()
        };
        self.record(about, warning, reason, message.into());
    }

    /// Events that found the queue full since the start.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.inner.dropped.load(Ordering::Relaxed)
    }

    fn node_uid(&self) -> Option<String> {
        self.inner.node.as_ref().and_then(|node| node.borrow().as_ref().and_then(|n| n.metadata.uid.clone()))
    }

    fn record(&self, about: ObjectReference, warning: bool, reason: &str, message: String) {
        let namespace = about.namespace.clone().unwrap_or_default();
        let name = about.name.clone().unwrap_or_default();
        let kind = about.kind.clone().unwrap_or_default();
        debug_assert!(catalog::is_listed(&kind, warning, reason), "no row for {reason} of a {kind}");
        tracing::info!(
            kind,
            namespace,
            name,
            field_path = about.field_path,
            warning,
            reason,
            message,
            "event"
        );
        let Some(queue) = &self.inner.queue else { return };
        let now = self.inner.clock.now();
        let event = self.event(about, warning, reason, message, now);
        if queue.try_send((event, now)).is_err() {
            let before = self.inner.dropped.fetch_add(1, Ordering::Relaxed);
            if before.is_multiple_of(100) {
                tracing::warn!(
                    dropped = before + 1,
                    "the queue of {QUEUE} events is full; dropping events until the API server takes them again"
                );
            }
        }
    }

    fn event(
        &self,
        about: ObjectReference,
        warning: bool,
        reason: &str,
        message: String,
        now: Tick,
    ) -> Event {
        let namespace =
            about.namespace.clone().filter(|n| !n.is_empty()).unwrap_or_else(|| "default".to_owned());
        let time = Time(now.wall);
        Event {
            metadata: ObjectMeta {
                name: Some(self.event_name(about.name.as_deref().unwrap_or_default(), now)),
                namespace: Some(namespace),
                ..ObjectMeta::default()
            },
            involved_object: about,
            reason: Some(reason.to_owned()),
            message: Some(message),
            type_: Some(if warning { "Warning" } else { "Normal" }.to_owned()),
            first_timestamp: Some(time.clone()),
            last_timestamp: Some(time),
            count: Some(1),
            source: Some(EventSource {
                component: Some(COMPONENT.to_owned()),
                host: Some(self.inner.node_name.clone()),
            }),
            reporting_component: Some(COMPONENT.to_owned()),
            reporting_instance: Some(self.inner.node_name.clone()),
            ..Event::default()
        }
    }

    /// `<object>.<hexadecimal nanoseconds>`, never the same twice.
    fn event_name(&self, object: &str, now: Tick) -> String {
        let wanted = i64::try_from(now.wall.as_nanosecond()).unwrap_or(i64::MAX);
        let last = &self.inner.last_nanosecond;
        let previous = last.fetch_max(wanted, Ordering::Relaxed);
        let unique = if wanted > previous { wanted } else { last.fetch_add(1, Ordering::Relaxed) + 1 };
        let suffix = format!(".{unique:x}");
        let object = object.get(..LONGEST_NAME - suffix.len()).unwrap_or(object);
        // Each part between dots has to end in a letter or digit.
        let object = object.trim_end_matches(['-', '.']);
        format!("{object}{suffix}")
    }
}

/// Since 1.37 these carry the Node's uid once it is known; the others never do (contract §28).
fn carries_uid(reason: &str) -> bool {
    matches!(
        reason,
        "Starting" | "KubeletSetupFailed" | "ContainerGCFailed" | "ImageGCFailed" | "CgroupV1" | "Rebooted"
    ) || reason.starts_with("Node") && reason != "NodeAllocatableEnforced"
}

impl EventTask {
    /// Sends until every sink is gone.
    pub async fn run(mut self) {
        let Some(cluster) = self.cluster.take() else { return };
        let mut correlator = Correlator::default();
        let pace = bucket(self.rate);
        while let Some((event, at)) = self.queue.recv().await {
            let verdict = correlator.observe(event, at.mono);
            if matches!(verdict, Verdict::Drop) {
                continue;
            }
            send(cluster.as_ref(), &verdict, pace.as_ref()).await;
        }
    }
}

/// What became of one attempt.
enum Attempt {
    Done,
    TryAgain(ApiError),
}

async fn send(cluster: &dyn Cluster, verdict: &Verdict, pace: Option<&TokenBucket>) {
    let end = Instant::now() + PATIENCE;
    let mut pause = FIRST_PAUSE;
    let mut node = cluster.node();
    loop {
        turn(pace).await;
        let Attempt::TryAgain(error) = once(cluster, verdict, pace).await else { return };
        if Instant::now() >= end {
            tracing::warn!(%error, "giving up on an event after {} s", PATIENCE.as_secs());
            return;
        }
        tracing::debug!(%error, ?pause, "cannot send an event; trying again");
        tokio::select! {
            () = sleep(pause) => {}
            // News of the Node come from the API server: it is there again.
            Ok(()) = node.changed() => {}
        }
        pause = (pause * 2).min(LAST_PAUSE);
    }
}

async fn once(cluster: &dyn Cluster, verdict: &Verdict, pace: Option<&TokenBucket>) -> Attempt {
    let event = match verdict {
        Verdict::Drop => return Attempt::Done,
        Verdict::Create(event) => event,
        Verdict::Patch { event, patch } => {
            let namespace = event.metadata.namespace.as_deref().unwrap_or_default();
            let name = event.metadata.name.as_deref().unwrap_or_default();
            match cluster.patch_event(namespace, name, patch).await {
                // It has expired, or was never written: start a new one.
                Err(ApiError::NotFound(_)) => turn(pace).await,
                result => return judged(result),
            }
            event
        }
    };
    judged(cluster.create_event(event).await)
}

fn judged(result: Result<Event, ApiError>) -> Attempt {
    match result {
        Ok(_) => Attempt::Done,
        Err(error @ (ApiError::Unreachable { .. } | ApiError::Malformed(_))) => Attempt::TryAgain(error),
        // The namespace is being deleted, the name is taken, or nobody may write here: it will not get better.
        Err(error) => {
            tracing::debug!(%error, "the API server refused an event");
            Attempt::Done
        }
    }
}

/// The bucket, if there is a limit.
fn bucket(rate: Option<EventRate>) -> Option<TokenBucket> {
    rate.map(|rate| TokenBucket::new(Duration::from_secs(1) / rate.per_second.max(1), rate.burst))
}

async fn turn(pace: Option<&TokenBucket>) {
    if let Some(pace) = pace {
        pace.turn().await;
    }
}

#[cfg(test)]
mod tests;
