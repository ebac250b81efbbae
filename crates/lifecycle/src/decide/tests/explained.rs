//! What is said of a pod that is stuck, on its way, or well.

use k8s_openapi::api::core::v1::{PodCondition, PodReadinessGate};

use super::*;
use crate::{
    Obstacle, PodKey,
    action::MissingObject,
    explain::{
        Actor, Beside, Block, BlockCause, BlockedStep, Explanation, Facts, Gate, Hold, Next, ProbeKind,
        ProbeNote, PullsNote, Report, ReportFailure, ReportNote, ReportObstacle, Standing, TurnsNote,
        explain,
    },
    observation::ProbeResult,
    record::Stamp,
};

mod ending;
mod standing;
mod starting;
mod waiting;

/// Around the pod: what only some tests want to set.
#[derive(Default)]
struct Around {
    beside: Beside,
    hold: Option<(Hold, Stamp)>,
    finished: bool,
}

fn told(scene: &Scene) -> Explanation {
    told_around(scene, &Around::default())
}

fn told_around(scene: &Scene, around: &Around) -> Explanation {
    let beside = Beside { network: scene.network.as_ref().err().cloned(), ..around.beside.clone() };
    let facts = Facts {
        pod: &scene.pod,
        source: scene.source,
        intent: &scene.intent,
        state: &scene.state,
        record: &scene.past,
        hold: around.hold.as_ref(),
        finished: around.finished,
        beside: &beside,
    };
    explain(&facts, now(scene))
}

fn now(scene: &Scene) -> Tick {
    Tick { mono: scene.mono, wall: scene.wall }
}

/// How long ago, and in how long, in whole seconds.
fn times(scene: &Scene, block: &Block) -> (Option<u64>, Option<u64>) {
    let now = Stamp::from(now(scene));
    let next = block.next.1.map(|at| at.since(now).as_secs_f64().round() as u64);
    (block.since.map(|at| now.since(at).as_secs()), next)
}

fn only(told: &Explanation) -> &Block {
    assert_eq!(told.blocks.len(), 1, "{:#?}", told.blocks);
    &told.blocks[0]
}

/// A block as it is read: what, why, who, next.
fn read(block: &Block) -> [String; 4] {
    let container = block.container.as_ref().map(|it| format!(" of container {}", it.name));
    let what = format!("{}{}", block.step, container.unwrap_or_default());
    [what, block.cause.to_string(), block.actor.to_string(), block.next.0.to_string()]
}

/// Looks once, and answers every action but those that `fails` names with success.
fn round(scene: &mut Scene, fails: impl Fn(&Action) -> Option<Failure>) {
    let decision = scene.look();
    for action in &decision.actions {
        match fails(action) {
            Some(failure) => scene.answer(action, Err(failure)),
            None => scene.succeed(action),
        }
    }
}

/// Rounds until nothing is asked for any more.
fn stuck(scene: &mut Scene, fails: impl Fn(&Action) -> Option<Failure>) {
    for _ in 0..20 {
        round(scene, &fails);
    }
    scene.look();
}
