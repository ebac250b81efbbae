//! The records of all pods: what `kubelet explain` and `kubelet timeline` are told from.
//!
//! Each pod has one [`PodRecord`]. Its worker writes what it decides and does, the executor's runtime calls write
//! themselves ([`traced`]), and whoever asks reads. The worker is not asked: it may wait for a runtime that hangs, which
//! is when people ask.
//!
//! Every record has a lock of its own, held for the copying of a few words; readers are rare and short. The table of
//! records is locked when a pod comes or goes or changes in its source, never on the way of a step.
//!
//! Invariants:
//! * a record lives from the first sight of its pod until its worker has ended; then the newest [`ENDED`] are kept;
//! * an answer needs no other task.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use k8s_openapi::api::core::v1::Pod;
use lifecycle::{
    Action, ContainerName, Decision, Explanation, Intent, Observation, Outcome, PodKey, PodSource, PodState,
    PodUid, Record, Tick,
    explain::{Beside, Facts, Hold},
    observation::RuntimePod,
    record::{Stamp, StepId},
};
use parking_lot::Mutex;
use seams::Clock;

mod census;
mod document;
mod explainer;
pub mod traced;

pub use census::{Census, Holdings};
pub use explainer::{Asked, RecordsExplainer};

/// Pods that are gone and still told of: a rollout of a dense node, or a minute of a job that fails.
const ENDED: usize = 32;

/// What is known of one pod.
#[derive(Debug)]
pub struct PodRecord {
    /// Which pod.
    pub key: PodKey,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    record: Record,
    source: PodSource,
    newest: Newest,
    /// What keeps it from being decided about, and since when.
    hold: Option<(Hold, Stamp)>,
    /// As last seen: kept while the runtime does not answer.
    holdings: Holdings,
    /// Names of the containers that ran then.
    running: Vec<ContainerName>,
}

/// What is left of the newest decision.
#[derive(Debug)]
enum Newest {
    /// There was none yet.
    None,
    /// The worker's state, shared with it.
    Decided(Decided),
    /// The pod is gone: what there was to say of it then.
    Gone(Box<Gone>),
}

#[derive(Clone, Debug)]
struct Decided {
    pod: Arc<Pod>,
    intent: Intent,
    state: Arc<PodState>,
    finished: bool,
}

#[derive(Clone, Debug)]
struct Gone {
    at: Stamp,
    phase: String,
    explanation: Explanation,
}

impl PodRecord {
    fn new(key: PodKey, source: PodSource, seen: Tick) -> Self {
        let record = Record::new(seen);
        let inner = Inner {
            record,
            source,
            newest: Newest::None,
            hold: None,
            holdings: Holdings::default(),
            running: Vec::new(),
        };
        Self { key, inner: Mutex::new(inner) }
    }

    /// A worker takes the pod up; what a former one had under way died with it.
    pub fn taken_up(&self) {
        let mut inner = self.inner.lock();
        inner.record.abandoned();
        inner.hold = None;
    }

    /// Something keeps it from being decided about. Returns whether that is new.
    pub fn held(&self, hold: Hold, now: Tick) -> bool {
        let mut inner = self.inner.lock();
        if inner.hold.as_ref().is_some_and(|(known, _)| *known == hold) {
            return false;
        }
        inner.hold = Some((hold, now.into()));
        true
    }

    /// Nothing does any more.
    pub fn goes_on(&self) {
        self.inner.lock().hold = None;
    }

    /// Time since the kubelet saw the pod first.
    #[must_use]
    pub fn age(&self, now: Tick) -> Duration {
        Stamp::from(now).since(self.inner.lock().record.seen())
    }

    /// Nothing of the pod is in the runtime, as is known without asking it.
    pub fn is_new(&self) {
        self.inner.lock().record.is_new();
    }

    /// The runtime is being asked.
    pub fn inspecting(&self, now: Tick) -> StepId {
        self.inner.lock().record.inspecting(now)
    }

    /// It answered, or gave an error.
    pub fn inspected(&self, id: StepId, found: Option<&RuntimePod>, now: Tick) {
        self.inner.lock().record.inspected(id, found, now);
    }

    /// Actions were answered.
    pub fn answered(&self, outcomes: &[Outcome]) {
        if outcomes.is_empty() {
            return;
        }
        let mut inner = self.inner.lock();
        for outcome in outcomes {
            inner.record.answered(outcome);
        }
    }

    /// A decision was made. Takes its reasons and its state; returns the state to go on with.
    pub fn decided(&self, seen: &Observation, decision: &mut Decision, now: Tick) -> Arc<PodState> {
        let state = Arc::new(std::mem::take(&mut decision.next));
        let newest = Decided {
            pod: Arc::clone(&seen.pod),
            intent: seen.intent.clone(),
            state: Arc::clone(&state),
            finished: decision.finished,
        };
        let mut inner = self.inner.lock();
        inner.source = seen.source;
        if let Ok(runtime) = &seen.runtime {
            inner.holdings = Holdings::of(runtime);
            census::note_running(&mut inner.running, runtime);
        }
        inner.record.decided(seen, decision, now);
        inner.newest = Newest::Decided(newest);
        state
    }

    /// An action is handed to the executor.
    pub fn began(&self, action: &Action, now: Tick) -> StepId {
        self.inner.lock().record.began(action, now)
    }
}

/// The records of all pods.
pub struct Records {
    clock: Arc<dyn Clock>,
    live: Mutex<BTreeMap<PodUid, Arc<PodRecord>>>,
    /// The newest last.
    ended: Mutex<VecDeque<Arc<PodRecord>>>,
}

impl std::fmt::Debug for Records {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Records").field("live", &self.live.lock().len()).finish_non_exhaustive()
    }
}

impl Records {
    /// None yet.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, live: Mutex::default(), ended: Mutex::default() }
    }

    /// The record of a pod; made if this is its first sight, which was then `seen`.
    pub fn open(&self, key: &PodKey, source: PodSource, seen: Tick) -> Arc<PodRecord> {
        let mut live = self.live.lock();
        let record = live
            .entry(key.uid.clone())
            .or_insert_with(|| Arc::new(PodRecord::new(key.clone(), source, seen)));
        Arc::clone(record)
    }

    /// Something keeps a pod from having a worker. Returns whether that is new.
    pub fn held(&self, uid: &PodUid, hold: Hold) -> bool {
        self.of(uid).is_none_or(|record| record.held(hold, self.clock.now()))
    }

    /// The status of a pod, with the phase `Running`, goes to the API server.
    pub fn status_sent(&self, uid: &PodUid) {
        if let Some(record) = self.of(uid) {
            record.inner.lock().record.status_sent(self.clock.now());
        }
    }

    /// The API server has taken it.
    pub fn status_accepted(&self, uid: &PodUid) {
        if let Some(record) = self.of(uid) {
            record.inner.lock().record.status_accepted(self.clock.now());
        }
    }

    fn of(&self, uid: &PodUid) -> Option<Arc<PodRecord>> {
        self.live.lock().get(uid).cloned()
    }

    /// The pod left its source before anything was done for it.
    pub fn forget(&self, uid: &PodUid) {
        self.live.lock().remove(uid);
    }

    /// Nothing is left of the pod, and nobody wants it.
    pub fn ended(&self, uid: &PodUid) {
        let Some(record) = self.live.lock().remove(uid) else { return };
        let now = self.clock.now();
        record.inner.lock().gone(now);
        let mut ended = self.ended.lock();
        ended.push_back(record);
        while ended.len() > ENDED {
            ended.pop_front();
        }
    }
}

impl Inner {
    /// The explanation as things stand; what was kept of it for a pod that is gone.
    fn explanation(&self, beside: &Beside, now: Tick) -> Explanation {
        let (nothing, run) = (PodState::default(), Intent::Run);
        let no_pod = Pod::default();
        let (pod, intent, state, finished) = match &self.newest {
            Newest::Gone(gone) => return gone.explanation.clone(),
            Newest::None => (&no_pod, &run, &nothing, false),
            Newest::Decided(it) => (&*it.pod, &it.intent, &*it.state, it.finished),
        };
        let facts = Facts {
            pod,
            source: self.source,
            intent,
            state,
            record: &self.record,
            hold: self.hold.as_ref(),
            finished,
            beside,
        };
        lifecycle::explain(&facts, now)
    }

    fn phase(&self) -> String {
        match &self.newest {
            Newest::None => String::new(),
            Newest::Decided(decided) => decided.state.phase().to_owned(),
            Newest::Gone(gone) => gone.phase.clone(),
        }
    }

    fn ended(&self) -> Option<Stamp> {
        match &self.newest {
            Newest::Gone(gone) => Some(gone.at),
            Newest::None | Newest::Decided(_) => None,
        }
    }

    /// Keeps what there is to say and lets the pod go.
    fn gone(&mut self, now: Tick) {
        let phase = self.phase();
        let explanation = self.explanation(&Beside::default(), now);
        self.newest = Newest::Gone(Box::new(Gone { at: now.into(), phase, explanation }));
    }
}

#[cfg(test)]
mod tests;
