//! The last status of a pod of which nothing runs any more (contract §10 "Statuses at final termination").

use k8s_openapi::api::core::v1::{ContainerState, ContainerStatus, PodStatus};

use super::{
    Input,
    containers::{LOST_AT_END, is_terminated, is_waiting, unknown_end},
    is_terminal,
};
use crate::{decide::restart, reason::Cause};

/// Gives every container that may have run an end, and the pod a terminal phase.
pub(super) fn finish(input: &Input<'_>, status: &mut PodStatus, phase: &mut String) {
    if initialised(input, status) {
        for container in status.container_statuses.iter_mut().flatten() {
            end(container);
        }
    }
    if let Some(inits) = &mut status.init_container_statuses {
        // Up to the last one with evidence of a start; at least the first.
        let begun = inits.iter().rposition(|s| !is_waiting(s) || has_last(s)).unwrap_or(0);
        for container in inits.iter_mut().take(begun + 1) {
            end(container);
        }
    }
    // Static pods do not become terminal by being taken away, but they do by coming to an end of their own.
    let own_end = matches!(input.cause(), Some(Cause::Completed));
    if !is_terminal(Some(phase)) && (own_end || !input.seen.source.is_static()) {
        "Failed".clone_into(phase);
    }
}

fn end(status: &mut ContainerStatus) {
    if !is_terminated(status) {
        status.state =
            Some(ContainerState { terminated: Some(unknown_end(LOST_AT_END)), ..ContainerState::default() });
        status.ready = false;
        status.started = Some(false);
    }
}

fn has_last(status: &ContainerStatus) -> bool {
    status.last_state.as_ref().is_some_and(|last| last.terminated.is_some())
}

/// Whether regular containers can have run.
fn initialised(input: &Input<'_>, status: &PodStatus) -> bool {
    let Some(last) = input.spec.init_containers.as_deref().and_then(<[_]>::last) else { return true };
    if status.container_statuses.iter().flatten().any(|s| has_last(s) || !is_waiting(s)) {
        return true;
    }
    let Some(init) = status.init_container_statuses.iter().flatten().find(|s| s.name == last.name) else {
        return false;
    };
    if restart::is_sidecar(last) {
        return init.state.as_ref().is_some_and(|s| s.running.is_some()) && init.started == Some(true);
    }
    let states = [init.last_state.as_ref(), init.state.as_ref()];
    states.into_iter().flatten().any(|s| s.terminated.as_ref().is_some_and(|t| t.exit_code == 0))
}
