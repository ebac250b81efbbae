//! What concerns the pod as a whole.

use std::time::Duration;

use super::{
    Actor, Block, BlockCause, BlockedStep, Next, Scene, Standing,
    failure::{self, About},
};
use crate::{
    Reason,
    action::ActionKey,
    record::{Stamp, StepKind},
    state::Stage,
};

/// An inspection takes milliseconds. One that takes this long is worth a word: while it lasts, nothing is decided.
const SLOW_INSPECTION: Duration = Duration::from_secs(1);

/// The runtime's account of the pod: without it nothing is decided.
pub(super) fn inspection(scene: &Scene<'_>, blocks: &mut Vec<Block>) {
    let facts = scene.facts;
    if let Some(other) = facts.held_by {
        blocks.push(Block {
            step: BlockedStep::Namesake,
            container: None,
            since: Some(facts.record.seen()),
            cause: BlockCause::Namesake(other.clone()),
            actor: Actor::Kubelet,
            next: (Next::NamesakeGone, None),
        });
    }
    let looking = facts.record.under_way().find(|step| step.kind == StepKind::Inspect);
    let slow = looking.filter(|step| scene.now.since(step.began) >= SLOW_INSPECTION);
    let about = About::pod(BlockedStep::Inspection);
    match (slow, &facts.state.runtime_trouble) {
        (Some(step), _) => blocks.push(failure::under_way(step, about)),
        (None, Some(trouble)) => blocks.push(failure::set_back(scene, trouble, false, about)),
        (None, None) => {}
    }
}

/// Prerequisites and sandbox.
pub(super) fn syncing(scene: &Scene<'_>, blocks: &mut Vec<Block>) {
    let steps = [
        (ActionKey::PrepareDirs, BlockedStep::Directories),
        (ActionKey::EnsureCgroup, BlockedStep::Cgroup),
        (ActionKey::MountVolumes, BlockedStep::Volumes),
        (ActionKey::CreateSandbox, BlockedStep::Sandbox),
    ];
    for (key, step) in steps {
        blocks.extend(failure::of_action(scene, &key, About::pod(step)));
    }
    let stops = |key: &&ActionKey| matches!(key, ActionKey::StopSandbox(_));
    for key in keys(scene).filter(stops) {
        blocks.extend(failure::of_action(scene, key, About::pod(BlockedStep::OldSandbox)));
    }
    let Stage::Syncing(syncing) = &scene.facts.state.stage else { return };
    if let (Some(at), Some(message)) = (syncing.network_retry, scene.facts.network) {
        let told = |why: &Reason| matches!(why, Reason::NetworkNotReady { .. });
        let cause = BlockCause::Failed { reason: "NetworkNotReady", message: message.to_owned(), tries: 0 };
        blocks.push(Block {
            step: BlockedStep::Network,
            container: None,
            since: scene.facts.record.since(told),
            cause,
            actor: Actor::NetworkPlugin,
            next: (Next::Retry, Some(scene.instant(at))),
        });
    }
}

/// Steps that are set back or under way.
pub(super) fn keys<'a>(scene: &'a Scene<'_>) -> impl Iterator<Item = &'a ActionKey> {
    let state = scene.facts.state;
    let set_back = state.setbacks.keys();
    set_back.chain(state.in_flight.iter().filter(|key| !state.setbacks.contains_key(key)))
}

/// Conditions that others have to set before the pod is ready.
pub(super) fn gates(scene: &Scene<'_>, blocks: &mut Vec<Block>) {
    let gates = scene.facts.pod.spec.iter().flat_map(|spec| spec.readiness_gates.iter().flatten());
    let conditions = scene.facts.pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    for gate in gates {
        let known = conditions.into_iter().flatten().find(|condition| condition.type_ == gate.condition_type);
        if known.is_some_and(|condition| condition.status == "True") {
            continue;
        }
        let since = known.and_then(|condition| condition.last_transition_time.as_ref());
        blocks.push(Block {
            step: BlockedStep::ReadinessGate,
            container: None,
            since: since.map(|time| scene.now.when(time.0)),
            cause: BlockCause::Condition(gate.condition_type.clone()),
            actor: Actor::Controller,
            next: (Next::Condition, None),
        });
    }
}

pub(super) fn standing(scene: &Scene<'_>) -> (Standing, Option<Stamp>) {
    let record = scene.facts.record;
    match &scene.facts.state.stage {
        Stage::Terminating(terminating) => {
            let since = record.since(|why| matches!(why, Reason::Terminating { .. }));
            (Standing::Stopping { cause: terminating.cause.clone() }, since)
        }
        Stage::Terminated(_) if scene.facts.finished => {
            (Standing::Gone, record.since(|why| matches!(why, Reason::Gone)))
        }
        Stage::Terminated(terminated) => {
            let since = record.since(|why| matches!(why, Reason::Terminated { .. }));
            (Standing::Ended { cause: terminated.cause.clone() }, since)
        }
        Stage::Syncing(_) => running(scene),
    }
}

fn running(scene: &Scene<'_>) -> (Standing, Option<Stamp>) {
    let Some(status) = scene.status else { return (Standing::Starting, Some(scene.facts.record.seen())) };
    let condition = |kind: &str| status.conditions.iter().flatten().find(|c| c.type_ == kind);
    let changed = |kind: &str| {
        let time = condition(kind).and_then(|c| c.last_transition_time.as_ref());
        time.map(|time| scene.now.when(time.0))
    };
    if condition("Ready").is_some_and(|ready| ready.status == "True") {
        return (Standing::Ready, changed("Ready"));
    }
    if status.phase.as_deref() == Some("Running") {
        return (Standing::NotReady, changed("Ready"));
    }
    (Standing::Starting, Some(scene.facts.record.seen()))
}
