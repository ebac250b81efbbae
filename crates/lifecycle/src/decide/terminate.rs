//! A pod that is to stop (contract §9).
//!
//! ```text
//!   regular, init, ephemeral containers, all at once ─┐
//!                        sidecars' preStop hooks ───────┴─► sidecars, last one first ──► sandboxes ──► nothing runs
//! ```
//! The grace period begins when the first of them is told, not before: a runtime that is away takes nothing of it, and
//! what it may not have been told counts for nothing. Sidecars wait for regular containers and for later sidecars, for
//! nobody else; their preStop hooks do not wait. All share one grace period; past its end nobody waits for a turn or a
//! hook. The same order is kept when everything makes way for a new sandbox.

use std::time::Duration;

use crate::{
    Reason,
    action::{Action, ActionKey},
    decide::{
        Progress, restart, stop, triggers,
        view::{Life, View},
        work::{Asked, Work},
    },
    ids::ContainerId,
    observation::ContainerRecord,
    reason::{Afterwards, Cause, KillCause},
    spec::hooks::has_pre_stop,
    state::Stage,
};

/// Ends a pod whose work is done.
pub(super) fn completed(work: &mut Work<'_>) {
    triggers::terminating(work, Cause::Completed);
}

pub(super) fn advance(work: &mut Work<'_>) -> Progress {
    let Stage::Terminating(terminating) = &work.state.stage else { return Progress::Continue };
    let deadline = terminating.deadline(work.now.mono);
    let Some(view) = work.view else { return Progress::Continue };
    stop_all(work, &view, deadline, Afterwards::Stay);
    let told = |key: &ActionKey| matches!(key, ActionKey::StopContainer(_) | ActionKey::RunPreStop(_));
    if work.state.in_flight.iter().any(told)
        && let Stage::Terminating(terminating) = &mut work.state.stage
    {
        terminating.deadline = Some(deadline);
    }
    if view.alive().next().is_some() {
        return Progress::Continue;
    }
    let mut clear = true;
    for sandbox in view.sandboxes() {
        if sandbox.ready || !work.state.stopped_sandboxes.contains(&sandbox.id) {
            clear = false;
            work.ask(Action::StopSandbox { id: sandbox.id.clone() });
        }
    }
    if clear && !is_making(work, &view) { Progress::Over } else { Progress::Continue }
}

/// Stops all that live, each when its turn has come, until a deadline on the monotonic clock.
pub(super) fn stop_all(work: &mut Work<'_>, view: &View<'_>, deadline: Duration, afterwards: Afterwards) {
    for (record, turn) in turns(work, view, deadline) {
        // A hook that outlives the grace period no longer counts.
        let hook_runs = work.flying(&ActionKey::RunPreStop(record.id.clone())) && deadline > work.now.mono;
        match turn {
            Turn::Now if hook_runs => work.wake_at(deadline),
            Turn::Now => stop_one(work, record, deadline, afterwards),
            Turn::Later => prepare(work, record, deadline, afterwards),
        }
    }
}

/// A stop that the runtime did not answer: whether the container was told, and how far its hook came, nobody knows. It has
/// all of its time once more, as with upstream's kubelet.
pub(super) fn not_told(work: &mut Work<'_>, id: &ContainerId) {
    work.state.hooked.remove(id);
    if let Stage::Terminating(terminating) = &mut work.state.stage {
        terminating.deadline = None;
    }
}

/// Whether a call under way may yet bring something to life. A start whose container has ended already cannot: only
/// its hook is still waited for.
pub(super) fn is_making(work: &Work<'_>, view: &View<'_>) -> bool {
    work.state.in_flight.iter().any(|key| match key {
        ActionKey::CreateSandbox | ActionKey::CreateContainer(_) => true,
        ActionKey::StartContainer(id) => {
            view.container(id).is_some_and(|record| view.life(record) != Life::Dead)
        }
        _ => false,
    })
}

/// When a container is to be stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// Now.
    Now,
    /// After others; its preStop hook runs meanwhile.
    Later,
}

/// All that live, in the order of the runtime's account, and whether it is their turn.
fn turns<'a>(work: &Work<'a>, view: &View<'a>, deadline: Duration) -> Vec<(&'a ContainerRecord, Turn)> {
    let spec = work.spec;
    let sidecar = |record: &ContainerRecord| {
        let mut inits = spec.init_containers.iter().flatten();
        inits.position(|c| restart::is_sidecar(c) && c.name == record.name.as_str())
    };
    let alive: Vec<_> = view.alive().collect();
    let over = deadline <= work.now.mono;
    let regular = alive.iter().any(|record| spec.containers.iter().any(|c| c.name == record.name.as_str()));
    let last = alive.iter().filter_map(|record| sidecar(record)).max();
    let turn = |record: &ContainerRecord| match sidecar(record) {
        Some(index) if !over && (regular || Some(index) < last) => Turn::Later,
        _ => Turn::Now,
    };
    alive.into_iter().map(|record| (record, turn(record))).collect()
}

/// Begins the stop of a sidecar that has to wait for its turn.
fn prepare(work: &mut Work<'_>, record: &ContainerRecord, deadline: Duration, afterwards: Afterwards) {
    announce(work, record, afterwards);
    work.wake_at(deadline);
    let inits = work.spec.init_containers.iter().flatten();
    let mut this = inits.filter(|container| container.name == record.name.as_str());
    let has_hook = this.any(has_pre_stop);
    if has_hook && stop::may_run_hook(work, record, deadline) {
        let grace = deadline.saturating_sub(work.now.mono);
        work.state.hooked.insert(record.id.clone());
        work.ask(Action::RunPreStop { container: record.name.clone(), id: record.id.clone(), grace });
    }
}

/// Stops one container; says so once.
pub(super) fn stop_one(
    work: &mut Work<'_>,
    record: &ContainerRecord,
    deadline: Duration,
    afterwards: Afterwards,
) {
    if stop::stop(work, record, deadline) == Asked::Now {
        if afterwards == Afterwards::Restart {
            stop::promise(work, record);
        }
        announce(work, record, afterwards);
    }
}

fn announce(work: &mut Work<'_>, record: &ContainerRecord, afterwards: Afterwards) {
    let runs = work.view.is_some_and(|view| view.life(record) == Life::Running);
    if !runs || !work.state.doomed.insert(record.id.clone()) {
        return;
    }
    if let Some(container) = super::absorb::reference(work, &record.name) {
        work.because(Reason::Killing { container, cause: KillCause::PodStops, afterwards });
    }
}
