//! What the prober of the simulated kubelet finds, and when.

use std::{sync::Arc, time::Duration};

use lifecycle::{
    ActionKey, ContainerId, ProbeResults,
    observation::{ContainerRecord, FatalProbe, ProbeFailure, ProbeResult, RuntimeState},
};

use crate::{
    pods,
    truth::Startup,
    world::{Event, World},
};

/// How long a container runs before its probes succeed for the first time.
pub(crate) const PROBED_AFTER: Duration = Duration::from_secs(3);

impl World {
    /// What the prober of this process knows: nothing of a container that it has not yet probed, nor of one whose start
    /// is still under way.
    pub(crate) fn probes(&mut self) -> ProbeResults {
        let mut results = ProbeResults::default();
        let records = self.runtime.containers().to_vec();
        for record in records {
            self.probe(&record, &mut results);
        }
        results
    }

    fn probe(&mut self, record: &ContainerRecord, results: &mut ProbeResults) {
        let now = self.now;
        let Some(kubelet) = &mut self.kubelet else { return };
        let starting = ActionKey::StartContainer(record.id.clone());
        if record.state != RuntimeState::Running || kubelet.state.in_flight().any(|key| *key == starting) {
            kubelet.running_since.remove(&record.id);
            return;
        }
        let pod = Arc::clone(&kubelet.pod);
        let Some(container) = pods::plain(&pod, record.name.as_str()) else { return };
        let known_at =
            kubelet.running_since.entry(record.id.clone()).or_insert(now).saturating_add(PROBED_AFTER);
        let startup = self.truth.startup(&record.id).filter(|_| container.startup_probe.is_some());
        let startup_at = match startup {
            Some(Startup::Passes(at) | Startup::Fails(at)) => at.max(known_at),
            None => known_at,
        };
        for at in [known_at, startup_at] {
            self.look_at(&record.id, at);
        }
        if now < known_at {
            return;
        }
        let started = match startup {
            None => container.startup_probe.is_none().then_some(true),
            Some(Startup::Passes(_)) if now >= startup_at => Some(true),
            Some(Startup::Fails(_)) if now >= startup_at => Some(false),
            Some(_) => None,
        };
        if started == Some(true) {
            self.truth.passed(&record.name);
        }
        let (name, id) = (record.name.clone(), record.id.clone());
        let failed = |kind| ProbeFailure { container: name.clone(), id: id.clone(), kind };
        if started == Some(false) {
            results.failures.push(failed(FatalProbe::Startup));
        }
        let up = started == Some(true);
        if up && container.liveness_probe.is_some() && self.truth.unhealthy.contains(&id) {
            results.failures.push(failed(FatalProbe::Liveness));
        }
        let ready = (up && container.readiness_probe.is_some()).then(|| !self.truth.unready.contains(&id));
        let started = started.filter(|_| container.startup_probe.is_some());
        results.containers.insert(name, ProbeResult { id, started, ready });
    }

    /// The prober rings when a result changes.
    fn look_at(&mut self, id: &ContainerId, at: Duration) {
        let generation = self.generation;
        let Some(kubelet) = &mut self.kubelet else { return };
        if at > self.now && kubelet.probe_looks.insert((id.clone(), at)) {
            self.at(at, Event::Look(generation));
        }
    }
}
