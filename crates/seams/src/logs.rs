//! The logs of containers: reading them, and the files that rotation moves.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use lifecycle::ContainerId;
use tokio::sync::mpsc;

/// Which lines are wanted, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogOptions {
    /// Go on until the container has ended and its last line was sent, over rotations.
    pub follow: bool,
    /// Only lines written at or after this instant.
    pub since: Option<Timestamp>,
    /// Put the runtime's timestamp and a blank before each line.
    pub timestamps: bool,
    /// Only that many of the last lines.
    pub tail_lines: Option<u64>,
    /// Stop after that many bytes, in the middle of a line if need be.
    pub limit_bytes: Option<u64>,
    /// Only lines of this stream.
    pub stream: LogStream,
}

/// Which of a container's streams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogStream {
    /// Both, as they were written.
    #[default]
    All,
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// Where a container's log is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSource {
    /// The newest file: `<podLogsDir>/<ns>_<name>_<uid>/<container>/<attempt>.log`.
    pub path: PathBuf,
    /// The container; following ends when it runs no more.
    pub container: ContainerId,
}

/// Why a log cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The file cannot be opened or read.
    #[error("failed to read the log file {}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Cause.
        #[source]
        source: std::io::Error,
    },
    /// The runtime cannot tell whether the container runs.
    #[error("failed to ask the runtime about container {container}")]
    Runtime {
        /// Which.
        container: ContainerId,
        /// Cause.
        #[source]
        source: crate::RuntimeError,
    },
}

/// Reads logs that the runtime writes.
#[async_trait]
pub trait ContainerLogs: Send + Sync + 'static {
    /// Opens a log and sends what is wanted of it, in pieces of whole lines where possible. Dropping the receiver ends the
    /// reading; a slow receiver holds it back.
    ///
    /// # Errors
    /// [`LogError`] when the log cannot be opened. What fails later is the last item.
    async fn read(
        &self,
        source: LogSource,
        options: LogOptions,
    ) -> Result<mpsc::Receiver<Result<Bytes, LogError>>, LogError>;
}

/// A failed operation on the files of a log.
#[derive(Debug, thiserror::Error)]
#[error("failed to {operation} {}", path.display())]
pub struct LogFileError {
    /// What was tried, as a verb: `compress`, `rename`.
    pub operation: &'static str,
    /// On what.
    pub path: PathBuf,
    /// System's answer.
    #[source]
    pub source: std::io::Error,
}

/// What became of a name that was to be given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GivenBack {
    /// The log has its name again.
    Undone,
    /// There is a new log of that name: the runtime has reopened it after all.
    Reopened,
}

/// The files of logs, for rotation: those in the directory of a log whose names begin with the log's and a dot. Each
/// operation blocks on the disk only, never on a worker of the async runtime, and ends even if its caller does not wait.
#[async_trait]
pub trait LogFiles: Send + Sync + 'static {
    /// Bytes in each of some logs, in their order; `None` for one that is not there.
    async fn sizes(&self, logs: Vec<PathBuf>) -> Vec<Result<Option<u64>, LogFileError>>;
    /// Names of everything in the directory of a log.
    ///
    /// # Errors
    /// [`LogFileError`].
    async fn names(&self, log: &Path) -> Result<Vec<String>, LogFileError>;
    /// Removes a rotated file; fine if it is gone.
    ///
    /// # Errors
    /// [`LogFileError`].
    async fn delete(&self, log: &Path, name: &str) -> Result<(), LogFileError>;
    /// Renames a log; what has the new name already is not touched.
    ///
    /// # Errors
    /// [`LogFileError`]; the name being taken is one.
    async fn rename(&self, log: &Path, to: &str) -> Result<(), LogFileError>;
    /// Takes a rename back, unless there is a new log by now.
    ///
    /// # Errors
    /// [`LogFileError`].
    async fn give_back(&self, log: &Path, from: &str) -> Result<GivenBack, LogFileError>;
    /// Puts a compressed file, of the same mode, in the place of a rotated one. The name with `.gz` appears at once and
    /// whole, and before the other goes.
    ///
    /// # Errors
    /// [`LogFileError`]; nothing is lost.
    async fn compress(&self, log: &Path, name: &str) -> Result<(), LogFileError>;
}
