//! Reads many small kernel files with few allocations: one buffer for paths, one for contents.
//!
//! A file that is not there, or whose group goes while it is read, is `None`: both happen all the time.

use std::{fmt::Write as _, os::fd::OwnedFd};

use rustix::{
    fs::{AtFlags, Mode, OFlags, openat, statat},
    io::{Errno, read},
};

/// At most this much of a file is read at once.
const CHUNK: usize = 16 << 10;
/// The kernel hands out whole lines, so that a read which ends this early has met the end: its own buffer is a page,
/// and no line of these files is longer than half of one.
const SURELY_THE_END: usize = 2 << 10;
/// Most of a file. The longest are lists of processes.
const MOST: usize = 4 << 20;

/// A directory whose files are read.
#[derive(Debug)]
pub(crate) struct Directory(OwnedFd);

/// The buffers of one pass.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    path: String,
    contents: Vec<u8>,
}

impl Reader {
    /// Opens the directory at `below` in `mount`.
    pub(crate) fn open(&mut self, mount: &str, below: &str) -> Option<Directory> {
        self.path.clear();
        self.path.push_str(mount);
        if below != "/" {
            self.path.push_str(below);
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::open(self.path.as_str(), flags, Mode::empty()).ok().map(Directory)
    }

    /// Opens the directory of a process in `/proc`.
    pub(crate) fn process(&mut self, proc: &str, pid: u32) -> Option<Directory> {
        let mut name = String::with_capacity(12);
        // A write into a string cannot fail.
        let _ = write!(name, "/{pid}");
        self.open(proc, &name)
    }

    /// A file's text without the white space around it.
    pub(crate) fn text(&mut self, directory: &Directory, name: &str) -> Option<&str> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let file = openat(&directory.0, name, flags, Mode::empty()).ok()?;
        self.contents.clear();
        while self.contents.len() < MOST {
            let before = self.contents.len();
            self.contents.resize(before + CHUNK, 0);
            let count = loop {
                match read(&file, self.contents.get_mut(before..)?) {
                    Err(Errno::INTR) => {}
                    other => break other.ok()?,
                }
            };
            self.contents.truncate(before + count);
            if count < SURELY_THE_END {
                break;
            }
        }
        std::str::from_utf8(&self.contents).ok().map(str::trim)
    }

    /// A file of one number; `None` also for words such as `max`.
    pub(crate) fn number(&mut self, directory: &Directory, name: &str) -> Option<u64> {
        self.text(directory, name)?.parse().ok()
    }

    /// A limit: a number, or no limit. The outer `None` is a file that is not there.
    pub(crate) fn limit(&mut self, directory: &Directory, name: &str) -> Option<Option<u64>> {
        let text = self.text(directory, name)?;
        // v1 writes a number that no memory reaches, v2 a word, and some files -1.
        Some(text.parse().ok().filter(|value| *value < UNLIMITED))
    }
}

/// From here on a limit of memory is none (upstream's bound too).
const UNLIMITED: u64 = 1 << 62;

impl Directory {
    /// When a file in it was last written, in nanoseconds since the epoch; the directory itself for an empty name.
    pub(crate) fn written(&self, name: &str) -> Option<i128> {
        let flags = if name.is_empty() { AtFlags::EMPTY_PATH } else { AtFlags::empty() };
        let seen = statat(&self.0, name, flags).ok()?;
        Some(i128::from(seen.st_mtime) * 1_000_000_000 + i128::from(seen.st_mtime_nsec))
    }

    /// The descriptor: good for calls that take a path beside it.
    pub(crate) fn descriptor(&self) -> &OwnedFd {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_whole_and_numbers_are_told_from_words() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("group")).unwrap();
        let write =
            |name: &str, text: &str| std::fs::write(dir.path().join("group").join(name), text).unwrap();
        let long = "12345678\n".repeat(10_000);
        write("long", &long);
        write("number", "42\n");
        write("max", "max\n");
        write("huge", "9223372036854771712\n");
        write("bytes", "text");
        std::fs::write(dir.path().join("group/bad"), [0xff, 0xfe]).unwrap();
        let mut reader = Reader::default();
        let mount = dir.path().to_str().unwrap().to_owned();
        let group = reader.open(&mount, "/group").unwrap();
        assert_eq!(reader.text(&group, "long").unwrap(), long.trim());
        assert_eq!(reader.number(&group, "number"), Some(42), "nothing of the longer file is left");
        assert_eq!((reader.number(&group, "max"), reader.number(&group, "bytes")), (None, None));
        assert_eq!(reader.limit(&group, "number"), Some(Some(42)));
        assert_eq!((reader.limit(&group, "max"), reader.limit(&group, "huge")), (Some(None), Some(None)));
        assert_eq!((reader.limit(&group, "none"), reader.text(&group, "bad")), (None, None));
        assert!(group.written("number").unwrap() > 0 && group.written("").unwrap() > 0);
        std::fs::remove_dir_all(dir.path().join("group")).unwrap();
        assert_eq!(reader.number(&group, "number"), None, "the group is gone");
        assert!(reader.open(&mount, "/group").is_none());
        assert!(reader.open(&mount, "/").is_some());
    }
}
