//! Probes: when to run which, and what their results add up to (contract §8).
//!
//! One scheduler serves every probe of the node; a probe costs an entry in a table, and a task only while it runs.
//! Workers tell what is there to probe each time they look at their pod, and read the results back; a result that
//! changes rings the worker's bell.
//!
//! ```text
//!   startup:   Unknown ──success──► started, on hold          ──failures──► failed, on hold
//!              (started from the first, where the status says so of this very instance)
//!   liveness:  waits for started, then success               ──failures──► failed, on hold
//!   readiness: waits for started, then ready ◄─success / failures─► not ready
//! ```
//!
//! The scheduler is here, over the [`table`] of probes; [`declared`] has what pods ask for, [`handler`] how a probe is
//! run, [`tally`] and [`early`] what its answers come to, [`notes`] and [`counts`] what is told of it.
//!
//! Invariants:
//! * a result belongs to one container instance; a new container id starts afresh;
//! * a probe on hold does not run again until its container is another one;
//! * a probe that cannot be run at all (the prober's own error) changes nothing, nor does a failure in the first second
//!   of a container ([`early`]).

use std::{cmp::Reverse, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures::FutureExt as _;
pub use lifecycle::explain::ProbeKind as Kind;
use lifecycle::{
    ContainerId, ContainerName, PodUid,
    observation::ProbeResults,
    reason::{self, PodEvent},
};
use metrics::Metrics;
use parking_lot::Mutex;
use seams::{Clock, Runtime};
use tokio::{
    sync::{Notify, Semaphore},
    time::{Instant, timeout},
};

use crate::{alarm::sleep_until, edges::Edges, events::EventSink};

mod counts;
mod declared;
mod early;
pub mod handler;
mod instance;
mod notes;
mod seen;
mod table;
pub mod tally;

use declared::{KINDS, containers, expanded, period, probe_of, seconds};
use early::Early;
use handler::{Answer, Target};
use instance::{running, was_started};
pub use seen::Seen;
use table::{Entry, Key, Table, may_run, results};
use tally::{Change, Tally};

/// Probes that run at once; more wait their turn.
const PLACES: usize = 128;
/// Longest that a probe holds its place. What takes longer waits for something, and costs nothing while it does: pods whose
/// probes hang do not keep those of others waiting.
const HELD: Duration = Duration::from_secs(1);
/// Bytes of a failed probe's answer that are kept for explanations.
const NOTE: usize = 256;
/// Tries of one probe when the prober itself fails.
const TRIES: usize = 3;
/// What is told of a probe that panicked.
const DIED: &str = "the kubelet's prober died; its log tells where";

/// The node's probes.
pub struct Prober {
    runtime: Arc<dyn Runtime>,
    clock: Arc<dyn Clock>,
    events: EventSink,
    table: Mutex<Table>,
    changed: Notify,
    places: Arc<Semaphore>,
    metrics: Arc<Metrics>,
}

impl std::fmt::Debug for Prober {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Prober").field("probes", &self.table.lock().entries.len()).finish_non_exhaustive()
    }
}

impl Prober {
    /// No probes yet.
    #[must_use]
    pub fn new(edges: Edges, events: EventSink) -> Self {
        Self::of(edges.runtime, edges.clock, events, edges.metrics)
    }

    fn of(
        runtime: Arc<dyn Runtime>,
        clock: Arc<dyn Clock>,
        events: EventSink,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            runtime,
            clock,
            events,
            table: Mutex::default(),
            changed: Notify::new(),
            places: Arc::new(Semaphore::new(PLACES)),
            metrics,
        }
    }

    /// Brings the probes of a pod in line with its running containers and returns what is known.
    pub fn observe(&self, uid: &PodUid, seen: &Seen<'_>) -> ProbeResults {
        let now = Instant::now();
        let clock = self.clock.now();
        let mut table = self.table.lock();
        let mut wanted = Vec::new();
        for (container, field_path) in containers(seen.pod) {
            let name = ContainerName::from(container.name.as_str());
            let record = running(seen.runtime, &name).filter(|record| !(seen.starting)(&record.id));
            let Some(record) = record else { continue };
            for kind in KINDS {
                let Some(probe) = probe_of(kind, container) else { continue };
                if seen.stopping && kind != Kind::Readiness {
                    continue;
                }
                let key = Key { uid: uid.clone(), container: name.clone(), kind };
                wanted.push(key.clone());
                let recalled = kind == Kind::Startup && was_started(seen.pod, record);
                match table.entries.get_mut(&key) {
                    Some(entry) if entry.id == record.id => {
                        entry.pod = Arc::clone(seen.pod);
                        entry.pod_ip.clone_from(&seen.pod_ip);
                        // A worker that was made anew has one of its own.
                        entry.bell = Arc::clone(seen.bell);
                        // The mirror of a static pod may turn up after the first look.
                        if recalled {
                            entry.tally.recall_success();
                        }
                        continue;
                    }
                    _ => {}
                }
                let age = record.started_at.map_or(Duration::ZERO, |at| {
                    Duration::try_from(clock.wall.duration_since(at)).unwrap_or_default()
                });
                let delay = seconds(probe.initial_delay_seconds, 0).saturating_sub(age);
                // Containers that run already when the kubelet starts are probed spread over a period.
                let spread = if clock.mono < period(probe) && age > clock.mono {
                    period(probe).mul_f64(key.fraction())
                } else {
                    Duration::ZERO
                };
                let due = now + delay.max(spread);
                let mut tally = Tally::new(probe.success_threshold, probe.failure_threshold);
                if recalled {
                    tally.recall_success();
                }
                let entry = Entry {
                    id: record.id.clone(),
                    pod: Arc::clone(seen.pod),
                    pod_ip: seen.pod_ip.clone(),
                    bell: Arc::clone(seen.bell),
                    probe: probe.clone(),
                    field_path: field_path.clone(),
                    tally,
                    due,
                    not_before: now + delay,
                    early: Early::new(now, age),
                    running: false,
                    last_failure: None,
                };
                table.entries.insert(key.clone(), entry);
                table.due.push(Reverse((due, key)));
            }
        }
        table.entries.retain(|key, _| key.uid != *uid || wanted.contains(key));
        let results = results(&table, uid);
        drop(table);
        self.changed.notify_one();
        results
    }

    /// What is known of a pod's containers as they were seen last.
    pub fn known(&self, uid: &PodUid) -> ProbeResults {
        results(&self.table.lock(), uid)
    }

    /// A pod has begun to stop: whether its containers started or hang does not matter any more.
    pub fn stopping(&self, uid: &PodUid) {
        self.table.lock().entries.retain(|key, _| key.uid != *uid || key.kind == Kind::Readiness);
    }

    /// Forgets a pod.
    pub fn forget(&self, uid: &PodUid) {
        let mut table = self.table.lock();
        table.entries.retain(|key, _| key.uid != *uid);
        counts::forget(&mut table, &self.metrics, uid);
    }

    /// Runs probes when they are due, for ever.
    pub async fn run(self: Arc<Self>) {
        loop {
            let next = self.start_due();
            // Both arms are cancel-safe: the notification keeps a permit, the sleep is made anew.
            tokio::select! {
                () = self.changed.notified() => {}
                () = sleep_until(next) => {}
            }
        }
    }

    /// Starts what is due; returns when the next one is.
    fn start_due(self: &Arc<Self>) -> Option<Instant> {
        let now = Instant::now();
        let mut table = self.table.lock();
        loop {
            let Reverse((at, key)) = table.due.peek()?.clone();
            if at > now {
                return Some(at);
            }
            table.due.pop();
            let held = key.kind != Kind::Startup && !may_run(&table, &key);
            let Some(entry) = table.entries.get_mut(&key) else { continue };
            if entry.due != at || entry.running || entry.tally.on_hold(key.kind) {
                continue;
            }
            if held {
                let due = now + period(&entry.probe);
                entry.due = due;
                table.due.push(Reverse((due, key)));
                continue;
            }
            entry.running = true;
            let (prober, id) = (Arc::clone(self), entry.id.clone());
            tokio::spawn(async move { prober.probe(key, id).await });
        }
    }

    /// Probes an instance, if it is still there when there is a place for that: the next one has a time of its own.
    async fn probe(self: Arc<Self>, key: Key, id: ContainerId) {
        let Ok(place) = Arc::clone(&self.places).acquire_owned().await else { return };
        let Some(target) = self.target(&key).filter(|target| target.id == id) else { return };
        let began = Instant::now();
        // One that panics must not count as under way for ever.
        let tries = AssertUnwindSafe(self.tries(&target)).catch_unwind();
        let tries = tries.map(|answer| answer.unwrap_or_else(|_| Answer::Unknown(DIED.to_owned())));
        let mut tries = std::pin::pin!(tries);
        let answer = match timeout(HELD, tries.as_mut()).await {
            Ok(answer) => answer,
            Err(_) => {
                drop(place);
                tries.await
            }
        };
        self.count(&key, &answer, began.elapsed());
        self.settle(&key, &target.id, &answer);
    }

    /// What a probe is to do now.
    fn target(&self, key: &Key) -> Option<Target> {
        let table = self.table.lock();
        let entry = table.entries.get(key)?;
        let (container, _) =
            containers(&entry.pod).find(|(container, _)| container.name == key.container.as_str())?;
        Some(Target {
            id: entry.id.clone(),
            probe: expanded(&entry.probe, container),
            ports: container.ports.clone().unwrap_or_default(),
            pod_ip: entry.pod_ip.clone(),
            timeout: seconds(entry.probe.timeout_seconds, 1).max(Duration::from_secs(1)),
        })
    }

    async fn tries(&self, target: &Target) -> Answer {
        let mut answer = Answer::Unknown("the probe was not run".to_owned());
        for _ in 0..TRIES {
            answer = handler::run(&*self.runtime, target).await;
            if answer.error().is_none() {
                break;
            }
        }
        answer
    }

    fn settle(&self, key: &Key, id: &ContainerId, answer: &Answer) {
        let mut table = self.table.lock();
        let Some(entry) = table.entries.get_mut(key).filter(|entry| entry.id == *id) else { return };
        entry.running = false;
        if entry.tally.on_hold(key.kind) {
            // Recalled while this answer was on its way, which counts no more.
            return;
        }
        let now = Instant::now();
        if let Answer::Failure(text) | Answer::Unknown(text) | Answer::Broken(text) = answer {
            let mut text = text.clone();
            reason::cut(&mut text, NOTE);
            entry.last_failure = Some(Box::new((self.clock.now(), text)));
        }
        let failed = matches!(answer, Answer::Failure(_));
        if let Some(again) = entry.early.again(now, &entry.probe).filter(|_| failed) {
            entry.due = again;
            table.due.push(Reverse((again, key.clone())));
            drop(table);
            self.changed.notify_one();
            return;
        }
        entry.due = now + period(&entry.probe);
        let due = entry.due;
        let change = match answer {
            Answer::Success | Answer::Warning(_) => entry.tally.success(),
            Answer::Failure(_) => entry.tally.failure(),
            Answer::Unknown(_) | Answer::Broken(_) => Change::None,
        };
        if let Some((reason, message)) = event(key.kind, answer) {
            let event = PodEvent {
                warning: true,
                reason: reason.into(),
                message,
                field_path: Some(entry.field_path.clone()),
            };
            self.events.record_pod(&entry.pod, event);
        }
        let bell = (change == Change::Changed).then(|| Arc::clone(&entry.bell));
        table.due.push(Reverse((due, key.clone())));
        if key.kind == Kind::Startup && bell.is_some() {
            // What waited for the start need not wait for its period too.
            for kind in [Kind::Readiness, Kind::Liveness] {
                let waiting = Key { kind, ..key.clone() };
                if let Some(entry) = table.entries.get_mut(&waiting) {
                    entry.due = entry.not_before.max(Instant::now());
                    let due = entry.due;
                    table.due.push(Reverse((due, waiting)));
                }
            }
        }
        drop(table);
        if let Some(bell) = bell {
            bell.probes_changed();
        }
        self.changed.notify_one();
    }
}

fn event(kind: Kind, answer: &Answer) -> Option<(&'static str, String)> {
    let word = kind.word();
    match answer {
        Answer::Success => None,
        Answer::Warning(text) => Some(("ProbeWarning", format!("{word} probe warning: {text}"))),
        Answer::Failure(text) => Some(("Unhealthy", format!("{word} probe failed: {text}"))),
        Answer::Unknown(text) => {
            Some(("Unhealthy", format!("{word} probe errored and resulted in unknown state: {text}")))
        }
        Answer::Broken(text) => {
            Some(("Unhealthy", format!("{word} probe errored and resulted in failure state: {text}")))
        }
    }
}

#[cfg(test)]
mod tests;
