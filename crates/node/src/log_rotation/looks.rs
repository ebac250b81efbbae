//! When the size of a log is looked at next.
//!
//! A look costs one fstatat(2), so what counts is that logs do not grow far beyond their limit. Each wait ends in half of
//! the time that the fastest growth seen lately would take to the limit:
//!
//! - a container that writes steadily is looked at ever more often as it comes near, down to once a [`SHORTEST`]: its log
//!   is rotated within what it writes in that time beyond the limit;
//! - one that suddenly writes faster has the rest of its wait, so at most what it writes in the interval, as upstream
//!   grants to everyone;
//! - one that writes little is looked at once an interval.

use std::time::Duration;

use super::LogPolicy;

/// Shortest time between two looks, and two rotations: names tell whole seconds.
pub const SHORTEST: Duration = Duration::from_secs(1);

/// What looks at a log have told so far.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Growth {
    /// Size at the last look.
    size: Option<u64>,
    /// Bytes a second: the fastest lately.
    rate: f64,
}

impl Growth {
    /// Takes what a look told, `since_last` after the last, and says how long to wait until the next.
    #[must_use]
    pub fn looked(
        &mut self,
        policy: LogPolicy,
        interval: Duration,
        size: u64,
        since_last: Duration,
    ) -> Duration {
        let before = self.size.replace(size);
        let Some(before) = before else {
            // Nothing is known: find out.
            return SHORTEST.min(interval);
        };
        let seconds = since_last.max(Duration::from_millis(1)).as_secs_f64();
        let rate = precise(size.saturating_sub(before)) / seconds;
        // A burst is remembered for some looks.
        self.rate = rate.max(self.rate / 2.0);
        let left = precise(policy.max_size.saturating_sub(size));
        let half = Duration::try_from_secs_f64(left / self.rate / 2.0).unwrap_or(Duration::MAX);
        half.max(SHORTEST).min(interval)
    }

    /// The log was rotated and begins anew.
    pub fn rotated(&mut self) {
        self.size = Some(0);
    }
}

#[expect(clippy::cast_precision_loss, reason = "a guess of when to look")]
fn precise(bytes: u64) -> f64 {
    bytes as f64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MIB: u64 = 1 << 20;
    const POLICY: LogPolicy = LogPolicy { max_size: 10 * MIB, max_files: 5 };
    const INTERVAL: Duration = Duration::from_secs(10);

    #[test]
    fn the_nearer_the_sooner() {
        let mut growth = Growth::default();
        let mut look = |size, since| growth.looked(POLICY, INTERVAL, size, Duration::from_secs(since));
        assert_eq!(look(0, 0), SHORTEST, "nothing is known at first");
        assert_eq!(look(0, 1), INTERVAL, "silent");
        assert_eq!(look(MIB / 10, 10), INTERVAL, "slow");
        assert_eq!(look(2 * MIB + MIB / 10, 1).as_millis(), 1975, "2 MiB a second, 7.9 left");
        assert_eq!(look(9 * MIB, 3), SHORTEST);
        // The burst is over, and forgotten after some looks.
        let waits: Vec<u64> = (0..6).map(|_| look(9 * MIB, 1).as_secs()).collect();
        assert_eq!(waits, [1, 1, 1, 3, 6, 10]);
    }

    proptest! {
        /// A steady writer's log never exceeds its limit by more than what is written in the shortest wait, once it
        /// was looked at twice.
        #[test]
        fn steady_writers_do_not_overshoot(rate in 1_u64..(8 * MIB), begin in 0_u64..MIB) {
            let mut growth = Growth::default();
            let (mut size, mut since) = (begin, Duration::ZERO);
            for _ in 0..10_000 {
                if size >= POLICY.max_size {
                    break;
                }
                since = growth.looked(POLICY, INTERVAL, size, since);
                prop_assert!(since >= SHORTEST && since <= INTERVAL);
                size += (precise(rate) * since.as_secs_f64()) as u64;
            }
            prop_assert!(size <= POLICY.max_size + rate, "{size} with {rate} a second");
        }
    }
}
