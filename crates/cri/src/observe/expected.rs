//! What a look at a pod will find, as far as can be known before: what the last look found alive, and what was made since.
//!
//! Its statuses are asked for beside the lists instead of after them, which saves a round trip in each step of a pod's
//! start. It is a guess and no more: what is asked for in vain is passed over, what was not expected is read after the
//! lists, and only what the lists hold is believed.
//!
//! Invariant: bounded by what the node holds, as soon as that is listed.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use lifecycle::{
    ContainerId, PodUid, SandboxId,
    observation::{RuntimePod, RuntimeState},
};

/// Ids of one pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ids {
    pub(crate) sandboxes: Vec<SandboxId>,
    /// Those that have not exited: an exited one may be known already.
    pub(crate) containers: Vec<ContainerId>,
}

/// Ids of all pods.
#[derive(Debug, Default)]
pub(crate) struct Expected(Mutex<HashMap<PodUid, Ids>>);

impl Expected {
    fn lock(&self) -> MutexGuard<'_, HashMap<PodUid, Ids>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a look at a pod will find.
    pub(crate) fn of(&self, pod: &PodUid) -> Ids {
        self.lock().get(pod).cloned().unwrap_or_default()
    }

    /// A sandbox was made.
    pub(crate) fn sandbox(&self, pod: PodUid, id: SandboxId) {
        self.lock().entry(pod).or_default().sandboxes.push(id);
    }

    /// A container was made.
    pub(crate) fn container(&self, pod: PodUid, id: ContainerId) {
        self.lock().entry(pod).or_default().containers.push(id);
    }

    /// This is what a look found. What was made while it looked is expected of the next one too.
    pub(crate) fn found(&self, pod: &PodUid, before: &Ids, found: &RuntimePod) {
        let mut all = self.lock();
        let now = all.remove(pod).unwrap_or_default();
        let living = found.containers.iter().filter(|container| container.state != RuntimeState::Exited);
        let mut ids = Ids {
            sandboxes: found.sandboxes.iter().map(|sandbox| sandbox.id.clone()).collect(),
            containers: living.map(|container| container.id.clone()).collect(),
        };
        for id in now.sandboxes {
            if !before.sandboxes.contains(&id) && !ids.sandboxes.contains(&id) {
                ids.sandboxes.push(id);
            }
        }
        for id in now.containers {
            if !before.containers.contains(&id) && !ids.containers.contains(&id) {
                ids.containers.push(id);
            }
        }
        if ids != Ids::default() {
            all.insert(pod.clone(), ids);
        }
    }

    /// Forgets pods of which the node holds nothing. One that is just being made is forgotten too, and read after the
    /// lists once.
    pub(crate) fn keep_only<'a>(&self, present: impl Iterator<Item = &'a PodUid>) {
        let present: HashSet<&PodUid> = present.collect();
        self.lock().retain(|pod, _| present.contains(pod));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_during_a_look_is_expected_of_the_next() {
        let expected = Expected::default();
        let pod = PodUid::from("u");
        expected.sandbox(pod.clone(), "s0".into());
        expected.container(pod.clone(), "c0".into());
        let before = expected.of(&pod);
        expected.container(pod.clone(), "c1".into());
        expected.found(&pod, &before, &RuntimePod::default());
        let wanted = Ids { sandboxes: vec![], containers: vec!["c1".into()] };
        assert_eq!(expected.of(&pod), wanted, "what the look did not find is gone");
        expected.found(&pod, &wanted, &RuntimePod::default());
        assert!(expected.lock().is_empty());
    }

    #[test]
    fn what_the_node_no_longer_holds_is_forgotten() {
        let expected = Expected::default();
        let (here, gone) = (PodUid::from("here"), PodUid::from("gone"));
        expected.sandbox(here.clone(), "s".into());
        expected.sandbox(gone.clone(), "t".into());
        expected.keep_only([&here].into_iter());
        assert_eq!(expected.of(&gone), Ids::default());
        assert_eq!(expected.of(&here).sandboxes, ["s".into()]);
    }
}
