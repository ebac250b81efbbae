//! What the records tell when pods and containers are counted.

use lifecycle::{
    ContainerName, PodKey, PodSource, PodUid,
    observation::{RuntimePod, RuntimeState},
    state::StageKind,
};

use super::{Newest, Records};

/// What the runtime was last seen to hold of one pod.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Holdings {
    /// A sandbox runs.
    pub sandbox: bool,
    /// Containers that were made and not started.
    pub created: u16,
    /// Containers that run.
    pub running: u16,
    /// Containers that ended.
    pub exited: u16,
    /// Containers that the runtime lost track of.
    pub unknown: u16,
}

impl Holdings {
    pub(super) fn of(runtime: &RuntimePod) -> Self {
        let mut holdings =
            Self { sandbox: runtime.sandboxes.iter().any(|sandbox| sandbox.ready), ..Self::default() };
        for record in &runtime.containers {
            let count = match record.state {
                RuntimeState::Created => &mut holdings.created,
                RuntimeState::Running => &mut holdings.running,
                RuntimeState::Exited => &mut holdings.exited,
                RuntimeState::Unknown => &mut holdings.unknown,
            };
            *count = count.saturating_add(1);
        }
        holdings
    }
}

/// Brings the names of running containers up to date; most often there is nothing to change.
pub(super) fn note_running(known: &mut Vec<ContainerName>, runtime: &RuntimePod) {
    let running = || {
        let records = runtime.containers.iter().filter(|record| record.state == RuntimeState::Running);
        records.map(|record| &record.name)
    };
    if !known.iter().eq(running()) {
        *known = running().cloned().collect();
    }
}

/// One pod that has a worker, and was looked at.
#[derive(Clone, Debug)]
pub struct Census {
    /// Which.
    pub uid: PodUid,
    /// Where it came from.
    pub source: PodSource,
    /// How far it is.
    pub stage: StageKind,
    /// It has ended for good, or may not run here.
    pub is_over: bool,
    /// What the runtime holds of it.
    pub holdings: Holdings,
}

impl Records {
    /// All pods that have a worker, as they were looked at last.
    #[must_use]
    pub fn census(&self) -> Vec<Census> {
        let live: Vec<_> =
            self.live.lock().iter().map(|(uid, record)| (uid.clone(), record.clone())).collect();
        let counted = live.into_iter().filter_map(|(uid, record)| {
            let inner = record.inner.lock();
            let Newest::Decided(decided) = &inner.newest else { return None };
            Some(Census {
                uid,
                source: inner.source,
                stage: decided.state.stage_kind(),
                is_over: matches!(decided.state.phase(), "Succeeded" | "Failed"),
                holdings: inner.holdings,
            })
        });
        counted.collect()
    }

    /// Containers that ran when their pod was looked at last, by pod.
    #[must_use]
    pub fn running(&self) -> Vec<(PodKey, Vec<ContainerName>)> {
        let live: Vec<_> = self.live.lock().values().cloned().collect();
        let running =
            live.into_iter().map(|record| (record.key.clone(), record.inner.lock().running.clone()));
        running.filter(|(_, containers)| !containers.is_empty()).collect()
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use lifecycle::observation::ContainerRecord;

    use super::*;

    fn record(name: &str, state: RuntimeState) -> ContainerRecord {
        ContainerRecord { state, ..ContainerRecord::created("id", name, 0, "box", Timestamp::UNIX_EPOCH) }
    }

    #[test]
    fn what_runs_is_known_by_name() {
        let mut known = vec!["gone".into()];
        let containers = vec![
            record("init", RuntimeState::Exited),
            record("app", RuntimeState::Running),
            record("side", RuntimeState::Running),
            record("next", RuntimeState::Created),
        ];
        let mut pod = RuntimePod { containers, ..RuntimePod::default() };
        note_running(&mut known, &pod);
        assert_eq!(known, ["app".into(), "side".into()]);
        pod.containers.clear();
        note_running(&mut known, &pod);
        assert_eq!(known, []);
    }
}
