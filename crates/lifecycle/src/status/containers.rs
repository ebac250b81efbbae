//! Container statuses (contract §10).

use k8s_openapi::api::core::v1::{
    Container, ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting,
    ContainerStatus, ContainerUser, LinuxContainerUser, VolumeMount, VolumeMountStatus,
};

use super::{Input, find, resources, seconds, transitions::is_for_good};
use crate::{
    decide::restart,
    ids::ContainerName,
    observation::{ContainerRecord, RuntimeState},
    spec::{ephemeral::as_container, mounts::recursive_read_only},
    state::{Reset, Stage},
};

const UNKNOWN: &str = "ContainerStatusUnknown";
/// Reason of containers that are removed because all of their pod are started over.
pub(super) const STARTING_OVER: &str = "RestartingAllContainers";
const STARTING_OVER_MESSAGE: &str = "The container is removed because RestartAllContainers in place";
pub(super) const LOST_AT_END: &str = "The container could not be located when the pod was terminated";
const LOST_ALIVE: &str =
    "The container could not be located when the pod was deleted.  The container used to be Running";
/// Most that the termination messages of one pod's containers take together: 12 KiB.
const POD_MESSAGE_BYTES: usize = 12 << 10;
const INIT_LOST: &str = "Unable to get init container status from container runtime and pod has been initialized, treat it as exited normally";

/// Sorted by name.
pub(super) fn regular(input: &Input<'_>) -> Vec<ContainerStatus> {
    let old = input.old.container_statuses.as_ref();
    let containers = input.spec.containers.iter();
    let mut all: Vec<_> =
        containers.map(|c| with_trouble(input, c, one(input, c, find(old, &c.name)))).collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all
}

/// In spec order.
pub(super) fn init(input: &Input<'_>) -> Vec<ContainerStatus> {
    let old = input.old.init_container_statuses.as_ref();
    let containers = input.spec.init_containers.iter().flatten();
    containers.map(|c| init_one(input, c, one(input, c, find(old, &c.name)))).collect()
}

/// Sorted by name.
pub(super) fn ephemeral(input: &Input<'_>) -> Vec<ContainerStatus> {
    let old = input.old.ephemeral_container_statuses.as_ref();
    let containers = input.spec.ephemeral_containers.iter().flatten().map(as_container);
    let mut all: Vec<_> = containers.map(|c| ephemeral_one(input, &c, find(old, &c.name))).collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all
}

/// One that has vanished is over: it never starts again.
fn ephemeral_one(input: &Input<'_>, container: &Container, old: Option<&ContainerStatus>) -> ContainerStatus {
    let ran = old.filter(|old| old.state.as_ref().is_some_and(|state| state.running.is_some()));
    match ran {
        Some(old) if input.view.newest(&container.name).is_none() => ContainerStatus {
            state: Some(ContainerState {
                terminated: Some(unknown_end(LOST_AT_END)),
                ..ContainerState::default()
            }),
            ..old.clone()
        },
        _ => with_trouble(input, container, one(input, container, old)),
    }
}

fn init_one(input: &Input<'_>, container: &Container, mut status: ContainerStatus) -> ContainerStatus {
    match input.view.newest(&container.name) {
        Some(record) if record.state == RuntimeState::Exited && record.exit_code == 0 => return status,
        None if input.view.initialised_once(input.spec)
            && !restart::is_sidecar(container)
            && input.reset == Reset::Idle =>
        {
            // Nobody starts it any more, so that nothing keeps it from that either.
            if is_waiting(&status) {
                status.state = Some(ContainerState {
                    terminated: Some(ContainerStateTerminated {
                        reason: Some("Completed".to_owned()),
                        message: Some(INIT_LOST.to_owned()),
                        ..ContainerStateTerminated::default()
                    }),
                    ..ContainerState::default()
                });
            }
            return status;
        }
        _ => {}
    }
    with_trouble(input, container, status)
}

/// A container that is to be started and could not be, waits; its last end moves to `lastState`.
fn with_trouble(input: &Input<'_>, container: &Container, mut status: ContainerStatus) -> ContainerStatus {
    let name = ContainerName::from(container.name.as_str());
    let trouble = input.state.containers.get(&name).and_then(|memo| memo.trouble.as_ref());
    let syncing = matches!(input.state.stage, Stage::Syncing(_));
    let Some(trouble) = trouble.filter(|_| syncing) else { return status };
    let newest = input.view.newest(&container.name);
    let in_the_making = newest.is_some_and(|record| input.in_the_making(container, record));
    if !in_the_making && !restart::wanted(container, input.pod, input.spec, input.view) {
        return status;
    }
    if status.state.as_ref().is_some_and(|state| state.terminated.is_some()) {
        status.last_state = status.state.take();
    }
    status.state = Some(waiting(Some(trouble.reason), &trouble.message));
    status
}

fn waiting(reason: Option<&str>, message: &str) -> ContainerState {
    let message = (!message.is_empty()).then(|| message.to_owned());
    ContainerState {
        waiting: Some(ContainerStateWaiting { reason: reason.map(str::to_owned), message }),
        ..ContainerState::default()
    }
}

pub(super) fn is_waiting(status: &ContainerStatus) -> bool {
    status.state.as_ref().is_some_and(|state| state.waiting.is_some())
}

pub(super) fn is_terminated(status: &ContainerStatus) -> bool {
    status.state.as_ref().is_some_and(|state| state.terminated.is_some())
}

/// The end of a container that nobody saw.
pub(super) fn unknown_end(message: &str) -> ContainerStateTerminated {
    ContainerStateTerminated {
        reason: Some(UNKNOWN.to_owned()),
        message: Some(message.to_owned()),
        exit_code: 137,
        ..ContainerStateTerminated::default()
    }
}

fn one(input: &Input<'_>, container: &Container, old: Option<&ContainerStatus>) -> ContainerStatus {
    let mut history = input.view.history(&container.name);
    // One that does not run yet adds nothing to what is known: what was before stands until it does.
    if history.first().is_some_and(|record| input.in_the_making(container, record)) {
        history.remove(0);
        if history.is_empty() && matches!(input.state.stage, Stage::Syncing(_)) {
            return ContainerStatus {
                last_state: Some(old.and_then(|old| old.last_state.clone()).unwrap_or_default()),
                restart_count: old.map_or(0, |old| old.restart_count),
                ..unmade(input, container)
            };
        }
    }
    let Some(record) = history.first() else { return without_record(input, container, old) };
    let later = old.filter(|old| is_later(input, old, &history));
    if let Some(old) = later.filter(|old| is_terminated(old)) {
        return old.clone();
    }
    let mut status = from_record(input, container, record, old);
    let for_good = |status: &ContainerStatus| is_for_good(input.spec, Some(container), status);
    if for_good(&status) && input.promised(container) && !old.is_some_and(for_good) {
        // The API takes no container back that ended for good by its policy. So this end is not told before the next
        // instance runs: in `lastState`, as upstream tells it, which looks when both are done.
        let (state, last_state) = match old {
            Some(old) => (old.state.clone(), old.last_state.clone()),
            None => (unmade(input, container).state, status.state.take()),
        };
        return ContainerStatus { state, last_state, ..status };
    }
    if later.is_some_and(|old| old.state.as_ref().is_some_and(|state| state.running.is_some())) {
        // It is lost: its successor must not share its identity.
        status.restart_count = status.restart_count.saturating_add(1);
    }
    if let Some(before) = history.get(1).filter(|before| before.state == RuntimeState::Exited) {
        let terminated = Some(ended(input, before));
        status.last_state = Some(ContainerState { terminated, ..ContainerState::default() });
    }
    status
}

/// Whether the last report tells of an instance that came after all those there are: the newest record of a name may be
/// removed before older ones, and how it ended must stay told.
fn is_later(input: &Input<'_>, old: &ContainerStatus, history: &[&ContainerRecord]) -> bool {
    let told = |record: &&ContainerRecord| old.container_id == Some(container_id(input, record));
    let newest = history.first().filter(|record| record.state == RuntimeState::Exited);
    old.container_id.is_some()
        && newest.is_some_and(|record| i64::from(record.attempt) < old.restart_count.into())
        && !history.iter().any(told)
}

fn without_record(
    input: &Input<'_>,
    container: &Container,
    old: Option<&ContainerStatus>,
) -> ContainerStatus {
    if let Some(removed) = old.and_then(|old| removed_to_start_over(input, container, old)) {
        return removed;
    }
    if let Some(old) = old.filter(|old| is_terminated(old)) {
        return old.clone();
    }
    let mut status = ContainerStatus {
        last_state: Some(old.and_then(|old| old.last_state.clone()).unwrap_or_default()),
        restart_count: old.map_or(0, |old| old.restart_count),
        ..unmade(input, container)
    };
    let Some(old) = old else { return status };
    // A known end of an earlier instance stands, as upstream has it.
    let ran = old.state.as_ref().is_some_and(|state| state.running.is_some());
    let known = old.last_state.as_ref().is_some_and(|last| last.terminated.is_some());
    if ran && !known {
        let terminated = Some(unknown_end(LOST_ALIVE));
        status.last_state = Some(ContainerState { terminated, ..ContainerState::default() });
        if input.pod.metadata.deletion_timestamp.is_none() {
            status.restart_count = old.restart_count.saturating_add(1);
        }
    }
    status
}

/// A container that was removed because all containers of the pod are started over.
fn removed_to_start_over(
    input: &Input<'_>,
    container: &Container,
    old: &ContainerStatus,
) -> Option<ContainerStatus> {
    let known = old.state.as_ref().and_then(|state| state.waiting.as_ref());
    if known.is_some_and(|waiting| waiting.reason.as_deref() == Some(STARTING_OVER)) {
        return (input.reset == Reset::UnderWay).then(|| old.clone());
    }
    if !input.starting_over || known.is_some() {
        return None;
    }
    let ended = ContainerStateTerminated {
        reason: Some(STARTING_OVER.to_owned()),
        message: Some(STARTING_OVER_MESSAGE.to_owned()),
        exit_code: 137,
        ..ContainerStateTerminated::default()
    };
    Some(ContainerStatus {
        state: Some(waiting(Some(STARTING_OVER), STARTING_OVER_MESSAGE)),
        last_state: Some(ContainerState { terminated: Some(ended), ..ContainerState::default() }),
        restart_count: old.restart_count.saturating_add(1),
        ..unmade(input, container)
    })
}

/// A container that does not exist (yet).
fn unmade(input: &Input<'_>, container: &Container) -> ContainerStatus {
    let initial = match input.spec.init_containers.as_deref() {
        Some([_, ..]) => "PodInitializing",
        _ => "ContainerCreating",
    };
    ContainerStatus {
        name: container.name.clone(),
        image: container.image.clone().unwrap_or_default(),
        state: Some(waiting(Some(initial), "")),
        volume_mounts: volume_mounts(input, container),
        ..ContainerStatus::default()
    }
}

fn from_record(
    input: &Input<'_>,
    container: &Container,
    record: &ContainerRecord,
    old: Option<&ContainerStatus>,
) -> ContainerStatus {
    let id = container_id(input, record);
    let same = old.is_some_and(|old| old.container_id.as_deref() == Some(&id));
    let count = i32::try_from(record.attempt).unwrap_or(i32::MAX);
    let last = old.and_then(|old| {
        let ended = old.state.as_ref().filter(|state| !same && state.terminated.is_some());
        ended.or(old.last_state.as_ref()).cloned()
    });
    let mut status = ContainerStatus {
        name: container.name.clone(),
        image: record.image.clone(),
        image_id: record.image_ref.clone(),
        restart_count: old.map_or(count, |old| old.restart_count.max(count)),
        last_state: Some(last.unwrap_or_default()),
        volume_mounts: volume_mounts(input, container),
        resources: Some(resources::of_container(container, record, old.filter(|_| same))),
        allocated_resources: container.resources.as_ref().and_then(|r| r.requests.clone()),
        user: record.user.as_ref().map(user),
        container_id: Some(id),
        ..ContainerStatus::default()
    };
    status.state = Some(match record.state {
        RuntimeState::Running => ContainerState {
            running: Some(ContainerStateRunning { started_at: record.started_at.map(seconds) }),
            ..ContainerState::default()
        },
        RuntimeState::Exited => {
            ContainerState { terminated: Some(ended(input, record)), ..ContainerState::default() }
        }
        RuntimeState::Created | RuntimeState::Unknown => {
            let ran = |old: &ContainerStatus| old.state.as_ref().is_some_and(|s| s.waiting.is_none());
            if same && old.is_some_and(ran) {
                // Counted now: its successor will carry this number.
                status.restart_count = status.restart_count.max(count.saturating_add(1));
                let mut ended = unknown_end(LOST_AT_END);
                if input.starting_over {
                    ended.reason = Some(STARTING_OVER.to_owned());
                }
                ContainerState { terminated: Some(ended), ..ContainerState::default() }
            } else {
                waiting(None, "")
            }
        }
    });
    status
}

fn container_id(input: &Input<'_>, record: &ContainerRecord) -> String {
    format!("{}://{}", input.seen.node.runtime_name, record.id)
}

fn ended(input: &Input<'_>, record: &ContainerRecord) -> ContainerStateTerminated {
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let end = record.message.floor_char_boundary(message_bytes(input));
    ContainerStateTerminated {
        exit_code: record.exit_code,
        reason: text(&record.reason),
        message: text(record.message.get(..end).unwrap_or_default()),
        started_at: record.started_at.map(seconds),
        finished_at: record.finished_at.map(seconds),
        container_id: Some(container_id(input, record)),
        signal: None,
    }
}

/// A container's share of what the messages of a pod's containers may take together (contract §8).
fn message_bytes(input: &Input<'_>) -> usize {
    let spec = input.spec;
    let others = spec.init_containers.as_ref().map_or(0, Vec::len)
        + spec.ephemeral_containers.as_ref().map_or(0, Vec::len);
    POD_MESSAGE_BYTES / (spec.containers.len() + others).max(1)
}

fn user((uid, gid, groups): &(i64, i64, Vec<i64>)) -> ContainerUser {
    let supplemental_groups = (!groups.is_empty()).then(|| groups.clone());
    ContainerUser { linux: Some(LinuxContainerUser { uid: *uid, gid: *gid, supplemental_groups }) }
}

fn volume_mounts(input: &Input<'_>, container: &Container) -> Option<Vec<VolumeMountStatus>> {
    let recursive = input.seen.node.mounts_recursively(input.spec);
    let mounts = container.volume_mounts.iter().flatten();
    super::some(mounts.map(|mount| volume_mount(mount, recursive)).collect())
}

/// `supported` tells whether the runtime handler can mount recursively read-only.
fn volume_mount(mount: &VolumeMount, supported: bool) -> VolumeMountStatus {
    let read_only = mount.read_only.unwrap_or(false);
    let recursive = match recursive_read_only(mount, supported) {
        Ok(true) => "Enabled",
        _ => "Disabled",
    };
    VolumeMountStatus {
        name: mount.name.clone(),
        mount_path: mount.mount_path.clone(),
        read_only: read_only.then_some(true),
        recursive_read_only: read_only.then(|| recursive.to_owned()),
        ..VolumeMountStatus::default()
    }
}
