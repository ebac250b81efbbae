//! What goes wrong, and what people do.

use std::time::Duration;

use jiff::SignedDuration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use lifecycle::{ContainerId, Intent, PodSource, SandboxId, observation::RuntimeState, status::is_terminal};

use crate::{
    hints::Told,
    pods,
    rng::Rng,
    runtime::Deed,
    world::{Event, Weather, World},
};

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// SIGKILL to the kubelet, started again after a while.
    Kill,
    /// The wall clock jumps, by up to a day, forward or back.
    Clock,
    /// A container, or its shim, is killed.
    KillContainer,
    /// A container's record is removed.
    RemoveContainer,
    /// The sandbox is stopped.
    StopSandbox,
    /// The sandbox is removed with everything in it.
    RemoveSandbox,
    /// The sandbox loses its network namespace.
    LoseAddress,
    /// The machine is restarted.
    Reboot,
    /// The runtime answers nothing.
    RuntimeDown,
    /// The runtime is restarted: calls under way fail, whether they take effect or not.
    RuntimeRestart,
    /// The runtime is restarted and knows nothing any more: its state was lost, and what it ran with it.
    RuntimeForgets,
    /// The API server cannot be reached.
    ApiDown,
    /// The watch of pods stays open and brings nothing, until it is told that its version is gone and lists anew.
    WatchSilent,
    /// CNI is not ready.
    NetworkDown,
    /// Registries do not answer.
    PullsDown,
    /// No space is left on the device.
    DiskFull,
    /// The runtime no longer knows whether a container runs.
    LoseTrack,
    /// A liveness probe fails.
    Unhealthy,
    /// A readiness probe fails, or succeeds again.
    Unready,
    /// A container cannot be removed.
    Stuck,
}

const ALL: [Fault; 20] = [
    Fault::Kill,
    Fault::Clock,
    Fault::KillContainer,
    Fault::RemoveContainer,
    Fault::StopSandbox,
    Fault::RemoveSandbox,
    Fault::LoseAddress,
    Fault::Reboot,
    Fault::RuntimeDown,
    Fault::RuntimeRestart,
    Fault::RuntimeForgets,
    Fault::ApiDown,
    Fault::WatchSilent,
    Fault::NetworkDown,
    Fault::PullsDown,
    Fault::DiskFull,
    Fault::LoseTrack,
    Fault::Unhealthy,
    Fault::Unready,
    Fault::Stuck,
];

/// Which faults a life knows. Not all at once: what hides behind the effects of others would never be found.
#[derive(Clone, Debug)]
pub(crate) struct Climate {
    faults: Vec<Fault>,
    /// Longest pause between two.
    pause: Duration,
    /// Calls in a hundred that do not do what they say.
    pub(crate) calls: u64,
    /// Effects and answers in a hundred after which the kubelet is killed at once.
    pub(crate) kills: u64,
    /// Runtime events in a hundred that are lost.
    pub(crate) deaf: u64,
}

impl Climate {
    pub(crate) fn draw(rng: &mut Rng) -> Self {
        let share = rng.pick(&[15, 40, 80]).unwrap_or(40);
        Self {
            faults: ALL.into_iter().filter(|_| rng.percent(share)).collect(),
            pause: Duration::from_secs(rng.pick(&[20, 90, 300]).unwrap_or(90)),
            calls: rng.pick(&[0, 5, 18]).unwrap_or(5),
            kills: rng.pick(&[0, 0, 0, 2, 6]).unwrap_or(0),
            deaf: rng.pick(&[0, 20, 60]).unwrap_or(20),
        }
    }
}

impl World {
    /// One fault, and the time of the next.
    pub(crate) fn disturb(&mut self) {
        if self.weather == Weather::Calm {
            return;
        }
        let faults = self.climate.faults.clone();
        if let Some(fault) = self.rng.pick(&faults) {
            self.counts.faults += 1;
            self.trace(|| format!("fault {fault:?}"));
            self.strike(fault);
        }
        let next = self.rng.between(Duration::from_secs(1), self.climate.pause);
        self.after(next, Event::Disturb);
    }

    fn strike(&mut self, fault: Fault) {
        let until = self.now + self.rng.between(Duration::from_secs(1), Duration::from_secs(100));
        match fault {
            Fault::Kill => self.kill_for_a_while(),
            Fault::Clock => {
                let seconds = i64::try_from(self.rng.below(200_000)).unwrap_or(0) - 100_000;
                self.jump_clock(SignedDuration::from_secs(seconds));
            }
            Fault::KillContainer => {
                if let Some(id) = self.some_running() {
                    self.act(Deed::Exit(&id, 137, "Error"));
                    self.runtime_event();
                }
            }
            Fault::RemoveContainer => {
                let all: Vec<_> = self.runtime.containers().iter().map(|c| c.id.clone()).collect();
                if let Some(id) = all.get(self.rng.below(all.len() as u64) as usize) {
                    self.act(Deed::Exit(id, 137, "Error"));
                    self.truth.lost.insert(id.clone());
                    self.act(Deed::Remove(id));
                    self.runtime_event();
                }
            }
            Fault::StopSandbox => {
                if let Some(id) = self.newest_sandbox() {
                    self.act(Deed::StopSandbox(&id));
                    self.runtime_event();
                }
            }
            Fault::RemoveSandbox => {
                if let Some(id) = self.newest_sandbox() {
                    let inside = self.runtime.containers().iter().filter(|c| c.sandbox == id);
                    self.truth.lost.extend(inside.map(|c| c.id.clone()));
                    self.act(Deed::RemoveSandbox(&id));
                    self.runtime_event();
                }
            }
            Fault::LoseAddress => {
                let newest = self.newest_sandbox();
                if let Some(sandbox) = newest.and_then(|id| self.runtime.sandbox(&id)) {
                    sandbox.ips.clear();
                    sandbox.without_address = true;
                    // No event and no list tells of it; it is found by whoever looks for another reason.
                    self.stream_breaks();
                }
            }
            Fault::Reboot => {
                self.kill_kubelet();
                self.act(Deed::Reboot);
                self.jobs.clear();
                self.host.volumes = false;
                self.host.cgroup = false;
                self.after(Duration::from_secs(20), Event::Start);
            }
            Fault::RuntimeDown => {
                self.runtime_down = until;
                self.stream_breaks();
            }
            Fault::RuntimeRestart => self.restart_runtime(),
            Fault::RuntimeForgets => self.forget(),
            Fault::ApiDown => self.api_down = until,
            Fault::WatchSilent => {
                self.watch_silent = until;
                self.at(until, Event::Listed);
            }
            Fault::NetworkDown => self.network_down = until,
            Fault::PullsDown => self.pulls_down = until + Duration::from_secs(200),
            Fault::DiskFull => self.disk_full = until,
            Fault::LoseTrack => self.lose_track(),
            Fault::Unhealthy => {
                if let Some(id) = self.some_running() {
                    self.truth.unhealthy.insert(id);
                    self.probe_event();
                }
            }
            Fault::Unready => {
                if let Some(id) = self.some_running() {
                    if !self.truth.unready.remove(&id) {
                        self.truth.unready.insert(id);
                    }
                    self.probe_event();
                }
            }
            Fault::Stuck => {
                let all: Vec<_> = self.runtime.containers().iter().map(|c| c.id.clone()).collect();
                self.stuck = all.last().cloned();
            }
        }
    }

    pub(crate) fn kill_for_a_while(&mut self) {
        self.kill_kubelet();
        let pause = self.rng.between(Duration::ZERO, Duration::from_secs(30));
        self.after(pause, Event::Start);
    }

    /// The runtime loses its state, and its containers and sandboxes with it. What they left on disk stays.
    fn forget(&mut self) {
        self.restart_runtime();
        let sandboxes: Vec<_> = self.runtime.sandboxes().iter().map(|sandbox| sandbox.id.clone()).collect();
        self.truth.lost.extend(self.runtime.containers().iter().map(|container| container.id.clone()));
        for id in sandboxes {
            self.act(Deed::RemoveSandbox(&id));
        }
        // It starts without a past, and tells of none.
        self.told_of = Told::default();
    }

    fn some_running(&mut self) -> Option<ContainerId> {
        let running: Vec<_> = self.runtime.running().map(|c| c.id.clone()).collect();
        let index = usize::try_from(self.rng.below(running.len() as u64)).unwrap_or(0);
        running.into_iter().nth(index)
    }

    fn newest_sandbox(&self) -> Option<SandboxId> {
        self.runtime.sandboxes().last().map(|sandbox| sandbox.id.clone())
    }

    /// A probe's result has changed; the kubelet's own prober tells of it.
    fn probe_event(&mut self) {
        let generation = self.generation;
        self.after(Duration::ZERO, Event::Look(generation));
    }

    /// The runtime no longer knows whether a container runs.
    fn lose_track(&mut self) {
        let Some(id) = self.some_running() else { return };
        if let Some(record) = self.runtime.container(&id) {
            record.state = RuntimeState::Unknown;
            self.truth.lost.insert(id);
        }
    }

    /// One change by a user, and the time of the next.
    pub(crate) fn operate(&mut self) {
        if self.operations == 0 || self.object.is_none() {
            return;
        }
        self.operations -= 1;
        let operation = self.rng.below(11);
        self.trace(|| format!("operation {operation}"));
        match operation {
            0..3 => self.change_image(),
            3 => self.debug(),
            4 | 5 if self.source.is_static() => self.object = None,
            4 | 5 => {
                let grace = i64::try_from(self.rng.below(40)).unwrap_or(0);
                self.delete(grace);
                // Some people lose patience.
                self.operations += u64::from(self.rng.percent(40));
            }
            6 => {
                let label = self.rng.draw().to_string();
                if let Some(object) = &mut self.object {
                    object.metadata.labels.get_or_insert_default().insert("l".to_owned(), label);
                }
            }
            7 => self.evict(),
            8 => self.lower_deadline(),
            9 if self.rng.percent(30) => self.end_from_outside(),
            _ if self.rng.percent(30) => self.object = None,
            _ => {}
        }
        self.refresh_mail();
        let longest = if self.is_deleted() { 20 } else { 200 };
        let next = self.rng.between(Duration::from_secs(1), Duration::from_secs(longest));
        self.after(next, Event::Operate);
    }

    fn is_deleted(&self) -> bool {
        self.object.as_ref().is_some_and(|object| object.metadata.deletion_timestamp.is_some())
    }

    fn evict(&mut self) {
        let grace = self.rng.between(Duration::from_secs(1), Duration::from_secs(20));
        if let Some(kubelet) = &mut self.kubelet {
            let reason = "Evicted".to_owned();
            let message = "The node was low on resource: memory. ".to_owned();
            kubelet.eviction = Some(Intent::Kill { grace, reason, message });
        }
    }

    /// A controller writes that the pod has failed.
    fn end_from_outside(&mut self) {
        let api = self.source == PodSource::Api;
        if let Some(status) = self.object.as_mut().and_then(|object| object.status.as_mut()).filter(|_| api)
            && !is_terminal(status.phase.as_deref())
        {
            status.phase = Some("Failed".to_owned());
            status.reason = Some("Lost".to_owned());
        }
    }

    /// `activeDeadlineSeconds` may be set and lowered while the pod runs.
    fn lower_deadline(&mut self) {
        let seconds = i64::try_from(30 + self.rng.below(300)).unwrap_or(60);
        if let Some(spec) = self.object.as_mut().and_then(|object| object.spec.as_mut()) {
            let known = spec.active_deadline_seconds.unwrap_or(i64::MAX);
            spec.active_deadline_seconds = Some(known.min(seconds));
        }
        self.changed();
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
        self.changed();
    }

    fn debug(&mut self) {
        let Some(object) = &mut self.object else { return };
        if let Some(spec) = &mut object.spec {
            let list = spec.ephemeral_containers.get_or_insert_default();
            list.push(pods::ephemeral(list.len()));
        }
        self.changed();
    }

    /// The object has a new version.
    fn changed(&mut self) {
        let Some(object) = &mut self.object else { return };
        object.metadata.generation = object.metadata.generation.map(|g| g + 1);
        self.spec = object.clone();
    }

    /// `kubectl delete`; a second one may only shorten the grace period.
    pub(crate) fn delete(&mut self, grace: i64) {
        let wall = self.wall();
        let Some(object) = &mut self.object else { return };
        let known = object.metadata.deletion_grace_period_seconds;
        object.metadata.deletion_grace_period_seconds = Some(known.map_or(grace, |known| known.min(grace)));
        object.metadata.deletion_timestamp.get_or_insert(Time(wall));
        self.changed();
    }
}
