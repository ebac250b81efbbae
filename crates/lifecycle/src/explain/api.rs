//! What lies with the API server, or with those who decide where the pod may run.

use std::time::Duration;

use super::{
    Actor, Block, BlockCause, BlockedStep, Next, Report, ReportFailure, ReportNote, ReportObstacle, Scene,
};
use crate::{Intent, PodSource, Reason, reason::Cause, state::Stage};

/// A report takes milliseconds. One that takes this long is worth a word, even of a pod that runs.
const SLOW_REPORT: Duration = Duration::from_secs(1);

/// A pod that may not run here. Once it is to go, that no longer matters.
pub(super) fn admission(scene: &Scene<'_>, blocks: &mut Vec<Block>) {
    let cause = match &scene.facts.state.stage {
        Stage::Syncing(_) => return,
        Stage::Terminating(terminating) => &terminating.cause,
        Stage::Terminated(terminated) => &terminated.cause,
    };
    let (Cause::Rejected { reason, message }, Intent::Run) = (cause, scene.facts.intent) else { return };
    blocks.push(Block {
        step: BlockedStep::Admission,
        container: None,
        since: scene.facts.record.since(|why| matches!(why, Reason::Terminating { .. })),
        cause: BlockCause::Refused { reason: reason.clone(), message: message.clone() },
        actor: Actor::PodAuthorOrNodeAdmin,
        next: (after_refusal(scene), None),
    });
}

/// An admission is final for a pod: only another one is judged.
fn after_refusal(scene: &Scene<'_>) -> Next {
    let mut owners = scene.facts.pod.metadata.owner_references.iter().flatten();
    if scene.facts.source.is_static() {
        Next::Manifest
    } else if owners.any(|owner| owner.controller == Some(true)) {
        Next::Replacement
    } else {
        Next::NotAgain
    }
}

/// What the API server has not taken, or not shown, of what the kubelet told it.
pub(super) fn report(scene: &Scene<'_>, blocks: &mut Vec<Block>) {
    let untold = match &scene.facts.state.stage {
        Stage::Terminated(terminated) => terminated.untold,
        Stage::Syncing(_) | Stage::Terminating(_) => None,
    };
    match (&scene.facts.beside.report, untold) {
        (Some(note), _) => blocks.extend(unsent(scene, note)),
        (None, Some(since)) => blocks.push(Block {
            step: BlockedStep::Report,
            container: None,
            since: Some(since.into()),
            cause: BlockCause::NotShown,
            actor: Actor::ApiServerAnswer,
            next: (Next::Removal, None),
        }),
        (None, None) => blocks.extend(finalizers(scene)),
    }
}

fn unsent(scene: &Scene<'_>, note: &ReportNote) -> Option<Block> {
    let step = match note.what {
        Report::Status => BlockedStep::Report,
        Report::Deletion => BlockedStep::Deletion,
    };
    let block =
        |cause, actor, next| Block { step, container: None, since: Some(note.since), cause, actor, next };
    let Some(ReportFailure { obstacle, message, tries }) = &note.failure else {
        // A pod that goes waits for each of its reports.
        let goes = !matches!(scene.facts.intent, Intent::Run);
        let under_way = BlockCause::UnderWay { call: None };
        return (goes || scene.now.since(note.since) >= SLOW_REPORT)
            .then(|| block(under_way, Actor::ApiServerAnswer, (Next::Answer, None)));
    };
    let (reason, actor) = match obstacle {
        ReportObstacle::Unreachable => ("Unreachable", Actor::ApiServer),
        ReportObstacle::Forbidden => ("Forbidden", Actor::ClusterAdmin),
        ReportObstacle::Refused => ("Refused", Actor::ClusterAdmin),
        ReportObstacle::Internal => ("InternalError", Actor::Kubelet),
    };
    let next = match note.next {
        Some(at) => (Next::Retry, Some(at)),
        None => (Next::Retrying, None),
    };
    Some(block(BlockCause::Failed { reason, message: message.clone(), tries: *tries }, actor, next))
}

/// An object that the API server keeps although nothing of the pod is left here.
fn finalizers(scene: &Scene<'_>) -> Option<Block> {
    let facts = scene.facts;
    let left = facts.pod.metadata.finalizers.as_ref().filter(|left| !left.is_empty())?;
    let goes = facts.source == PodSource::Api && matches!(facts.intent, Intent::Delete { .. });
    (goes && facts.finished).then(|| Block {
        step: BlockedStep::Finalizers,
        container: None,
        since: facts.record.since(|why| matches!(why, Reason::Gone)),
        cause: BlockCause::Finalizers(left.clone()),
        actor: Actor::FinalizerOwner,
        next: (Next::ObjectGone, None),
    })
}
