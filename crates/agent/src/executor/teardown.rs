//! Stopping and removing. Order and time are `decide`'s; here each step is one call.

use std::time::Duration;

use lifecycle::{ContainerId, ContainerName, Done, Failure, FailureStep, LogFate};

use super::{
    Executor, Scene, failed,
    hooks::Hook,
    sandbox::{kill_failed, plain},
};

impl Executor {
    pub(super) async fn stop_container(
        &self,
        scene: &Scene,
        name: &ContainerName,
        id: &ContainerId,
        grace: Duration,
        run_pre_stop: bool,
    ) -> Result<Done, Failure> {
        let (spent, hook) = match run_pre_stop {
            true => self.pre_stop(scene, name, id, grace).await,
            false => (Duration::ZERO, Hook::Passed),
        };
        // Contract §9: the process gets at least two seconds, even if the hook used everything.
        let left = grace.saturating_sub(spent).max(MIN_GRACE);
        let stopped = self.edges.runtime.stop_container(id, left).await;
        let done = plain(stopped, |error| kill_failed("Container", name.as_str(), error))?;
        Ok(match hook {
            Hook::Passed => done,
            Hook::Failed => Done::StoppedWithoutHook,
        })
    }

    /// Shortens a stop that is under way.
    pub(super) async fn hurry_container(&self, id: &ContainerId, grace: Duration) -> Result<Done, Failure> {
        plain(self.edges.runtime.stop_container(id, grace.max(MIN_GRACE)).await, ToString::to_string)
    }

    /// The hook of a container that is stopped later.
    pub(super) async fn run_pre_stop(
        &self,
        scene: &Scene,
        name: &ContainerName,
        id: &ContainerId,
        grace: Duration,
    ) -> Result<Done, Failure> {
        match self.pre_stop(scene, name, id, grace).await {
            (_, Hook::Passed) => Ok(Done::Plain),
            (_, Hook::Failed) => Err(failed(FailureStep::PreStopHook, "the preStop hook failed")),
        }
    }

    pub(super) async fn remove_container(&self, id: &ContainerId, log: LogFate) -> Result<Done, Failure> {
        plain(self.edges.runtime.remove_container(id, log).await, ToString::to_string)
    }

    pub(super) async fn unmount_volumes(&self, scene: &Scene) -> Result<Done, Failure> {
        scene.session.mounted.lock().clear();
        match self.edges.volumes.unmount(&scene.session.key.uid).await {
            Ok(()) => Ok(Done::Plain),
            Err(errors) => Err(failed(FailureStep::Teardown, joined(&errors))),
        }
    }

    pub(super) async fn remove_cgroup(&self, scene: &Scene) -> Result<Done, Failure> {
        match self.edges.host.remove_pod_cgroup(&scene.session.key.uid).await {
            Ok(()) => Ok(Done::Plain),
            Err(error) => Err(failed(FailureStep::Teardown, error.to_string())),
        }
    }
}

/// Least time between SIGTERM and SIGKILL (contract §9).
const MIN_GRACE: Duration = Duration::from_secs(2);

/// Several errors as one text.
fn joined<E: std::fmt::Display>(errors: &[E]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
