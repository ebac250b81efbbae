//! Who may have the runtime make or start something now.
//!
//! Sandboxes, containers and their starts are what a runtime works hard for: network namespaces, CNI's programs, shims,
//! first processes. Fifty at once share the processors, so all of them are done when the last one is, and the switching
//! between them makes that later still. A few at a time are done one after the other: half of the pods run in half of the
//! time. What is nearest to its end goes first, so that pods get done and not only begun; among equals, who came first.
//!
//! Invariants:
//! * a runtime that hangs in some pods does not keep the others waiting: what takes longer than [`HELD`] does not compute,
//!   it waits for something, and its place goes to the next;
//! * nobody waits while there is a place.

use std::{collections::BTreeMap, future::Future, sync::Arc, time::Duration};

use lifecycle::explain::TurnsNote;
use parking_lot::Mutex;
use seams::Clock;
use tokio::{sync::oneshot, time::timeout};

use crate::records::traced;

/// Longest that a call holds its place. A sandbox takes about 0.15 s on an idle machine (containerd 2, CNI's bridge), and
/// a few times that on a full one.
const HELD: Duration = Duration::from_secs(3);

/// What the runtime is asked for, the nearest to a running container first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    /// The start of a container.
    Start,
    /// A container.
    Create,
    /// A sandbox.
    Sandbox,
}

/// Places at the runtime.
#[derive(Clone)]
pub(crate) struct Turns {
    line: Arc<Mutex<Line>>,
    places: usize,
    clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for Turns {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Turns")
            .field("line", &self.line)
            .field("places", &self.places)
            .finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Line {
    free: usize,
    /// Number of the next that comes.
    next: u64,
    waiting: BTreeMap<(Step, u64), oneshot::Sender<Place>>,
}

/// Goes to the next in the line when it is dropped, wherever that happens.
#[derive(Debug)]
struct Place(Turns);

impl Drop for Place {
    fn drop(&mut self) {
        let next = {
            let mut line = self.0.line.lock();
            match line.waiting.pop_first() {
                Some((_, next)) => next,
                None => {
                    line.free += 1;
                    return;
                }
            }
        };
        // One that waits no more drops it, which gives it to the one behind.
        drop(next.send(Self(self.0.clone())));
    }
}

impl Turns {
    /// As many places, at least one.
    pub(crate) fn new(places: usize, clock: Arc<dyn Clock>) -> Self {
        let places = places.max(1);
        let line = Line { free: places, next: 0, waiting: BTreeMap::new() };
        Self { line: Arc::new(Mutex::new(line)), places, clock }
    }

    /// How many places there are, and how many wait for one.
    pub(crate) fn note(&self) -> TurnsNote {
        TurnsNote { places: self.places, waiting: self.line.lock().waiting.len() }
    }

    /// Runs a call when its turn has come.
    pub(crate) async fn take<T>(&self, step: Step, call: impl Future<Output = T>) -> T {
        let place = self.place(step).await;
        let mut call = std::pin::pin!(call);
        if let Ok(done) = timeout(HELD, call.as_mut()).await {
            return done;
        }
        drop(place);
        call.await
    }

    /// Waits for a place, in the record of the pod's step. `None` cannot be: whoever holds one lives.
    async fn place(&self, step: Step) -> Option<Place> {
        let waits = {
            let mut line = self.line.lock();
            if line.free > 0 {
                line.free -= 1;
                return Some(Place(self.clone()));
            }
            let (sender, waits) = oneshot::channel();
            let number = line.next;
            line.next += 1;
            line.waiting.insert((step, number), sender);
            waits
        };
        let _wait = traced::wait(&*self.clock);
        waits.await.ok()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::pending,
        sync::atomic::{AtomicUsize, Ordering},
    };

    use fakes::clock::TokioClock;
    use tokio::{task::JoinSet, time::Instant};

    use super::*;

    fn turns(places: usize) -> Turns {
        Turns::new(places, Arc::new(TokioClock::at("2026-11-24T01:02:03Z".parse().unwrap())))
    }

    #[tokio::test(start_paused = true)]
    async fn so_many_at_once_and_in_order() {
        let turns = turns(2);
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let begun = Instant::now();
        let mut calls = JoinSet::new();
        for number in 0..6_u64 {
            let (turns, now, most) = (turns.clone(), Arc::clone(&now), Arc::clone(&most));
            calls.spawn(async move {
                turns
                    .take(Step::Sandbox, async {
                        most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        tokio::time::sleep(Duration::from_millis(100)).await;
                        now.fetch_sub(1, Ordering::SeqCst);
                    })
                    .await;
                (number, begun.elapsed().as_millis())
            });
        }
        let mut ends = calls.join_all().await;
        ends.sort_unstable();
        assert_eq!(most.load(Ordering::SeqCst), 2);
        assert_eq!(ends, [(0, 100), (1, 100), (2, 200), (3, 200), (4, 300), (5, 300)]);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_hangs_loses_its_place() {
        let turns = turns(1);
        let hanging = turns.clone();
        let hung = tokio::spawn(async move { hanging.take(Step::Sandbox, pending::<()>()).await });
        tokio::task::yield_now().await;
        let begun = Instant::now();
        turns.take(Step::Sandbox, async {}).await;
        assert_eq!(begun.elapsed(), HELD);
        assert!(!hung.is_finished());
        hung.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_is_given_up_leaves_its_place() {
        let turns = turns(1);
        let short = Duration::from_millis(1);
        assert!(timeout(short, turns.take(Step::Sandbox, pending::<()>())).await.is_err());
        assert!(timeout(short, turns.take(Step::Sandbox, async {})).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn no_place_at_all_would_be_no_node() {
        turns(0).take(Step::Sandbox, async {}).await;
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_nearest_to_the_end_goes_first() {
        let turns = turns(1);
        let order = Arc::new(Mutex::new(Vec::new()));
        let held = turns.place(Step::Sandbox).await;
        let mut calls = JoinSet::new();
        for (step, name) in [
            (Step::Sandbox, "a"),
            (Step::Start, "b"),
            (Step::Create, "c"),
            (Step::Start, "d"),
            (Step::Sandbox, "e"),
        ] {
            let (turns, order) = (turns.clone(), Arc::clone(&order));
            calls.spawn(async move { turns.take(step, async { order.lock().push(name) }).await });
            tokio::task::yield_now().await;
        }
        assert_eq!(turns.note(), TurnsNote { places: 1, waiting: 5 });
        drop(held);
        calls.join_all().await;
        assert_eq!(*order.lock(), ["b", "d", "c", "a", "e"]);
        assert_eq!(turns.line.lock().free, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_place_given_to_one_that_is_gone_is_not_lost() {
        let turns = turns(1);
        let held = turns.place(Step::Sandbox).await;
        let mut gone = Box::pin(turns.take(Step::Sandbox, async {}));
        assert!(futures::poll!(gone.as_mut()).is_pending());
        let mut later = Box::pin(turns.take(Step::Sandbox, async {}));
        assert!(futures::poll!(later.as_mut()).is_pending());
        // Its place has been sent, and it never looks.
        drop(held);
        drop(gone);
        later.await;
        assert_eq!(turns.line.lock().free, 1);
    }
}
