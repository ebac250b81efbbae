//! `emptyDir`, and the directory beneath every volume whose files the kubelet writes itself ("wrapped" upstream).
//!
//! ```text
//!   directory 0777 ──► tmpfs on it (medium Memory) ──► group ──► <pod>/plugins/kubernetes.io~empty-dir/<entry>/ready
//! ```
//!
//! The file `ready` says that all steps were done; without it they are done again, each finding out for itself what is
//! there. Files of the pod are never touched once `ready` exists.

use std::{
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use linux::{
    mounts::{self, MountError, TmpfsOptions},
    safe_path::SafeRoot,
};
use rustix::{
    fs::{FsWord, Mode, fchmod, fstat, fstatfs},
    io::Errno,
};

use crate::{
    error::SetUpError,
    layout::{PLUGIN_MODE, PRIVATE_MODE},
    ownership::{self, Access},
};

/// Anybody may use the directory: containers run as any user.
const OPEN_MODE: u32 = 0o777;
/// `f_type` of a tmpfs (statfs(2)).
const TMPFS_MAGIC: FsWord = 0x0102_1994;

/// What a directory is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Medium {
    /// The disk that the pods' directories are on.
    Disk,
    /// A tmpfs, at most this many bytes.
    Memory {
        /// `None` is the kernel's own limit.
        size: Option<u64>,
    },
}

/// Where a directory and its `ready` file go. Relative paths are below the directory of all pods.
pub(crate) struct Place<'a> {
    /// The directory of all pods, open.
    pub(crate) root: &'a SafeRoot,
    /// Relative path of the directory.
    pub(crate) directory: &'a Path,
    /// Relative path of the directory of `ready`.
    pub(crate) ready: &'a Path,
}

impl Place<'_> {
    /// The directory's path on the host.
    pub(crate) fn host_path(&self) -> PathBuf {
        self.root.path().join(self.directory)
    }

    fn is_ready(&self) -> Result<bool, SetUpError> {
        match self.root.open_file(&self.ready.join("ready")) {
            Ok(_) => Ok(true),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn set_ready(&self) -> Result<(), SetUpError> {
        self.root.create_dir_all(self.ready, PRIVATE_MODE)?;
        match self.root.create_file(&self.ready.join("ready"), 0o644) {
            Ok(_) => Ok(()),
            Err(_) if self.is_ready()? => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn make_directory(&self) -> Result<(), SetUpError> {
        let plugin = self.directory.parent().unwrap_or(self.directory);
        let volumes = plugin.parent().unwrap_or(plugin);
        self.root.create_dir_all(volumes, PRIVATE_MODE)?;
        self.root.create_dir_all(plugin, PLUGIN_MODE)?;
        let fd = self.root.create_dir_all(self.directory, OPEN_MODE)?;
        let failed = |errno: Errno| SetUpError::File {
            operation: "chmod",
            path: self.host_path(),
            cause: errno.into(),
        };
        // One that was there before may have another mode. What is mounted on it has the mode it should have.
        let seen = fstat(&fd).map_err(failed)?;
        if seen.st_mode & 0o777 != OPEN_MODE {
            fchmod(&fd, Mode::from_raw_mode(OPEN_MODE)).map_err(failed)?;
        }
        Ok(())
    }

    fn is_tmpfs_mount(&self) -> Result<bool, SetUpError> {
        if !mounts::is_mount_point(&self.host_path())? {
            return Ok(false);
        }
        let fd = self.root.open_dir(self.directory)?;
        let seen = fstatfs(&fd).map_err(|errno| SetUpError::File {
            operation: "statfs",
            path: self.host_path(),
            cause: errno.into(),
        })?;
        Ok(seen.f_type == TMPFS_MAGIC)
    }
}

fn mount_memory(target: &Path, size: Option<u64>) -> Result<(), MountError> {
    let options = TmpfsOptions { size_bytes: size, mode: None, noswap: true };
    match mounts::mount_tmpfs(target, &options) {
        // Kernels before 6.4, and user namespaces, do not have the option.
        Err(MountError::Tmpfs { cause, .. })
            if matches!(cause.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::PermissionDenied) =>
        {
            mounts::mount_tmpfs(target, &TmpfsOptions { noswap: false, ..options })
        }
        other => other,
    }
}

/// Makes the directory, or finds it made. `group` is the pod's `fsGroup`.
pub(crate) fn set_up(place: &Place<'_>, medium: Medium, group: Option<u32>) -> Result<(), SetUpError> {
    if place.is_ready()? {
        match medium {
            Medium::Memory { .. } if place.is_tmpfs_mount()? => return Ok(()),
            Medium::Disk if place.host_path().symlink_metadata().is_ok_and(|seen| seen.is_dir()) => {
                return Ok(());
            }
            // Somebody removed the directory by hand: begin anew.
            Medium::Disk => place.root.remove_tree(place.ready)?,
            Medium::Memory { .. } => {}
        }
    }
    place.make_directory()?;
    if let Medium::Memory { size } = medium
        && !place.is_tmpfs_mount()?
    {
        mount_memory(&place.host_path(), size)?;
    }
    if let Some(group) = group {
        let volume = place.root.descend(place.directory)?;
        // As upstream: a volume that cannot be walked is still a volume.
        if let Err(error) = ownership::apply(&volume, group, Access::ReadWrite) {
            tracing::warn!(path = %place.host_path().display(), %error, "Cannot give an emptyDir to the pod's fsGroup");
        }
    }
    place.set_ready()
}

/// Mode of a directory, all twelve bits.
pub(crate) fn mode_of(path: &Path) -> io::Result<u32> {
    Ok(path.metadata()?.mode() & 0o7777)
}
