//! Groups in cgroup v1 hierarchies.
//!
//! A new cpuset group has no cpus and no memory nodes, and processes cannot enter it: they are copied from the parent,
//! from the top down.

use std::{io, path::Path};

use node::cgroup::CgroupValues;
use seams::HostError;

use super::{Hierarchy, Layout, Written, join};
use crate::files;

/// Makes a group in one hierarchy, with its parents.
pub(super) fn make(hierarchy: &Hierarchy, path: &str) -> Result<(), HostError> {
    let cpuset = hierarchy.controllers.iter().any(|name| name == "cpuset");
    let mut here = hierarchy.mount.clone();
    for part in path.split('/').filter(|part| !part.is_empty()) {
        let parent = here.clone();
        here.push(part);
        make_one(&here)?;
        if cpuset {
            inherit(&parent, &here, "cpuset.cpus")?;
            inherit(&parent, &here, "cpuset.mems")?;
        }
    }
    Ok(())
}

/// Makes a directory if there is none.
pub(super) fn make_one(path: &Path) -> Result<(), HostError> {
    match std::fs::create_dir(path) {
        Err(source) if source.kind() != io::ErrorKind::AlreadyExists => {
            Err(files::failed("create", path, source))
        }
        _ => Ok(()),
    }
}

fn inherit(parent: &Path, child: &Path, file: &str) -> Result<(), HostError> {
    if !files::read(&child.join(file))?.is_empty() {
        return Ok(());
    }
    let value = files::read(&parent.join(file))?;
    if value.is_empty() { Ok(()) } else { files::write(&child.join(file), &value) }
}

/// Writes values where their controllers are, each of them though another is refused; returns the first refusal. A
/// controller that is not mounted has nothing to limit with: upstream passes over it too.
pub(super) fn apply(layout: &Layout, path: &str, values: &CgroupValues) -> Result<(), HostError> {
    let mut written = Written::default();
    let group = |controller: &str| layout.mount_of(controller).map(|mount| join(mount, path));
    if let Some(cpu) = group("cpu") {
        if let Some(shares) = values.cpu_shares {
            written.and(files::write(&cpu.join("cpu.shares"), &shares.to_string()));
        }
        if let Some((quota, period)) = values.cpu_quota {
            written.and(write_quota(&cpu, quota, period));
        }
    }
    if let (Some(memory), Some(limit)) = (group("memory"), values.memory_limit.filter(|limit| *limit != 0)) {
        written.and(
            files::write(&memory.join("memory.limit_in_bytes"), &limit.to_string())
                .map_err(|error| explain_memory(error, &memory.join("memory.usage_in_bytes"))),
        );
    }
    if let (Some(pids), Some(limit)) = (group("pids"), values.pids_limit) {
        written.and(files::write(&pids.join("pids.max"), &super::v2::limit_or_max(limit)));
    }
    if let Some(hugetlb) = group("hugetlb") {
        for (size, limit) in &values.hugepage_limits {
            let file = |kind: &str| hugetlb.join(format!("hugetlb.{size}.{kind}limit_in_bytes"));
            written.and(files::write(&file(""), &limit.to_string()));
            written.and(write_if_there(&file("rsvd."), &limit.to_string()));
        }
    }
    written.end()
}

/// Period and quota are two files, and each write has to leave a pair that the kernel accepts inside the parent's: if
/// the period is refused with the old quota, it is written again after the new one.
fn write_quota(cpu: &Path, quota: i64, period: u64) -> Result<(), HostError> {
    let period_file = cpu.join("cpu.cfs_period_us");
    let quota_file = cpu.join("cpu.cfs_quota_us");
    // 0 means no limit in CRI's terms; the kernel says -1.
    let quota = if quota == 0 { "-1".to_owned() } else { quota.to_string() };
    let first = files::write(&period_file, &period.to_string());
    files::write(&quota_file, &quota)?;
    match first {
        Ok(()) => Ok(()),
        Err(_) => files::write(&period_file, &period.to_string()),
    }
}

/// Writes a file that not every kernel has.
pub(super) fn write_if_there(path: &Path, value: &str) -> Result<(), HostError> {
    match files::write(path, value) {
        Err(HostError::Path { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// `EBUSY`: the group uses more than the new limit, and the kernel could not reclaim enough.
pub(super) fn explain_memory(error: HostError, usage: &Path) -> HostError {
    match error {
        HostError::Path { operation, path, source } if source.kind() == io::ErrorKind::ResourceBusy => {
            let used = files::read(usage).unwrap_or_else(|_| "unknown".to_owned());
            let text =
                format!("the group uses {used} bytes, more than the new limit, and they cannot be reclaimed");
            HostError::Path { operation, path, source: io::Error::new(io::ErrorKind::ResourceBusy, text) }
        }
        other => other,
    }
}
