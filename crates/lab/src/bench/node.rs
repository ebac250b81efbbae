//! The lab of a bench, and the kubelet that has its turn in it.

use std::{
    collections::BTreeSet,
    fs::File,
    io::{Read as _, Seek as _, SeekFrom},
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow};
use rustix::process::Pid;
use serde_json::{Map, Value, json};

use super::{
    api::Api,
    node_api::NodeApi,
    options::Options,
    pod::{self, Pod, Probe},
    watch::{Event, Kind, Stamp, Watch},
};
use crate::{
    Lab, Mode, Service, Spec,
    spec::KubeletBinary,
    wait::{self, Look},
};

/// Longest for a pod to run: a start takes a second, and a batch of two hundred on a machine with other work minutes.
const RUN_BOUND: Duration = Duration::from_secs(600);
/// Longest for pods to be gone again.
const GONE_BOUND: Duration = Duration::from_secs(600);
/// Longest for a node to be Ready.
const READY_BOUND: Duration = Duration::from_secs(120);
/// Longest for a kubelet to have cleared the runtime of pods that are gone: upstream's looks once a minute.
const CLEARED_BOUND: Duration = Duration::from_secs(300);
/// Grace in seconds of pods that are deleted between measures: their container needs none.
const CLEAR_GRACE: u32 = 1;

/// Which of the two kubelets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Role {
    /// The one that is measured.
    Measured,
    /// The one that it is compared with.
    Reference,
}

/// The lab, seen through the API server's watch.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) lab: Lab,
    pub(super) api: Api,
    pub(super) kubelet: NodeApi,
    pub(super) watch: Watch,
}

impl Node {
    /// Bring a lab up, without a kubelet.
    ///
    /// # Errors
    /// A step fails.
    pub(super) fn up(options: &Options) -> Result<Self> {
        let mut spec = Spec::new(&options.name, Mode::Cluster)?;
        spec.state.clone_from(&options.state);
        spec.runtime = options.runtime;
        spec.kubelet = options.kubelet.clone();
        let most = options.batch.max(options.pods);
        // Both kubelets get the same; the probed pods come on top.
        spec.kubelet_config = Map::from_iter([("maxPods".to_owned(), json!(most + most.div_ceil(10) + 10))]);
        let lab = Lab::up_without_kubelet(spec)?;
        let api = Api::new(lab.plan())?;
        let (kubelet, watch) = (NodeApi::new(lab.plan())?, api.watch()?);
        Ok(Self { lab, api, kubelet, watch })
    }

    /// Start a kubelet in folders of its own and wait until its node is Ready.
    ///
    /// # Errors
    /// It does not become so.
    pub(super) fn enter(&mut self, role: Role, binary: &KubeletBinary) -> Result<()> {
        let folder = match role {
            Role::Measured => "kubelet-a",
            Role::Reference => "kubelet-b",
        };
        let root = self.lab.paths().dir.join(folder);
        let flags =
            [format!("--root-dir={}", root.display()), format!("--cert-dir={}", root.join("pki").display())];
        let mut kubelet = self.lab.kubelet();
        kubelet.set_binary(binary)?;
        kubelet.set_flags(&flags)?;
        kubelet.start()?;
        self.lab.wait_node_ready(READY_BOUND)
    }

    /// Remove every pod, wait until the kubelet has cleared the runtime of them, and end it: the next one finds nothing to
    /// do.
    ///
    /// # Errors
    /// Something stays.
    pub(super) fn leave(&mut self) -> Result<()> {
        self.clear()?;
        wait::until("the kubelet to clear the runtime", CLEARED_BOUND, || {
            let left = self.lab.ctr(&["containers", "list", "--quiet"])?.lines().count();
            Ok(if left == 0 { Look::Ready(()) } else { Look::NotYet(format!("{left} containers are left")) })
        })?;
        self.lab.kubelet().stop()
    }

    /// The kubelet's process.
    ///
    /// # Errors
    /// It has ended.
    pub(super) fn pid(&self) -> Result<Pid> {
        let daemon = self.lab.service(Service::Kubelet);
        daemon.pid().with_context(|| format!("the kubelet has ended; its log is {}", daemon.log().display()))
    }

    /// Create a pod and wait until it is seen Running. Gives when it was asked for, seen created, and seen Running.
    ///
    /// # Errors
    /// The API server refuses it, or it does not run in time.
    pub(super) fn run(&mut self, name: &str) -> Result<Started> {
        self.run_as(name, &pod::manifest(name, Probe::None))
    }

    /// The same with another manifest.
    ///
    /// # Errors
    /// As [`Node::run`].
    pub(super) fn run_as(&mut self, name: &str, manifest: &Value) -> Result<Started> {
        let asked = Stamp::now();
        self.api.create(manifest)?;
        let mut added = None;
        let running = self.watch.until(&format!("pod {name} to run"), RUN_BOUND, |event| {
            if event.pod.name != name {
                return None;
            }
            if event.kind == Kind::Added {
                added = Some(event.at);
            }
            (event.pod.is_running() && event.pod.container.is_running).then(|| event.clone())
        })?;
        let added = added.ok_or_else(|| anyhow!("pod {name} ran before it was created"))?;
        Ok(Started { asked, added, running: running.at, pod: running.pod })
    }

    /// Create pods as fast as the API server takes them and wait until all are seen Running and Ready. In the order of the
    /// names.
    ///
    /// # Errors
    /// As [`Node::run`].
    pub(super) fn run_all(&mut self, names: &[String], probe: Probe) -> Result<Vec<Started>> {
        let mut asked = Vec::new();
        for name in names {
            asked.push(Stamp::now());
            self.api.create(&pod::manifest(name, probe))?;
        }
        let at = |event: &Event| names.iter().position(|name| *name == event.pod.name);
        let mut added: Vec<Option<Stamp>> = vec![None; names.len()];
        let mut started: Vec<Option<(Stamp, Pod)>> = vec![None; names.len()];
        let mut ready: BTreeSet<usize> = BTreeSet::new();
        self.watch.until(&format!("{} pods to be Ready", names.len()), RUN_BOUND, |event| {
            let at = at(event)?;
            if event.kind == Kind::Added {
                *added.get_mut(at)? = Some(event.at);
            }
            let slot = started.get_mut(at)?;
            if event.pod.is_running() && event.pod.container.is_running && slot.is_none() {
                *slot = Some((event.at, event.pod.clone()));
            }
            if event.pod.is_ready {
                ready.insert(at);
            }
            (ready.len() == names.len() && started.iter().all(Option::is_some)).then_some(())
        })?;
        let rows = asked.into_iter().zip(added).zip(started);
        rows.map(|((asked, added), started)| {
            let (running, pod) = started.context("a pod was seen Ready and not Running")?;
            let added = added.with_context(|| format!("pod {} ran before it was created", pod.name))?;
            Ok(Started { asked, added, running, pod })
        })
        .collect()
    }

    /// Delete every pod of the bench and wait until their objects are gone.
    ///
    /// # Errors
    /// They stay.
    pub(super) fn clear(&mut self) -> Result<()> {
        let mut left: BTreeSet<String> = self.watch.pods().keys().cloned().collect();
        for name in &left {
            self.api.delete(name, Some(CLEAR_GRACE))?;
        }
        if left.is_empty() {
            return Ok(());
        }
        self.watch.until("the bench's pods to be gone", GONE_BOUND, |event| {
            if event.kind == Kind::Deleted {
                left.remove(&event.pod.name);
            }
            left.is_empty().then_some(())
        })
    }

    /// How long containerd's log is, for [`Node::containerd_log_since`].
    ///
    /// # Errors
    /// It cannot be looked at.
    pub(super) fn containerd_log_length(&self) -> Result<u64> {
        let log = self.lab.service(Service::Containerd).log();
        Ok(std::fs::metadata(&log).with_context(|| format!("cannot look at {}", log.display()))?.len())
    }

    /// What containerd has logged since its log had that length.
    ///
    /// # Errors
    /// It cannot be read.
    pub(super) fn containerd_log_since(&self, length: u64) -> Result<String> {
        let log = self.lab.service(Service::Containerd).log();
        let read = || -> std::io::Result<Vec<u8>> {
            let mut file = File::open(&log)?;
            file.seek(SeekFrom::Start(length))?;
            let mut text = Vec::new();
            file.read_to_end(&mut text)?;
            Ok(text)
        };
        let text = read().with_context(|| format!("cannot read {}", log.display()))?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    /// The process of a container.
    ///
    /// # Errors
    /// The runtime has none.
    pub(super) fn container_pid(&self, id: &str) -> Result<Pid> {
        let tasks = self.lab.ctr(&["tasks", "list"])?;
        task_pid(&tasks, id).with_context(|| format!("the runtime has no process of container {id}"))
    }
}

/// A pod that runs, and the moments on its way.
#[derive(Debug)]
pub(super) struct Started {
    /// Just before the request to create it was sent.
    pub(super) asked: Stamp,
    /// Its object was seen: the first moment that a kubelet can know.
    pub(super) added: Stamp,
    /// It was seen Running.
    pub(super) running: Stamp,
    /// As it was seen then.
    pub(super) pod: Pod,
}

/// The second column of `ctr tasks list` in the line of a container.
fn task_pid(tasks: &str, id: &str) -> Option<Pid> {
    let line = tasks.lines().find(|line| line.split_whitespace().next() == Some(id))?;
    Pid::from_raw(line.split_whitespace().nth(1)?.parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_containers_process_is_found() {
        let tasks = "TASK    PID    STATUS    \nabc     17     RUNNING\nabcd    18     RUNNING\n";
        assert_eq!(task_pid(tasks, "abcd").map(Pid::as_raw_nonzero).unwrap().get(), 18);
        assert_eq!(task_pid(tasks, "TASK"), None);
        assert_eq!(task_pid(tasks, "x"), None);
    }
}
