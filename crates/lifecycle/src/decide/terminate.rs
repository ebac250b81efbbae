//! A pod that is to stop (contract §9).
//!
//! ```text
//!   regular, init, ephemeral containers, all at once ──► sidecars, last one first ──► sandboxes ──► nothing runs
//! ```
//! All of them share one grace period; past its end the sidecars no longer wait for their turn.

use std::time::Duration;

use crate::{
    Reason,
    action::Action,
    decide::{
        Progress, restart, stop, triggers,
        view::Life,
        work::{Asked, Work},
    },
    observation::ContainerRecord,
    reason::{Afterwards, Cause, KillCause},
    state::Stage,
};

/// Ends a pod whose work is done.
pub(super) fn completed(work: &mut Work<'_>) {
    triggers::terminating(work, Cause::Completed);
}

pub(super) fn advance(work: &mut Work<'_>) -> Progress {
    let Stage::Terminating(terminating) = &work.state.stage else { return Progress::Continue };
    let deadline = terminating.deadline;
    let Some(view) = work.view else { return Progress::Continue };
    let mut clear = true;
    for record in whose_turn(work, deadline) {
        clear = false;
        stop_one(work, record, deadline);
    }
    if !clear || view.alive().next().is_some() {
        return Progress::Continue;
    }
    for sandbox in view.sandboxes() {
        if sandbox.ready || !work.state.stopped_sandboxes.contains(&sandbox.id) {
            clear = false;
            work.ask(Action::StopSandbox { id: sandbox.id.clone() });
        }
    }
    if clear { Progress::Over } else { Progress::Continue }
}

/// Those to be stopped now. Wakes at the end of the grace period when some have to wait.
fn whose_turn<'a>(work: &mut Work<'a>, deadline: Duration) -> Vec<&'a ContainerRecord> {
    let Some(view) = work.view else { return Vec::new() };
    let spec = work.spec;
    let sidecar = |record: &ContainerRecord| {
        let inits = spec.init_containers.iter().flatten();
        inits
            .enumerate()
            .filter(|(_, c)| restart::is_sidecar(c))
            .find(|(_, c)| c.name == record.name.as_str())
            .map(|(i, _)| i)
    };
    let alive: Vec<_> = view.alive().collect();
    if deadline <= work.now.mono {
        return alive;
    }
    let (sidecars, first): (Vec<_>, Vec<_>) = alive.into_iter().partition(|record| sidecar(record).is_some());
    if sidecars.is_empty() {
        return first;
    }
    if first.is_empty() {
        let last = sidecars.iter().filter_map(|record| sidecar(record)).max();
        let (turn, wait): (Vec<_>, Vec<_>) = sidecars.into_iter().partition(|record| sidecar(record) == last);
        if !wait.is_empty() {
            work.wake_at(deadline);
        }
        return turn;
    }
    work.wake_at(deadline);
    first
}

/// Stops one container; says so once.
pub(super) fn stop_one(work: &mut Work<'_>, record: &ContainerRecord, deadline: Duration) {
    let runs = work.view.is_some_and(|view| view.life(record) == Life::Running);
    if stop::stop(work, record, deadline) == Asked::Now
        && runs
        && let Some(container) = super::absorb::reference(work, &record.name)
    {
        work.because(Reason::Killing { container, cause: KillCause::PodStops, afterwards: Afterwards::Stay });
    }
}
