//! What concerns the pod as a whole.

use std::time::Duration;

use super::{
    Actor, Block, BlockCause, BlockedStep, ContainerAccount, ContainerStanding, Hold, Next, Scene, Standing,
    failure::{self, About},
};
use crate::{
    Reason,
    action::ActionKey,
    decide::cleanup,
    reason::ContainerKind,
    record::{Stamp, StepKind},
    state::Stage,
};

/// An inspection takes milliseconds. One that takes this long is worth a word: while it lasts, nothing is decided.
const SLOW_INSPECTION: Duration = Duration::from_secs(1);

/// What keeps the pod from being decided about at all.
pub(super) fn hold(scene: &Scene<'_>, blocks: &mut Vec<Block>) {
    let Some((hold, since)) = scene.facts.hold else { return };
    let (step, cause, actor, next) = match hold {
        Hold::Namesake(other) => {
            (BlockedStep::Namesake, BlockCause::Namesake(other.clone()), Actor::Kubelet, Next::NamesakeGone)
        }
        Hold::NodeLabels => {
            (BlockedStep::Admission, BlockCause::NodeLabels, Actor::ApiServerAnswer, Next::Answer)
        }
        Hold::RuntimeName => {
            let cause = match &scene.facts.beside.unnamed {
                Some(message) => {
                    // The word of the node's condition, which says so too.
                    BlockCause::Failed { reason: "KubeletNotReady", message: message.clone(), tries: 0 }
                }
                None => BlockCause::UnderWay { call: Some("Version") },
            };
            (BlockedStep::RuntimeName, cause, Actor::Runtime, Next::Answer)
        }
    };
    blocks.push(Block { step, container: None, since: Some(*since), cause, actor, next: (next, None) });
}

/// The runtime's account of the pod: without it nothing is decided.
pub(super) fn inspection(scene: &Scene<'_>, blocks: &mut Vec<Block>) {
    let facts = scene.facts;
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
    if let (Some(at), Some(message)) = (syncing.network_retry, &scene.facts.beside.network) {
        let told = |why: &Reason| matches!(why, Reason::NetworkNotReady { .. });
        let cause = BlockCause::Failed { reason: "NetworkNotReady", message: message.clone(), tries: 0 };
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

/// Leftovers of a pod that goes on: nothing but a restart of all its containers waits for them.
pub(super) fn removals(scene: &Scene<'_>, blocks: &mut Vec<Block>) {
    for key in keys(scene) {
        if matches!(key, ActionKey::RemoveContainer(_) | ActionKey::RemoveSandbox(_)) {
            blocks.extend(failure::of_action(scene, key, About::pod(BlockedStep::Removal)));
        }
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

/// Whether nothing is to be done for the pod: it is ready or runs as far as it can, or it has ended and holds nothing on
/// the node any more.
pub(super) fn rests(scene: &Scene<'_>, standing: &Standing, containers: &[ContainerAccount]) -> bool {
    match &scene.facts.state.stage {
        Stage::Syncing(_) => {
            *standing == Standing::Ready
                || *standing == Standing::NotReady && containers.iter().all(is_where_it_can_be)
        }
        Stage::Terminating(_) => false,
        Stage::Terminated(terminated) => {
            // One that is to go, goes on until nothing is left; of another one records and directories stay.
            let goes = cleanup::discards(&terminated.cause, scene.facts.intent);
            let given_back = [ActionKey::UnmountVolumes, ActionKey::RemoveCgroup];
            scene.facts.finished || !goes && given_back.iter().all(|key| terminated.done.contains(key))
        }
    }
}

/// Whether a container of a running pod neither waits nor is short of being ready.
fn is_where_it_can_be(row: &ContainerAccount) -> bool {
    match row.state {
        ContainerStanding::Waiting { .. } => false,
        ContainerStanding::Running => row.ready || row.container.kind != ContainerKind::Regular,
        ContainerStanding::Ended { .. } => true,
    }
}

/// A pod between two steps, of which no more can be said.
pub(super) fn next_look(scene: &Scene<'_>) -> Block {
    let record = scene.facts.record;
    Block {
        step: BlockedStep::Look,
        container: None,
        since: Some(record.looked().unwrap_or(record.seen())),
        cause: BlockCause::Idle,
        actor: Actor::Kubelet,
        next: (Next::Look, None),
    }
}
