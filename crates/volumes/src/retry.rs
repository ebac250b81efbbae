//! When to ask again for what could not be had while something older serves: nothing else would bring it up. A list
//! that comes late, a token that was refused once: neither is a change that anybody is told of.
//!
//! ```text
//!   (fresh) ── old contents served ──► due after 10 s, 20 s … 5 min ── had at last, or the pod is gone ──► (fresh)
//!                                        ▲                    │
//!                                        └── still old ───────┘
//! ```
//!
//! Invariant: a look for another reason before the retry is due does not put it off.

use std::{collections::BTreeMap, time::Duration};

use lifecycle::delay::{doubled, fnv};
use parking_lot::Mutex;

/// Pause after the first failure: an API server that restarts is back by then.
const FIRST: Duration = Duration::from_secs(10);
/// Longest pause. With 110 pods that is one request in three seconds, of the 50 in one that the node may make.
const LONGEST: Duration = Duration::from_secs(300);
/// What is due already is not looked at at once: the look that it led to may still be under way.
pub(crate) const LEAST_WAIT: Duration = Duration::from_secs(1);

/// How long to wait after so many failures in a row, at least one; less up to a fifth, so that what failed together is
/// not asked for together.
pub(crate) fn pause(failures: u32, whose: &str) -> Duration {
    let whole = doubled(FIRST, failures, LONGEST);
    let spread = fnv(format!("{failures}/{whose}").into_bytes()) % 200;
    whole - whole.mul_f64(f64::from(u32::try_from(spread).unwrap_or(0)) / 1000.0)
}

/// The pods that were served old contents, by uid.
#[derive(Default)]
pub(crate) struct Retries {
    pods: Mutex<BTreeMap<String, Retry>>,
}

struct Retry {
    failures: u32,
    /// When to try again, as the monotonic clock counts.
    at: Duration,
}

impl Retries {
    /// Old contents were served at `now` (monotonic).
    pub(crate) fn served_old(&self, uid: &str, now: Duration) {
        let mut pods = self.pods.lock();
        let retry = pods.entry(uid.to_owned()).or_insert(Retry { failures: 0, at: now });
        if now >= retry.at {
            retry.failures = retry.failures.saturating_add(1);
            retry.at = now.saturating_add(pause(retry.failures, uid));
        }
    }

    /// All of the pod's contents are as they should be, or the pod is gone.
    pub(crate) fn forget(&self, uid: &str) {
        self.pods.lock().remove(uid);
    }

    /// Delay until the pod's volumes want another look; `None` when they do not.
    pub(crate) fn after(&self, uid: &str, now: Duration) -> Option<Duration> {
        self.pods.lock().get(uid).map(|retry| retry.at.saturating_sub(now).max(LEAST_WAIT))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_differ() {
        let mut whole = FIRST;
        for failures in 1..40 {
            let pause = pause(failures, "u1");
            assert!(pause <= whole && pause >= whole.mul_f64(0.8), "{failures}: {pause:?}");
            whole = (whole * 2).min(LONGEST);
        }
        let some: std::collections::BTreeSet<_> = (0..50).map(|pod| pause(6, &format!("u{pod}"))).collect();
        assert!(some.len() > 30, "{}", some.len());
    }

    #[test]
    fn a_look_for_another_reason_does_not_put_the_retry_off() {
        let (retries, seconds) = (Retries::default(), Duration::from_secs);
        assert_eq!(retries.after("u1", seconds(100)), None);
        retries.served_old("u1", seconds(100));
        let due = seconds(100) + retries.after("u1", seconds(100)).unwrap();
        assert!(due <= seconds(110));
        retries.served_old("u1", seconds(105));
        assert_eq!(seconds(105) + retries.after("u1", seconds(105)).unwrap(), due);
        assert_eq!(retries.after("u1", due), Some(LEAST_WAIT));
        retries.served_old("u1", due);
        assert!(retries.after("u1", due).unwrap() > seconds(15));
        assert_eq!(retries.after("u2", due), None);
        retries.forget("u1");
        assert_eq!(retries.after("u1", due), None);
    }
}
