//! Whether the node is ready, as far as the runtime decides it.

use std::time::Duration;

use k8s_openapi::api::core::v1::Node;
use node::conditions::{NotReady, ReadyInputs};

use super::Keeper;
use crate::observer::RuntimeHealth;

/// Silence of the runtime after which the node is not ready (contract §2.2 "container runtime is down").
const RUNTIME_DOWN: Duration = Duration::from_secs(30);

impl Keeper {
    /// Time until the runtime counts as down if it stays silent; `None` when it does already.
    pub(super) fn until_down(&self) -> Option<Duration> {
        let good_at = self.channels.runtime.borrow().good_at?;
        let now = self.edges.clock.now().mono;
        good_at.saturating_add(RUNTIME_DOWN).checked_sub(now).filter(|left| !left.is_zero())
    }

    /// What the Ready condition is made from.
    pub(super) fn ready_inputs(&self) -> ReadyInputs {
        let now = self.edges.clock.now().mono;
        let relist = self.channels.health.relist_problem();
        let mut problems = runtime_problems(&self.channels.runtime.borrow(), relist, now);
        // Whoever asks first that is answered has the name for all.
        if self.channels.facts.borrow().runtime_name.is_empty() {
            problems.extend(self.channels.health.naming_problem());
        }
        ReadyInputs { problems, warnings: Vec::new(), local_storage: self.settings.local_storage }
    }

    /// The event of a change does not say why; the log does.
    pub(super) fn tell_readiness(&mut self, node: &Node) {
        let conditions = node.status.iter().flat_map(|status| status.conditions.iter().flatten());
        let Some(ready) = conditions.into_iter().find(|condition| condition.type_ == "Ready") else { return };
        let told = (ready.status.clone(), ready.message.clone().unwrap_or_default());
        if self.told.as_ref().is_some_and(|before| before.0 == told.0) && told.0 == "True" {
            return;
        }
        if self.told.as_ref() != Some(&told) {
            match told.0.as_str() {
                "True" => tracing::info!("The node is ready"),
                _ => tracing::error!(why = told.1, "The node is not ready"),
            }
            self.told = Some(told);
        }
    }
}

/// Whether the object says that the node is ready.
pub(super) fn is_ready(node: &Node) -> bool {
    let conditions = node.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// Upstream's order: silence, the list of pods, what the runtime says about itself, about its network.
fn runtime_problems(runtime: &RuntimeHealth, relist: Option<NotReady>, now: Duration) -> Vec<NotReady> {
    let mut problems = Vec::new();
    match runtime.good_at {
        None => problems.push(NotReady::RuntimeUnchecked),
        Some(good_at) if now.saturating_sub(good_at) >= RUNTIME_DOWN => problems.push(NotReady::RuntimeDown),
        Some(_) => {}
    }
    problems.extend(relist);
    let Some(status) = &runtime.status else {
        problems.push(NotReady::NetworkUnknown);
        return problems;
    };
    match &status.runtime_ready {
        Some(condition) if condition.ready => {}
        Some(condition) => problems.push(NotReady::RuntimeNotReady(condition.clone())),
        None => problems.push(NotReady::RuntimeDown),
    }
    match &status.network_ready {
        Some(condition) if condition.ready => {}
        Some(condition) => problems.push(NotReady::NetworkNotReady(condition.clone())),
        None => problems.push(NotReady::NetworkUnknown),
    }
    problems
}

#[cfg(test)]
mod tests;
