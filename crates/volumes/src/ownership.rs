//! `fsGroup`: a volume's files belong to the pod's group (contract §14.1).
//!
//! Everything in the tree gets the group; files get `rw-` for it, directories `rwx` and set-group-id, or the
//! read-only halves of these. `fsGroupChangePolicy` does not matter here: upstream ignores it for every kind of volume
//! that this crate has.
//!
//! The tree is walked by descriptor: a link is changed itself, never what it points to, and other filesystems are left
//! alone. However deep it is, that takes few descriptors. What cannot be changed stays as it is, as upstream; a tree
//! that cannot be walked is an error.

use std::{
    ffi::{OsStr, OsString},
    io,
    os::{fd::AsFd, unix::ffi::OsStrExt},
    path::PathBuf,
};

use linux::{
    mounts::fd_path,
    safe_path::{Descent, SafeRoot, Step},
};
use rustix::{
    fs::{AtFlags, Dir, FileType, Gid, Mode, OFlags, chmod, chownat, fstat, openat},
    io::Errno,
};

/// What containers do with the volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// They read.
    ReadOnly,
    /// They write, too.
    ReadWrite,
}

/// A part of a volume that could not be walked.
#[derive(Debug, thiserror::Error)]
#[error("cannot give {path} to group {group} (fsGroup): {cause}")]
pub(crate) struct OwnershipError {
    path: PathBuf,
    group: u32,
    cause: io::Error,
}

fn entries(directory: impl AsFd) -> Result<Vec<OsString>, Errno> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(OsStr::from_bytes(name).to_owned());
        }
    }
    Ok(names)
}

/// Gives the files of one volume to a group.
struct Giver {
    group: u32,
    access: Access,
    /// How many objects the file system did not let be changed.
    refused: u64,
    /// The first of them, relative to the volume, and why.
    first: Option<(PathBuf, Errno)>,
}

impl Giver {
    /// Changes one object, given by an `O_PATH` or ordinary descriptor. Fails only when it cannot be looked at: what is
    /// refused is counted.
    fn give(&mut self, fd: impl AsFd, path: impl FnOnce() -> PathBuf) -> Result<(), Errno> {
        let seen = fstat(&fd)?;
        let group = Gid::from_raw(self.group);
        let owned = chownat(&fd, "", None, Some(group), AtFlags::EMPTY_PATH);
        let mode = match FileType::from_raw_mode(seen.st_mode) {
            FileType::Symlink => None,
            kind => Some(Mode::from_raw_mode((seen.st_mode & 0o7777) | self.bits(kind))),
        };
        // chmod(2) on the descriptor's magic link: fchmod(2) does not take an O_PATH descriptor. Also after a refusal:
        // the one does not need the other.
        let moded = mode.map_or(Ok(()), |mode| chmod(fd_path(fd.as_fd()), mode));
        if let Err(errno) = owned.and(moded) {
            self.refused += 1;
            if self.first.is_none() {
                self.first = Some((path(), errno));
            }
        }
        Ok(())
    }

    /// Permissions that an object gets beside those that it has.
    fn bits(&self, kind: FileType) -> u32 {
        let bits = match self.access {
            Access::ReadOnly => 0o440,
            Access::ReadWrite => 0o660,
        };
        if kind == FileType::Directory { bits | 0o2110 } else { bits }
    }
}

/// Walks a volume, children before parents.
fn give_all(volume: &SafeRoot, group: u32, access: Access) -> Result<Giver, OwnershipError> {
    let failed = |path: PathBuf, errno: Errno| OwnershipError {
        path: volume.path().join(path),
        group,
        cause: errno.into(),
    };
    let open = |parent: &dyn AsFd, name: &OsStr| {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        openat(parent.as_fd(), name, flags, Mode::empty())
    };
    let enter = |parent: &dyn AsFd, name: &OsStr| {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = openat(parent.as_fd(), name, flags, Mode::empty())?;
        let left = entries(&fd)?;
        Ok::<_, Errno>((fd, left))
    };
    let mut giver = Giver { group, access, refused: 0, first: None };
    let top = OsStr::new(".");
    let (fd, left) = enter(volume, top).map_err(|errno| failed(top.into(), errno))?;
    let device = fstat(&fd).map_err(|errno| failed(top.into(), errno))?.st_dev;
    let mut walk = Descent::new(fd, left);
    loop {
        let name = match walk.step() {
            Ok(Step::Entry(name)) => name,
            Ok(Step::Done(name, done)) => {
                let given = giver.give(&done, || walk.path_of(&name));
                given.map_err(|errno| failed(walk.path_of(&name), errno))?;
                continue;
            }
            Ok(Step::End) => break,
            Err((name, errno)) => return Err(failed(walk.path_of(&name), errno)),
        };
        let step = match open(&walk.here(), &name).and_then(|fd| Ok((fstat(&fd)?, fd))) {
            Ok((seen, _)) if seen.st_dev != device => Ok(()),
            Ok((seen, _)) if FileType::from_raw_mode(seen.st_mode) == FileType::Directory => {
                enter(&walk.here(), &name).and_then(|(fd, left)| walk.enter(name.clone(), fd, left))
            }
            Ok((_, fd)) => giver.give(&fd, || walk.path_of(&name)),
            Err(errno) => Err(errno),
        };
        match step {
            // Gone, or replaced under our hands by something else: not part of this volume any more.
            Ok(()) | Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
            Err(errno) => return Err(failed(walk.path_of(&name), errno)),
        }
    }
    giver.give(walk.here(), || top.into()).map_err(|errno| failed(top.into(), errno))?;
    Ok(giver)
}

/// Gives a volume to a group, as far as its file system has owners and lets them be changed: what it refuses is told
/// once for the volume, which is one all the same.
///
/// # Errors
/// The volume cannot be walked.
pub(crate) fn apply(volume: &SafeRoot, group: u32, access: Access) -> Result<(), OwnershipError> {
    let given = give_all(volume, group, access)?;
    if let Some((path, errno)) = &given.first {
        tracing::warn!(
            volume = %volume.path().display(),
            group,
            refused = given.refused,
            first = %path.display(),
            error = %errno,
            hint = "containers see these files as they are; does the file system have owners, is it read only?",
            "Cannot give files of a volume to the pod's fsGroup"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use linux::mounts::{self, BindOptions, Unmount};

    use super::*;

    fn mode(path: &std::path::Path) -> (u32, u32) {
        let seen = path.symlink_metadata().unwrap();
        (seen.mode() & 0o7777, seen.gid())
    }

    #[test]
    fn the_tree_gets_the_group_and_links_are_not_followed() {
        assert!(rustix::process::geteuid().is_root(), "this test changes groups: run it as root");
        let scratch = tempfile::tempdir().unwrap();
        let volume = scratch.path().join("volume");
        std::fs::create_dir_all(volume.join("a/b")).unwrap();
        let victim = scratch.path().join("victim");
        for file in [victim.clone(), volume.join("a/b/file")] {
            std::fs::write(&file, "x").unwrap();
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        }
        for directory in ["", "a", "a/b"] {
            std::fs::set_permissions(volume.join(directory), std::fs::Permissions::from_mode(0o700)).unwrap();
        }
        symlink(&victim, volume.join("a/link")).unwrap();

        apply(&SafeRoot::open(&volume).unwrap(), 4321, Access::ReadWrite).unwrap();
        assert_eq!(mode(&volume), (0o2770, 4321));
        assert_eq!(mode(&volume.join("a/b")), (0o2770, 4321));
        assert_eq!(mode(&volume.join("a/b/file")), (0o660, 4321));
        assert_eq!(mode(&volume.join("a/link")).1, 4321);
        assert_eq!(mode(&victim), (0o600, 0));

        std::fs::set_permissions(volume.join("a/b/file"), std::fs::Permissions::from_mode(0o600)).unwrap();
        apply(&SafeRoot::open(&volume).unwrap(), 1234, Access::ReadOnly).unwrap();
        assert_eq!(mode(&volume.join("a/b/file")), (0o640, 1234));
    }

    #[test]
    fn what_cannot_be_changed_is_counted_and_the_rest_is_given() {
        assert!(rustix::process::geteuid().is_root(), "this test mounts and changes groups: run it as root");
        let scratch = tempfile::tempdir().unwrap();
        let volume = scratch.path().join("volume");
        let fixed = volume.join("fixed");
        std::fs::create_dir_all(&fixed).unwrap();
        for file in [fixed.join("file"), volume.join("free")] {
            std::fs::write(&file, "x").unwrap();
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        }
        mounts::bind(&fixed, &fixed, BindOptions { recursive: false, read_only: true }).unwrap();
        let root = SafeRoot::open(&volume).unwrap();
        let given = give_all(&root, 4321, Access::ReadWrite);
        let applied = apply(&root, 4321, Access::ReadWrite);
        mounts::unmount(&fixed, Unmount::Lazy).unwrap();

        let given = given.unwrap();
        assert_eq!(given.refused, 2);
        assert_eq!(given.first, Some((PathBuf::from("fixed/file"), Errno::ROFS)));
        applied.unwrap();
        assert_eq!(mode(&fixed.join("file")), (0o600, 0));
        assert_eq!(mode(&volume.join("free")), (0o660, 4321));
        assert_eq!(mode(&volume).1, 4321);
    }

    #[test]
    fn how_deep_a_volume_is_does_not_matter() {
        let name = "ownership::tests::how_deep_a_volume_is_does_not_matter";
        if !fakes::process::with_few_descriptors(name).unwrap() {
            return;
        }
        let scratch = tempfile::tempdir().unwrap();
        let deepest: PathBuf =
            [scratch.path().join("volume")].into_iter().chain((0..500).map(|_| "d".into())).collect();
        std::fs::create_dir_all(&deepest).unwrap();
        std::fs::write(deepest.join("file"), "x").unwrap();
        let root = SafeRoot::open(scratch.path()).unwrap();
        let volume = root.descend(std::path::Path::new("volume")).unwrap();
        apply(&volume, 4321, Access::ReadWrite).unwrap();
        for path in [&deepest.join("file"), &deepest, &scratch.path().join("volume")] {
            assert_eq!(mode(path).1, 4321, "{}", path.display());
        }
        root.remove_tree(std::path::Path::new("volume")).unwrap();
    }
}
