//! Termination messages (contract §9): the last words of a container, from the file that is mounted for them, or from
//! the end of its log.
//!
//! The file belongs to the container, which may have done anything to it: it is opened without following links, must
//! be a plain file, and at most the last 4 KiB are read. Reading happens on the blocking pool, few at a time and with
//! a bound, so that a dead network mount becomes that container's message and nobody else's wait.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use lifecycle::spec::mounts;
use proto::cri::ContainerStatus;
use rustix::fs::{Mode, OFlags};
use tokio::sync::Semaphore;

use crate::{log_tail, render::annotations};

/// Most that one container may say (upstream's `MaxContainerTerminationMessageLength`).
const MESSAGE_LIMIT: u64 = 4 * 1024;
/// Reads at once on the blocking pool.
const READERS: usize = 4;
/// A read that takes longer is given up.
const PATIENCE: Duration = Duration::from_secs(10);
/// A container that could not even be started has no log to fall back to.
const CANNOT_RUN: &str = "ContainerCannotRun";

/// Reads termination messages.
#[derive(Clone, Debug)]
pub(crate) struct MessageReader {
    slots: Arc<Semaphore>,
    /// `podLogsDir`: logs are read beneath it only.
    logs: PathBuf,
}

impl MessageReader {
    pub(crate) fn new(logs: PathBuf) -> Self {
        Self { slots: Arc::new(Semaphore::new(READERS)), logs }
    }

    /// The message of an exited container; empty when it left none. A failure to read becomes the message.
    pub(crate) async fn read(&self, status: &ContainerStatus) -> String {
        let Some(plan) = Plan::of(status) else { return String::new() };
        let slots = Arc::clone(&self.slots);
        let logs = self.logs.clone();
        let read = async {
            let slot = slots.acquire_owned().await;
            tokio::task::spawn_blocking(move || {
                // Held until the read really ends, even when nobody waits any more.
                let _slot = slot;
                plan.run(&logs)
            })
            .await
        };
        match tokio::time::timeout(PATIENCE, read).await {
            Ok(Ok(message)) => message,
            Ok(Err(error)) => format!("Error on reading termination log: {error}"),
            Err(_) => {
                format!("Error on reading termination log: no answer from the disk within {PATIENCE:?}")
            }
        }
    }
}

/// What to read for one container.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Plan {
    file: Option<PathBuf>,
    log: Option<PathBuf>,
}

impl Plan {
    /// `None` when there is nothing to read.
    fn of(status: &ContainerStatus) -> Option<Self> {
        let annotated = annotations::read(&status.annotations);
        // Of several mounts on one path the last one is what the container saw.
        let mount = status.mounts.iter().rev().find(|m| {
            !annotated.termination_path.is_empty()
                && m.container_path == mounts::absolute(&annotated.termination_path)
        });
        let falls_back = annotated.fallback_to_logs && status.exit_code != 0 && status.reason != CANNOT_RUN;
        let plan = Self {
            file: mount.map(|m| PathBuf::from(&m.host_path)),
            log: falls_back.then(|| PathBuf::from(&status.log_path)),
        };
        (plan.file.is_some() || plan.log.is_some()).then_some(plan)
    }

    fn run(&self, logs: &Path) -> String {
        if let Some(path) = &self.file {
            match read_end(path) {
                Ok(message) if !message.is_empty() => return message,
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return format!("Error on reading termination log {}: {error}", path.display());
                }
                _ => {}
            }
        }
        match &self.log {
            Some(path) => log_tail::last_words(logs, path)
                .unwrap_or_else(|error| format!("Error on reading termination message from logs: {error}")),
            None => String::new(),
        }
    }
}

/// The last [`MESSAGE_LIMIT`] bytes of a plain file.
fn read_end(path: &Path) -> io::Result<String> {
    // NONBLOCK: opening a FIFO must not wait for a writer.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let mut file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    file.seek(SeekFrom::Start(metadata.len().saturating_sub(MESSAGE_LIMIT)))?;
    let mut bytes = Vec::new();
    file.take(MESSAGE_LIMIT).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests;
