//! Mounts beneath a lab's folders: overlays of containers, volumes of pods, network namespaces.

use std::{
    ffi::{OsStr, OsString},
    fs,
    os::unix::ffi::{OsStrExt as _, OsStringExt as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use rustix::mount::{UnmountFlags, unmount};

/// Mount points in a text like `/proc/self/mountinfo`, oldest first.
fn parse(mountinfo: &str) -> Vec<PathBuf> {
    mountinfo.lines().filter_map(|line| line.split(' ').nth(4)).map(|point| unescape(point).into()).collect()
}

/// `\040` and its like, with which the kernel writes blanks (proc_pid_mountinfo(5)).
fn unescape(text: &str) -> OsString {
    let bytes = text.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let octal = (*byte == b'\\').then(|| bytes.get(at + 1..at + 4)).flatten();
        let code = octal
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        plain.push(code.unwrap_or(*byte));
        at += if code.is_some() { 4 } else { 1 };
    }
    OsString::from_vec(plain)
}

/// The mount points at or beneath a folder, oldest first.
///
/// # Errors
/// `/proc/self/mountinfo` cannot be read.
pub fn beneath(folder: &Path) -> Result<Vec<PathBuf>> {
    let text = fs::read("/proc/self/mountinfo").context("cannot read /proc/self/mountinfo")?;
    let text = String::from_utf8_lossy(&text);
    Ok(parse(&text).into_iter().filter(|point| point.starts_with(folder)).collect())
}

/// Unmount everything at or beneath a folder, newest first. What is busy is detached, and goes with its last user.
///
/// # Errors
/// A mount cannot be taken off.
pub fn unmount_beneath(folder: &Path) -> Result<()> {
    // A mount may uncover another one: look again until nothing is left, but not for ever.
    for _ in 0..8 {
        let points = beneath(folder)?;
        if points.is_empty() {
            return Ok(());
        }
        for point in points.iter().rev() {
            take_off(point)?;
        }
    }
    anyhow::ensure!(beneath(folder)?.is_empty(), "mounts beneath {} come back", folder.display());
    Ok(())
}

/// Unmount one mount point, or detach it.
fn take_off(point: &Path) -> Result<()> {
    let name: &OsStr = point.as_os_str();
    let flags = UnmountFlags::NOFOLLOW;
    if unmount(name.as_bytes(), flags).is_ok() {
        return Ok(());
    }
    match unmount(name.as_bytes(), flags | UnmountFlags::DETACH) {
        Ok(()) => Ok(()),
        // It went with a mount taken off before, or is hidden beneath one still to go.
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOENT) => Ok(()),
        Err(error) => Err(error).with_context(|| format!("cannot unmount {}", point.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_with_blanks() {
        let text = "24 1 0:22 / /a\\040b\\134c rw - tmpfs tmpfs rw\n25 24 0:3 / /d rw - proc proc rw\n";
        assert_eq!(parse(text), [Path::new("/a b\\c"), Path::new("/d")]);
    }

    #[test]
    fn a_neighbour_whose_name_begins_alike_is_not_beneath() {
        assert!(!Path::new("/s/labs/ab/x").starts_with("/s/labs/a"));
        assert!(beneath(Path::new("/no/such/folder")).unwrap().is_empty());
    }
}
