//! What readers of both versions share.

use jiff::Timestamp;
use seams::stats::Depth;

use super::{
    io::Names,
    reader::{Directory, Reader},
};

/// One pass over the tree: its buffers, and what is wanted.
pub(super) struct Pass<'a> {
    pub(super) reader: &'a mut Reader,
    /// `/proc`.
    pub(super) proc: &'a str,
    pub(super) depth: Depth,
    pub(super) devices: Names,
}

impl Pass<'_> {
    /// Opens a group's directory in a hierarchy, if that is mounted.
    pub(super) fn open(&mut self, mount: Option<&str>, path: &str) -> Option<Directory> {
        self.reader.open(mount?, path)
    }
}

/// Lines of a name and a number.
pub(super) fn lines(text: &str) -> impl Iterator<Item = (&str, u64)> {
    text.lines().filter_map(|line| {
        let (name, value) = line.split_once(' ')?;
        Some((name, value.parse().ok()?))
    })
}

/// When a group was made. The directory's time moves when groups are made in it; that of a file which nobody writes
/// does not, so that the older one is right.
pub(super) fn made(group: &Directory, unwritten: &str) -> Option<Timestamp> {
    let times = [group.written(""), group.written(unwritten)];
    let oldest = times.into_iter().flatten().min()?;
    Timestamp::from_nanosecond(oldest).ok()
}
