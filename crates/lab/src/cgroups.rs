//! The cgroup of a lab: one group of the same path in every hierarchy of the machine. Nothing else there is touched.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result};
use rustix::process::{Pid, Signal, kill_process};

use crate::wait;

/// Where hierarchies are mounted.
const MOUNT: &str = "/sys/fs/cgroup";
/// Longest for killed processes to leave their groups.
const EMPTY_BOUND: Duration = Duration::from_secs(15);

/// The groups of one lab.
#[derive(Clone, Debug)]
pub struct Groups {
    paths: Vec<PathBuf>,
}

impl Groups {
    /// The groups of a cgroup root such as `/lab-a`, whether they exist or not.
    ///
    /// # Errors
    /// The machine's hierarchies cannot be listed.
    pub fn new(root: &str) -> Result<Self> {
        let name = root.trim_start_matches('/');
        let mount = Path::new(MOUNT);
        if mount.join("cgroup.controllers").exists() {
            return Ok(Self { paths: vec![mount.join(name)] });
        }
        let entries = fs::read_dir(mount).with_context(|| format!("cannot list {MOUNT}"))?;
        let hierarchies = entries.flatten().map(|entry| entry.path());
        let mut paths: Vec<PathBuf> = hierarchies
            .filter(|path| path.is_dir() && !path.is_symlink() && path.join("cgroup.procs").exists())
            .map(|path| path.join(name))
            .collect();
        paths.sort();
        Ok(Self { paths })
    }

    /// Make them. A cpuset of v1 takes no process before it has cpus and memory nodes.
    ///
    /// # Errors
    /// One cannot be made.
    pub fn make(&self) -> Result<()> {
        for group in &self.paths {
            fs::create_dir_all(group).with_context(|| format!("cannot make {}", group.display()))?;
            for file in ["cpuset.cpus", "cpuset.mems"] {
                let own = group.join(file);
                let inherited = group.parent().and_then(|parent| fs::read_to_string(parent.join(file)).ok());
                let Some(inherited) = inherited.filter(|text| !text.trim().is_empty()) else { continue };
                if own.exists() {
                    fs::write(&own, inherited.trim())
                        .with_context(|| format!("cannot write {}", own.display()))?;
                }
            }
        }
        Ok(())
    }

    /// Those that are there.
    #[must_use]
    pub fn existing(&self) -> Vec<&Path> {
        self.paths.iter().map(PathBuf::as_path).filter(|path| path.exists()).collect()
    }

    /// `cgroup.procs` of a group that holds no controller of the kubelet, to keep account of the lab's own processes:
    /// killing the group then kills them with all their children.
    #[must_use]
    pub fn tracking(&self) -> Option<PathBuf> {
        let holds_none = |path: &&PathBuf| {
            let hierarchy = path.parent().and_then(Path::file_name).unwrap_or_default();
            hierarchy == "systemd" || hierarchy == "unified"
        };
        self.paths
            .iter()
            .find(holds_none)
            .map(|group| group.join("cgroup.procs"))
            .filter(|file| file.exists())
    }

    /// Kill everything inside, until it is gone.
    ///
    /// # Errors
    /// Something does not go.
    pub fn kill(&self) -> Result<()> {
        wait::until("the lab's processes to end", EMPTY_BOUND, || {
            let mut pids = Vec::new();
            for group in &self.paths {
                collect(group, &mut pids);
            }
            for pid in pids.iter().filter_map(|pid| Pid::from_raw(*pid)) {
                // Gone already is as good as killed.
                let _ = kill_process(pid, Signal::KILL);
            }
            Ok(if pids.is_empty() {
                wait::Look::Ready(())
            } else {
                wait::Look::NotYet(format!("left: {pids:?}"))
            })
        })
    }

    /// Remove them with all below. The kernel refuses a group for a moment after its last process went.
    ///
    /// # Errors
    /// One stays.
    pub fn remove(&self) -> Result<()> {
        wait::until("the lab's cgroups to go", EMPTY_BOUND, || {
            let left: Vec<String> = self
                .paths
                .iter()
                .filter_map(|group| remove(group).err().map(|error| format!("{error:#}")))
                .collect();
            Ok(if left.is_empty() { wait::Look::Ready(()) } else { wait::Look::NotYet(left.join("; ")) })
        })
    }
}

fn children(group: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(group) else { return Vec::new() };
    entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
}

fn collect(group: &Path, pids: &mut Vec<i32>) {
    let text = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    pids.extend(text.lines().filter_map(|line| line.parse::<i32>().ok()));
    for child in children(group) {
        collect(&child, pids);
    }
}

fn remove(group: &Path) -> Result<()> {
    for child in children(group) {
        remove(&child)?;
    }
    match fs::remove_dir(group) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", group.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_in_every_hierarchy_and_none_elsewhere() {
        let groups = Groups::new("/lab-test-none").unwrap();
        assert!(!groups.paths.is_empty());
        assert!(groups.paths.iter().all(|path| path.starts_with(MOUNT) && path.ends_with("lab-test-none")));
        assert!(groups.existing().is_empty());
        groups.remove().unwrap();
    }
}
