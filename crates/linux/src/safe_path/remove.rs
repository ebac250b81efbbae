//! Removing trees beneath a root without following links and without entering other filesystems.

use std::{
    ffi::{OsStr, OsString},
    os::{
        fd::{AsFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
};

use rustix::{
    fs::{AtFlags, Dir, Mode, OFlags, ResolveFlags, unlinkat},
    io::Errno,
};

use super::{
    Failing, NO_LINKS, SafePathError, SafeRoot,
    descent::{Descent, Step},
    openat2_retrying,
};

impl SafeRoot {
    /// Removes one file, link or empty directory. Idempotent.
    ///
    /// # Errors
    /// [`SafePathError::Remove`], [`SafePathError::NotBelow`], [`SafePathError::Escapes`].
    pub fn remove(&self, path: &Path) -> Result<(), SafePathError> {
        let Some((parent, name)) = self.parent_of(path)? else { return Ok(()) };
        match unlink_any(&parent, &name) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(self.failed(path, errno, Failing::Remove)),
        }
    }

    /// Removes a tree: links are removed, not followed. Stops at the first mount point it meets
    /// ([`SafePathError::Mounted`]), so that a filesystem which could not be unmounted loses nothing. Idempotent; however
    /// deep the tree is, it takes few descriptors and little stack.
    ///
    /// # Errors
    /// [`SafePathError::Mounted`], [`SafePathError::Remove`], [`SafePathError::NotBelow`],
    /// [`SafePathError::Escapes`].
    pub fn remove_tree(&self, path: &Path) -> Result<(), SafePathError> {
        let Some((parent, name)) = self.parent_of(path)? else { return Ok(()) };
        let above = path.parent().unwrap_or(Path::new(""));
        let failed = |walk: &Descent, name: &OsStr, errno: Errno| match errno {
            Errno::XDEV => {
                SafePathError::Mounted { root: self.path.clone(), path: above.join(walk.path_of(name)) }
            }
            errno => self.failed(&above.join(walk.path_of(name)), errno, Failing::Remove),
        };
        let mut walk = Descent::new(parent, vec![name]);
        loop {
            let (name, removed) = match walk.step() {
                Ok(Step::Entry(name)) => {
                    let removed = unlink_any(walk.here(), &name);
                    (name, removed)
                }
                Ok(Step::Done(name, _)) => match unlinkat(walk.here(), &name, AtFlags::REMOVEDIR) {
                    Ok(()) | Err(Errno::NOENT) => continue,
                    Err(errno) => return Err(failed(&walk, &name, errno)),
                },
                Ok(Step::End) => return Ok(()),
                Err((name, errno)) => return Err(failed(&walk, &name, errno)),
            };
            match removed {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(Errno::NOTEMPTY | Errno::EXIST | Errno::BUSY) => {
                    let inside = enter(walk.here(), &name);
                    let entered = inside.and_then(|(fd, left)| walk.enter(name.clone(), fd, left));
                    match entered {
                        Ok(()) | Err(Errno::NOENT) => {}
                        Err(errno) => return Err(failed(&walk, &name, errno)),
                    }
                }
                Err(errno) => return Err(failed(&walk, &name, errno)),
            }
        }
    }

    /// Directory that holds the last name of a path; `None` when it does not exist.
    fn parent_of(&self, path: &Path) -> Result<Option<(OwnedFd, OsString)>, SafePathError> {
        let names = self.must_be_below(path)?;
        let Some((name, above)) = names.split_last() else {
            return Err(SafePathError::NotBelow { root: self.path.clone(), path: path.into() });
        };
        let above: std::path::PathBuf = above.iter().collect();
        let above = if above.as_os_str().is_empty() { Path::new(".") } else { &above };
        match self.open_at(above, OFlags::RDONLY | OFlags::DIRECTORY, NO_LINKS) {
            Ok(fd) => Ok(Some((fd, (*name).to_owned()))),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Removes what needs no descent. A directory that is not empty answers `NOTEMPTY`, a mount point `BUSY`.
fn unlink_any(parent: impl AsFd, name: &OsStr) -> Result<(), Errno> {
    match unlinkat(parent.as_fd(), name, AtFlags::empty()) {
        Err(Errno::ISDIR | Errno::PERM) => unlinkat(parent.as_fd(), name, AtFlags::REMOVEDIR),
        other => other,
    }
}

fn enter(parent: impl AsFd, name: &OsStr) -> Result<(OwnedFd, Vec<OsString>), Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let resolve = NO_LINKS | ResolveFlags::NO_XDEV;
    let fd = openat2_retrying(parent, Path::new(name), flags, Mode::empty(), resolve)?;
    let mut left = Vec::new();
    for entry in Dir::read_from(&fd)? {
        let entry = entry?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if name != "." && name != ".." {
            left.push(name.to_owned());
        }
    }
    Ok((fd, left))
}
