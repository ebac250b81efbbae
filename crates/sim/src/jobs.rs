//! What becomes of actions: when they take effect, when they are answered, and with what.

use std::{sync::Arc, time::Duration};

use k8s_openapi::api::core::v1::Pod;
use lifecycle::{
    Action, ActionKey, ContainerId, Done, Failure, FailureStep, LogFate, action::Pulled,
    observation::RuntimeState,
};

use crate::{
    Violation, pods,
    rng::Rng,
    runtime::{Deed, Script},
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
    action: Action,
    pod: Arc<Pod>,
    fate: Fate,
    hook: Hook,
    result: Option<Result<Done, Failure>>,
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
        self.jobs.insert(id, Job { generation, key, action, pod, fate, hook, result: None, answered: false });
        if let Some(effect) = effect {
            self.after(effect, Event::Effect(id));
        }
        self.after(answer, Event::Answer(id));
        Ok(())
    }

    /// A process runs a preStop hook once, whatever becomes of the stop.
    fn note_hook(&mut self, generation: u64, action: &Action, pod: &Pod) -> Result<(), Violation> {
        let (container, id) = match action {
            Action::StopContainer { container, id, run_pre_stop: true, .. }
            | Action::RunPreStop { container, id, .. } => (container, id),
            _ => return Ok(()),
        };
        let has_hook = pods::pre_stop(pod, container.as_str()).is_some();
        if has_hook && !self.hooks.insert((generation, id.clone())) {
            return Err(Violation::new(format!("the preStop hook of {container} ({id}) was run twice")));
        }
        Ok(())
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
            (Fate::Lost | Fate::Hangs | Fate::Late, _) => failure("deadline exceeded"),
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

    fn failed(&self, job: &Job, message: &str) -> Failure {
        Failure::new(job.key.step(), message)
    }

    fn no_space(&self, job: &Job) -> Option<Failure> {
        let writes = matches!(
            job.action,
            Action::PrepareDirs
                | Action::MountVolumes
                | Action::EnsureImage { .. }
                | Action::CreateContainer { .. }
        );
        (writes && self.now < self.disk_full).then(|| self.failed(job, "no space left on device"))
    }

    fn apply(&mut self, job: &Job) -> Result<Result<Done, Failure>, Violation> {
        if let Some(failure) = self.no_space(job) {
            return Ok(Err(failure));
        }
        match &job.action {
            Action::PrepareDirs
            | Action::EnsureCgroup
            | Action::MountVolumes
            | Action::UnmountVolumes
            | Action::RemoveCgroup
            | Action::RemoveDirs => self.apply_to_host(&job.action)?,
            Action::StartContainer { container, id } => return self.start(job, container.as_str(), id),
            _ => return Ok(self.apply_to_runtime(job)),
        }
        Ok(Ok(Done::Plain))
    }

    fn apply_to_host(&mut self, action: &Action) -> Result<(), Violation> {
        let broken = |text: &str| Err(Violation::new(text));
        let runs = self.runtime.running().next().is_some();
        match action {
            Action::PrepareDirs => self.host.dirs = true,
            Action::EnsureCgroup => self.host.cgroup = true,
            Action::MountVolumes if !self.host.dirs => return broken("volumes mounted without directories"),
            Action::MountVolumes => self.host.volumes = true,
            Action::UnmountVolumes if runs => return broken("volumes unmounted under a running container"),
            Action::UnmountVolumes => self.host.volumes = false,
            Action::RemoveCgroup if runs => return broken("cgroup removed under a running container"),
            Action::RemoveCgroup => self.host.cgroup = false,
            Action::RemoveDirs if self.host.volumes => {
                return broken("directories removed while volumes are mounted");
            }
            Action::RemoveDirs => {
                self.host.dirs = false;
                self.truth.logs_removed();
            }
            _ => {}
        }
        Ok(())
    }

    fn apply_to_runtime(&mut self, job: &Job) -> Result<Done, Failure> {
        let now = self.wall();
        let fail = |message: String| Failure::new(job.key.step(), message);
        match &job.action {
            Action::CreateSandbox { attempt } => {
                let host = job.pod.spec.as_ref().and_then(|s| s.host_network).unwrap_or(false);
                if self.now < self.network_down && !host {
                    return Err(fail("cni plugin not initialized".to_owned()));
                }
                self.runtime.run_sandbox(*attempt, host, now).map(Done::Sandbox).map_err(fail)
            }
            Action::StopSandbox { id } => {
                self.act(Deed::StopSandbox(id));
                Ok(Done::Plain)
            }
            Action::RemoveSandbox { id } => {
                self.act(Deed::RemoveSandbox(id));
                Ok(Done::Plain)
            }
            Action::EnsureImage { .. } if self.now < self.pulls_down => {
                Err(fail("registry is away".to_owned()))
            }
            Action::EnsureImage { .. } => {
                let pulled =
                    Pulled { took: Duration::from_secs(1), including_wait: Duration::from_secs(1), size: 1 };
                Ok(Done::Image { image_ref: "sha256:i".to_owned(), pulled: Some(pulled) })
            }
            Action::CreateContainer { container, attempt, sandbox, .. } => {
                let image = image_of(&job.pod, container.as_str());
                let made = self.runtime.create(sandbox, container.as_str(), *attempt, &image, now);
                made.map(Done::Container).map_err(fail)
            }
            Action::StopContainer { id, .. } | Action::HurryContainer { id, .. } => {
                if self.runtime.container(id).is_none() && self.rng.percent(50) {
                    return Err(Failure { not_found: true, ..fail("no such container".to_owned()) });
                }
                let code = self.rng.pick(&[0, 137, 143]).unwrap_or(0);
                self.act(Deed::Exit(id, code, "Error"));
                Ok(Done::Plain)
            }
            Action::RemoveContainer { id, .. } if self.stuck.as_ref() == Some(id) => {
                Err(fail("device or resource busy".to_owned()))
            }
            Action::RemoveContainer { id, log } => {
                let record = self.runtime.container(id).cloned();
                match (&record, log) {
                    (Some(record), LogFate::Remove) => self.truth.log_removed(record),
                    // All are started over: how this one ended is told no more.
                    (Some(record), LogFate::Keep) => {
                        self.truth.lost.insert(record.id.clone());
                    }
                    (None, _) => {}
                }
                self.act(Deed::Remove(id));
                if *log == LogFate::Keep {
                    self.truth.cleared(self.runtime.containers().iter());
                }
                Ok(Done::Plain)
            }
            _ => Ok(Done::Plain),
        }
    }

    fn start(&mut self, job: &Job, name: &str, id: &ContainerId) -> Result<Result<Done, Failure>, Violation> {
        let now = self.wall();
        let script = self.script(&job.pod, name);
        if let Err(message) = self.runtime.start(id, script, now) {
            if let Some(record) = self.runtime.container(id).filter(|c| c.state == RuntimeState::Exited) {
                self.truth.failed_to_start(record);
            }
            return Ok(Err(self.failed(job, &message)));
        }
        if !self.host.volumes || !self.host.cgroup {
            return Err(Violation::new("a container started without volumes or cgroup"));
        }
        if let Some(record) = self.runtime.container(id).cloned() {
            let calm = self.weather == Weather::Calm;
            self.truth.started(&job.pod, &record, self.now, &mut self.rng, calm)?;
        }
        if let Script::Exits(after, code) = script {
            self.after(after, Event::Exit(id.clone(), code));
        }
        Ok(Ok(Done::Plain))
    }

    fn script(&mut self, pod: &Pod, name: &str) -> Script {
        let seconds =
            |rng: &mut Rng, low, high| rng.between(Duration::from_secs(low), Duration::from_secs(high));
        let calm = self.weather == Weather::Calm;
        let init = pods::plain(pod, name).is_some_and(|c| name.starts_with('i') && !pods::is_sidecar(c));
        if init {
            let code = if !calm && self.rng.percent(20) { self.code() } else { 0 };
            return Script::Exits(seconds(&mut self.rng, 0, 10), code);
        }
        if calm {
            return Script::Forever;
        }
        match self.rng.below(100) {
            0..55 => Script::Forever,
            55..90 => {
                let code = self.code();
                Script::Exits(seconds(&mut self.rng, 0, 120), code)
            }
            90..95 => Script::Exits(Duration::from_secs(700), 1),
            _ => Script::FailsToStart,
        }
    }

    fn code(&mut self) -> i32 {
        self.rng.pick(&pods::CODES).unwrap_or(1)
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

fn image_of(pod: &Pod, name: &str) -> String {
    let Some(spec) = &pod.spec else { return String::new() };
    let regular = spec.containers.iter().chain(spec.init_containers.iter().flatten());
    let mut all = regular
        .map(|c| (&c.name, &c.image))
        .chain(spec.ephemeral_containers.iter().flatten().map(|c| (&c.name, &c.image)));
    all.find(|(n, _)| n.as_str() == name).and_then(|(_, image)| image.clone()).unwrap_or_default()
}
