//! `ready` and `started` of each container.
//!
//! Results of probes carry a container id. A running container without a result keeps what its last status said of
//! that very instance, so that a restart of this process flips nothing; without that it is not ready.

use k8s_openapi::api::core::v1::{Container, ContainerStatus, PodStatus};

use super::{Input, find, instance_id};
use crate::{
    Observation,
    decide::restart,
    ids::ContainerName,
    observation::{ContainerRecord, ProbeResult, RuntimeState},
};

pub(super) fn fill(input: &Input<'_>, status: &mut PodStatus) {
    for container in &input.spec.containers {
        if let Some(status) = find_mut(status.container_statuses.as_mut(), &container.name) {
            (status.started, status.ready) = judge(input, container);
        }
    }
    for container in input.spec.init_containers.iter().flatten() {
        let Some(status) = find_mut(status.init_container_statuses.as_mut(), &container.name) else {
            continue;
        };
        let (started, ready) = judge(input, container);
        status.started = started;
        status.ready = if restart::is_sidecar(container) {
            ready
        } else {
            status.state.as_ref().and_then(|s| s.terminated.as_ref()).is_some_and(|t| t.exit_code == 0)
        };
    }
}

/// Brings what probes found into a last status, without an account of the runtime: of instances that it shows running.
/// Returns whether that changed anything.
pub(super) fn probed(input: &Input<'_>, status: &mut PodStatus) -> bool {
    let before = status.clone();
    let sidecars = input.spec.init_containers.iter().flatten().filter(|init| restart::is_sidecar(init));
    for container in input.spec.containers.iter().chain(sidecars) {
        let known = find_mut(status.container_statuses.as_mut(), &container.name)
            .or_else(|| find_mut(status.init_container_statuses.as_mut(), &container.name));
        let result = input.seen.probes.containers.get(&ContainerName::from(container.name.as_str()));
        let (Some(known), Some(result)) = (known, result) else { continue };
        let runs = known.state.as_ref().is_some_and(|state| state.running.is_some());
        if !runs || instance_id(known) != Some(result.id.as_str()) {
            continue;
        }
        let started = result.started.filter(|_| container.startup_probe.is_some());
        let started = started.or(known.started).unwrap_or(false);
        known.started = Some(started);
        let found = match &container.readiness_probe {
            Some(_) => result.ready.unwrap_or(known.ready),
            None => true,
        };
        known.ready = started && found;
    }
    before != *status
}

fn find_mut<'s>(list: Option<&'s mut Vec<ContainerStatus>>, name: &str) -> Option<&'s mut ContainerStatus> {
    list.into_iter().flatten().find(|status| status.name == name)
}

fn judge(input: &Input<'_>, container: &Container) -> (Option<bool>, bool) {
    let record = input.view.newest(&container.name).filter(|record| record.state == RuntimeState::Running);
    let Some(record) = record.filter(|record| !input.in_the_making(container, record)) else {
        return (Some(false), false);
    };
    let started = started(container, record, input.seen, Some(input.old));
    (Some(started), started && ready(container, record, input))
}

pub(super) fn started(
    container: &Container,
    record: &ContainerRecord,
    seen: &Observation,
    last: Option<&PodStatus>,
) -> bool {
    if container.startup_probe.is_none() {
        return true;
    }
    match result(seen, record).and_then(|result| result.started) {
        Some(started) => started,
        None => last_of(last, record, seen).is_some_and(|status| status.started == Some(true)),
    }
}

fn ready(container: &Container, record: &ContainerRecord, input: &Input<'_>) -> bool {
    if container.readiness_probe.is_none() {
        return true;
    }
    match result(input.seen, record).and_then(|result| result.ready) {
        Some(ready) => ready,
        None => last_of(Some(input.old), record, input.seen).is_some_and(|status| status.ready),
    }
}

fn result<'s>(seen: &'s Observation, record: &ContainerRecord) -> Option<&'s ProbeResult> {
    let name: &ContainerName = &record.name;
    seen.probes.containers.get(name).filter(|result| result.id == record.id)
}

/// The last status of this very instance.
fn last_of<'s>(
    last: Option<&'s PodStatus>,
    record: &ContainerRecord,
    seen: &Observation,
) -> Option<&'s ContainerStatus> {
    let last = last?;
    let name = record.name.as_str();
    let status = find(last.container_statuses.as_ref(), name)
        .or_else(|| find(last.init_container_statuses.as_ref(), name))?;
    let id = format!("{}://{}", seen.node.runtime_name, record.id);
    (status.container_id.as_deref() == Some(id.as_str())).then_some(status)
}
