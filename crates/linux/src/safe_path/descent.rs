//! The way down into a tree and back up, with a bounded number of descriptors: whoever fills a tree decides how deep it
//! is, and must not decide how many files this process has open.
//!
//! ```text
//!   top ─► … closed … ─► … the last few, open … ─► here
//! ```
//!
//! Back up, a directory that is still open is used as it is. One that was closed is opened as the `..` of the one below,
//! and has to be the directory that was left: somebody who moves directories meanwhile ends the walk, and leads it
//! nowhere.
//!
//! Invariant: the top stays open, and nothing above it is ever opened.

use std::{
    ffi::{OsStr, OsString},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::PathBuf,
};

use rustix::{
    fs::{Mode, OFlags, fstat, openat},
    io::Errno,
};

/// Directories that stay open above the one where the walk is, beside the top. Trees that nobody made deep on purpose are
/// walked with descriptors alone.
const OPEN: usize = 16;

/// What a directory is, whatever it is called: device and inode.
type Identity = (u64, u64);

fn identity(fd: &OwnedFd) -> Result<Identity, Errno> {
    fstat(fd).map(|seen| (seen.st_dev, seen.st_ino))
}

/// A directory on the way down.
struct Level {
    /// Its name in the one above.
    name: OsString,
    is: Identity,
    /// `None`: closed.
    fd: Option<OwnedFd>,
    /// What is in it and was not looked at yet.
    left: Vec<OsString>,
}

/// A walk through a tree, children before parents.
pub struct Descent {
    above: Vec<Level>,
    name: OsString,
    fd: OwnedFd,
    left: Vec<OsString>,
}

/// What a walk comes to next.
pub enum Step {
    /// An entry of the directory where the walk is.
    Entry(OsString),
    /// The directory of this name has nothing left. The walk is back in the one above it.
    Done(OsString, OwnedFd),
    /// The top has nothing left.
    End,
}

impl Descent {
    /// Begins at a directory, with those of its entries that are to be looked at.
    #[must_use]
    pub fn new(top: OwnedFd, left: Vec<OsString>) -> Self {
        Self { above: Vec::new(), name: OsString::new(), fd: top, left }
    }

    /// Where the walk is.
    #[must_use]
    pub fn here(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// The way from the top to an entry of where the walk is.
    #[must_use]
    pub fn path_of(&self, name: &OsStr) -> PathBuf {
        let names = self.above.iter().map(|level| &level.name).chain([&self.name]);
        let mut path: PathBuf = names.skip(1).collect();
        path.push(name);
        path
    }

    /// What comes next.
    ///
    /// # Errors
    /// The name of the directory that is done, and why there is no way up from it: `STALE` when somebody moved it away.
    pub fn step(&mut self) -> Result<Step, (OsString, Errno)> {
        if let Some(name) = self.left.pop() {
            return Ok(Step::Entry(name));
        }
        let Some(level) = self.above.pop() else { return Ok(Step::End) };
        let fd = match level.fd {
            Some(fd) => Ok(fd),
            None => self.parent(level.is),
        };
        let name = std::mem::replace(&mut self.name, level.name);
        self.left = level.left;
        match fd {
            Ok(fd) => Ok(Step::Done(name, std::mem::replace(&mut self.fd, fd))),
            Err(errno) => Err((name, errno)),
        }
    }

    fn parent(&self, is: Identity) -> Result<OwnedFd, Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let parent = openat(&self.fd, "..", flags, Mode::empty())?;
        if identity(&parent)? == is { Ok(parent) } else { Err(Errno::STALE) }
    }

    /// Goes on in a directory that is an entry of where the walk is, with its entries.
    ///
    /// # Errors
    /// Where the walk is cannot be told from other directories.
    pub fn enter(&mut self, name: OsString, fd: OwnedFd, left: Vec<OsString>) -> Result<(), Errno> {
        let is = identity(&self.fd)?;
        let fd = Some(std::mem::replace(&mut self.fd, fd));
        let (name, left) = (std::mem::replace(&mut self.name, name), std::mem::replace(&mut self.left, left));
        self.above.push(Level { name, is, fd, left });
        let oldest = self.above.len().saturating_sub(OPEN + 1);
        if oldest > 0
            && let Some(level) = self.above.get_mut(oldest)
        {
            level.fd = None;
        }
        Ok(())
    }
}
