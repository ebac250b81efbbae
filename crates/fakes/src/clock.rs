//! Clocks that a test has in hand. Both of a [`Tick`]'s times go on together.

use std::time::Duration;

use jiff::Timestamp;
use lifecycle::Tick;
use parking_lot::Mutex;
use seams::Clock;
use tokio::time::Instant;

/// Stands still until the test sets it.
#[derive(Debug)]
pub struct HandClock {
    began: Timestamp,
    passed: Mutex<Duration>,
}

impl HandClock {
    /// It begins at this time of the wall.
    #[must_use]
    pub fn at(began: Timestamp) -> Self {
        Self { began, passed: Mutex::default() }
    }

    /// Now so much has passed since the begin.
    pub fn set(&self, passed: Duration) {
        *self.passed.lock() = passed;
    }
}

impl Clock for HandClock {
    fn now(&self) -> Tick {
        let mono = *self.passed.lock();
        Tick { mono, wall: self.began + mono }
    }
}

/// Goes as tokio's time does, which a test may have paused.
#[derive(Debug)]
pub struct TokioClock {
    began: (Timestamp, Instant),
}

impl TokioClock {
    /// Now it is this time of the wall.
    #[must_use]
    pub fn at(wall: Timestamp) -> Self {
        Self { began: (wall, Instant::now()) }
    }
}

impl Clock for TokioClock {
    fn now(&self) -> Tick {
        let mono = self.began.1.elapsed();
        Tick { mono, wall: self.began.0 + mono }
    }
}
