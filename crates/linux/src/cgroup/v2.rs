//! Groups in the unified hierarchy.
//!
//! A controller is there in a group only when the parent hands it down (`cgroup.subtree_control`), all the way from
//! the top. A group that hands controllers down cannot hold processes itself, so a pod's group is left to the runtime:
//! most put containers in groups of their own there, some put a sandbox process into it.

use std::{io, path::Path};

use node::cgroup::{CgroupValues, weight};
use seams::HostError;

use super::{
    Written,
    v1::{explain_memory, make_one, write_if_there},
};
use crate::files;

/// Controllers that are handed down as far as the machine has them (contract §18). `io` is for the runtime.
const CONTROLLERS: [&str; 6] = ["cpu", "cpuset", "io", "memory", "hugetlb", "pids"];

/// Makes a group with its parents, and hands the controllers down to it.
pub(super) fn make(mount: &Path, path: &str) -> Result<(), HostError> {
    let mut here = mount.to_path_buf();
    for part in path.split('/').filter(|part| !part.is_empty()) {
        hand_down(&here)?;
        here.push(part);
        make_one(&here)?;
    }
    Ok(())
}

/// Each controller by itself, so that one that cannot be handed down does not hold the others back; it fails later,
/// where its value is written.
fn hand_down(group: &Path) -> Result<(), HostError> {
    let available = files::read(&group.join("cgroup.controllers"))?;
    let control = group.join("cgroup.subtree_control");
    let handed = files::read(&control)?;
    let has = |list: &str, name: &str| list.split_whitespace().any(|word| word == name);
    for name in CONTROLLERS.into_iter().filter(|name| has(&available, name) && !has(&handed, name)) {
        if let Err(error) = files::write(&control, &format!("+{name}")) {
            let hint = match &error {
                HostError::Path { source, .. } if source.kind() == io::ErrorKind::ResourceBusy => {
                    "; hint: processes live in that group itself: move them into a group of their own"
                }
                _ => "",
            };
            tracing::warn!("Cannot hand the cgroup controller {name} down: {error}{hint}");
        }
    }
    Ok(())
}

/// Writes values, each of them though another is refused; returns the first refusal. A missing file is a controller that the
/// machine does not have, or that could not be handed down.
pub(super) fn apply(group: &Path, values: &CgroupValues) -> Result<(), HostError> {
    let mut written = Written::default();
    if let Some(shares) = values.cpu_shares {
        written.and(files::write(&group.join("cpu.weight"), &weight(shares).to_string()));
    }
    if let Some((quota, period)) = values.cpu_quota {
        let file = group.join("cpu.max");
        // Where there are no quotas, none is what is wanted.
        written.and(match quota {
            ..=0 => write_if_there(&file, &format!("max {period}")),
            _ => files::write(&file, &format!("{quota} {period}")),
        });
    }
    if let Some(limit) = values.memory_limit.filter(|limit| *limit != 0) {
        written.and(
            files::write(&group.join("memory.max"), &limit_or_max(limit))
                .map_err(|error| explain_memory(error, &group.join("memory.current"))),
        );
    }
    for (file, bytes) in [("memory.min", values.memory_min), ("memory.low", values.memory_low)] {
        if let Some(bytes) = bytes {
            written.and(write_if_there(&group.join(file), &bytes.to_string()));
        }
    }
    if let Some(limit) = values.pids_limit {
        written.and(files::write(&group.join("pids.max"), &limit_or_max(limit)));
    }
    for (size, limit) in &values.hugepage_limits {
        written.and(write_if_there(&group.join(format!("hugetlb.{size}.max")), &limit.to_string()));
        written.and(write_if_there(&group.join(format!("hugetlb.{size}.rsvd.max")), &limit.to_string()));
    }
    written.end()
}

/// `max` for a negative limit.
pub(super) fn limit_or_max(limit: i64) -> String {
    if limit < 0 { "max".to_owned() } else { limit.to_string() }
}
