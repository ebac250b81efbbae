//! Typed accounts as documents.

use std::time::Duration;

use lifecycle::{
    PodKey, Record,
    explain::{self, BlockCause, ProbeNote},
    reason::ContainerKind,
    record::{self, Ended, Item, Origin, Stamp, Within},
};
use seams::explain::{Block, Call, Container, PodName, Probe, Said, Span, StartFigures, Step, TimedWhy, Why};

/// Reasons told with an explanation: the newest.
const LATELY: usize = 8;

pub(super) fn name(key: &PodKey) -> PodName {
    PodName { namespace: key.namespace.to_string(), name: key.name.to_string(), uid: key.uid.to_string() }
}

fn said(name: &str, text: &impl ToString) -> Said {
    Said { name: name.to_owned(), text: text.to_string() }
}

pub(super) fn standing(standing: &explain::Standing) -> Said {
    said(standing.name(), standing)
}

pub(super) fn block(block: &explain::Block) -> Block {
    let (state, reason, tries) = match &block.cause {
        BlockCause::Failed { reason, tries, .. } => ("failed", Some((*reason).to_owned()), *tries),
        BlockCause::UnderWay { .. } => ("under_way", None, 0),
        BlockCause::BackOff { .. } => ("failed", Some("CrashLoopBackOff".to_owned()), 0),
        BlockCause::Refused { reason, .. } => ("failed", Some(reason.clone()), 0),
        BlockCause::Runs
        | BlockCause::Probe(_)
        | BlockCause::Condition(_)
        | BlockCause::Namesake(_)
        | BlockCause::NodeLabels
        | BlockCause::Place { .. }
        | BlockCause::Turn { .. }
        | BlockCause::NotShown
        | BlockCause::Finalizers(_)
        | BlockCause::Idle => ("waiting", None, 0),
    };
    let (next, at) = block.next;
    Block {
        step: said(block.step.name(), &block.step),
        container: block.container.as_ref().map(|container| container.name.to_string()),
        state: state.to_owned(),
        since: block.since.map(Stamp::wall),
        reason,
        why: block.cause.to_string(),
        tries,
        actor: said(block.actor.name(), &block.actor),
        next: said(next.name(), &next),
        next_at: at.map(Stamp::wall),
    }
}

pub(super) fn container(row: &explain::ContainerAccount) -> Container {
    let kind = match (row.container.kind, row.sidecar) {
        (_, true) => "sidecar",
        (ContainerKind::Init, false) => "init",
        (ContainerKind::Regular, false) => "regular",
        (ContainerKind::Ephemeral, false) => "ephemeral",
    };
    Container {
        name: row.container.name.to_string(),
        kind: kind.to_owned(),
        state: row.state.to_string(),
        ready: row.ready,
        restarts: row.restarts,
        waits_for: row.waits_for.as_ref().map(ToString::to_string),
    }
}

pub(super) fn probe(note: &ProbeNote) -> Probe {
    Probe {
        container: note.container.to_string(),
        kind: note.kind.word().to_owned(),
        result: note.result,
        text: note.to_string(),
        last_failure: note.last_failure.as_ref().map(|(at, _)| at.wall()),
        next: note.next.map(Stamp::wall),
    }
}

fn why(item: &Item) -> Option<Why> {
    let Item::Decided { at, last, times, why } = item else { return None };
    Some(Why {
        at: at.wall(),
        last: (*times > 1).then(|| last.wall()),
        times: *times,
        event: why.event().map(|event| event.reason.into_owned()),
        container: why.container().map(|container| container.name.to_string()),
        text: why.to_string(),
    })
}

/// The newest reasons, oldest first.
pub(super) fn lately(record: &Record) -> Vec<Why> {
    let mut all: Vec<_> = record.first().chain(record.recent()).filter_map(why).collect();
    all.split_off(all.len().saturating_sub(LATELY))
}

/// What a timeline is made of.
pub(super) struct Past {
    pub(super) taken_up: bool,
    pub(super) start: Option<StartFigures>,
    pub(super) steps: Vec<Step>,
    pub(super) inspections: Vec<Span>,
    pub(super) why: Vec<TimedWhy>,
}

pub(super) fn past(record: &Record) -> Past {
    let seen = record.seen();
    let running = record.start().map(|start| start.running);
    let of_start = |step: &record::Step| running.is_none_or(|running| step.began <= running);
    let done = record.first().chain(record.recent()).filter_map(|item| match item {
        Item::Step(step) => Some(step),
        Item::Decided { .. } => None,
    });
    let mut all: Vec<&record::Step> = done.chain(record.under_way()).collect();
    all.sort_by_key(|step| step.began);
    let taken_up = record.origin() == Origin::TakenUp;
    let steps = all.into_iter().map(|it| step(it, seen, !taken_up && of_start(it))).collect();
    let inspections = record.looks().iter().map(|look| within(Duration::ZERO, *look)).collect();
    let reasons = record
        .first()
        .chain(record.recent())
        .filter_map(|item| Some(TimedWhy { offset_ms: millis(item.began().since(seen)), why: why(item)? }));
    Past { taken_up, start: record.start().as_ref().map(figures), steps, inspections, why: reasons.collect() }
}

fn step(step: &record::Step, seen: Stamp, of_start: bool) -> Step {
    let offset = step.began.since(seen);
    let state = match step.ended {
        Some((_, Ended::Done)) => "done",
        Some((_, Ended::Failed)) => "failed",
        None => "under_way",
    };
    let calls =
        step.calls.iter().map(|call| Call { call: call.name.to_owned(), span: within(offset, call.when) });
    Step {
        step: step.kind.name().to_owned(),
        container: step.container.as_ref().map(ToString::to_string),
        span: span(offset, step.ended.map(|(took, _)| took)),
        state: state.to_owned(),
        failed_before: step.failed_before,
        of_start,
        wait: step.wait.map(|wait| within(offset, wait)),
        calls: calls.collect(),
    }
}

fn figures(start: &record::StartFigures) -> StartFigures {
    StartFigures {
        running: start.running.wall(),
        status_sent: start.sent.map(Stamp::wall),
        status_accepted: start.accepted.map(Stamp::wall),
        total_ms: millis(start.total),
        cri_ms: millis(start.calls),
        init_ms: millis(start.init),
        added_latency_ms: millis(start.added),
        idle_ms: millis(start.idle),
        cri_calls: start.made,
    }
}

fn span(offset: Duration, took: Option<Duration>) -> Span {
    Span { offset_ms: millis(offset), duration_ms: took.map(millis) }
}

/// A part of what began at `offset`.
fn within(offset: Duration, part: Within) -> Span {
    span(offset + part.after(), part.took())
}

/// Milliseconds to three places: the clock is read to the microsecond.
fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}
