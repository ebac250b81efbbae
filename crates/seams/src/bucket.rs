//! A token bucket: so many turns at once, and one each interval for ever.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until};

/// The bucket. Kept as one instant: when it will be full again.
#[derive(Debug)]
pub struct TokenBucket {
    interval: Duration,
    depth: Duration,
    full_at: Mutex<Instant>,
}

impl TokenBucket {
    /// A full bucket of `burst` turns, at least one, that gets another each `interval`.
    #[must_use]
    pub fn new(interval: Duration, burst: u32) -> Self {
        Self { interval, depth: interval.saturating_mul(burst.max(1)), full_at: Mutex::new(Instant::now()) }
    }

    /// Waits for a turn. Turns are given in order of arrival; one whose future is dropped is lost.
    pub async fn turn(&self) {
        let start = {
            let mut full_at = self.full_at.lock();
            let (full, start) = self.next(*full_at);
            *full_at = full;
            start
        };
        if let Some(start) = start {
            sleep_until(start).await;
        }
    }

    /// Takes a turn if there is one now.
    #[must_use]
    pub fn take(&self) -> bool {
        let mut full_at = self.full_at.lock();
        let (full, start) = self.next(*full_at);
        if start.is_some() {
            return false;
        }
        *full_at = full;
        true
    }

    /// When the bucket is full again after one turn more, and when that turn is, if not now: the bucket is empty when
    /// refilling takes longer than the whole of it.
    fn next(&self, full_at: Instant) -> (Instant, Option<Instant>) {
        let now = Instant::now();
        let full = full_at.max(now) + self.interval;
        (full, full.checked_sub(self.depth).filter(|start| *start > now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn took(bucket: &TokenBucket, turns: u32) -> Duration {
        let begun = Instant::now();
        for _ in 0..turns {
            bucket.turn().await;
        }
        begun.elapsed()
    }

    fn near(took: Duration, milliseconds: u64) -> bool {
        // The paused clock goes in whole milliseconds.
        let (wanted, slack) = (Duration::from_millis(milliseconds), Duration::from_millis(10));
        (wanted - slack..wanted + slack).contains(&took)
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_is_free_and_the_rest_is_paced() {
        let bucket = TokenBucket::new(Duration::from_millis(100), 5);
        assert_eq!(took(&bucket, 5).await, Duration::ZERO);
        assert!(near(took(&bucket, 10).await, 1000));
        assert!(!bucket.take(), "what is waited for is not there to be taken");
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert!(near(took(&bucket, 6).await, 100), "five have been saved, and no more");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_refused_takes_no_turn() {
        let bucket = TokenBucket::new(Duration::from_secs(1), 2);
        assert_eq!([bucket.take(), bucket.take(), bucket.take(), bucket.take()], [true, true, false, false]);
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!([bucket.take(), bucket.take()], [true, false]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_of_none_is_one() {
        let bucket = TokenBucket::new(Duration::from_millis(100), 0);
        assert_eq!(took(&bucket, 1).await, Duration::ZERO);
        assert!(near(took(&bucket, 2).await, 200));
    }
}
