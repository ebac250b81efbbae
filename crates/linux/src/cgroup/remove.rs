//! Emptying and removing groups.
//!
//! ```text
//! kill everything inside ─▶ rmdir from the bottom up ─┬─ gone ─▶ done
//!          ▲                                          └─ busy ─▶ wait, longer each time, about 5 s in all
//!          └─────────────────────────────────────────────────────┘
//! ```
//!
//! A process is killed by a descriptor that was checked to be in the group after it was opened: its number may have
//! been given to another by then.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::{
    io::Errno,
    process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal},
};
use seams::HostError;

use crate::files;

/// Waits between attempts: doubling from the first to the last, so about 5 s in all.
const FIRST_WAIT: Duration = Duration::from_millis(5);
const LAST_WAIT: Duration = Duration::from_millis(640);
const ATTEMPTS: u32 = 15;

/// Removes directories of one group in several hierarchies. Those that do not exist are done.
pub(super) async fn remove_all(directories: &[PathBuf]) -> Result<(), HostError> {
    let mut wait = FIRST_WAIT;
    for attempt in 1..=ATTEMPTS {
        let mut busy = None;
        for directory in directories {
            if let Err(error) = remove_once(directory) {
                busy = Some(error);
            }
        }
        match busy {
            None => return Ok(()),
            Some(error) if attempt == ATTEMPTS => return Err(error),
            Some(_) => {}
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(LAST_WAIT);
    }
    Ok(())
}

fn remove_once(directory: &Path) -> Result<(), HostError> {
    if !directory.exists() {
        return Ok(());
    }
    // The kernel's own way (v2, Linux 5.14) misses no process that forks meanwhile.
    if files::write(&directory.join("cgroup.kill"), "1").is_err() {
        kill_below(directory)?;
    }
    remove_below(directory)
}

fn remove_below(directory: &Path) -> Result<(), HostError> {
    for child in files::directories(directory)? {
        remove_below(&child)?;
    }
    match std::fs::remove_dir(directory) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(files::failed("remove", directory, source))
        }
        _ => Ok(()),
    }
}

fn kill_below(directory: &Path) -> Result<(), HostError> {
    for child in files::directories(directory)? {
        kill_below(&child)?;
    }
    let Some(before) = members(directory)? else { return Ok(()) };
    for pid in before {
        let descriptor = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(descriptor) => descriptor,
            // Gone already.
            Err(Errno::SRCH) => continue,
            Err(errno) => return Err(files::failed("kill the processes of", directory, errno.into())),
        };
        let still = members(directory)?.is_some_and(|now| now.contains(&pid));
        if !still {
            continue;
        }
        match pidfd_send_signal(&descriptor, Signal::KILL) {
            Ok(()) | Err(Errno::SRCH) => {}
            Err(errno) => return Err(files::failed("kill the processes of", directory, errno.into())),
        }
    }
    Ok(())
}

/// Processes of a group without the kubelet itself; `None` when the group is gone. Processes of another pid namespace
/// show as 0 and cannot be killed from here.
fn members(directory: &Path) -> Result<Option<Vec<Pid>>, HostError> {
    let Some(text) = files::read_if_there(&directory.join("cgroup.procs"))? else { return Ok(None) };
    let own = rustix::process::getpid();
    let pids = text.lines().filter_map(|line| Pid::from_raw(line.trim().parse().ok()?));
    Ok(Some(pids.filter(|pid| *pid != own && !pid.is_init()).collect()))
}
