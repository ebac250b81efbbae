//! What the records tell when pods and containers are counted.

use lifecycle::{
    PodSource, PodUid,
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
}
