//! Exited containers do not change, so they are read once.
//!
//! Almost: runtimes add the reason `OOMKilled` from an event of its own, which can come just after the exit. A record
//! is therefore believed only when it was read at least [`SETTLE`] after the exit was first seen. And they forget: while
//! containerd removes a container, it is listed still and its user is not told any more. What was told once stays.
//!
//! Invariants: at most [`LIMIT`] records; a record goes when a look at its pod, or a removal, says its container is gone.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use lifecycle::{ContainerId, PodUid, account::SETTLE, observation::ContainerRecord};
use tokio::time::Instant;

/// Records kept; each is about 1 KiB, with a termination message at most 6 KiB.
const LIMIT: usize = 1024;

/// The memory.
#[derive(Debug, Default)]
pub(crate) struct Exited(Mutex<HashMap<ContainerId, Entry>>);

#[derive(Debug)]
struct Entry {
    pod: PodUid,
    first_seen: Instant,
    user: User,
    settled: Option<ContainerRecord>,
}

/// As in [`ContainerRecord::user`].
type User = Option<(i64, i64, Vec<i64>)>;

impl Exited {
    fn lock(&self) -> MutexGuard<'_, HashMap<ContainerId, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The settled record, if there is one.
    pub(crate) fn get(&self, id: &ContainerId) -> Option<ContainerRecord> {
        self.lock().get(id)?.settled.clone()
    }

    /// Remembers a record that was just read, and puts into it what the runtime has forgotten since.
    pub(crate) fn put(&self, pod: &PodUid, record: &mut ContainerRecord) {
        let now = Instant::now();
        let mut all = self.lock();
        if let Some(entry) = all.get_mut(&record.id) {
            if record.user.is_none() {
                record.user.clone_from(&entry.user);
            }
            if now.duration_since(entry.first_seen) >= SETTLE {
                entry.settled = Some(record.clone());
            }
        } else if all.len() < LIMIT {
            let user = record.user.clone();
            let entry = Entry { pod: pod.clone(), first_seen: now, user, settled: None };
            all.insert(record.id.clone(), entry);
        }
    }

    /// Forgets what a pod no longer has.
    pub(crate) fn keep_only<'a>(&self, pod: &PodUid, present: impl Iterator<Item = &'a str>) {
        let present: HashSet<&str> = present.collect();
        self.lock().retain(|id, entry| entry.pod != *pod || present.contains(id.as_str()));
    }

    /// Forgets what the node no longer has.
    pub(crate) fn keep_only_listed<'a>(&self, present: impl Iterator<Item = &'a ContainerId>) {
        let present: HashSet<&ContainerId> = present.collect();
        self.lock().retain(|id, _| present.contains(id));
    }

    /// Forgets one.
    pub(crate) fn forget(&self, id: &ContainerId) {
        self.lock().remove(id);
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use lifecycle::observation::RuntimeState;

    use super::*;

    fn record(id: &str, reason: &str) -> ContainerRecord {
        ContainerRecord {
            state: RuntimeState::Exited,
            exit_code: 137,
            reason: reason.into(),
            ..ContainerRecord::created(id, "c", 0, "s", Timestamp::UNIX_EPOCH)
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_late_reason_is_not_missed() {
        let memory = Exited::default();
        let (pod, id) = (PodUid::from("u"), ContainerId::from("c"));
        memory.put(&pod, &mut record("c", "Error"));
        assert_eq!(memory.get(&id), None, "read right after the exit");
        tokio::time::advance(SETTLE).await;
        memory.put(&pod, &mut record("c", "OOMKilled"));
        assert_eq!(memory.get(&id).unwrap().reason, "OOMKilled");
    }

    #[tokio::test(start_paused = true)]
    async fn a_user_that_is_told_no_more_is_not_forgotten() {
        let memory = Exited::default();
        let pod = PodUid::from("u");
        let mut known = record("c", "Error");
        known.user = Some((1, 2, vec![3]));
        memory.put(&pod, &mut known);
        let mut later = record("c", "Error");
        memory.put(&pod, &mut later);
        assert_eq!(later, known);
    }

    #[tokio::test(start_paused = true)]
    async fn forgets_what_is_gone_and_stays_bounded() {
        let memory = Exited::default();
        let pod = PodUid::from("u");
        for n in 0..LIMIT + 10 {
            memory.put(&pod, &mut record(&format!("c{n}"), ""));
        }
        assert_eq!(memory.lock().len(), LIMIT);
        memory.keep_only(&PodUid::from("other"), std::iter::empty());
        assert_eq!(memory.lock().len(), LIMIT, "another pod's look says nothing about this one");
        memory.keep_only(&pod, ["c3", "c4"].into_iter());
        assert_eq!(memory.lock().len(), 2);
        memory.forget(&"c3".into());
        memory.keep_only_listed([&ContainerId::from("c9")].into_iter());
        assert!(memory.lock().is_empty());
    }
}
