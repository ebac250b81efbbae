//! What the node, its pods and their containers use: read when somebody asks, once for all who ask at that time.
//!
//! ```text
//!   /metrics/resource ─┐                 ┌─ Meters::read ── names ── rates ─▶ snapshot, kept for FRESH
//!   /stats/summary ────┼─▶ share (one) ──┤
//!   /metrics/cadvisor ─┘                 └─ disk: runtime's layers, measures (threads of their own), kept for longer
//!   /metrics ─────────────────── logs of the containers that the records say run ──┘
//! ```
//!
//! Invariants:
//! * when nobody asks, nothing is read: there is no timer here;
//! * a scrape never waits for a disk for longer than [`measures::PATIENCE`], nor for the runtime for longer than
//!   [`names::PATIENCE`]: what is missing then is left out, or is what was known before;
//! * what hangs keeps one thread, and there is a bound on those.
//!
//! Upstream reads every group each 10 s whether or not anybody asks, and serves what it read last. A rate of CPU needs two
//! readings, so that `usageNanoCores` is here what was used between the last two that are at least [`rates::LEAST`] apart;
//! when the last one is older than [`rates::OLDEST`], the summary makes two of its own, a second apart.

mod assemble;
mod disk;
mod measures;
mod names;
mod rates;
mod share;

use std::{
    path::PathBuf,
    sync::{Arc, OnceLock},
    time::Duration,
};

use async_trait::async_trait;
use metrics::Metrics;
use parking_lot::Mutex;
use seams::{
    Clock, Runtime,
    host::MachineFacts,
    stats::{
        Depth, Detailed, Disk, Figure, LogUse, MachineUse, Meters, NodeStats, RuntimeMeters, Snapshot,
        StatsError, Summary, Target, VolumePlaces,
    },
};

use crate::{AgentConfig, Edges, pods::wanted::Wanted, records::Records};

use self::{disk::DiskSide, names::Names, rates::Rates, share::Share};

/// How long a snapshot is shared. Long enough that scrapers which come together cause one reading, short enough that none
/// sees the same figures twice.
const FRESH: Duration = Duration::from_secs(2);

/// What only this part of the agent needs from outside.
#[derive(Clone)]
pub struct StatsParts {
    /// The kernel.
    pub meters: Arc<dyn Meters>,
    /// The runtime.
    pub runtime: Arc<dyn RuntimeMeters>,
    /// Where volumes are.
    pub volumes: Arc<dyn VolumePlaces>,
    /// `volumeStatsAggPeriod`: the age at which the disk use of a volume is measured again; `None` is never at all.
    pub volume_period: Option<Duration>,
}

/// What it needs of the rest of the agent.
pub(crate) struct Around {
    pub(crate) node_name: String,
    pub(crate) root_dir: PathBuf,
    pub(crate) pod_logs_dir: PathBuf,
    pub(crate) facts: MachineFacts,
    pub(crate) runtime: Arc<dyn Runtime>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) wanted: Wanted,
    pub(crate) records: Arc<Records>,
    pub(crate) metrics: Arc<Metrics>,
}

impl Around {
    pub(crate) fn of(edges: &Edges, config: &AgentConfig, wanted: Wanted, records: Arc<Records>) -> Self {
        Self {
            node_name: config.node_name.clone(),
            root_dir: config.root_dir.clone(),
            pod_logs_dir: config.pod_logs_dir.clone(),
            facts: edges.host.facts().clone(),
            runtime: Arc::clone(&edges.runtime),
            clock: Arc::clone(&edges.clock),
            wanted,
            records,
            metrics: Arc::clone(&edges.metrics),
        }
    }
}

/// The figures.
pub struct Stats {
    parts: StatsParts,
    around: Arc<Around>,
    share: Share,
    names: tokio::sync::Mutex<Names>,
    rates: Mutex<Rates>,
    /// Held while two readings are made for the sake of rates.
    pair: tokio::sync::Mutex<()>,
    disk: DiskSide,
    machine: OnceLock<Arc<MachineUse>>,
}

impl std::fmt::Debug for Stats {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stats").field("node", &self.around.node_name).finish_non_exhaustive()
    }
}

impl Stats {
    pub(crate) fn new(parts: StatsParts, around: Around) -> Self {
        let around = Arc::new(around);
        Self {
            disk: DiskSide::new(&parts, Arc::clone(&around)),
            parts,
            around,
            share: Share::default(),
            names: tokio::sync::Mutex::default(),
            rates: Mutex::default(),
            pair: tokio::sync::Mutex::default(),
            machine: OnceLock::new(),
        }
    }

    fn now(&self) -> Duration {
        self.around.clock.now().mono
    }

    /// A snapshot that is at least this deep, and was read at or after `since` on the monotonic clock.
    async fn snapshot(&self, depth: Depth, since: Duration) -> Result<Arc<Snapshot>, StatsError> {
        self.share.get(depth, since, || self.now(), || self.take(depth)).await
    }

    async fn take(&self, depth: Depth) -> Result<Snapshot, StatsError> {
        let meters = Arc::clone(&self.parts.meters);
        let read = tokio::task::spawn_blocking(move || meters.read(depth)).await;
        let tree = read.map_err(|_| StatsError::BrokenOff)?.map_err(StatsError::Host)?;
        let mut names = self.names.lock().await;
        let complete = names.learn(&*self.parts.runtime, &tree, depth, self.now()).await;
        let mut snapshot = assemble::Assembly {
            names: &names,
            wanted: &self.around.wanted,
            facts: &self.around.facts,
            rates: &mut self.rates.lock(),
        }
        .snapshot(tree, depth);
        snapshot.node.name.clone_from(&self.around.node_name);
        snapshot.incomplete = !complete;
        Ok(snapshot)
    }

    /// Makes the first of two readings when the last one is too old to make a rate with, and waits until a second one can
    /// be made. Returns since when a reading has rates.
    async fn pair(&self) -> Result<Duration, StatsError> {
        let fresh = self.now().saturating_sub(FRESH);
        let is_stale = || self.rates.lock().is_stale(self.around.clock.now().wall);
        if !is_stale() {
            return Ok(fresh);
        }
        let _turn = self.pair.lock().await;
        // Somebody else's readings may have come meanwhile.
        if !is_stale() {
            return Ok(fresh);
        }
        self.take(Depth::Summary).await?;
        tokio::time::sleep(rates::LEAST).await;
        Ok(self.now())
    }

    fn machine(&self) -> Arc<MachineUse> {
        let read = || {
            let facts = self.around.facts.clone();
            Arc::new(MachineUse { facts, processors: self.parts.meters.processors() })
        };
        Arc::clone(self.machine.get_or_init(read))
    }
}

#[async_trait]
impl NodeStats for Stats {
    async fn resource(&self) -> Result<Arc<Snapshot>, StatsError> {
        self.snapshot(Depth::Resource, self.now().saturating_sub(FRESH)).await
    }

    async fn summary(&self, disk: Disk) -> Result<Summary, StatsError> {
        let since = self.pair().await?;
        let snapshot = self.snapshot(Depth::Summary, since).await?;
        let disk = match disk {
            Disk::Wanted => Some(self.disk.of(&snapshot).await),
            Disk::Skipped => None,
        };
        Ok(Summary { snapshot, disk })
    }

    async fn detailed(&self) -> Result<Detailed, StatsError> {
        let snapshot = self.snapshot(Depth::Everything, self.now().saturating_sub(FRESH)).await?;
        let meters = Arc::clone(&self.parts.meters);
        let listed = tokio::task::spawn_blocking(move || meters.filesystems()).await;
        let listed = listed.map_err(|_| StatsError::BrokenOff)?;
        let targets = listed.iter().map(|one| Target::Space(Arc::clone(&one.mountpoint)));
        let mut figures = self.disk.spaces(targets.collect()).await;
        let filesystems = listed.into_iter().map(|one| {
            let space = match figures.remove(&Target::Space(Arc::clone(&one.mountpoint))) {
                Some((Figure::Space(space), _)) => Some(space),
                _ => None,
            };
            (one, space)
        });
        Ok(Detailed { snapshot, machine: self.machine(), filesystems: filesystems.collect() })
    }

    async fn logs(&self) -> Vec<LogUse> {
        self.disk.logs(self.around.records.running()).await
    }
}

#[cfg(test)]
mod tests;
