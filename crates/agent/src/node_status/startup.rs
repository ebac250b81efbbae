//! How long a new node took from the boot of its machine until it was ready: for metrics alone.
//!
//! ```text
//!   boot ──► process ──► first try to register ──► registered ──► ready
//! ```
//!
//! Of a node that existed before, nothing is told: it was not waited for.

use std::sync::Arc;

use jiff::Timestamp;
use metrics::{Metrics, family::Single, value::Gauge};

/// What is known of the way so far.
pub(super) struct Startup {
    metrics: Arc<Metrics>,
    booted: Option<Timestamp>,
    started: Option<Timestamp>,
    attempted: Option<Timestamp>,
    registered: Option<Timestamp>,
}

impl Startup {
    pub(super) fn new(metrics: Arc<Metrics>, booted: Option<Timestamp>, started: Option<Timestamp>) -> Self {
        Self { metrics, booted, started, attempted: None, registered: None }
    }

    /// A registration is tried.
    pub(super) fn attempt(&mut self, now: Timestamp) {
        self.attempted.get_or_insert(now);
    }

    /// The API server had no such node, and has one now.
    pub(super) fn registered(&mut self, now: Timestamp) {
        self.registered.get_or_insert(now);
    }

    /// The node was reported ready.
    pub(super) fn ready(&mut self, now: Timestamp) {
        // Once: what comes later is no startup.
        let Some(registered) = self.registered.take() else { return };
        let node = &self.metrics.node;
        let tell = |gauge: &Single<Gauge>, from: Option<Timestamp>, to: Option<Timestamp>| {
            if let (Some(from), Some(to)) = (from, to) {
                gauge.set(to.duration_since(from).as_secs_f64());
            }
        };
        tell(&node.startup_pre_kubelet, self.booted, self.started);
        tell(&node.startup_pre_registration, self.started, self.attempted);
        tell(&node.startup_registration, self.attempted, Some(registered));
        tell(&node.startup_post_registration, Some(registered), Some(now));
        tell(&node.startup, self.booted, Some(now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Option<Timestamp> {
        Timestamp::from_second(second).ok()
    }

    #[test]
    fn a_new_node_is_timed_once() {
        let metrics = Metrics::new();
        let mut startup = Startup::new(Arc::clone(&metrics), at(100), at(130));
        startup.attempt(at(132).unwrap());
        startup.attempt(at(133).unwrap());
        startup.registered(at(136).unwrap());
        startup.ready(at(144).unwrap());
        startup.ready(at(500).unwrap());
        let node = &metrics.node;
        let parts = [
            &node.startup_pre_kubelet,
            &node.startup_pre_registration,
            &node.startup_registration,
            &node.startup_post_registration,
            &node.startup,
        ];
        assert_eq!(parts.map(|gauge| gauge.get()), [30.0, 2.0, 4.0, 8.0, 44.0]);
    }

    #[test]
    fn an_old_node_is_not_timed() {
        let metrics = Metrics::new();
        let mut startup = Startup::new(Arc::clone(&metrics), at(100), at(130));
        startup.attempt(at(132).unwrap());
        startup.ready(at(144).unwrap());
        assert_eq!(metrics.node.startup.get(), 0.0);
    }
}
