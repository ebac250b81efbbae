//! A token bucket, as `registryPullQPS` and `registryBurst` describe one.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use seams::Clock;

/// Refills at a rate, holds at most `burst` tokens.
pub struct TokenBucket {
    clock: Arc<dyn Clock>,
    per_second: f64,
    burst: f64,
    level: Mutex<(f64, Duration)>,
}

impl std::fmt::Debug for TokenBucket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TokenBucket({}/s, burst {})", self.per_second, self.burst)
    }
}

impl TokenBucket {
    /// A full bucket.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, per_second: u32, burst: u32) -> Self {
        let now = clock.now().mono;
        let burst = f64::from(burst.max(1));
        Self { clock, per_second: f64::from(per_second), burst, level: Mutex::new((burst, now)) }
    }

    /// Takes one token if there is one.
    #[must_use]
    pub fn take(&self) -> bool {
        let now = self.clock.now().mono;
        let mut level = self.level.lock();
        let refill = now.saturating_sub(level.1).as_secs_f64() * self.per_second;
        *level = ((level.0 + refill).min(self.burst), now);
        if level.0 < 1.0 {
            return false;
        }
        level.0 -= 1.0;
        true
    }
}
