//! CPU by time, from two readings of each group.
//!
//! Each group keeps one earlier reading. It stays until it is [`KEEP`] old, so that scrapers which come in quick
//! succession do not make rates of ever shorter spans.

use std::{collections::HashMap, sync::Arc, time::Duration};

use jiff::Timestamp;
use seams::stats::{Depth, GroupReading};

/// Least time between two readings that make a rate: shorter ones say more about the scheduler than about the load.
pub(super) const LEAST: Duration = Duration::from_secs(1);
/// Age at which an earlier reading makes way: upstream's own interval of readings.
const KEEP: Duration = Duration::from_secs(10);
/// Age at which an earlier reading is too old to tell what is used now. Longer than the usual intervals of scrapers.
pub(super) const OLDEST: Duration = Duration::from_secs(90);

#[derive(Clone, Copy)]
struct Earlier {
    at: Timestamp,
    usage_ns: u64,
    /// What was computed last.
    rate: Option<u64>,
    /// In which round it was seen.
    round: u64,
}

/// Earlier readings by path.
#[derive(Default)]
pub(super) struct Rates {
    groups: HashMap<Arc<str>, Earlier>,
    round: u64,
    /// When the newest reading of all groups was made: some pages want fewer.
    newest: Option<Timestamp>,
}

impl Rates {
    /// Whether a reading now would have nothing to be compared with.
    pub(super) fn is_stale(&self, now: Timestamp) -> bool {
        self.newest.is_none_or(|newest| {
            // A clock that was put back makes every earlier reading useless.
            Duration::try_from(now.duration_since(newest)).is_ok_and(|age| age > OLDEST) || newest > now
        })
    }

    /// Begins a round: one snapshot.
    pub(super) fn begin(&mut self, at: Timestamp, depth: Depth) {
        self.round += 1;
        if depth >= Depth::Summary {
            self.newest = Some(at);
        }
    }

    /// Ends a round: groups that were not in it, nor in another one lately, are gone.
    pub(super) fn end(&mut self, at: Timestamp) {
        let round = self.round;
        let lately = |earlier: &Earlier| span(earlier.at, at).is_some_and(|age| age < OLDEST);
        self.groups.retain(|_, earlier| earlier.round == round || lately(earlier));
    }

    /// Billionths of a CPU that a group used since the earlier reading.
    pub(super) fn of(&mut self, reading: &GroupReading) -> Option<u64> {
        let usage_ns = reading.cpu?.usage_ns;
        let (at, round) = (reading.read_at, self.round);
        let new = Earlier { at, usage_ns, rate: None, round };
        let Some(earlier) = self.groups.get_mut(&reading.path) else {
            // A young group used nothing before it was made: that is an earlier reading too.
            let made = reading.created_at.filter(|made| span(*made, at).is_some_and(|age| age < OLDEST));
            let rate = made.and_then(|made| rate(0, usage_ns, span(made, at)?));
            self.groups.insert(Arc::clone(&reading.path), Earlier { rate, ..new });
            return rate;
        };
        earlier.round = round;
        let Some(span) = span(earlier.at, at).filter(|_| usage_ns >= earlier.usage_ns) else {
            // Another group of the same name, or another time.
            *earlier = new;
            return None;
        };
        if let Some(rate) = rate(earlier.usage_ns, usage_ns, span) {
            earlier.rate = Some(rate);
            if span > OLDEST {
                *earlier = Earlier { rate: None, ..new };
            } else if span >= KEEP {
                *earlier = Earlier { rate: Some(rate), ..new };
            }
        }
        earlier.rate
    }
}

fn span(from: Timestamp, to: Timestamp) -> Option<Duration> {
    Duration::try_from(to.duration_since(from)).ok()
}

fn rate(before: u64, after: u64, span: Duration) -> Option<u64> {
    if span < LEAST {
        return None;
    }
    let used = u128::from(after.checked_sub(before)?);
    u64::try_from(used * 1_000_000_000 / span.as_nanos()).ok()
}

#[cfg(test)]
mod tests {
    use seams::stats::Cpu;

    use super::*;

    fn reading(seconds: f64, usage_ns: u64) -> GroupReading {
        GroupReading {
            path: "/a".into(),
            read_at: Timestamp::UNIX_EPOCH + Duration::from_secs_f64(1000.0 + seconds),
            cpu: Some(Cpu { usage_ns, ..Cpu::default() }),
            ..GroupReading::default()
        }
    }

    fn round(rates: &mut Rates, reading: &GroupReading) -> Option<u64> {
        rates.begin(reading.read_at, Depth::Summary);
        let rate = rates.of(reading);
        rates.end(reading.read_at);
        rate
    }

    #[test]
    fn two_readings_make_a_rate() {
        let mut rates = Rates::default();
        assert!(rates.is_stale(Timestamp::UNIX_EPOCH));
        assert_eq!(round(&mut rates, &reading(0.0, 500)), None);
        assert_eq!(round(&mut rates, &reading(0.5, 900_000_000)), None, "too soon");
        assert_eq!(round(&mut rates, &reading(2.0, 1_000_000_500)), Some(500_000_000), "against the first");
        assert_eq!(round(&mut rates, &reading(2.1, 2_000_000_500)), Some(952_380_952));
        assert_eq!(round(&mut rates, &reading(20.0, 2_000_000_500)), Some(100_000_000));
        assert_eq!(
            round(&mut rates, &reading(20.2, 2_000_000_500)),
            Some(100_000_000),
            "what was computed last"
        );
        assert_eq!(
            round(&mut rates, &reading(22.0, 2_000_000_500)),
            Some(0),
            "the reading at 20 s is the earlier one"
        );
    }

    #[test]
    fn a_new_group_of_the_same_name_and_a_clock_put_back_begin_anew() {
        let mut rates = Rates::default();
        round(&mut rates, &reading(0.0, 5000));
        assert_eq!(round(&mut rates, &reading(5.0, 100)), None);
        assert_eq!(round(&mut rates, &reading(10.0, 5_000_000_100)), Some(1_000_000_000));
        assert_eq!(round(&mut rates, &reading(3.0, 6_000_000_100)), None);
        assert!(rates.is_stale(reading(1.0, 0).read_at));
    }

    #[test]
    fn a_young_group_is_compared_with_its_birth() {
        let mut rates = Rates::default();
        let born = |age: u64| GroupReading {
            created_at: Some(reading(0.0, 0).read_at - Duration::from_secs(age)),
            ..reading(0.0, 4_000_000_000)
        };
        assert_eq!(round(&mut rates, &born(4)), Some(1_000_000_000));
        assert_eq!(round(&mut Rates::default(), &born(4000)), None);
    }

    #[test]
    fn old_readings_are_not_compared_with() {
        let mut rates = Rates::default();
        round(&mut rates, &reading(0.0, 0));
        assert!(!rates.is_stale(reading(90.0, 0).read_at));
        assert!(rates.is_stale(reading(91.0, 0).read_at));
        assert_eq!(round(&mut rates, &reading(100.0, 9_000_000_000)), None);
        assert_eq!(round(&mut rates, &reading(101.0, 9_500_000_000)), Some(500_000_000));
    }

    #[test]
    fn groups_that_are_gone_are_forgotten() {
        let mut rates = Rates::default();
        round(&mut rates, &reading(0.0, 0));
        for (seconds, left) in [(2.0, 1), (100.0, 0)] {
            let at = reading(seconds, 0).read_at;
            rates.begin(at, Depth::Resource);
            rates.end(at);
            assert_eq!(rates.groups.len(), left);
        }
    }
}
