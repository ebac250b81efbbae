//! The table of probes: how each of them stands, and when it is due.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, HashMap},
    sync::Arc,
};

use k8s_openapi::api::core::v1::{Pod, Probe};
use lifecycle::{
    ContainerId, ContainerName, PodUid, Tick,
    observation::{FatalProbe, ProbeFailure, ProbeResult, ProbeResults},
};
use tokio::time::Instant;

use super::{Kind, counts::Counts, early::Early, tally::Tally};
use crate::worker::bell::Bell;

/// Which probe.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Key {
    pub(super) uid: PodUid,
    pub(super) container: ContainerName,
    pub(super) kind: Kind,
}

impl Key {
    /// 0 to 1, the same for the same probe.
    pub(super) fn fraction(&self) -> f64 {
        let text = format!("{}/{}/{}", self.uid, self.container, self.kind.word());
        let sum = text.bytes().fold(0u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
        f64::from(sum % 1000) / 1000.0
    }
}

/// Every probe of the node.
#[derive(Default)]
pub(super) struct Table {
    pub(super) entries: HashMap<Key, Entry>,
    pub(super) due: BinaryHeap<Reverse<(Instant, Key)>>,
    /// Of probes that have run, until their pod is gone: containers come and go meanwhile.
    pub(super) counts: HashMap<Key, Counts>,
}

/// One probe of one container instance.
pub(super) struct Entry {
    pub(super) id: ContainerId,
    pub(super) pod: Arc<Pod>,
    pub(super) pod_ip: Option<String>,
    pub(super) bell: Arc<Bell>,
    pub(super) probe: Probe,
    pub(super) field_path: String,
    pub(super) tally: Tally,
    pub(super) due: Instant,
    /// The container's `initialDelaySeconds` are over then.
    pub(super) not_before: Instant,
    pub(super) early: Early,
    pub(super) running: bool,
    /// For explanations: the newest answer that was no success.
    pub(super) last_failure: Option<Box<(Tick, String)>>,
}

/// Liveness and readiness wait until the startup probe of their container has succeeded.
pub(super) fn may_run(table: &Table, key: &Key) -> bool {
    let startup = Key { kind: Kind::Startup, ..key.clone() };
    table.entries.get(&startup).is_none_or(|entry| entry.tally.result() == Some(true))
}

/// What a pod's probes add up to.
pub(super) fn results(table: &Table, uid: &PodUid) -> ProbeResults {
    let mut containers: BTreeMap<ContainerName, ProbeResult> = BTreeMap::new();
    let mut failures = Vec::new();
    for (key, entry) in table.entries.iter().filter(|(key, _)| key.uid == *uid) {
        let result = containers.entry(key.container.clone()).or_insert_with(|| ProbeResult {
            id: entry.id.clone(),
            started: None,
            ready: None,
        });
        let failed = entry.tally.result() == Some(false);
        match key.kind {
            Kind::Startup => result.started = entry.tally.result(),
            Kind::Readiness => result.ready = entry.tally.result(),
            Kind::Liveness => {}
        }
        let kind = match key.kind {
            Kind::Startup => FatalProbe::Startup,
            Kind::Liveness => FatalProbe::Liveness,
            Kind::Readiness => continue,
        };
        if failed {
            failures.push(ProbeFailure { container: key.container.clone(), id: entry.id.clone(), kind });
        }
    }
    ProbeResults { containers, failures }
}
