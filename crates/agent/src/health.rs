//! Whether the agent does its work: asked by `/healthz`, by the systemd watchdog and by the node's Ready condition.
//!
//! Each part that must not stop leaves a mark whenever it has come round; a mark that is too old is what is wrong.
//! Only our own doing counts: a runtime or an API server that does not answer is no reason to restart the kubelet.

use std::{sync::Arc, time::Duration};

use lifecycle::reason::go_duration::go_duration;
use node::conditions::NotReady;
use parking_lot::Mutex;
use seams::Clock;

/// Least age of the dispatcher's mark that counts as stuck (contract §6 "`syncloop` health check").
const LEAST_SYNC_BOUND: Duration = Duration::from_secs(300);
/// Age of the last complete list of the runtime's pods from which the node is not ready (contract §7, `PLEG`).
pub const RELIST_BOUND: Duration = Duration::from_secs(180);

/// The marks. Times are those of the monotonic clock.
pub struct Health {
    clock: Arc<dyn Clock>,
    sync_bound: Duration,
    marks: Mutex<Marks>,
    /// Why the runtime's name is not known, once that was asked for in vain.
    unnamed: Mutex<Option<String>>,
}

#[derive(Clone, Copy)]
struct Marks {
    /// The dispatcher came round.
    dispatched: Duration,
    /// The runtime's pods were listed.
    relisted: Option<Duration>,
}

impl std::fmt::Debug for Health {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Health").field("sync_bound", &self.sync_bound).finish_non_exhaustive()
    }
}

impl Health {
    /// All is well now. `sync_frequency` is the resync period of pods.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, sync_frequency: Duration) -> Self {
        let marks = Marks { dispatched: clock.now().mono, relisted: None };
        Self {
            clock,
            sync_bound: sync_frequency.saturating_mul(2).max(LEAST_SYNC_BOUND),
            marks: Mutex::new(marks),
            unnamed: Mutex::new(None),
        }
    }

    /// The runtime was asked for its name in vain.
    pub fn unnamed(&self, cause: String) {
        *self.unnamed.lock() = Some(cause);
    }

    /// The runtime has told its name.
    pub fn named(&self) {
        *self.unnamed.lock() = None;
    }

    /// Why the node is not ready as far as the runtime's name goes.
    #[must_use]
    pub fn naming_problem(&self) -> Option<NotReady> {
        self.unnamed.lock().clone().map(NotReady::RuntimeUnnamed)
    }

    /// The dispatcher has come round.
    pub fn dispatched(&self) {
        self.marks.lock().dispatched = self.clock.now().mono;
    }

    /// The runtime's pods were listed, all of them.
    pub fn relisted(&self) {
        self.marks.lock().relisted = Some(self.clock.now().mono);
    }

    /// The check named `syncloop`.
    ///
    /// # Errors
    /// The dispatcher has not come round for too long. Upstream's words.
    pub fn sync_loop(&self) -> Result<(), String> {
        let age = self.clock.now().mono.saturating_sub(self.marks.lock().dispatched);
        if age > self.sync_bound { Err("sync Loop took longer than expected".to_owned()) } else { Ok(()) }
    }

    /// Why the node is not ready as far as the list of the runtime's pods goes.
    #[must_use]
    pub fn relist_problem(&self) -> Option<NotReady> {
        let unhealthy = |cause| Some(NotReady::Unhealthy { part: "PLEG".to_owned(), cause });
        let Some(relisted) = self.marks.lock().relisted else {
            return unhealthy("pleg has yet to be successful".to_owned());
        };
        let age = self.clock.now().mono.saturating_sub(relisted);
        if age <= RELIST_BOUND {
            return None;
        }
        // Whole seconds: fractions say nothing and would make every report another.
        let (age, bound) = (go_duration(Duration::from_secs(age.as_secs())), go_duration(RELIST_BOUND));
        unhealthy(format!("pleg was last seen active {age} ago; threshold is {bound}"))
    }
}

#[cfg(test)]
mod tests {
    use fakes::clock::HandClock;
    use jiff::Timestamp;

    use super::*;

    fn clock() -> Arc<HandClock> {
        Arc::new(HandClock::at(Timestamp::UNIX_EPOCH))
    }

    #[test]
    fn a_dispatcher_that_does_not_come_round_is_told_after_five_minutes() {
        let clock = clock();
        let health = Health::new(Arc::clone(&clock) as Arc<dyn Clock>, Duration::from_secs(60));
        clock.set(Duration::from_secs(300));
        assert_eq!(health.sync_loop(), Ok(()));
        clock.set(Duration::from_secs(301));
        assert_eq!(health.sync_loop(), Err("sync Loop took longer than expected".to_owned()));
        health.dispatched();
        assert_eq!(health.sync_loop(), Ok(()));
    }

    #[test]
    fn slow_resyncs_have_more_time() {
        let clock = clock();
        let health = Health::new(Arc::clone(&clock) as Arc<dyn Clock>, Duration::from_secs(600));
        clock.set(Duration::from_secs(1200));
        assert_eq!(health.sync_loop(), Ok(()));
        clock.set(Duration::from_secs(1201));
        assert!(health.sync_loop().is_err());
    }

    #[test]
    fn old_lists_make_the_node_not_ready_in_upstreams_words() {
        let clock = clock();
        let health = Health::new(Arc::clone(&clock) as Arc<dyn Clock>, Duration::from_secs(60));
        let told = || health.relist_problem().map(|problem| problem.to_string());
        assert_eq!(told().as_deref(), Some("PLEG is not healthy: pleg has yet to be successful"));
        health.relisted();
        clock.set(Duration::from_secs(180));
        assert_eq!(told(), None);
        clock.set(Duration::from_secs(184));
        assert_eq!(
            told().as_deref(),
            Some("PLEG is not healthy: pleg was last seen active 3m4s ago; threshold is 3m0s")
        );
    }
}
