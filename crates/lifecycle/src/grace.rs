//! Grace periods: numbers of objects as durations that every clock and every call can carry.

use std::time::Duration;

/// Grace when a spec names none: the API's default (contract §9).
pub const DEFAULT: Duration = Duration::from_secs(30);

/// Longest grace in force, ten years: the API takes any number of seconds, but an instant that far ahead cannot be told, nor
/// does a deadline of gRPC have room for it. To a pod it is for ever all the same.
pub const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// The grace of so many seconds; less than none is none.
#[must_use]
pub fn of(seconds: i64) -> Duration {
    Duration::from_secs(u64::try_from(seconds).unwrap_or(0)).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_number_has_a_grace() {
        assert_eq!(of(i64::MIN), Duration::ZERO);
        assert_eq!(of(7), Duration::from_secs(7));
        assert_eq!(of(i64::MAX), LONGEST);
    }
}
