//! A reading of both clocks in sixteen bytes: a record holds many.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::Tick;

/// One instant, to the microsecond. Differences are taken on the monotonic clock, so that a jump of the wall clock
/// bends no duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp {
    mono: u64,
    wall: i64,
}

impl From<Tick> for Stamp {
    fn from(tick: Tick) -> Self {
        Self { mono: micros(tick.mono), wall: tick.wall.as_microsecond() }
    }
}

impl Stamp {
    /// Microseconds of the monotonic clock.
    #[must_use]
    pub fn mono(self) -> u64 {
        self.mono
    }

    /// What the wall clock said.
    #[must_use]
    pub fn wall(self) -> Timestamp {
        Timestamp::from_microsecond(self.wall).unwrap_or(Timestamp::UNIX_EPOCH)
    }

    /// Time from `earlier` to this; zero when it is the later one.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.mono.saturating_sub(earlier.mono))
    }

    /// The instant at which the monotonic clock says `mono`, seen from this one.
    #[must_use]
    pub fn at(self, mono: Duration) -> Self {
        let mono = micros(mono);
        let ahead = i64::try_from(mono).unwrap_or(i64::MAX) - i64::try_from(self.mono).unwrap_or(i64::MAX);
        Self { mono, wall: self.wall.saturating_add(ahead) }
    }

    /// The instant that the wall clock, as it goes now, called `wall`.
    #[must_use]
    pub fn when(self, wall: Timestamp) -> Self {
        let ago = Timestamp::from_microsecond(self.wall).unwrap_or(wall).duration_since(wall);
        let micros = i64::try_from(ago.as_micros()).unwrap_or(0);
        let mono = if micros >= 0 {
            self.mono.saturating_sub(micros.unsigned_abs())
        } else {
            self.mono.saturating_add(micros.unsigned_abs())
        };
        Self { mono, wall: wall.as_microsecond() }
    }

    /// The instant `delay` later.
    #[must_use]
    pub fn after(self, delay: Duration) -> Self {
        let wall = SignedDuration::try_from(delay)
            .map_or(i64::MAX, |d| i64::try_from(d.as_micros()).unwrap_or(i64::MAX));
        Self { mono: self.mono.saturating_add(micros(delay)), wall: self.wall.saturating_add(wall) }
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_ignore_the_wall_clock() {
        let tick = |mono: u64, wall: i64| {
            Stamp::from(Tick {
                mono: Duration::from_millis(mono),
                wall: Timestamp::from_second(wall).unwrap(),
            })
        };
        let (first, second) = (tick(1_000, 5_000), tick(1_250, 1_000));
        assert_eq!(second.since(first), Duration::from_millis(250));
        assert_eq!(first.since(second), Duration::ZERO);
        let later = first.at(Duration::from_millis(4_000));
        assert_eq!(later.wall(), Timestamp::from_second(5_003).unwrap());
        assert_eq!(later, first.after(Duration::from_secs(3)));
        let before = first.when(Timestamp::from_millisecond(4_999_500).unwrap());
        assert_eq!(first.since(before), Duration::from_millis(500));
    }
}
