//! The machine's own log files, as `/logs/` shows them.

use std::{fs::File, io, path::Path};

use async_trait::async_trait;

/// Something below the log directory.
#[derive(Debug)]
pub enum NodeLog {
    /// A file, open, and its size in bytes when it was opened.
    File(File, u64),
    /// A directory: its entries' names in order, those of directories with a slash behind.
    Directory(Vec<String>),
}

/// Reads below the log directory. Links are not followed, so that whoever may write a log cannot show another file.
#[async_trait]
pub trait NodeLogs: Send + Sync + 'static {
    /// Opens a path below the directory; the empty path is the directory itself.
    ///
    /// # Errors
    /// `NotFound`, or what else stands in the way; a path that leaves the directory is `PermissionDenied`.
    async fn open(&self, path: &Path) -> io::Result<NodeLog>;
}
