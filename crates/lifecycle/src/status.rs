//! Pod status (contract §10).
//!
//! Computed afresh at every look from the runtime's account and the last status: the own one, or, for the first look
//! of this process, what the API holds. Invariants:
//! * a terminal phase is never left, and is reported only when nothing of the pod can run any more;
//! * a container that ended for good never becomes anything else;
//! * without an account of the runtime the last status stands, but for what probes find of the instances in it.

use std::{collections::BTreeSet, sync::Arc};

use k8s_openapi::{
    api::core::v1::{Container, ContainerStatus, Pod, PodSpec, PodStatus},
    apimachinery::pkg::apis::meta::v1::Time,
};

use crate::{
    Observation, PodState, Tick,
    action::ActionKey,
    decide::{deadline, reset, view::View},
    ids::ContainerName,
    observation::{ContainerRecord, RuntimePod, RuntimeState},
    reason::{Cause, DEADLINE_MESSAGE},
    spec::hooks::has_post_start,
    state::{Reset, Stage},
};

mod addresses;
mod conditions;
mod containers;
mod last;
mod phase;
mod ready;
mod resources;
mod transitions;

pub use conditions::OWNED_CONDITIONS;
pub use transitions::keep_ends;

/// What a status tells of containers, of whatever kind.
pub fn all_containers(status: &PodStatus) -> impl Iterator<Item = &ContainerStatus> {
    let lists =
        [&status.init_container_statuses, &status.container_statuses, &status.ephemeral_container_statuses];
    lists.into_iter().flatten().flatten()
}

/// The runtime's own id of the instance that a status tells of: what follows `<runtime>://`.
#[must_use]
pub fn instance_id(status: &ContainerStatus) -> Option<&str> {
    status.container_id.as_deref()?.split_once("://").map(|(_, id)| id)
}

/// Everything a status is made of.
pub(crate) struct Input<'a> {
    pub(crate) pod: &'a Pod,
    pub(crate) spec: &'a PodSpec,
    pub(crate) seen: &'a Observation,
    pub(crate) view: &'a View<'a>,
    pub(crate) old: &'a PodStatus,
    pub(crate) state: &'a PodState,
    pub(crate) now: Tick,
    /// All containers are being started over, whether or not any of them is left. Not so of a pod that stops.
    pub(crate) starting_over: bool,
    /// Whether any of them is left.
    pub(crate) reset: Reset,
}

impl Input<'_> {
    fn ended(&self) -> bool {
        matches!(self.state.stage, Stage::Terminated(_))
    }

    fn cause(&self) -> Option<&Cause> {
        match &self.state.stage {
            Stage::Syncing(_) => None,
            Stage::Terminating(terminating) => Some(&terminating.cause),
            Stage::Terminated(terminated) => Some(&terminated.cause),
        }
    }

    /// Whether the API holds a terminal phase: it is never taken back, whoever wrote it. Of static pods it holds mirrors
    /// only.
    fn ended_by_others(&self) -> bool {
        let phase = self.pod.status.as_ref().and_then(|status| status.phase.as_deref());
        is_terminal(phase) && !self.seen.source.is_static()
    }

    /// Whether the pod stops for its deadline, or that passes while it stops for another reason of its own or of its owner.
    fn past_deadline(&self) -> bool {
        match self.cause() {
            Some(Cause::DeadlineExceeded) => true,
            Some(Cause::Deleted | Cause::Removed | Cause::Completed) => {
                let left = deadline::left(self.spec, self.old.start_time.as_ref(), self.now.wall);
                left.is_some_and(|left| left.is_zero())
            }
            _ => false,
        }
    }

    /// Whether this process has mounted the pod's volumes, and the pod is not to stop.
    fn volumes_mounted(&self) -> bool {
        matches!(&self.state.stage, Stage::Syncing(syncing) if syncing.volumes.are_mounted())
    }

    fn starting(&self, record: &ContainerRecord) -> bool {
        self.state.in_flight.contains(&ActionKey::StartContainer(record.id.clone()))
    }

    /// Whether an instance does not count as running yet, or never will: it was made and not started, its postStart hook
    /// runs, or that hook failed and it is about to be killed. While the pod terminates, what runs is told as it is.
    fn in_the_making(&self, container: &Container, record: &ContainerRecord) -> bool {
        match record.state {
            RuntimeState::Created => true,
            RuntimeState::Running if matches!(self.state.stage, Stage::Syncing(_)) => {
                let memo = self.state.containers.get(&record.name);
                has_post_start(container)
                    && (self.starting(record)
                        || memo.is_some_and(|memo| memo.condemned.as_ref() == Some(&record.id)))
            }
            _ => false,
        }
    }

    /// Whether an instance that ended is followed by another, whatever the policy says of its end: it was killed for that,
    /// or the other is being made already.
    fn promised(&self, container: &Container) -> bool {
        let memo = self.state.containers.get(&ContainerName::from(container.name.as_str()));
        matches!(self.state.stage, Stage::Syncing(_))
            && self.view.newest(&container.name).is_some_and(|record| {
                self.in_the_making(container, record) || memo.is_some_and(|memo| memo.owes(&record.id))
            })
    }

    /// Whether the pod ends and nothing of it runs any more: its containers' ends are final, whatever their policy.
    fn over(&self) -> bool {
        let runs = || self.view.containers().iter().any(|record| record.state == RuntimeState::Running);
        match self.state.stage {
            Stage::Syncing(_) => false,
            Stage::Terminating(_) => !runs(),
            Stage::Terminated(_) => true,
        }
    }
}

/// Whole seconds, as the API keeps times.
pub(crate) fn seconds(at: jiff::Timestamp) -> Time {
    Time(jiff::Timestamp::from_second(at.as_second()).unwrap_or(at))
}

/// Decides the status and remembers it.
pub(crate) fn report(
    state: &mut PodState,
    seen: &Observation,
    view: Option<&View<'_>>,
    now: Tick,
) -> PodStatus {
    let old = before(state, seen);
    let Some(spec) = seen.pod.spec.as_ref() else { return (*old).clone() };
    let Some(view) = view else {
        let (nothing, none) = (RuntimePod::default(), BTreeSet::new());
        let status = unseen(&input(state, seen, spec, &View::new(&nothing, spec, &none), &old, now));
        // What stands is not remembered as the own word of this process: it has none yet.
        if *old != status {
            state.reported = Some(Arc::new(status.clone()));
        }
        return status;
    };
    let status = compute(&input(state, seen, spec, view, &old, now));
    if *old == status {
        state.reported = Some(old);
    } else {
        state.reported = Some(Arc::new(status.clone()));
    }
    status
}

/// Whether a pod that is to run has come to its end. What runs once does not run twice: a container that was running
/// and cannot be found has ended, and may have been the last one.
pub(crate) fn has_ended(state: &PodState, seen: &Observation, view: &View<'_>, now: Tick) -> bool {
    let Some(spec) = seen.pod.spec.as_ref() else { return false };
    let old = before(state, seen);
    let input = input(state, seen, spec, view, &old, now);
    let mut status = PodStatus {
        container_statuses: some(containers::regular(&input)),
        init_container_statuses: some(containers::init(&input)),
        ..PodStatus::default()
    };
    transitions::hold(&input, &mut status);
    phase::ends(&input, &status)
}

/// The last status: the own one, or what the API holds.
fn before(state: &PodState, seen: &Observation) -> Arc<PodStatus> {
    match &state.reported {
        Some(own) => Arc::clone(own),
        None => Arc::new(seen.pod.status.clone().unwrap_or_default()),
    }
}

fn input<'a>(
    state: &'a PodState,
    seen: &'a Observation,
    spec: &'a PodSpec,
    view: &'a View<'a>,
    old: &'a PodStatus,
    now: Tick,
) -> Input<'a> {
    let reset = match &state.stage {
        Stage::Syncing(syncing) => syncing.reset,
        _ if reset::under_way(spec, view, Some(old)) => Reset::UnderWay,
        _ => Reset::Idle,
    };
    // Once the pod stops, what vanishes is cleared away, and its end is told as it was.
    let starting_over = matches!(state.stage, Stage::Syncing(_))
        && (reset == Reset::UnderWay || reset::asked(spec, view, Some(old)));
    Input { pod: &seen.pod, spec, seen, view, old, state, now, starting_over, reset }
}

fn compute(input: &Input<'_>) -> PodStatus {
    if input.view.containers().is_empty() && input.old.container_statuses.is_none() {
        match input.cause() {
            Some(Cause::Rejected { reason, message }) => return rejected(input, reason, message),
            // Rejected before this process looked: that is all there is to say.
            Some(Cause::AlreadyTerminal) => {
                return PodStatus { observed_generation: observed_generation(input), ..input.old.clone() };
            }
            _ => {}
        }
    }
    let api = input.pod.status.as_ref();
    let mut status = PodStatus {
        qos_class: Some(crate::qos::qos_class(input.pod)),
        container_statuses: some(containers::regular(input)),
        init_container_statuses: some(containers::init(input)),
        ephemeral_container_statuses: some(containers::ephemeral(input)),
        start_time: start_time(input),
        observed_generation: observed_generation(input),
        // Others' business, handed through untouched.
        resource_claim_statuses: api.and_then(|s| s.resource_claim_statuses.clone()),
        extended_resource_claim_status: api.and_then(|s| s.extended_resource_claim_status.clone()),
        node_allocatable_resource_claim_statuses: api
            .and_then(|s| s.node_allocatable_resource_claim_statuses.clone()),
        volume_health: input.old.volume_health.clone(),
        ..PodStatus::default()
    };
    ready::fill(input, &mut status);
    transitions::hold(input, &mut status);
    let mut phase = phase::compute(input, &status);
    // Conditions speak of what the containers came to, not of what is made of that at the very end.
    let conditions = conditions::generate(input, &status, &phase);
    if input.ended() {
        last::finish(input, &mut status, &mut phase);
    }
    set_phase(input, &mut status, &phase);
    addresses::fill(input, &mut status);
    resources::fill_pod(input, &mut status);
    status.conditions = Some(conditions);
    hold_back_terminal(input, &mut status);
    status
}

/// The last status, with what probes have found since. A pod whose containers the runtime does not tell of may serve yet, or
/// not: nobody else takes it out of its services.
fn unseen(input: &Input<'_>) -> PodStatus {
    let mut status = input.old.clone();
    if !input.ended() && !is_terminal(status.phase.as_deref()) && ready::probed(input, &mut status) {
        conditions::probed(input, &mut status);
    }
    status
}

fn set_phase(input: &Input<'_>, status: &mut PodStatus, phase: &str) {
    let old = input.old;
    status.phase = Some(phase.to_owned());
    let api = input.pod.status.as_ref();
    if old.phase.as_deref() == Some(phase) {
        status.reason = old.reason.clone().or_else(|| api.and_then(|s| s.reason.clone()));
        status.message = old.message.clone().or_else(|| api.and_then(|s| s.message.clone()));
    } else if let Some(api) = api.filter(|_| input.ended_by_others()) {
        status.reason.clone_from(&api.reason);
        status.message.clone_from(&api.message);
    }
    if is_terminal(old.phase.as_deref()) || input.ended_by_others() {
        return;
    }
    let (reason, message) = match input.cause() {
        _ if input.past_deadline() => ("DeadlineExceeded".to_owned(), DEADLINE_MESSAGE.to_owned()),
        Some(Cause::Killed { reason, message }) => (reason.clone(), message.clone()),
        Some(Cause::Rejected { reason, message }) => (reason.clone(), format!("Pod was rejected: {message}")),
        _ => return,
    };
    status.reason = Some(reason);
    status.message = Some(message);
}

/// While something of the pod may run, the phase stays what it was.
fn hold_back_terminal(input: &Input<'_>, status: &mut PodStatus) {
    let old = input.old.phase.as_deref();
    if !is_terminal(status.phase.as_deref()) || is_terminal(old) || input.ended() || input.ended_by_others() {
        return;
    }
    status.phase = Some(old.unwrap_or("Pending").to_owned());
    status.reason.clone_from(&input.old.reason);
    status.message.clone_from(&input.old.message);
}

fn rejected(input: &Input<'_>, reason: &str, message: &str) -> PodStatus {
    PodStatus {
        phase: Some("Failed".to_owned()),
        reason: Some(reason.to_owned()),
        message: Some(format!("Pod was rejected: {message}")),
        qos_class: Some(crate::qos::qos_class(input.pod)),
        start_time: start_time(input),
        observed_generation: observed_generation(input),
        conditions: some(conditions::foreign(input)),
        ..PodStatus::default()
    }
}

fn start_time(input: &Input<'_>) -> Option<Time> {
    Some(input.old.start_time.clone().unwrap_or_else(|| seconds(input.now.wall)))
}

/// Never goes back.
fn observed_generation(input: &Input<'_>) -> Option<i64> {
    input.pod.metadata.generation.max(input.old.observed_generation)
}

/// Whether a pod of this phase has ended for good.
#[must_use]
pub fn is_terminal(phase: Option<&str>) -> bool {
    matches!(phase, Some("Succeeded" | "Failed"))
}

fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
    if list.is_empty() { None } else { Some(list) }
}

fn find<'s>(list: Option<&'s Vec<ContainerStatus>>, name: &str) -> Option<&'s ContainerStatus> {
    list.into_iter().flatten().find(|status| status.name == name)
}

/// Whether a running container counts as started: its startup probe succeeded, or it has none.
pub(crate) fn started(
    container: &Container,
    record: &ContainerRecord,
    seen: &Observation,
    last: Option<&PodStatus>,
) -> bool {
    ready::started(container, record, seen, last)
}

#[cfg(test)]
mod tests;
