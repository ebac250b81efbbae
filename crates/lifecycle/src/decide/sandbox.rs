//! The sandbox of a running pod.

use crate::{
    Reason,
    action::{Action, ActionKey},
    decide::{
        backoff::NETWORK_RETRY,
        plan::{Plan, SandboxPlan},
        sync,
        view::SandboxFault,
        work::Work,
    },
    ids::SandboxId,
    state::Stage,
};

/// Brings the planned sandbox about; returns it when containers may be made in it.
pub(super) fn pursue<'a>(work: &mut Work<'a>, plan: &Plan<'a>) -> Option<&'a SandboxId> {
    let (attempt, fault) = match &plan.sandbox {
        SandboxPlan::Keep(id) => {
            if let Stage::Syncing(syncing) = &mut work.state.stage {
                syncing.unusable_sandbox = None;
                syncing.network_retry = None;
            }
            return Some(id);
        }
        SandboxPlan::Create { attempt, fault } => (*attempt, *fault),
    };
    announce(work, fault);
    if clear_away_old(work) {
        create(work, attempt);
    }
    None
}

/// Says once that a sandbox is being replaced.
fn announce(work: &mut Work<'_>, fault: SandboxFault) {
    let Some(old) = work.view.and_then(|view| view.newest_sandbox()).map(|s| s.id.clone()) else { return };
    let Stage::Syncing(syncing) = &mut work.state.stage else { return };
    if syncing.unusable_sandbox.as_ref() == Some(&old) {
        return;
    }
    syncing.unusable_sandbox = Some(old.clone());
    // While none of the pod runs somebody else may take its cgroup away, and the runtime would make one without its limits.
    syncing.in_place.remove(&ActionKey::EnsureCgroup);
    let old = (fault != SandboxFault::NetworkMode).then_some(old);
    work.because(Reason::SandboxChanged { old });
    work.ask(Action::EnsureCgroup);
}

/// Stops every old sandbox once nothing in it runs. True when all are stopped.
fn clear_away_old(work: &mut Work<'_>) -> bool {
    let Some(view) = work.view else { return false };
    if view.alive().next().is_some() {
        return false;
    }
    let mut clear = true;
    for sandbox in view.sandboxes() {
        if sandbox.ready || !work.state.stopped_sandboxes.contains(&sandbox.id) {
            clear = false;
            work.ask(Action::StopSandbox { id: sandbox.id.clone() });
        }
    }
    clear
}

fn create(work: &mut Work<'_>, attempt: u32) {
    let ready = [ActionKey::PrepareDirs, ActionKey::EnsureCgroup];
    if ready.iter().any(|key| !sync::in_place(work, key)) || work.flying(&ActionKey::CreateSandbox) {
        return;
    }
    if network_ready(work) {
        work.ask(Action::CreateSandbox { attempt });
    }
}

/// Pods on the node's network need none of their own.
fn network_ready(work: &mut Work<'_>) -> bool {
    let now = work.now.mono;
    let host_network = work.spec.host_network.unwrap_or(false);
    let message = work.seen.network.as_ref().err().cloned();
    let Stage::Syncing(syncing) = &mut work.state.stage else { return false };
    let Some(message) = message.filter(|_| !host_network) else {
        syncing.network_retry = None;
        return true;
    };
    let again = match syncing.network_retry {
        Some(at) if at > now => at,
        _ => {
            let at = now.saturating_add(NETWORK_RETRY);
            syncing.network_retry = Some(at);
            work.because(Reason::NetworkNotReady { message });
            at
        }
    };
    work.wake_at(again);
    false
}
