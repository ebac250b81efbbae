//! Mounts: tmpfs and bind mounts for volumes, unmounting what a pod left behind, and the propagation of the
//! kubelet's root directory.
//!
//! Why it exists: volumes need mount(2) with few and fixed meanings, and each of them has a trap (a symlink in the
//! target, a bind mount that forgets `read only`, a mount stacked on a mount). They are dealt with here once.
//!
//! Invariants:
//! - no child process is started and no helper program is needed;
//! - unmounting never follows a symlink in the last part of the path;
//! - a read-only bind mount is read only when the call returns, or it is gone again;
//! - the mount table is that of the calling thread, so that code which runs in a mount namespace of its own sees
//!   its own mounts.
//!
//! A path that a pod could have influenced is not given here as text: open it with [`crate::safe_path`] and bind the
//! descriptor with [`bind_fd`].

use std::{
    ffi::CString,
    io,
    os::fd::{AsRawFd, BorrowedFd},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{AtFlags, CWD, StatVfsMountFlags, StatxAttributes, StatxFlags, statvfs, statx},
    io::Errno,
    mount::{MountFlags, MountPropagationFlags, UnmountFlags},
};

mod table;
pub use table::{MountEntry, MountTable};

/// A mount operation that failed. `Display` contains the system's answer; there is no separate source.
#[derive(Debug, thiserror::Error)]
pub enum MountError {
    /// Mounting a tmpfs.
    #[error("cannot mount tmpfs at {target} with options {options:?}: {cause}")]
    Tmpfs {
        /// Mount point.
        target: PathBuf,
        /// Options as given to the kernel.
        options: String,
        /// System's answer.
        cause: io::Error,
    },
    /// A bind mount.
    #[error("cannot bind {origin} to {target}: {cause}")]
    Bind {
        /// What was to be bound.
        origin: PathBuf,
        /// Mount point.
        target: PathBuf,
        /// System's answer.
        cause: io::Error,
    },
    /// Making an existing bind mount read only.
    #[error("cannot make the mount at {target} read only: {cause}")]
    ReadOnly {
        /// Mount point.
        target: PathBuf,
        /// System's answer.
        cause: io::Error,
    },
    /// Unmounting.
    #[error("cannot unmount {target}: {cause}")]
    Unmount {
        /// Mount point.
        target: PathBuf,
        /// System's answer.
        cause: io::Error,
    },
    /// Changing propagation.
    #[error("cannot make the mounts at {target} shared: {cause}")]
    Propagation {
        /// Mount point.
        target: PathBuf,
        /// System's answer.
        cause: io::Error,
    },
    /// Asking whether a path is a mount point.
    #[error("cannot look at {target}: {cause}")]
    Inspect {
        /// The path.
        target: PathBuf,
        /// System's answer.
        cause: io::Error,
    },
    /// Reading the mount table.
    #[error("cannot read the mount table {table}: {cause}")]
    Table {
        /// The file.
        table: PathBuf,
        /// System's answer.
        cause: io::Error,
    },
}

impl MountError {
    /// The system's answer.
    #[must_use]
    pub fn cause(&self) -> &io::Error {
        match self {
            Self::Tmpfs { cause, .. }
            | Self::Bind { cause, .. }
            | Self::ReadOnly { cause, .. }
            | Self::Unmount { cause, .. }
            | Self::Propagation { cause, .. }
            | Self::Inspect { cause, .. }
            | Self::Table { cause, .. } => cause,
        }
    }
}

/// How a tmpfs is mounted (tmpfs(5)).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TmpfsOptions {
    /// Upper limit in bytes; `None` is the kernel's default, half of the memory. Zero would mean unlimited to the
    /// kernel and is passed as it is.
    pub size_bytes: Option<u64>,
    /// Mode of the root directory; `None` is the kernel's 1777.
    pub mode: Option<u32>,
    /// Never swapped out. Needs Linux 6.4: `EINVAL` on older kernels.
    pub noswap: bool,
}

impl TmpfsOptions {
    fn data(&self) -> String {
        let mut parts = Vec::new();
        if let Some(size) = self.size_bytes {
            parts.push(format!("size={size}"));
        }
        if let Some(mode) = self.mode {
            parts.push(format!("mode={mode:o}"));
        }
        if self.noswap {
            parts.push("noswap".to_owned());
        }
        parts.join(",")
    }
}

/// How a bind mount is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BindOptions {
    /// With the mounts below the source (`MS_REC`). The read-only flag applies to the top mount only, as with
    /// mount(8).
    pub recursive: bool,
    /// Read only. The other flags of the source's mount (`nosuid`, `nodev`, …) are kept.
    pub read_only: bool,
}

/// How to unmount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unmount {
    /// Fails with `EBUSY` while something uses the mount.
    Plain,
    /// Takes it out of the tree now; the kernel frees it when the last user is gone (`MNT_DETACH`).
    Lazy,
}

/// What unmounting found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unmounted {
    /// There was a mount, and it is gone.
    Done,
    /// The path was no mount point, or did not exist.
    NotMounted,
}

/// Mounts a tmpfs on an existing directory. Calling it twice stacks a second one: look with [`is_mount_point`]
/// first.
///
/// # Errors
/// [`MountError::Tmpfs`].
pub fn mount_tmpfs(target: &Path, options: &TmpfsOptions) -> Result<(), MountError> {
    let text = options.data();
    let failed = |cause: io::Error| MountError::Tmpfs { target: target.into(), options: text.clone(), cause };
    let data = CString::new(text.clone()).map_err(|cause| failed(cause.into()))?;
    rustix::mount::mount("tmpfs", target, "tmpfs", MountFlags::empty(), data.as_c_str())
        .map_err(|errno| failed(errno.into()))
}

/// Binds one path to another; both exist, and both are files or both directories. For paths that a pod cannot
/// influence.
///
/// # Errors
/// [`MountError::Bind`]; [`MountError::ReadOnly`] after which nothing is left mounted.
pub fn bind(origin: &Path, target: &Path, options: BindOptions) -> Result<(), MountError> {
    let flags = if options.recursive { MountFlags::BIND | MountFlags::REC } else { MountFlags::BIND };
    rustix::mount::mount(origin, target, "", flags, None).map_err(|errno| MountError::Bind {
        origin: origin.into(),
        target: target.into(),
        cause: errno.into(),
    })?;
    if options.read_only
        && let Err(errno) = remount_read_only(target)
    {
        // A writable mount where a read-only one was asked for is worse than none.
        if let Err(cause) = unmount(target, Unmount::Lazy) {
            tracing::warn!("{cause}: left behind after its read-only remount failed");
        }
        return Err(MountError::ReadOnly { target: target.into(), cause: errno.into() });
    }
    Ok(())
}

/// Binds what a descriptor refers to, wherever its path leads by now. The descriptor may be `O_PATH` and comes from
/// [`crate::safe_path`].
///
/// # Errors
/// As [`bind`]; the origin in the message is the descriptor's path.
pub fn bind_fd(origin: BorrowedFd<'_>, target: &Path, options: BindOptions) -> Result<(), MountError> {
    bind(&fd_path(origin), target, options)
}

/// The magic link that leads to an open descriptor of this process: `/proc/thread-self/fd/<n>`. Only this process
/// can use it, while the descriptor is open.
#[must_use]
pub fn fd_path(fd: BorrowedFd<'_>) -> PathBuf {
    PathBuf::from(format!("/proc/thread-self/fd/{}", fd.as_raw_fd()))
}

/// Flags that a remount drops unless they are named again, and that are locked inside a user namespace.
fn kept_flags(target: &Path) -> Result<MountFlags, Errno> {
    let now = statvfs(target)?.f_flag;
    let pairs = [
        (StatVfsMountFlags::NOSUID, MountFlags::NOSUID),
        (StatVfsMountFlags::NODEV, MountFlags::NODEV),
        (StatVfsMountFlags::NOEXEC, MountFlags::NOEXEC),
        (StatVfsMountFlags::NOATIME, MountFlags::NOATIME),
        (StatVfsMountFlags::NODIRATIME, MountFlags::NODIRATIME),
        (StatVfsMountFlags::RELATIME, MountFlags::RELATIME),
    ];
    Ok(pairs
        .into_iter()
        .filter(|(seen, _)| now.contains(*seen))
        .fold(MountFlags::empty(), |flags, (_, flag)| flags | flag))
}

fn remount_read_only(target: &Path) -> Result<(), Errno> {
    let flags = kept_flags(target)? | MountFlags::BIND | MountFlags::RDONLY;
    rustix::mount::mount_remount(target, flags, "")
}

/// Takes away the topmost mount at a path. Idempotent; never follows a symlink in the last part.
///
/// # Errors
/// [`MountError::Unmount`], `EBUSY` with [`Unmount::Plain`] while it is in use.
pub fn unmount(target: &Path, how: Unmount) -> Result<Unmounted, MountError> {
    let flags = match how {
        Unmount::Plain => UnmountFlags::NOFOLLOW,
        Unmount::Lazy => UnmountFlags::NOFOLLOW | UnmountFlags::DETACH,
    };
    match rustix::mount::unmount(target, flags) {
        Ok(()) => Ok(Unmounted::Done),
        // EINVAL is "not a mount point" here; a locked mount of another user namespace gives it too, and is not ours.
        Err(Errno::INVAL | Errno::NOENT) => Ok(Unmounted::NotMounted),
        Err(errno) => Err(MountError::Unmount { target: target.into(), cause: errno.into() }),
    }
}

/// Takes away every mount at and below a path, the last one mounted first; goes on after a failure and returns all
/// of them. Idempotent.
///
/// # Errors
/// Every [`MountError`] that was met.
pub fn unmount_below(path: &Path, how: Unmount) -> Result<(), Vec<MountError>> {
    let mounts = mounts_below(path).map_err(|error| vec![error])?;
    let errors: Vec<_> = mounts.iter().filter_map(|target| unmount(target, how).err()).collect();
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

/// Whether something is mounted exactly here. Does not follow a symlink in the last part, does not trigger an
/// automount and does not wait for a network filesystem's server. A path that does not exist is no mount point.
///
/// # Errors
/// [`MountError::Inspect`], [`MountError::Table`] on kernels before 5.8.
pub fn is_mount_point(path: &Path) -> Result<bool, MountError> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT | AtFlags::STATX_DONT_SYNC;
    match statx(CWD, path, flags, StatxFlags::TYPE) {
        Ok(answer) if answer.stx_attributes_mask.contains(StatxAttributes::MOUNT_ROOT) => {
            Ok(answer.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
        }
        Ok(_) => Ok(MountTable::read()?.mounted_at(path).is_some()),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(false),
        // A dead FUSE or network mount answers with these instead of being looked at; it is a mount all the same.
        Err(Errno::NOTCONN | Errno::STALE | Errno::IO | Errno::HOSTDOWN) => {
            Ok(MountTable::read()?.mounted_at(path).is_some())
        }
        Err(errno) => Err(MountError::Inspect { target: path.into(), cause: errno.into() }),
    }
}

/// Mount points at and below a path, in the order to unmount them: the last one mounted first; a path occurs as
/// often as there are mounts stacked on it. Compared as text: give an absolute path without symlinks.
///
/// # Errors
/// [`MountError::Table`].
pub fn mounts_below(path: &Path) -> Result<Vec<PathBuf>, MountError> {
    Ok(MountTable::read()?.below(path).map(|entry| entry.mount_point.clone()).collect())
}

/// Makes mounts below a directory propagate into containers and back: the directory becomes a mount point of its
/// own if its filesystem is not shared yet, and then shared with all that is below it (contract §30: the root
/// directory is rshared). Idempotent.
///
/// # Errors
/// [`MountError::Bind`], [`MountError::Propagation`], [`MountError::Table`].
pub fn make_rshared(path: &Path) -> Result<(), MountError> {
    let real = path.canonicalize().map_err(|cause| MountError::Inspect { target: path.into(), cause })?;
    if MountTable::read()?.holding(&real).is_some_and(|entry| entry.shared) {
        return Ok(());
    }
    if !is_mount_point(&real)? {
        bind(&real, &real, BindOptions { recursive: true, read_only: false })?;
    }
    let flags = MountPropagationFlags::SHARED | MountPropagationFlags::REC;
    rustix::mount::mount_change(&real, flags)
        .map_err(|errno| MountError::Propagation { target: real, cause: errno.into() })
}

#[cfg(test)]
mod tests;
