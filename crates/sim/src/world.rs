//! The world around one pod: machine, runtime, API server, clocks, and everything that may go wrong with them.
//!
//! Virtual time jumps from event to event. Nothing here decides about the pod; that is [`crate::kubelet`]'s call to
//! `lifecycle::decide`.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use lifecycle::{Admission, ContainerId, PodSource, Tick, account::ObjectEvent, observation::RuntimeState};

use crate::{
    Options, Violation,
    disturb::Climate,
    hints::Told,
    jobs::Job,
    kubelet::Kubelet,
    rng::Rng,
    runtime::{Deed, Runtime},
    truth::Truth,
};

/// How long a call that nobody answers takes to fail.
pub(crate) const CALL_TIMEOUT: Duration = Duration::from_secs(120);

/// What happens next.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// An action takes effect.
    Effect(u64),
    /// An action is answered.
    Answer(u64),
    /// The worker of this kubelet looks at its pod.
    Look(u64),
    /// The same, when its wake-up is still the newest.
    Wake(u64, u64),
    /// A container ends by itself.
    Exit(ContainerId, i32),
    /// Something goes wrong.
    Disturb,
    /// Somebody changes the pod.
    Operate,
    /// A watch that was silent has been replaced by a list.
    Listed,
    /// The runtime tells something to this kubelet.
    Told(u64, ObjectEvent),
    /// The runtime's events come again after a gap, to this kubelet.
    Everything(u64),
    /// The kubelet starts.
    Start,
    /// The periodic look for leftovers nobody owns, and the periodic look at the pod.
    Relist(u64),
    /// The newest status is written.
    Patch(u64),
    /// The API object is deleted after the pod ended.
    DeleteObject(u64),
}

/// Directories, cgroup, volumes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Host {
    /// Pod directories exist.
    pub(crate) dirs: bool,
    /// Pod cgroup exists.
    pub(crate) cgroup: bool,
    /// Volumes are mounted.
    pub(crate) volumes: bool,
}

/// Whether things go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weather {
    Storm,
    Calm,
}

pub(crate) struct World {
    pub(crate) options: Options,
    pub(crate) rng: Rng,
    pub(crate) now: Duration,
    shift: SignedDuration,
    queue: BTreeMap<(Duration, u64), Event>,
    serial: u64,
    pub(crate) jobs: BTreeMap<u64, Job>,
    pub(crate) runtime: Runtime,
    /// What the runtime has told of, heard or not.
    pub(crate) told_of: Told,
    pub(crate) host: Host,
    /// The object in the API server.
    pub(crate) object: Option<Pod>,
    pub(crate) kubelet: Option<Kubelet>,
    pub(crate) generation: u64,
    pub(crate) weather: Weather,
    pub(crate) runtime_down: Duration,
    pub(crate) api_down: Duration,
    /// The watch brings nothing until then; requests are answered.
    pub(crate) watch_silent: Duration,
    pub(crate) network_down: Duration,
    pub(crate) pulls_down: Duration,
    /// Nothing can be written until then.
    pub(crate) disk_full: Duration,
    /// A container that the runtime cannot remove.
    pub(crate) stuck: Option<ContainerId>,
    /// The newest version of the pod, kept when its object is gone.
    pub(crate) spec: Pod,
    pub(crate) truth: Truth,
    /// Which faults this life knows, and how often.
    pub(crate) climate: Climate,
    /// Containers whose making was asked for, and done, when all went well.
    pub(crate) made_in_calm: BTreeSet<ContainerId>,
    /// preStop hooks begun, by process.
    pub(crate) hooks: BTreeSet<(u64, ContainerId)>,
    /// When a container was seen running last.
    pub(crate) ran_at: Duration,
    /// Statuses written that changed something.
    pub(crate) patches: u64,
    pub(crate) operations: u64,
    pub(crate) admission: Admission,
    pub(crate) source: PodSource,
    pub(crate) counts: Counts,
}

/// Figures of one life.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// Calls of `decide`.
    pub decisions: u64,
    /// Actions run.
    pub actions: u64,
    /// Faults injected.
    pub faults: u64,
    /// Kubelet starts.
    pub starts: u64,
    /// Largest state seen.
    pub weight: usize,
}

impl Counts {
    pub(crate) fn add(&mut self, other: &Self) {
        self.decisions += other.decisions;
        self.actions += other.actions;
        self.faults += other.faults;
        self.starts += other.starts;
        self.weight = self.weight.max(other.weight);
    }
}

impl World {
    pub(crate) fn new(options: Options, mut rng: Rng, pod: Pod) -> Self {
        let operations = rng.below(4);
        let admission = if rng.percent(3) {
            Admission::Rejected { reason: "OutOfcpu".to_owned(), message: "no room".to_owned() }
        } else {
            Admission::Admitted
        };
        let source = if rng.percent(10) { PodSource::File } else { PodSource::Api };
        let climate = Climate::draw(&mut rng);
        Self {
            options,
            rng,
            now: Duration::ZERO,
            shift: SignedDuration::ZERO,
            queue: BTreeMap::new(),
            serial: 0,
            jobs: BTreeMap::new(),
            runtime: Runtime::default(),
            told_of: Told::default(),
            host: Host::default(),
            spec: pod.clone(),
            truth: Truth::default(),
            climate,
            made_in_calm: BTreeSet::new(),
            hooks: BTreeSet::new(),
            ran_at: Duration::ZERO,
            patches: 0,
            disk_full: Duration::ZERO,
            stuck: None,
            object: Some(pod),
            kubelet: None,
            generation: 0,
            weather: if options.fault_free { Weather::Calm } else { Weather::Storm },
            runtime_down: Duration::ZERO,
            api_down: Duration::ZERO,
            watch_silent: Duration::ZERO,
            network_down: Duration::ZERO,
            pulls_down: Duration::ZERO,
            operations,
            admission,
            source,
            counts: Counts::default(),
        }
    }

    pub(crate) fn tick(&self) -> Tick {
        Tick { mono: self.now, wall: self.wall() }
    }

    pub(crate) fn wall(&self) -> Timestamp {
        // 2026-01-01T00:00:00Z, a day like any other.
        let began = Timestamp::from_second(1_767_225_600).unwrap_or_default();
        let mono = SignedDuration::try_from(self.now).unwrap_or_default();
        began.saturating_add(mono).and_then(|at| at.saturating_add(self.shift)).unwrap_or_default()
    }

    pub(crate) fn jump_clock(&mut self, by: SignedDuration) {
        self.shift = self.shift.saturating_add(by);
    }

    pub(crate) fn trace(&self, what: impl FnOnce() -> String) {
        if self.options.trace {
            println!("{:>12.3} {}", self.now.as_secs_f64(), what());
        }
    }

    /// A number that nothing else has.
    pub(crate) fn number(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    pub(crate) fn at(&mut self, when: Duration, event: Event) {
        let number = self.number();
        self.queue.insert((when.max(self.now), number), event);
    }

    pub(crate) fn after(&mut self, delay: Duration, event: Event) {
        self.at(self.now.saturating_add(delay), event);
    }

    /// Runs until nothing is left to happen but periodic looks, at most until a time.
    pub(crate) fn run_until_quiet(&mut self, end: Duration) -> Result<(), Violation> {
        // One periodic look at the least: what no event told of is found by it.
        let mut step = Duration::from_secs(250);
        while self.now < end {
            self.run_until((self.now + step).min(end))?;
            if self.quiet() {
                break;
            }
            step = Duration::from_secs(60);
        }
        Ok(())
    }

    fn quiet(&self) -> bool {
        let stirs = |event: &Event| match event {
            Event::Relist(_) => false,
            Event::Look(generation)
            | Event::Wake(generation, _)
            | Event::Patch(generation)
            | Event::Told(generation, _)
            | Event::Everything(generation) => *generation == self.generation && self.kubelet.is_some(),
            Event::Exit(id, _) => {
                self.runtime.containers().iter().any(|c| c.id == *id && c.state != RuntimeState::Exited)
            }
            _ => true,
        };
        self.idle() && self.jobs.is_empty() && !self.queue.values().any(stirs)
    }

    /// Runs until a time.
    pub(crate) fn run_until(&mut self, end: Duration) -> Result<(), Violation> {
        while let Some((&(when, serial), _)) = self.queue.first_key_value() {
            if when > end {
                break;
            }
            let Some(event) = self.queue.remove(&(when, serial)) else { break };
            self.now = when;
            self.happen(event)?;
        }
        self.now = self.now.max(end);
        Ok(())
    }

    /// Something is done to the runtime's containers; what follows from it becomes true.
    pub(crate) fn act(&mut self, deed: Deed<'_>) {
        for record in &self.runtime.act(deed, self.wall()) {
            self.truth.ended(&self.spec, record);
            self.end_stops(&record.id);
        }
    }

    fn happen(&mut self, event: Event) -> Result<(), Violation> {
        if self.runtime.running().next().is_some() {
            self.ran_at = self.now;
        }
        match event {
            Event::Effect(job) => self.take_effect(job)?,
            Event::Answer(job) => self.answer(job)?,
            Event::Look(generation) => self.look(generation)?,
            Event::Wake(generation, serial) => self.wake(generation, serial)?,
            Event::Exit(id, code) => {
                self.trace(|| format!("container {id} ends with {code}"));
                self.act(Deed::Exit(&id, code, "Error"));
                self.runtime_event();
            }
            Event::Disturb => self.disturb(),
            Event::Operate => self.operate(),
            Event::Listed => self.refresh_mail(),
            Event::Told(generation, event) => self.hear(generation, event),
            Event::Everything(generation) => self.ring(generation),
            Event::Start => self.start_kubelet(),
            Event::Relist(generation) => self.relist(generation),
            Event::Patch(generation) => self.patch(generation)?,
            Event::DeleteObject(generation) => self.delete_object(generation)?,
        }
        Ok(())
    }
}
