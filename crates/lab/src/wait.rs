//! Waiting for a condition, with a bound. The lab is a tool around real processes, so it lives in the machine's time.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How often a condition is looked at.
const STEP: Duration = Duration::from_millis(50);

/// What one look at a condition saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look<T> {
    /// It holds.
    Ready(T),
    /// It does not; the text says what is missing, for the error.
    NotYet(String),
}

/// A moment to measure from.
#[derive(Clone, Copy, Debug)]
pub struct Since(Instant);

impl Since {
    /// This moment.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the lab measures real processes in the machine's time")]
    pub fn now() -> Self {
        Self(Instant::now())
    }

    /// Time since then.
    #[must_use]
    pub fn elapsed(self) -> Duration {
        self.0.elapsed()
    }

    /// Time from this moment to another; none if the other was earlier.
    #[must_use]
    pub fn until(self, later: Self) -> Duration {
        later.0.saturating_duration_since(self.0)
    }
}

/// The time of day, for comparing with what other processes log.
#[must_use]
pub fn time_of_day() -> jiff::Timestamp {
    jiff::Timestamp::now()
}

/// Let time pass: for measurements that last as long as they last.
#[expect(clippy::disallowed_methods, reason = "the lab waits for real processes in the machine's time")]
pub fn pause(duration: Duration) {
    std::thread::sleep(duration);
}

/// Look at a condition until it holds.
///
/// # Errors
/// The bound is over, with what was missing last; or the look itself fails, which ends the wait.
pub fn until<T>(what: &str, bound: Duration, mut look: impl FnMut() -> Result<Look<T>>) -> Result<T> {
    let since = Since::now();
    loop {
        match look()? {
            Look::Ready(value) => return Ok(value),
            Look::NotYet(missing) if since.elapsed() > bound => {
                bail!("waited {bound:?} for {what}: {missing}");
            }
            Look::NotYet(_) => pause(STEP),
        }
    }
}

/// Look at a yes-or-no condition until it holds.
///
/// # Errors
/// The bound is over.
pub fn until_true(what: &str, bound: Duration, mut holds: impl FnMut() -> bool) -> Result<()> {
    until(what, bound, || Ok(if holds() { Look::Ready(()) } else { Look::NotYet("not so".to_owned()) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_says_what_was_missing() {
        let error =
            until::<()>("rain", Duration::ZERO, || Ok(Look::NotYet("no cloud".to_owned()))).unwrap_err();
        assert!(error.to_string().contains("rain: no cloud"), "{error}");
        assert_eq!(until("it", Duration::ZERO, || Ok(Look::Ready(7))).unwrap(), 7);
    }
}
