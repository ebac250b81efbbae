//! Pod statuses on their way to the API server.
//!
//! Each pod has one slot; a newer status replaces an unsent one. A slot is sent as the difference to the newest
//! known API object, so nothing is written twice and nothing foreign is touched. One request a pod at a time, a
//! bounded number in all; what fails is tried again with a growing delay, for ever, since a final status must not
//! be lost. What the API no longer has is not sent: the node authorizer answers 403 to a write to a deleted pod, just
//! as it does to a missing right, and 409 to one that many write to, just as to one whose name another pod has; 404 also
//! comes from what stands before an API server that has the pod. Only the watch can tell the one from the other.
//!
//! One that another will replace within moments waits for that one, up to a second: a start is reported in two writes, not in
//! three, and an API server under many pods is busy enough.
//!
//! Deleting the object is the last step of a pod's life: only after the API holds a terminal phase, and only when
//! nothing of the pod is left on the node (contract §10 "API delete rule").

use std::{
    collections::{BTreeMap, BTreeSet},
    panic::AssertUnwindSafe,
    sync::Arc,
    time::Duration,
};

use futures::FutureExt as _;
use k8s_openapi::api::core::v1::{Pod, PodStatus};
use lifecycle::{Outlook, PodSource, PodUid, explain::Report, status::is_terminal};
use metrics::Metrics;
use parking_lot::Mutex;
use seams::{ApiError, Cluster};
use tokio::{
    sync::{Notify, Semaphore},
    time::Instant,
};

use crate::{alarm, mirror, records::Records, resource_version};

mod deliver;
mod failing;
pub mod merge;

use deliver::{Answer, Letter, deliver};
use failing::Failing;

/// Requests under way at once.
const PLACES: usize = 16;

/// How long a status waits for one that is to follow at once: as long as upstream's kubelet lets between two looks at all pods.
const HOLD: Duration = Duration::from_secs(1);

/// All slots.
pub struct StatusQueue {
    cluster: Option<Arc<dyn Cluster>>,
    slots: Mutex<Slots>,
    changed: Notify,
    /// Told when a pod is first reported running.
    records: Option<Arc<Records>>,
    /// Told how long reports take.
    metrics: Option<Arc<Metrics>>,
}

#[derive(Default)]
struct Slots {
    by_uid: BTreeMap<PodUid, Slot>,
    dirty: BTreeSet<PodUid>,
    /// Mirror pods by namespace and name: where the status of a static pod goes.
    mirrors: BTreeMap<(String, String), Arc<Pod>>,
    /// Static pods that have ended for good under this process and may still have their mirror, by uid, with its name.
    ended: BTreeMap<PodUid, (String, String)>,
}

struct Slot {
    namespace: String,
    name: String,
    source: PodSource,
    status: PodStatus,
    /// Nothing of the pod runs or holds anything on the node.
    released: bool,
    /// Newest known API object; for a static pod its mirror is looked up instead.
    api: Arc<Pod>,
    /// The status of a static pod goes on from what its mirror carried before this process wrote to it.
    recalled: bool,
    /// The API has no such pod any more, or has taken its deletion.
    gone: bool,
    /// Since when its report is under way.
    sending: Option<Instant>,
    /// The failures since it was taken last.
    failing: Option<Failing>,
    /// When the first change came that has not been reported.
    since: Option<Instant>,
    /// Not to be sent before then.
    held: Option<Instant>,
}

impl std::fmt::Debug for StatusQueue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StatusQueue").field("slots", &self.slots.lock().by_uid.len()).finish_non_exhaustive()
    }
}

impl StatusQueue {
    /// Without a cluster, statuses are only kept.
    #[must_use]
    pub fn new(cluster: Option<Arc<dyn Cluster>>) -> Self {
        Self { cluster, slots: Mutex::default(), changed: Notify::new(), records: None, metrics: None }
    }

    /// The same, counting how long reports take.
    #[must_use]
    pub fn with_metrics(self, metrics: Arc<Metrics>) -> Self {
        Self { metrics: Some(metrics), ..self }
    }

    /// The same, telling the records of pods when these are reported running.
    #[must_use]
    pub fn with_records(self, records: Arc<Records>) -> Self {
        Self { records: Some(records), ..self }
    }

    /// A worker's newest status.
    pub fn set(&self, pod: &Arc<Pod>, source: PodSource, status: &PodStatus, outlook: Outlook) {
        if source == PodSource::RuntimeOnly {
            // There is no object that could hold it.
            return;
        }
        let uid = PodUid::from(pod.metadata.uid.clone().unwrap_or_default());
        let mut slots = self.slots.lock();
        let slot = slots.by_uid.entry(uid.clone()).or_insert_with(|| Slot {
            namespace: pod.metadata.namespace.clone().unwrap_or_default(),
            name: pod.metadata.name.clone().unwrap_or_default(),
            source,
            status: PodStatus::default(),
            released: false,
            api: Arc::clone(pod),
            recalled: false,
            gone: false,
            sending: None,
            failing: None,
            since: None,
            held: None,
        });
        let now = Instant::now();
        match outlook {
            // What is in the line already is not held up by what comes after it, and waits no longer for more to come.
            Outlook::Passing if slot.since.is_some() => {}
            Outlook::Passing => slot.held = Some(now + HOLD),
            Outlook::Lasting | Outlook::Released => slot.held = None,
        }
        slot.since.get_or_insert(now);
        slot.status = status.clone();
        slot.released = outlook == Outlook::Released;
        slot.recalled |= mirror::is_reported(pod);
        slot.api = newer(&slot.api, pod);
        slots.dirty.insert(uid);
        drop(slots);
        self.changed.notify_one();
    }

    /// The API server's newest version of a pod: someone may have changed its status, or asked for its deletion.
    pub fn observed(&self, pod: &Arc<Pod>) {
        let uid = PodUid::from(pod.metadata.uid.clone().unwrap_or_default());
        let mut slots = self.slots.lock();
        if let Some(slot) = slots.by_uid.get_mut(&uid) {
            slot.api = newer(&slot.api, pod);
            slot.gone = false;
            slot.shown();
            slots.dirty.insert(uid);
            drop(slots);
            self.changed.notify_one();
        }
    }

    /// The API server's list no longer has the pod: its status has nowhere to go.
    pub fn deleted(&self, uid: &PodUid) {
        if let Some(slot) = self.slots.lock().by_uid.get_mut(uid) {
            slot.gone = true;
        }
    }

    /// The mirror of a static pod, or its disappearance.
    pub fn observed_mirror(&self, namespace: &str, name: &str, mirror: Option<Arc<Pod>>) {
        let mut slots = self.slots.lock();
        let key = (namespace.to_owned(), name.to_owned());
        match mirror {
            Some(mirror) => slots.mirrors.insert(key, mirror),
            None => {
                slots.ended.retain(|_, name| *name != key);
                slots.mirrors.remove(&key)
            }
        };
        // All of that name: while one still stops, the one whose mirror it is waits beside it.
        let Slots { by_uid, dirty, .. } = &mut *slots;
        for (uid, slot) in by_uid {
            if slot.source.is_static() && slot.namespace == namespace && slot.name == name {
                slot.shown();
                dirty.insert(uid.clone());
            }
        }
        drop(slots);
        self.changed.notify_one();
    }

    /// The pod has left every source.
    pub fn forget(&self, uid: &PodUid) {
        let mut slots = self.slots.lock();
        slots.dirty.remove(uid);
        if let Some(slot) = slots.by_uid.remove(uid)
            && slot.source.is_static()
            && self.cluster.is_some()
            && !goes_on(&slot)
        {
            slots.ended.insert(uid.clone(), (slot.namespace, slot.name));
        }
    }

    /// Uids of the static pods for which [`Self::has_ended_before`].
    #[must_use]
    pub fn ended_static_pods(&self) -> BTreeSet<String> {
        self.slots.lock().ended.keys().map(|uid| uid.as_str().to_owned()).collect()
    }

    /// Whether a static pod of this uid has ended for good under this process, and may still have its mirror: one that comes
    /// back begins anew, what the mirror tells is of its former life.
    #[must_use]
    pub fn has_ended_before(&self, uid: &PodUid) -> bool {
        self.slots.lock().ended.contains_key(uid)
    }

    /// Whether nothing of this process has gone to the mirror of a static pod yet, so that what the mirror carries was
    /// reported by an earlier one.
    #[must_use]
    pub fn is_recall_awaited(&self, uid: &PodUid) -> bool {
        let slots = self.slots.lock();
        !slots.ended.contains_key(uid) && slots.by_uid.get(uid).is_none_or(|slot| !slot.recalled)
    }

    /// The newest status of a pod, sent or not.
    #[must_use]
    pub fn get(&self, uid: &PodUid) -> Option<PodStatus> {
        self.slots.lock().by_uid.get(uid).map(|slot| slot.status.clone())
    }

    /// Sends for ever. `changed` keeps one permit, so no change between two waits is lost.
    pub async fn run(self: Arc<Self>) {
        let Some(cluster) = self.cluster.clone() else { return };
        let places = Arc::new(Semaphore::new(PLACES));
        loop {
            let held = self.next_held();
            tokio::select! {
                () = self.changed.notified() => {}
                () = alarm::sleep_until(held) => {}
            }
            while let Some(letter) = self.take() {
                let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
                let (queue, cluster) = (Arc::clone(&self), Arc::clone(&cluster));
                tokio::spawn(async move {
                    let running = letter.status.phase.as_deref() == Some("Running");
                    let told = queue.records.as_ref().filter(|_| running);
                    if let Some(records) = told {
                        records.status_sent(&letter.uid);
                    }
                    // One that panics must not leave its slot as being sent for ever.
                    let answer = AssertUnwindSafe(deliver(&*cluster, &letter)).catch_unwind().await;
                    let answer = answer.unwrap_or(Answer::Died);
                    if let (Some(records), Answer::Kept(_)) = (told, &answer) {
                        records.status_accepted(&letter.uid);
                    }
                    drop(place);
                    queue.settle(&letter, answer);
                });
            }
        }
    }

    /// When the first of the statuses that wait has waited long enough.
    fn next_held(&self) -> Option<Instant> {
        let slots = self.slots.lock();
        let waiting = slots.dirty.iter().filter_map(|uid| slots.by_uid.get(uid));
        waiting.filter(|slot| slot.sending.is_none()).filter_map(Slot::waits_until).min()
    }

    /// The next slot that can be sent. The status of a static pod without a mirror is dropped from the line: the
    /// arrival of the mirror puts it back. So is one that was made before its worker knew what the mirror carries, where
    /// that is taken up: it would look as if the pod had just begun.
    fn take(&self) -> Option<Letter> {
        let mut slots = self.slots.lock();
        let Slots { by_uid, dirty, mirrors, ended } = &mut *slots;
        let now = Instant::now();
        let is_due =
            |slot: &Slot| slot.sending.is_none() && slot.waits_until().is_none_or(|until| until <= now);
        loop {
            let uid = dirty.iter().find(|uid| by_uid.get(uid).is_none_or(is_due)).cloned()?;
            dirty.remove(&uid);
            let Some(slot) = by_uid.get_mut(&uid).filter(|slot| !slot.gone) else { continue };
            let mirror = slot.source.is_static();
            let base = if mirror {
                let found = mirrors.get(&(slot.namespace.clone(), slot.name.clone())).cloned();
                found
                    .filter(|mirror| mirror::is_mirror_of(mirror, uid.as_str()))
                    // One of a former life is about to be replaced.
                    .filter(|mirror| {
                        !ended.contains_key(&uid) && (slot.recalled || !mirror::is_recallable(mirror))
                    })
            } else {
                Some(Arc::clone(&slot.api))
            };
            let Some(base) = base else {
                slot.failing = None;
                continue;
            };
            slot.sending = Some(now);
            slot.held = None;
            if let Some(failing) = &mut slot.failing {
                failing.next = None;
            }
            slot.recalled |= mirror;
            return Some(Letter {
                uid,
                mirror,
                namespace: slot.namespace.clone(),
                name: slot.name.clone(),
                base,
                status: slot.status.clone(),
                released: slot.released,
                since: slot.since.take(),
            });
        }
    }

    fn settle(&self, letter: &Letter, answer: Answer) {
        let mut slots = self.slots.lock();
        slots.tell(letter, &answer);
        let Slots { by_uid, dirty, mirrors, .. } = &mut *slots;
        let Some(slot) = by_uid.get_mut(&letter.uid) else { return };
        slot.sending = None;
        let key = (letter.namespace.clone(), letter.name.clone());
        let failed = match answer {
            Answer::Kept(api) => {
                if let (Some(metrics), Some(since)) = (&self.metrics, letter.since) {
                    metrics.pods.status_sync_seconds.took(since.elapsed());
                }
                slot.failing = None;
                if letter.mirror {
                    // What the watch has told meanwhile counts: it may be gone, or another have its name.
                    let known = mirrors.get_mut(&key);
                    if let Some(known) = known.filter(|known| known.metadata.uid == api.metadata.uid) {
                        *known = newer(known, &api);
                    }
                } else {
                    slot.api = newer(&slot.api, &api);
                }
                None
            }
            Answer::Gone => {
                // The watch shows it again if it stays for its finalizers.
                slot.gone = true;
                slot.failing = None;
                None
            }
            // The watch has told meanwhile that it is gone. A mirror that has come in its place is waiting.
            Answer::Failed(_, ApiError::NotFound(_))
                if letter.mirror
                    && mirrors.get(&key).is_none_or(|now| now.metadata.uid != letter.base.metadata.uid) =>
            {
                dirty.insert(letter.uid.clone());
                slot.since = letter.since.or(slot.since);
                slot.failing = None;
                None
            }
            Answer::Failed(what, error) => Some((what, Some(error))),
            Answer::Died => Some((Report::Status, None)),
        };
        if let Some((what, error)) = failed {
            dirty.insert(letter.uid.clone());
            slot.since = letter.since.or(slot.since);
            Failing::again(&mut slot.failing, what, error);
        }
        drop(slots);
        self.changed.notify_one();
    }
}

impl Slot {
    /// Until when it is not sent, if at all: another status is to follow, or the last report has failed.
    fn waits_until(&self) -> Option<Instant> {
        self.held.max(self.failing.as_ref().and_then(|failing| failing.next))
    }

    /// The watch has told of its object.
    fn shown(&mut self) {
        if let Some(failing) = &mut self.failing {
            failing.shown();
        }
    }
}

impl Slots {
    /// Tells the log what an operator has to know: an outage is told by the edge, once for all pods, and a refusal
    /// only when it was no race with the pod's deletion.
    fn tell(&self, letter: &Letter, answer: &Answer) {
        let pod = || format!("{}/{}", letter.namespace, letter.name);
        let (what, error) = match answer {
            Answer::Kept(_) | Answer::Gone => return,
            Answer::Died => {
                tracing::error!(pod = pod(), "The report of a pod's status died; will try again");
                return;
            }
            Answer::Failed(what, error) => (deliver::words(*what), error),
        };
        let pod = pod();
        let known = self.by_uid.get(&letter.uid).filter(|slot| !slot.gone);
        let failing = known.and_then(|slot| slot.failing.as_ref());
        match error {
            ApiError::Unreachable { .. } => {
                tracing::debug!(pod, %error, "Could not {what}; will try again");
            }
            // Mostly the watch is a moment behind: it is about to tell that the object is gone.
            ApiError::NotFound(_) if !failing.is_some_and(Failing::lasts) => {
                tracing::debug!(pod, %error, "Could not {what}; will try again if the watch still shows the pod");
            }
            ApiError::Forbidden(_) | ApiError::Conflict { .. } | ApiError::Status { code: 422, .. }
                if failing.is_none() =>
            {
                tracing::debug!(pod, %error, "Could not {what}; will try again if the pod is still there");
            }
            _ => tracing::warn!(pod, %error, "Could not {what}; will try again"),
        }
    }
}

/// Whether a static pod that ended and comes back goes on where it was, its containers restarted once more: not where their
/// ends were for good, or the pod's was.
fn goes_on(slot: &Slot) -> bool {
    let always = |policy: Option<&str>| policy.is_none_or(|policy| policy == "Always");
    let spec = slot.api.spec.as_ref();
    !is_terminal(slot.status.phase.as_deref())
        && spec.is_none_or(|spec| {
            always(spec.restart_policy.as_deref())
                && spec.containers.iter().all(|container| always(container.restart_policy.as_deref()))
        })
}

/// The newer of two versions of one object.
pub(crate) fn newer(known: &Arc<Pod>, other: &Arc<Pod>) -> Arc<Pod> {
    let known_is_newer =
        resource_version::number(&known.metadata) > resource_version::number(&other.metadata);
    if known_is_newer { Arc::clone(known) } else { Arc::clone(other) }
}

#[cfg(test)]
mod tests;
