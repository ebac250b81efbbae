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
/// Requests that wait for one question's answer, from one host and in all. Each holds its head meanwhile, and whoever reaches
/// the port may send many on a connection; a scraper asks for a few pages at once.
pub(super) const WAITING_OF_HOST: usize = 64;
const WAITING: usize = 512;
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
    /// One host asks for too many at once, or all together do.
    #[error("too many requests wait for reviews, of this address or in all")]
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
    line: Line,
    waiting: Line,
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
    _waiting: InLine<'a>,
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

/// A line with so many places, and so many for one host.
#[derive(Debug)]
pub(super) struct Line {
    all: usize,
    of_host: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    of_host: HashMap<IpAddr, usize>,
}

/// A host's place in a line, until it is dropped.
#[derive(Debug)]
pub(super) struct InLine<'a> {
    line: &'a Line,
    host: IpAddr,
}

impl Line {
    pub(super) fn new(all: usize, of_host: usize) -> Self {
        Self { all, of_host, taken: Mutex::default() }
    }

    /// A place, or [`ReviewError::Crowded`].
    pub(super) fn join(&self, host: IpAddr) -> Result<InLine<'_>, ReviewError> {
        let mut taken = self.taken.lock();
        let of_host = taken.of_host.get(&host).copied().unwrap_or_default();
        if taken.all >= self.all || of_host >= self.of_host {
            return Err(ReviewError::Crowded);
        }
        taken.all += 1;
        taken.of_host.insert(host, of_host + 1);
        Ok(InLine { line: self, host })
    }
}

impl Drop for InLine<'_> {
    fn drop(&mut self) {
        let mut taken = self.line.taken.lock();
        taken.all -= 1;
        if let Some(places) = taken.of_host.get_mut(&self.host) {
            *places -= 1;
            if *places == 0 {
                taken.of_host.remove(&self.host);
            }
        }
    }
}

impl Reviewing {
    pub(super) fn new(Pace { per_second, burst }: Pace) -> Self {
        Self {
            places: Semaphore::new(PLACES),
            turns: TokenBucket::new(Duration::from_secs(1) / per_second, burst),
            line: Line::new(usize::MAX, PLACES_OF_HOST),
            waiting: Line::new(WAITING, WAITING_OF_HOST),
            questions: Mutex::default(),
        }
    }

    /// Waits until nobody else asks this question: the answer may be known by then. Few of a host may wait.
    pub(super) async fn alone(&self, key: [u8; 32], host: IpAddr) -> Result<Alone<'_>, ReviewError> {
        let waiting = self.waiting.join(host)?;
        let own = Arc::clone(self.questions.lock().entry(key).or_insert_with(|| Arc::new(Semaphore::new(1))));
        let question = Question { questions: &self.questions, key, own: Arc::clone(&own) };
        let permit = tokio::time::timeout(DEADLINE, own.acquire_owned()).await;
        // Closed never.
        let Ok(Ok(permit)) = permit else { return Err(ReviewError::Late) };
        Ok(Alone { _permit: permit, _question: question, _waiting: waiting })
    }

    /// A place for a review that a host asks for, until it is dropped.
    pub(super) fn line_up(&self, host: IpAddr) -> Result<InLine<'_>, ReviewError> {
        self.line.join(host)
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
        assert!(reviewing.line.taken.lock().of_host.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn one_question_is_asked_by_one_at_a_time() {
        let reviewing = Reviewing::new(Pace { per_second: 10, burst: 50 });
        let host = IpAddr::from([10, 0, 0, 1]);
        let first = reviewing.alone([1; 32], host).await.unwrap();
        drop(reviewing.alone([2; 32], host).await.unwrap());
        assert_eq!(reviewing.questions.lock().len(), 1);
        let (second, ()) = tokio::join!(reviewing.alone([1; 32], host), async {
            tokio::time::sleep(Duration::from_secs(5)).await;
            drop(first);
        });
        let second = second.unwrap();
        assert!(matches!(reviewing.alone([1; 32], host).await, Err(ReviewError::Late)));
        drop(second);
        assert!(reviewing.questions.lock().is_empty());
    }

    /// Whether a request has to wait for the answer; one that may not is refused at once.
    async fn waits(reviewing: &Reviewing, last: u8) -> bool {
        let begun = Instant::now();
        match reviewing.alone([1; 32], IpAddr::from([10, 0, 0, last])).await {
            Err(ReviewError::Crowded) if begun.elapsed().is_zero() => false,
            Err(ReviewError::Late) => true,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn few_wait_for_what_another_asks() {
        let reviewing = Reviewing::new(Pace { per_second: 10, burst: 50 });
        let asks = reviewing.alone([1; 32], IpAddr::from([10, 0, 0, 255])).await.unwrap();
        let count = |waited: Vec<bool>| waited.into_iter().filter(|waited| *waited).count();
        let of_one = futures::future::join_all((0..1000).map(|_| waits(&reviewing, 1))).await;
        assert_eq!(count(of_one), WAITING_OF_HOST);
        let hosts = (0..4).flat_map(|_| 0..250_u8);
        let of_many = futures::future::join_all(hosts.map(|last| waits(&reviewing, last))).await;
        assert_eq!(count(of_many), WAITING - 1, "who asks has a place too");
        drop(asks);
        assert!(reviewing.waiting.taken.lock().of_host.is_empty());
    }
}
