//! Keeps the logs of running containers small (contract §17).
//!
//! ```text
//!   created, started (executor) ─┐                        ┌─▶ path ────┐
//!   running (observer's list) ───┴─▶ known logs ── due ───┼─▶ reopen ──┼─▶ next look
//!                                        ▲                └─▶ rotate ──┘
//!                                        └──────────────── one piece of work a log, in a task of its own
//! ```
//!
//! What there is to do is planned by [`node::log_rotation`], when to look by [`looks`]: never later than
//! `containerLogMonitorInterval`, and sooner as a log comes near its limit. Looking asks the runtime nothing: a container
//! that this process made tells its path, another's is asked for once.
//!
//! Invariants:
//! - one piece of work a log at a time, since plans count on nobody else moving files; one that panics is over too;
//! - a runtime that hangs on one container holds up the rotation of no other; `containerLogMaxWorkers` bounds what costs
//!   processor time, the compressions;
//! - a log that is written faster than once a second by its limit, or than it can be compressed, exceeds the limit by what
//!   is written in a second and while the one before is compressed, and by no more;
//! - the log of a container that does not run is left alone: nothing would be written into a new one;
//! - nothing needs to be remembered: a process that is killed at any point leaves files that the first look of the next
//!   one puts in order.

use std::{
    collections::{BTreeMap, BTreeSet},
    panic::AssertUnwindSafe,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use futures::FutureExt as _;
use jiff::tz::TimeZone;
use lifecycle::ContainerId;
use node::log_rotation::{
    LogPolicy,
    looks::{Growth, SHORTEST},
};
use seams::{Clock, LogFiles, Runtime};
use tokio::{
    sync::{Semaphore, mpsc, watch},
    task::JoinSet,
    time::Instant,
};

mod work;

use work::{Outcome, Work};

/// Room for notices on their way; what finds none is found by the next list.
const NOTICES: usize = 256;
/// Lists of the runtime in which a container is missing until it is forgotten: one may be older than its start.
const MISSING: u8 = 2;
/// Paths asked for at once, when the process starts beside running containers.
const ASKED_AT_ONCE: usize = 8;
/// Looks that are due within this part of the interval are done together, for one waking instead of several.
const TOGETHER: u32 = 8;

/// How logs are rotated.
#[derive(Clone)]
pub struct LogRotation {
    /// `containerLogMaxSize` and `containerLogMaxFiles`.
    pub policy: LogPolicy,
    /// `containerLogMaxWorkers`: compressions at once, at least one.
    pub workers: usize,
    /// `containerLogMonitorInterval`: longest time between two looks at a log.
    pub interval: Duration,
    /// The time zone of names.
    pub zone: TimeZone,
    /// The files.
    pub files: Arc<dyn LogFiles>,
}

impl std::fmt::Debug for LogRotation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogRotation").field("policy", &self.policy).finish_non_exhaustive()
    }
}

/// What the executor tells.
#[derive(Debug)]
enum Notice {
    Created(ContainerId, PathBuf),
    Started(ContainerId),
}

/// Tells the task about containers. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Notices(mpsc::Sender<Notice>);

impl Notices {
    /// A container was made, and will write here.
    pub fn created(&self, id: ContainerId, log: PathBuf) {
        drop(self.0.try_send(Notice::Created(id, log)));
    }

    /// It runs.
    pub fn started(&self, id: ContainerId) {
        drop(self.0.try_send(Notice::Started(id)));
    }
}

/// Receives what [`Notices`] tell.
#[derive(Debug)]
pub struct Inbox(mpsc::Receiver<Notice>);

/// Both ends of the notices.
#[must_use]
pub fn notices() -> (Notices, Inbox) {
    let (sender, receiver) = mpsc::channel(NOTICES);
    (Notices(sender), Inbox(receiver))
}

/// One container's log.
#[derive(Debug, Default)]
struct Log {
    path: Option<PathBuf>,
    growth: Growth,
    looked_at: Option<Instant>,
    /// `None` while something is done with it, and before the container was started.
    due: Option<Instant>,
    /// Something is done with it.
    busy: bool,
    /// Whether what an earlier process left was put in order.
    tidy: bool,
    missing: u8,
}

/// Runs for ever.
pub async fn run(
    settings: LogRotation,
    runtime: Arc<dyn Runtime>,
    clock: Arc<dyn Clock>,
    mut inbox: Inbox,
    mut running: watch::Receiver<BTreeSet<ContainerId>>,
) {
    let mut rotator = Rotator {
        workers: Arc::new(Semaphore::new(settings.workers.max(1))),
        questions: Arc::new(Semaphore::new(ASKED_AT_ONCE)),
        settings,
        runtime,
        clock,
        logs: BTreeMap::new(),
        work: JoinSet::new(),
    };
    let (mut told, mut listed) = (true, true);
    loop {
        let due = rotator.next_due();
        // Cancel-safe: `recv`, `changed` and `join_next` lose nothing when dropped, and the last only waits.
        tokio::select! {
            notice = inbox.0.recv(), if told => match notice {
                Some(notice) => rotator.take(notice),
                // Nobody makes containers any more.
                None => told = false,
            },
            changed = running.changed(), if listed => match changed {
                Ok(()) => {
                    let running = running.borrow_and_update().clone();
                    rotator.compare(&running);
                }
                Err(_) => listed = false,
            },
            Some(done) = rotator.work.join_next() => match done {
                Ok((id, outcome)) => rotator.done(&id, outcome),
                Err(error) => tracing::error!(%error, "A log rotation died"),
            },
            () = tokio::time::sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => rotator.look().await,
        }
    }
}

struct Rotator {
    settings: LogRotation,
    runtime: Arc<dyn Runtime>,
    clock: Arc<dyn Clock>,
    logs: BTreeMap<ContainerId, Log>,
    work: JoinSet<(ContainerId, Outcome)>,
    workers: Arc<Semaphore>,
    questions: Arc<Semaphore>,
}

impl Rotator {
    fn next_due(&self) -> Option<Instant> {
        self.logs.values().filter_map(|log| log.due).min()
    }

    fn take(&mut self, notice: Notice) {
        match notice {
            Notice::Created(id, path) => {
                let log = self.logs.entry(id).or_default();
                // Nobody was there before.
                (log.path, log.tidy) = (Some(path), true);
            }
            Notice::Started(id) => {
                let log = self.logs.entry(id).or_default();
                if !log.busy {
                    log.due = log.due.or(Some(Instant::now() + SHORTEST));
                }
            }
        }
    }

    /// Compares with what runs.
    fn compare(&mut self, running: &BTreeSet<ContainerId>) {
        self.logs.retain(|id, log| {
            log.missing = if running.contains(id) { 0 } else { log.missing.saturating_add(1) };
            log.busy || log.missing < MISSING
        });
        for id in running {
            self.logs
                .entry(id.clone())
                .or_insert_with(|| Log { due: Some(Instant::now()), ..Log::default() });
        }
        // Those whose start was not told.
        for log in self.logs.values_mut().filter(|log| log.missing == 0 && log.due.is_none() && !log.busy) {
            log.due = Some(Instant::now());
        }
    }

    /// Looks at every log that is due, and at those that nearly are.
    async fn look(&mut self) {
        let now = Instant::now();
        let soon = now + self.settings.interval / TOGETHER;
        let any_due = |log: &Log| log.due.is_some_and(|due| due <= soon);
        let due: Vec<ContainerId> =
            self.logs.iter().filter(|(_, log)| any_due(log)).map(|(id, _)| id.clone()).collect();
        let (mut ids, mut paths) = (Vec::new(), Vec::new());
        for id in due {
            match self.logs.get(&id).and_then(|log| log.path.clone()) {
                Some(path) => {
                    ids.push(id);
                    paths.push(path);
                }
                None => self.begin(&id, Work::FindPath),
            }
        }
        if paths.is_empty() {
            return;
        }
        let sizes = self.settings.files.sizes(paths).await;
        for (id, size) in ids.into_iter().zip(sizes) {
            self.looked(&id, size);
        }
    }

    /// Takes what a look told.
    fn looked(&mut self, id: &ContainerId, size: Result<Option<u64>, seams::logs::LogFileError>) {
        let (policy, interval) = (self.settings.policy, self.settings.interval);
        let Some(log) = self.logs.get_mut(id) else { return };
        let now = Instant::now();
        let Some(path) = log.path.clone() else { return };
        match size {
            Ok(Some(size)) => {
                let since = log.looked_at.replace(now).map_or(Duration::ZERO, |last| now - last);
                let wait = log.growth.looked(policy, interval, size, since);
                if size >= policy.max_size || !log.tidy {
                    self.begin(id, Work::Rotate { path, size });
                } else {
                    log.due = Some(now + wait);
                }
            }
            Ok(None) => self.begin(id, Work::Reopen { path }),
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::debug!(container = %id, error, "Cannot look at the log of a container");
                log.due = Some(now + interval);
            }
        }
    }

    /// Begins a piece of work; there is no look until its end.
    fn begin(&mut self, id: &ContainerId, work: Work) {
        let Some(log) = self.logs.get_mut(id) else { return };
        (log.due, log.busy) = (None, true);
        let tools = work::Tools {
            policy: self.settings.policy,
            now: self.settings.zone.to_datetime(self.clock.now().wall),
            files: Arc::clone(&self.settings.files),
            runtime: Arc::clone(&self.runtime),
            workers: Arc::clone(&self.workers),
            questions: Arc::clone(&self.questions),
        };
        let id = id.clone();
        self.work.spawn(async move {
            // One that panics must not leave its log busy for ever; the next look puts its files in order.
            let outcome = AssertUnwindSafe(work::run(work, &id, tools)).catch_unwind().await;
            let outcome = outcome.unwrap_or_else(|_| {
                tracing::error!(container = %id, "A log rotation died; will try again");
                Outcome::Later
            });
            (id, outcome)
        });
    }

    /// Takes the end of a piece of work.
    fn done(&mut self, id: &ContainerId, outcome: Outcome) {
        let Some(log) = self.logs.get_mut(id) else { return };
        log.busy = false;
        let now = Instant::now();
        match outcome {
            Outcome::Path(path) => {
                log.path = Some(path);
                log.due = Some(now);
            }
            Outcome::Rotated => {
                log.tidy = true;
                log.growth.rotated();
                log.looked_at = Some(now);
                log.due = Some(now + SHORTEST);
            }
            Outcome::Tidied => {
                log.tidy = true;
                log.due = Some(now + SHORTEST);
            }
            Outcome::Reopened => log.due = Some(now + SHORTEST),
            Outcome::Later => log.due = Some(now + self.settings.interval),
            // Known again with the next list, if it runs.
            Outcome::Forget => drop(self.logs.remove(id)),
        }
    }
}

#[cfg(test)]
mod tests;
