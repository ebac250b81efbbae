//! A pod on its way out: what still runs, and what is still to be cleared away.

use std::time::Duration;

use super::{
    Actor, Block, BlockedStep, Next, Scene, container,
    failure::{self, About},
    pod,
};
use crate::{
    action::ActionKey,
    ids::ContainerId,
    reason::ContainerRef,
    status::{all_containers, instance_id},
};

/// After the end of the grace period the runtime kills. One that takes longer than this is at fault itself.
const KILL_TAKES: Duration = Duration::from_secs(5);

/// Containers that are being stopped, then the sandboxes; and calls of the life that is over, as long as they may bring
/// something to life.
pub(super) fn stopping(scene: &Scene<'_>, deadline: Duration, blocks: &mut Vec<Block>) {
    for key in pod::keys(scene) {
        match key {
            ActionKey::StopContainer(id) | ActionKey::RunPreStop(id) => {
                blocks.extend(one_stop(scene, key, id, deadline));
            }
            ActionKey::StopSandbox(_) => {
                blocks.extend(failure::of_action(scene, key, About::pod(BlockedStep::Sandbox)));
            }
            ActionKey::CreateSandbox | ActionKey::CreateContainer(_) | ActionKey::StartContainer(_) => {
                blocks.extend(making(scene, key));
            }
            // Nothing waits for these before it is to be cleared away, and a hurried stop goes on beside its first call.
            ActionKey::PrepareDirs
            | ActionKey::EnsureCgroup
            | ActionKey::MountVolumes
            | ActionKey::EnsureImage(_)
            | ActionKey::FindImage(_)
            | ActionKey::HurryContainer(..)
            | ActionKey::RemoveContainer(_)
            | ActionKey::RemoveSandbox(_)
            | ActionKey::UnmountVolumes
            | ActionKey::RemoveCgroup
            | ActionKey::RemoveDirs => {}
        }
    }
}

/// A call that may yet make or start something: before its answer nobody knows what is to be stopped. One that failed is
/// over with the pod's life.
fn making(scene: &Scene<'_>, key: &ActionKey) -> Option<Block> {
    let step = scene.facts.record.step_of(key)?;
    let name = step.container.as_ref();
    let container = name.and_then(|name| container::reference(scene, name.as_str()));
    let about = |step| About { step, container: container.clone(), image: "" };
    let block = match key {
        ActionKey::CreateSandbox => failure::under_way(step, about(BlockedStep::Sandbox)),
        ActionKey::CreateContainer(_) => failure::under_way(step, about(BlockedStep::Creation)),
        _ => container::start(scene, step)
            .unwrap_or_else(|| failure::under_way(step, about(BlockedStep::Start))),
    };
    Some(Block { next: (Next::StopsThen, None), ..block })
}

/// The stop of one container. While its grace lasts it is the container's turn, then the runtime's.
pub(super) fn one_stop(
    scene: &Scene<'_>,
    key: &ActionKey,
    id: &ContainerId,
    deadline: Duration,
) -> Option<Block> {
    let container = container_of(scene, key, id);
    let about = About { step: BlockedStep::Stop, container: container.clone(), image: "" };
    let mut block = failure::of_action(scene, key, about)?;
    if scene.facts.state.setbacks.contains_key(key) {
        return Some(block);
    }
    let known = scene.facts.state.stopping.get(id).copied().unwrap_or(deadline);
    let kill = scene.instant(known);
    block.next = (Next::Kill, Some(kill));
    if scene.now.since(kill) >= KILL_TAKES {
        block.actor = Actor::Runtime;
        block.next = (Next::Answer, None);
    }
    Some(block)
}

/// Which container an action about an instance is about.
fn container_of(scene: &Scene<'_>, key: &ActionKey, id: &ContainerId) -> Option<ContainerRef> {
    let by_step = scene.facts.record.step_of(key).and_then(|step| step.container.as_ref());
    if let Some(name) = by_step {
        return container::reference(scene, name.as_str());
    }
    let found = all_containers(scene.status?).find(|status| instance_id(status) == Some(id.as_str()))?;
    container::reference(scene, &found.name)
}

/// What is left to be cleared away.
pub(super) fn clearing(scene: &Scene<'_>, blocks: &mut Vec<Block>) {
    for key in pod::keys(scene) {
        match key {
            ActionKey::StopContainer(id) => blocks.extend(one_stop(scene, key, id, Duration::ZERO)),
            ActionKey::RemoveContainer(_) | ActionKey::StopSandbox(_) | ActionKey::RemoveSandbox(_) => {
                blocks.extend(failure::of_action(scene, key, About::pod(BlockedStep::Removal)));
            }
            ActionKey::UnmountVolumes => {
                blocks.extend(failure::of_action(scene, key, About::pod(BlockedStep::Volumes)));
            }
            ActionKey::RemoveCgroup => {
                blocks.extend(failure::of_action(scene, key, About::pod(BlockedStep::Cgroup)));
            }
            ActionKey::RemoveDirs => {
                blocks.extend(failure::of_action(scene, key, About::pod(BlockedStep::Directories)));
            }
            ActionKey::CreateSandbox | ActionKey::CreateContainer(_) | ActionKey::StartContainer(_) => {
                blocks.extend(making(scene, key));
            }
            // Their answers are waited for. Those that failed are not tried again.
            ActionKey::PrepareDirs
            | ActionKey::EnsureCgroup
            | ActionKey::MountVolumes
            | ActionKey::EnsureImage(_)
            | ActionKey::FindImage(_)
            | ActionKey::HurryContainer(..)
            | ActionKey::RunPreStop(_) => {
                let step = scene.facts.record.step_of(key);
                blocks.extend(step.map(|step| failure::under_way(step, About::pod(BlockedStep::CleanUp))));
            }
        }
    }
}
