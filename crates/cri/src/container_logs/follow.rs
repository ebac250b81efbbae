//! Sends a log to who asked for it, and follows it if so wished.
//!
//! ```text
//!          ┌──────────── something happened, or silence ───────────┐
//!          ▼                                                       │
//!   read to the end ──▶ newest file, or renamed ──────────────▶ wait
//!          ▲       ├──▶ there is a newer one ──▶ written to the end? ──▶ next file
//!          │       │                                  no: wait shortly        │
//!          │       └──▶ container had ended before this reading: the end      │
//!          └──────────────────────────────────────────────────────────────────┘
//! ```
//!
//! Invariants:
//! - a decision that a file is complete comes before the reading that finds its end, so that nothing written before the
//!   decision is missed;
//! - nothing is read while the receiver has not taken what was read before;
//! - a runtime that does not answer holds up nothing but the end.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt};
use lifecycle::ContainerId;
use seams::{
    RuntimeError,
    logs::{LogError, LogSource},
};
use tokio::{sync::mpsc, time::Instant};

use super::{
    Alive,
    reader::{Position, Reached, Reader},
    watch::{Noticed, Watch},
};

/// How long after its successor came a file is waited for that its writer did not visibly close. A runtime swaps files
/// within a millisecond; this is for one that is held up.
const SETTLE: Duration = Duration::from_millis(100);
/// Silence after which the runtime is asked whether the container still runs; upstream looks as often.
const SILENCE: Duration = Duration::from_secs(1);
/// The pause between two such questions grows up to this: a log closes when its container ends, which is noticed at
/// once; this is for runtimes that leave it open.
const LONGEST_SILENCE: Duration = Duration::from_secs(5);
/// A log closes a little before its container is known to have ended.
const AFTER_CLOSE: Duration = Duration::from_millis(20);

/// What the receiver gets.
pub(super) type Pieces = mpsc::Sender<Result<Bytes, LogError>>;

/// Sends everything that is wanted.
pub(super) async fn send(
    reader: Reader,
    source: LogSource,
    follow: bool,
    alive: Arc<dyn Alive>,
    out: Pieces,
) {
    let mut sending = Sending { reader: Some(reader), out };
    let sent = if follow {
        let questions = Questions::new(source.container, alive);
        Follower { watch: None, watched: false, questions }.run(&mut sending).await
    } else {
        sending.whole().await
    };
    if let Err(Some(error)) = sent {
        // Nobody may be there any more.
        let _ = sending.out.send(Err(error)).await;
    }
}

/// The reader goes to the blocking pool and comes back with each piece of work.
struct Sending {
    reader: Option<Reader>,
    out: Pieces,
}

/// Why it ended early: an error, or `None` when the receiver is gone.
type Ended = Option<LogError>;

impl Sending {
    /// Does something with the reader on the blocking pool.
    async fn on_disk<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Reader) -> Result<T, LogError> + Send + 'static,
    ) -> Result<T, Ended> {
        let Some(mut reader) = self.reader.take() else { return Err(None) };
        let done = tokio::task::spawn_blocking(move || {
            let done = work(&mut reader);
            (reader, done)
        });
        // The pool is gone when the process ends.
        let (reader, done) = done.await.map_err(|_| None)?;
        self.reader = Some(reader);
        done.map_err(Some)
    }

    async fn piece(&self, piece: Bytes) -> Result<(), Ended> {
        if piece.is_empty() {
            return if self.out.is_closed() { Err(None) } else { Ok(()) };
        }
        self.out.send(Ok(piece)).await.map_err(|_| None)
    }

    /// Sends what there is of the open file by now.
    async fn catch_up(&mut self) -> Result<(Reached, bool), Ended> {
        let mut any = false;
        loop {
            let (piece, reached) = self.on_disk(Reader::advance).await?;
            any |= !piece.is_empty();
            self.piece(piece).await?;
            if reached != Reached::Middle {
                return Ok((reached, any));
            }
        }
    }

    async fn finish(&mut self) -> Result<(), Ended> {
        let rest = self.on_disk(|reader| Ok(reader.finish())).await?;
        self.piece(rest).await
    }

    /// What is there by now, without following.
    async fn whole(&mut self) -> Result<(), Ended> {
        match self.catch_up().await? {
            (Reached::Limit, _) => Ok(()),
            _ => self.finish().await,
        }
    }
}

/// What following needs besides.
struct Follower {
    watch: Option<Watch>,
    /// Whether a watch was tried.
    watched: bool,
    questions: Questions,
}

impl Follower {
    async fn run(mut self, sending: &mut Sending) -> Result<(), Ended> {
        // Since when there is a newer file than the open one.
        let mut behind: Option<Instant> = None;
        loop {
            // Both before the reading: see the invariants.
            let ended = self.questions.ended;
            let complete = match behind {
                Some(since) => ended || since.elapsed() >= SETTLE || self.is_closed(sending),
                None => false,
            };
            let (reached, any) = sending.catch_up().await?;
            if reached == Reached::Limit {
                return Ok(());
            }
            if any {
                self.questions.postpone();
            }
            if complete {
                behind = None;
                let rest = sending.on_disk(Reader::go_on_to_next).await?;
                sending.piece(rest).await?;
                continue;
            }
            match sending.on_disk(Reader::position).await? {
                Position::Behind => {
                    let since = *behind.get_or_insert_with(Instant::now);
                    if ended || self.is_closed(sending) {
                        continue;
                    }
                    self.wait(sending, Some(since + SETTLE)).await?;
                    continue;
                }
                Position::Newest | Position::Renamed => behind = None,
            }
            if ended {
                return sending.finish().await;
            }
            if self.watched {
                self.wait(sending, None).await?;
            } else {
                // What happened before the watch began is found by looking once more.
                self.watched = true;
                self.watch = sending.reader.as_ref().and_then(start_watch);
            }
        }
    }

    /// Whether nobody writes the open file any more, as far as one can see.
    fn is_closed(&self, sending: &Sending) -> bool {
        let Some(reader) = &sending.reader else { return true };
        let closed = |watch: &Watch| reader.rotated_as().is_some_and(|name| watch.is_closed(&name));
        reader.is_compressed() || self.watch.as_ref().is_some_and(closed)
    }

    /// Waits for something to happen to the files or to the container.
    async fn wait(&mut self, sending: &Sending, until: Option<Instant>) -> Result<(), Ended> {
        // Without a watch files are looked at as often as without inotify upstream.
        let look = until.unwrap_or_else(|| Instant::now() + SILENCE);
        let timed = until.is_some() || self.watch.is_none();
        let noticed = async {
            match &mut self.watch {
                Some(watch) => watch.next().await,
                None => std::future::pending().await,
            }
        };
        // Cancel-safe: events have their effect in `next` before it ends, the question to the runtime is kept by its
        // owner, and the others only wait.
        tokio::select! {
            () = sending.out.closed() => Err(None),
            noticed = noticed => {
                match noticed {
                    Ok(Noticed::Change) => {}
                    Ok(Noticed::Closed) => self.questions.ask_soon(),
                    Err(error) => {
                        tracing::debug!(%error, "The watch of a log broke; looking at it at intervals");
                        self.watch = None;
                    }
                }
                Ok(())
            }
            answer = self.questions.answer() => answer.map_err(Some),
            () = tokio::time::sleep_until(look), if timed => Ok(()),
        }
    }
}

fn start_watch(reader: &Reader) -> Option<Watch> {
    let dir = reader.dir();
    Watch::start(&dir.own_path(), dir.name())
        .inspect_err(|error| {
            tracing::warn!(
                %error,
                hint = "raise fs.inotify.max_user_instances and fs.inotify.max_user_watches",
                "A followed log cannot be watched; looking at it every second"
            );
        })
        .ok()
}

/// Asks the runtime whether the container still runs: at once, when its log is closed, and after silence.
struct Questions {
    container: ContainerId,
    alive: Arc<dyn Alive>,
    asked: Option<BoxFuture<'static, Result<bool, RuntimeError>>>,
    next_at: Instant,
    pause: Duration,
    /// The first answer is there. What was written before the following began says nothing.
    answered: bool,
    /// The container runs no more.
    ended: bool,
}

impl Questions {
    fn new(container: ContainerId, alive: Arc<dyn Alive>) -> Self {
        Self {
            container,
            alive,
            asked: None,
            next_at: Instant::now(),
            pause: SILENCE,
            answered: false,
            ended: false,
        }
    }

    /// The container has just written something.
    fn postpone(&mut self) {
        let soon = Instant::now() + SILENCE;
        if self.answered && self.pause >= SILENCE {
            self.pause = SILENCE;
            self.next_at = self.next_at.max(soon);
        }
    }

    /// The container may just have ended.
    fn ask_soon(&mut self) {
        self.pause = AFTER_CLOSE;
        self.next_at = Instant::now();
    }

    /// Waits for the next answer. Cancel-safe: a question under way stays so.
    async fn answer(&mut self) -> Result<(), LogError> {
        if self.ended {
            return std::future::pending().await;
        }
        if self.asked.is_none() {
            tokio::time::sleep_until(self.next_at).await;
        }
        let asked = self.asked.get_or_insert_with(|| {
            let (alive, container) = (Arc::clone(&self.alive), self.container.clone());
            async move { alive.runs(&container).await }.boxed()
        });
        let answer = asked.await;
        self.asked = None;
        self.answered = true;
        self.next_at = Instant::now() + self.pause;
        self.pause = (self.pause * 2).min(LONGEST_SILENCE);
        match answer {
            Ok(runs) => self.ended = !runs,
            Err(RuntimeError::NotFound { .. }) => self.ended = true,
            // The runtime is away, which says nothing about the container.
            Err(error) if error.obstacle().is_some() => {
                tracing::debug!(%error, container = %self.container, "Following a log without knowing whether its container runs");
            }
            Err(source) => return Err(LogError::Runtime { container: self.container.clone(), source }),
        }
        Ok(())
    }
}
