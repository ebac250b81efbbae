//! A step that failed or is under way, as a block.

use super::{Actor, Block, BlockCause, BlockedStep, Next, Scene};
use crate::{
    action::{ActionKey, Failure, FailureStep, Obstacle},
    reason::ContainerRef,
    record::{Step, StepKind},
    state::Setback,
};

/// For which step of the pod, and for which container with which image.
pub(super) struct About<'a> {
    pub(super) step: BlockedStep,
    pub(super) container: Option<ContainerRef>,
    pub(super) image: &'a str,
}

impl About<'_> {
    pub(super) fn pod(step: BlockedStep) -> Self {
        Self { step, container: None, image: "" }
    }
}

/// The block that an action makes, if it is set back or under way.
pub(super) fn of_action(scene: &Scene<'_>, key: &ActionKey, about: About<'_>) -> Option<Block> {
    match (scene.facts.state.setbacks.get(key), scene.facts.record.step_of(key)) {
        // What it waits for counts, not what became of it before.
        (_, Some(step)) if step.is_waiting() => Some(in_line(scene, step, about)),
        (Some(setback), retry) => Some(set_back(scene, setback, retry.is_some(), about)),
        (None, Some(step)) => Some(under_way(step, about)),
        (None, None) => None,
    }
}

pub(super) fn set_back(scene: &Scene<'_>, setback: &Setback, retrying: bool, about: About<'_>) -> Block {
    let failure = &setback.failure;
    let next = match retrying {
        true => (Next::Retrying, None),
        false => (Next::Retry, Some(scene.instant(setback.retry_at))),
    };
    Block {
        step: about.step,
        container: about.container,
        since: Some(setback.since.into()),
        cause: BlockCause::Failed {
            reason: reason(failure.step),
            message: failure.message.clone(),
            tries: setback.tries,
        },
        actor: actor(failure, about.image),
        next,
    }
}

pub(super) fn under_way(step: &Step, about: About<'_>) -> Block {
    let call = step.call().map(|call| call.name);
    Block {
        actor: worker(step, call, about.image),
        step: about.step,
        container: about.container,
        since: Some(step.began),
        cause: BlockCause::UnderWay { call },
        next: (Next::Answer, None),
    }
}

/// What has to wait for others of its kind.
fn in_line(scene: &Scene<'_>, step: &Step, about: About<'_>) -> Block {
    match step.kind {
        StepKind::EnsureImage | StepKind::FindImage => pull_in_line(scene, step, about),
        _ => {
            let turns = scene.facts.beside.turns;
            Block {
                step: about.step,
                container: about.container,
                since: step.wait.map(|wait| step.began.after(wait.after())),
                actor: Actor::Runtime,
                cause: BlockCause::Turn { places: turns.places, waiting: turns.waiting },
                next: (Next::Turn, None),
            }
        }
    }
}

/// A pull that has to wait for others.
fn pull_in_line(scene: &Scene<'_>, step: &Step, about: About<'_>) -> Block {
    let pulls = scene.facts.beside.pulls.as_ref();
    let oldest = pulls.and_then(|pulls| pulls.oldest.clone());
    Block {
        step: about.step,
        container: about.container,
        since: step.wait.map(|wait| step.began.after(wait.after())),
        actor: Actor::OldestPull { image: oldest.as_ref().map(|(image, _)| image.clone()) },
        cause: BlockCause::Place {
            places: pulls.map_or(0, |pulls| pulls.places),
            under_way: pulls.map_or(0, |pulls| pulls.under_way),
            oldest: oldest.map(|(image, began)| (image, scene.now.since(began))),
        },
        next: (Next::Place, None),
    }
}

/// Who works on a step that is under way.
fn worker(step: &Step, call: Option<&str>, image: &str) -> Actor {
    match (step.kind, call, &step.container) {
        (StepKind::EnsureImage, Some("PullImage"), _) if !image.is_empty() => Actor::Registry,
        // Between the runtime calls of these run the hooks; and once it is asked to stop, a container takes its time.
        (StepKind::StartContainer, None | Some("ExecSync"), Some(name)) if !step.calls.is_empty() => {
            Actor::Container(name.clone())
        }
        (StepKind::StopContainer | StepKind::RunPreStop, _, Some(name)) => Actor::Container(name.clone()),
        (_, Some(_), _) => Actor::Runtime,
        _ => Actor::Kubelet,
    }
}

/// The word that upstream has for a failed step, in statuses or events.
pub(super) fn reason(step: FailureStep) -> &'static str {
    match step {
        FailureStep::Dirs => "Failed",
        FailureStep::Cgroup => "FailedCreatePodContainer",
        FailureStep::Volumes => "FailedMount",
        FailureStep::Sandbox => "FailedCreatePodSandBox",
        FailureStep::ImageName => "InvalidImageName",
        FailureStep::ImageInspect => "ImageInspectError",
        FailureStep::ImageNeverPull => "ErrImageNeverPull",
        FailureStep::ImagePull => "ErrImagePull",
        FailureStep::RegistryUnavailable => "RegistryUnavailable",
        FailureStep::SignatureValidation => "SignatureValidationFailed",
        FailureStep::ContainerConfig => "CreateContainerConfigError",
        FailureStep::ContainerCreate => "CreateContainerError",
        FailureStep::ContainerStart => "RunContainerError",
        FailureStep::PostStartHook => "PostStartHookError",
        FailureStep::PreStopHook => "FailedPreStopHook",
        FailureStep::Teardown => "FailedKillPod",
        FailureStep::Inspection => "FailedSync",
    }
}

/// Whose turn it is after a failure: what the failed step knew, else what its kind tells.
fn actor(failure: &Failure, image: &str) -> Actor {
    let image = image.to_owned();
    match &failure.obstacle {
        Some(Obstacle::Objects(missing)) => return Actor::ObjectOwner(missing.clone()),
        Some(Obstacle::NoSuchImage) => return Actor::ImageOwner { image },
        Some(Obstacle::ImageDenied) => return Actor::PullSecretOwner,
        Some(Obstacle::Runtime) => return Actor::Runtime,
        Some(Obstacle::ApiServer) => return Actor::ApiServer,
        Some(Obstacle::Node) => return Actor::NodeAdmin,
        Some(Obstacle::Spec) => return Actor::PodAuthor,
        None => {}
    }
    match failure.step {
        FailureStep::Dirs | FailureStep::Cgroup | FailureStep::Volumes => Actor::NodeAdmin,
        FailureStep::ImageName
        | FailureStep::ContainerConfig
        | FailureStep::PostStartHook
        | FailureStep::PreStopHook => Actor::PodAuthor,
        FailureStep::ImageNeverPull => Actor::ImageLoader { image },
        FailureStep::ImagePull | FailureStep::RegistryUnavailable => Actor::Registry,
        FailureStep::SignatureValidation => Actor::ImageOwner { image },
        FailureStep::ContainerCreate | FailureStep::ContainerStart => Actor::PodAuthorOrRuntime,
        FailureStep::Sandbox
        | FailureStep::ImageInspect
        | FailureStep::Teardown
        | FailureStep::Inspection => Actor::Runtime,
    }
}
