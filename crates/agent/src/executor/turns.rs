//! Who may have the runtime make a sandbox now.
//!
//! Making a sandbox is the most costly thing that a runtime does for a pod: a network namespace, CNI's programs, a
//! shim, the first process. Fifty at once share the processors, so all of them are done when the last one is, and the
//! switching between them makes that later still. A few at a time, in the order in which the pods came, are done one
//! after the other: half of the pods run in half of the time.
//!
//! Invariant: a runtime that hangs in some pods does not keep the others waiting. What takes longer than [`HELD`]
//! does not compute, it waits for something, and its place goes to the next.

use std::{future::Future, sync::Arc, time::Duration};

use tokio::{sync::Semaphore, time::timeout};

/// Longest that a sandbox in the making holds its place. One takes about 0.15 s on an idle machine (containerd 2, CNI's
/// bridge), and a few times that on a full one.
const HELD: Duration = Duration::from_secs(3);

/// Places at the runtime, given in the order of asking.
#[derive(Clone, Debug)]
pub(crate) struct Turns(Arc<Semaphore>);

impl Turns {
    /// As many places, at least one.
    pub(crate) fn new(places: usize) -> Self {
        Self(Arc::new(Semaphore::new(places.max(1))))
    }

    /// Runs a call when its turn has come.
    pub(crate) async fn take<T>(&self, call: impl Future<Output = T>) -> T {
        let place = self.0.acquire().await;
        let mut call = std::pin::pin!(call);
        if let Ok(done) = timeout(HELD, call.as_mut()).await {
            return done;
        }
        drop(place);
        call.await
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::pending,
        sync::atomic::{AtomicUsize, Ordering},
    };

    use tokio::{task::JoinSet, time::Instant};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn so_many_at_once_and_in_order() {
        let turns = Turns::new(2);
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let begun = Instant::now();
        let mut calls = JoinSet::new();
        for number in 0..6_u64 {
            let (turns, now, most) = (turns.clone(), Arc::clone(&now), Arc::clone(&most));
            calls.spawn(async move {
                turns
                    .take(async {
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
        let turns = Turns::new(1);
        let hanging = turns.clone();
        let hung = tokio::spawn(async move { hanging.take(pending::<()>()).await });
        tokio::task::yield_now().await;
        let begun = Instant::now();
        turns.take(async {}).await;
        assert_eq!(begun.elapsed(), HELD);
        assert!(!hung.is_finished());
        hung.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_is_given_up_leaves_its_place() {
        let turns = Turns::new(1);
        let short = Duration::from_millis(1);
        assert!(timeout(short, turns.take(pending::<()>())).await.is_err());
        assert!(timeout(short, turns.take(async {})).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn no_place_at_all_would_be_no_node() {
        Turns::new(0).take(async {}).await;
    }
}
