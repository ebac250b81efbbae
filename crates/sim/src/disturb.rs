//! What goes wrong, and what people do.

use std::time::Duration;

use jiff::SignedDuration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use lifecycle::{Intent, observation::RuntimeState};

use crate::{
    pods,
    world::{Event, Weather, World},
};

impl World {
    /// One fault, and the time of the next.
    pub(crate) fn disturb(&mut self) {
        if self.weather == Weather::Calm {
            return;
        }
        self.counts.faults += 1;
        let fault = self.rng.below(15);
        self.trace(|| format!("fault {fault}"));
        let now = self.wall();
        let outage = self.rng.between(Duration::from_secs(1), Duration::from_secs(100));
        match fault {
            0..3 => {
                self.kill_kubelet();
                let pause = self.rng.between(Duration::ZERO, Duration::from_secs(30));
                self.after(pause, Event::Start);
            }
            3 => {
                let seconds = i64::try_from(self.rng.below(200_000)).unwrap_or(0) - 100_000;
                self.jump_clock(SignedDuration::from_secs(seconds));
            }
            4 => {
                let running: Vec<_> = self.runtime.running().map(|c| c.id.clone()).collect();
                if let Some(id) = running.get(self.rng.below(running.len() as u64) as usize) {
                    self.runtime.exit(id, 137, "Error", now);
                    self.runtime_event();
                }
            }
            5 => {
                let all: Vec<_> = self.runtime.containers().iter().map(|c| c.id.clone()).collect();
                if let Some(id) = all.get(self.rng.below(all.len() as u64) as usize) {
                    self.runtime.remove(id);
                    self.runtime_event();
                }
            }
            6 => {
                if let Some(id) = self.runtime.sandboxes().last().map(|s| s.id.clone()) {
                    self.runtime.stop_sandbox(&id, now);
                    self.runtime_event();
                }
            }
            7 => {
                if let Some(id) = self.runtime.sandboxes().last().map(|s| s.id.clone()) {
                    self.runtime.remove_sandbox(&id, now);
                    self.runtime_event();
                }
            }
            8 => {
                self.kill_kubelet();
                self.runtime.reboot(now);
                self.jobs.clear();
                self.host.volumes = false;
                self.host.cgroup = false;
                self.after(Duration::from_secs(20), Event::Start);
            }
            9 => self.runtime_down = self.now + outage,
            10 => self.api_down = self.now + outage,
            11 => self.network_down = self.now + outage,
            12 => self.pulls_down = self.now + outage * 3,
            13 => self.lose_track(),
            _ => {
                let live = self.runtime.running().next().map(|c| c.id.clone());
                self.unhealthy = live;
                self.runtime_event();
            }
        }
        let next = self.rng.between(Duration::from_secs(1), Duration::from_secs(90));
        self.after(next, Event::Disturb);
    }

    /// The runtime no longer knows whether a container runs.
    fn lose_track(&mut self) {
        let Some(id) = self.runtime.running().next().map(|c| c.id.clone()) else { return };
        if let Some(record) = self.runtime.container(&id) {
            record.state = RuntimeState::Unknown;
        }
        self.runtime_event();
    }

    /// One change by a user, and the time of the next.
    pub(crate) fn operate(&mut self) {
        if self.operations == 0 || self.object.is_none() {
            return;
        }
        self.operations -= 1;
        let operation = self.rng.below(8);
        self.trace(|| format!("operation {operation}"));
        match operation {
            0..3 => self.change_image(),
            3 => self.debug(),
            4 if self.source.is_static() => self.object = None,
            4 => {
                let grace = i64::try_from(self.rng.below(40)).unwrap_or(0);
                self.delete(grace);
            }
            5 => {
                let label = self.rng.draw().to_string();
                if let Some(object) = &mut self.object {
                    object.metadata.labels.get_or_insert_default().insert("l".to_owned(), label);
                }
            }
            6 => {
                let grace = self.rng.between(Duration::from_secs(1), Duration::from_secs(20));
                if let Some(kubelet) = &mut self.kubelet {
                    let reason = "Evicted".to_owned();
                    let message = "The node was low on resource: memory. ".to_owned();
                    kubelet.eviction = Some(Intent::Kill { grace, reason, message });
                }
            }
            _ if self.rng.percent(30) => self.object = None,
            _ => {}
        }
        self.refresh_mail();
        let next = self.rng.between(Duration::from_secs(1), Duration::from_secs(200));
        self.after(next, Event::Operate);
    }

    fn change_image(&mut self) {
        let image = format!("image:{}", 2 + self.rng.below(5));
        let choice = self.rng.draw();
        let Some(object) = &mut self.object else { return };
        if let Some(spec) = &mut object.spec {
            let inits = spec.init_containers.iter_mut().flatten();
            let mut all: Vec<_> = spec.containers.iter_mut().chain(inits).collect();
            let index = usize::try_from(choice % all.len().max(1) as u64).unwrap_or(0);
            if let Some(container) = all.get_mut(index) {
                container.image = Some(image);
            }
        }
        object.metadata.generation = object.metadata.generation.map(|g| g + 1);
    }

    fn debug(&mut self) {
        let Some(object) = &mut self.object else { return };
        if let Some(spec) = &mut object.spec {
            let list = spec.ephemeral_containers.get_or_insert_default();
            list.push(pods::ephemeral(list.len()));
        }
        object.metadata.generation = object.metadata.generation.map(|g| g + 1);
    }

    /// `kubectl delete`; a second one may only shorten the grace period.
    pub(crate) fn delete(&mut self, grace: i64) {
        let wall = self.wall();
        let Some(object) = &mut self.object else { return };
        let known = object.metadata.deletion_grace_period_seconds;
        object.metadata.deletion_grace_period_seconds = Some(known.map_or(grace, |known| known.min(grace)));
        object.metadata.deletion_timestamp.get_or_insert(Time(wall));
        object.metadata.generation = object.metadata.generation.map(|g| g + 1);
    }
}
