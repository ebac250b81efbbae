//! The record of calls.

use std::collections::BTreeMap;

use tokio::time::Instant;

/// One call that arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// CRI method.
    pub method: &'static str,
    /// What it was about: an id, an image, a `namespace/name`; empty for lists.
    pub object: String,
    /// When.
    pub at: Instant,
}

/// All calls, in order of arrival.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    pub(crate) all: Vec<Call>,
    in_flight: BTreeMap<&'static str, usize>,
    most_in_flight: BTreeMap<&'static str, usize>,
}

impl Calls {
    pub(crate) fn enter(&mut self, method: &'static str, object: &str) {
        self.all.push(Call { method, object: object.to_owned(), at: Instant::now() });
        let now = self.in_flight.entry(method).or_default();
        *now += 1;
        let most = self.most_in_flight.entry(method).or_default();
        *most = (*most).max(*now);
    }

    pub(crate) fn leave(&mut self, method: &'static str) {
        if let Some(now) = self.in_flight.get_mut(method) {
            *now = now.saturating_sub(1);
        }
    }

    pub(crate) fn in_flight(&self, method: &str) -> usize {
        self.in_flight.get(method).copied().unwrap_or(0)
    }

    pub(crate) fn most_in_flight(&self, method: &str) -> usize {
        self.most_in_flight.get(method).copied().unwrap_or(0)
    }
}
