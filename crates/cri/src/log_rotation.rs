//! What rotation does to the files of logs: [`seams::LogFiles`] beneath the log directory.
//!
//! Invariants:
//! - the directory of a log is opened beneath the log directory without following links, once an operation, and what is
//!   in it by name, without following links;
//! - nothing is touched but the log and what is called `<log>.…`;
//! - what appears under a name is whole, and nothing goes before what takes its place is there.

use std::{
    fs::File,
    io::{self, Write},
    os::{
        fd::OwnedFd,
        unix::fs::{MetadataExt, PermissionsExt},
    },
    path::{Path, PathBuf},
};

use async_trait::async_trait;
use flate2::{Compression, write::GzEncoder};
use node::log_rotation::{belongs, compressed_name, temporary_name};
use rustix::{
    fs::{AtFlags, FileType, Mode, OFlags, RenameFlags},
    io::Errno,
};
use seams::{
    LogFiles,
    logs::{GivenBack, LogFileError},
};

use crate::{
    container_logs::generations::{list, open_in},
    log_files::beneath,
    runtime::CriRuntime,
};

/// The directory of one log, open.
struct Place<'l> {
    dir: OwnedFd,
    log: &'l str,
}

impl<'l> Place<'l> {
    fn open(root: &Path, log: &'l Path) -> io::Result<Self> {
        let invalid = || io::Error::new(io::ErrorKind::InvalidInput, "this is no path of a log file");
        let name = log.file_name().and_then(|name| name.to_str()).ok_or_else(invalid)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self { dir: beneath(root, log.parent().ok_or_else(invalid)?, flags)?, log: name })
    }

    /// Refuses names that are not of this log, and paths.
    fn own<'n>(&self, name: &'n str) -> io::Result<&'n str> {
        if belongs(self.log, name) && !name.contains('/') {
            Ok(name)
        } else {
            Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{name} is not of the log {}", self.log)))
        }
    }

    fn size(&self) -> io::Result<Option<u64>> {
        match rustix::fs::statat(&self.dir, self.log, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(errno.into()),
            Ok(found) if FileType::from_raw_mode(found.st_mode) == FileType::RegularFile => {
                Ok(Some(u64::try_from(found.st_size).unwrap_or(0)))
            }
            Ok(_) => Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file")),
        }
    }

    fn delete(&self, name: &str) -> io::Result<()> {
        match rustix::fs::unlinkat(&self.dir, self.own(name)?, AtFlags::empty()) {
            Err(Errno::NOENT) => Ok(()),
            done => Ok(done?),
        }
    }

    /// Renames unless the new name is taken.
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        match rustix::fs::renameat_with(&self.dir, from, &self.dir, to, RenameFlags::NOREPLACE) {
            // A file system that cannot do both at once.
            Err(Errno::INVAL | Errno::NOSYS) => {
                match rustix::fs::statat(&self.dir, to, AtFlags::SYMLINK_NOFOLLOW) {
                    Ok(_) => Err(Errno::EXIST.into()),
                    Err(Errno::NOENT) => Ok(rustix::fs::renameat(&self.dir, from, &self.dir, to)?),
                    Err(errno) => Err(errno.into()),
                }
            }
            done => Ok(done?),
        }
    }

    fn give_back(&self, from: &str) -> io::Result<GivenBack> {
        match self.rename(self.own(from)?, self.log) {
            Ok(()) => Ok(GivenBack::Undone),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(GivenBack::Reopened),
            Err(error) => Err(error),
        }
    }

    fn compress(&self, name: &str) -> io::Result<()> {
        let mut plain = open_in(&self.dir, self.own(name)?)?;
        let temporary = temporary_name(name);
        let written = self.write_compressed(&mut plain, &temporary);
        let written = written.and_then(|()| {
            Ok(rustix::fs::renameat(&self.dir, &temporary, &self.dir, compressed_name(name))?)
        });
        if let Err(error) = written {
            // If that fails too, the next plan has it removed.
            let _ = self.delete(&temporary);
            return Err(error);
        }
        self.delete(name)
    }

    fn write_compressed(&self, plain: &mut File, temporary: &str) -> io::Result<()> {
        // Left by somebody who was killed: nobody else writes here.
        self.delete(temporary)?;
        let metadata = plain.metadata()?;
        let mode = Mode::from_raw_mode(metadata.mode() & 0o7777);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::openat(&self.dir, temporary, flags, mode)?);
        // openat(2) lets the umask take bits away.
        file.set_permissions(PermissionsExt::from_mode(mode.as_raw_mode()))?;
        let mut encoder = GzEncoder::new(file, Compression::default());
        io::copy(plain, &mut encoder)?;
        let mut file = encoder.finish()?;
        file.flush()?;
        // When its last line was written, as before.
        file.set_modified(metadata.modified()?)?;
        // On the disk before it takes the place of the plain one, which goes: a power failure loses no lines.
        file.sync_all()
    }
}

/// Does something in the directory of a log, on the blocking pool.
async fn on_files<T: Send + 'static>(
    runtime: &CriRuntime,
    operation: &'static str,
    log: &Path,
    work: impl FnOnce(&Place<'_>) -> io::Result<T> + Send + 'static,
) -> Result<T, LogFileError> {
    let (root, path) = (runtime.log_root().to_owned(), log.to_owned());
    let done = tokio::task::spawn_blocking(move || work(&Place::open(&root, &path)?)).await;
    let done = done.map_err(io::Error::other).and_then(|done| done);
    done.map_err(|source| LogFileError { operation, path: log.to_owned(), source })
}

#[async_trait]
impl LogFiles for CriRuntime {
    async fn sizes(&self, logs: Vec<PathBuf>) -> Vec<Result<Option<u64>, LogFileError>> {
        let (root, paths) = (self.log_root().to_owned(), logs.clone());
        let looked = tokio::task::spawn_blocking(move || {
            let size = |log: &PathBuf| match Place::open(&root, log) {
                // The directory went with its pod.
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                place => place?.size(),
            };
            paths.iter().map(size).collect::<Vec<_>>()
        });
        let failed = |path: PathBuf, source| LogFileError { operation: "look at", path, source };
        match looked.await {
            Ok(sizes) => {
                logs.into_iter().zip(sizes).map(|(log, size)| size.map_err(|e| failed(log, e))).collect()
            }
            Err(cause) => {
                let cause = cause.to_string();
                logs.into_iter().map(|log| Err(failed(log, io::Error::other(cause.clone())))).collect()
            }
        }
    }

    async fn names(&self, log: &Path) -> Result<Vec<String>, LogFileError> {
        on_files(self, "list what was rotated from", log, |place| list(&place.dir)).await
    }

    async fn delete(&self, log: &Path, name: &str) -> Result<(), LogFileError> {
        let name = name.to_owned();
        on_files(self, "remove an old file of", log, move |place| place.delete(&name)).await
    }

    async fn rename(&self, log: &Path, to: &str) -> Result<(), LogFileError> {
        let to = to.to_owned();
        on_files(self, "rename", log, move |place| place.rename(place.log, place.own(&to)?)).await
    }

    async fn give_back(&self, log: &Path, from: &str) -> Result<GivenBack, LogFileError> {
        let from = from.to_owned();
        on_files(self, "give its name back to", log, move |place| place.give_back(&from)).await
    }

    async fn compress(&self, log: &Path, name: &str) -> Result<(), LogFileError> {
        let name = name.to_owned();
        on_files(self, "compress an old file of", log, move |place| place.compress(&name)).await
    }
}

#[cfg(test)]
mod tests;
