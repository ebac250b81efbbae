//! Takes the results of actions into the state.

use crate::{
    Reason,
    action::{ActionKey, Done, Failure, FailureStep, Obstacle, Outcome},
    decide::{images, terminate, view::Life, work::Work},
    ids::{ContainerId, ContainerName},
    reason::ContainerRef,
    spec::containers,
    state::{Stage, Trouble, Volumes},
};

pub(super) fn outcomes(work: &mut Work<'_>) {
    let seen = work.seen;
    for outcome in &seen.outcomes {
        // What is not in flight was answered before, or asked by a former process: the observation tells the truth.
        if work.state.in_flight.remove(&outcome.key) {
            absorb(work, outcome);
        }
    }
}

fn absorb(work: &mut Work<'_>, outcome: &Outcome) {
    match &outcome.result {
        Ok(done) => {
            work.state.setbacks.remove(&outcome.key);
            succeeded(work, &outcome.key, done);
        }
        Err(failure) if failure.not_found && is_teardown(&outcome.key) => {
            work.state.setbacks.remove(&outcome.key);
            succeeded(work, &outcome.key, &Done::Plain);
        }
        Err(failure) => failed(work, &outcome.key, failure),
    }
}

fn is_teardown(key: &ActionKey) -> bool {
    matches!(
        key,
        ActionKey::StopContainer(_)
            | ActionKey::HurryContainer(..)
            | ActionKey::StopSandbox(_)
            | ActionKey::RemoveContainer(_)
            | ActionKey::RemoveSandbox(_)
            | ActionKey::UnmountVolumes
            | ActionKey::RemoveCgroup
            | ActionKey::RemoveDirs
    )
}

fn succeeded(work: &mut Work<'_>, key: &ActionKey, done: &Done) {
    match key {
        ActionKey::PrepareDirs | ActionKey::EnsureCgroup => {
            if let Stage::Syncing(syncing) = &mut work.state.stage {
                syncing.in_place.insert(key.clone());
            }
        }
        ActionKey::MountVolumes => {
            if let Stage::Syncing(syncing) = &mut work.state.stage {
                syncing.volumes = match syncing.volumes {
                    Volumes::Missing | Volumes::Fresh => Volumes::Fresh,
                    Volumes::MissingStale | Volumes::Stale => Volumes::Stale,
                    Volumes::MissingMore => Volumes::Missing,
                };
            }
        }
        ActionKey::EnsureImage(name) => images::ensured(work, name, done),
        ActionKey::FindImage(name) => images::looked(work, name, done),
        ActionKey::CreateContainer(name) => {
            let memo = work.memo(name);
            // What kept it from running stays in sight until it runs.
            memo.created = memo.created.max(memo.asked);
            if let Some(container) = reference(work, name) {
                work.because(Reason::ContainerCreated { container });
            }
        }
        ActionKey::StartContainer(id) => started(work, id),
        ActionKey::StopContainer(id) => stopped(work, id, done),
        ActionKey::StopSandbox(id) => {
            let still_ready = work.view.is_some_and(|view| {
                view.sandboxes().iter().any(|sandbox| &sandbox.id == id && sandbox.ready)
            });
            if still_ready {
                let message = format!("sandbox {id} was stopped, yet the runtime calls it ready");
                work.set_back(key.clone(), Failure::new(FailureStep::Teardown, message));
            } else {
                work.state.stopped_sandboxes.insert(id.clone());
            }
        }
        ActionKey::UnmountVolumes | ActionKey::RemoveCgroup | ActionKey::RemoveDirs => {
            if let Stage::Terminated(terminated) = &mut work.state.stage {
                terminated.done.insert(key.clone());
            }
        }
        // What these bring about is seen in the runtime's account.
        ActionKey::CreateSandbox
        | ActionKey::HurryContainer(..)
        | ActionKey::RunPreStop(_)
        | ActionKey::RemoveContainer(_)
        | ActionKey::RemoveSandbox(_) => {}
    }
}

fn started(work: &mut Work<'_>, id: &ContainerId) {
    let Some(name) = name_of(work, id) else { return };
    work.memo(&name).trouble = None;
    if let Some(container) = reference(work, &name) {
        work.because(Reason::ContainerStarted { container });
    }
}

fn stopped(work: &mut Work<'_>, id: &ContainerId, done: &Done) {
    work.state.stopping.remove(id);
    if *done == Done::StoppedWithoutHook {
        hook_failed(work, id);
    }
    let runs =
        work.view.is_some_and(|view| view.container(id).is_some_and(|c| view.life(c) == Life::Running));
    if runs {
        let message = format!("container {id} was stopped, yet the runtime says that it runs");
        work.because(Reason::KillFailed { message: message.clone() });
        work.set_back(ActionKey::StopContainer(id.clone()), Failure::new(FailureStep::Teardown, message));
    } else {
        work.state.stopped.insert(id.clone());
    }
}

fn hook_failed(work: &mut Work<'_>, id: &ContainerId) {
    if let Some(container) = name_of(work, id).and_then(|name| reference(work, &name)) {
        work.because(Reason::PreStopHookFailed { container });
    }
}

fn failed(work: &mut Work<'_>, key: &ActionKey, failure: &Failure) {
    let message = failure.message.clone();
    match key {
        // The first call is still under way and will be answered.
        ActionKey::HurryContainer(..) => return,
        // Its pull will tell what is wrong.
        ActionKey::FindImage(name) => {
            images::looked(work, name, &Done::Plain);
            return;
        }
        // Not tried again: its container is stopped without.
        ActionKey::RunPreStop(id) => {
            hook_failed(work, id);
            return;
        }
        _ => {}
    }
    if let ActionKey::StopContainer(id) = key {
        work.state.stopping.remove(id);
        if matches!(failure.obstacle, Some(Obstacle::Runtime)) {
            terminate::not_told(work, id);
        }
    }
    work.set_back(key.clone(), failure.clone());
    let syncing = matches!(work.state.stage, Stage::Syncing(_));
    match key {
        ActionKey::PrepareDirs if syncing => work.because(Reason::DirsFailed { message }),
        ActionKey::EnsureCgroup if syncing => work.because(Reason::CgroupFailed { message }),
        ActionKey::CreateSandbox if syncing => work.because(Reason::SandboxFailed { message }),
        ActionKey::MountVolumes if syncing => {
            for line in message.lines().filter(|line| !line.is_empty()) {
                work.because(Reason::VolumesFailed { message: line.to_owned() });
            }
            if let Stage::Syncing(syncing) = &mut work.state.stage
                && syncing.volumes == Volumes::Fresh
            {
                syncing.volumes = Volumes::Stale;
            }
        }
        ActionKey::EnsureImage(name) if syncing => images::failed(work, name, failure),
        ActionKey::CreateContainer(name) if syncing => {
            let reason = match failure.step {
                FailureStep::ContainerConfig | FailureStep::Volumes | FailureStep::Dirs => {
                    "CreateContainerConfigError"
                }
                _ => "CreateContainerError",
            };
            trouble(work, name, reason, message.clone(), message);
        }
        ActionKey::StartContainer(id) => start_failed(work, id, failure),
        ActionKey::StopContainer(_) | ActionKey::StopSandbox(_) => {
            work.because(Reason::KillFailed { message })
        }
        ActionKey::RemoveContainer(_) => {
            work.because(Reason::TeardownFailed { step: "remove a container", message })
        }
        ActionKey::RemoveSandbox(_) => {
            work.because(Reason::TeardownFailed { step: "remove a sandbox", message })
        }
        ActionKey::UnmountVolumes => {
            work.because(Reason::TeardownFailed { step: "unmount the volumes", message })
        }
        ActionKey::RemoveCgroup => {
            work.because(Reason::TeardownFailed { step: "remove the pod cgroup", message })
        }
        ActionKey::RemoveDirs => {
            work.because(Reason::TeardownFailed { step: "remove the pod directory", message })
        }
        // A prerequisite of a pod that stops meanwhile is nobody's concern.
        _ => {}
    }
}

fn start_failed(work: &mut Work<'_>, id: &ContainerId, failure: &Failure) {
    let Some(name) = name_of(work, id) else { return };
    if failure.step != FailureStep::PostStartHook {
        // In the event the name stands for the id, so that those of one trouble are alike.
        let told = failure.message.replace(id.as_str(), name.as_str());
        trouble(work, &name, "RunContainerError", failure.message.clone(), told);
        return;
    }
    work.state.setbacks.remove(&ActionKey::StartContainer(id.clone()));
    let memo = work.memo(&name);
    memo.condemned = Some(id.clone());
    memo.trouble = Some(Trouble { reason: "PostStartHookError", message: failure.message.clone() });
    if let Some(container) = reference(work, &name) {
        work.because(Reason::ContainerStarted { container: container.clone() });
        work.because(Reason::PostStartHookFailed { container });
    }
}

/// `message` is what the status says, `told` what the event says.
fn trouble(work: &mut Work<'_>, name: &ContainerName, reason: &'static str, message: String, told: String) {
    work.memo(name).trouble = Some(Trouble { reason, message });
    if let Some(container) = reference(work, name) {
        work.because(Reason::ContainerFailed { container, message: told });
    }
}

/// The name of a container that the runtime shows; or, while that does not answer, of one whose start was asked for.
fn name_of(work: &Work<'_>, id: &ContainerId) -> Option<ContainerName> {
    if let Some(record) = work.view.and_then(|view| view.container(id)) {
        return Some(record.name.clone());
    }
    let mut memos = work.state.containers.iter();
    let begun = |(_, begun): &(u32, ContainerId)| begun == id;
    memos.find(|(_, memo)| memo.begun.as_ref().is_some_and(begun)).map(|(name, _)| name.clone())
}

/// The container as events name it; `None` when the spec does not know it.
pub(super) fn reference(work: &Work<'_>, name: &ContainerName) -> Option<ContainerRef> {
    let kind = containers::kind_of(work.spec, name.as_str())?;
    Some(ContainerRef { kind, name: name.clone() })
}
