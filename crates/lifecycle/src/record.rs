//! A pod's recent past as its worker saw it: what was decided and why, what was done and how long it took.
//!
//! It is for people, who ask by `kubelet explain` and `kubelet timeline`; nothing is decided by it. What belongs to the
//! pod's start is kept apart from what came later, so that a pod that crashes for hours still tells how it started.
//!
//! ```text
//!   seen ─► first items … running │ …forgotten… │ recent items ─► now        under way: steps without an end
//! ```
//!
//! Invariants:
//! * at most [`FIRST`] + [`RECENT`] items and [`TEXT`] bytes of others' texts: about 11 KiB a pod in a crash loop, two or
//!   three for a pod that simply runs; inspections of the start are kept as offsets;
//! * the figures of the start are summed as things happen and do not depend on what is still remembered;
//! * reasons are kept as `decide` gave them, but for the length of their texts.

use std::collections::VecDeque;

use crate::{
    Action, ActionKey, Decision, Observation, Outcome, Reason, Tick,
    decide::restart::is_sidecar,
    observation::{RuntimePod, RuntimeState},
};

mod stamp;
mod start;
mod step;

pub use stamp::Stamp;
use start::Start;
pub use start::StartFigures;
pub use step::{Call, Ended, Step, StepKind, Within};

/// Items kept of the start: four steps for the pod, and three with their reasons for each of four containers.
const FIRST: usize = 32;
/// Items kept of what came later: the last rounds of a crash loop.
const RECENT: usize = 16;
/// Inspections kept of the start.
const LOOKS: usize = 48;
/// Bytes of others' texts kept in all.
const TEXT: usize = 2 << 10;
/// Bytes kept of one text: what is longer repeats itself, or is a stack trace.
const ONE_TEXT: usize = 400;
/// Steps under way that are remembered: more than any pod of a sane size has at once.
const UNDER_WAY: usize = 64;

/// A pod's past.
#[derive(Clone, Debug)]
pub struct Record {
    seen: Stamp,
    origin: Origin,
    start: Start,
    stage: Progress,
    first: Vec<Item>,
    recent: VecDeque<Item>,
    looks: Vec<Within>,
    text: usize,
    forgotten: u32,
    under_way: Vec<UnderWay>,
    serial: u32,
    looked: Option<Stamp>,
}

/// Whether this process saw the pod start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The runtime was not asked yet.
    Unknown,
    /// Nothing of it was there.
    Started,
    /// Something of it was there already: another process started it.
    TakenUp,
}

/// How far the pod is, as far as the record cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    Starting,
    Started,
}

/// Names a step under way; given out by the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepId(u32);

#[derive(Clone, Debug)]
struct UnderWay {
    id: StepId,
    /// `None`: an inspection.
    key: Option<ActionKey>,
    step: Step,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    /// A reason that a decision gave.
    Decided {
        /// When first.
        at: Stamp,
        /// When last, and how often, if it came again with nothing else decided in between.
        last: Stamp,
        /// How often.
        times: u32,
        /// The reason.
        why: Box<Reason>,
    },
    /// Something was done.
    Step(Step),
}

impl Item {
    /// When it began.
    #[must_use]
    pub fn began(&self) -> Stamp {
        match self {
            Self::Decided { at, .. } => *at,
            Self::Step(step) => step.began,
        }
    }
}

impl Record {
    /// The kubelet has just seen the pod.
    #[must_use]
    pub fn new(seen: Tick) -> Self {
        let seen = Stamp::from(seen);
        Self {
            seen,
            origin: Origin::Unknown,
            start: Start::new(seen),
            stage: Progress::Starting,
            first: Vec::new(),
            recent: VecDeque::new(),
            looks: Vec::new(),
            text: 0,
            forgotten: 0,
            under_way: Vec::new(),
            serial: 0,
            looked: None,
        }
    }

    /// A decision was made. Takes its reasons.
    pub fn decided(&mut self, seen: &Observation, decision: &mut Decision, now: Tick) {
        let at = Stamp::from(now);
        self.looked = Some(at);
        if let Ok(runtime) = &seen.runtime {
            self.start.init(init_runs(seen, runtime), at);
        }
        for why in std::mem::take(&mut decision.why) {
            self.because(why, at);
        }
        let phase = decision.status.phase.as_deref();
        if self.stage == Progress::Starting && matches!(phase, Some("Running" | "Succeeded" | "Failed")) {
            self.stage = Progress::Started;
            self.first.shrink_to_fit();
            self.looks.shrink_to_fit();
            if self.origin == Origin::Started {
                self.start.running(at);
            }
        }
    }

    /// An action was handed to the executor.
    pub fn began(&mut self, action: &Action, now: Tick) -> StepId {
        let (kind, container) = StepKind::of(action);
        self.open(Some(action.key()), Step::new(kind, container.cloned(), Stamp::from(now)))
    }

    /// An action was answered.
    pub fn answered(&mut self, outcome: &Outcome) {
        let found = self.under_way.iter().position(|open| open.key.as_ref() == Some(&outcome.key));
        let ended = if outcome.result.is_ok() { Ended::Done } else { Ended::Failed };
        if let Some(step) = found.and_then(|at| self.close(at, Stamp::from(outcome.at), ended)) {
            self.keep(Item::Step(step));
        }
    }

    /// Nothing of the pod is in the runtime, as is known without asking it.
    pub fn is_new(&mut self) {
        if self.origin == Origin::Unknown {
            self.origin = Origin::Started;
        }
    }

    /// The runtime is being asked about the pod.
    pub fn inspecting(&mut self, now: Tick) -> StepId {
        self.open(None, Step::new(StepKind::Inspect, None, Stamp::from(now)))
    }

    /// It answered; `None`: with an error. Inspections are kept while the pod starts: later ones tell nothing.
    pub fn inspected(&mut self, id: StepId, found: Option<&RuntimePod>, now: Tick) {
        let open = self.under_way.iter().position(|open| open.id == id);
        let ended = if found.is_some() { Ended::Done } else { Ended::Failed };
        let step = open.and_then(|at| self.close(at, Stamp::from(now), ended));
        if let (Origin::Unknown, Some(found)) = (self.origin, found) {
            self.origin = if found.sandboxes.is_empty() && found.containers.is_empty() {
                Origin::Started
            } else {
                Origin::TakenUp
            };
        }
        if let Some(Step { began, ended: Some((took, _)), .. }) = step
            && self.stage == Progress::Starting
            && self.looks.len() < LOOKS
        {
            self.looks.push(Within::over(began.since(self.seen), took));
        }
    }

    /// A step calls the runtime.
    pub fn call_began(&mut self, id: StepId, name: &'static str, now: Tick) {
        let at = Stamp::from(now);
        self.start.call_began(at);
        if let Some(open) = self.under_way.iter_mut().find(|open| open.id == id) {
            open.step.call_began(name, at);
        }
    }

    /// The call was answered, or given up.
    pub fn call_ended(&mut self, id: StepId, name: &'static str, now: Tick) {
        let at = Stamp::from(now);
        self.start.call_ended(at);
        if let Some(open) = self.under_way.iter_mut().find(|open| open.id == id) {
            open.step.call_ended(name, at);
        }
    }

    /// A step waits for a place that others have. That is no runtime call: its time counts as the kubelet's.
    pub fn wait_began(&mut self, id: StepId, now: Tick) {
        if let Some(open) = self.under_way.iter_mut().find(|open| open.id == id) {
            open.step.wait_began(Stamp::from(now));
        }
    }

    /// It has one, or needs none any more.
    pub fn wait_ended(&mut self, id: StepId, now: Tick) {
        if let Some(open) = self.under_way.iter_mut().find(|open| open.id == id) {
            open.step.wait_ended(Stamp::from(now));
        }
    }

    /// A status with the phase `Running` is on its way to the API server.
    pub fn status_sent(&mut self, now: Tick) {
        self.start.sent(Stamp::from(now));
    }

    /// The API server has taken it.
    pub fn status_accepted(&mut self, now: Tick) {
        self.start.accepted(Stamp::from(now));
    }

    /// The worker died, and with it everything that it had under way.
    pub fn abandoned(&mut self) {
        self.under_way.clear();
    }

    /// When the kubelet saw the pod first.
    #[must_use]
    pub fn seen(&self) -> Stamp {
        self.seen
    }

    /// Whether this process saw it start.
    #[must_use]
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// When the last decision was made.
    #[must_use]
    pub fn looked(&self) -> Option<Stamp> {
        self.looked
    }

    /// Figures of the start; `None` until it is over, and for pods that another process started.
    #[must_use]
    pub fn start(&self) -> Option<StartFigures> {
        self.start.figures().filter(|_| self.origin == Origin::Started)
    }

    /// Items that were forgotten, between those of the start and the recent ones.
    #[must_use]
    pub fn forgotten(&self) -> u32 {
        self.forgotten
    }

    /// Items of the start, in the order in which they ended.
    pub fn first(&self) -> impl Iterator<Item = &Item> {
        self.first.iter()
    }

    /// Items since then, likewise.
    pub fn recent(&self) -> impl Iterator<Item = &Item> {
        self.recent.iter()
    }

    /// Inspections of the start, as parts of it.
    #[must_use]
    pub fn looks(&self) -> &[Within] {
        &self.looks
    }

    /// Steps under way.
    pub fn under_way(&self) -> impl Iterator<Item = &Step> {
        self.under_way.iter().map(|open| &open.step)
    }

    /// The step of an action under way.
    #[must_use]
    pub fn step_of(&self, key: &ActionKey) -> Option<&Step> {
        self.under_way.iter().find(|open| open.key.as_ref() == Some(key)).map(|open| &open.step)
    }

    /// When a reason was given that still holds: that of the newest one that fits.
    #[must_use]
    pub fn since(&self, fits: impl Fn(&Reason) -> bool) -> Option<Stamp> {
        self.recent.iter().rev().chain(self.first.iter().rev()).find_map(|item| match item {
            Item::Decided { at, why, .. } if fits(why) => Some(*at),
            _ => None,
        })
    }

    fn open(&mut self, key: Option<ActionKey>, step: Step) -> StepId {
        self.serial = self.serial.wrapping_add(1);
        let id = StepId(self.serial);
        if self.under_way.len() < UNDER_WAY {
            self.start.step_began(step.began);
            self.under_way.push(UnderWay { id, key, step });
        }
        id
    }

    fn close(&mut self, at: usize, now: Stamp, ended: Ended) -> Option<Step> {
        if at >= self.under_way.len() {
            return None;
        }
        let mut step = self.under_way.swap_remove(at).step;
        self.start.step_ended(now);
        step.ended = Some((now.since(step.began), ended));
        step.calls.shrink_to_fit();
        Some(step)
    }

    fn because(&mut self, mut why: Reason, at: Stamp) {
        why.shorten(ONE_TEXT);
        // A reason that comes again and again with nothing else decided in between is one item.
        let mut items = self.recent.iter_mut().rev().chain(self.first.iter_mut().rev());
        let newest = items.find_map(|item| match item {
            Item::Decided { why: known, last, times, .. } => Some((known, last, times)),
            Item::Step(_) => None,
        });
        if let Some((known, last, times)) = newest
            && **known == why
        {
            *last = at;
            *times = times.saturating_add(1);
            return;
        }
        self.keep(Item::Decided { at, last: at, times: 1, why: Box::new(why) });
    }

    fn keep(&mut self, mut item: Item) {
        if let Item::Step(step) = &mut item {
            let newest = self.recent.iter_mut().rev().chain(self.first.iter_mut().rev()).find_map(step_of);
            if let Some(former) = newest
                && step.repeats(former)
            {
                step.failed_before = former.failed_before.saturating_add(1);
                *former = step.clone();
                return;
            }
        }
        let text = text_of(&mut item);
        self.text += text;
        if self.stage == Progress::Starting && self.first.len() < FIRST && self.text <= TEXT / 2 {
            self.first.push(item);
            return;
        }
        self.recent.push_back(item);
        while self.recent.len() > RECENT || (self.text > TEXT && self.recent.len() > 1) {
            if let Some(mut old) = self.recent.pop_front() {
                self.text = self.text.saturating_sub(text_of(&mut old));
                self.forgotten = self.forgotten.saturating_add(1);
            }
        }
    }

    /// An estimate of the memory that it takes, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let items = self.first.capacity() + self.recent.capacity();
        let calls: usize = self.first.iter().chain(&self.recent).map(calls_of).sum();
        let reasons = self.first.iter().chain(&self.recent).filter(|i| matches!(i, Item::Decided { .. }));
        size_of::<Self>()
            + items * size_of::<Item>()
            + self.under_way.capacity() * size_of::<UnderWay>()
            + calls * size_of::<Call>()
            + self.looks.capacity() * size_of::<Within>()
            + reasons.count() * size_of::<Reason>()
            + self.text
    }
}

fn step_of(item: &mut Item) -> Option<&mut Step> {
    match item {
        Item::Step(step) => Some(step),
        Item::Decided { .. } => None,
    }
}

fn calls_of(item: &Item) -> usize {
    match item {
        Item::Step(step) => step.calls.capacity(),
        Item::Decided { .. } => 0,
    }
}

fn text_of(item: &mut Item) -> usize {
    match item {
        Item::Decided { why, .. } => why.text_bytes(),
        Item::Step(_) => 0,
    }
}

/// Whether an init container is at work: its time is its own, not the kubelet's.
fn init_runs(seen: &Observation, runtime: &RuntimePod) -> bool {
    let containers = seen.pod.spec.iter().flat_map(|spec| spec.init_containers.iter().flatten());
    containers.filter(|container| !is_sidecar(container)).any(|container| {
        let mut records = runtime.containers.iter();
        records.any(|r| r.name.as_str() == container.name && r.state == RuntimeState::Running)
    })
}

#[cfg(test)]
mod tests;
