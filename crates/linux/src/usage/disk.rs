//! Disk use, measured by walking or asking.
//!
//! What is walked belongs to pods, which may change it meanwhile and may have made anything: a walk follows no link,
//! leaves no file system, holds two descriptors however deep it is, and goes back up only to where it came from.

use std::{collections::HashSet, ffi::CString, os::fd::OwnedFd, path::Path};

use rustix::{
    fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat, fstat, openat, statat},
    io::Errno,
};
use seams::{
    HostError,
    stats::{Amount, Figure, Target},
};

use super::filesystem;
use crate::files;

/// Unit of `st_blocks`, whatever the file system's blocks are.
const BLOCK: u64 = 512;

/// Measures.
pub(super) fn measure(target: &Target) -> Result<Figure, HostError> {
    Ok(match target {
        Target::Space(path) | Target::Mount(path) => Figure::Space(filesystem(path)?),
        Target::Tree(path) => Figure::Tree(tree(path)?, filesystem(path)?),
        Target::Logs(path) => {
            let (own, inside) = logs(path)?;
            Figure::Logs(own, inside)
        }
        Target::File(path) => {
            let seen = statat(CWD, &**path, AtFlags::SYMLINK_NOFOLLOW);
            Figure::File(amount(&seen.map_err(|errno| failed("stat", path, errno))?))
        }
    })
}

fn failed(operation: &'static str, path: &Path, errno: Errno) -> HostError {
    files::failed(operation, path, errno.into())
}

fn amount(seen: &Stat) -> Amount {
    Amount { bytes: u64::try_from(seen.st_blocks).unwrap_or(0).saturating_mul(BLOCK), inodes: 1 }
}

/// A directory on the way down.
struct Level {
    /// What it is, to know it again on the way up.
    id: (u64, u64),
    /// Directories in it that were not looked at yet.
    left: Vec<CString>,
}

/// What a walk has found.
#[derive(Default)]
struct Walk {
    total: Amount,
    /// Files with several names that were counted already.
    counted: HashSet<u64>,
}

impl Walk {
    fn count(&mut self, seen: &Stat) {
        if seen.st_nlink <= 1 || is_directory(seen) || self.counted.insert(seen.st_ino) {
            self.total += amount(seen);
        }
    }

    /// Counts what is in a directory but directories, which it returns.
    fn list(&mut self, directory: &OwnedFd, device: u64) -> Result<Vec<CString>, Errno> {
        let mut left = Vec::new();
        for entry in Dir::read_from(directory)? {
            let entry = entry?;
            let name = entry.file_name();
            if name.to_bytes() == b"." || name.to_bytes() == b".." {
                continue;
            }
            let seen = match statat(directory, name, AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT) {
                Ok(seen) if seen.st_dev == device => seen,
                Ok(_) | Err(Errno::NOENT) => continue,
                Err(errno) => return Err(errno),
            };
            if is_directory(&seen) {
                left.push(name.to_owned());
            } else {
                self.count(&seen);
            }
        }
        Ok(left)
    }
}

fn is_directory(seen: &Stat) -> bool {
    FileType::from_raw_mode(seen.st_mode) == FileType::Directory
}

fn open_directory(parent: impl std::os::fd::AsFd, name: impl rustix::path::Arg) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(parent, name, flags, Mode::empty())
}

/// What is at and below a directory.
fn tree(path: &Path) -> Result<Amount, HostError> {
    walk(path).map_err(|errno| failed("walk", path, errno))
}

fn walk(path: &Path) -> Result<Amount, Errno> {
    let mut here = open_directory(CWD, path)?;
    let top = fstat(&here)?;
    let mut walk = Walk::default();
    walk.count(&top);
    let mut levels = vec![Level { id: (top.st_dev, top.st_ino), left: walk.list(&here, top.st_dev)? }];
    while let Some(level) = levels.last_mut() {
        if let Some(name) = level.left.pop() {
            let child = match open_directory(&here, name.as_c_str()) {
                Ok(child) => child,
                // It went, or became something else.
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => continue,
                Err(errno) => return Err(errno),
            };
            let seen = fstat(&child)?;
            if seen.st_dev != top.st_dev {
                continue;
            }
            walk.count(&seen);
            levels.push(Level { id: (seen.st_dev, seen.st_ino), left: walk.list(&child, top.st_dev)? });
            here = child;
        } else {
            levels.pop();
            let Some(above) = levels.last() else { break };
            let parent = open_directory(&here, "..")?;
            let seen = fstat(&parent)?;
            if (seen.st_dev, seen.st_ino) != above.id {
                // Somebody moved the directory away: where the walk was is not known any more.
                return Err(Errno::STALE);
            }
            here = parent;
        }
    }
    Ok(walk.total)
}

type Logs = (Amount, Vec<(String, Amount)>);

/// Files of a pod's directory of logs, and of each directory in it: one a container.
fn logs(path: &Path) -> Result<Logs, HostError> {
    let top = open_directory(CWD, path).map_err(|errno| failed("open", path, errno))?;
    let (own, containers) = files_of(&top).map_err(|errno| failed("list", path, errno))?;
    let mut inside = Vec::new();
    for name in containers {
        let seen = open_directory(&top, name.as_c_str()).and_then(|directory| files_of(&directory));
        if let (Ok((amount, _)), Ok(name)) = (seen, name.into_string()) {
            inside.push((name, amount));
        }
    }
    Ok((own, inside))
}

/// Files in a directory, and names of directories in it.
fn files_of(directory: &OwnedFd) -> Result<(Amount, Vec<CString>), Errno> {
    let mut walk = Walk::default();
    let device = fstat(directory)?.st_dev;
    let inside = walk.list(directory, device)?;
    Ok((walk.total, inside))
}

#[cfg(test)]
mod tests;
