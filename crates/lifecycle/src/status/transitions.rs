//! A container that ended for good never becomes anything else.
//!
//! Upstream drops a whole update that breaks this rule ("Status update on pod aborted"); here only the container
//! concerned keeps its last status, so that the rest of the pod stays true.

use k8s_openapi::api::core::v1::{Container, ContainerStatus, PodStatus};

use super::{Input, containers::is_terminated, find};
use crate::{decide::restart, observation::RuntimeState};

pub(super) fn hold(input: &Input<'_>, status: &mut PodStatus) {
    if !matches!(input.spec.restart_policy.as_deref(), Some("OnFailure" | "Never"))
        || restart::may_start_all_over(input.spec)
    {
        return;
    }
    let old = input.old;
    let init = input.spec.init_containers.as_deref().unwrap_or_default();
    hold_list(input, &input.spec.containers, old.container_statuses.as_ref(), &mut status.container_statuses);
    hold_list(input, init, old.init_container_statuses.as_ref(), &mut status.init_container_statuses);
}

fn hold_list(
    input: &Input<'_>,
    containers: &[Container],
    old: Option<&Vec<ContainerStatus>>,
    new: &mut Option<Vec<ContainerStatus>>,
) {
    for status in new.iter_mut().flatten().filter(|status| !is_terminated(status)) {
        let Some(before) = find(old, &status.name).filter(|before| is_terminated(before)) else { continue };
        let container = containers.iter().find(|c| c.name == status.name);
        if !may_leave(input, container, before) {
            *status = before.clone();
        }
    }
}

fn may_leave(input: &Input<'_>, container: Option<&Container>, status: &ContainerStatus) -> bool {
    let ended = status.state.as_ref().and_then(|state| state.terminated.as_ref());
    let code = ended.map_or(0, |ended| ended.exit_code);
    let policy = container.is_none_or(|c| restart::is_sidecar(c) || restart::after_exit(c, input.spec, code));
    // What runs, runs; and a newer instance is the fruit of a promise made when the older one was killed.
    let ended_id =
        ended.and_then(|ended| ended.container_id.as_deref()).and_then(|id| id.rsplit("//").next());
    let successor = input.view.newest(&status.name).is_some_and(|record| {
        record.state == RuntimeState::Running || ended_id.is_some_and(|id| id != record.id.as_str())
    });
    policy || successor
}
