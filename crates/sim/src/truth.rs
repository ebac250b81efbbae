//! What is true of the pod's containers, whoever knows it: how each ended, which logs are on disk, how far
//! initialisation is, what a probe would find. None of it is ever shown to `decide` but through a probe or a record.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use k8s_openapi::api::core::v1::Pod;
use lifecycle::{ContainerId, ContainerName, SandboxId, observation::ContainerRecord};

use crate::{Violation, pods, rng::Rng};

/// What becomes of a startup probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Startup {
    /// It succeeds from this time on.
    Passes(Duration),
    /// It has failed for good at this time.
    Fails(Duration),
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Truth {
    /// Exit codes of all that ended.
    ends: BTreeMap<ContainerId, i32>,
    /// The instance of each name that was started last.
    newest: BTreeMap<ContainerName, ContainerId>,
    /// Instances whose records were taken away, or whose end was hidden, by a fault.
    pub(crate) lost: BTreeSet<ContainerId>,
    logs: BTreeMap<(ContainerName, u32), ContainerId>,
    /// The sandbox in which initialisation goes on, and the init containers that are done with there.
    sandbox: Option<SandboxId>,
    done: BTreeSet<ContainerName>,
    startups: BTreeMap<ContainerId, Startup>,
    /// Running containers whose readiness probe fails.
    pub(crate) unready: BTreeSet<ContainerId>,
    /// Running containers whose liveness probe fails.
    pub(crate) unhealthy: BTreeSet<ContainerId>,
}

impl Truth {
    /// A container was started: nothing that has to come before it may be missing, and no log may be written over.
    pub(crate) fn started(
        &mut self,
        pod: &Pod,
        record: &ContainerRecord,
        now: Duration,
        rng: &mut Rng,
        calm: bool,
    ) -> Result<(), Violation> {
        let name = &record.name;
        let key = (name.clone(), record.attempt);
        if let Some(other) = self.logs.insert(key, record.id.clone())
            && other != record.id
        {
            return Err(Violation::new(format!("the log of {name} #{} is written over", record.attempt)));
        }
        self.newest.insert(name.clone(), record.id.clone());
        if self.sandbox.as_ref() != Some(&record.sandbox) {
            self.sandbox = Some(record.sandbox.clone());
            self.done.clear();
        }
        let Some(container) = pods::plain(pod, name.as_str()) else { return Ok(()) };
        let inits = pod.spec.as_ref().and_then(|spec| spec.init_containers.as_deref()).unwrap_or_default();
        for before in inits.iter().take_while(|init| init.name != name.as_str()) {
            if !self.done.contains(&ContainerName::from(before.name.as_str())) {
                return Err(Violation::new(format!(
                    "{name} was started before {} was done with",
                    before.name
                )));
            }
        }
        if container.startup_probe.is_some() {
            let after = rng.between(Duration::from_secs(1), Duration::from_secs(40));
            let startup = if !calm && rng.percent(20) {
                Startup::Fails(now.saturating_add(after))
            } else {
                Startup::Passes(now.saturating_add(after))
            };
            self.startups.insert(record.id.clone(), startup);
        } else if pods::is_sidecar(container) {
            self.done.insert(name.clone());
        }
        if !calm && rng.percent(10) {
            self.unready.insert(record.id.clone());
        }
        Ok(())
    }

    /// A container ended, if it had not, because the runtime could not start it.
    pub(crate) fn failed_to_start(&mut self, record: &ContainerRecord) {
        if self.ends.insert(record.id.clone(), record.exit_code).is_none() {
            self.newest.insert(record.name.clone(), record.id.clone());
        }
    }

    /// A container ended.
    pub(crate) fn ended(&mut self, pod: &Pod, record: &ContainerRecord) {
        self.ends.entry(record.id.clone()).or_insert(record.exit_code);
        self.startups.remove(&record.id);
        self.unready.remove(&record.id);
        self.unhealthy.remove(&record.id);
        let plain = pods::plain(pod, record.name.as_str());
        let init = plain.is_some_and(|container| container.name.starts_with('i'));
        if init && record.exit_code == 0 && self.sandbox.as_ref() == Some(&record.sandbox) {
            self.done.insert(record.name.clone());
        }
    }

    /// The startup probe of a container was found to succeed.
    pub(crate) fn passed(&mut self, name: &ContainerName) {
        self.done.insert(name.clone());
    }

    /// A container was removed because all are started over; after the last of them initialisation has to begin again.
    pub(crate) fn cleared<'r>(&mut self, left: impl Iterator<Item = &'r ContainerRecord>) {
        let mut left = left.filter(|record| !record.name.as_str().starts_with('e'));
        if !left.any(|record| self.sandbox.as_ref() == Some(&record.sandbox)) {
            self.done.clear();
        }
    }

    pub(crate) fn log_removed(&mut self, record: &ContainerRecord) {
        self.logs.remove(&(record.name.clone(), record.attempt));
    }

    pub(crate) fn logs_removed(&mut self) {
        self.logs.clear();
    }

    /// Highest attempt with a log, by container.
    pub(crate) fn logged(&self) -> BTreeMap<ContainerName, u32> {
        // Ordered by name and attempt: the last one of each name stays.
        self.logs.keys().map(|(name, attempt)| (name.clone(), *attempt)).collect()
    }

    pub(crate) fn startup(&self, id: &ContainerId) -> Option<Startup> {
        self.startups.get(id).copied()
    }

    /// How an instance ended, if it did.
    pub(crate) fn end_of(&self, id: &ContainerId) -> Option<i32> {
        self.ends.get(id).copied()
    }

    /// The last instance of each name that was started.
    pub(crate) fn newest(&self) -> impl Iterator<Item = (&ContainerName, &ContainerId)> {
        self.newest.iter()
    }

    /// From now on every probe succeeds.
    pub(crate) fn heal(&mut self, now: Duration) {
        self.unready.clear();
        self.unhealthy.clear();
        for startup in self.startups.values_mut() {
            if let Startup::Fails(at) = startup
                && *at > now
            {
                *startup = Startup::Passes(*at);
            }
        }
    }
}
