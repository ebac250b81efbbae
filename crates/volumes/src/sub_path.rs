//! `subPath`: a part of a volume, bound to `<pod>/volume-subpaths/<volume>/<container>/<index>` (contract §14.2).
//!
//! The pod writes the volume, so every part of the path may be a link by the time we look. The path is therefore
//! opened once, beneath the volume's root, and it is the descriptor that is bound. Users get no details of a failure:
//! they would learn about the node's files.

use std::{
    io,
    os::fd::AsFd,
    path::{Path, PathBuf},
};

use linux::{
    mounts::{self, BindOptions, Unmount},
    safe_path::{SafePathError, SafeRoot, SubPath, SubPathKind},
};
use rustix::{
    fs::{AtFlags, CWD, fstat, statat},
    io::Errno,
};

use crate::{
    empty_dir::mode_of,
    error::SetUpError,
    layout::{PRIVATE_MODE, PodPaths},
};

/// What to bind for whom.
pub(crate) struct Request<'a> {
    /// Directory of all pods, open.
    pub(crate) root: &'a SafeRoot,
    /// Paths of the pod.
    pub(crate) pod: &'a PodPaths,
    /// Volume name.
    pub(crate) volume: &'a str,
    /// Root of the volume on the host.
    pub(crate) volume_root: &'a Path,
    /// Path below it.
    pub(crate) path: &'a str,
    /// Container name.
    pub(crate) container: &'a str,
    /// Position of the mount in the container.
    pub(crate) index: usize,
}

fn is_same(found: &SubPath, target: &Path) -> Result<bool, Errno> {
    let wanted = fstat(&found.fd)?;
    match statat(CWD, target, AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT) {
        Ok(seen) => Ok(seen.st_dev == wanted.st_dev && seen.st_ino == wanted.st_ino),
        // The mount is dead (its server or file is gone): not the same any more.
        Err(Errno::NOTCONN | Errno::STALE | Errno::IO | Errno::NOENT) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// Binds a sub path, making it a directory where it is missing, and returns the bound path.
pub(crate) fn prepare(request: &Request<'_>) -> Result<PathBuf, SetUpError> {
    let volume = SafeRoot::open(request.volume_root).map_err(|error| match error {
        SafePathError::Root { root, cause } if cause.kind() == io::ErrorKind::NotFound => {
            SetUpError::NoVolume { path: root, cause }
        }
        other => other.into(),
    })?;
    let mode = mode_of(request.volume_root).map_err(|cause| SetUpError::File {
        operation: "stat",
        path: request.volume_root.to_path_buf(),
        cause,
    })?;
    // Missing directories get the volume's own mode, so that a container under any user can write where it could
    // have made them itself.
    let found = volume.create_sub_path(Path::new(request.path), mode).map_err(|error| match error {
        error @ SafePathError::Create { .. } => SetUpError::SubPath(error),
        other => other.into(),
    })?;

    let parent =
        request.pod.sub_path_parent(request.volume, request.container).map_err(SetUpError::Layout)?;
    let relative = parent.join(request.index.to_string());
    let target = request.root.path().join(&relative);
    let failed =
        |operation, errno: Errno| SetUpError::File { operation, path: target.clone(), cause: errno.into() };
    if mounts::is_mount_point(&target)? {
        if is_same(&found, &target).map_err(|errno| failed("stat", errno))? {
            return Ok(target);
        }
        // The volume's contents were replaced since (an atomic writer does that). Lazily: a dead mount would not go
        // otherwise.
        mounts::unmount(&target, Unmount::Lazy)?;
    }
    request.root.create_dir_all(&parent, PRIVATE_MODE)?;
    // What an earlier container had here may have been of the other kind.
    let is_directory = target.symlink_metadata().map(|seen| seen.is_dir()).ok();
    match (found.kind, is_directory) {
        (SubPathKind::Directory, Some(false)) | (SubPathKind::File, Some(true)) => {
            request.root.remove_tree(&relative)?;
        }
        _ => {}
    }
    match found.kind {
        SubPathKind::Directory => {
            request.root.create_dir_all(&relative, PRIVATE_MODE)?;
        }
        SubPathKind::File => {
            if target.symlink_metadata().is_err() {
                request.root.create_file(&relative, 0o640)?;
            }
        }
    }
    mounts::bind_fd(found.fd.as_fd(), &target, BindOptions { recursive: false, read_only: false })?;
    Ok(target)
}
