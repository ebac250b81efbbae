//! Asking the API server, within bounds, and again when it does not answer.
//!
//! A review is asked for by whoever reaches the node's port. So reviews have a rate of their own, and whoever asks for many
//! waits in a line of its own: what others ask takes the API server neither from the node nor from each other.

use std::{collections::HashMap, future::Future, net::IpAddr, sync::Arc, time::Duration};

use parking_lot::Mutex;
use seams::{ApiError, TokenBucket};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Reviews under way at once.
const PLACES: usize = 16;
/// Of those that wait or are under way, from one host.
const PLACES_OF_HOST: usize = 16;
/// Tries of one review, and the first pause between two; it grows by half (upstream's back-off for reviews).
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(500);
/// For a review with all its tries and the wait for a place.
const DEADLINE: Duration = Duration::from_secs(20);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReviewError {
    /// There is no API server to ask.
    #[error("no client provided, cannot use webhook")]
    Standalone,
    /// It answered with an error, or not at all.
    #[error("the API server did not review the request")]
    Failed(#[source] ApiError),
    /// Too many ask, or it is too slow.
    #[error("the review took too long")]
    Late,
    /// One host asks for too many at once.
    #[error("too many reviews are under way for callers of this address")]
    Crowded,
}

/// How often may be asked: so many at once, and so many a second for ever.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// A second.
    pub(super) per_second: u32,
    /// At once.
    pub(super) burst: u32,
}

/// The places and the pace.
#[derive(Debug)]
pub(super) struct Reviewing {
    places: Semaphore,
    /// Only those who have a place take turns, so that turns which nobody waits for any more do not pile up.
    turns: TokenBucket,
    of_host: Mutex<HashMap<IpAddr, usize>>,
    questions: Mutex<Questions>,
}

/// By hash of what is asked about.
type Questions = HashMap<[u8; 32], Arc<Semaphore>>;

/// The right to ask one question, which nobody else asks meanwhile.
#[derive(Debug)]
pub(super) struct Alone<'a> {
    // Goes first: the question counts who still has it.
    _permit: OwnedSemaphorePermit,
    _question: Question<'a>,
}

#[derive(Debug)]
struct Question<'a> {
    questions: &'a Mutex<Questions>,
    key: [u8; 32],
    own: Arc<Semaphore>,
}

impl Drop for Question<'_> {
    fn drop(&mut self) {
        let mut questions = self.questions.lock();
        // The list's and this one.
        if Arc::strong_count(&self.own) == 2 {
            questions.remove(&self.key);
        }
    }
}

/// A host's place in its line.
#[derive(Debug)]
pub(super) struct InLine<'a> {
    of_host: &'a Mutex<HashMap<IpAddr, usize>>,
    host: IpAddr,
}

impl Drop for InLine<'_> {
    fn drop(&mut self) {
        let mut of_host = self.of_host.lock();
        if let Some(places) = of_host.get_mut(&self.host) {
            *places -= 1;
            if *places == 0 {
                of_host.remove(&self.host);
            }
        }
    }
}

impl Reviewing {
    pub(super) fn new(Pace { per_second, burst }: Pace) -> Self {
        Self {
            places: Semaphore::new(PLACES),
            turns: TokenBucket::new(Duration::from_secs(1) / per_second, burst),
            of_host: Mutex::default(),
            questions: Mutex::default(),
        }
    }

    /// Waits until nobody else asks this question: the answer may be known by then.
    pub(super) async fn alone(&self, key: [u8; 32]) -> Result<Alone<'_>, ReviewError> {
        let own = Arc::clone(self.questions.lock().entry(key).or_insert_with(|| Arc::new(Semaphore::new(1))));
        let question = Question { questions: &self.questions, key, own: Arc::clone(&own) };
        let permit = tokio::time::timeout(DEADLINE, own.acquire_owned()).await;
        // Closed never.
        let Ok(Ok(permit)) = permit else { return Err(ReviewError::Late) };
        Ok(Alone { _permit: permit, _question: question })
    }

    /// A place for a review that a host asks for, until it is dropped.
    pub(super) fn line_up(&self, host: IpAddr) -> Result<InLine<'_>, ReviewError> {
        let mut of_host = self.of_host.lock();
        let places = of_host.entry(host).or_default();
        if *places >= PLACES_OF_HOST {
            return Err(ReviewError::Crowded);
        }
        *places += 1;
        Ok(InLine { of_host: &self.of_host, host })
    }

    /// Asks until there is an answer.
    pub(super) async fn ask<T, F>(&self, ask: impl Fn() -> F) -> Result<T, ReviewError>
    where
        F: Future<Output = Result<T, ApiError>>,
    {
        tokio::time::timeout(DEADLINE, self.tries(ask)).await.unwrap_or(Err(ReviewError::Late))
    }

    async fn tries<T, F>(&self, ask: impl Fn() -> F) -> Result<T, ReviewError>
    where
        F: Future<Output = Result<T, ApiError>>,
    {
        // Closed never.
        let Ok(_place) = self.places.acquire().await else { return Err(ReviewError::Late) };
        let (mut left, mut pause) = (TRIES, PAUSE);
        loop {
            left -= 1;
            self.turns.turn().await;
            match ask().await {
                Ok(answer) => return Ok(answer),
                Err(error) if left > 0 && is_passing(&error) => {
                    tracing::debug!(%error, "A review failed and is tried again");
                    tokio::time::sleep(pause).await;
                    pause = pause * 3 / 2;
                }
                Err(error) => return Err(ReviewError::Failed(error)),
            }
        }
    }
}

fn is_passing(error: &ApiError) -> bool {
    match error {
        ApiError::Unreachable { .. } => true,
        ApiError::Status { code, .. } => *code == 429 || *code >= 500,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_burst_is_free_and_the_rest_is_paced() {
        let reviewing = Reviewing::new(Pace { per_second: 10, burst: 50 });
        let begun = Instant::now();
        for _ in 0..50 {
            reviewing.ask(async || Ok(())).await.unwrap();
        }
        assert_eq!(begun.elapsed(), Duration::ZERO);
        for _ in 0..20 {
            reviewing.ask(async || Ok(())).await.unwrap();
        }
        assert!(begun.elapsed() >= Duration::from_millis(1990), "{:?}", begun.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn who_asks_for_many_does_not_hold_others_up() {
        let reviewing = Reviewing::new(Pace { per_second: 10, burst: 1 });
        let (greedy, other) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let asks = (0..1000).map(async |_| {
            let _place = reviewing.line_up(greedy)?;
            reviewing.ask(async || Ok(())).await
        });
        let begun = Instant::now();
        let good = async {
            tokio::task::yield_now().await;
            let _place = reviewing.line_up(other)?;
            reviewing.ask(async || Ok(())).await?;
            Ok::<_, ReviewError>(begun.elapsed())
        };
        let (answers, took) = tokio::join!(futures::future::join_all(asks), good);
        assert!(took.unwrap() < Duration::from_secs(3), "behind one host's share");
        let crowded = answers.iter().filter(|answer| matches!(answer, Err(ReviewError::Crowded))).count();
        assert!(crowded >= 1000 - 2 * PLACES_OF_HOST, "{crowded}: the rest had places one after the other");
        assert!(reviewing.of_host.lock().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn one_question_is_asked_by_one_at_a_time() {
        let reviewing = Reviewing::new(Pace { per_second: 10, burst: 50 });
        let first = reviewing.alone([1; 32]).await.unwrap();
        drop(reviewing.alone([2; 32]).await.unwrap());
        assert_eq!(reviewing.questions.lock().len(), 1);
        let (second, ()) = tokio::join!(reviewing.alone([1; 32]), async {
            tokio::time::sleep(Duration::from_secs(5)).await;
            drop(first);
        });
        let second = second.unwrap();
        assert!(matches!(reviewing.alone([1; 32]).await, Err(ReviewError::Late)));
        drop(second);
        assert!(reviewing.questions.lock().is_empty());
    }
}
