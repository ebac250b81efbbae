//! What each container waits for.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, ContainerStatus};

use super::{
    Actor, Block, BlockCause, BlockedStep, ContainerAccount, ContainerStanding, Gate, Next, ProbeKind, Scene,
    end,
    failure::{self, About},
    pod,
};
use crate::{
    action::ActionKey,
    decide::restart::is_sidecar,
    ids::ContainerName,
    reason::{ContainerKind, ContainerRef},
    record::{Stamp, Step},
    spec::{containers, hooks::has_post_start},
    state::{Reset, Stage},
};

/// A container of the spec with its newest status.
struct One<'a> {
    reference: ContainerRef,
    sidecar: bool,
    image: &'a str,
    /// `None`: an ephemeral container.
    spec: Option<&'a Container>,
    status: Option<&'a ContainerStatus>,
}

impl One<'_> {
    fn runs(&self) -> bool {
        self.status.and_then(|s| s.state.as_ref()).is_some_and(|state| state.running.is_some())
    }

    fn started(&self) -> bool {
        self.status.is_some_and(|status| status.started == Some(true))
    }

    fn ready(&self) -> bool {
        self.status.is_some_and(|status| status.ready)
    }

    /// When its running instance was started.
    fn running_since(&self, now: Stamp) -> Option<Stamp> {
        let running = self.status?.state.as_ref()?.running.as_ref()?;
        running.started_at.as_ref().map(|time| now.when(time.0))
    }

    /// Whether those that come after it in the order of initialisation may start.
    fn passed(&self) -> bool {
        if self.sidecar { self.started() } else { self.ready() }
    }

    fn image_key(&self) -> ActionKey {
        ActionKey::EnsureImage(self.reference.name.clone())
    }

    fn about(&self, step: BlockedStep) -> About<'_> {
        About { step, container: Some(self.reference.clone()), image: self.image }
    }

    /// Its start, under way.
    fn start(&self, step: &Step) -> Block {
        failure::under_way(step, self.about(start_step(self, step.call().is_none())))
    }
}

fn all<'a>(scene: &'a Scene<'_>) -> Vec<One<'a>> {
    let Some(spec) = &scene.facts.pod.spec else { return Vec::new() };
    let one = |kind, container: &'a Container, list: Option<&'a Vec<ContainerStatus>>| One {
        reference: Scene::reference(kind, &container.name),
        sidecar: kind == ContainerKind::Init && is_sidecar(container),
        image: container.image.as_deref().unwrap_or_default(),
        spec: Some(container),
        status: find(list, &container.name),
    };
    let lists = scene.status.map(|status| {
        (&status.init_container_statuses, &status.container_statuses, &status.ephemeral_container_statuses)
    });
    let inits = lists.and_then(|(list, _, _)| list.as_ref());
    let regulars = lists.and_then(|(_, list, _)| list.as_ref());
    let ephemerals = lists.and_then(|(_, _, list)| list.as_ref());
    let mut all: Vec<_> =
        spec.init_containers.iter().flatten().map(|c| one(ContainerKind::Init, c, inits)).collect();
    all.extend(spec.containers.iter().map(|c| one(ContainerKind::Regular, c, regulars)));
    all.extend(spec.ephemeral_containers.iter().flatten().map(|container| One {
        reference: Scene::reference(ContainerKind::Ephemeral, &container.name),
        sidecar: false,
        image: container.image.as_deref().unwrap_or_default(),
        spec: None,
        status: find(ephemerals, &container.name),
    }));
    all
}

fn find<'s>(list: Option<&'s Vec<ContainerStatus>>, name: &str) -> Option<&'s ContainerStatus> {
    list.into_iter().flatten().find(|status| status.name == name)
}

/// A container as events name it; `None` when the spec does not know it.
pub(super) fn reference(scene: &Scene<'_>, name: &str) -> Option<ContainerRef> {
    let kind = containers::kind_of(scene.facts.pod.spec.as_ref()?, name)?;
    Some(Scene::reference(kind, name))
}

/// What stands in the way of the containers of a pod that is to run.
pub(super) fn blocks(scene: &Scene<'_>, blocks: &mut Vec<Block>) {
    for one in all(scene) {
        let before = blocks.len();
        blocks.extend(failure::of_action(scene, &one.image_key(), one.about(BlockedStep::Image)));
        let create = ActionKey::CreateContainer(one.reference.name.clone());
        blocks.extend(failure::of_action(scene, &create, one.about(BlockedStep::Creation)));
        instances(scene, &one, blocks);
        if blocks.len() == before {
            blocks.extend(back_off(scene, &one).or_else(|| at_work(scene, &one)));
        }
    }
}

/// Starts and stops of its instances.
fn instances(scene: &Scene<'_>, one: &One<'_>, blocks: &mut Vec<Block>) {
    for key in pod::keys(scene) {
        let block = match key {
            ActionKey::StopContainer(id) | ActionKey::RunPreStop(id) => {
                end::one_stop(scene, key, id, make_way_until(scene))
            }
            ActionKey::StartContainer(_) => {
                // Only the step under way knows for whom it is; a start that failed shows in the container's trouble.
                let step = scene.facts.record.step_of(key);
                step.filter(|step| step.container.as_ref() == Some(&one.reference.name))
                    .map(|step| one.start(step))
            }
            _ => None,
        };
        blocks.extend(block.filter(|block| block.container.as_ref() == Some(&one.reference)));
    }
}

/// When containers that make way for a new sandbox are killed, on the monotonic clock.
fn make_way_until(scene: &Scene<'_>) -> Duration {
    match &scene.facts.state.stage {
        Stage::Syncing(syncing) => syncing.make_way_until.unwrap_or_default(),
        Stage::Terminating(_) | Stage::Terminated(_) => Duration::ZERO,
    }
}

/// The start of a container of the spec that is under way.
pub(super) fn start(scene: &Scene<'_>, step: &Step) -> Option<Block> {
    let one = all(scene).into_iter().find(|one| Some(&one.reference.name) == step.container.as_ref())?;
    Some(one.start(step))
}

/// After the start itself comes the postStart hook, within the same step.
fn start_step(one: &One<'_>, between_calls: bool) -> BlockedStep {
    let hook = one.spec.is_some_and(has_post_start);
    if hook && (one.runs() || between_calls) { BlockedStep::Hook } else { BlockedStep::Start }
}

/// A container that may not start again yet, or could not be started.
fn back_off(scene: &Scene<'_>, one: &One<'_>) -> Option<Block> {
    let memo = scene.facts.state.containers.get(&one.reference.name)?;
    let trouble = memo.trouble.as_ref()?;
    let last = one.status.and_then(|s| s.last_state.as_ref()).and_then(|s| s.terminated.as_ref());
    let ended = last.and_then(|end| end.finished_at.as_ref()).map(|time| scene.now.when(time.0));
    if let Some((_, until)) = memo.crash.waiting.as_ref().filter(|_| trouble.reason == "CrashLoopBackOff") {
        let exit = last.map(|end| (end.exit_code, end.reason.clone().unwrap_or_default()));
        return Some(Block {
            step: BlockedStep::Restart,
            container: Some(one.reference.clone()),
            since: ended,
            cause: BlockCause::BackOff { delay: memo.crash.delay, exit },
            actor: Actor::Container(one.reference.name.clone()),
            next: (Next::Restart, Some(scene.instant(*until))),
        });
    }
    // A start that failed: its key is an instance's, its text the container's.
    let start = scene.facts.state.setbacks.iter().find(|(key, setback)| {
        matches!(key, ActionKey::StartContainer(_)) && setback.failure.message == trouble.message
    });
    start.map(|(_, setback)| failure::set_back(scene, setback, false, one.about(BlockedStep::Start)))
}

/// A container that runs and is not yet where it is to be.
fn at_work(scene: &Scene<'_>, one: &One<'_>) -> Option<Block> {
    if !one.runs() {
        return None;
    }
    let since = one.running_since(scene.now);
    let spec = one.spec?;
    let program = Actor::Container(one.reference.name.clone());
    let block = |step, cause, next| {
        let container = Some(one.reference.clone());
        Some(Block { step, container, since, cause, actor: program.clone(), next })
    };
    if one.reference.kind == ContainerKind::Init && !one.sidecar {
        return block(BlockedStep::InitContainer, BlockCause::Runs, (Next::InitDone, None));
    }
    let probe = |kind| {
        let mut notes = scene.facts.beside.probes.iter();
        notes.find(|note| note.container == one.reference.name && note.kind == kind).cloned()
    };
    let (step, note) = if spec.startup_probe.is_some() && !one.started() {
        (BlockedStep::StartupProbe, probe(ProbeKind::Startup))
    } else if spec.readiness_probe.is_some() && !one.ready() {
        (BlockedStep::ReadinessProbe, probe(ProbeKind::Readiness))
    } else {
        return None;
    };
    let next = note.as_ref().and_then(|note| note.next);
    block(step, BlockCause::Probe(note), (Next::Probe, next))
}

/// Every container, with what it waits for.
pub(super) fn rows(scene: &Scene<'_>, blocks: &[Block]) -> Vec<ContainerAccount> {
    let all = all(scene);
    let stopping = !matches!(scene.facts.state.stage, Stage::Syncing(_));
    let pod_wide =
        blocks.iter().find(|block| block.container.is_none() && holds_containers(scene, &block.step));
    let mut unfinished: Option<&ContainerName> = None;
    let mut sibling: Option<&ContainerName> = None;
    let mut rows = Vec::with_capacity(all.len());
    for one in &all {
        let mine = blocks.iter().find(|block| block.container.as_ref() == Some(&one.reference));
        let waiting = matches!(standing(one), ContainerStanding::Waiting { .. });
        let waits_for = match (mine, stopping) {
            (Some(block), _) => Some(Gate::Step(block.step.clone())),
            (None, true) => one.runs().then_some(Gate::Others),
            (None, false) if !waiting => None,
            (None, false) => match (unfinished, pod_wide, sibling) {
                (Some(init), _, _) if one.reference.kind != ContainerKind::Ephemeral => {
                    Some(Gate::Container(init.clone()))
                }
                (_, Some(block), _) => Some(Gate::Step(block.step.clone())),
                (_, None, Some(sibling)) => Some(Gate::Container(sibling.clone())),
                _ => None,
            },
        };
        if one.reference.kind == ContainerKind::Init && unfinished.is_none() && !one.passed() {
            unfinished = Some(&one.reference.name);
        }
        if one.reference.kind == ContainerKind::Regular && mine.is_some_and(holds_siblings) {
            sibling = sibling.or(Some(&one.reference.name));
        }
        let restarts = one.status.map_or(0, |status| status.restart_count);
        rows.push(ContainerAccount {
            container: one.reference.clone(),
            sidecar: one.sidecar,
            state: standing(one),
            ready: one.ready(),
            restarts: u32::try_from(restarts).unwrap_or(0),
            waits_for,
        });
    }
    rows
}

/// Whether later regular containers wait for this step of an earlier one.
fn holds_siblings(block: &Block) -> bool {
    let making = matches!(block.step, BlockedStep::Image | BlockedStep::Creation | BlockedStep::Start);
    let goes_on = matches!(
        block.cause,
        BlockCause::UnderWay { .. } | BlockCause::Place { .. } | BlockCause::Turn { .. }
    );
    block.step == BlockedStep::Hook || making && goes_on
}

/// Whether no container can start while this step is not done.
fn holds_containers(scene: &Scene<'_>, step: &BlockedStep) -> bool {
    match step {
        BlockedStep::ReadinessGate
        | BlockedStep::CleanUp
        | BlockedStep::Report
        | BlockedStep::Deletion
        | BlockedStep::Finalizers
        | BlockedStep::Look => false,
        BlockedStep::Removal => {
            matches!(&scene.facts.state.stage, Stage::Syncing(it) if it.reset == Reset::UnderWay)
        }
        _ => true,
    }
}

fn standing(one: &One<'_>) -> ContainerStanding {
    let state = one.status.and_then(|status| status.state.as_ref());
    if state.is_some_and(|state| state.running.is_some()) {
        return ContainerStanding::Running;
    }
    if let Some(end) = state.and_then(|state| state.terminated.as_ref()) {
        return ContainerStanding::Ended {
            code: end.exit_code,
            reason: end.reason.clone().unwrap_or_default(),
        };
    }
    let reason = state.and_then(|state| state.waiting.as_ref()).and_then(|waiting| waiting.reason.clone());
    ContainerStanding::Waiting { reason: reason.unwrap_or_default() }
}
