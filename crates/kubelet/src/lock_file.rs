//! `--lock-file` and `--exit-on-lock-contention`: one kubelet at a time, and a way for the next one to take over.
//!
//! The lock is an advisory `flock`, held as long as [`LockFile`] lives. With contention watching, another process that
//! opens the file makes us end; then it gets the lock.

use std::{
    fs::{File, OpenOptions},
    io,
    path::{Path, PathBuf},
};

use futures::StreamExt as _;
use inotify::{EventStream, Inotify, WatchMask};
use rustix::fs::{FlockOperation, flock};

/// Why the lock is not held.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Opening or locking.
    #[error("unable to acquire file lock on {path:?}")]
    Acquire {
        /// The file.
        path: PathBuf,
        /// Cause.
        source: io::Error,
    },
    /// Watching for others.
    #[error("unable to watch the lock file {path:?}")]
    Watch {
        /// The file.
        path: PathBuf,
        /// Cause.
        source: io::Error,
    },
}

/// A held lock.
#[derive(Debug)]
pub struct LockFile {
    path: PathBuf,
    _file: File,
}

impl LockFile {
    /// Makes the file and waits until the lock is free. Blocks: call before the runtime has work to do.
    ///
    /// # Errors
    /// [`LockError::Acquire`].
    pub fn acquire(path: &Path) -> Result<Self, LockError> {
        use std::os::unix::fs::OpenOptionsExt as _;
        let failed = |source| LockError::Acquire { path: path.to_owned(), source };
        let mut options = OpenOptions::new();
        let file = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(failed)?;
        flock(&file, FlockOperation::LockExclusive).map_err(|error| failed(error.into()))?;
        Ok(Self { path: path.to_owned(), _file: file })
    }

    /// Watches, from this call on, for another process that opens or deletes the file.
    ///
    /// # Errors
    /// [`LockError::Watch`].
    pub fn watch(&self) -> Result<Contention, LockError> {
        let failed = |source: io::Error| LockError::Watch { path: self.path.clone(), source };
        let watch = Inotify::init().map_err(failed)?;
        watch.watches().add(&self.path, WatchMask::OPEN | WatchMask::DELETE_SELF).map_err(failed)?;
        let events = watch.into_event_stream([0; EVENT_BYTES]).map_err(failed)?;
        Ok(Contention { path: self.path.clone(), events })
    }
}

/// Room for one event with the longest name.
const EVENT_BYTES: usize = 512;

/// A watch for others that want the lock.
pub struct Contention {
    path: PathBuf,
    events: EventStream<[u8; EVENT_BYTES]>,
}

impl Contention {
    /// Ends at the first of them: any opener wants the lock.
    ///
    /// # Errors
    /// [`LockError::Watch`].
    pub async fn noticed(&mut self) -> Result<(), LockError> {
        match self.events.next().await {
            Some(Err(source)) => Err(LockError::Watch { path: self.path.clone(), source }),
            Some(Ok(_)) | None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn an_opener_is_noticed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lock");
        let lock = LockFile::acquire(&path).unwrap();
        let mut watch = lock.watch().unwrap();
        let contention = watch.noticed();
        tokio::pin!(contention);
        assert!(futures::poll!(contention.as_mut()).is_pending());
        let _other = File::open(&path).unwrap();
        tokio::time::timeout(Duration::from_secs(10), contention).await.unwrap().unwrap();
    }

    #[test]
    fn the_lock_is_exclusive_and_ends_with_its_holder() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lock");
        let held = LockFile::acquire(&path).unwrap();
        let other = File::open(&path).unwrap();
        assert!(flock(&other, FlockOperation::NonBlockingLockExclusive).is_err());
        drop(held);
        flock(&other, FlockOperation::NonBlockingLockExclusive).unwrap();
    }

    #[test]
    fn a_bad_path_is_named() {
        let error = LockFile::acquire(Path::new("/nonexistent/lock")).unwrap_err();
        assert_eq!(error.to_string(), "unable to acquire file lock on \"/nonexistent/lock\"");
    }
}
