//! The worker of one pod, reduced to what surrounds `decide`: observe, decide, act, report.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use k8s_openapi::api::core::v1::{Pod, PodStatus};
use lifecycle::{
    Action, ActionKey, ContainerId, ContainerName, Done, Failure, Intent, Observation, Outcome, Outlook,
    PodSource, PodState,
    account::{Account, Digest, ObjectEvent},
    decide,
    observation::{NodeFacts, RuntimePod},
    status::{is_terminal, keep_ends},
};

use crate::{
    Violation, checks, life,
    probes::PROBED_AFTER,
    world::{Event, Weather, World},
};

/// Looks at one instant that are a hot loop.
const HOT: u32 = 60;

pub(crate) struct Kubelet {
    pub(crate) state: PodState,
    pub(crate) pod: Arc<Pod>,
    pub(crate) source: PodSource,
    pub(crate) intent: Intent,
    /// The node wants it gone; forgotten with the process.
    pub(crate) eviction: Option<Intent>,
    outcomes: Vec<Outcome>,
    account: Account,
    /// What the runtime held at the last look; `None`: nobody knows.
    known: Option<RuntimePod>,
    /// What the runtime has told since.
    pub(crate) events: BTreeSet<ObjectEvent>,
    /// Whether it has to be asked.
    pub(crate) rung: bool,
    /// Containers whose stop it did not answer.
    pub(crate) untold: BTreeSet<ContainerId>,
    wake: u64,
    pub(crate) status: Option<PodStatus>,
    pub(crate) written: Option<PodStatus>,
    /// First seen running, by this process.
    pub(crate) running_since: BTreeMap<ContainerId, Duration>,
    /// Times at which a probe's result is known to change, already asked for.
    pub(crate) probe_looks: BTreeSet<(ContainerId, Duration)>,
    looks_now: (Duration, u32),
    pub(crate) released: bool,
    pub(crate) finished: bool,
    logged: Arc<BTreeMap<ContainerName, u32>>,
    /// When it began.
    born: Duration,
    /// Since when, and until when at the latest, the pod is to be stopped: grace wanted, and its end.
    pub(crate) ending: Option<checks::stopping::Ending>,
}

impl Kubelet {
    /// What it knows of what the runtime holds.
    pub(crate) fn digest(&self) -> Option<Digest> {
        self.known.as_ref().map(Digest::from)
    }
}

impl World {
    pub(crate) fn start_kubelet(&mut self) {
        if self.kubelet.is_some() {
            return;
        }
        if self.now < self.api_down {
            // Sources are not ready: nothing may be concluded from their silence.
            let at = self.api_down;
            self.at(at, Event::Start);
            return;
        }
        self.generation += 1;
        self.counts.starts += 1;
        let generation = self.generation;
        self.trace(|| format!("kubelet {generation} starts"));
        self.hire();
        self.after(Duration::from_secs(20), Event::Relist(generation));
    }

    /// A worker for the pod, or for what is left of it.
    fn hire(&mut self) {
        let leftovers = !self.runtime.is_empty() || self.host.volumes || self.host.cgroup || self.host.dirs;
        let (pod, source, intent) = match &self.object {
            Some(pod) => (self.served(pod), self.source, intent_of(pod)),
            None if leftovers => {
                let grace = Duration::from_secs(1);
                (self.skeleton(), PodSource::RuntimeOnly, Intent::Removed { grace })
            }
            None => return,
        };
        // A pod that no kubelet has told of, and of which the list that was made at the start shows nothing, is not looked for.
        let reported = pod.status.as_ref().is_some_and(|status| status.start_time.is_some());
        let is_new = source == PodSource::Api && !reported && self.runtime.is_empty();
        let known = is_new.then(RuntimePod::default);
        self.kubelet = Some(Kubelet {
            state: PodState::default(),
            pod: Arc::new(pod),
            source,
            intent,
            eviction: None,
            outcomes: Vec::new(),
            account: Account::default(),
            known,
            events: BTreeSet::new(),
            rung: false,
            untold: BTreeSet::new(),
            wake: 0,
            status: None,
            written: None,
            running_since: BTreeMap::new(),
            probe_looks: BTreeSet::new(),
            looks_now: (Duration::ZERO, 0),
            released: false,
            finished: false,
            logged: Arc::new(self.truth.logged()),
            born: self.now,
            ending: None,
        });
        let generation = self.generation;
        self.after(Duration::ZERO, Event::Look(generation));
    }

    /// The pod as its source serves it: a manifest has no status.
    fn served(&self, pod: &Pod) -> Pod {
        let mut pod = pod.clone();
        if self.source.is_static() {
            pod.status = Some(PodStatus { phase: Some("Pending".to_owned()), ..PodStatus::default() });
        }
        pod
    }

    /// What runtime labels tell of a pod whose object is gone.
    fn skeleton(&self) -> Pod {
        let mut pod = Pod::default();
        pod.metadata.uid = Some("uid".to_owned());
        pod.spec = Some(k8s_openapi::api::core::v1::PodSpec::default());
        pod
    }

    pub(crate) fn kill_kubelet(&mut self) {
        if self.kubelet.take().is_none() && self.generation != 0 && self.object.is_none() {
            return;
        }
        self.trace(|| "kubelet is killed".to_owned());
        // Calls on their way to the runtime may or may not arrive.
        let generation = self.generation;
        let lost: Vec<u64> =
            self.jobs.iter().filter(|(_, job)| job.generation == generation).map(|(id, _)| *id).collect();
        for id in lost {
            if self.rng.percent(50) {
                self.jobs.remove(&id);
            }
        }
        self.generation += 1;
    }

    /// The periodic look: nothing depends on events alone.
    pub(crate) fn relist(&mut self, generation: u64) {
        if generation != self.generation {
            return;
        }
        if self.kubelet.is_none() && self.now >= self.api_down {
            self.hire();
        } else {
            self.list();
            self.after(Duration::ZERO, Event::Look(generation));
        }
        self.refresh_mail();
        self.after(Duration::from_secs(100), Event::Relist(generation));
    }

    /// The watch brings the newest object, while the API server is there and tells.
    pub(crate) fn refresh_mail(&mut self) {
        if self.now < self.api_down || self.now < self.watch_silent {
            return;
        }
        let object = self.object.as_ref().map(|object| self.served(object));
        let Some(kubelet) = &mut self.kubelet else { return };
        if kubelet.source == PodSource::RuntimeOnly {
            return;
        }
        match object {
            Some(object) => {
                kubelet.intent = match (&kubelet.eviction, intent_of(&object)) {
                    (Some(eviction), Intent::Run) => eviction.clone(),
                    (_, intent) => intent,
                };
                kubelet.pod = Arc::new(object);
            }
            None => {
                // A forced deletion; the grace of one already in force stays.
                kubelet.intent = Intent::Removed { grace: Duration::from_secs(1) };
            }
        }
        let generation = self.generation;
        self.after(Duration::ZERO, Event::Look(generation));
    }

    pub(crate) fn wake(&mut self, generation: u64, serial: u64) -> Result<(), Violation> {
        if self.kubelet.as_ref().is_some_and(|kubelet| kubelet.wake == serial) {
            self.look(generation)?;
        }
        Ok(())
    }

    pub(crate) fn deliver(
        &mut self,
        generation: u64,
        key: ActionKey,
        result: Result<Done, Failure>,
    ) -> Result<(), Violation> {
        if generation != self.generation {
            return Ok(());
        }
        let at = self.tick();
        self.trace(|| format!("  answer to {key:?}: {result:?}"));
        let Some(kubelet) = &mut self.kubelet else { return Ok(()) };
        kubelet.outcomes.push(Outcome { key, at, result });
        self.look(generation)
    }

    /// What the runtime holds, as far as its answers and events tell; else as it says itself.
    fn account(&mut self) -> Result<RuntimePod, String> {
        let Some(kubelet) = &mut self.kubelet else { return self.inspect() };
        let rung = std::mem::take(&mut kubelet.rung);
        let known = kubelet.known.take().filter(|_| !rung);
        let answered: Vec<_> = kubelet.outcomes.iter().map(|outcome| &outcome.key).collect();
        let under_way = kubelet.state.in_flight().filter(|key| !answered.contains(key));
        let events = std::mem::take(&mut kubelet.events);
        let known = kubelet.account.update(known, &kubelet.outcomes, events, under_way);
        known.map_or_else(|| self.inspect(), Ok)
    }

    fn inspect(&mut self) -> Result<RuntimePod, String> {
        let storm = self.weather == Weather::Storm;
        if self.now < self.runtime_down || (storm && self.rng.percent(2)) {
            return Err("runtime does not answer".to_owned());
        }
        Ok(self.runtime.inspect())
    }

    pub(crate) fn look(&mut self, generation: u64) -> Result<(), Violation> {
        if generation != self.generation || self.kubelet.is_none() {
            return Ok(());
        }
        let runtime = self.account();
        let probes = self.probes();
        let network = if self.now < self.network_down { Err("no CNI".to_owned()) } else { Ok(()) };
        let now = self.tick();
        let stale = self.weather == Weather::Storm && self.rng.percent(5);
        let admission = self.admission.clone();
        let Some(kubelet) = &mut self.kubelet else { return Ok(()) };
        kubelet.looks_now = match kubelet.looks_now {
            (at, count) if at == now.mono => (at, count + 1),
            _ => (now.mono, 1),
        };
        if kubelet.looks_now.1 > HOT {
            return Err(Violation::new("hot loop: the pod is looked at again and again in one instant"));
        }
        let seen = Observation {
            pod: Arc::clone(&kubelet.pod),
            source: kubelet.source,
            intent: kubelet.intent.clone(),
            admission,
            runtime,
            network,
            outcomes: std::mem::take(&mut kubelet.outcomes),
            node: facts(),
            volumes_stale: stale,
            probes,
            logged: Arc::clone(&kubelet.logged),
        };
        kubelet.known = seen.runtime.as_ref().ok().cloned();
        let before = kubelet.state.clone();
        let decision = decide(&before, &seen, now);
        let fresh = now.mono.saturating_sub(kubelet.born) < PROBED_AFTER;
        kubelet.untold.extend(checks::stopping::unanswered(&seen).cloned());
        let ending = checks::stopping::ending(kubelet.ending, &before, &seen, &decision, now.mono);
        kubelet.ending = ending;
        self.counts.decisions += 1;
        self.counts.weight = self.counts.weight.max(decision.next.weight());
        checks::decision(&before, &seen, &decision)?;
        checks::stopping::check(ending, &seen, &decision, now.mono)?;
        if fresh {
            checks::stays_ready(&seen, &decision)?;
        }
        if let (true, Some(kubelet)) = (decision.finished, &self.kubelet) {
            checks::said_to_be_gone(self, kubelet)?;
        }
        self.trace(|| {
            let why: Vec<_> = decision.why.iter().map(ToString::to_string).collect();
            format!("look: {} {:?} {why:?}", decision.next.stage(), decision.status.phase)
        });
        self.follow(generation, decision)
    }

    fn follow(&mut self, generation: u64, decision: lifecycle::Decision) -> Result<(), Violation> {
        let Some(kubelet) = &mut self.kubelet else { return Ok(()) };
        kubelet.state = decision.next;
        kubelet.released = decision.outlook == Outlook::Released;
        kubelet.finished = decision.finished;
        kubelet.wake += 1;
        let (wake, pod) = (kubelet.wake, Arc::clone(&kubelet.pod));
        let changed = kubelet.status.as_ref() != Some(&decision.status);
        kubelet.status = Some(decision.status);
        let ends = decision.finished && matches!(kubelet.intent, Intent::Removed { .. });
        let deletes = kubelet.released && matches!(kubelet.intent, Intent::Delete { .. });
        decision.actions.iter().for_each(|action| kubelet.account.asked(action, &pod));
        if let Some(at) = decision.wake_at {
            self.at(at.mono, Event::Wake(generation, wake));
        }
        for action in decision.actions {
            self.begin(generation, action, Arc::clone(&pod))?;
        }
        if changed {
            let held = if decision.outlook == Outlook::Passing { 1300 } else { 300 };
            let delay = Duration::from_millis(self.rng.below(held));
            self.after(delay, Event::Patch(generation));
        }
        if deletes {
            self.after(Duration::from_millis(10), Event::DeleteObject(generation));
        }
        if ends {
            self.trace(|| "worker ends".to_owned());
            self.kubelet = None;
        }
        checks::world(self)
    }

    pub(crate) fn patch(&mut self, generation: u64) -> Result<(), Violation> {
        if generation != self.generation {
            return Ok(());
        }
        if self.now < self.api_down {
            let at = self.api_down;
            self.at(at, Event::Patch(generation));
            return Ok(());
        }
        let told = self.told();
        let Some(kubelet) = &mut self.kubelet else { return Ok(()) };
        let (Some(status), Some(object)) = (&kubelet.status, &mut self.object) else { return Ok(()) };
        if kubelet.source == PodSource::RuntimeOnly || kubelet.written.as_ref() == Some(status) {
            return Ok(());
        }
        let remembered = !kubelet.source.is_static();
        let ended = object.status.as_ref().and_then(|known| known.phase.as_deref());
        if remembered && is_terminal(ended) && ended != status.phase.as_deref() {
            // Somebody else ended the pod; the status that follows from that is on its way.
            return Ok(());
        }
        let Some(after) = told else { return Ok(()) };
        if remembered {
            checks::written(object.status.as_ref(), &after, &self.spec, &self.runtime)?;
        }
        checks::exact(&after, &self.truth)?;
        let before = object.status.replace(after.clone());
        let changed = before.as_ref() != Some(&after);
        kubelet.written = Some(status.clone());
        if changed {
            self.patches += 1;
            self.trace(|| format!("status is written\n{}", life::difference(before.as_ref(), Some(&after))));
        }
        self.refresh_mail();
        Ok(())
    }

    pub(crate) fn delete_object(&mut self, generation: u64) -> Result<(), Violation> {
        if generation != self.generation || self.object.is_none() {
            return Ok(());
        }
        let phase = self.object.as_ref().and_then(|o| o.status.as_ref()?.phase.as_deref());
        let terminal = matches!(phase, Some("Succeeded" | "Failed"));
        if !self.kubelet.as_ref().is_some_and(|kubelet| kubelet.released) {
            return Ok(());
        }
        if self.now < self.api_down || !terminal {
            self.after(Duration::from_secs(1), Event::DeleteObject(generation));
            return Ok(());
        }
        if !self.is_written() {
            self.after(Duration::from_secs(1), Event::DeleteObject(generation));
            return Ok(());
        }
        checks::told_every_end(self)?;
        self.trace(|| "object is deleted".to_owned());
        self.object = None;
        self.refresh_mail();
        Ok(())
    }

    /// Whether the pod is being stopped, or has been.
    pub(crate) fn is_stopping(&self) -> bool {
        self.kubelet.as_ref().is_none_or(|kubelet| kubelet.state.stage() != "syncing")
    }

    /// Whether the API holds the newest status.
    fn is_written(&self) -> bool {
        self.told().as_ref() == self.object.as_ref().and_then(|object| object.status.as_ref())
    }

    /// The kubelet's newest status as the API takes it.
    pub(crate) fn told(&self) -> Option<PodStatus> {
        let (kubelet, object) = (self.kubelet.as_ref()?, self.object.as_ref()?);
        let mut told = kubelet.status.clone()?;
        if let (Some(spec), Some(before), false) = (&object.spec, &object.status, kubelet.source.is_static())
        {
            keep_ends(spec, before, &mut told);
        }
        Some(told)
    }

    /// Whether anything is under way.
    pub(crate) fn idle(&self) -> bool {
        self.kubelet.as_ref().is_none_or(|kubelet| kubelet.state.in_flight().next().is_none())
    }
}

fn intent_of(pod: &Pod) -> Intent {
    if pod.metadata.deletion_timestamp.is_none() {
        return Intent::Run;
    }
    let seconds = pod.metadata.deletion_grace_period_seconds.unwrap_or(30).max(1);
    Intent::Delete { grace: Duration::from_secs(u64::try_from(seconds).unwrap_or(1)) }
}

fn facts() -> NodeFacts {
    NodeFacts {
        name: "node".to_owned(),
        host_ips: vec!["192.0.2.1".to_owned()],
        runtime_name: "sim".to_owned(),
        max_restart_backoff: Duration::from_secs(300),
        has_api: true,
        ..NodeFacts::default()
    }
}

/// Names an action's container, for checks.
pub(crate) fn created(action: &Action) -> Option<(&str, u32)> {
    match action {
        Action::CreateContainer { container, attempt, .. } => Some((container.as_str(), *attempt)),
        _ => None,
    }
}
