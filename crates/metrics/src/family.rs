//! A metric with all its label sets: what a row of the table becomes.
//!
//! ```text
//!   Single<V>      no labels: shown from the start, with 0
//!   Vector<L, V>   one V for each label set that was used; nothing is shown of those that were not
//!   Asked<L>       nothing is kept: whoever knows the truth is asked when somebody scrapes
//!   Told<L>        all label sets at once, told just before a scrape by whoever had to wait for them
//! ```
//!
//! Labels are types ([`Labels`]), one for each set of names, so that a call site can neither forget a label nor make one
//! up. A vector's lock is taken for a look-up; who counts often keeps the handle instead.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    fmt,
    ops::Deref,
    sync::{Arc, OnceLock, PoisonError, RwLock},
    time::Duration,
};

use crate::{
    table::Metric,
    text::Page,
    value::{Counter, Gauge, Histogram, Value},
};

/// A label set: its names are its type's, its values its own.
pub trait Labels: Ord + Clone + Send + Sync {
    /// Names, sorted, as in the row.
    const NAMES: &'static [&'static str];

    /// Values, in the order of the names.
    fn values(&self) -> Vec<Cow<'_, str>>;
}

impl Labels for () {
    const NAMES: &'static [&'static str] = &[];

    fn values(&self) -> Vec<Cow<'_, str>> {
        Vec::new()
    }
}

/// What the registry writes.
pub trait Family: Send + Sync {
    /// Row of the table.
    fn row(&self) -> &'static Metric;

    /// Writes the samples that there are, without the family's comments; false when there are none.
    fn write(&self, page: &mut Page) -> bool;
}

/// Writes a family, comments and samples, or nothing when it has no sample.
pub(crate) fn write(family: &dyn Family, page: &mut Page) {
    let row = family.row();
    let mut samples = Page::new();
    samples.family(row.name, row.stability, row.help, row.kind);
    if family.write(&mut samples) {
        page.append(samples);
    }
}

fn check<L: Labels>(row: &'static Metric, kind: crate::text::Kind) {
    debug_assert_eq!(row.labels, L::NAMES, "labels of {}", row.name);
    debug_assert_eq!(row.kind, kind, "type of {}", row.name);
    debug_assert!(row.support.is_served(), "{} is said to be absent", row.name);
}

/// A metric without labels.
#[derive(Debug)]
pub struct Single<V> {
    row: &'static Metric,
    value: V,
}

impl<V: Value> Single<V> {
    /// From its row.
    #[must_use]
    pub fn new(row: &'static Metric) -> Self {
        check::<()>(row, V::KIND);
        Self { row, value: V::new(row) }
    }
}

impl<V> Deref for Single<V> {
    type Target = V;

    fn deref(&self) -> &V {
        &self.value
    }
}

impl<V: Value> Family for Single<V> {
    fn row(&self) -> &'static Metric {
        self.row
    }

    fn write(&self, page: &mut Page) -> bool {
        self.value.write(page, self.row, &[]);
        true
    }
}

/// A metric with labels.
pub struct Vector<L, V> {
    row: &'static Metric,
    values: RwLock<BTreeMap<L, Arc<V>>>,
}

impl<L: Labels, V: Value> Vector<L, V> {
    /// From its row; no label set is used yet.
    #[must_use]
    pub fn new(row: &'static Metric) -> Self {
        check::<L>(row, V::KIND);
        Self { row, values: RwLock::default() }
    }

    /// From its row, with label sets that are shown from the start.
    #[must_use]
    pub fn with(row: &'static Metric, labels: impl IntoIterator<Item = L>) -> Self {
        let vector = Self::new(row);
        for labels in labels {
            drop(vector.of(&labels));
        }
        vector
    }

    /// The value of a label set, which counts as used from now on.
    #[must_use]
    pub fn of(&self, labels: &L) -> Arc<V> {
        if let Some(value) = self.known(labels) {
            return value;
        }
        let mut values = self.values.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(values.entry(labels.clone()).or_insert_with(|| Arc::new(V::new(self.row))))
    }

    /// The value of a label set, if it was used.
    #[must_use]
    pub fn known(&self, labels: &L) -> Option<Arc<V>> {
        self.values.read().unwrap_or_else(PoisonError::into_inner).get(labels).cloned()
    }

    /// Shows a label set no more, and forgets what it counted.
    pub fn forget(&self, labels: &L) {
        self.values.write().unwrap_or_else(PoisonError::into_inner).remove(labels);
    }
}

impl<L: Labels> Vector<L, Counter> {
    /// One more.
    pub fn inc(&self, labels: &L) {
        self.of(labels).inc();
    }
}

impl<L: Labels> Vector<L, Gauge> {
    /// Sets it.
    pub fn set(&self, labels: &L, value: f64) {
        self.of(labels).set(value);
    }
}

impl<L: Labels> Vector<L, Histogram> {
    /// An observation, in the unit of the metric's name.
    pub fn observe(&self, labels: &L, value: f64) {
        self.of(labels).observe(value);
    }

    /// A time, of a metric in seconds.
    pub fn took(&self, labels: &L, time: Duration) {
        self.of(labels).took(time);
    }
}

impl<L, V> fmt::Debug for Vector<L, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vector").field("name", &self.row.name).finish_non_exhaustive()
    }
}

impl<L: Labels, V: Value> Family for Vector<L, V> {
    fn row(&self) -> &'static Metric {
        self.row
    }

    fn write(&self, page: &mut Page) -> bool {
        // Copied out, so that nobody who counts waits for the writing.
        let values = self.values.read().unwrap_or_else(PoisonError::into_inner).clone();
        let mut sorted: Vec<_> = values.iter().map(|(labels, value)| (labels.values(), value)).collect();
        sorted.sort_by(|a, b| a.0.cmp(&b.0));
        for (labels, value) in &sorted {
            value.write(page, self.row, &named(L::NAMES, labels));
        }
        !sorted.is_empty()
    }
}

fn named<'a>(names: &'a [&'a str], values: &'a [Cow<'a, str>]) -> Vec<(&'a str, &'a str)> {
    names.iter().copied().zip(values.iter().map(AsRef::as_ref)).collect()
}

/// Takes a label set and its value.
pub type Put<'a, L> = dyn FnMut(L, f64) + 'a;

type Source<L> = Box<dyn Fn(&mut Put<'_, L>) + Send + Sync>;

/// A counter or gauge whose truth is elsewhere: it is asked for at each scrape.
pub struct Asked<L> {
    row: &'static Metric,
    source: OnceLock<Source<L>>,
}

impl<L: Labels> Asked<L> {
    /// From its row; shows nothing until there is somebody to ask.
    #[must_use]
    pub fn new(row: &'static Metric) -> Self {
        check::<L>(row, row.kind);
        debug_assert!(row.buckets.is_empty(), "{} is a histogram", row.name);
        Self { row, source: OnceLock::new() }
    }

    /// Says who is asked. Only the first counts. What is asked must neither block nor take long.
    pub fn answered_by(&self, source: impl Fn(&mut Put<'_, L>) + Send + Sync + 'static) {
        // Two sources of one truth would be a mistake of the wiring, and no reason to end the process.
        debug_assert!(self.source.get().is_none(), "{} has a source", self.row.name);
        let _ = self.source.set(Box::new(source));
    }
}

impl<L> fmt::Debug for Asked<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asked").field("name", &self.row.name).finish_non_exhaustive()
    }
}

impl<L: Labels> Family for Asked<L> {
    fn row(&self) -> &'static Metric {
        self.row
    }

    fn write(&self, page: &mut Page) -> bool {
        let mut answers: Vec<(L, f64)> = Vec::new();
        if let Some(source) = self.source.get() {
            source(&mut |labels, value| answers.push((labels, value)));
        }
        let mut sorted: Vec<_> = answers.iter().map(|(labels, value)| (labels.values(), value)).collect();
        sorted.sort_by(|a, b| a.0.cmp(&b.0));
        for (labels, value) in &sorted {
            page.sample(self.row.name, &named(L::NAMES, labels), **value, None);
        }
        !sorted.is_empty()
    }
}

/// A gauge whose values are known only after a wait, for a disk as a rule: who serves the page waits, and then tells all of
/// them.
pub struct Told<L> {
    row: &'static Metric,
    newest: RwLock<Arc<[(L, f64)]>>,
}

impl<L: Labels> Told<L> {
    /// From its row; shows nothing until something is told.
    #[must_use]
    pub fn new(row: &'static Metric) -> Self {
        check::<L>(row, Gauge::KIND);
        Self { row, newest: RwLock::new(Arc::from([])) }
    }

    /// The values from now on; those of before are forgotten.
    pub fn tell(&self, values: impl IntoIterator<Item = (L, f64)>) {
        let mut values: Vec<_> = values.into_iter().collect();
        values.sort_by(|a, b| a.0.cmp(&b.0));
        *self.newest.write().unwrap_or_else(PoisonError::into_inner) = values.into();
    }
}

impl<L> fmt::Debug for Told<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Told").field("name", &self.row.name).finish_non_exhaustive()
    }
}

impl<L: Labels> Family for Told<L> {
    fn row(&self) -> &'static Metric {
        self.row
    }

    fn write(&self, page: &mut Page) -> bool {
        let newest = Arc::clone(&self.newest.read().unwrap_or_else(PoisonError::into_inner));
        for (labels, value) in newest.iter() {
            page.sample(self.row.name, &named(L::NAMES, &labels.values()), *value, None);
        }
        !newest.is_empty()
    }
}

#[cfg(test)]
mod tests;
