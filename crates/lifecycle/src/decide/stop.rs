//! Stopping one container.

use std::time::Duration;

use crate::{
    Reason,
    action::{Action, ActionKey},
    decide::{
        plan::Kill,
        restart, triggers,
        view::Life,
        work::{Asked, Work},
    },
    grace,
    observation::{ContainerRecord, PodSource},
    reason::Afterwards,
    spec::hooks::has_pre_stop,
    state::Owed,
};

/// Kills one container of a pod that goes on.
pub(super) fn kill(work: &mut Work<'_>, kill: &Kill<'_>) {
    let grace = match kill.probe_grace.filter(|seconds| *seconds >= 0) {
        Some(seconds) => grace::of(seconds),
        None => triggers::spec_grace(work),
    };
    let deadline = work.now.mono.saturating_add(grace);
    if stop(work, kill.record, deadline) == Asked::Now
        && let Some(container) = kill.container.clone()
    {
        if kill.afterwards == Afterwards::Restart {
            promise(work, kill.record);
        }
        work.because(Reason::Killing { container, cause: kill.cause, afterwards: kill.afterwards });
    }
}

/// Notes that an instance is killed to be started again: a regular container or a sidecar. What becomes of another init
/// container depends on how it ends.
pub(super) fn promise(work: &mut Work<'_>, record: &ContainerRecord) {
    let sidecars = work.spec.init_containers.iter().flatten().filter(|init| restart::is_sidecar(init));
    let mut lasting = work.spec.containers.iter().chain(sidecars);
    if lasting.any(|container| container.name == record.name.as_str()) {
        work.memo(&record.name).owed = Some(Owed { after: record.id.clone() });
    }
}

/// Asks to stop a container that runs, or may, until a deadline on the monotonic clock. A stop that is under way with
/// a later deadline is hurried.
pub(super) fn stop(work: &mut Work<'_>, record: &ContainerRecord, deadline: Duration) -> Asked {
    let id = record.id.clone();
    let left = deadline.saturating_sub(work.now.mono);
    let known = work.state.stopping.get(&id).copied();
    let run_pre_stop = may_run_hook(work, record, deadline);
    let action =
        Action::StopContainer { container: record.name.clone(), id: id.clone(), grace: left, run_pre_stop };
    let retry = work.state.setbacks.contains_key(&ActionKey::StopContainer(id.clone()));
    let asked = work.ask(action);
    match asked {
        Asked::Now => {
            if run_pre_stop {
                work.state.hooked.insert(id.clone());
            }
            work.state.stopping.insert(id, deadline);
            // Announced once, not at every retry.
            if retry { Asked::InFlight } else { Asked::Now }
        }
        Asked::InFlight if known.is_some_and(|known| deadline < known) => {
            work.state.stopping.insert(id.clone(), deadline);
            work.ask(Action::HurryContainer { container: record.name.clone(), id, grace: left });
            Asked::InFlight
        }
        other => other,
    }
}

/// Whether there is time and reason to run a preStop hook: once in the life of a container and of this process, and
/// only in one that runs. Of a pod whose object is gone, containers may tell of their hooks.
pub(super) fn may_run_hook(work: &Work<'_>, record: &ContainerRecord, deadline: Duration) -> bool {
    deadline > work.now.mono
        && (work.seen.source != PodSource::RuntimeOnly || has_hook(work, record))
        && work.view.is_some_and(|view| view.life(record) == Life::Running)
        && !work.state.hooked.contains(&record.id)
        && !work.flying(&ActionKey::RunPreStop(record.id.clone()))
}

fn has_hook(work: &Work<'_>, record: &ContainerRecord) -> bool {
    let mut containers = work.spec.containers.iter();
    containers.any(|container| container.name == record.name.as_str() && has_pre_stop(container))
}
