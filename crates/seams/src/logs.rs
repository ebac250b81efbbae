//! Reading the logs of containers.

use std::path::PathBuf;

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
