//! All containers of a pod started over in place: action `RestartAllContainers` of a restart rule (contract §7).
//!
//! ```text
//!   a container ends, its rule matches
//!        └─► other regular containers ─► other init containers ─► it itself ─► initialisation from the beginning
//!                  (killed without grace, removed, their logs kept)
//! ```
//! Sandbox, volumes, addresses and ephemeral containers stay. What triggered it goes last: as long as its record is
//! there, every process that looks knows what is going on. Once it is gone, the reported condition says so.
//!
//! Invariant: a container that was made after everything had been cleared away is never taken for one that is left
//! over, even if that was not reported before the process ended; its attempt tells.

use k8s_openapi::api::core::v1::{Container, ContainerStatus, PodSpec, PodStatus};

use crate::{
    Reason,
    action::{Action, ActionKey, LogFate},
    decide::{
        absorb, plan, restart, stop,
        view::{Life, View},
        work::{Asked, Work},
    },
    observation::{ContainerRecord, RuntimeState},
    reason::{Afterwards, KillCause},
    state::{Reset, Stage},
    status::all_containers,
};

/// Condition by which a restart of all is known when nothing in the runtime tells of it any more.
pub(crate) const CONDITION: &str = "AllContainersRestarting";

/// Whether a restart of all is going on as far as the runtime and the last report say, whether or not something is
/// left to be cleared away.
pub(crate) fn asked(spec: &PodSpec, view: &View<'_>, last: Option<&PodStatus>) -> bool {
    restart::may_start_all_over(spec) && (triggered(spec, view) || announced(last))
}

/// Whether something is left to be cleared away.
pub(crate) fn under_way(spec: &PodSpec, view: &View<'_>, last: Option<&PodStatus>) -> bool {
    restart::may_start_all_over(spec) && !left(spec, view, last).is_empty()
}

/// Whether the last report says that a restart of all is going on.
pub(crate) fn announced(last: Option<&PodStatus>) -> bool {
    let conditions = last.and_then(|status| status.conditions.as_ref());
    conditions.into_iter().flatten().any(|c| c.type_ == CONDITION && c.status == "True")
}

/// The newest instance of some container ended in a way that a rule answers with a restart of all.
fn triggered(spec: &PodSpec, view: &View<'_>) -> bool {
    all(spec).any(|container| view.newest(&container.name).is_some_and(|record| is_source(container, record)))
}

fn is_source(container: &Container, record: &ContainerRecord) -> bool {
    record.state == RuntimeState::Exited && restart::starts_all_over(container, record.exit_code)
}

fn all(spec: &PodSpec) -> impl Iterator<Item = &Container> {
    spec.containers.iter().chain(spec.init_containers.iter().flatten())
}

/// What is to go now: the first stage of which something is left, in the order of the spec.
fn left<'a>(spec: &PodSpec, view: &View<'a>, last: Option<&PodStatus>) -> Vec<&'a ContainerRecord> {
    let everything = triggered(spec, view);
    if !everything && !announced(last) {
        return Vec::new();
    }
    let init = spec.init_containers.as_deref().unwrap_or_default();
    for (list, sources) in
        [(spec.containers.as_slice(), false), (init, false), (spec.containers.as_slice(), true), (init, true)]
    {
        let of_stage = |container: &Container| -> Vec<&'a ContainerRecord> {
            let records = view.history(&container.name).into_iter();
            records
                .filter(|record| is_source(container, record) == sources)
                .filter(|record| everything || is_left_over(record, last))
                .collect()
        };
        let stage: Vec<_> = list.iter().flat_map(of_stage).collect();
        if !stage.is_empty() {
            return stage;
        }
    }
    Vec::new()
}

/// Whether a container is one of those that the last report knew of, not one made since.
fn is_left_over(record: &ContainerRecord, last: Option<&PodStatus>) -> bool {
    let status = last.and_then(|status| status_of(status, record.name.as_str()));
    status.is_some_and(|status| Some(record.attempt) < next_attempt(status))
}

/// What a status tells of one container, of whatever kind.
pub(super) fn status_of<'s>(status: &'s PodStatus, name: &str) -> Option<&'s ContainerStatus> {
    all_containers(status).find(|status| status.name == name)
}

/// The attempt that follows those which a status tells of. The count of an instance that is lost or removed, or whose
/// state is not known any more, was raised when that was reported.
pub(super) fn next_attempt(status: &ContainerStatus) -> Option<u32> {
    let count = u32::try_from(status.restart_count).ok()?;
    let ended = status.state.as_ref().and_then(|state| state.terminated.as_ref());
    let raised = status.container_id.is_none() || ended.is_some_and(|ended| ended.container_id.is_none());
    Some(if raised { count } else { count.saturating_add(1) })
}

/// Notes whether all is being started over; true as long as something is left or may yet turn up.
pub(super) fn look(work: &mut Work<'_>, view: &View<'_>) -> bool {
    let Stage::Syncing(syncing) = &work.state.stage else { return false };
    let before = syncing.reset;
    let now =
        under_way(work.spec, view, plan::last_status(work)) || before == Reset::UnderWay && is_making(work);
    if let Stage::Syncing(syncing) = &mut work.state.stage {
        syncing.reset = if now { Reset::UnderWay } else { Reset::Idle };
    }
    now
}

/// A creation under way may yet leave a container behind.
fn is_making(work: &Work<'_>) -> bool {
    all(work.spec).any(|container| work.flying(&ActionKey::CreateContainer(container.name.as_str().into())))
}

/// Kills and removes what is to go now.
pub(super) fn pursue(work: &mut Work<'_>, view: &View<'_>) {
    let stage = left(work.spec, view, plan::last_status(work));
    let triggers_only = stage.iter().all(|record| {
        all(work.spec).any(|container| container.name == record.name.as_str() && is_source(container, record))
    });
    if triggers_only && is_making(work) {
        return;
    }
    let now = work.now.mono;
    for record in stage {
        match view.life(record) {
            Life::Running | Life::Lost => {
                if stop::stop(work, record, now) == Asked::Now
                    && let Some(container) = absorb::reference(work, &record.name)
                {
                    let (cause, afterwards) = (KillCause::StartOver, Afterwards::Restart);
                    work.because(Reason::Killing { container, cause, afterwards });
                }
            }
            Life::Created | Life::Dead => {
                if !work.flying(&ActionKey::StartContainer(record.id.clone())) {
                    work.ask(Action::RemoveContainer { id: record.id.clone(), log: LogFate::Keep });
                }
            }
        }
    }
}
