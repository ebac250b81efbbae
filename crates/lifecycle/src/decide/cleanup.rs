//! A pod of which nothing runs: its leftovers.
//!
//! ```text
//!   unmount volumes ──► remove cgroup ─────────────────────┐
//!                                                          ├──► remove directories ──► gone
//!   remove containers ──► remove sandboxes (if discarded) ─┘
//! ```
//! A pod that ended by itself and still has its object keeps its newest dead containers: their logs are still read.
//! Whatever turns up alive (an effect of a call that answered too late) is stopped again first.

use crate::{
    Reason,
    action::{Action, ActionKey},
    decide::{Progress, terminate, tidy, work::Work},
    observation::Intent,
    reason::Cause,
    state::{End, Stage, Terminated},
};

pub(super) fn enter(work: &mut Work<'_>) {
    let Stage::Terminating(terminating) = &work.state.stage else { return };
    let cause = terminating.cause.clone();
    work.because(Reason::Terminated { cause: cause.clone() });
    work.state.stage =
        Stage::Terminated(Terminated { cause, done: std::collections::BTreeSet::new(), end: End::Clearing });
    work.state.containers.clear();
}

/// Clears away; `Over` when nothing is left on the node.
pub(super) fn advance(work: &mut Work<'_>) -> Progress {
    let Some(view) = work.view else { return Progress::Continue };
    let discard = discarded(work);
    let mut stirs = false;
    let now = work.now.mono;
    for record in view.alive() {
        stirs = true;
        terminate::stop_one(work, record, now);
    }
    if !stirs {
        for sandbox in view.sandboxes().iter().filter(|sandbox| sandbox.ready) {
            stirs = true;
            work.ask(Action::StopSandbox { id: sandbox.id.clone() });
        }
    }
    let making = work.state.in_flight.iter().any(is_making);
    if stirs || making {
        return Progress::Continue;
    }
    if discard {
        remove_all(work);
    } else {
        tidy::dead_containers(work);
    }
    step(work, Action::UnmountVolumes);
    if done(work, &ActionKey::UnmountVolumes) {
        step(work, Action::RemoveCgroup);
    }
    let bare = view.containers().is_empty() && view.sandboxes().is_empty();
    let torn_down = done(work, &ActionKey::UnmountVolumes) && done(work, &ActionKey::RemoveCgroup);
    if !(discard && bare && torn_down) {
        return Progress::Continue;
    }
    step(work, Action::RemoveDirs);
    if !done(work, &ActionKey::RemoveDirs) || !work.state.in_flight.is_empty() {
        return Progress::Continue;
    }
    let announced = match &mut work.state.stage {
        Stage::Terminated(terminated) => std::mem::replace(&mut terminated.end, End::Gone),
        _ => End::Gone,
    };
    if announced == End::Clearing {
        work.because(Reason::Gone);
    }
    Progress::Over
}

/// Whether nothing of the pod is to be kept. Once no source holds it, nobody can read its logs any more.
fn discarded(work: &Work<'_>) -> bool {
    let cause = match &work.state.stage {
        Stage::Terminated(terminated) => &terminated.cause,
        _ => return false,
    };
    matches!(work.seen.intent, Intent::Delete { .. } | Intent::Removed { .. })
        || matches!(cause, Cause::Deleted | Cause::Removed)
}

/// Actions that may yet bring something into being.
fn is_making(key: &ActionKey) -> bool {
    matches!(
        key,
        ActionKey::PrepareDirs
            | ActionKey::EnsureCgroup
            | ActionKey::MountVolumes
            | ActionKey::CreateSandbox
            | ActionKey::CreateContainer(_)
            | ActionKey::StartContainer(_)
    )
}

fn remove_all(work: &mut Work<'_>) {
    let Some(view) = work.view else { return };
    for record in view.containers() {
        work.ask(Action::RemoveContainer { id: record.id.clone() });
    }
    for sandbox in view.sandboxes() {
        if !view.containers().iter().any(|record| record.sandbox == sandbox.id) {
            work.ask(Action::RemoveSandbox { id: sandbox.id.clone() });
        }
    }
}

fn step(work: &mut Work<'_>, action: Action) {
    if !done(work, &action.key()) {
        work.ask(action);
    }
}

fn done(work: &Work<'_>, key: &ActionKey) -> bool {
    matches!(&work.state.stage, Stage::Terminated(terminated) if terminated.done.contains(key))
}
