//! Places for pulls: so many may be under way at once, in the order in which they were asked for.
//!
//! Who has a place is known, so that those who wait can be told for whom they wait.

use std::{collections::BTreeMap, sync::Arc};

use lifecycle::{Tick, explain::PullsNote, record::Stamp};
use parking_lot::Mutex;
use seams::Clock;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::records::traced;

/// The places of the node.
pub(super) struct Places {
    clock: Arc<dyn Clock>,
    places: usize,
    free: Arc<Semaphore>,
    taken: Arc<Mutex<Taken>>,
}

impl std::fmt::Debug for Places {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Places")
            .field("places", &self.places)
            .field("free", &self.free)
            .finish_non_exhaustive()
    }
}

/// Pulls under way, by their number: which image, and since when.
#[derive(Debug, Default)]
struct Taken {
    next: u64,
    pulls: BTreeMap<u64, (String, Tick)>,
}

/// A place; free again when it is dropped.
pub(super) struct Place {
    number: u64,
    taken: Arc<Mutex<Taken>>,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.taken.lock().pulls.remove(&self.number);
    }
}

impl Places {
    /// All are free; there is at least one.
    pub(super) fn new(places: usize, clock: Arc<dyn Clock>) -> Self {
        let places = places.max(1);
        Self { clock, places, free: Arc::new(Semaphore::new(places)), taken: Arc::default() }
    }

    /// A place for the pull of an image; waits for one in the record of the pod's step.
    pub(super) async fn take(&self, image: &str) -> Place {
        let permit = match Arc::clone(&self.free).try_acquire_owned() {
            Ok(permit) => Some(permit),
            Err(_) => {
                let _wait = traced::wait(&*self.clock);
                // The semaphore is never closed; were it, pulling without a limit beats not pulling.
                Arc::clone(&self.free).acquire_owned().await.ok()
            }
        };
        let mut taken = self.taken.lock();
        let number = taken.next;
        taken.next += 1;
        taken.pulls.insert(number, (image.to_owned(), self.clock.now()));
        Place { number, taken: Arc::clone(&self.taken), _permit: permit }
    }

    /// The pulls that are under way.
    pub(super) fn note(&self) -> PullsNote {
        let taken = self.taken.lock();
        let oldest = taken.pulls.first_key_value();
        let oldest = oldest.map(|(_, (image, since))| (image.clone(), Stamp::from(*since)));
        PullsNote { places: self.places, under_way: taken.pulls.len(), oldest }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use fakes::clock::HandClock;

    use super::*;

    #[tokio::test]
    async fn those_who_pull_are_known_from_their_turn_to_their_end() {
        let clock = Arc::new(HandClock::at("2026-11-24T01:02:03Z".parse().unwrap()));
        let places = Places::new(2, Arc::clone(&clock) as Arc<dyn Clock>);
        let oldest = || places.note().oldest.map(|(image, since)| (image, since.mono() / 1_000_000));
        let first = places.take("a").await;
        clock.set(Duration::from_secs(5));
        let second = places.take("b").await;
        let mut third = Box::pin(places.take("c"));
        assert!(futures::poll!(third.as_mut()).is_pending());
        assert_eq!((places.note().places, places.note().under_way), (2, 2));
        assert_eq!(oldest(), Some(("a".to_owned(), 0)));
        clock.set(Duration::from_secs(9));
        drop(first);
        assert_eq!((places.note().under_way, oldest()), (1, Some(("b".to_owned(), 5))));
        let third = third.await;
        drop(second);
        assert_eq!(oldest(), Some(("c".to_owned(), 9)), "from its turn on, not from when it was asked for");
        drop(third);
        assert_eq!((places.note().under_way, oldest()), (0, None));
    }
}
