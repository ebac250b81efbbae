//! A decision under construction: arguments, next state, and what is asked for so far.

use std::{collections::BTreeSet, sync::LazyLock, time::Duration};

use k8s_openapi::api::core::v1::{Pod, PodSpec};

use crate::{
    Action, Failure, Observation, PodState, Reason, Tick,
    action::ActionKey,
    decide::{backoff, view::View},
    ids::{ContainerId, ContainerName},
    state::{ContainerMemo, Setback},
};

static NO_SPEC: LazyLock<PodSpec> = LazyLock::new(PodSpec::default);

pub(super) struct Work<'a> {
    pub(super) seen: &'a Observation,
    pub(super) pod: &'a Pod,
    pub(super) spec: &'a PodSpec,
    /// `None`: the runtime did not answer, nothing may be concluded about containers.
    pub(super) view: Option<View<'a>>,
    pub(super) now: Tick,
    pub(super) state: PodState,
    pub(super) actions: Vec<Action>,
    pub(super) why: Vec<Reason>,
    wake: Option<Duration>,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// Emitted just now.
    Now,
    /// Under way already.
    InFlight,
    /// Failed before, due again later.
    Later,
}

impl<'a> Work<'a> {
    pub(super) fn new(
        state: &PodState,
        seen: &'a Observation,
        stopped: &'a BTreeSet<ContainerId>,
        now: Tick,
    ) -> Self {
        let spec = seen.pod.spec.as_ref().unwrap_or(&NO_SPEC);
        let view = seen.runtime.as_ref().ok().map(|runtime| View::new(runtime, spec, stopped));
        Self {
            seen,
            pod: &seen.pod,
            spec,
            view,
            now,
            state: state.clone(),
            actions: Vec::new(),
            why: Vec::new(),
            wake: None,
        }
    }

    pub(super) fn flying(&self, key: &ActionKey) -> bool {
        self.state.in_flight.contains(key)
    }

    /// Asks for an action unless it is under way or waits for its retry. The one place that emits actions.
    pub(super) fn ask(&mut self, action: Action) -> Asked {
        let key = action.key();
        if self.flying(&key) {
            return Asked::InFlight;
        }
        if let Some(setback) = self.state.setbacks.get(&key)
            && setback.retry_at > self.now.mono
        {
            let at = setback.retry_at;
            self.wake_at(at);
            return Asked::Later;
        }
        self.state.in_flight.insert(key);
        self.actions.push(action);
        Asked::Now
    }

    /// Notes a failed step; it is due again after the delay of its kind.
    pub(super) fn set_back(&mut self, key: ActionKey, failure: Failure) {
        let known = self.state.setbacks.get(&key);
        let tries = known.map_or(0, |s| s.tries).saturating_add(1);
        let since = known.map_or(self.now, |s| s.since);
        let delay = backoff::retry_delay(&key, tries, self.pod.metadata.uid.as_deref().unwrap_or_default());
        let retry_at = self.now.mono.saturating_add(delay);
        self.state.setbacks.insert(key, Setback { tries, since, retry_at, failure });
    }

    pub(super) fn because(&mut self, reason: Reason) {
        self.why.push(reason);
    }

    /// Asks to look again at an instant of the monotonic clock.
    pub(super) fn wake_at(&mut self, at: Duration) {
        self.wake = Some(self.wake.map_or(at, |known| known.min(at)));
    }

    pub(super) fn wake(&self) -> Option<Tick> {
        self.wake.map(|at| self.now.after(at.saturating_sub(self.now.mono)))
    }

    pub(super) fn memo(&mut self, name: &ContainerName) -> &mut ContainerMemo {
        self.state.containers.entry(name.clone()).or_default()
    }
}
