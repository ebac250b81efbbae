//! `kubeAPIQPS` and `kubeAPIBurst`: a token bucket in front of every call that is not a heartbeat.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until};

/// How many requests may be made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RateLimit {
    /// As many as wanted (a negative `kubeAPIQPS`).
    Unlimited,
    /// A bucket of `burst` requests that refills at `per_second`.
    Bucket {
        /// Requests per second; upstream's default is 50.
        per_second: f64,
        /// Requests at once; upstream's default is 100.
        burst: u32,
    },
}

impl RateLimit {
    /// From the configuration's numbers, which are validated: 0 was replaced by a default before.
    #[must_use]
    pub fn from_config(qps: i32, burst: i32) -> Self {
        if qps <= 0 {
            return Self::Unlimited;
        }
        Self::Bucket { per_second: f64::from(qps), burst: u32::try_from(burst).unwrap_or(1).max(1) }
    }
}

/// The bucket. Kept as one instant: when it will be full again.
pub(crate) struct Limiter {
    interval: Duration,
    depth: Duration,
    full_at: Mutex<Instant>,
}

impl Limiter {
    pub(crate) fn new(limit: RateLimit) -> Option<Self> {
        match limit {
            RateLimit::Unlimited => None,
            RateLimit::Bucket { per_second, burst } => {
                let interval = Duration::from_secs_f64(1.0 / per_second.max(0.001));
                Some(Self { interval, depth: interval * burst.max(1), full_at: Mutex::new(Instant::now()) })
            }
        }
    }

    /// Waits for a turn. Turns are given in order of arrival; one whose future is dropped is lost.
    pub(crate) async fn turn(&self) {
        let start = {
            let mut full_at = self.full_at.lock();
            let now = Instant::now();
            let full = (*full_at).max(now) + self.interval;
            *full_at = full;
            // Empty when refilling takes longer than the whole bucket.
            full.checked_sub(self.depth).filter(|start| *start > now)
        };
        if let Some(start) = start {
            sleep_until(start).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_burst_is_free_and_the_rest_is_paced() {
        let limiter = Limiter::new(RateLimit::from_config(10, 5)).unwrap();
        let start = Instant::now();
        for _ in 0..5 {
            limiter.turn().await;
        }
        assert_eq!(start.elapsed(), Duration::ZERO);
        for _ in 0..10 {
            limiter.turn().await;
        }
        let took = start.elapsed();
        assert!((Duration::from_millis(990)..Duration::from_millis(1020)).contains(&took), "{took:?}");
        tokio::time::sleep(Duration::from_secs(60)).await;
        let start = Instant::now();
        for _ in 0..6 {
            limiter.turn().await;
        }
        let took = start.elapsed();
        assert!((Duration::from_millis(90)..Duration::from_millis(110)).contains(&took), "{took:?}");
    }

    #[test]
    fn negative_means_unlimited() {
        assert_eq!(RateLimit::from_config(-1, 10), RateLimit::Unlimited);
        assert!(Limiter::new(RateLimit::Unlimited).is_none());
    }
}
