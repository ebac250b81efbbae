//! The phase (contract §10 "Phase algorithm").

use k8s_openapi::api::core::v1::{
    Container, ContainerState, ContainerStateTerminated, ContainerStatus, PodStatus,
};

use super::{Input, containers::STARTING_OVER, find, is_terminal};
use crate::{decide::restart, ids::ContainerName, observation::RuntimeState, reason::Cause};

#[derive(Default)]
struct Counts {
    unknown: usize,
    running: usize,
    waiting: usize,
    stopped: usize,
    stopped_for_good: usize,
    succeeded: usize,
    pending_init: usize,
    pending_sidecar: usize,
    failed_init: usize,
}

/// What a state means for the phase.
enum Meaning<'s> {
    Running,
    /// Ended like this.
    Ended(&'s ContainerStateTerminated),
    /// Waits after an end like this.
    WaitsAgain(&'s ContainerStateTerminated),
    /// Waits for its first start.
    Waits,
    Unknown,
}

fn meaning(status: Option<&ContainerStatus>) -> Meaning<'_> {
    let Some(ContainerState { running, terminated, waiting }) = status.and_then(|s| s.state.as_ref()) else {
        return Meaning::Unknown;
    };
    let last = status.and_then(|s| s.last_state.as_ref()?.terminated.as_ref());
    match (running, terminated, waiting, last) {
        (Some(_), ..) => Meaning::Running,
        (_, Some(ended), ..) => Meaning::Ended(ended),
        (_, _, Some(_), Some(ended)) => Meaning::WaitsAgain(ended),
        (_, _, Some(_), None) => Meaning::Waits,
        _ => Meaning::Unknown,
    }
}

pub(super) fn compute(input: &Input<'_>, status: &PodStatus) -> String {
    let api = input.pod.status.as_ref().filter(|_| input.ended_by_others());
    for known in [api.and_then(|status| status.phase.as_deref()), input.old.phase.as_deref()] {
        if is_terminal(known) {
            return known.unwrap_or_default().to_owned();
        }
    }
    let forced =
        matches!(input.cause(), Some(Cause::Killed { .. } | Cause::Rejected { .. })) || input.past_deadline();
    if forced { "Failed".to_owned() } else { decide(input, &count(input, status, |_| false)).to_owned() }
}

/// Whether the pod has come to its end, as far as its containers tell; what is yet to come of them keeps it going.
pub(super) fn ends(input: &Input<'_>, status: &PodStatus) -> bool {
    let counts = count(input, status, |container| is_to_come(input, container));
    is_terminal(Some(decide(input, &counts)))
}

/// Whether an instance is being made or was promised, whatever became of the one before. What an earlier process ran is
/// no loss of a static pod, which starts anew with its node, nor where it may have been removed to start all over.
fn is_to_come(input: &Input<'_>, container: &Container) -> bool {
    let memo = input.state.containers.get(&ContainerName::from(container.name.as_str()));
    match input.view.newest(&container.name) {
        Some(record) if input.in_the_making(container, record) => true,
        Some(record) if memo.is_some_and(|memo| memo.owes(&record.id)) => true,
        Some(record) if record.state != RuntimeState::Unknown => false,
        _ => {
            let anew = input.seen.source.is_static() || restart::may_start_all_over(input.spec);
            anew && memo.is_none_or(|memo| memo.created.is_none())
        }
    }
}

/// Counts what the containers' states mean; one that is `to_come` waits for its first start.
fn count(input: &Input<'_>, status: &PodStatus, to_come: impl Fn(&Container) -> bool) -> Counts {
    let meaning = |list, container: &Container| {
        if to_come(container) { Meaning::Waits } else { meaning(find(list, &container.name)) }
    };
    let mut counts = Counts::default();
    let spec = input.spec;
    for container in spec.init_containers.iter().flatten() {
        let meaning = meaning(status.init_container_statuses.as_ref(), container);
        if restart::is_sidecar(container) {
            let started = find(status.init_container_statuses.as_ref(), &container.name)
                .is_some_and(|s| s.started == Some(true));
            match meaning {
                Meaning::Running => {
                    counts.running += 1;
                    counts.pending_sidecar += usize::from(!started);
                }
                // Ended sidecars do not count.
                Meaning::Ended(_) | Meaning::WaitsAgain(_) => {}
                Meaning::Waits => {
                    counts.pending_sidecar += 1;
                    counts.waiting += 1;
                }
                Meaning::Unknown => counts.unknown += 1,
            }
            continue;
        }
        match meaning {
            Meaning::Ended(ended) | Meaning::WaitsAgain(ended) => {
                let for_good = ended.exit_code != 0 && !comes_back(input, container, ended);
                counts.failed_init += usize::from(for_good);
            }
            _ => counts.pending_init += 1,
        }
    }
    for container in &spec.containers {
        match meaning(status.container_statuses.as_ref(), container) {
            Meaning::Running => counts.running += 1,
            Meaning::Ended(ended) => {
                counts.stopped += 1;
                counts.succeeded += usize::from(ended.exit_code == 0);
                counts.stopped_for_good += usize::from(!comes_back(input, container, ended));
            }
            Meaning::WaitsAgain(ended) => {
                counts.stopped += 1;
                counts.stopped_for_good += usize::from(!comes_back(input, container, ended));
            }
            Meaning::Waits => counts.waiting += 1,
            Meaning::Unknown => counts.unknown += 1,
        }
    }
    counts
}

/// Whether a container starts again after this end: by rule, by policy, by promise, or because all of its pod are started
/// over.
fn comes_back(input: &Input<'_>, container: &Container, ended: &ContainerStateTerminated) -> bool {
    restart::after_exit(container, input.spec, ended.exit_code)
        || input.promised(container)
        || ended.reason.as_deref() == Some(STARTING_OVER)
}

fn decide(input: &Input<'_>, counts: &Counts) -> &'static str {
    let initialised = input.view.sandbox().is_ok_and(|s| input.view.initialised_in(input.spec, &s.id));
    if counts.failed_init > 0 {
        return "Failed";
    }
    let pending =
        counts.pending_init > 0 || (counts.pending_sidecar > 0 && !initialised) || counts.waiting > 0;
    if pending {
        return "Pending";
    }
    if counts.running > 0 && counts.unknown == 0 {
        return "Running";
    }
    if counts.running > 0 || counts.stopped == 0 || counts.unknown > 0 {
        return "Pending";
    }
    let outcome = if counts.stopped == counts.succeeded { "Succeeded" } else { "Failed" };
    // The pod is over, whatever its policy: nothing restarts. Static pods are never terminal through that alone.
    if input.over() && !input.seen.source.is_static() {
        return outcome;
    }
    if counts.stopped != counts.stopped_for_good { "Running" } else { outcome }
}
