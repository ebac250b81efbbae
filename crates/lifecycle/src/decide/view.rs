//! The runtime's account of one pod, read the way decisions ask.
//!
//! Newest means the highest attempt, not the latest creation time: attempts only grow, while the wall clock that
//! stamps creation may jump back.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::PodSpec;

use crate::{
    ids::{ContainerId, ContainerName, SandboxId},
    observation::{ContainerRecord, RuntimePod, RuntimeState, SandboxRecord},
};

#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    runtime: &'a RuntimePod,
    host_network: bool,
    stopped: &'a BTreeSet<ContainerId>,
}

/// Whether a container is alive, as far as is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    /// Made, never started.
    Created,
    /// Runs.
    Running,
    /// Ended.
    Dead,
    /// May run: the runtime lost track, and no stop was confirmed.
    Lost,
}

/// What is wrong with the pod's sandboxes. `message` is upstream's, for `PodReadyToStartContainers`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SandboxFault {
    None,
    Several,
    NotReady,
    NetworkMode,
    NoAddress,
}

impl SandboxFault {
    pub(crate) fn message(self) -> &'static str {
        match self {
            Self::None => "no pod sandbox exists",
            Self::Several => "multiple pod sandboxes are ready and need to be reconciled",
            Self::NotReady => "pod sandbox is not ready",
            Self::NetworkMode => "network namespace mode changed and sandbox needs to be recreated",
            Self::NoAddress => "pod sandbox has no IP address",
        }
    }
}

impl<'a> View<'a> {
    pub(crate) fn new(runtime: &'a RuntimePod, spec: &PodSpec, stopped: &'a BTreeSet<ContainerId>) -> Self {
        Self { runtime, host_network: spec.host_network.unwrap_or(false), stopped }
    }

    pub(crate) fn sandboxes(&self) -> &'a [SandboxRecord] {
        &self.runtime.sandboxes
    }

    pub(crate) fn containers(&self) -> &'a [ContainerRecord] {
        &self.runtime.containers
    }

    pub(crate) fn newest_sandbox(&self) -> Option<&'a SandboxRecord> {
        self.runtime.sandboxes.iter().max_by_key(|s| (s.attempt, s.created_at))
    }

    /// The sandbox that containers may be made in, or why there is none.
    pub(crate) fn sandbox(&self) -> Result<&'a SandboxRecord, SandboxFault> {
        let newest = self.newest_sandbox().ok_or(SandboxFault::None)?;
        if self.runtime.sandboxes.iter().filter(|s| s.ready).count() > 1 {
            return Err(SandboxFault::Several);
        }
        if !newest.ready {
            return Err(SandboxFault::NotReady);
        }
        if newest.host_network != self.host_network {
            return Err(SandboxFault::NetworkMode);
        }
        if !self.host_network && newest.without_address {
            return Err(SandboxFault::NoAddress);
        }
        Ok(newest)
    }

    /// Records of one container, the one that counts first.
    pub(crate) fn history(&self, name: &str) -> Vec<&'a ContainerRecord> {
        let mut records: Vec<_> =
            self.runtime.containers.iter().filter(|c| c.name.as_str() == name).collect();
        records.sort_by_key(|record| std::cmp::Reverse(self.rank(record)));
        records
    }

    /// What lives comes before all that does not: a creation that took effect too late may have left an instance with a
    /// higher attempt beside it. Then the newest counts.
    pub(crate) fn rank(&self, record: &ContainerRecord) -> (bool, u32, jiff::Timestamp) {
        (matches!(self.life(record), Life::Running | Life::Lost), record.attempt, record.created_at)
    }

    /// The record of a container that counts.
    pub(crate) fn newest(&self, name: &str) -> Option<&'a ContainerRecord> {
        let records = self.runtime.containers.iter().filter(|c| c.name.as_str() == name);
        records.max_by_key(|record| self.rank(record))
    }

    /// Newest record of a container in one sandbox.
    pub(crate) fn newest_in(&self, name: &str, sandbox: &SandboxId) -> Option<&'a ContainerRecord> {
        self.newest(name).filter(|c| &c.sandbox == sandbox)
    }

    pub(crate) fn life(&self, record: &ContainerRecord) -> Life {
        match record.state {
            RuntimeState::Created => Life::Created,
            RuntimeState::Running => Life::Running,
            RuntimeState::Exited => Life::Dead,
            RuntimeState::Unknown if self.stopped.contains(&record.id) => Life::Dead,
            RuntimeState::Unknown => Life::Lost,
        }
    }

    /// Containers that run, or may.
    pub(crate) fn alive(&self) -> impl Iterator<Item = &'a ContainerRecord> + use<'a> {
        let view = *self;
        self.runtime.containers.iter().filter(move |c| matches!(view.life(c), Life::Running | Life::Lost))
    }

    pub(crate) fn container(&self, id: &ContainerId) -> Option<&'a ContainerRecord> {
        self.runtime.containers.iter().find(|c| &c.id == id)
    }

    pub(crate) fn highest_attempt(&self, name: &ContainerName) -> Option<u32> {
        self.runtime.containers.iter().filter(|c| &c.name == name).map(|c| c.attempt).max()
    }

    /// Whether any regular container was started in this sandbox: then initialisation is over there. One that was only
    /// created proves nothing: a creation may take effect after everything was started over.
    pub(crate) fn initialised_in(&self, spec: &PodSpec, sandbox: &SandboxId) -> bool {
        let started = |name: &str| {
            let mut records = self.runtime.containers.iter();
            records
                .any(|c| c.name.as_str() == name && &c.sandbox == sandbox && c.state != RuntimeState::Created)
        };
        spec.containers.iter().any(|c| started(&c.name))
    }

    /// Whether any regular container was ever made.
    pub(crate) fn initialised_once(&self, spec: &PodSpec) -> bool {
        spec.containers
            .iter()
            .any(|c| self.newest(&c.name).is_some_and(|r| !matches!(r.state, RuntimeState::Unknown)))
    }
}
