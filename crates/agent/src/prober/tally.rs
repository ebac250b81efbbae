//! Results in a row, and what they come to.

use super::Kind;

/// Counts equal results until a threshold is reached.
#[derive(Clone, Debug)]
pub struct Tally {
    success_threshold: u32,
    failure_threshold: u32,
    last: Option<bool>,
    row: u32,
    result: Option<bool>,
}

/// Whether the result is another one now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// As before.
    None,
    /// Another one.
    Changed,
}

impl Tally {
    /// API defaults: one success, three failures.
    #[must_use]
    pub fn new(success: Option<i32>, failure: Option<i32>) -> Self {
        let threshold =
            |value: Option<i32>, default| value.and_then(|v| u32::try_from(v).ok()).unwrap_or(default).max(1);
        Self {
            success_threshold: threshold(success, 1),
            failure_threshold: threshold(failure, 3),
            last: None,
            row: 0,
            result: None,
        }
    }

    /// The result that holds; `None` until a threshold was reached.
    #[must_use]
    pub fn result(&self) -> Option<bool> {
        self.result
    }

    /// The newest answer, and how often it came in a row.
    #[must_use]
    pub fn row(&self) -> Option<(bool, u32)> {
        self.last.map(|last| (last, self.row))
    }

    /// Successes in a row that count.
    #[must_use]
    pub fn success_threshold(&self) -> u32 {
        self.success_threshold
    }

    /// Failures in a row that count.
    #[must_use]
    pub fn failure_threshold(&self) -> u32 {
        self.failure_threshold
    }

    /// A final answer of a startup probe, or a failed liveness probe: nothing more to find out about this container.
    #[must_use]
    pub fn on_hold(&self, kind: Kind) -> bool {
        match kind {
            Kind::Startup => self.result.is_some(),
            Kind::Liveness => self.result == Some(false),
            Kind::Readiness => false,
        }
    }

    /// A success that an earlier process reported. What was found out here stands.
    pub fn recall_success(&mut self) {
        self.result.get_or_insert(true);
    }

    /// One success.
    pub fn success(&mut self) -> Change {
        self.count(true, self.success_threshold)
    }

    /// One failure.
    pub fn failure(&mut self) -> Change {
        self.count(false, self.failure_threshold)
    }

    fn count(&mut self, value: bool, threshold: u32) -> Change {
        self.row = if self.last == Some(value) { self.row.saturating_add(1) } else { 1 };
        self.last = Some(value);
        if self.row < threshold || self.result == Some(value) {
            return Change::None;
        }
        self.result = Some(value);
        Change::Changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_count_results_in_a_row() {
        let mut tally = Tally::new(Some(2), Some(3));
        assert_eq!(tally.success(), Change::None);
        assert_eq!(tally.failure(), Change::None);
        assert_eq!(tally.success(), Change::None);
        assert_eq!(tally.success(), Change::Changed);
        assert_eq!(tally.result(), Some(true));
        assert_eq!(
            (tally.failure(), tally.failure(), tally.failure()),
            (Change::None, Change::None, Change::Changed)
        );
        assert!(tally.on_hold(Kind::Liveness) && !tally.on_hold(Kind::Readiness));
    }

    #[test]
    fn a_recalled_success_stands_unless_something_was_found_out() {
        let mut tally = Tally::new(None, Some(1));
        tally.recall_success();
        assert_eq!((tally.result(), tally.row()), (Some(true), None));
        assert!(tally.on_hold(Kind::Startup));
        let mut tally = Tally::new(None, Some(1));
        assert_eq!(tally.failure(), Change::Changed);
        tally.recall_success();
        assert_eq!(tally.result(), Some(false));
    }
}
