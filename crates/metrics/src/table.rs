//! Every metric that upstream's kubelet 1.37.2 serves (contract §27): the one table from which values are kept, pages
//! written and the compat document made.
//!
//! A value can only be made from a row of it ([`find`] fails to compile for a name that has none), so that nothing is
//! served that the table does not know; what it says of labels and buckets is what is served. Help texts are our own.

use crate::text::{Kind, Stability};

mod go;
mod own;
mod pages;
mod shared;

/// A page of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Page {
    /// `/metrics`.
    Metrics,
    /// `/metrics/cadvisor`.
    Cadvisor,
    /// `/metrics/resource`.
    Resource,
    /// `/metrics/probes`.
    Probes,
    /// `/metrics/slis`.
    Slis,
}

impl Page {
    /// Path of the page.
    #[must_use]
    pub const fn path(self) -> &'static str {
        match self {
            Self::Metrics => "/metrics",
            Self::Cadvisor => "/metrics/cadvisor",
            Self::Resource => "/metrics/resource",
            Self::Probes => "/metrics/probes",
            Self::Slis => "/metrics/slis",
        }
    }
}

/// What is here of one metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    /// As upstream's.
    Same,
    /// Here, with a difference.
    Differs(&'static str),
    /// Not here, and why.
    Absent(&'static str),
}

impl Support {
    /// Words for the compat table.
    #[must_use]
    pub fn words(self) -> String {
        match self {
            Self::Same => "same".to_owned(),
            Self::Differs(how) => format!("differs: {how}"),
            Self::Absent(why) => format!("absent: {why}"),
        }
    }

    /// Whether the metric is served.
    #[must_use]
    pub const fn is_served(self) -> bool {
        !matches!(self, Self::Absent(_))
    }
}

/// One metric.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Page.
    pub page: Page,
    /// Name.
    pub name: &'static str,
    /// Type.
    pub kind: Kind,
    /// What upstream promises about it.
    pub stability: Stability,
    /// What it measures, and in what unit; empty for those that cannot be here.
    pub help: &'static str,
    /// Names of its labels, sorted.
    pub labels: &'static [&'static str],
    /// Upper bounds of a histogram's buckets, without `+Inf`; in the unit of the name.
    pub buckets: &'static [f64],
    /// What is here of it.
    pub support: Support,
}

const fn row(name: &'static str, kind: Kind, labels: &'static [&'static str], help: &'static str) -> Metric {
    Metric {
        page: Page::Metrics,
        name,
        kind,
        stability: Stability::Alpha,
        help,
        labels,
        buckets: &[],
        support: Support::Same,
    }
}

const fn counter(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Metric {
    row(name, Kind::Counter, labels, help)
}

const fn gauge(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Metric {
    row(name, Kind::Gauge, labels, help)
}

const fn histogram(
    name: &'static str,
    labels: &'static [&'static str],
    buckets: &'static [f64],
    help: &'static str,
) -> Metric {
    Metric { buckets, ..row(name, Kind::Histogram, labels, help) }
}

impl Metric {
    const fn stability(self, stability: Stability) -> Self {
        Self { stability, ..self }
    }

    const fn beta(self) -> Self {
        self.stability(Stability::Beta)
    }

    const fn differs(self, how: &'static str) -> Self {
        Self { support: Support::Differs(how), ..self }
    }

    const fn absent(self, why: &'static str) -> Self {
        Self { support: Support::Absent(why), ..self }
    }

    const fn on(self, page: Page) -> Self {
        Self { page, ..self }
    }
}

/// The rows, in groups.
const GROUPS: [&[Metric]; 4] = [own::ROWS, shared::ROWS, go::ROWS, pages::ROWS];

/// All rows.
pub fn all() -> impl Iterator<Item = &'static Metric> {
    GROUPS.into_iter().flatten()
}

/// The row of a metric of `/metrics`, `/metrics/probes` or `/metrics/slis`, in a constant expression: a name without a
/// row does not compile.
#[must_use]
pub const fn find(page: Page, name: &str) -> &'static Metric {
    let mut group = 0;
    while group < GROUPS.len() {
        let rows = GROUPS[group];
        let mut at = 0;
        while at < rows.len() {
            if rows[at].page as u8 == page as u8 && same(rows[at].name, name) {
                return &rows[at];
            }
            at += 1;
        }
        group += 1;
    }
    // Out of bounds, on purpose: the name has no row.
    &GROUPS[GROUPS.len()][0]
}

const fn same(one: &str, other: &str) -> bool {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    if one.len() != other.len() {
        return false;
    }
    // From the end: names share their beginnings.
    let mut at = one.len();
    while at > 0 {
        at -= 1;
        if one[at] != other[at] {
            return false;
        }
    }
    true
}

/// Prometheus' usual bounds, seconds.
const D: &[f64] = &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// Of pod starts, seconds.
const POD: &[f64] = &[
    0.5, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 20.0, 30.0, 45.0, 60.0, 120.0, 180.0, 240.0, 300.0, 360.0,
    480.0, 600.0, 900.0, 1200.0, 1800.0, 2700.0, 3600.0,
];
/// Of storage operations, seconds.
const STO: &[f64] = &[0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 25.0, 50.0, 120.0, 300.0, 600.0];
/// Of runtime calls, seconds: 14 bounds from 5 ms, each 2.5 times the one before.
const RUNTIME: &[f64] = &[
    0.005,
    0.0125,
    0.03125,
    0.078125,
    0.1953125,
    0.48828125,
    1.220703125,
    3.0517578125,
    7.62939453125,
    19.073486328125,
    47.6837158203125,
    119.20928955078125,
    298.0232238769531,
    745.0580596923828,
];
/// Of status reports, seconds.
const STATUS: &[f64] = &[0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 20.0, 30.0, 45.0, 60.0];
/// Of image pulls, seconds.
const PULL: &[f64] = &[
    1.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 180.0, 240.0, 300.0, 360.0, 480.0, 600.0, 900.0, 1200.0, 1800.0,
    2700.0, 3600.0,
];
/// Of the topology manager, milliseconds: 15 bounds from 0.05, each twice the one before.
const TOPOLOGY: &[f64] =
    &[0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 51.2, 102.4, 204.8, 409.6, 819.2];
/// Of requests to the API server, seconds.
const REST: &[f64] = &[0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0];
/// Of name look-ups, seconds.
const DNS: &[f64] = &[0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0];
/// Of bodies, bytes.
const SIZES: &[f64] = &[
    64.0,
    256.0,
    512.0,
    1024.0,
    4096.0,
    16384.0,
    65536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
];
/// Of a client certificate's remaining life, seconds.
const REMAINING: &[f64] = &[
    0.0,
    1800.0,
    3600.0,
    7200.0,
    21_600.0,
    43_200.0,
    86_400.0,
    172_800.0,
    345_600.0,
    604_800.0,
    2_592_000.0,
    7_776_000.0,
    15_552_000.0,
    31_104_000.0,
];
/// Of reviews that the API server makes for us, seconds.
const REVIEW: &[f64] = &[0.25, 0.5, 0.7, 1.0, 1.5, 3.0, 5.0, 10.0];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn rows_are_whole() {
        let mut seen = BTreeSet::new();
        for metric in all() {
            let name = metric.name;
            assert!(seen.insert((metric.page, name)), "{name} has two rows");
            assert!(metric.labels.is_sorted(), "{name}: labels");
            assert!(metric.buckets.is_sorted(), "{name}: buckets");
            let is_histogram = metric.kind == Kind::Histogram;
            assert!(is_histogram || metric.buckets.is_empty(), "{name} has buckets");
            match metric.support {
                Support::Same | Support::Differs(_) => {
                    assert!(!metric.help.is_empty(), "{name} has no help");
                    assert_ne!(metric.kind, Kind::Summary, "{name}");
                }
                Support::Absent(why) => assert!(!why.is_empty(), "{name} is absent without a reason"),
            }
        }
    }

    #[test]
    fn rows_are_found_by_page_and_name() {
        assert_eq!(find(Page::Metrics, "kubelet_running_pods").name, "kubelet_running_pods");
        assert_eq!(find(Page::Probes, "process_start_time_seconds").page, Page::Probes);
        assert_eq!(find(Page::Slis, "process_start_time_seconds").page, Page::Slis);
    }
}
