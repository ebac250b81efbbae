//! Containers that this worker makes: the answer to a creation tells all that a look at the runtime would, and the word of
//! it that the runtime sends around the same time tells nothing more.

use std::collections::{BTreeSet, HashMap};

use k8s_openapi::api::core::v1::Pod;
use lifecycle::{
    Action, ActionKey, ContainerId, ContainerName, Done, Outcome,
    observation::{ContainerRecord, RuntimePod},
    spec::{containers::image_of, hash::container_hash},
};

#[derive(Debug, Default)]
pub(super) struct Made {
    /// What is being made, as it will be found.
    asked: HashMap<ContainerName, ContainerRecord>,
    /// Told by the runtime, and in no account yet.
    told: BTreeSet<ContainerId>,
}

impl Made {
    /// An action is begun.
    pub(super) fn asked(&mut self, action: &Action, pod: &Pod) {
        let Action::CreateContainer { container, attempt, sandbox, .. } = action else { return };
        let image = pod.spec.as_ref().and_then(|spec| image_of(spec, container.as_str())).unwrap_or_default();
        let (nobody, then) = (ContainerId::from(""), jiff::Timestamp::UNIX_EPOCH);
        let record = ContainerRecord {
            hash: container_hash(container.as_str(), image),
            image: image.to_owned(),
            ..ContainerRecord::created(nobody, container.clone(), *attempt, sandbox.clone(), then)
        };
        self.asked.insert(container.clone(), record);
    }

    /// Brings the last account of the pod up to date with what came since. `None`: the runtime has to be asked.
    ///
    /// `told`: containers and sandboxes of which the runtime said that they were made. While something is being made
    /// (`making`), its answer may be about them.
    pub(super) fn update(
        &mut self,
        seen: Option<RuntimePod>,
        outcomes: &[Outcome],
        told: BTreeSet<ContainerId>,
        making: bool,
    ) -> Option<RuntimePod> {
        self.told.extend(told);
        let mut seen = seen;
        for outcome in outcomes.iter().filter(|outcome| outcome.key.changes_runtime()) {
            let record = self.record_of(outcome);
            seen = seen.take().zip(record).map(|(mut pod, record)| {
                pod.containers.insert(0, record);
                pod
            });
        }
        if let Some(pod) = &seen {
            let is_sandbox =
                |id: &ContainerId| pod.sandboxes.iter().any(|sandbox| sandbox.id.as_str() == id.as_str());
            self.told.retain(|id| !is_sandbox(id) && !pod.containers.iter().any(|record| record.id == *id));
        }
        let seen = seen.filter(|_| making || self.told.is_empty());
        if seen.is_none() {
            self.told.clear();
        }
        seen
    }

    fn record_of(&mut self, outcome: &Outcome) -> Option<ContainerRecord> {
        let ActionKey::CreateContainer(name) = &outcome.key else { return None };
        let asked = self.asked.remove(name)?;
        match &outcome.result {
            Ok(Done::Container(id)) => {
                Some(ContainerRecord { id: id.clone(), created_at: outcome.at.wall, ..asked })
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use lifecycle::{Failure, FailureStep, Tick};

    use super::*;

    fn pod() -> Pod {
        let pod = serde_json::json!({"spec": {"containers": [{"name": "c", "image": "image:1"}]}});
        serde_json::from_value(pod).unwrap()
    }

    fn creation() -> Action {
        Action::CreateContainer {
            container: "c".into(),
            attempt: 3,
            sandbox: "s".into(),
            image_ref: "sha256:1".to_owned(),
        }
    }

    fn outcome(key: ActionKey, result: Result<Done, Failure>) -> Outcome {
        let wall = jiff::Timestamp::from_second(1_800_000_000).unwrap();
        Outcome { key, at: Tick { mono: std::time::Duration::from_secs(1), wall }, result }
    }

    fn made(id: &str) -> Outcome {
        outcome(creation().key(), Ok(Done::Container(id.into())))
    }

    fn told(id: &str) -> BTreeSet<ContainerId> {
        [id.into()].into()
    }

    #[test]
    fn a_creation_is_taken_at_its_word() {
        let mut known = Made::default();
        known.asked(&creation(), &pod());
        let seen = known.update(Some(RuntimePod::default()), &[made("k")], told("k"), false).unwrap();
        let record = &seen.containers[0];
        assert_eq!((record.id.as_str(), record.attempt, record.sandbox.as_str()), ("k", 3, "s"));
        assert_eq!(record.hash, container_hash("c", "image:1"));
        assert_eq!(record.image, "image:1");
        assert_eq!(record.created_at, made("k").at.wall);
        // Word of it may come later, or of another one, which nobody asked for.
        let seen = known.update(Some(seen), &[], told("k"), false);
        assert!(seen.is_some());
        assert_eq!(known.update(seen, &[], told("other"), false), None);
    }

    #[test]
    fn word_of_what_is_being_made_waits_for_the_answer() {
        let mut known = Made::default();
        known.asked(&creation(), &pod());
        let seen = known.update(Some(RuntimePod::default()), &[], told("k"), true);
        assert!(seen.is_some());
        assert!(known.update(seen.clone(), &[made("k")], BTreeSet::new(), false).is_some());
        known.asked(&creation(), &pod());
        known.update(seen.clone(), &[], told("late"), true);
        assert_eq!(known.update(seen, &[made("k")], BTreeSet::new(), false), None, "two were made");
    }

    #[test]
    fn everything_else_wants_a_look() {
        let mut known = Made::default();
        let nothing = || Some(RuntimePod::default());
        assert!(known.update(nothing(), &[], BTreeSet::new(), false).is_some());
        assert_eq!(known.update(None, &[], BTreeSet::new(), false), None);
        assert_eq!(known.update(nothing(), &[made("k")], BTreeSet::new(), false), None, "nobody asked");
        known.asked(&creation(), &pod());
        let failure = Failure::new(FailureStep::ContainerCreate, "no");
        let failed = outcome(creation().key(), Err(failure));
        assert_eq!(known.update(nothing(), &[failed], BTreeSet::new(), false), None);
        known.asked(&creation(), &pod());
        let started = outcome(ActionKey::StartContainer("k".into()), Ok(Done::Plain));
        assert_eq!(known.update(nothing(), &[made("k"), started], BTreeSet::new(), false), None);
        let mounted = outcome(ActionKey::MountVolumes, Ok(Done::Plain));
        assert!(known.update(nothing(), &[mounted], BTreeSet::new(), false).is_some());
    }
}
