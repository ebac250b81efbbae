//! One piece of work on one log.

use std::{
    error::Error,
    path::{Path, PathBuf},
    sync::Arc,
};

use jiff::civil::DateTime;
use lifecycle::ContainerId;
use node::log_rotation::{LogPolicy, LogStep, plan};
use seams::{
    LogFiles, Runtime, RuntimeError,
    logs::{GivenBack, LogFileError},
};
use tokio::sync::Semaphore;

/// What is to be done.
#[derive(Debug)]
pub(super) enum Work {
    /// Ask the runtime where the log is.
    FindPath,
    /// The log is not there: have it made.
    Reopen { path: PathBuf },
    /// The log is due, or its directory was not put in order yet.
    Rotate { path: PathBuf, size: u64 },
}

/// What came of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Path(PathBuf),
    Rotated,
    /// Only put in order.
    Tidied,
    Reopened,
    /// It failed, and may succeed later.
    Later,
    /// The container does not run, or writes no log.
    Forget,
}

/// What work needs.
pub(super) struct Tools {
    pub(super) policy: LogPolicy,
    /// Local time.
    pub(super) now: DateTime,
    pub(super) files: Arc<dyn LogFiles>,
    pub(super) runtime: Arc<dyn Runtime>,
    /// Compressions at once.
    pub(super) workers: Arc<Semaphore>,
    /// Paths asked for at once.
    pub(super) questions: Arc<Semaphore>,
}

/// Why a rotation stopped; what it did by then is found by the next look.
#[derive(Debug, thiserror::Error)]
enum RotateError {
    /// The disk.
    #[error("the files of the log cannot be moved")]
    Files(#[source] LogFileError),
    /// The runtime, when it was to go on in a new file; the rename was taken back.
    #[error("the container runtime does not reopen the log")]
    Reopen(#[source] RuntimeError),
    /// As before, and the rename stays: the next look finds no log, and has the runtime make one.
    #[error("the container runtime does not reopen the log, and it does not get its name back: {back}")]
    Stranded {
        /// Why it does not.
        back: LogFileError,
        /// The runtime's answer.
        #[source]
        reopen: RuntimeError,
    },
}

/// Does it.
pub(super) async fn run(work: Work, id: &ContainerId, tools: Tools) -> Outcome {
    match work {
        Work::FindPath => {
            let _turn = tools.questions.acquire().await;
            match tools.runtime.log_path(id).await {
                Ok(Some(path)) => Outcome::Path(path),
                Ok(None) => Outcome::Forget,
                Err(error) => {
                    tracing::debug!(container = %id, %error, "Cannot learn where the log of a container is");
                    after(&error)
                }
            }
        }
        Work::Reopen { path } => match tools.runtime.reopen_log(id).await {
            Ok(()) => {
                tracing::info!(container = %id, log = %path.display(), "The log of a container was missing; it has a new one");
                Outcome::Reopened
            }
            Err(error) => {
                tracing::debug!(container = %id, log = %path.display(), %error, "The log of a container is missing, and the runtime makes no new one");
                after(&error)
            }
        },
        Work::Rotate { path, size } => match rotate(&path, size, id, &tools).await {
            Ok(outcome) => outcome,
            Err(cause) => {
                let error: &(dyn Error + 'static) = &cause;
                tracing::warn!(container = %id, log = %path.display(), size, error, "Cannot rotate the log of a container");
                match &cause {
                    RotateError::Reopen(error) => after(error),
                    RotateError::Files(_) | RotateError::Stranded { .. } => Outcome::Later,
                }
            }
        },
    }
}

/// A runtime that is away says nothing about the container; one that refuses does not run it.
fn after(error: &RuntimeError) -> Outcome {
    if error.obstacle().is_some() { Outcome::Later } else { Outcome::Forget }
}

async fn rotate(path: &Path, size: u64, id: &ContainerId, tools: &Tools) -> Result<Outcome, RotateError> {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return Ok(Outcome::Forget) };
    let names = tools.files.names(path).await.map_err(RotateError::Files)?;
    let mut outcome = Outcome::Tidied;
    for step in plan(tools.policy, name, size, &names, tools.now) {
        match step {
            LogStep::Delete(name) => tools.files.delete(path, &name).await.map_err(RotateError::Files)?,
            LogStep::Rotate(to) => {
                tools.files.rename(path, &to).await.map_err(RotateError::Files)?;
                reopen(path, &to, id, tools).await?;
                tracing::debug!(container = %id, to, size, "Rotated the log of a container");
                outcome = Outcome::Rotated;
            }
            LogStep::Compress(name) => {
                let _turn = tools.workers.acquire().await;
                tools.files.compress(path, &name).await.map_err(RotateError::Files)?;
            }
        }
    }
    Ok(outcome)
}

/// Has the runtime go on in a new file; when it does not, the old one gets its name back, so that nothing is written
/// where nobody looks.
async fn reopen(path: &Path, renamed: &str, id: &ContainerId, tools: &Tools) -> Result<(), RotateError> {
    let Err(reopen) = tools.runtime.reopen_log(id).await else { return Ok(()) };
    match tools.files.give_back(path, renamed).await {
        Ok(GivenBack::Undone) => Err(RotateError::Reopen(reopen)),
        // The answer was lost, and the deed was done.
        Ok(GivenBack::Reopened) => Ok(()),
        Err(back) => Err(RotateError::Stranded { back, reopen }),
    }
}
