//! How a kubelet hears of the runtime: by events that come late, twice or never, and by lists that show what they missed.

use std::time::Duration;

use lifecycle::{
    ContainerId, SandboxId,
    account::{Became, Digest, ObjectEvent},
    observation::RuntimeState,
};

use crate::{
    runtime::Runtime,
    world::{Event, Weather, World},
};

/// What the runtime may tell events of.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Told {
    sandboxes: Vec<(SandboxId, bool)>,
    containers: Vec<(ContainerId, RuntimeState)>,
}

impl Told {
    pub(crate) fn of(runtime: &Runtime) -> Self {
        Self {
            sandboxes: runtime.sandboxes().iter().map(|s| (s.id.clone(), s.ready)).collect(),
            containers: runtime.containers().iter().map(|c| (c.id.clone(), c.state)).collect(),
        }
    }

    fn sandbox(&self, id: &SandboxId) -> Option<bool> {
        self.sandboxes.iter().find(|(known, _)| known == id).map(|(_, ready)| *ready)
    }

    fn container(&self, id: &ContainerId) -> Option<RuntimeState> {
        self.containers.iter().find(|(known, _)| known == id).map(|(_, state)| *state)
    }

    /// What a runtime tells of the way from there to here. To it a sandbox is a container too; that it has lost track of one
    /// is in no event.
    fn events_since(&self, before: &Self) -> Vec<ObjectEvent> {
        let mut events = Vec::new();
        let mut tell = |id: &str, became| events.push(ObjectEvent { id: id.into(), became });
        for (id, ready) in &self.sandboxes {
            let was = before.sandbox(id);
            if was.is_none() {
                tell(id.as_str(), Became::Made);
                tell(id.as_str(), Became::Started);
            }
            if was != Some(false) && !ready {
                tell(id.as_str(), Became::Stopped);
            }
        }
        for (id, state) in &self.containers {
            let was = before.container(id);
            if was.is_none() {
                tell(id.as_str(), Became::Made);
            }
            let began = matches!(was, None | Some(RuntimeState::Created));
            if began && matches!(state, RuntimeState::Running | RuntimeState::Exited) {
                tell(id.as_str(), Became::Started);
            }
            if was != Some(RuntimeState::Exited) && *state == RuntimeState::Exited {
                tell(id.as_str(), Became::Stopped);
            }
        }
        let gone = before.sandboxes.iter().filter(|(id, _)| self.sandbox(id).is_none());
        gone.for_each(|(id, _)| tell(id.as_str(), Became::Gone));
        let gone = before.containers.iter().filter(|(id, _)| self.container(id).is_none());
        gone.for_each(|(id, _)| tell(id.as_str(), Became::Gone));
        events
    }
}

impl World {
    /// The runtime tells what has changed since it told last: late, in any order, twice, or not at all.
    pub(crate) fn runtime_event(&mut self) {
        let now = Told::of(&self.runtime);
        let events = now.events_since(&self.told_of);
        self.told_of = now;
        let generation = self.generation;
        let storm = self.weather == Weather::Storm;
        for event in events {
            if storm && self.rng.percent(self.climate.deaf) {
                continue;
            }
            let delay = Duration::from_millis(self.rng.below(50));
            self.after(delay, Event::Told(generation, event.clone()));
            if storm && self.rng.percent(self.climate.deaf / 2) {
                let delay = Duration::from_millis(self.rng.below(3000));
                self.after(delay, Event::Told(generation, event));
            }
        }
    }

    /// The stream of events has broken, and is there again when the runtime is: what was missed may be anything.
    pub(crate) fn stream_breaks(&mut self) {
        let delay = Duration::from_millis(self.rng.below(1000));
        let at = self.runtime_down.max(self.now) + delay;
        self.at(at, Event::Everything(self.generation));
    }

    pub(crate) fn hear(&mut self, generation: u64, event: ObjectEvent) {
        if self.now < self.runtime_down || generation != self.generation {
            return;
        }
        if let Some(kubelet) = &mut self.kubelet {
            kubelet.events.insert(event);
        }
        self.after(Duration::ZERO, Event::Look(generation));
    }

    /// The worker has to ask, whatever it knows.
    pub(crate) fn ring(&mut self, generation: u64) {
        if let (Some(kubelet), true) = (&mut self.kubelet, generation == self.generation) {
            kubelet.rung = true;
        }
        self.after(Duration::ZERO, Event::Look(generation));
    }

    /// The list that is made now and then; rings where it shows what the worker does not know.
    pub(crate) fn list(&mut self) {
        if self.now < self.runtime_down {
            return;
        }
        let (shown, generation) = (Digest::from(&self.runtime.inspect()), self.generation);
        if self.kubelet.as_ref().is_some_and(|kubelet| kubelet.digest() != Some(shown)) {
            self.ring(generation);
        }
    }
}
