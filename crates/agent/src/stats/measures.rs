//! Disk use, measured on threads of its own.
//!
//! A file system may never answer: a network file system whose server is gone keeps who asks it for ever, and no signal
//! helps. So each measurement runs on a thread that may be lost:
//!
//! ```text
//!   asked ──▶ queue ──▶ worker (at most WORKERS) ──▶ figure
//!                          │ longer than GIVEN_UP
//!                          └▶ given up: keeps its thread, gives its place to another (at most LOST of these)
//! ```
//!
//! Invariants:
//! * one target is measured by at most one thread;
//! * there are never more than [`WORKERS`] + [`LOST`] threads, and none when nothing is measured;
//! * who asks waits at most [`PATIENCE`], and for a target that was given up not at all.
//!
//! The threads are not tokio's: its runtime waits for its own at the end of the process.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use metrics::{Metrics, volumes::MetricSource};
use parking_lot::Mutex;
use seams::{
    Clock,
    stats::{Figure, Meters, Target},
};
use tokio::sync::watch;

/// Measurements at the same time. More would only make one disk seek more.
const WORKERS: usize = 2;
/// Threads that may be lost to what does not answer.
const LOST: usize = 16;
/// A measurement that takes longer gives its place away.
const GIVEN_UP: Duration = Duration::from_millis(500);
/// Longest wait of who asks. A file system that works tells its use in far less; a large directory is told next time.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);
/// A measurement is repeated after no less than this many times what it took, whatever age was asked for.
const RELIEF: u32 = 20;
/// But not after more than this: it may have hung, and be well again.
const LONGEST_RELIEF: Duration = Duration::from_secs(600);
/// Figures of targets that nobody asked for this long are forgotten.
const FORGOTTEN: Duration = Duration::from_secs(600);

/// A figure, and when it was measured.
pub(super) type Dated = (Figure, Timestamp);

/// What is known of one target.
#[derive(Default)]
struct Entry {
    figure: Option<Dated>,
    /// When it was measured or tried last, on the monotonic clock, and how long that took.
    tried: Option<(Duration, Duration)>,
    asked: Duration,
    state: Work,
}

#[derive(Clone, Copy, Default, PartialEq)]
enum Work {
    #[default]
    None,
    Queued,
    /// Since.
    Running(Duration),
    GivenUp,
}

impl Entry {
    fn is_due(&self, oldest: Duration, now: Duration) -> bool {
        let Some((at, took)) = self.tried else { return true };
        let relief = took.saturating_mul(RELIEF).min(LONGEST_RELIEF);
        now.saturating_sub(at) >= oldest.max(relief)
    }
}

#[derive(Default)]
struct State {
    entries: HashMap<Target, Entry>,
    /// Questions that are answered at once, before walks.
    quick: VecDeque<Target>,
    walks: VecDeque<Target>,
    workers: usize,
    lost: usize,
    /// The loss of threads was told.
    told: bool,
}

impl State {
    fn next(&mut self) -> Option<Target> {
        self.quick.pop_front().or_else(|| self.walks.pop_front())
    }

    fn has_work(&self) -> bool {
        !self.quick.is_empty() || !self.walks.is_empty()
    }

    /// Takes the place of measurements that take too long from them.
    fn give_up(&mut self, now: Duration) {
        for (target, entry) in &mut self.entries {
            if let Work::Running(since) = entry.state
                && now.saturating_sub(since) >= GIVEN_UP
                && self.lost < LOST
            {
                entry.state = Work::GivenUp;
                self.workers -= 1;
                self.lost += 1;
                tracing::debug!(path = %target.path().display(), "Measuring disk use takes long");
            }
        }
        if self.lost == LOST && !std::mem::replace(&mut self.told, true) {
            tracing::warn!(
                lost = LOST,
                hint = "look for a file system that does not answer: `stat -f` on the volumes of this node's pods",
                "Disk use is not measured any more: too many measurements do not end"
            );
        }
        self.told &= self.lost == LOST;
    }
}

struct Shared {
    meters: Arc<dyn Meters>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    state: Mutex<State>,
    /// Changes when the queue has run empty or a measurement after that ends.
    done: watch::Sender<()>,
}

/// Figures of disk use, and the threads that measure them.
pub(super) struct Measures(Arc<Shared>);

impl Measures {
    pub(super) fn new(meters: Arc<dyn Meters>, clock: Arc<dyn Clock>, metrics: Arc<Metrics>) -> Self {
        let (done, _) = watch::channel(());
        Self(Arc::new(Shared { meters, clock, metrics, state: Mutex::default(), done }))
    }

    /// Figures of targets. One that is older than the given age is measured again; if that takes too long, or fails, the
    /// old one is returned, or none.
    pub(super) async fn of(&self, wanted: &[(Target, Duration)]) -> HashMap<Target, Dated> {
        let mut done = self.0.done.subscribe();
        let awaited = self.ask(wanted);
        let waiting = async {
            while self.is_busy(&awaited) {
                // Looked at now and then, since nobody tells that something takes too long.
                let _ = tokio::time::timeout(GIVEN_UP / 2, done.changed()).await;
                self.advance();
            }
        };
        let _ = tokio::time::timeout(PATIENCE, waiting).await;
        let state = self.0.state.lock();
        let known = wanted.iter().filter_map(|(target, _)| {
            let figure = state.entries.get(target)?.figure.clone()?;
            Some((target.clone(), figure))
        });
        known.collect()
    }

    /// Queues what is due, and returns what is worth waiting for.
    fn ask(&self, wanted: &[(Target, Duration)]) -> HashSet<Target> {
        let now = self.0.clock.now().mono;
        let mut awaited = HashSet::new();
        {
            let mut state = self.0.state.lock();
            let state = &mut *state;
            for (target, oldest) in wanted {
                let entry = state.entries.entry(target.clone()).or_default();
                entry.asked = now;
                if entry.state == Work::None && entry.is_due(*oldest, now) {
                    entry.state = Work::Queued;
                    let queue =
                        if matches!(target, Target::Tree(_)) { &mut state.walks } else { &mut state.quick };
                    queue.push_back(target.clone());
                }
                if matches!(entry.state, Work::Queued | Work::Running(_)) {
                    awaited.insert(target.clone());
                }
            }
            state
                .entries
                .retain(|_, entry| entry.state != Work::None || now.saturating_sub(entry.asked) < FORGOTTEN);
        }
        self.advance();
        awaited
    }

    fn is_busy(&self, awaited: &HashSet<Target>) -> bool {
        let state = self.0.state.lock();
        let is_under_way = |target| {
            let entry = state.entries.get(target);
            entry.is_some_and(|entry| matches!(entry.state, Work::Queued | Work::Running(_)))
        };
        awaited.iter().any(is_under_way)
    }

    /// Makes as many workers as there may be.
    fn advance(&self) {
        let mut state = self.0.state.lock();
        state.give_up(self.0.clock.now().mono);
        while state.workers < WORKERS && state.has_work() {
            let shared = Arc::clone(&self.0);
            let thread = std::thread::Builder::new().name("disk use".to_owned()).stack_size(STACK);
            match thread.spawn(move || work(&shared)) {
                Ok(_) => state.workers += 1,
                Err(error) => {
                    tracing::warn!(%error, "Cannot start a thread that measures disk use");
                    return;
                }
            }
        }
    }
}

/// Walks keep their place on the heap.
const STACK: usize = 128 << 10;

/// One worker's life: until there is nothing to do, or its place was given away.
fn work(shared: &Shared) {
    loop {
        let target = {
            let mut state = shared.state.lock();
            let Some(target) = state.next() else {
                state.workers -= 1;
                return;
            };
            if let Some(entry) = state.entries.get_mut(&target) {
                entry.state = Work::Running(shared.clock.now().mono);
            }
            target
        };
        let began = shared.clock.now();
        let measured = shared.meters.measure(&target);
        let ended = shared.clock.now();
        if let Some(source) = source(&target) {
            shared.metrics.volumes.measuring_seconds.took(&source, ended.mono.saturating_sub(began.mono));
        }
        let mut state = shared.state.lock();
        let state = &mut *state;
        let Some(entry) = state.entries.get_mut(&target) else { continue };
        entry.tried = Some((ended.mono, ended.mono.saturating_sub(began.mono)));
        match measured {
            Ok(figure) => entry.figure = Some((figure, ended.wall)),
            Err(error) => {
                tracing::debug!(%error, "Disk use could not be measured");
                entry.figure = None;
                // How long it took to fail says nothing about how long it takes.
                entry.tried = Some((ended.mono, Duration::ZERO));
            }
        }
        let was_given_up = entry.state == Work::GivenUp;
        entry.state = Work::None;
        if was_given_up {
            state.lost -= 1;
        }
        if !state.has_work() || was_given_up {
            shared.done.send_replace(());
        }
        if was_given_up {
            return;
        }
    }
}

/// How a measurement is counted, by upstream's words. Upstream counts what belongs to pods only, not the node's own file
/// systems.
fn source(target: &Target) -> Option<MetricSource> {
    match target {
        Target::Space(_) => None,
        Target::Mount(_) => Some(MetricSource::Statfs),
        Target::Tree(_) | Target::Logs(_) | Target::File(_) => Some(MetricSource::Walk),
    }
}

#[cfg(test)]
mod tests;
