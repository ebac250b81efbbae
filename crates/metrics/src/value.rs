//! One value: a counter, a gauge or a histogram, on atomics.
//!
//! Whoever measures adds with a relaxed atomic and waits for nobody; whoever scrapes reads while others add. A histogram
//! that is read meanwhile may show a sum that is one observation ahead of its buckets, or behind.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::{
    table::Metric,
    text::{Kind, Page, number},
};

/// What one label set of a metric has.
pub trait Value: Send + Sync {
    /// Type that its row must have.
    const KIND: Kind;

    /// Nothing measured yet.
    fn new(row: &'static Metric) -> Self;

    /// Writes its samples.
    fn write(&self, page: &mut Page, row: &'static Metric, labels: &[(&str, &str)]);
}

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// One more.
    pub fn inc(&self) {
        self.add(1);
    }

    /// Some more.
    pub fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    /// So far.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Value for Counter {
    const KIND: Kind = Kind::Counter;

    fn new(_: &'static Metric) -> Self {
        Self::default()
    }

    fn write(&self, page: &mut Page, row: &'static Metric, labels: &[(&str, &str)]) {
        page.sample(row.name, labels, as_f64(self.get()), None);
    }
}

/// A number that is set. Kept as the bits of an `f64`.
#[derive(Debug, Default)]
pub struct Gauge(AtomicU64);

impl Gauge {
    /// Sets it.
    pub fn set(&self, value: f64) {
        self.0.store(value.to_bits(), Ordering::Relaxed);
    }

    /// Adds to it; what is negative takes away.
    pub fn add(&self, difference: f64) {
        add(&self.0, difference);
    }

    /// Now.
    #[must_use]
    pub fn get(&self) -> f64 {
        f64::from_bits(self.0.load(Ordering::Relaxed))
    }
}

impl Value for Gauge {
    const KIND: Kind = Kind::Gauge;

    fn new(_: &'static Metric) -> Self {
        Self::default()
    }

    fn write(&self, page: &mut Page, row: &'static Metric, labels: &[(&str, &str)]) {
        page.sample(row.name, labels, self.get(), None);
    }
}

/// Observations, sorted into the buckets of the row. The buckets take memory from the first observation on.
#[derive(Debug)]
pub struct Histogram {
    bounds: &'static [f64],
    /// How many fell into each bucket alone; the last is for those above all bounds.
    cells: OnceLock<Box<[AtomicU64]>>,
    sum: AtomicU64,
}

impl Histogram {
    /// An observation, in the unit of the metric's name.
    pub fn observe(&self, value: f64) {
        let cells =
            self.cells.get_or_init(|| (0..=self.bounds.len()).map(|_| AtomicU64::default()).collect());
        let at = self.bounds.partition_point(|bound| *bound < value);
        if let Some(cell) = cells.get(at) {
            cell.fetch_add(1, Ordering::Relaxed);
        }
        add(&self.sum, value);
    }

    /// A time, of a metric in seconds.
    pub fn took(&self, time: Duration) {
        self.observe(time.as_secs_f64());
    }

    /// Number of observations.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.cells.get().map_or(0, |cells| cells.iter().map(|cell| cell.load(Ordering::Relaxed)).sum())
    }

    /// Their sum.
    #[must_use]
    pub fn sum(&self) -> f64 {
        f64::from_bits(self.sum.load(Ordering::Relaxed))
    }
}

impl Value for Histogram {
    const KIND: Kind = Kind::Histogram;

    fn new(row: &'static Metric) -> Self {
        Self { bounds: row.buckets, cells: OnceLock::new(), sum: AtomicU64::default() }
    }

    fn write(&self, page: &mut Page, row: &'static Metric, labels: &[(&str, &str)]) {
        let (bucket, sum, count) =
            (format!("{}_bucket", row.name), format!("{}_sum", row.name), format!("{}_count", row.name));
        let cells = self.cells.get();
        let mut so_far = 0;
        let bounds = self.bounds.iter().copied().chain([f64::INFINITY]);
        for (at, bound) in bounds.enumerate() {
            so_far += cells.and_then(|cells| cells.get(at)).map_or(0, |cell| cell.load(Ordering::Relaxed));
            let bound = number(bound);
            let with_bound: Vec<_> = labels.iter().copied().chain([("le", bound.as_str())]).collect();
            page.sample(&bucket, &with_bound, as_f64(so_far), None);
        }
        page.sample(&sum, labels, self.sum(), None);
        page.sample(&count, labels, as_f64(so_far), None);
    }
}

fn add(bits: &AtomicU64, difference: f64) {
    let sum = |bits| Some((f64::from_bits(bits) + difference).to_bits());
    // The closure never declines.
    let _ = bits.fetch_update(Ordering::Relaxed, Ordering::Relaxed, sum);
}

/// Counts are told as floating-point numbers: exact up to 2^53.
#[expect(clippy::cast_precision_loss, reason = "the format knows no other numbers")]
pub(crate) fn as_f64(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        table::{Page as On, find},
        text,
    };

    const ROW: &Metric = find(On::Metrics, "kubelet_containers_per_pod_count");

    fn written(value: &impl Value, row: &'static Metric) -> String {
        let mut page = text::Page::new();
        page.family(row.name, row.stability, "h", row.kind);
        value.write(&mut page, row, &[]);
        page.finish().lines().skip(2).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn observations_fall_into_buckets() {
        let histogram = Histogram::new(ROW);
        assert!(written(&histogram, ROW).ends_with("_sum 0\nkubelet_containers_per_pod_count_count 0"));
        for value in [1.0, 1.5, 2.0, 99.0] {
            histogram.observe(value);
        }
        let name = ROW.name;
        assert_eq!(
            written(&histogram, ROW),
            format!(
                "{name}_bucket{{le=\"1\"}} 1\n{name}_bucket{{le=\"2\"}} 3\n{name}_bucket{{le=\"4\"}} 3\n\
                 {name}_bucket{{le=\"8\"}} 3\n{name}_bucket{{le=\"16\"}} 3\n{name}_bucket{{le=\"+Inf\"}} 4\n\
                 {name}_sum 103.5\n{name}_count 4"
            )
        );
        assert_eq!((histogram.count(), histogram.sum()), (4, 103.5));
    }

    #[test]
    fn many_add_at_once_and_nothing_is_lost() {
        let (counter, gauge, histogram) = (Counter::default(), Gauge::default(), Histogram::new(ROW));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..1000 {
                        counter.inc();
                        gauge.add(0.5);
                        histogram.observe(3.0);
                    }
                });
            }
        });
        assert_eq!((counter.get(), gauge.get()), (4000, 2000.0));
        assert_eq!((histogram.count(), histogram.sum()), (4000, 12_000.0));
    }
}
