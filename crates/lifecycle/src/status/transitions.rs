//! A container that ended for good never becomes anything else.
//!
//! Upstream drops a whole update that breaks this rule ("Status update on pod aborted"); here only the container
//! concerned keeps its last status, so that the rest of the pod stays true.

use k8s_openapi::api::core::v1::{Container, ContainerStatus, PodSpec, PodStatus};

use super::{
    Input,
    containers::{is_terminated, is_waiting},
    find,
};
use crate::{decide::restart, observation::RuntimeState};

type Statuses = Option<Vec<ContainerStatus>>;

/// Whether a status tells of an end that stands: neither policy nor rules have the container start again after it. The API
/// server has the same rule, and refuses the whole status that breaks it.
pub(super) fn is_for_good(spec: &PodSpec, container: Option<&Container>, status: &ContainerStatus) -> bool {
    let ended = status.state.as_ref().and_then(|state| state.terminated.as_ref());
    ended.zip(container).is_some_and(|(ended, container)| {
        !restart::is_sidecar(container) && !restart::after_exit(container, spec, ended.exit_code)
    })
}

/// The statuses of `new` that take back an end of `before`, each with what stood before.
fn broken<'a>(
    spec: &'a PodSpec,
    before: &'a PodStatus,
    new: &'a mut PodStatus,
) -> impl Iterator<Item = (&'a mut ContainerStatus, &'a ContainerStatus)> {
    let inits = spec.init_containers.as_deref().unwrap_or_default();
    let regular = broken_in(spec, &spec.containers, &before.container_statuses, &mut new.container_statuses);
    let init = broken_in(spec, inits, &before.init_container_statuses, &mut new.init_container_statuses);
    let free = restart::may_start_all_over(spec);
    regular.chain(init).filter(move |_| !free)
}

fn broken_in<'a>(
    spec: &'a PodSpec,
    containers: &'a [Container],
    before: &'a Statuses,
    new: &'a mut Statuses,
) -> impl Iterator<Item = (&'a mut ContainerStatus, &'a ContainerStatus)> {
    new.iter_mut().flatten().filter(|status| !is_terminated(status)).filter_map(move |status| {
        let container = containers.iter().find(|container| container.name == status.name);
        let known = find(before.as_ref(), &status.name);
        known.filter(|known| is_for_good(spec, container, known)).map(|known| (status, known))
    })
}

/// Keeps in `new` what `before`, the API's version, tells of containers that ended for good. It may have missed what was
/// reported in between.
pub fn keep_ends(spec: &PodSpec, before: &PodStatus, new: &mut PodStatus) {
    broken(spec, before, new).for_each(|(status, known)| *status = known.clone());
}

pub(super) fn hold(input: &Input<'_>, status: &mut PodStatus) {
    for (status, held) in broken(input.spec, input.old, status) {
        // One that waits after a later end than the one that is held has ended once more: that may be told.
        let later = input.view.newest(&status.name).filter(|record| {
            record.state == RuntimeState::Exited && i64::from(record.attempt) > held.restart_count.into()
        });
        match status.last_state.clone().filter(|last| last.terminated.is_some() && later.is_some()) {
            Some(ended) if is_waiting(status) => {
                status.last_state.clone_from(&held.state);
                status.state = Some(ended);
            }
            _ => *status = held.clone(),
        }
    }
}
