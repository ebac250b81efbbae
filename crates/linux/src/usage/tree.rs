//! One pass over the groups that are ours: the root, what holds pods, pods, what is directly in them, and the groups of
//! the system that are configured.
//!
//! Nothing is remembered between passes but what cannot change. A group that goes during one is left out.

use std::sync::{Arc, OnceLock};

use jiff::Timestamp;
use lifecycle::PodUid;
use node::cgroup::CgroupVersion;
use seams::{
    HostError,
    stats::{Depth, GroupReading, PodReading, Tasks, TreeReading},
};

use super::{group::Pass, io::Names, network, pressure, processes, reader::Reader, v1, v2};
use crate::{
    cgroup::{
        CgroupTree,
        names::{CgroupName, Driver, Naming},
    },
    facts::Roots,
    files, process,
};

/// Groups of the system besides pods: whose, and the group's path.
pub type SystemGroups = Vec<(&'static str, String)>;

/// Where the files are.
#[derive(Debug)]
enum Files {
    V1(v1::Mounts),
    V2(String),
}

/// Reads the kernel's figures.
#[derive(Debug)]
pub struct Meter {
    files: Files,
    driver: Driver,
    /// Groups that hold pods, the one of all pods first, with their paths.
    holders: Vec<(CgroupName, String)>,
    system: SystemGroups,
    roots: Roots,
    proc: String,
    /// The node's network.
    own_network: Option<(u64, u64)>,
    booted_at: Option<Timestamp>,
    processors: OnceLock<(u64, u64)>,
}

impl Meter {
    pub(crate) fn new(tree: &CgroupTree, roots: &Roots, system: SystemGroups) -> Self {
        let proc = roots.proc.to_string_lossy().into_owned();
        let layout = tree.layout();
        let files = match layout.version {
            CgroupVersion::V1 => Files::V1(v1::Mounts::of(layout)),
            CgroupVersion::V2 => {
                let mount = layout.hierarchies.first().map(|one| one.mount.to_string_lossy().into_owned());
                Files::V2(mount.unwrap_or_default())
            }
        };
        let holders = tree.groups_of_pods().into_iter();
        Self {
            files,
            driver: tree.driver(),
            holders: holders.map(|group| (group.clone(), tree.driver().path(&group))).collect(),
            system,
            own_network: network::namespace(&proc, "self"),
            booted_at: booted_at(roots),
            roots: roots.clone(),
            proc,
            processors: OnceLock::new(),
        }
    }

    /// `/proc`.
    pub(super) fn proc(&self) -> &str {
        &self.proc
    }

    /// (cores, sockets), read once.
    pub(super) fn count_processors(&self) -> (u64, u64) {
        *self.processors.get_or_init(|| super::machine::processors(&self.roots.sys))
    }

    pub(super) fn pass(&self, depth: Depth) -> Result<TreeReading, HostError> {
        let mut reader = Reader::default();
        let pass = &mut Pass { reader: &mut reader, proc: &self.proc, depth, devices: Names::default() };
        let Some((mut root, _)) = self.group(pass, "/") else {
            let what =
                "the root cgroup shows neither CPU nor memory; hint: see that the controllers are mounted";
            return Err(HostError::Unsupported(what.to_owned()));
        };
        let mut tree = TreeReading::default();
        if depth >= Depth::Summary {
            root.pressure = pressure::of_machine(pass.reader, &self.proc);
            tree.booted_at = self.booted_at;
            tree.network = network::of_node(pass.reader, &self.proc);
            tree.tasks = super::processes(&self.roots).ok();
            tree.kubepods = self.holders.first().and_then(|(_, path)| Some(self.group(pass, path)?.0));
            let system = self.system.iter();
            tree.system =
                system.filter_map(|(name, path)| Some((*name, self.group(pass, path)?.0))).collect();
        }
        if depth == Depth::Everything {
            // Neither version counts the threads of the root group; they are all that there are.
            root.tasks = root.tasks.or(tree.tasks.map(|(count, most)| Tasks { count, limit: Some(most) }));
            if let Some(processes) = &mut root.processes {
                processes.open_files_limit = processes::open_files_limit(pass.reader, &self.proc, 1);
            }
            let qos = self.holders.iter().skip(1);
            tree.qos = qos.filter_map(|(_, path)| Some(self.group(pass, path)?.0)).collect();
        }
        tree.root = root;
        for (group, path) in &self.holders {
            for name in self.names(path) {
                if let Some(uid) = self.driver.pod_uid(group, &name) {
                    tree.pods.extend(self.pod(pass, uid.as_str().into(), &format!("{path}/{name}")));
                }
            }
        }
        tree.pods.sort_by(|a, b| a.uid.cmp(&b.uid));
        Ok(tree)
    }

    fn pod(&self, pass: &mut Pass<'_>, uid: PodUid, path: &str) -> Option<PodReading> {
        let (group, _) = self.group(pass, path)?;
        let mut pod = PodReading { uid, group, inside: Vec::new(), network: None };
        for name in self.names(path) {
            let Some(id) = self.driver.container_id(&name) else { continue };
            let Some((group, process)) = self.group(pass, &format!("{path}/{name}")) else { continue };
            if pod.network.is_none() {
                pod.network = process.and_then(|process| self.network(pass, process));
            }
            pod.inside.push((Arc::from(id), group));
        }
        Some(pod)
    }

    /// Interfaces of a pod that has a network of its own. Where the namespace may not be known, it is taken for one.
    fn network(&self, pass: &mut Pass<'_>, process: u32) -> Option<Vec<seams::stats::Interface>> {
        let namespace = network::namespace(&self.proc, process);
        if namespace.is_some() && namespace == self.own_network {
            return None;
        }
        network::of_process(pass.reader, &self.proc, process)
    }

    fn group(&self, pass: &mut Pass<'_>, path: &str) -> Option<(GroupReading, Option<u32>)> {
        match &self.files {
            Files::V1(mounts) => v1::read(pass, mounts, path),
            Files::V2(mount) => v2::read(pass, mount, path),
        }
    }

    /// Names of the groups in a group; none when it is gone.
    fn names(&self, path: &str) -> Vec<String> {
        let mount = match &self.files {
            Files::V1(mounts) => mounts.listed(),
            Files::V2(mount) => Some(mount.as_str()),
        };
        let found = mount.and_then(|mount| files::directories(format!("{mount}{path}").as_ref()).ok());
        let names = found.into_iter().flatten();
        names.filter_map(|path| Some(path.file_name()?.to_str()?.to_owned())).collect()
    }
}

fn booted_at(roots: &Roots) -> Option<Timestamp> {
    let since_epoch = process::booted_at(roots)?.try_into().ok()?;
    Timestamp::from_duration(since_epoch).ok()
}

/// The group that this process is in, for the figures of the kubelet itself; `None` when it has none of its own. On v1
/// CPU and memory have to agree, else the figures would be of two groups.
pub fn own_group(roots: &Roots) -> Option<String> {
    let text = files::read(&roots.proc.join("self/cgroup")).ok()?;
    let of = |wanted: &str| {
        text.lines().find_map(|line| {
            let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
            controllers.split(',').any(|name| name == wanted).then_some(path)
        })
    };
    let path = match (of("cpu"), of("memory")) {
        (Some(cpu), Some(memory)) => (cpu == memory).then_some(cpu),
        (None, None) => of(""),
        _ => None,
    };
    path.filter(|path| *path != "/").map(str::to_owned)
}

#[cfg(test)]
mod tests;
