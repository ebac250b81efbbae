//! `kubeAPIQPS` and `kubeAPIBurst`: a token bucket in front of every call that is not a heartbeat.

use std::time::Duration;

use seams::TokenBucket;

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

    /// The bucket, if there is a limit.
    pub(crate) fn bucket(self) -> Option<TokenBucket> {
        match self {
            Self::Unlimited => None,
            Self::Bucket { per_second, burst } => {
                Some(TokenBucket::new(Duration::from_secs_f64(1.0 / per_second.max(0.001)), burst))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[test]
    fn negative_means_unlimited() {
        assert_eq!(RateLimit::from_config(-1, 10), RateLimit::Unlimited);
        assert!(RateLimit::Unlimited.bucket().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn the_numbers_are_of_a_second() {
        let bucket = RateLimit::from_config(10, 5).bucket().unwrap();
        let start = Instant::now();
        for _ in 0..15 {
            bucket.turn().await;
        }
        let took = start.elapsed();
        assert!((Duration::from_millis(990)..Duration::from_millis(1020)).contains(&took), "{took:?}");
    }
}
