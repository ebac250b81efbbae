//! A worker's account of what the runtime holds of its pod, kept up to date without asking where an answer or an event tells
//! all that a look would (ADR 7).
//!
//! ```text
//!   CreateContainer answered ───► it is there, and does not run          an event of something:
//!   StopPodSandbox answered ────► it is not ready                          as it is in the account ──► no news
//!   Remove… answered ───────────► it is not there                          a call on it is under way ─► its answer is awaited
//!   any other answer ───────────► look                                     else ──────────────────────► look
//! ```
//!
//! Whatever goes wrong with that (an event that is lost, an answer that is not true), a list of the runtime shows: its
//! [`Digest`] differs from the account's.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;

use crate::{
    action::{Action, ActionKey, Done, Outcome},
    delay::fnv,
    ids::{ContainerId, ContainerName, SandboxId},
    observation::{ContainerRecord, RuntimePod, RuntimeState},
    spec::{containers::image_of, hash::container_hash},
};

/// What became of a container or sandbox, as the runtime tells it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObjectEvent {
    /// A container's, or a sandbox's, which is one to the runtime.
    pub id: ContainerId,
    /// What became of it.
    pub became: Became,
}

/// CRI `ContainerEventType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Became {
    /// It was made, and does not run yet.
    Made,
    /// It runs.
    Started,
    /// It has ended.
    Stopped,
    /// It was removed.
    Gone,
}

/// What a list shows of a pod (ids and states, in any order) as one number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Digest(u64);

impl Digest {
    /// Of sandboxes with their readiness and containers with their states; the default is that of nothing.
    pub fn of<'a>(
        sandboxes: impl IntoIterator<Item = (&'a SandboxId, bool)>,
        containers: impl IntoIterator<Item = (&'a ContainerId, RuntimeState)>,
    ) -> Self {
        // The state comes first: what the last byte changes in one sum, that of another may take back.
        let one = |id: &str, state: u8| fnv([state].into_iter().chain(id.bytes()));
        let sandboxes = sandboxes.into_iter().map(|(id, ready)| one(id.as_str(), u8::from(ready)));
        let containers = containers.into_iter().map(|(id, state)| one(id.as_str(), 2 + state as u8));
        Self(sandboxes.chain(containers).fold(0, u64::wrapping_add))
    }
}

impl From<&RuntimePod> for Digest {
    fn from(pod: &RuntimePod) -> Self {
        let sandboxes = pod.sandboxes.iter().map(|record| (&record.id, record.ready));
        Self::of(sandboxes, pod.containers.iter().map(|record| (&record.id, record.state)))
    }
}

/// How long after a container's end the runtime may tell another reason for it.
pub const SETTLE: Duration = Duration::from_secs(2);

/// Whether an end may turn out to have been another: that a container was killed for want of memory reaches the runtime by
/// another way than its exit code, and no event tells of it. An account that was read just after such an end is to be read
/// again when [`SETTLE`] has passed.
#[must_use]
pub fn is_unsettled(pod: &RuntimePod, now: Timestamp) -> bool {
    /// Of a process that SIGKILL ended.
    const KILLED: i32 = 137;
    let recent = |at: Timestamp| at.duration_since(now).unsigned_abs() <= SETTLE;
    pod.containers.iter().any(|record| {
        record.state == RuntimeState::Exited
            && record.exit_code == KILLED
            && record.reason != "OOMKilled"
            && record.finished_at.is_some_and(recent)
    })
}

/// What has to be remembered between two looks, beside the last account itself.
#[derive(Debug, Default)]
pub struct Account {
    /// What is being made, as it will be found.
    asked: BTreeMap<ContainerName, ContainerRecord>,
    /// Events that the account does not show yet.
    told: BTreeSet<ObjectEvent>,
}

impl Account {
    /// An action is begun.
    pub fn asked(&mut self, action: &Action, pod: &Pod) {
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

    /// Brings the last account of the pod up to date with what came since: answers, events, and beside them the actions
    /// that are under way yet. `None`: the runtime has to be asked.
    #[must_use]
    pub fn update<'k>(
        &mut self,
        seen: Option<RuntimePod>,
        outcomes: &[Outcome],
        told: BTreeSet<ObjectEvent>,
        under_way: impl Iterator<Item = &'k ActionKey> + Clone,
    ) -> Option<RuntimePod> {
        self.told.extend(told);
        let mut seen = seen;
        for outcome in outcomes.iter().filter(|outcome| outcome.key.changes_runtime()) {
            seen = self.with(seen.take(), outcome);
        }
        if let Some(pod) = &seen {
            self.told.retain(|event| !shows(pod, event));
        }
        let seen = seen.filter(|_| self.told.iter().all(|event| is_awaited(under_way.clone(), event)));
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
fn is_awaited<'k>(mut under_way: impl Iterator<Item = &'k ActionKey>, event: &ObjectEvent) -> bool {
    let id = event.id.as_str();
    under_way.any(|key| match (event.became, key) {
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
