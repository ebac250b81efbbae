//! A pod of which nothing runs: its leftovers.
//!
//! ```text
//!   unmount volumes ──► remove cgroup ──► released ────────┐
//!                                                          ├──► remove directories ──► gone
//!   remove containers ──► remove sandboxes (if discarded) ─┘
//! ```
//! Once it is released a successor has all it needs, so that its object may go while its records are removed.
//!
//! A pod that ended by itself and still has its object keeps its newest dead containers: their logs are still read.
//! Whatever turns up alive (an effect of a call that answered too late) is stopped again first.

use std::time::Duration;

use k8s_openapi::api::core::v1::PodStatus;

use crate::{
    Reason,
    action::{Action, ActionKey, LogFate},
    decide::{plan, terminate, tidy, work::Work},
    observation::{Intent, PodSource},
    reason::{Afterwards, Cause},
    state::{End, Stage, Terminated},
    status::{all_containers, is_terminal},
};

/// How long the records of a deleted pod stay for its object to go first.
const OBJECT_FIRST: Duration = Duration::from_secs(1);

pub(super) fn enter(work: &mut Work<'_>) {
    let Stage::Terminating(terminating) = &work.state.stage else { return };
    let cause = terminating.cause.clone();
    work.because(Reason::Terminated { cause: cause.clone() });
    let done = std::collections::BTreeSet::new();
    work.state.stage =
        Stage::Terminated(Terminated { cause, done, end: End::Clearing, untold: None, told: None });
    work.state.containers.clear();
}

/// How far the clearing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cleared {
    /// Something may hold what others wait for.
    No,
    /// Volumes and cgroup are gone; what is left are records and directories.
    Released,
    /// Nothing is left.
    Gone,
}

/// Clears away.
pub(super) fn advance(work: &mut Work<'_>) -> Cleared {
    let Some(view) = work.view else { return Cleared::No };
    let discard = discarded(work);
    let mut stirs = false;
    let now = work.now.mono;
    for record in view.alive() {
        stirs = true;
        terminate::stop_one(work, record, now, Afterwards::Stay);
    }
    if !stirs {
        for sandbox in view.sandboxes().iter().filter(|sandbox| sandbox.ready) {
            stirs = true;
            work.ask(Action::StopSandbox { id: sandbox.id.clone() });
        }
    }
    let making = work.state.in_flight.iter().any(is_preparing) || terminate::is_making(work, &view);
    if stirs || making {
        return Cleared::No;
    }
    if discard {
        let told = told(work);
        note_told(work, told);
        if told && is_time_to_remove(work) {
            remove_all(work);
        }
    } else {
        tidy::dead_containers(work);
    }
    step(work, Action::UnmountVolumes);
    if done(work, &ActionKey::UnmountVolumes) {
        step(work, Action::RemoveCgroup);
    }
    let bare = view.containers().is_empty() && view.sandboxes().is_empty();
    let torn_down = done(work, &ActionKey::UnmountVolumes) && done(work, &ActionKey::RemoveCgroup);
    if !(discard && torn_down) {
        return Cleared::No;
    }
    if bare {
        step(work, Action::RemoveDirs);
    }
    if !bare || !done(work, &ActionKey::RemoveDirs) || !work.state.in_flight.is_empty() {
        return Cleared::Released;
    }
    let announced = match &mut work.state.stage {
        Stage::Terminated(terminated) => std::mem::replace(&mut terminated.end, End::Gone),
        _ => End::Gone,
    };
    if announced == End::Clearing {
        work.because(Reason::Gone);
    }
    Cleared::Gone
}

/// Whether the API holds the last status. Until then the records stay: should this process be killed before it could
/// tell how the containers ended, the next one must be able to. Nobody can be told of a pod whose object is gone.
fn told(work: &Work<'_>) -> bool {
    if work.seen.source != PodSource::Api || !matches!(work.seen.intent, Intent::Delete { .. }) {
        return true;
    }
    let (Some(last), Some(api)) = (plan::last_status(work), &work.pod.status) else { return false };
    let held = ends(api);
    is_terminal(api.phase.as_deref()) && ends(last).iter().all(|end| held.contains(end))
}

/// For whoever asks why the pod stays.
fn note_told(work: &mut Work<'_>, told: bool) {
    let now = work.now;
    if let Stage::Terminated(terminated) = &mut work.state.stage {
        terminated.untold = if told { None } else { terminated.untold.or(Some(now)) };
        terminated.told = told.then(|| terminated.told.unwrap_or(now.mono));
    }
}

/// Whether records may be removed. Nobody waits for that, but for the object to go, so that the runtime's work on them does
/// not come in between.
fn is_time_to_remove(work: &mut Work<'_>) -> bool {
    if work.seen.source != PodSource::Api || !matches!(work.seen.intent, Intent::Delete { .. }) {
        return true;
    }
    let Stage::Terminated(Terminated { told: Some(told), .. }) = &work.state.stage else { return false };
    let due = told.saturating_add(OBJECT_FIRST);
    if due > work.now.mono {
        work.wake_at(due);
    }
    due <= work.now.mono
}

/// Which containers a status says to have ended, and how.
fn ends(status: &PodStatus) -> Vec<(&str, Option<&str>, i32)> {
    let ended = all_containers(status).filter_map(|status| {
        let end = status.state.as_ref()?.terminated.as_ref()?;
        Some((status.name.as_str(), end.container_id.as_deref(), end.exit_code))
    });
    ended.collect()
}

fn discarded(work: &Work<'_>) -> bool {
    match &work.state.stage {
        Stage::Terminated(terminated) => discards(&terminated.cause, &work.seen.intent),
        _ => false,
    }
}

/// Whether nothing of a pod is to be kept that ended for this cause. Once no source holds it, nobody can read its logs any
/// more.
pub(crate) fn discards(cause: &Cause, intent: &Intent) -> bool {
    matches!(intent, Intent::Delete { .. } | Intent::Removed { .. })
        || matches!(cause, Cause::Deleted | Cause::Removed)
}

/// Actions that may yet make what a container needs.
fn is_preparing(key: &ActionKey) -> bool {
    matches!(key, ActionKey::PrepareDirs | ActionKey::EnsureCgroup | ActionKey::MountVolumes)
}

fn remove_all(work: &mut Work<'_>) {
    let Some(view) = work.view else { return };
    for record in view.containers() {
        work.ask(Action::RemoveContainer { id: record.id.clone(), log: LogFate::Remove });
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
