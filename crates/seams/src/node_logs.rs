//! The machine's own log files, as `/logs/` shows them.

use std::{fs::File, io, path::Path};

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use tokio::sync::mpsc;

/// Something below the log directory.
#[derive(Debug)]
pub enum NodeLog {
    /// A file, open, and its size in bytes when it was opened.
    File(File, u64),
    /// A directory: its entries' names in order, those of directories with a slash behind.
    Directory(Vec<String>),
}

/// Which lines of which services are wanted. Names are letters, digits and `-_.:@` only, and at most a handful.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceQuery {
    /// Services: units of the journal without `.service`, or names of files.
    pub services: Vec<String>,
    /// Of the journal, only from this instant.
    pub since: Option<Timestamp>,
    /// Of the journal, only to this instant.
    pub until: Option<Timestamp>,
    /// Of the journal, only so many of the last lines.
    pub tail_lines: Option<u32>,
    /// Of the journal, only lines that match.
    pub pattern: Option<String>,
    /// Of the journal, boot: 0 is this one, -1 the one before.
    pub boot: Option<i32>,
}

/// Reads below the log directory. Links are not followed, so that whoever may write a log cannot show another file.
#[async_trait]
pub trait NodeLogs: Send + Sync + 'static {
    /// Opens a path below the directory; the empty path is the directory itself.
    ///
    /// # Errors
    /// `NotFound`, or what else stands in the way; a path that leaves the directory is `PermissionDenied`.
    async fn open(&self, path: &Path) -> io::Result<NodeLog>;
    /// Lines of services: from the journal where it knows them, otherwise from `NAME`, `NAME.log` or `NAME/NAME.log`
    /// below the directory. Failures are told among the lines. It ends after half a minute, complete or not.
    fn services(&self, query: ServiceQuery) -> mpsc::Receiver<Bytes>;
}
