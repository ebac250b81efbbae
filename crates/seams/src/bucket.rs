//! A token bucket: so many turns at once, and one each interval for ever.

use std::{collections::BTreeSet, time::Duration};

use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until};

/// The bucket.
#[derive(Debug)]
pub struct TokenBucket {
    interval: Duration,
    depth: Duration,
    turns: Mutex<Turns>,
}

#[derive(Debug)]
struct Turns {
    /// When the bucket will be full again.
    full_at: Instant,
    /// Turns that others who wait come after. They are given out again for the time that they had: earlier, and those
    /// who come after them would be too many.
    given_back: BTreeSet<Instant>,
}

/// A turn that has not come yet.
struct Reserved<'a> {
    bucket: &'a TokenBucket,
    at: Instant,
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        self.bucket.give_back(self.at);
    }
}

impl TokenBucket {
    /// A full bucket of `burst` turns, at least one, that gets another each `interval`.
    #[must_use]
    pub fn new(interval: Duration, burst: u32) -> Self {
        let turns = Turns { full_at: Instant::now(), given_back: BTreeSet::new() };
        Self { interval, depth: interval.saturating_mul(burst.max(1)), turns: Mutex::new(turns) }
    }

    /// Waits for a turn. Turns are given in order of arrival. The turn of a future that is dropped while it waits goes to
    /// whoever comes next; nobody's turn moves for that.
    pub async fn turn(&self) {
        let Some(at) = self.reserve() else { return };
        let reserved = Reserved { bucket: self, at };
        sleep_until(at).await;
        // Used: there is nothing to give back.
        std::mem::forget(reserved);
    }

    /// When a turn is that nobody else has, if not now.
    fn reserve(&self) -> Option<Instant> {
        let now = Instant::now();
        let mut turns = self.turns.lock();
        // One whose time went by unused is lost.
        turns.given_back = turns.given_back.split_off(&now);
        if let Some(at) = turns.given_back.pop_first() {
            return Some(at);
        }
        let (full, start) = self.next(turns.full_at, now);
        turns.full_at = full;
        start
    }

    fn give_back(&self, at: Instant) {
        let mut turns = self.turns.lock();
        turns.given_back.insert(at);
        // The last one, and those that become the last one, are as if they had never been.
        while let Some(last) = turns.full_at.checked_sub(self.depth)
            && turns.given_back.remove(&last)
        {
            turns.full_at -= self.interval;
        }
    }

    /// Takes a turn if there is one now.
    #[must_use]
    pub fn take(&self) -> bool {
        let mut turns = self.turns.lock();
        let (full, start) = self.next(turns.full_at, Instant::now());
        if start.is_some() {
            return false;
        }
        turns.full_at = full;
        true
    }

    /// When the bucket is full again after one turn more, and when that turn is, if not now: the bucket is empty when
    /// refilling takes longer than the whole of it.
    fn next(&self, full_at: Instant, now: Instant) -> (Instant, Option<Instant>) {
        let full = full_at.max(now) + self.interval;
        (full, full.checked_sub(self.depth).filter(|start| *start > now))
    }
}

#[cfg(test)]
mod tests {
    use std::{pin::Pin, task::Poll};

    use futures::poll;
    use proptest::{collection::vec, prelude::*};
    use tokio::runtime::Builder;

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

    type Waiting<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

    /// Someone who came, and waits.
    async fn waits(bucket: &TokenBucket) -> Waiting<'_> {
        let mut turn: Waiting<'_> = Box::pin(bucket.turn());
        assert!(poll!(&mut turn).is_pending());
        turn
    }

    #[tokio::test(start_paused = true)]
    async fn the_turn_of_one_who_leaves_is_the_next_ones_and_moves_nobodys() {
        let bucket = TokenBucket::new(Duration::from_secs(1), 1);
        assert!(bucket.take());
        let _first = waits(&bucket).await;
        let second = waits(&bucket).await;
        let third = waits(&bucket).await;
        let begun = Instant::now();
        drop(second);
        bucket.turn().await;
        assert!(near(begun.elapsed(), 2000));
        third.await;
        assert!(near(begun.elapsed(), 3000));
    }

    #[tokio::test(start_paused = true)]
    async fn turns_of_a_line_that_is_gone_are_all_given_back() {
        let bucket = TokenBucket::new(Duration::from_secs(1), 1);
        assert!(bucket.take());
        let mut line = Vec::new();
        for _ in 0..100 {
            line.push(waits(&bucket).await);
        }
        drop(line);
        assert!(near(took(&bucket, 1).await, 1000));
    }

    proptest! {
        #[test]
        fn those_who_leave_let_no_more_through_than_the_rate(
            steps in vec((0..4_u8, 0..100_usize), 1..100),
            burst in 1..4_u32,
        ) {
            let interval = Duration::from_millis(100);
            let clock = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
            let had: Vec<Instant> = clock.block_on(async {
                let bucket = TokenBucket::new(interval, burst);
                let (mut line, mut had) = (Vec::<Waiting<'_>>::new(), Vec::new());
                for (step, which) in steps {
                    match step {
                        0 => line.push(Box::pin(bucket.turn())),
                        1 if !line.is_empty() => drop(line.remove(which % line.len())),
                        _ => tokio::time::advance(interval / 2).await,
                    }
                    let mut left = Vec::new();
                    for mut turn in line {
                        match poll!(&mut turn) {
                            Poll::Ready(()) => had.push(Instant::now()),
                            Poll::Pending => left.push(turn),
                        }
                    }
                    line = left;
                }
                had
            });
            for (i, from) in had.iter().enumerate() {
                for (many, to) in had[i..].iter().enumerate() {
                    let most = u128::from(burst) + (*to - *from).as_millis() / interval.as_millis();
                    prop_assert!((many as u128) < most, "{many} + 1 turns within {:?}", *to - *from);
                }
            }
        }
    }
}
