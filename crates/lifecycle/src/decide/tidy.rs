//! Forgetting: dead containers and sandboxes beyond those kept, and memory of what is gone.

use std::collections::BTreeSet;

use crate::{
    action::{Action, ActionKey, LogFate},
    decide::{plan::Plan, view::Life, work::Work},
    ids::{ContainerId, ContainerName, SandboxId},
    observation::RuntimeState,
    spec::containers,
};

/// Removes dead containers beyond the newest of each name (contract §17), and sandboxes that are neither the newest
/// nor ready nor hold a container.
pub(super) fn dead_containers(work: &mut Work<'_>) {
    let Some(view) = work.view else { return };
    let mut kept: BTreeSet<&str> = BTreeSet::new();
    let mut records: Vec<_> = view.containers().iter().collect();
    records.sort_by_key(|record| std::cmp::Reverse(view.rank(record)));
    let mut newest: BTreeSet<&str> = BTreeSet::new();
    for record in records {
        let superseded = !newest.insert(record.name.as_str());
        let surplus = match view.life(record) {
            Life::Dead => !kept.insert(record.name.as_str()),
            // Never started and overtaken: it must not start any more.
            Life::Created => superseded,
            Life::Running | Life::Lost => false,
        };
        if surplus && !work.flying(&ActionKey::StartContainer(record.id.clone())) {
            work.ask(Action::RemoveContainer { id: record.id.clone(), log: LogFate::Remove });
        }
    }
    let newest = view.newest_sandbox().map(|sandbox| &sandbox.id);
    for sandbox in view.sandboxes() {
        let holds = view.containers().iter().any(|record| record.sandbox == sandbox.id);
        if !sandbox.ready
            && newest != Some(&sandbox.id)
            && !holds
            && work.state.stopped_sandboxes.contains(&sandbox.id)
        {
            work.ask(Action::RemoveSandbox { id: sandbox.id.clone() });
        } else if !sandbox.ready && newest != Some(&sandbox.id) && !holds {
            // Stopped once more: a former process may have died before its network was freed.
            work.ask(Action::StopSandbox { id: sandbox.id.clone() });
        }
    }
}

/// Removes created containers that are not to be started: a creation that took effect too late left them behind.
pub(super) fn strays(work: &mut Work<'_>, plan: &Plan<'_>) {
    let Some(view) = work.view else { return };
    for record in view.containers().iter().filter(|record| view.life(record) == Life::Created) {
        let starting = work.flying(&ActionKey::StartContainer(record.id.clone()));
        if !starting && !plan.starts(record) {
            work.ask(Action::RemoveContainer { id: record.id.clone(), log: LogFate::Remove });
        }
    }
}

/// Drops memory of containers and sandboxes that are gone.
pub(super) fn forget(work: &mut Work<'_>) {
    let names: BTreeSet<ContainerName> = containers::images(work.spec).map(|(name, _)| name.into()).collect();
    work.state.containers.retain(|name, _| names.contains(name));
    let Some(view) = work.view else { return };
    let containers: BTreeSet<&ContainerId> = view.containers().iter().map(|c| &c.id).collect();
    let sandboxes: BTreeSet<&SandboxId> = view.sandboxes().iter().map(|s| &s.id).collect();
    let flying = &work.state.in_flight;
    work.state
        .stopping
        .retain(|id, _| containers.contains(id) || flying.contains(&ActionKey::StopContainer(id.clone())));
    // A stop that was confirmed while nobody could look, of a container that is then seen running, was none.
    work.state
        .stopped
        .retain(|id| view.container(id).is_some_and(|record| record.state != RuntimeState::Running));
    work.state.hooked.retain(|id| containers.contains(id));
    work.state.doomed.retain(|id| containers.contains(id));
    work.state.stopped_sandboxes.retain(|id| sandboxes.contains(id));
    work.state.setbacks.retain(|key, _| match key {
        ActionKey::StartContainer(id)
        | ActionKey::StopContainer(id)
        | ActionKey::HurryContainer(id, _)
        | ActionKey::RunPreStop(id)
        | ActionKey::RemoveContainer(id) => containers.contains(id),
        ActionKey::StopSandbox(id) | ActionKey::RemoveSandbox(id) => sandboxes.contains(id),
        ActionKey::EnsureImage(name) | ActionKey::CreateContainer(name) => names.contains(name),
        _ => true,
    });
    for (name, memo) in &mut work.state.containers {
        let newest = view.newest(name.as_str()).map(|record| &record.id);
        if memo.owed.as_ref().is_some_and(|owed| Some(&owed.after) != newest) {
            memo.owed = None;
        }
        if memo.condemned.as_ref().is_some_and(|id| !containers.contains(id)) {
            memo.condemned = None;
        }
    }
}
