//! The decision.

use k8s_openapi::api::core::v1::PodStatus;

use crate::{Action, Observation, PodState, Reason, Tick};

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
    /// Nothing is left of the pod on this node (no container, volume, cgroup): its API object may be deleted
    /// when it asks for that, and its worker may end when no source holds it.
    pub finished: bool,
}

/// Decides. Pure: same arguments, same result.
#[must_use]
pub fn decide(state: &PodState, seen: &Observation, now: Tick) -> Decision {
    let _ = (seen, now);
    Decision {
        next: state.clone(),
        actions: Vec::new(),
        status: PodStatus::default(),
        wake_at: None,
        why: Vec::new(),
        finished: false,
    }
}
