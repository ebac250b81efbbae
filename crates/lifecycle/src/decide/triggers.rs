//! What ends a pod's running life from outside its containers.

use std::time::Duration;

use crate::{
    Reason,
    decide::{deadline, work::Work},
    grace,
    observation::{Admission, Intent, PodSource},
    reason::Cause,
    state::{Stage, Terminating},
    status::is_terminal,
};

/// Moves a pod that is to stop out of `Syncing`, and shortens a grace period in force. Grace is never lengthened.
pub(super) fn look(work: &mut Work<'_>) {
    if matches!(work.state.stage, Stage::Syncing(_)) {
        if let Some(cause) = cause(work) {
            terminating(work, cause);
        }
        return;
    }
    let wanted = match &work.seen.intent {
        Intent::Delete { grace } | Intent::Removed { grace } | Intent::Kill { grace, .. } => *grace,
        Intent::Run => return,
    };
    let now = work.now.mono;
    if let Stage::Terminating(terminating) = &mut work.state.stage
        && wanted < terminating.grace
    {
        terminating.grace = wanted;
        terminating.deadline = terminating.deadline.map(|at| at.min(now.saturating_add(wanted)));
    }
}

/// Begins to stop the pod.
pub(super) fn terminating(work: &mut Work<'_>, cause: Cause) {
    let grace = match &work.seen.intent {
        Intent::Delete { grace } | Intent::Removed { grace } | Intent::Kill { grace, .. } => *grace,
        Intent::Run => spec_grace(work),
    };
    work.because(Reason::Terminating { cause: cause.clone() });
    work.state.stage = Stage::Terminating(Terminating { cause, grace, deadline: None });
    // Delays of a life that is over do not delay its end.
    work.state.setbacks.clear();
}

/// The pod's own grace period.
pub(super) fn spec_grace(work: &Work<'_>) -> Duration {
    let seconds = work.spec.termination_grace_period_seconds;
    seconds.map_or(grace::DEFAULT, grace::of)
}

fn cause(work: &mut Work<'_>) -> Option<Cause> {
    match &work.seen.intent {
        Intent::Removed { .. } => return Some(Cause::Removed),
        Intent::Delete { .. } => return Some(Cause::Deleted),
        Intent::Kill { reason, message, .. } => {
            return Some(Cause::Killed { reason: reason.clone(), message: message.clone() });
        }
        Intent::Run => {}
    }
    if work.seen.source == PodSource::RuntimeOnly {
        return Some(Cause::Removed);
    }
    let phase = work.pod.status.as_ref().and_then(|status| status.phase.as_deref());
    // What a static pod has come to is seen in the runtime; its mirror only repeats it.
    if is_terminal(phase) && !work.seen.source.is_static() {
        return Some(Cause::AlreadyTerminal);
    }
    if let Admission::Rejected { reason, message } = &work.seen.admission {
        return Some(Cause::Rejected { reason: reason.clone(), message: message.clone() });
    }
    past_deadline(work)
}

fn past_deadline(work: &mut Work<'_>) -> Option<Cause> {
    let reported = work.state.reported.as_ref().and_then(|status| status.start_time.as_ref());
    let start = reported.or_else(|| work.pod.status.as_ref()?.start_time.as_ref());
    let left = deadline::left(work.spec, start, work.now.wall)?;
    if left.is_zero() {
        return Some(Cause::DeadlineExceeded);
    }
    let at = work.now.mono.saturating_add(left);
    work.wake_at(at);
    None
}
