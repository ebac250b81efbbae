//! [`seams::NodeLogs`]: `/var/log`, read beneath its descriptor.

use std::{
    fs::File,
    io,
    os::fd::AsFd as _,
    path::{Path, PathBuf},
};

use async_trait::async_trait;
use bytes::Bytes;
use rustix::fs::{Dir, FileType};
use seams::{
    NodeLogs,
    node_logs::{NodeLog, ServiceQuery},
};
use tokio::sync::mpsc;

use crate::safe_path::{SafePathError, SafeRoot};

mod services;

/// Entries of one directory that are shown.
const MOST_ENTRIES: usize = 10_000;

/// A directory of logs.
#[derive(Clone, Debug)]
pub struct LogDirectory {
    path: PathBuf,
}

impl LogDirectory {
    /// Opened anew for each request: it may be mounted over.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }
}

#[async_trait]
impl NodeLogs for LogDirectory {
    async fn open(&self, path: &Path) -> io::Result<NodeLog> {
        let (root, path) = (self.path.clone(), path.to_owned());
        tokio::task::spawn_blocking(move || open(&root, &path)).await.map_err(io::Error::other)?
    }

    fn services(&self, query: ServiceQuery) -> mpsc::Receiver<Bytes> {
        services::read(self.clone(), "journalctl", query)
    }
}

fn open(root: &Path, path: &Path) -> io::Result<NodeLog> {
    let root = SafeRoot::open(root).map_err(as_io)?;
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    match root.open_dir(path) {
        Ok(dir) => entries(&Dir::read_from(dir.as_fd())?.collect::<Result<Vec<_>, _>>()?),
        Err(SafePathError::Open { cause, .. }) if cause.kind() == io::ErrorKind::NotADirectory => {
            let file: File = root.open_file(path).map_err(as_io)?;
            let size = file.metadata()?.len();
            Ok(NodeLog::File(file, size))
        }
        Err(error) => Err(as_io(error)),
    }
}

fn entries(entries: &[rustix::fs::DirEntry]) -> io::Result<NodeLog> {
    let mut names: Vec<String> = entries
        .iter()
        .take(MOST_ENTRIES)
        .map(|entry| (entry.file_name().to_string_lossy().into_owned(), entry.file_type()))
        .filter(|(name, _)| name != "." && name != "..")
        .map(|(name, kind)| if kind == FileType::Directory { name + "/" } else { name })
        .collect();
    names.sort();
    Ok(NodeLog::Directory(names))
}

fn as_io(error: SafePathError) -> io::Error {
    let kind = match &error {
        SafePathError::Root { cause, .. } | SafePathError::Open { cause, .. } => cause.kind(),
        SafePathError::NotBelow { .. } | SafePathError::Escapes { .. } => io::ErrorKind::PermissionDenied,
        _ => io::ErrorKind::Other,
    };
    io::Error::new(kind, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn files_and_directories_below_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("secret"), "secret").unwrap();
        std::fs::create_dir(dir.path().join("pods")).unwrap();
        std::fs::write(dir.path().join("pods/0.log"), "line\n").unwrap();
        std::os::unix::fs::symlink(outside.path(), dir.path().join("link")).unwrap();
        std::os::unix::fs::symlink(outside.path().join("secret"), dir.path().join("file")).unwrap();
        let logs = LogDirectory::new(dir.path().to_owned());
        let open = async |path: &str| logs.open(Path::new(path)).await;
        let NodeLog::Directory(names) = open("").await.unwrap() else { panic!("no directory") };
        assert_eq!(names, ["file", "link", "pods/"]);
        let NodeLog::File(_, size) = open("pods/0.log").await.unwrap() else { panic!("no file") };
        assert_eq!(size, 5);
        assert_eq!(open("pods/1.log").await.unwrap_err().kind(), io::ErrorKind::NotFound);
        for bad in ["link", "link/secret", "file", "../x", "/etc/passwd", "pods/../../x"] {
            assert!(open(bad).await.is_err(), "{bad}");
        }
    }
}
