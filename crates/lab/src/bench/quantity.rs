//! What is measured: names, units, and the budgets that `BUDGETS.md` explains.

/// Unit of a quantity's samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// 2^20 bytes.
    Mebibytes,
    /// 10^6 bytes.
    Megabytes,
    /// Milliseconds.
    Milliseconds,
    /// Milliseconds of which parts matter.
    FineMilliseconds,
    /// Seconds of processor time in a minute.
    SecondsPerMinute,
    /// Calls in a minute.
    CallsPerMinute,
    /// A number of things.
    Count,
}

impl Unit {
    /// As it stands in the table and the file.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Mebibytes => "MiB",
            Self::Megabytes => "MB",
            Self::Milliseconds | Self::FineMilliseconds => "ms",
            Self::SecondsPerMinute => "s/min",
            Self::CallsPerMinute => "calls/min",
            Self::Count => "",
        }
    }

    /// Digits behind the point that mean something.
    pub(super) fn digits(self) -> usize {
        match self {
            Self::Mebibytes | Self::Megabytes | Self::CallsPerMinute => 1,
            Self::Milliseconds | Self::Count => 0,
            Self::SecondsPerMinute | Self::FineMilliseconds => 2,
        }
    }
}

/// What the measured kubelet may cost at most.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Budget {
    /// Median divided by the reference's.
    Ratio(f64),
    /// Median, in the quantity's unit.
    P50(f64),
    /// 99th percentile, in the quantity's unit.
    P99(f64),
}

/// Something measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Quantity {
    /// Key in the file: the measure's name, a dot, and which of its quantities.
    pub(super) key: &'static str,
    /// What it is, for the table.
    pub(super) title: &'static str,
    pub(super) unit: Unit,
    pub(super) budgets: &'static [Budget],
}

const fn quantity(
    key: &'static str,
    title: &'static str,
    unit: Unit,
    budgets: &'static [Budget],
) -> Quantity {
    Quantity { key, title, unit, budgets }
}

/// The names of the parts of a start, each the name of the measure and a dot before.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parts {
    pub(super) runtime: Quantity,
    pub(super) added: Quantity,
    pub(super) beyond_waiting: Quantity,
    pub(super) before: Quantity,
    pub(super) between: Quantity,
    pub(super) report: Quantity,
}

/// An answer alone, and what is added to it beside few and many clients that say nothing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Beside {
    pub(super) alone: Quantity,
    pub(super) few: Quantity,
    pub(super) many: Quantity,
}

use Budget::{P50, P99, Ratio};
use Unit::{CallsPerMinute, Count, FineMilliseconds, Mebibytes, Megabytes, Milliseconds, SecondsPerMinute};

pub(super) const SIZE: Quantity = quantity("size.file", "size of the program", Megabytes, &[P50(20.0)]);

pub(super) const IDLE_RSS: Quantity = quantity("idle.rss", "no pods: VmRSS", Mebibytes, &[P50(15.0)]);
pub(super) const IDLE_ANON: Quantity = quantity("idle.anon", "no pods: RssAnon", Mebibytes, &[]);
pub(super) const IDLE_PSS: Quantity = quantity("idle.pss", "no pods: Pss", Mebibytes, &[]);
pub(super) const IDLE_CPU: Quantity =
    quantity("idle.cpu", "no pods: processor time", SecondsPerMinute, &[P50(0.06)]);
pub(super) const IDLE_CALLS: Quantity = quantity("idle.calls", "no pods: CRI calls", CallsPerMinute, &[]);

pub(super) const SILENT_HEALTH: Beside = Beside {
    alone: quantity("silent.health", "/healthz on a new connection", FineMilliseconds, &[]),
    few: quantity("silent.health.few", "  added by 50 + 50 silent clients", FineMilliseconds, &[P99(50.0)]),
    many: quantity("silent.health.many", "  added by 500 + 50", FineMilliseconds, &[P99(50.0)]),
};
pub(super) const SILENT_LOG: Beside = Beside {
    alone: quantity("silent.log", "a log on a new connection", FineMilliseconds, &[]),
    few: quantity("silent.log.few", "  added by 50 + 50 silent clients", FineMilliseconds, &[P99(50.0)]),
    many: quantity("silent.log.many", "  added by 500 + 50", FineMilliseconds, &[P99(50.0)]),
};

pub(super) const START: Quantity =
    quantity("start.running", "a pod: creation to Running", Milliseconds, &[Ratio(0.5)]);
pub(super) const START_PARTS: Parts = Parts {
    runtime: quantity("start.runtime", "  in sandbox, create, start", Milliseconds, &[]),
    added: quantity("start.added", "  added to that", Milliseconds, &[]),
    beyond_waiting: quantity("start.beyond", "    while the runtime was not full", Milliseconds, &[]),
    before: quantity("start.before", "      before the sandbox", Milliseconds, &[]),
    between: quantity("start.between", "      between the calls", Milliseconds, &[]),
    report: quantity("start.report", "      started to Running seen", Milliseconds, &[]),
};

pub(super) const KILL: Quantity =
    quantity("kill.status", "container killed to status", Milliseconds, &[Ratio(0.1)]);
pub(super) const DELETE: Quantity =
    quantity("delete.gone", "deletion to object gone", Milliseconds, &[Ratio(0.25)]);

pub(super) const BATCH: Quantity =
    quantity("batch.pod", "a batch: creation to Running of a pod", Milliseconds, &[Ratio(0.55)]);
pub(super) const BATCH_ALL: Quantity =
    quantity("batch.all", "a batch: until all are Running", Milliseconds, &[Ratio(0.9)]);
pub(super) const BATCH_PARTS: Parts = Parts {
    runtime: quantity("batch.runtime", "  in sandbox, create, start", Milliseconds, &[]),
    added: quantity("batch.added", "  added to that", Milliseconds, &[]),
    beyond_waiting: quantity(
        "batch.beyond",
        "    while the runtime was not full",
        Milliseconds,
        &[P50(20.0), P99(50.0)],
    ),
    before: quantity("batch.before", "      before the sandbox", Milliseconds, &[]),
    between: quantity("batch.between", "      between the calls", Milliseconds, &[]),
    report: quantity("batch.report", "      started to Running seen", Milliseconds, &[]),
};

pub(super) const REST_RSS: Quantity = quantity("rest.rss", "many pods: VmRSS", Mebibytes, &[Ratio(0.3)]);
pub(super) const REST_ANON: Quantity = quantity("rest.anon", "many pods: RssAnon", Mebibytes, &[]);
pub(super) const REST_PSS: Quantity = quantity("rest.pss", "many pods: Pss", Mebibytes, &[]);
pub(super) const REST_CPU: Quantity =
    quantity("rest.cpu", "many pods: processor time", SecondsPerMinute, &[Ratio(0.1)]);
pub(super) const REST_CALLS: Quantity =
    quantity("rest.calls", "many pods: CRI calls", CallsPerMinute, &[Ratio(0.1)]);

pub(super) const SCRAPE_CPU: Quantity =
    quantity("scrape.cpu", "a scrape of all pages: processor time", FineMilliseconds, &[Ratio(0.333)]);
pub(super) const SCRAPE_TIME: Quantity = quantity("scrape.time", "  until it is read", Milliseconds, &[]);
pub(super) const SCRAPE_SIZE: Quantity = quantity("scrape.size", "  bytes", Megabytes, &[]);

pub(super) const RESTART: Quantity =
    quantity("restart.pod", "restart: until a pod is taken up", Milliseconds, &[]);
pub(super) const RESTART_ALL: Quantity =
    quantity("restart.all", "restart: until all pods are taken up", Milliseconds, &[Ratio(0.3)]);
pub(super) const RESTART_FLAPS: Quantity =
    quantity("restart.flaps", "restart: statuses that flapped", Count, &[P50(0.0)]);

/// All of them, in the order of the table.
pub(super) const ALL: &[Quantity] = &[
    SIZE,
    IDLE_RSS,
    IDLE_ANON,
    IDLE_PSS,
    IDLE_CPU,
    IDLE_CALLS,
    SILENT_HEALTH.alone,
    SILENT_HEALTH.few,
    SILENT_HEALTH.many,
    SILENT_LOG.alone,
    SILENT_LOG.few,
    SILENT_LOG.many,
    START,
    START_PARTS.runtime,
    START_PARTS.added,
    START_PARTS.beyond_waiting,
    START_PARTS.before,
    START_PARTS.between,
    START_PARTS.report,
    KILL,
    DELETE,
    BATCH,
    BATCH_ALL,
    BATCH_PARTS.runtime,
    BATCH_PARTS.added,
    BATCH_PARTS.beyond_waiting,
    BATCH_PARTS.before,
    BATCH_PARTS.between,
    BATCH_PARTS.report,
    REST_RSS,
    REST_ANON,
    REST_PSS,
    REST_CPU,
    REST_CALLS,
    SCRAPE_CPU,
    SCRAPE_TIME,
    SCRAPE_SIZE,
    RESTART,
    RESTART_ALL,
    RESTART_FLAPS,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_unique() {
        let mut keys: Vec<_> = ALL.iter().map(|quantity| quantity.key).collect();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), ALL.len());
    }
}
