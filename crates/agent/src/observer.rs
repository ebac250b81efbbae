//! Watches the runtime and rings the bells of the pods concerned.
//!
//! Hints make a change known at once; a slow full relist is the safety net, a less slow one where hints cannot be trusted
//! ([`trust`]); the runtime's own health is asked for every few seconds. The observer knows no pod: it compares what is
//! listed with what each worker knows, and rings.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use lifecycle::{ContainerId, PodUid, account::Digest, observation::RuntimeState};
use metrics::Metrics;
use node::conditions::NotReady;
use parking_lot::Mutex;
use seams::{
    Clock, Runtime, RuntimeError,
    runtime::{ListedPod, RuntimeHint, RuntimeStatus},
};
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};

use crate::{alarm::sleep_until, health::Health, worker::bell::Bell};

mod trust;

use trust::Trust;

/// `updateRuntimeUp` period (contract §2.3).
const STATUS_PERIOD: Duration = Duration::from_secs(5);
/// Silence of the runtime that is told while its answer is still waited for.
const SILENCE: Duration = Duration::from_secs(10);

/// The bells of all workers.
#[derive(Debug, Default)]
pub struct Bells {
    bells: Mutex<BTreeMap<PodUid, Arc<Bell>>>,
    /// Pods that the runtime has, or had since it was last listed; `None`: who knows.
    present: Mutex<Option<BTreeSet<PodUid>>>,
}

impl Bells {
    /// Adds a worker's bell.
    pub fn add(&self, uid: PodUid, bell: Arc<Bell>) {
        self.bells.lock().insert(uid, bell);
    }

    /// Removes a worker's bell.
    pub fn remove(&self, uid: &PodUid) {
        self.bells.lock().remove(uid);
    }

    /// The bell of a pod.
    #[must_use]
    pub fn of(&self, uid: &PodUid) -> Option<Arc<Bell>> {
        self.bells.lock().get(uid).cloned()
    }

    /// Whether the runtime has shown nothing of a pod, neither in a list of this process nor since.
    #[must_use]
    pub fn is_absent(&self, uid: &PodUid) -> bool {
        self.present.lock().as_ref().is_some_and(|present| !present.contains(uid))
    }

    /// The runtime has shown something of a pod.
    fn shown(&self, uid: &PodUid) {
        if let Some(present) = self.present.lock().as_mut() {
            present.insert(uid.clone());
        }
    }

    fn listed(&self, present: BTreeSet<PodUid>) {
        *self.present.lock() = Some(present);
    }

    /// Shows each worker what is listed of its pod, and gives the pods that have none.
    fn compare(&self, listed: &BTreeMap<PodUid, ListedPod>) -> Vec<PodUid> {
        let bells = self.bells.lock();
        for (uid, bell) in &*bells {
            bell.listed(listed.get(uid).map_or_else(Digest::default, digest));
        }
        listed.keys().filter(|uid| !bells.contains_key(*uid)).cloned().collect()
    }

    fn ring_all(&self) {
        // What was missed may have been about anything.
        *self.present.lock() = None;
        for bell in self.bells.lock().values() {
            bell.runtime_changed();
        }
    }
}

/// What is known about the runtime's health.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuntimeHealth {
    /// Its newest answer; `None` until there was one. Kept while it does not answer.
    pub status: Option<RuntimeStatus>,
    /// Why the newest question had no answer.
    pub error: Option<String>,
    /// When it last said that it is ready, on the monotonic clock.
    pub good_at: Option<Duration>,
}

impl RuntimeHealth {
    /// Takes an answer, or the lack of one. True when more than the time is new.
    fn take(&mut self, answer: Result<RuntimeStatus, String>, now: Duration) -> bool {
        let before = (self.status.clone(), self.error.clone());
        match answer {
            Ok(status) => {
                if status.runtime_ready.as_ref().is_some_and(|condition| condition.ready) {
                    self.good_at = Some(now);
                }
                (self.status, self.error) = (Some(status), None);
            }
            Err(error) => self.error = Some(error),
        }
        before != (self.status.clone(), self.error.clone())
    }
}

/// What the observer publishes.
#[derive(Debug)]
pub struct Reports {
    /// CRI `NetworkReady`.
    pub network: watch::Sender<Result<(), String>>,
    /// The runtime's health. Receivers are woken when more than its time changes.
    pub runtime: watch::Sender<RuntimeHealth>,
}

/// Follows hints and relists, and tells which containers run. Runs for ever.
pub async fn watch_pods(
    runtime: Arc<dyn Runtime>,
    bells: Arc<Bells>,
    strangers: mpsc::Sender<PodUid>,
    health: Arc<Health>,
    running: watch::Sender<BTreeSet<ContainerId>>,
    mut counts: Relists,
) {
    let mut hints = runtime.hints();
    let mut known: BTreeMap<PodUid, ListedPod> = BTreeMap::new();
    let mut trust = Trust::new();
    let mut next = Instant::now();
    let mut listing: Option<Listing> = None;
    let mut again = false;
    let mut hinting = true;
    let mut retry = trust::OFTEN;
    loop {
        // A list that hangs must not hold up hints, so it is under way beside them. Every arm is cancel-safe: `recv`
        // loses nothing when dropped, sleeps are made anew, and the list is only borrowed.
        tokio::select! {
            hint = hints.recv(), if hinting => match hint {
                Some(RuntimeHint::Pod(uid)) => {
                    bells.shown(&uid);
                    trust.hinted(&uid);
                    match bells.of(&uid) {
                        Some(bell) => bell.runtime_changed(),
                        None => counts.notice(&strangers, uid),
                    }
                }
                Some(RuntimeHint::Object(pod, event)) => {
                    bells.shown(&pod);
                    trust.hinted(&pod);
                    match bells.of(&pod) {
                        Some(bell) => bell.told(event),
                        None => counts.notice(&strangers, pod),
                    }
                }
                Some(RuntimeHint::Everything) => {
                    // Events may have been lost, so what was listed before proves nothing.
                    bells.ring_all();
                    trust.gap(&known);
                    again = true;
                }
                Some(RuntimeHint::Listing) => trust.lists_are_made(),
                // The edge ended its stream: live on the safety net alone.
                None => hinting = false,
            },
            () = tokio::time::sleep_until(next), if listing.is_none() => again = true,
            () = sleep_until(trust.next()) => {
                trust.judge();
                next = next.min(Instant::now() + trust.pause());
            }
            pods = done(&mut listing) => {
                listing = None;
                match pods {
                    Ok(pods) => {
                        health.relisted();
                        counts.relisted();
                        retry = trust::OFTEN;
                        running.send_replace(running_in(&pods));
                        let listed = compare(&bells, &strangers, pods, &counts);
                        trust.listed(&known, &listed);
                        bells.listed(listed.keys().chain(trust.since_list()).cloned().collect());
                        known = listed;
                        next = Instant::now() + trust.pause();
                    }
                    Err(error) => {
                        tracing::warn!(%error, "Could not list the runtime's pods");
                        trust.failed();
                        // The edge tells when a runtime that was away is back, and not when one that was slow is well.
                        next = Instant::now() + retry;
                        retry = (retry * 2).min(trust::SELDOM);
                    }
                }
            }
        }
        if again && listing.is_none() {
            again = false;
            let runtime = Arc::clone(&runtime);
            counts.begins();
            trust.begins();
            listing = Some(Box::pin(async move { runtime.list_pods().await }));
        }
    }
}

/// What is counted of the lists.
pub struct Relists {
    metrics: Arc<Metrics>,
    clock: Arc<dyn Clock>,
    /// When the newest list was asked for.
    began: Option<Instant>,
}

impl std::fmt::Debug for Relists {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Relists").field("began", &self.began).finish_non_exhaustive()
    }
}

impl Relists {
    /// None yet.
    #[must_use]
    pub fn new(metrics: Arc<Metrics>, clock: Arc<dyn Clock>) -> Self {
        Self { metrics, clock, began: None }
    }

    fn begins(&mut self) {
        let now = Instant::now();
        if let Some(before) = self.began.replace(now) {
            self.metrics.pods.relist_interval.took(now - before);
        }
    }

    fn relisted(&self) {
        if let Some(began) = self.began {
            self.metrics.pods.relist_seconds.took(began.elapsed());
        }
        let now = self.clock.now().wall.as_duration();
        self.metrics.pods.relisted_at.set(now.as_secs_f64());
    }

    /// Names a pod without a worker to the dispatcher. When that is behind, the next list names it again.
    fn notice(&self, strangers: &mpsc::Sender<PodUid>, uid: PodUid) {
        if strangers.try_send(uid).is_err() {
            self.metrics.pods.discarded_notices.inc();
        }
    }
}

type Listing = Pin<Box<dyn Future<Output = Result<Vec<ListedPod>, RuntimeError>> + Send>>;

/// The end of a list; pending for ever while none is under way.
async fn done(listing: &mut Option<Listing>) -> Result<Vec<ListedPod>, RuntimeError> {
    match listing {
        Some(listing) => listing.await,
        None => std::future::pending().await,
    }
}

fn digest(pod: &ListedPod) -> Digest {
    let sandboxes = pod.sandboxes.iter().map(|(id, ready)| (id, *ready));
    Digest::of(sandboxes, pod.containers.iter().map(|(id, state)| (id, *state)))
}

/// Containers that run.
fn running_in(pods: &[ListedPod]) -> BTreeSet<ContainerId> {
    let containers = pods.iter().flat_map(|pod| &pod.containers);
    containers.filter(|(_, state)| *state == RuntimeState::Running).map(|(id, _)| id.clone()).collect()
}

/// Rings for what the workers do not know, and gives what the next list is to be compared with.
fn compare(
    bells: &Bells,
    strangers: &mpsc::Sender<PodUid>,
    pods: Vec<ListedPod>,
    counts: &Relists,
) -> BTreeMap<PodUid, ListedPod> {
    let listed: BTreeMap<PodUid, ListedPod> = pods.into_iter().map(|pod| (pod.uid.clone(), pod)).collect();
    for uid in bells.compare(&listed) {
        counts.notice(strangers, uid);
    }
    listed
}

/// Asks for the runtime's health. Runs for ever.
pub async fn watch_status(runtime: Arc<dyn Runtime>, clock: Arc<dyn Clock>, reports: Reports) {
    let mut period = tokio::time::interval(STATUS_PERIOD);
    period.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        period.tick().await;
        let answer = {
            let mut asked = runtime.status();
            match tokio::time::timeout(SILENCE, asked.as_mut()).await {
                Ok(answer) => answer,
                // The deadline of the call is minutes away, and operators should not have to wait for it.
                Err(_) => {
                    publish(&reports, Err(format!("Status has had no answer for {SILENCE:?}")), &*clock);
                    asked.await
                }
            }
        };
        let network = match answer.as_ref().map(|status| &status.network_ready) {
            Ok(Some(condition)) if condition.ready => Ok(()),
            Ok(Some(condition)) => Err(NotReady::NetworkNotReady(condition.clone()).to_string()),
            Ok(None) => Err(NotReady::NetworkUnknown.to_string()),
            // Unknown is not "not ready": pods on the way keep their last answer.
            Err(_) => reports.network.borrow().clone(),
        };
        reports.network.send_if_modified(|known| {
            let changed = *known != network;
            *known = network;
            changed
        });
        publish(&reports, answer.map_err(|error| error.to_string()), &*clock);
    }
}

/// Publishes an answer, or why there is none, and tells the log when the one takes the place of the other.
fn publish(reports: &Reports, answer: Result<RuntimeStatus, String>, clock: &dyn Clock) {
    reports.runtime.send_if_modified(|known| {
        let was_down = known.error.is_some();
        let changed = known.take(answer, clock.now().mono);
        match &known.error {
            Some(error) if changed => tracing::error!(
                error,
                hint = "containers go on running; look at the runtime's own log, or restart it",
                "The container runtime does not answer"
            ),
            None if was_down => tracing::info!("The container runtime answers again"),
            _ => {}
        }
        changed
    });
}

#[cfg(test)]
mod tests;
