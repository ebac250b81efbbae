//! What is used of the machine now, by it, by pods and by containers.
//!
//! ```text
//!   tree ─┬─ v1, v2 ── group, io, pressure, processes    a group's files, as much of them as is asked for
//!         └─ network                                     interfaces, as a process of a pod sees them
//!   disk, filesystems                                    what is on disks
//!   reader                                               kernel files through one buffer
//! ```
//!
//! [`Meter`] implements [`seams::stats::Meters`]. It forks nothing, remembers nothing that changes, and reads a file only
//! when what is in it was asked for.

use std::path::Path;

use node::cgroup::CgroupVersion;
use seams::{
    HostError,
    host::FsUsage,
    stats::{Depth, Figure, Filesystem, Meters, Target, TreeReading},
};

use crate::{cgroup::Layout, facts::Roots, files};

mod disk;
mod filesystems;
mod group;
mod io;
mod machine;
mod network;
mod pressure;
mod processes;
mod reader;
mod tree;
mod v1;
mod v2;

pub use tree::{Meter, SystemGroups, own_group};

impl Meters for Meter {
    fn read(&self, depth: Depth) -> Result<TreeReading, HostError> {
        self.pass(depth)
    }

    fn measure(&self, target: &Target) -> Result<Figure, HostError> {
        disk::measure(target)
    }

    fn filesystems(&self) -> Vec<Filesystem> {
        filesystems::read(&mut reader::Reader::default(), self.proc())
    }

    fn processors(&self) -> (u64, u64) {
        self.count_processors()
    }
}

/// Use of the filesystem that holds a path.
///
/// # Errors
/// [`HostError::Path`] of `statvfs`.
pub fn filesystem(path: &Path) -> Result<FsUsage, HostError> {
    let seen = rustix::fs::statvfs(path).map_err(|errno| files::failed("statvfs", path, errno.into()))?;
    // Some filesystems leave the fragment size out.
    let unit = if seen.f_frsize == 0 { seen.f_bsize } else { seen.f_frsize };
    Ok(FsUsage {
        capacity_bytes: seen.f_blocks.saturating_mul(unit),
        available_bytes: seen.f_bavail.saturating_mul(unit),
        used_bytes: seen.f_blocks.saturating_sub(seen.f_bfree).saturating_mul(unit),
        inodes: seen.f_files,
        inodes_free: seen.f_ffree,
    })
}

/// Bytes of memory before the node runs out: capacity without the working set of the root cgroup, which is its usage
/// without inactive page cache (contract §19).
///
/// # Errors
/// [`HostError`] when the files of the root cgroup cannot be read.
pub fn memory_available(layout: &Layout, capacity_bytes: u64) -> Result<u64, HostError> {
    let working_set = match layout.version {
        CgroupVersion::V1 => {
            let mount = layout.mount_of("memory").ok_or_else(|| {
                HostError::Unsupported("the cgroup v1 memory controller is not mounted".to_owned())
            })?;
            let usage = files::read_number(&mount.join("memory.usage_in_bytes"))?;
            let stat_path = mount.join("memory.stat");
            let stat = files::read(&stat_path)?;
            usage.saturating_sub(needed(&stat, "total_inactive_file", &stat_path)?)
        }
        CgroupVersion::V2 => {
            let mount = layout
                .hierarchies
                .first()
                .map(|one| one.mount.as_path())
                .unwrap_or(Path::new("/sys/fs/cgroup"));
            // The root group has no memory.current.
            let stat_path = mount.join("memory.stat");
            let stat = files::read(&stat_path)?;
            let usage = needed(&stat, "anon", &stat_path)? + needed(&stat, "file", &stat_path)?;
            usage.saturating_sub(needed(&stat, "inactive_file", &stat_path)?)
        }
    };
    Ok(capacity_bytes.saturating_sub(working_set))
}

fn needed(text: &str, name: &str, path: &Path) -> Result<u64, HostError> {
    files::field(text, name).ok_or_else(|| files::malformed(path, text))
}

/// (tasks, most that the kernel allows): `pid.available` is the difference. The limit is the smaller of `pid_max` and
/// `threads-max`.
///
/// # Errors
/// [`HostError`] when none of the files can be read.
pub fn processes(roots: &Roots) -> Result<(u64, u64), HostError> {
    let path = roots.proc.join("loadavg");
    let text = files::read(&path)?;
    // 1.36 3.49 4.53 2/3518 3715089: running and all tasks stand in the fourth word.
    let tasks = text.split_whitespace().nth(3).and_then(|word| word.split_once('/')).map(|(_, all)| all);
    let tasks = tasks.and_then(|all| all.parse().ok()).ok_or_else(|| files::malformed(&path, &text))?;
    Ok((tasks, max_processes(roots)?))
}

/// Most processes that the kernel allows.
///
/// # Errors
/// [`HostError`] when neither limit can be read.
pub fn max_processes(roots: &Roots) -> Result<u64, HostError> {
    let kernel = roots.proc.join("sys/kernel");
    match (files::read_number(&kernel.join("pid_max")), files::read_number(&kernel.join("threads-max"))) {
        (Ok(pids), Ok(threads)) => Ok(pids.min(threads)),
        (Ok(one), Err(_)) | (Err(_), Ok(one)) => Ok(one),
        (Err(error), Err(_)) => Err(error),
    }
}

/// Whether the kernel can limit swap per container: v2 by the kubelet's own group, whose root does not tell; v1 by the
/// memory hierarchy.
#[must_use]
pub fn swap_is_controlled(layout: &Layout, roots: &Roots) -> bool {
    match layout.version {
        CgroupVersion::V1 => {
            layout.mount_of("memory").is_some_and(|mount| mount.join("memory.memsw.limit_in_bytes").exists())
        }
        CgroupVersion::V2 => {
            let own = files::read(&roots.proc.join("self/cgroup")).unwrap_or_default();
            let path = own.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or("/");
            let mount = layout.hierarchies.first().map(|one| one.mount.clone()).unwrap_or_default();
            mount.join(path.trim_start_matches('/')).join("memory.swap.max").exists()
        }
    }
}

#[cfg(test)]
mod tests;
