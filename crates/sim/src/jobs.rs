//! What becomes of actions: when they take effect, when they are answered, and with what.

use std::{sync::Arc, time::Duration};

use k8s_openapi::api::core::v1::Pod;
use lifecycle::{Action, ActionKey, Done, Failure, action::Pulled, observation::RuntimeState};

use crate::{
    Violation,
    rng::Rng,
    runtime::Script,
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

pub(crate) struct Job {
    pub(crate) generation: u64,
    pub(crate) key: ActionKey,
    action: Action,
    pod: Arc<Pod>,
    fate: Fate,
    result: Option<Result<Done, String>>,
}

impl World {
    /// Begins an action.
    pub(crate) fn begin(&mut self, generation: u64, action: Action, pod: Arc<Pod>) {
        let fate = self.fate(&action);
        let id = self.number();
        self.counts.actions += 1;
        self.trace(|| format!("  do {action:?} ({fate:?})"));
        let latency = Duration::from_millis(1 + self.rng.below(150));
        let (effect, answer) = match fate {
            Fate::Honest => {
                let took = latency + self.duration_of(&action);
                (Some(took), took)
            }
            Fate::Lost => {
                (Some(latency + self.duration_of(&action)), CALL_TIMEOUT + self.duration_of(&action))
            }
            Fate::Late => {
                let late = self.rng.between(Duration::from_secs(1), Duration::from_secs(180));
                (Some(CALL_TIMEOUT + late), CALL_TIMEOUT)
            }
            Fate::Fails | Fate::Lies => (None, latency),
            Fate::Hangs => (None, CALL_TIMEOUT + latency),
        };
        self.jobs.insert(id, Job { generation, key: action.key(), action, pod, fate, result: None });
        if let Some(effect) = effect {
            self.after(effect, Event::Effect(id));
        }
        self.after(answer, Event::Answer(id));
    }

    /// Time that the thing itself takes: a stop lasts until the container obeys or its grace is over.
    fn duration_of(&mut self, action: &Action) -> Duration {
        match action {
            Action::StopContainer { grace, .. } | Action::HurryContainer { grace, .. } => {
                let grace = (*grace).max(Duration::from_secs(2));
                if self.rng.percent(70) {
                    self.rng.between(Duration::ZERO, Duration::from_secs(2))
                } else {
                    grace
                }
            }
            Action::EnsureImage { .. } => self.rng.between(Duration::ZERO, Duration::from_secs(20)),
            Action::StartContainer { .. } => self.rng.between(Duration::ZERO, Duration::from_secs(1)),
            _ => Duration::ZERO,
        }
    }

    fn fate(&mut self, action: &Action) -> Fate {
        if self.weather == Weather::Calm {
            return Fate::Honest;
        }
        let of_runtime = !matches!(
            action,
            Action::PrepareDirs
                | Action::EnsureCgroup
                | Action::MountVolumes
                | Action::UnmountVolumes
                | Action::RemoveCgroup
                | Action::RemoveDirs
        );
        // Of a container whose state it does not know, a runtime's word is all there is.
        let may_lie = match action {
            Action::StopSandbox { .. } => true,
            Action::StopContainer { id, .. } => {
                self.runtime.container(id).is_some_and(|c| c.state == RuntimeState::Running)
            }
            _ => false,
        };
        match self.rng.below(100) {
            0..7 => Fate::Fails,
            7..9 => Fate::Hangs,
            9..12 if of_runtime => Fate::Lost,
            12..15 if of_runtime => Fate::Late,
            15..18 if may_lie => Fate::Lies,
            _ => Fate::Honest,
        }
    }

    pub(crate) fn take_effect(&mut self, id: u64) -> Result<(), Violation> {
        let Some(mut job) = self.jobs.remove(&id) else { return Ok(()) };
        let host_work = matches!(
            job.action,
            Action::PrepareDirs
                | Action::EnsureCgroup
                | Action::MountVolumes
                | Action::UnmountVolumes
                | Action::RemoveCgroup
                | Action::RemoveDirs
        );
        // What the kubelet does itself dies with it; what it asked of the runtime does not.
        let alive = self.kubelet.is_some() && job.generation == self.generation;
        if host_work && !alive {
            return Ok(());
        }
        let result = self.apply(&job)?;
        self.trace(|| format!("  effect of {:?}: {result:?}", job.key));
        job.result = Some(result);
        self.jobs.insert(id, job);
        self.runtime_event();
        Ok(())
    }

    pub(crate) fn answer(&mut self, id: u64) -> Result<(), Violation> {
        let Some(mut job) = self.jobs.remove(&id) else { return Ok(()) };
        let failure = |message: &str| Err(Failure::new(job.key.step(), message));
        let result = match (job.fate, job.result.take()) {
            (Fate::Honest, Some(Ok(done))) => Ok(done),
            (Fate::Honest, Some(Err(message))) => failure(&message),
            (Fate::Lies, _) => Ok(Done::Plain),
            (Fate::Fails, _) => failure("injected failure"),
            (Fate::Lost | Fate::Hangs | Fate::Late, _) => failure("deadline exceeded"),
            // Its kubelet died before the effect.
            (Fate::Honest, None) => return Ok(()),
        };
        let generation = job.generation;
        let key = job.key.clone();
        if job.fate == Fate::Late {
            self.jobs.insert(id, job);
        }
        self.deliver(generation, key, result)
    }

    fn apply(&mut self, job: &Job) -> Result<Result<Done, String>, Violation> {
        let now = self.wall();
        let broken = |text: &str| Err(Violation::new(text));
        Ok(match &job.action {
            Action::PrepareDirs => {
                self.host.dirs = true;
                Ok(Done::Plain)
            }
            Action::EnsureCgroup => {
                self.host.cgroup = true;
                Ok(Done::Plain)
            }
            Action::MountVolumes => {
                if !self.host.dirs {
                    return broken("volumes mounted without directories");
                }
                self.host.volumes = true;
                Ok(Done::Plain)
            }
            Action::UnmountVolumes => {
                if self.runtime.running().next().is_some() {
                    return broken("volumes unmounted under a running container");
                }
                self.host.volumes = false;
                Ok(Done::Plain)
            }
            Action::RemoveCgroup => {
                if self.runtime.running().next().is_some() {
                    return broken("cgroup removed under a running container");
                }
                self.host.cgroup = false;
                Ok(Done::Plain)
            }
            Action::RemoveDirs => {
                if self.host.volumes {
                    return broken("directories removed while volumes are mounted");
                }
                self.host.dirs = false;
                Ok(Done::Plain)
            }
            Action::CreateSandbox { attempt } => {
                let host = job.pod.spec.as_ref().and_then(|s| s.host_network).unwrap_or(false);
                self.runtime.run_sandbox(*attempt, host, now).map(Done::Sandbox)
            }
            Action::StopSandbox { id } => {
                self.runtime.stop_sandbox(id, now);
                Ok(Done::Plain)
            }
            Action::RemoveSandbox { id } => {
                self.runtime.remove_sandbox(id, now);
                Ok(Done::Plain)
            }
            Action::EnsureImage { .. } => {
                if self.now < self.pulls_down {
                    Err("registry is away".to_owned())
                } else {
                    let pulled = Pulled {
                        took: Duration::from_secs(1),
                        including_wait: Duration::from_secs(1),
                        size: 1,
                    };
                    Ok(Done::Image { image_ref: "sha256:i".to_owned(), pulled: Some(pulled) })
                }
            }
            Action::CreateContainer { container, attempt, sandbox, .. } => {
                let image = image_of(&job.pod, container.as_str());
                self.runtime.create(sandbox, container.as_str(), *attempt, &image, now).map(Done::Container)
            }
            Action::StartContainer { container, id } => {
                let script = self.script(&job.pod, container.as_str());
                let result = self.runtime.start(id, script, now);
                if result.is_ok() {
                    if !self.host.volumes || !self.host.cgroup {
                        return broken("a container started without volumes or cgroup");
                    }
                    if let Script::Exits(after, code) = script {
                        self.after(after, Event::Exit(id.clone(), code));
                    }
                }
                result.map(|()| Done::Plain)
            }
            Action::StopContainer { id, .. } | Action::HurryContainer { id, .. } => {
                let code = self.rng.pick(&[0, 137, 143]).unwrap_or(0);
                self.runtime.exit(id, code, "Error", now);
                Ok(Done::Plain)
            }
            Action::RemoveContainer { id, .. } => {
                self.runtime.remove(id);
                Ok(Done::Plain)
            }
        })
    }

    fn script(&mut self, pod: &Pod, name: &str) -> Script {
        let spec = pod.spec.as_ref();
        let init =
            spec.and_then(|s| s.init_containers.as_ref()).into_iter().flatten().find(|c| c.name == name);
        let seconds =
            |rng: &mut Rng, low, high| rng.between(Duration::from_secs(low), Duration::from_secs(high));
        let calm = self.weather == Weather::Calm;
        if init.is_some_and(|c| c.restart_policy.as_deref() != Some("Always")) {
            let code = i32::from(!calm && self.rng.percent(15));
            return Script::Exits(seconds(&mut self.rng, 0, 10), code);
        }
        if calm {
            return Script::Forever;
        }
        match self.rng.below(100) {
            0..55 => Script::Forever,
            55..90 => {
                let code = i32::from(self.rng.percent(50));
                Script::Exits(seconds(&mut self.rng, 0, 120), code)
            }
            90..95 => Script::Exits(Duration::from_secs(700), 1),
            _ => Script::FailsToStart,
        }
    }
}

fn image_of(pod: &Pod, name: &str) -> String {
    let Some(spec) = &pod.spec else { return String::new() };
    let regular = spec.containers.iter().chain(spec.init_containers.iter().flatten());
    let mut all = regular
        .map(|c| (&c.name, &c.image))
        .chain(spec.ephemeral_containers.iter().flatten().map(|c| (&c.name, &c.image)));
    all.find(|(n, _)| n.as_str() == name).and_then(|(_, image)| image.clone()).unwrap_or_default()
}
