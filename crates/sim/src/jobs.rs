//! What becomes of actions: when they take effect, when they are answered, and whether that is true. What the effects
//! are is in [`crate::effects`].

use std::{sync::Arc, time::Duration};

use k8s_openapi::api::core::v1::Pod;
use lifecycle::{
    Action, ActionKey, ContainerId, Done, Failure, FailureStep, LogFate, Obstacle, observation::RuntimeState,
};

use crate::{
    Violation,
    effects::image_of,
    pods,
    world::{CALL_TIMEOUT, Event, Weather, World},
};

/// What becomes of an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It works, and says so.
    Honest,
    /// It works, and the answer is lost: the caller sees a timeout.
    Lost,
    /// It fails at once.
    Fails,
    /// Nothing happens, for long.
    Hangs,
    /// The caller sees a timeout, later it works.
    Late,
    /// Nothing happens, and it claims success.
    Lies,
}

/// How the hook of a container goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hook {
    None,
    Passes,
    Fails,
}

pub(crate) struct Job {
    pub(crate) generation: u64,
    pub(crate) key: ActionKey,
    pub(crate) action: Action,
    pub(crate) pod: Arc<Pod>,
    fate: Fate,
    hook: Hook,
    result: Option<Result<Done, Failure>>,
    /// It was asked for when all went well.
    in_calm: bool,
    /// The kubelet has its answer; what it takes effect on is still to come.
    answered: bool,
}

/// How long a call takes, in parts.
#[derive(Clone, Copy, Debug, Default)]
struct Course {
    /// Before it takes effect.
    before: Duration,
    /// From then to its answer.
    after: Duration,
}

impl World {
    /// Begins an action.
    pub(crate) fn begin(&mut self, generation: u64, action: Action, pod: Arc<Pod>) -> Result<(), Violation> {
        let fate = self.fate(&action);
        let id = self.number();
        self.counts.actions += 1;
        self.trace(|| format!("  do {action:?} ({fate:?})"));
        let (hook, course) = self.course_of(&action, &pod);
        self.note_hook(generation, &action, &pod)?;
        self.check_removal(&action)?;
        let latency = Duration::from_millis(1 + self.rng.below(150));
        let effect = latency + course.before;
        let (effect, answer) = match fate {
            Fate::Honest => (Some(effect), effect + course.after),
            Fate::Lost => (Some(effect), CALL_TIMEOUT + effect),
            Fate::Late => {
                let late = self.rng.between(Duration::from_secs(1), Duration::from_secs(180));
                (Some(CALL_TIMEOUT + late), CALL_TIMEOUT)
            }
            Fate::Fails | Fate::Lies => (None, latency),
            Fate::Hangs => (None, CALL_TIMEOUT + latency),
        };
        let key = action.key();
        let in_calm = self.weather == Weather::Calm;
        let job = Job { generation, key, action, pod, fate, hook, result: None, in_calm, answered: false };
        self.jobs.insert(id, job);
        if let Some(effect) = effect {
            self.after(effect, Event::Effect(id));
        }
        self.after(answer, Event::Answer(id));
        Ok(())
    }

    /// A process runs a preStop hook once, whatever becomes of the stop, as long as the runtime answers.
    fn note_hook(&mut self, generation: u64, action: &Action, pod: &Pod) -> Result<(), Violation> {
        let (container, id) = match action {
            Action::StopContainer { container, id, run_pre_stop: true, .. }
            | Action::RunPreStop { container, id, .. } => (container, id),
            _ => return Ok(()),
        };
        let has_hook = pods::pre_stop(pod, container.as_str()).is_some();
        // One of which the runtime did not tell how it went is run again.
        let told = self.kubelet.as_mut().is_none_or(|kubelet| !kubelet.untold.remove(id));
        if has_hook && !self.hooks.insert((generation, id.clone())) && told {
            return Err(Violation::new(format!("the preStop hook of {container} ({id}) was run twice")));
        }
        Ok(())
    }

    /// What was made when nothing went wrong any more is started, be it late, as long as the pod is to run and its sandbox
    /// serves: one of the storm may have been made late, so that all are replaced.
    fn check_removal(&self, action: &Action) -> Result<(), Violation> {
        let Action::RemoveContainer { id, log: LogFate::Remove } = action else { return Ok(()) };
        let mut records = self.runtime.containers().iter();
        let unstarted = records.find(|record| record.id == *id && record.state == RuntimeState::Created);
        match unstarted {
            Some(record)
                if self.made_in_calm.contains(id)
                    && !self.is_stopping()
                    && self.runtime.serves(&record.sandbox)
                    && record.image == image_of(&self.spec, record.name.as_str()) =>
            {
                let text = format!("{} #{} is removed before it could start", record.name, record.attempt);
                Err(Violation::new(text))
            }
            _ => Ok(()),
        }
    }

    /// Time that the thing itself takes: a stop lasts until the container obeys or its grace is over, a hook as long as
    /// it sleeps.
    fn course_of(&mut self, action: &Action, pod: &Pod) -> (Hook, Course) {
        let storm = self.weather == Weather::Storm;
        let fails = storm && self.rng.percent(20);
        let kind = |seconds: Option<u64>| match seconds {
            None => Hook::None,
            Some(_) if fails => Hook::Fails,
            Some(_) => Hook::Passes,
        };
        match action {
            Action::StopContainer { container, grace, run_pre_stop, .. } => {
                let seconds = pods::pre_stop(pod, container.as_str()).filter(|_| *run_pre_stop);
                let asleep = Duration::from_secs(seconds.unwrap_or(0));
                let hook = if asleep > *grace { Hook::Fails } else { kind(seconds) };
                let spent = asleep.min(*grace);
                let before = spent + self.obedience(grace.saturating_sub(spent));
                (hook, Course { before, after: Duration::ZERO })
            }
            Action::HurryContainer { grace, .. } => {
                (Hook::None, Course { before: self.obedience(*grace), after: Duration::ZERO })
            }
            Action::RunPreStop { container, grace, .. } => {
                let seconds = pods::pre_stop(pod, container.as_str());
                let asleep = Duration::from_secs(seconds.unwrap_or(0));
                let hook = if asleep > *grace { Hook::Fails } else { kind(seconds) };
                (hook, Course { before: asleep.min(*grace), after: Duration::ZERO })
            }
            Action::StartContainer { container, .. } => {
                let seconds = pods::post_start(pod, container.as_str());
                let before = self.rng.between(Duration::ZERO, Duration::from_secs(1));
                (kind(seconds), Course { before, after: Duration::from_secs(seconds.unwrap_or(0)) })
            }
            // Mostly at once; a busy disk holds one up until others have started, ended and started again.
            Action::CreateContainer { .. } if self.rng.percent(15) => {
                let before = self.rng.between(Duration::ZERO, Duration::from_secs(30));
                (Hook::None, Course { before, after: Duration::ZERO })
            }
            Action::EnsureImage { .. } => {
                let before = self.rng.between(Duration::ZERO, Duration::from_secs(20));
                (Hook::None, Course { before, after: Duration::ZERO })
            }
            _ => (Hook::None, Course::default()),
        }
    }

    /// From SIGTERM to the end; CRI is never given less than two seconds.
    fn obedience(&mut self, grace: Duration) -> Duration {
        let grace = grace.max(Duration::from_secs(2));
        if self.rng.percent(70) { self.rng.between(Duration::ZERO, Duration::from_secs(2)) } else { grace }
    }

    fn fate(&mut self, action: &Action) -> Fate {
        if self.weather == Weather::Calm || !self.rng.percent(self.climate.calls) {
            return Fate::Honest;
        }
        let of_runtime = !is_own_work(action);
        // Of a container whose state it does not know, a runtime's word is all there is.
        let may_lie = match action {
            Action::StopSandbox { .. } => true,
            Action::StopContainer { id, .. } => {
                self.runtime.container(id).is_some_and(|c| c.state == RuntimeState::Running)
            }
            _ => false,
        };
        match self.rng.below(18) {
            0..8 => Fate::Fails,
            8..10 => Fate::Hangs,
            10..13 if of_runtime => Fate::Lost,
            13..16 if of_runtime => Fate::Late,
            16..18 if may_lie => Fate::Lies,
            _ => Fate::Honest,
        }
    }

    pub(crate) fn take_effect(&mut self, id: u64) -> Result<(), Violation> {
        let Some(mut job) = self.jobs.remove(&id) else { return Ok(()) };
        // What the kubelet does itself dies with it; what it asked of the runtime does not.
        let alive = self.kubelet.is_some() && job.generation == self.generation;
        if is_own_work(&job.action) && !alive {
            return Ok(());
        }
        let result = self.apply(&job)?;
        self.trace(|| format!("  effect of {:?}: {result:?}", job.key));
        if let (true, Ok(Done::Container(id))) = (job.in_calm, &result) {
            self.made_in_calm.insert(id.clone());
        }
        job.result = Some(result);
        self.jobs.insert(id, job);
        self.runtime_event();
        self.perhaps_kill();
        Ok(())
    }

    /// SIGKILL between any two effects.
    fn perhaps_kill(&mut self) {
        if self.weather == Weather::Storm && self.rng.percent(self.climate.kills) {
            self.kill_for_a_while();
        }
    }

    pub(crate) fn answer(&mut self, id: u64) -> Result<(), Violation> {
        let Some(mut job) = self.jobs.remove(&id) else { return Ok(()) };
        let failure = |message: &str| Err(Failure::new(job.key.step(), message));
        let result = match (job.fate, job.result.take()) {
            (Fate::Honest, Some(Ok(done))) => self.with_hook(&job, done),
            (Fate::Honest, Some(Err(failed))) => Err(failed),
            (Fate::Lies, _) => Ok(Done::Plain),
            (Fate::Fails, _) => failure("injected failure"),
            (Fate::Lost | Fate::Hangs | Fate::Late, _) => {
                failure("deadline exceeded").map_err(|failure| failure.because_of(Some(Obstacle::Runtime)))
            }
            // Its kubelet died before the effect.
            (Fate::Honest, None) => return Ok(()),
        };
        let generation = job.generation;
        let key = job.key.clone();
        if job.fate == Fate::Late {
            job.answered = true;
            self.jobs.insert(id, job);
        }
        self.deliver(generation, key, result)?;
        self.perhaps_kill();
        Ok(())
    }

    fn with_hook(&self, job: &Job, done: Done) -> Result<Done, Failure> {
        let failure = |step| Err(Failure::new(step, "hook failed"));
        match (&job.action, job.hook) {
            (Action::StopContainer { .. }, Hook::Fails) => Ok(Done::StoppedWithoutHook),
            (Action::RunPreStop { .. }, Hook::Fails) => failure(FailureStep::PreStopHook),
            (Action::StartContainer { .. }, Hook::Fails) => failure(FailureStep::PostStartHook),
            // It ran in a container that has ended meanwhile.
            (Action::StartContainer { id, .. }, Hook::Passes)
                if !self.runtime.running().any(|record| record.id == *id) =>
            {
                failure(FailureStep::PostStartHook)
            }
            _ => Ok(done),
        }
    }

    /// A container has ended: who waits for its end is answered.
    pub(crate) fn end_stops(&mut self, id: &ContainerId) {
        let waits = |key: &ActionKey| match key {
            ActionKey::StopContainer(known) | ActionKey::HurryContainer(known, _) => known == id,
            _ => false,
        };
        let mut answered = Vec::new();
        for (number, job) in &mut self.jobs {
            if job.fate == Fate::Honest && job.result.is_none() && waits(&job.key) {
                job.result = Some(Ok(Done::Plain));
                answered.push(*number);
            }
        }
        for number in answered {
            let latency = Duration::from_millis(1 + self.rng.below(100));
            self.after(latency, Event::Answer(number));
        }
    }

    /// The runtime goes away and comes back: calls under way fail at once, and may have arrived.
    pub(crate) fn restart_runtime(&mut self) {
        self.runtime_down = self.now + self.rng.between(Duration::from_millis(100), Duration::from_secs(10));
        self.stream_breaks();
        let under_way: Vec<u64> = self
            .jobs
            .iter()
            .filter(|(_, job)| job.fate == Fate::Honest && job.result.is_none() && !is_own_work(&job.action))
            .map(|(number, _)| *number)
            .collect();
        for number in under_way {
            let arrives = self.rng.percent(50);
            let latency = Duration::from_millis(1 + self.rng.below(20));
            let Some(job) = self.jobs.get_mut(&number) else { continue };
            if arrives {
                // Answered in vain: the connection is gone.
                job.fate = Fate::Late;
                job.answered = false;
            } else {
                job.fate = Fate::Fails;
                job.result = None;
            }
            self.after(latency, Event::Answer(number));
        }
    }

    /// Whether an action of this process will be answered.
    pub(crate) fn is_under_way(&self, key: &ActionKey) -> bool {
        let this = self.generation;
        self.jobs.values().any(|job| job.key == *key && job.generation == this && !job.answered)
    }
}

/// What the kubelet does itself, without the runtime.
fn is_own_work(action: &Action) -> bool {
    matches!(
        action,
        Action::PrepareDirs
            | Action::EnsureCgroup
            | Action::MountVolumes
            | Action::UnmountVolumes
            | Action::RemoveCgroup
            | Action::RemoveDirs
            | Action::RunPreStop { .. }
    )
}
