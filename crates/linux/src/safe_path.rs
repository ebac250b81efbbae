//! Paths below a directory that somebody else may change while we look.
//!
//! Why it exists: every path CVE of the kubelet is one string that was checked and then used. Here a path is opened
//! once, beneath a root, by openat2(2), and from then on it is a descriptor (design §6).
//!
//! ```text
//! SafeRoot::open(dir) ── open_dir / open_path / open_file / create_dir_all ──▶ OwnedFd     no symlinks at all
//!                     └─ open_sub_path / create_sub_path ──▶ SubPath                      symlinks that stay inside
//! ```
//!
//! Invariants:
//! - what is opened lies beneath the root at the moment of opening: `..`, absolute paths and symlinks out of it fail;
//! - magic links are never followed;
//! - nothing is created through a symlink;
//! - no open blocks: named pipes and devices are opened by `O_PATH` or with `O_NONBLOCK`.
//!
//! Needs Linux 5.6.

use std::{
    ffi::OsStr,
    fs::File,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Component, Path, PathBuf},
};

use rustix::{
    fs::{FileType, Mode, OFlags, ResolveFlags, fstat, mkdirat, openat2},
    io::Errno,
};

mod descent;
mod remove;

pub use descent::{Descent, Step};

/// How often an open is tried again when a rename elsewhere in the tree races with it (openat2(2), `EAGAIN`).
const RACE_RETRIES: usize = 32;

/// Parents of everything that is opened beneath a root.
const NO_LINKS: ResolveFlags =
    ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_MAGICLINKS);

/// Symlinks are followed while they stay beneath the root; an absolute one does not.
const LINKS_INSIDE: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_MAGICLINKS);

/// Why a path beneath a root could not be used. `Display` contains the system's answer; there is no separate source.
#[derive(Debug, thiserror::Error)]
pub enum SafePathError {
    /// The root itself.
    #[error("cannot open the directory {root}: {cause}")]
    Root {
        /// The root.
        root: PathBuf,
        /// System's answer.
        cause: io::Error,
    },
    /// The path is absolute, empty, or has `..` in it where that is not allowed.
    #[error("{path:?} is not a path below {root}: it must be relative and without \"..\"")]
    NotBelow {
        /// The root.
        root: PathBuf,
        /// The path as given.
        path: PathBuf,
    },
    /// A symlink where none may be, or one that leads out of the root.
    #[error("{path:?} leaves {root} or goes through a symbolic link that is not allowed")]
    Escapes {
        /// The root.
        root: PathBuf,
        /// The path as given.
        path: PathBuf,
    },
    /// Opening.
    #[error("cannot open {path:?} below {root}: {cause}")]
    Open {
        /// The root.
        root: PathBuf,
        /// The path as given.
        path: PathBuf,
        /// System's answer.
        cause: io::Error,
    },
    /// Creating.
    #[error("cannot create {path:?} below {root}: {cause}")]
    Create {
        /// The root.
        root: PathBuf,
        /// The path as given.
        path: PathBuf,
        /// System's answer.
        cause: io::Error,
    },
    /// Removing.
    #[error("cannot remove {path:?} below {root}: {cause}")]
    Remove {
        /// The root.
        root: PathBuf,
        /// The path, down to what could not be removed.
        path: PathBuf,
        /// System's answer.
        cause: io::Error,
    },
    /// Something is still mounted below a tree that was to be removed: nothing on the other filesystem was touched.
    #[error("will not remove {path:?} below {root}: a filesystem is mounted there; unmount it first")]
    Mounted {
        /// The root.
        root: PathBuf,
        /// The mount point.
        path: PathBuf,
    },
    /// The kernel has no openat2(2).
    #[error("this kernel cannot open paths safely (openat2 is missing); hint: Linux 5.6 or newer is needed")]
    OldKernel,
}

impl SafePathError {
    /// Nothing is there.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        match self {
            Self::Root { cause, .. } | Self::Open { cause, .. } | Self::Remove { cause, .. } => {
                cause.kind() == io::ErrorKind::NotFound
            }
            _ => false,
        }
    }
}

/// What a sub path of a volume turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubPathKind {
    /// A directory: the mount target has to be one too.
    Directory,
    /// Anything else (file, socket, pipe, device): the mount target has to be a file.
    File,
}

/// An open sub path of a volume. Bind it with [`crate::mounts::bind_fd`].
#[derive(Debug)]
pub struct SubPath {
    /// `O_PATH` descriptor of the final object, links resolved.
    pub fd: OwnedFd,
    /// What it is.
    pub kind: SubPathKind,
}

/// A directory beneath which paths are opened.
#[derive(Debug)]
pub struct SafeRoot {
    fd: OwnedFd,
    path: PathBuf,
}

impl AsFd for SafeRoot {
    /// For calls that take a directory and a single name, such as renameat(2).
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl SafeRoot {
    /// Opens a root. The path itself is trusted (it comes from configuration): symlinks in it are followed.
    ///
    /// # Errors
    /// [`SafePathError::Root`].
    pub fn open(path: &Path) -> Result<Self, SafePathError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(path, flags, Mode::empty())
            .map_err(|errno| SafePathError::Root { root: path.into(), cause: errno.into() })?;
        Ok(Self { fd, path: path.into() })
    }

    /// The path for messages.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens a directory for reading its entries and for `*at` calls. No symlinks.
    ///
    /// # Errors
    /// [`SafePathError::Escapes`], [`SafePathError::Open`], [`SafePathError::NotBelow`].
    pub fn open_dir(&self, path: &Path) -> Result<OwnedFd, SafePathError> {
        self.open_at(path, OFlags::RDONLY | OFlags::DIRECTORY, NO_LINKS)
    }

    /// A root one or more directories further down. No symlinks.
    ///
    /// # Errors
    /// As [`Self::open_dir`].
    pub fn descend(&self, path: &Path) -> Result<Self, SafePathError> {
        Ok(Self { fd: self.open_dir(path)?, path: self.path.join(path) })
    }

    /// Opens anything as `O_PATH`: enough to look at it and to bind it. No symlinks.
    ///
    /// # Errors
    /// As [`Self::open_dir`].
    pub fn open_path(&self, path: &Path) -> Result<OwnedFd, SafePathError> {
        self.open_at(path, OFlags::PATH, NO_LINKS)
    }

    /// Opens a regular file for reading. No symlinks; pipes, sockets and devices are refused without blocking.
    ///
    /// # Errors
    /// As [`Self::open_dir`]; what is not a regular file is [`SafePathError::Open`].
    pub fn open_file(&self, path: &Path) -> Result<File, SafePathError> {
        let fd = self.open_at(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY, NO_LINKS)?;
        let seen = fstat(&fd).map_err(|errno| self.failed_open(path, errno))?;
        if FileType::from_raw_mode(seen.st_mode) != FileType::RegularFile {
            let cause = io::Error::new(io::ErrorKind::InvalidInput, "not a regular file");
            return Err(SafePathError::Open { root: self.path.clone(), path: path.into(), cause });
        }
        Ok(File::from(fd))
    }

    /// Creates a new file for writing in an existing directory; fails if there is anything of that name. The mode is
    /// exactly as given, whatever the umask.
    ///
    /// # Errors
    /// [`SafePathError::Create`] (`AlreadyExists` among them), [`SafePathError::Escapes`],
    /// [`SafePathError::NotBelow`].
    pub fn create_file(&self, path: &Path, mode: u32) -> Result<File, SafePathError> {
        self.must_be_below(path)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(mode & 0o7777);
        let fd = openat2_retrying(&self.fd, path, flags, mode, NO_LINKS)
            .map_err(|errno| self.failed(path, errno, Failing::Create))?;
        rustix::fs::fchmod(&fd, mode).map_err(|errno| self.failed(path, errno, Failing::Create))?;
        Ok(File::from(fd))
    }

    /// Creates the directories of a path that are missing and opens the last. No symlinks: a component that is one
    /// fails. The mode of those created is exactly as given; existing ones are left as they are.
    ///
    /// # Errors
    /// [`SafePathError::Create`], [`SafePathError::Escapes`], [`SafePathError::NotBelow`].
    pub fn create_dir_all(&self, path: &Path, mode: u32) -> Result<OwnedFd, SafePathError> {
        let names = self.must_be_below(path)?;
        let mut here = self.open_at(Path::new("."), OFlags::RDONLY | OFlags::DIRECTORY, NO_LINKS)?;
        for name in names {
            here = self.create_and_enter(&here, name, path, mode)?;
        }
        Ok(here)
    }

    /// Opens a sub path inside a volume as containers see it: symlinks count as long as they stay inside. Absolute
    /// links and links out of the volume fail, as they do upstream. `""` and `"."` are the volume itself. Only the names
    /// in the path count: a slash at its end does not demand a directory.
    ///
    /// # Errors
    /// [`SafePathError::Escapes`], [`SafePathError::Open`] (nothing there: [`SafePathError::is_not_found`]),
    /// [`SafePathError::NotBelow`].
    pub fn open_sub_path(&self, path: &Path) -> Result<SubPath, SafePathError> {
        let names = if path.as_os_str().is_empty() { Vec::new() } else { self.must_be_below(path)? };
        let clean: PathBuf = if names.is_empty() { PathBuf::from(".") } else { names.iter().collect() };
        let open = |kind: OFlags| {
            let flags = OFlags::PATH | OFlags::CLOEXEC | kind;
            openat2_retrying(&self.fd, &clean, flags, Mode::empty(), LINKS_INSIDE)
        };
        // What is mounted on demand is mounted for who asks for a directory, not for who asks for a place alone
        // (open(2), O_PATH).
        let opened = match open(OFlags::DIRECTORY) {
            Err(Errno::NOTDIR) => open(OFlags::empty()),
            answer => answer,
        };
        let fd = opened.map_err(|errno| self.failed_open(path, errno))?;
        let seen = fstat(&fd).map_err(|errno| self.failed_open(path, errno))?;
        let kind = match FileType::from_raw_mode(seen.st_mode) {
            FileType::Directory => SubPathKind::Directory,
            _ => SubPathKind::File,
        };
        Ok(SubPath { fd, kind })
    }

    /// Opens a sub path inside a volume and creates the directories that are missing, below the part that exists
    /// already. The mode is exactly as given.
    ///
    /// # Errors
    /// As [`Self::open_sub_path`], and [`SafePathError::Create`].
    pub fn create_sub_path(&self, path: &Path, mode: u32) -> Result<SubPath, SafePathError> {
        match self.open_sub_path(path) {
            Err(error) if error.is_not_found() => {}
            other => return other,
        }
        let names = self.must_be_below(path)?;
        // The longest part that exists, links resolved; the rest is created where that leads.
        let mut known = names.len();
        let mut here = loop {
            known -= 1;
            let prefix: PathBuf = names[..known].iter().collect();
            let prefix = if known == 0 { Path::new(".") } else { &prefix };
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            match openat2_retrying(&self.fd, prefix, flags, Mode::empty(), LINKS_INSIDE) {
                Ok(fd) => break fd,
                Err(Errno::NOENT) if known > 0 => {}
                Err(errno) => return Err(self.failed_open(prefix, errno)),
            }
        };
        for name in &names[known..] {
            here = self.create_and_enter(&here, name, path, mode)?;
        }
        // Once more from the top: what was made has to be what the path means.
        self.open_sub_path(path)
    }

    /// Makes one directory if there is none and opens it, never through a link.
    fn create_and_enter(
        &self,
        parent: &OwnedFd,
        name: &OsStr,
        whole: &Path,
        mode: u32,
    ) -> Result<OwnedFd, SafePathError> {
        let mode = Mode::from_raw_mode(mode & 0o7777);
        let fresh = match mkdirat(parent, name, mode) {
            Ok(()) => true,
            Err(Errno::EXIST) => false,
            Err(errno) => return Err(self.failed(whole, errno, Failing::Create)),
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = openat2_retrying(parent, Path::new(name), flags, Mode::empty(), NO_LINKS)
            .map_err(|errno| self.failed(whole, errno, Failing::Create))?;
        if fresh {
            // mkdirat(2) lets the umask take bits away.
            rustix::fs::fchmod(&fd, mode).map_err(|errno| self.failed(whole, errno, Failing::Create))?;
        }
        Ok(fd)
    }

    fn open_at(&self, path: &Path, flags: OFlags, resolve: ResolveFlags) -> Result<OwnedFd, SafePathError> {
        if path != Path::new(".") {
            self.must_be_below(path)?;
        }
        openat2_retrying(&self.fd, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve)
            .map_err(|errno| self.failed_open(path, errno))
    }

    /// Splits a relative path into names. The kernel would refuse the rest too; this says it in the operator's words.
    fn must_be_below<'p>(&self, path: &'p Path) -> Result<Vec<&'p OsStr>, SafePathError> {
        let mut names = Vec::new();
        for component in path.components() {
            match component {
                Component::Normal(name) => names.push(name),
                Component::CurDir => {}
                Component::RootDir | Component::ParentDir | Component::Prefix(_) => {
                    return Err(SafePathError::NotBelow { root: self.path.clone(), path: path.into() });
                }
            }
        }
        if path.as_os_str().is_empty() {
            return Err(SafePathError::NotBelow { root: self.path.clone(), path: path.into() });
        }
        Ok(names)
    }

    fn failed_open(&self, path: &Path, errno: Errno) -> SafePathError {
        self.failed(path, errno, Failing::Open)
    }

    fn failed(&self, path: &Path, errno: Errno, what: Failing) -> SafePathError {
        let (root, path, cause) = (self.path.clone(), path.to_path_buf(), io::Error::from(errno));
        match (errno, what) {
            (Errno::XDEV | Errno::LOOP, _) => SafePathError::Escapes { root, path },
            (Errno::NOSYS, _) => SafePathError::OldKernel,
            (_, Failing::Open) => SafePathError::Open { root, path, cause },
            (_, Failing::Create) => SafePathError::Create { root, path, cause },
            (_, Failing::Remove) => SafePathError::Remove { root, path, cause },
        }
    }
}

/// What was being done when the kernel refused.
#[derive(Clone, Copy)]
enum Failing {
    Open,
    Create,
    Remove,
}

fn openat2_retrying(
    root: impl AsFd,
    path: &Path,
    flags: OFlags,
    mode: Mode,
    resolve: ResolveFlags,
) -> Result<OwnedFd, Errno> {
    let mut answer = openat2(root.as_fd(), path, flags, mode, resolve);
    for _ in 0..RACE_RETRIES {
        match answer {
            Err(Errno::AGAIN | Errno::INTR) => {
                answer = openat2(root.as_fd(), path, flags, mode, resolve);
            }
            other => return other,
        }
    }
    answer
}

#[cfg(test)]
mod tests;
