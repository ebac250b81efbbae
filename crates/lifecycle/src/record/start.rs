//! How long a pod's start took, and whose time it was: summed as it happens, so that nothing forgotten falsifies it.
//!
//! ```text
//!   seen ──────────────────────────────────────────────► running decided ──► status sent
//!     runtime calls     ███████     ███ ████                                   (of API pods)
//!     init containers            ████
//!     added latency  ███        █       █    ███████████████████████████████████
//! ```

use std::time::Duration;

use super::Stamp;

/// The union of intervals, in constant memory.
#[derive(Clone, Copy, Debug, Default)]
struct Union {
    open: u32,
    since: u64,
    /// End of the last interval: one that is told late and reaches back before it counts from here.
    closed: u64,
    total: u64,
}

impl Union {
    fn begin(&mut self, at: Stamp) {
        if self.open == 0 {
            self.since = at.mono().max(self.closed);
        }
        self.open = self.open.saturating_add(1);
    }

    fn end(&mut self, at: Stamp) {
        self.open = self.open.saturating_sub(1);
        if self.open == 0 {
            self.total = self.total.saturating_add(at.mono().saturating_sub(self.since));
            self.closed = at.mono().max(self.closed);
        }
    }

    fn until(&self, at: Stamp) -> u64 {
        let open = if self.open == 0 { 0 } else { at.mono().saturating_sub(self.since) };
        self.total.saturating_add(open)
    }
}

/// Sums at one instant.
#[derive(Clone, Copy, Debug)]
struct Mark {
    at: Stamp,
    calls: u64,
    outside: u64,
    steps: u64,
}

/// A pod's start, so far.
#[derive(Clone, Copy, Debug)]
pub(super) struct Start {
    seen: Stamp,
    /// Runtime calls.
    calls: Union,
    /// Runtime calls, and init containers at work.
    outside: Union,
    /// Steps and inspections.
    steps: Union,
    init: bool,
    made: u32,
    running: Option<Mark>,
    sent: Option<Mark>,
    accepted: Option<Stamp>,
}

/// Figures of a start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StartFigures {
    /// When the kubelet saw the pod first.
    pub seen: Stamp,
    /// When it found the pod running and decided to report that.
    pub running: Stamp,
    /// When the patch that says so was sent; `None`: not yet, or there is nobody to send it to.
    pub sent: Option<Stamp>,
    /// When the API server had taken it.
    pub accepted: Option<Stamp>,
    /// From the first sight to the patch, or, without one, to the decision.
    pub total: Duration,
    /// Of that: at least one runtime call of this pod was under way.
    pub calls: Duration,
    /// Of that: no runtime call was under way, and an init container ran.
    pub init: Duration,
    /// The rest: what the kubelet added.
    pub added: Duration,
    /// Of the whole: no step and no inspection was under way.
    pub idle: Duration,
    /// Number of runtime calls, those of inspections counted as one each.
    pub made: u32,
}

impl Start {
    pub(super) fn new(seen: Stamp) -> Self {
        let (calls, outside, steps) = (Union::default(), Union::default(), Union::default());
        Self { seen, calls, outside, steps, init: false, made: 0, running: None, sent: None, accepted: None }
    }

    pub(super) fn call_began(&mut self, at: Stamp) {
        self.calls.begin(at);
        self.outside.begin(at);
        if self.sent.is_none() {
            self.made = self.made.saturating_add(1);
        }
    }

    pub(super) fn call_ended(&mut self, at: Stamp) {
        self.calls.end(at);
        self.outside.end(at);
    }

    pub(super) fn step_began(&mut self, at: Stamp) {
        self.steps.begin(at);
    }

    pub(super) fn step_ended(&mut self, at: Stamp) {
        self.steps.end(at);
    }

    /// Whether an init container was seen at work.
    pub(super) fn init(&mut self, runs: bool, at: Stamp) {
        match (self.init, runs) {
            (false, true) => self.outside.begin(at),
            (true, false) => self.outside.end(at),
            _ => {}
        }
        self.init = runs;
    }

    fn mark(&self, at: Stamp) -> Mark {
        let (calls, outside) = (self.calls.until(at), self.outside.until(at));
        Mark { at, calls, outside, steps: self.steps.until(at) }
    }

    pub(super) fn running(&mut self, at: Stamp) {
        if self.running.is_none() {
            self.running = Some(self.mark(at));
        }
    }

    /// The first patch with the phase `Running` leaves.
    pub(super) fn sent(&mut self, at: Stamp) {
        if self.running.is_some() && self.sent.is_none() {
            self.sent = Some(self.mark(at));
        }
    }

    pub(super) fn accepted(&mut self, at: Stamp) {
        if self.sent.is_some() && self.accepted.is_none() {
            self.accepted = Some(at);
        }
    }

    pub(super) fn figures(&self) -> Option<StartFigures> {
        let running = self.running?;
        let end = self.sent.unwrap_or(running);
        let total = end.at.since(self.seen);
        let (calls, outside) = (Duration::from_micros(end.calls), Duration::from_micros(end.outside));
        Some(StartFigures {
            seen: self.seen,
            running: running.at,
            sent: self.sent.map(|mark| mark.at),
            accepted: self.accepted,
            total,
            calls,
            init: outside.saturating_sub(calls),
            added: total.saturating_sub(outside),
            idle: total.saturating_sub(Duration::from_micros(end.steps)),
            made: self.made,
        })
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::Tick;

    fn at(millis: u64) -> Stamp {
        Stamp::from(Tick { mono: Duration::from_millis(millis), wall: Timestamp::UNIX_EPOCH })
    }

    #[test]
    fn overlapping_calls_count_once_and_the_rest_is_ours() {
        let mut start = Start::new(at(1_000));
        assert_eq!(start.figures(), None);
        start.step_began(at(1_005));
        start.call_began(at(1_010));
        start.call_began(at(1_050));
        start.call_ended(at(1_100));
        start.call_ended(at(1_150));
        // An init container, partly under a call that has ended.
        start.init(true, at(1_140));
        start.init(true, at(1_200));
        start.init(false, at(1_250));
        start.call_began(at(1_260));
        start.call_ended(at(1_280));
        // A call that is open at the end counts up to it.
        start.call_began(at(1_290));
        start.step_ended(at(1_295));
        start.running(at(1_300));
        let figures = start.figures().unwrap();
        assert_eq!(figures.total, Duration::from_millis(300));
        assert_eq!(figures.calls, Duration::from_millis(140 + 20 + 10));
        assert_eq!(figures.init, Duration::from_millis(100));
        assert_eq!(figures.added, Duration::from_millis(30));
        assert_eq!(figures.idle, Duration::from_millis(10));
        assert_eq!(figures.made, 4);
        start.call_ended(at(1_305));
        start.sent(at(1_310));
        // Later ones change nothing.
        start.running(at(9_000));
        start.sent(at(9_000));
        start.call_began(at(9_000));
        let figures = start.figures().unwrap();
        assert_eq!(figures.total, Duration::from_millis(310));
        assert_eq!(figures.added, Duration::from_millis(35));
        assert_eq!(figures.made, 4);
        assert_eq!(figures.sent, Some(at(1_310)));
    }

    #[test]
    fn nothing_is_sent_before_it_is_decided() {
        let mut start = Start::new(at(0));
        start.sent(at(5));
        assert_eq!(start.figures(), None);
    }
}
