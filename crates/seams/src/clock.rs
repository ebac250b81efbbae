//! The clock as an argument: production reads the machine's, tests and the simulation bring their own.

use std::time::Duration;

use lifecycle::Tick;

/// Reads both clocks at once.
pub trait Clock: Send + Sync + 'static {
    /// Now.
    fn now(&self) -> Tick;
}

/// The machine's clocks.
#[derive(Debug)]
pub struct SystemClock {
    began: std::time::Instant,
}

impl SystemClock {
    /// Starts counting monotonic time at zero.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
    pub fn start() -> Self {
        Self { began: std::time::Instant::now() }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Tick {
        let mono: Duration = self.began.elapsed();
        Tick { mono, wall: jiff::Timestamp::now() }
    }
}
