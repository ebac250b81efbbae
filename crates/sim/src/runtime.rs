//! A container runtime in memory, strict where real ones are: names are reserved, nothing starts in a dead sandbox.

use std::time::Duration;

use jiff::Timestamp;
use lifecycle::{
    ContainerId, SandboxId,
    observation::{ContainerRecord, RuntimePod, RuntimeState, SandboxRecord},
};

/// How a container's run ends by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Script {
    /// It does not.
    Forever,
    /// After this time, with this code.
    Exits(Duration, i32),
    /// The runtime cannot start it.
    FailsToStart,
}

/// What may be done to containers that changes what is true of them.
#[derive(Clone, Copy, Debug)]
pub enum Deed<'a> {
    /// One ends, with this code and reason.
    Exit(&'a ContainerId, i32, &'static str),
    /// One is removed.
    Remove(&'a ContainerId),
    /// A sandbox is stopped.
    StopSandbox(&'a SandboxId),
    /// A sandbox is removed.
    RemoveSandbox(&'a SandboxId),
    /// The machine is restarted.
    Reboot,
}

/// Sandboxes and containers of one pod.
#[derive(Clone, Debug, Default)]
pub struct Runtime {
    /// Both lists newest last.
    pod: RuntimePod,
    next: u64,
    /// Most containers of one name that ever ran together.
    pub most_running: usize,
}

impl Runtime {
    /// What an inspection shows: newest first.
    #[must_use]
    pub fn inspect(&self) -> RuntimePod {
        let mut pod = self.pod.clone();
        pod.sandboxes.reverse();
        pod.containers.reverse();
        pod
    }

    /// Sandboxes, oldest first.
    #[must_use]
    pub fn sandboxes(&self) -> &[SandboxRecord] {
        &self.pod.sandboxes
    }

    /// Containers, oldest first.
    #[must_use]
    pub fn containers(&self) -> &[ContainerRecord] {
        &self.pod.containers
    }

    /// Whether a sandbox is ready, and no other.
    #[must_use]
    pub fn serves(&self, id: &SandboxId) -> bool {
        let mut ready = self.pod.sandboxes.iter().filter(|sandbox| sandbox.ready);
        ready.next().is_some_and(|sandbox| sandbox.id == *id) && ready.next().is_none()
    }

    /// Whether nothing is there.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pod.sandboxes.is_empty() && self.pod.containers.is_empty()
    }

    /// Containers that run.
    pub fn running(&self) -> impl Iterator<Item = &ContainerRecord> {
        self.pod.containers.iter().filter(|c| c.state == RuntimeState::Running)
    }

    fn id(&mut self, kind: &str) -> String {
        self.next += 1;
        format!("{kind}{}", self.next)
    }

    /// One sandbox.
    pub fn sandbox(&mut self, id: &SandboxId) -> Option<&mut SandboxRecord> {
        self.pod.sandboxes.iter_mut().find(|s| &s.id == id)
    }

    /// One container.
    pub fn container(&mut self, id: &ContainerId) -> Option<&mut ContainerRecord> {
        self.pod.containers.iter_mut().find(|c| &c.id == id)
    }

    /// CRI `RunPodSandbox`.
    pub fn run_sandbox(
        &mut self,
        attempt: u32,
        host_network: bool,
        now: Timestamp,
    ) -> Result<SandboxId, String> {
        if self.pod.sandboxes.iter().any(|s| s.attempt == attempt) {
            return Err(format!("name of sandbox attempt {attempt} is reserved"));
        }
        let id = SandboxId::from(self.id("s"));
        let ips = if host_network { Vec::new() } else { vec![format!("10.0.0.{}", self.next % 250)] };
        self.pod.sandboxes.push(SandboxRecord {
            id: id.clone(),
            attempt,
            ready: true,
            created_at: now,
            ips,
            without_address: false,
            host_network,
        });
        Ok(id)
    }

    /// Does something, at this time of the wall clock. Returns the containers that ended by it.
    pub fn act(&mut self, deed: Deed<'_>, now: Timestamp) -> Vec<ContainerRecord> {
        match deed {
            Deed::Exit(id, code, reason) => self.exit(id, code, reason, now).into_iter().collect(),
            Deed::Remove(id) => {
                self.pod.containers.retain(|c| &c.id != id);
                Vec::new()
            }
            Deed::StopSandbox(id) => self.stop_sandbox(id, now),
            Deed::RemoveSandbox(id) => self.remove_sandbox(id, now),
            Deed::Reboot => self.reboot(now),
        }
    }

    /// CRI `StopPodSandbox`: its containers die with it. Returns those that did.
    fn stop_sandbox(&mut self, id: &SandboxId, now: Timestamp) -> Vec<ContainerRecord> {
        let inside: Vec<_> =
            self.pod.containers.iter().filter(|c| &c.sandbox == id).map(|c| c.id.clone()).collect();
        let ended = inside.iter().filter_map(|container| self.exit(container, 137, "Error", now)).collect();
        if let Some(sandbox) = self.sandbox(id) {
            sandbox.ready = false;
            sandbox.ips.clear();
        }
        ended
    }

    /// CRI `RemovePodSandbox`. Returns the containers that ended.
    fn remove_sandbox(&mut self, id: &SandboxId, now: Timestamp) -> Vec<ContainerRecord> {
        let ended = self.stop_sandbox(id, now);
        self.pod.containers.retain(|c| &c.sandbox != id);
        self.pod.sandboxes.retain(|s| &s.id != id);
        ended
    }

    /// CRI `CreateContainer`.
    pub fn create(
        &mut self,
        sandbox: &SandboxId,
        name: &str,
        attempt: u32,
        image: &str,
        now: Timestamp,
    ) -> Result<ContainerId, String> {
        if !self.sandbox(sandbox).is_some_and(|s| s.ready) {
            return Err(format!("sandbox {sandbox} is not ready"));
        }
        if self.pod.containers.iter().any(|c| c.name.as_str() == name && c.attempt == attempt) {
            return Err(format!("name of container {name} attempt {attempt} is reserved"));
        }
        let id = ContainerId::from(self.id("k"));
        self.pod.containers.push(ContainerRecord {
            image: image.to_owned(),
            image_ref: format!("sha256:{image}"),
            hash: lifecycle::spec::hash::container_hash(name, image),
            ..ContainerRecord::created(id.clone(), name, attempt, sandbox.clone(), now)
        });
        Ok(id)
    }

    /// CRI `StartContainer`.
    pub fn start(&mut self, id: &ContainerId, script: Script, now: Timestamp) -> Result<(), String> {
        let Some(record) = self.pod.containers.iter().find(|c| &c.id == id) else {
            return Err(format!("container {id} not found"));
        };
        if record.state != RuntimeState::Created {
            return Err(format!("container {id} is not in created state"));
        }
        if !self.pod.sandboxes.iter().any(|s| s.id == record.sandbox && s.ready) {
            return Err("sandbox is not ready".to_owned());
        }
        let name = record.name.clone();
        if let Some(record) = self.container(id) {
            record.state = RuntimeState::Running;
            record.started_at = Some(now);
        }
        if script == Script::FailsToStart {
            let _ = self.exit(id, 128, "StartError", now);
            return Err("exec: no such file".to_owned());
        }
        let together = self.running().filter(|c| c.name == name).count();
        self.most_running = self.most_running.max(together);
        Ok(())
    }

    /// A container ends, if it runs. Returns what it is now.
    fn exit(&mut self, id: &ContainerId, code: i32, reason: &str, now: Timestamp) -> Option<ContainerRecord> {
        let record = self.container(id)?;
        if !matches!(record.state, RuntimeState::Running | RuntimeState::Unknown) {
            return None;
        }
        record.state = RuntimeState::Exited;
        record.exit_code = code;
        record.reason = if code == 0 { "Completed".to_owned() } else { reason.to_owned() };
        record.finished_at = Some(now);
        Some(record.clone())
    }

    /// The machine was restarted: nothing runs any more, records stay. Returns the containers that ended.
    fn reboot(&mut self, now: Timestamp) -> Vec<ContainerRecord> {
        let all: Vec<_> = self.pod.sandboxes.iter().map(|s| s.id.clone()).collect();
        all.iter().flat_map(|id| self.stop_sandbox(id, now)).collect()
    }
}
