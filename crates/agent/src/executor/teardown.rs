//! Stopping and removing. Order and time are `decide`'s; here each step is one call.

use std::{sync::Arc, time::Duration};

use lifecycle::{ContainerId, ContainerName, Done, Failure, FailureStep, LogFate};
use tokio::{
    sync::{Notify, watch},
    time::Instant,
};

use super::{
    Executor, Listed, Scene, failed,
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
        let (left, hook) = match run_pre_stop {
            true => self.hook_first(scene, name, id, grace).await,
            false => (grace, Hook::Passed),
        };
        // Contract §9: the process gets at least two seconds, even if the hook used everything.
        let stopped = self.edges.runtime.stop_container(id, left.max(MIN_GRACE)).await;
        let done = plain(stopped, |error| kill_failed("Container", name.as_str(), error))?;
        scene.session.stopped(id);
        Ok(match hook {
            Hook::Passed => done,
            Hook::Failed => Done::StoppedWithoutHook,
        })
    }

    /// Runs the preStop hook within the grace period, which [`Self::hurry_container`] may shorten meanwhile. Returns what is
    /// left of it.
    async fn hook_first(
        &self,
        scene: &Scene,
        name: &ContainerName,
        id: &ContainerId,
        grace: Duration,
    ) -> (Duration, Hook) {
        let (deadline, mut moves) = watch::channel(in_time(grace));
        // When it is over, or its task dies, who hurries has to ask the runtime.
        let listed = Listed::new(&scene.session.hooks, id, deadline);
        let hook = self.pre_stop(scene, name, id, &mut moves).await;
        drop(listed);
        (moves.borrow().saturating_duration_since(Instant::now()), hook)
    }

    /// Shortens a stop that is under way. A preStop hook that still runs gets what is left and is followed by the stop:
    /// nothing is told to end while its hook prepares that.
    pub(super) async fn hurry_container(
        &self,
        scene: &Scene,
        id: &ContainerId,
        grace: Duration,
    ) -> Result<Done, Failure> {
        if let Some(deadline) = scene.session.hooks.lock().get(id) {
            deadline.send_replace(in_time(grace));
            return Ok(Done::Plain);
        }
        plain(self.edges.runtime.stop_container(id, grace.max(MIN_GRACE)).await, ToString::to_string)
    }

    /// The hook of a container that is stopped later; no longer than that container is there.
    pub(super) async fn run_pre_stop(
        &self,
        scene: &Scene,
        name: &ContainerName,
        id: &ContainerId,
        grace: Duration,
    ) -> Result<Done, Failure> {
        let (_deadline, mut moves) = watch::channel(in_time(grace));
        let stopped = Arc::new(Notify::new());
        let _listed = Listed::new(&scene.session.pre_stops, id, Arc::clone(&stopped));
        // Neither arm is polled again once the other has ended.
        let hook = tokio::select! {
            hook = self.pre_stop(scene, name, id, &mut moves) => hook,
            () = stopped.notified() => Hook::Passed,
        };
        match hook {
            Hook::Passed => Ok(Done::Plain),
            Hook::Failed => Err(failed(FailureStep::PreStopHook, "the preStop hook failed")),
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

/// The end of a grace period; so far ahead that no clock tells it: in a hundred years.
fn in_time(grace: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(grace).unwrap_or_else(|| now + Duration::from_secs(100 * 365 * 24 * 60 * 60))
}

/// Least time between SIGTERM and SIGKILL (contract §9).
const MIN_GRACE: Duration = Duration::from_secs(2);

/// Several errors as one text.
fn joined<E: std::fmt::Display>(errors: &[E]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
