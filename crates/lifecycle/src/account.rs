//! A worker's account of what the runtime holds of its pod, kept up to date without asking where an answer or an event tells
//! all that a look would.
//!
//! ```text
//!   CreateContainer answered ───► it is there, and does not run          an event of something:
//!   StopPodSandbox answered ────► it is not ready                          as it is in the account ──► no news
//!   Remove… answered ───────────► it is not there                          a call on it is under way ─► its answer is awaited
//!   any other answer ───────────► look                                     else ──────────────────────► look
//! ```

use std::collections::{BTreeSet, HashMap};

use k8s_openapi::api::core::v1::Pod;
use lifecycle::{
    Action, ActionKey, ContainerName, Done, Outcome,
    observation::{ContainerRecord, RuntimePod, RuntimeState},
    spec::{containers::image_of, hash::container_hash},
};
use seams::runtime::{Became, ObjectEvent};

use super::running::Running;

#[derive(Debug, Default)]
pub(super) struct Account {
    /// What is being made, as it will be found.
    asked: HashMap<ContainerName, ContainerRecord>,
    /// Events that the account does not show yet.
    told: BTreeSet<ObjectEvent>,
}

impl Account {
    /// An action is begun.
    pub(super) fn asked(&mut self, action: &Action, pod: &Pod) {
        let Action::CreateContainer { container, attempt, sandbox, .. } = action else { return };
        let image = pod.spec.as_ref().and_then(|spec| image_of(spec, container.as_str())).unwrap_or_default();
        let then = jiff::Timestamp::UNIX_EPOCH;
        let record = ContainerRecord {
            hash: container_hash(container.as_str(), image),
            image: image.to_owned(),
            ..ContainerRecord::created("", container.clone(), *attempt, sandbox.clone(), then)
        };
        self.asked.insert(container.clone(), record);
    }

    /// Brings the last account of the pod up to date with what came since. `None`: the runtime has to be asked.
    pub(super) fn update(
        &mut self,
        seen: Option<RuntimePod>,
        outcomes: &[Outcome],
        told: BTreeSet<ObjectEvent>,
        running: &Running,
    ) -> Option<RuntimePod> {
        self.told.extend(told);
        let mut seen = seen;
        for outcome in outcomes.iter().filter(|outcome| outcome.key.changes_runtime()) {
            seen = self.with(seen.take(), outcome);
        }
        if let Some(pod) = &seen {
            self.told.retain(|event| !shows(pod, event));
        }
        let seen = seen.filter(|_| self.told.iter().all(|event| is_awaited(running, event)));
        if seen.is_none() {
            self.told.clear();
        }
        seen
    }

    fn with(&mut self, seen: Option<RuntimePod>, outcome: &Outcome) -> Option<RuntimePod> {
        let asked = match &outcome.key {
            ActionKey::CreateContainer(name) => self.asked.remove(name),
            _ => None,
        };
        let (mut pod, done) = seen.zip(outcome.result.as_ref().ok())?;
        match (&outcome.key, done) {
            (ActionKey::CreateContainer(_), Done::Container(id)) => {
                let record = ContainerRecord { id: id.clone(), created_at: outcome.at.wall, ..asked? };
                // A look that was made while the answer was on its way has found it already.
                if !pod.containers.iter().any(|known| known.id == *id) {
                    pod.containers.insert(0, record);
                }
            }
            (ActionKey::StopSandbox(id), _) => {
                // What ran in it has been ended with it, and how is for the runtime to tell.
                let mut within = pod.containers.iter().filter(|record| record.sandbox == *id);
                if within.any(|record| record.state != RuntimeState::Exited) {
                    return None;
                }
                pod.sandboxes.iter_mut().filter(|record| record.id == *id).for_each(|it| it.ready = false);
            }
            (ActionKey::RemoveContainer(id), _) => pod.containers.retain(|record| record.id != *id),
            (ActionKey::RemoveSandbox(id), _) => pod.sandboxes.retain(|record| record.id != *id),
            _ => return None,
        }
        Some(pod)
    }
}

/// Whether an account shows already what an event tells.
fn shows(pod: &RuntimePod, event: &ObjectEvent) -> bool {
    let id = event.id.as_str();
    let container = pod.containers.iter().find(|record| record.id.as_str() == id).map(|record| record.state);
    let sandbox = pod.sandboxes.iter().find(|record| record.id.as_str() == id).map(|record| record.ready);
    match event.became {
        Became::Made => container.is_some() || sandbox.is_some(),
        Became::Started => {
            matches!(container, Some(RuntimeState::Running | RuntimeState::Exited)) || sandbox.is_some()
        }
        Became::Stopped => container == Some(RuntimeState::Exited) || sandbox == Some(false),
        Became::Gone => container.is_none() && sandbox.is_none(),
    }
}

/// Whether a call is under way whose answer tells the same, or wants a look anyway. That to a start may be long in coming:
/// with it comes the end of the postStart hook.
fn is_awaited(running: &Running, event: &ObjectEvent) -> bool {
    let id = event.id.as_str();
    running.keys().any(|key| match (event.became, key) {
        (Became::Made, ActionKey::CreateContainer(_) | ActionKey::CreateSandbox) => true,
        (Became::Started, ActionKey::CreateSandbox) => true,
        (Became::Stopped | Became::Gone, ActionKey::StopSandbox(other) | ActionKey::RemoveSandbox(other)) => {
            other.as_str() == id
        }
        (Became::Gone, ActionKey::RemoveContainer(other)) => other.as_str() == id,
        _ => false,
    })
}

#[cfg(test)]
mod tests;
