//! What actions do to the machine and to the runtime, and what they must never be asked to do.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use lifecycle::{
    Action, ContainerId, Done, Failure, LogFate, action::Pulled, observation::RuntimeState, spec::containers,
};

use crate::{
    Violation,
    jobs::Job,
    pods,
    rng::Rng,
    runtime::{Deed, Script},
    world::{Event, Weather, World},
};

impl World {
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

    pub(crate) fn apply(&mut self, job: &Job) -> Result<Result<Done, Failure>, Violation> {
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
            Action::FindImage { .. } if self.rng.percent(80) => Ok(Done::Plain),
            Action::FindImage { .. } => Ok(Done::Image { image_ref: "sha256:i".to_owned(), pulled: None }),
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

pub(crate) fn image_of(pod: &Pod, name: &str) -> String {
    let image = pod.spec.as_ref().and_then(|spec| containers::image_of(spec, name));
    image.unwrap_or_default().to_owned()
}
