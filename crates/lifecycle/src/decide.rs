//! The decision.
//!
//! ```text
//!   outcomes ─► absorb ─► triggers ─► stage: sync / terminate / cleanup ─► status ─► tidy ─► Decision
//! ```
//! One file per concern below; this one only strings them together.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::PodStatus;

use crate::{
    Action, Failure, FailureStep, Observation, Obstacle, PodState, Reason, Tick, action::ActionKey,
    ids::ContainerId, state::Stage,
};

mod absorb;
mod backoff;
pub(crate) mod cleanup;
mod containers;
pub(crate) mod deadline;
mod images;
mod init;
mod plan;
mod recall;
pub(crate) mod reset;
pub(crate) mod restart;
mod sandbox;
mod stop;
mod sync;
mod terminate;
mod tidy;
mod triggers;
pub(crate) mod view;
mod work;

use cleanup::Cleared;
use work::Work;

/// The result of one look at a pod.
#[derive(Clone, Debug)]
pub struct Decision {
    /// What to remember.
    pub next: PodState,
    /// What to do now; may run side by side.
    pub actions: Vec<Action>,
    /// What to report.
    pub status: PodStatus,
    /// Look again then, whatever happens; `None`: only when something happens.
    pub wake_at: Option<Tick>,
    /// Why. Only what is new in this decision: the agent turns each into an event and a log line once.
    pub why: Vec<Reason>,
    /// What is known to follow `status`.
    pub outlook: Outlook,
    /// Nothing is left of the pod on this node, not even a record: its worker may end when no source holds it.
    pub finished: bool,
}

/// What is known to follow a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outlook {
    /// Another one, within moments, unless a call that is under way takes long. Nobody waits for this one in between: to
    /// report it would be one write more for each start or deletion of a pod.
    Passing,
    /// Nothing.
    Lasting,
    /// None: nothing of the pod runs or holds anything on this node any more, and this is its final one: its API object may
    /// be deleted when it asks for that. Its dead containers and its directories may still be there.
    Released,
}

/// How a stage ended its look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    /// It goes on at the next look.
    Continue,
    /// It is over: the next stage takes up at once.
    Over,
}

/// Decides. Pure: same arguments, same result.
#[must_use]
pub fn decide(state: &PodState, seen: &Observation, now: Tick) -> Decision {
    let stopped = confirmed_stops(state, seen);
    let mut work = Work::new(state, seen, &stopped, now);
    recall::troubles(&mut work);
    absorb::outcomes(&mut work);
    triggers::look(&mut work);
    let mut cleared = Cleared::No;
    if runtime_answers(&mut work) {
        if matches!(work.state.stage, Stage::Syncing(_)) && sync::advance(&mut work) == Progress::Over {
            terminate::completed(&mut work);
        }
        if matches!(work.state.stage, Stage::Terminating(_))
            && terminate::advance(&mut work) == Progress::Over
        {
            cleanup::enter(&mut work);
        }
        if matches!(work.state.stage, Stage::Terminated(_)) {
            cleared = cleanup::advance(&mut work);
        }
    }
    let status = crate::status::report(&mut work.state, seen, work.view.as_ref(), now);
    let outlook = match cleared {
        Cleared::No if is_passing(&work, state.reported.as_deref(), &status) => Outlook::Passing,
        Cleared::No => Outlook::Lasting,
        Cleared::Released | Cleared::Gone => Outlook::Released,
    };
    tidy::forget(&mut work);
    Decision {
        wake_at: work.wake(),
        actions: work.actions,
        why: work.why,
        next: work.state,
        status,
        outlook,
        finished: cleared == Cleared::Gone,
    }
}

/// Whether a step under way ends with another status: a container that is about to start for the pod to run, or containers and
/// then the sandbox that are being stopped for it to be deleted. That a pod is not ready any more waits for nothing, as long as
/// something of it runs.
fn is_passing(work: &Work<'_>, last: Option<&PodStatus>, status: &PodStatus) -> bool {
    let flying = |step: fn(&ActionKey) -> bool| work.state.in_flight.iter().any(step);
    match work.state.stage {
        Stage::Syncing(_) => {
            status.phase.as_deref() == Some("Pending")
                && flying(|key| matches!(key, ActionKey::CreateContainer(_) | ActionKey::StartContainer(_)))
        }
        Stage::Terminating(_) => {
            let dead = work.view.is_some_and(|view| view.alive().next().is_none());
            work.pod.metadata.deletion_timestamp.is_some()
                && flying(|key| matches!(key, ActionKey::StopContainer(_) | ActionKey::StopSandbox(_)))
                && (dead || last.is_some_and(|last| is_ready(last) == is_ready(status)))
        }
        Stage::Terminated(_) => false,
    }
}

fn is_ready(status: &PodStatus) -> bool {
    let mut conditions = status.conditions.iter().flatten();
    conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// Stops known to have succeeded, those of this look included.
fn confirmed_stops(state: &PodState, seen: &Observation) -> BTreeSet<ContainerId> {
    let mut stopped = state.stopped.clone();
    for outcome in &seen.outcomes {
        let ended = outcome.result.as_ref().map_or_else(|failure| failure.not_found, |_| true);
        if let (ActionKey::StopContainer(id), true) = (&outcome.key, ended) {
            stopped.insert(id.clone());
        }
    }
    stopped
}

/// Nothing is concluded about containers while the runtime gives an error for this pod; prerequisites that need no
/// runtime go on.
fn runtime_answers(work: &mut Work<'_>) -> bool {
    let Err(message) = &work.seen.runtime else {
        work.state.runtime_trouble = None;
        return true;
    };
    let known = work.state.runtime_trouble.clone();
    let due = known.as_ref().is_none_or(|trouble| trouble.retry_at <= work.now.mono);
    let retry_at = match known {
        Some(trouble) if !due => trouble.retry_at,
        known => {
            let tries = known.as_ref().map_or(0, |trouble| trouble.tries).saturating_add(1);
            let since = known.as_ref().map_or(work.now, |trouble| trouble.since);
            if known.is_none_or(|trouble| trouble.failure.message != *message) {
                work.because(Reason::StatusUnknown { message: message.clone() });
            }
            let retry_at = work.now.mono.saturating_add(backoff::runtime_delay(tries));
            let failure =
                Failure::new(FailureStep::Inspection, message.clone()).because_of(Some(Obstacle::Runtime));
            work.state.runtime_trouble = Some(crate::state::Setback { tries, since, retry_at, failure });
            retry_at
        }
    };
    work.wake_at(retry_at);
    if matches!(work.state.stage, Stage::Syncing(_)) {
        sync::prerequisites(work);
    }
    false
}

#[cfg(test)]
mod tests;
