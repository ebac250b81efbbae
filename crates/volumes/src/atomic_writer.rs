//! Puts a set of files into a volume so that a reader sees the old set or the new one, never a mixture.
//!
//! ```text
//!   <volume>/..2026_01_02_03_04_05.123456/…     the files            (1) written, modes and owners set
//!   <volume>/..data_tmp -> ..2026_…             the next set         (2) linked
//!   <volume>/..data     -> ..2026_…             the current set      (3) renamed over: the swap
//!   <volume>/name       -> ..data/name          what users see       (4) added, (5) stale ones removed
//!   older ..2025_… directories                                       (6) removed
//! ```
//!
//! The layout is upstream's. There is no undo: a write that stopped at any point is finished, or swept up, by the
//! next one, which looks at the disk only. Files that are as wanted already are not written again; modes alone do not
//! count, as upstream.
//!
//! Invariants: `..data` is absent or leads to a complete set; nothing outside the volume is opened or removed,
//! whatever the links in it say.

use std::{
    collections::BTreeSet,
    ffi::{OsStr, OsString},
    fs::File,
    io::{self, Read, Write},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use linux::safe_path::{SafePathError, SafeRoot};
use rustix::{
    fs::{
        AtFlags, Dir, FileType, Gid, Mode, Uid, chownat, fchmod, fchown, mkdirat, readlinkat, renameat,
        statat, symlinkat,
    },
    io::Errno,
};

use crate::payload::Payload;

const CURRENT: &str = "..data";
const NEXT: &str = "..data_tmp";
/// Directories of the writer: group and others may enter.
const DIRECTORY_MODE: u32 = 0o755;

/// A step that failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WriteError {
    /// A file or directory beneath the volume.
    #[error("{0}")]
    Path(SafePathError),
    /// Anything else on the disk.
    #[error("{operation} {path}: {cause}")]
    Disk {
        /// As a verb.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// System's answer.
        cause: io::Error,
    },
    /// What the caller does before a set is published.
    #[error("{0}")]
    Publish(String),
}

/// Points between which a write may be stopped, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    /// Leftovers of an interrupted write are gone.
    Swept,
    /// The directory for the new set is there.
    DirectoryMade,
    /// All files are in it.
    FilesWritten,
    /// The caller set ownership.
    Prepared,
    /// `..data_tmp` is there.
    Linked,
    /// `..data` is the new set.
    Swapped,
    /// Names are visible.
    NamesAdded,
    /// Stale names are gone.
    NamesRemoved,
    /// Older sets are gone.
    Done,
}

/// What a write did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    /// A new set is current.
    Replaced,
    /// The files were as wanted already.
    Unchanged,
}

/// Writes payloads into one volume.
pub(crate) struct AtomicWriter<'a> {
    volume: &'a SafeRoot,
    now: Timestamp,
}

impl<'a> AtomicWriter<'a> {
    /// A writer for a volume's root; `now` names the new set.
    pub(crate) fn new(volume: &'a SafeRoot, now: Timestamp) -> Self {
        Self { volume, now }
    }

    /// Brings the volume to a checked payload. `prepare` runs once the new set is written and before anybody sees it.
    pub(crate) fn write(
        &self,
        payload: &Payload,
        prepare: &dyn Fn() -> Result<(), String>,
    ) -> Result<Written, WriteError> {
        let written = self.write_observed(payload, prepare, &mut |_| Ok(()));
        if written.is_err() {
            // On a full disk half a set would keep others from the space that is left until the next try.
            drop(self.current().and_then(|current| self.sweep(current.as_deref())));
        }
        written
    }

    /// Opens a file of the current set.
    pub(crate) fn open(&self, path: &str) -> Option<File> {
        let set = self.current().ok().flatten()?;
        self.volume.descend(Path::new(&set)).and_then(|root| root.open_file(Path::new(path))).ok()
    }

    /// [`Self::write`], told after each step whether to go on.
    fn write_observed(
        &self,
        payload: &Payload,
        prepare: &dyn Fn() -> Result<(), String>,
        after: &mut dyn FnMut(Step) -> Result<(), WriteError>,
    ) -> Result<Written, WriteError> {
        let current = self.current()?;
        self.sweep(current.as_deref())?;
        after(Step::Swept)?;

        let fresh = match &current {
            Some(set) => !self.holds(set, payload)?,
            None => true,
        };
        if fresh {
            self.publish(payload, prepare, after)?;
        }
        self.add_names(payload)?;
        after(Step::NamesAdded)?;
        self.remove_stale_names(payload)?;
        after(Step::NamesRemoved)?;
        self.sweep(self.current()?.as_deref())?;
        after(Step::Done)?;
        Ok(if fresh { Written::Replaced } else { Written::Unchanged })
    }

    fn publish(
        &self,
        payload: &Payload,
        prepare: &dyn Fn() -> Result<(), String>,
        after: &mut dyn FnMut(Step) -> Result<(), WriteError>,
    ) -> Result<(), WriteError> {
        let set = self.make_set()?;
        after(Step::DirectoryMade)?;
        self.fill(&set, payload)?;
        after(Step::FilesWritten)?;
        prepare().map_err(WriteError::Publish)?;
        after(Step::Prepared)?;
        let next = OsStr::new(NEXT);
        symlinkat(&set, self.volume, next).map_err(|errno| self.disk("symlink", next, errno))?;
        after(Step::Linked)?;
        renameat(self.volume, NEXT, self.volume, CURRENT)
            .map_err(|errno| self.disk("rename", next, errno))?;
        after(Step::Swapped)
    }

    fn disk(&self, operation: &'static str, name: &OsStr, errno: Errno) -> WriteError {
        WriteError::Disk { operation, path: self.volume.path().join(name), cause: errno.into() }
    }

    /// Name of the current set: what `..data` leads to, if that is one of ours and is there.
    fn current(&self) -> Result<Option<OsString>, WriteError> {
        let name = OsStr::new(CURRENT);
        let target = match readlinkat(self.volume, name, Vec::new()) {
            Ok(target) => OsStr::from_bytes(target.to_bytes()).to_owned(),
            Err(Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(self.disk("readlink", name, errno)),
        };
        if !is_set_name(&target) {
            return Ok(None);
        }
        match self.volume.open_dir(Path::new(&target)) {
            Ok(_) => Ok(Some(target)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(WriteError::Path(error)),
        }
    }

    fn names(&self) -> Result<Vec<(OsString, FileType)>, WriteError> {
        let here = OsStr::new(".");
        let failed = |errno| self.disk("readdir", here, errno);
        let mut names = Vec::new();
        for entry in Dir::read_from(self.volume).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes()).to_owned();
            if name == "." || name == ".." {
                continue;
            }
            let seen = match statat(self.volume, &name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(seen) => seen,
                Err(Errno::NOENT) => continue,
                Err(errno) => return Err(self.disk("stat", &name, errno)),
            };
            names.push((name, FileType::from_raw_mode(seen.st_mode)));
        }
        Ok(names)
    }

    /// Removes sets other than the current one, and a half-made link.
    fn sweep(&self, current: Option<&OsStr>) -> Result<(), WriteError> {
        for (name, kind) in self.names()? {
            let is_old_set =
                kind == FileType::Directory && is_set_name(&name) && Some(name.as_os_str()) != current;
            if is_old_set || name == NEXT {
                self.volume.remove_tree(Path::new(&name)).map_err(WriteError::Path)?;
            }
        }
        Ok(())
    }

    /// Whether a set consists of exactly these files with these contents.
    fn holds(&self, set: &OsStr, payload: &Payload) -> Result<bool, WriteError> {
        let root = self.volume.descend(Path::new(set)).map_err(WriteError::Path)?;
        for (path, file) in payload {
            match root.open_file(Path::new(path)) {
                Ok(found) => {
                    // One byte more than wanted is enough to see a difference.
                    let mut data = Vec::with_capacity(file.data.len() + 1);
                    let limit = u64::try_from(file.data.len()).unwrap_or(u64::MAX).saturating_add(1);
                    found.take(limit).read_to_end(&mut data).map_err(|cause| WriteError::Disk {
                        operation: "read",
                        path: root.path().join(path),
                        cause,
                    })?;
                    if data != file.data {
                        return Ok(false);
                    }
                }
                // Missing, or something else than a file: not as wanted.
                Err(_) => return Ok(false),
            }
        }
        let mut wanted: BTreeSet<PathBuf> = BTreeSet::new();
        for path in payload.keys() {
            wanted
                .extend(Path::new(path).ancestors().filter(|part| *part != Path::new("")).map(PathBuf::from));
        }
        only_holds(&root, Path::new(""), &wanted)
    }

    fn make_set(&self) -> Result<OsString, WriteError> {
        let stamp = self.now.strftime("..%Y_%m_%d_%H_%M_%S.").to_string();
        let mut number = self.now.subsec_nanosecond().unsigned_abs();
        loop {
            let name = OsString::from(format!("{stamp}{number}"));
            match mkdirat(self.volume, &name, Mode::from_raw_mode(DIRECTORY_MODE)) {
                Ok(()) => {
                    let fd = self.volume.open_dir(Path::new(&name)).map_err(WriteError::Path)?;
                    // The umask may have taken bits away.
                    fchmod(fd, Mode::from_raw_mode(DIRECTORY_MODE))
                        .map_err(|errno| self.disk("chmod", &name, errno))?;
                    return Ok(name);
                }
                Err(Errno::EXIST) => number = number.wrapping_add(1),
                Err(errno) => return Err(self.disk("mkdir", &name, errno)),
            }
        }
    }

    fn fill(&self, set: &OsStr, payload: &Payload) -> Result<(), WriteError> {
        let root = self.volume.descend(Path::new(set)).map_err(WriteError::Path)?;
        for (path, file) in payload {
            let path = Path::new(path);
            if let Some(parent) = path.parent().filter(|parent| *parent != Path::new("")) {
                root.create_dir_all(parent, DIRECTORY_MODE).map_err(WriteError::Path)?;
            }
            let mut new = root.create_file(path, file.mode).map_err(WriteError::Path)?;
            let failed =
                |operation, cause| WriteError::Disk { operation, path: root.path().join(path), cause };
            new.write_all(&file.data).map_err(|cause| failed("write", cause))?;
            if let Some(owner) = file.owner {
                fchown(&new, Some(Uid::from_raw(owner)), None::<Gid>)
                    .map_err(|errno| failed("chown", errno.into()))?;
            }
        }
        Ok(())
    }

    /// One link per first part of a path. What is there already (a mount point for another volume) stays.
    fn add_names(&self, payload: &Payload) -> Result<(), WriteError> {
        for (path, file) in payload {
            let name = first_part(path);
            match symlinkat(Path::new(CURRENT).join(name), self.volume, name) {
                Ok(()) => {
                    if let Some(owner) = file.owner {
                        chownat(
                            self.volume,
                            name,
                            Some(Uid::from_raw(owner)),
                            None,
                            AtFlags::SYMLINK_NOFOLLOW,
                        )
                        .map_err(|errno| self.disk("chown", OsStr::new(name), errno))?;
                    }
                }
                Err(Errno::EXIST) => {}
                Err(errno) => return Err(self.disk("symlink", OsStr::new(name), errno)),
            }
        }
        Ok(())
    }

    /// Removes links of ours whose file is not in the payload.
    fn remove_stale_names(&self, payload: &Payload) -> Result<(), WriteError> {
        let wanted: BTreeSet<&str> = payload.keys().map(|path| first_part(path)).collect();
        for (name, kind) in self.names()? {
            if kind != FileType::Symlink
                || name == CURRENT
                || name.to_str().is_some_and(|n| wanted.contains(n))
            {
                continue;
            }
            let target = match readlinkat(self.volume, &name, Vec::new()) {
                Ok(target) => target,
                Err(Errno::NOENT) => continue,
                Err(errno) => return Err(self.disk("readlink", &name, errno)),
            };
            if Path::new(OsStr::from_bytes(target.to_bytes())) == Path::new(CURRENT).join(&name) {
                self.volume.remove(Path::new(&name)).map_err(WriteError::Path)?;
            }
        }
        Ok(())
    }
}

fn first_part(path: &str) -> &str {
    path.split('/').next().unwrap_or_default()
}

/// A directory that a writer made: `..` and a digit.
fn is_set_name(name: &OsStr) -> bool {
    let bytes = name.as_bytes();
    bytes.starts_with(b"..") && bytes.get(2).is_some_and(u8::is_ascii_digit) && !bytes.contains(&b'/')
}

/// Whether nothing is below a directory but the wanted paths.
fn only_holds(root: &SafeRoot, below: &Path, wanted: &BTreeSet<PathBuf>) -> Result<bool, WriteError> {
    let at = if below == Path::new("") { Path::new(".") } else { below };
    let directory = root.open_dir(at).map_err(WriteError::Path)?;
    let failed = |errno: Errno| WriteError::Disk {
        operation: "readdir",
        path: root.path().join(below),
        cause: errno.into(),
    };
    for entry in Dir::read_from(&directory).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if name == "." || name == ".." {
            continue;
        }
        let path = below.join(name);
        if !wanted.contains(&path) {
            return Ok(false);
        }
        let seen = statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW).map_err(failed)?;
        if FileType::from_raw_mode(seen.st_mode) == FileType::Directory && !only_holds(root, &path, wanted)? {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests;
