//! The kernel's mount table, `/proc/thread-self/mountinfo` (proc_pid_mountinfo(5)).

use std::{
    ffi::OsString,
    io,
    os::unix::ffi::OsStringExt,
    path::{Path, PathBuf},
};

use super::MountError;

/// The calling thread's table: a thread may have a mount namespace of its own.
const MOUNTINFO: &str = "/proc/thread-self/mountinfo";

/// One mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountEntry {
    /// `major:minor` of the filesystem.
    pub device: String,
    /// Which directory of the filesystem is mounted.
    pub root: PathBuf,
    /// Where.
    pub mount_point: PathBuf,
    /// Mount options, such as `rw,relatime`.
    pub options: String,
    /// It is a member of a peer group (`shared:N`).
    pub shared: bool,
    /// Filesystem type.
    pub fs_type: String,
    /// Source, such as a device.
    pub origin: String,
    /// Options of the filesystem, such as the controllers of a cgroup v1 hierarchy.
    pub super_options: String,
}

/// All mounts, in the order in which they were made.
#[derive(Clone, Debug, Default)]
pub struct MountTable {
    entries: Vec<MountEntry>,
}

impl MountTable {
    /// Reads the calling thread's table.
    ///
    /// # Errors
    /// [`MountError::Table`].
    pub fn read() -> Result<Self, MountError> {
        let failed = |cause: io::Error| MountError::Table { table: MOUNTINFO.into(), cause };
        // Bytes: a mount point need not be UTF-8.
        Ok(Self::parse(&std::fs::read(MOUNTINFO).map_err(failed)?))
    }

    /// Parses the text of a mountinfo file; lines that it does not understand are left out.
    #[must_use]
    pub fn parse(text: &[u8]) -> Self {
        Self { entries: text.split(|byte| *byte == b'\n').filter_map(parse_line).collect() }
    }

    /// All mounts, oldest first.
    #[must_use]
    pub fn entries(&self) -> &[MountEntry] {
        &self.entries
    }

    /// The topmost mount exactly at a path.
    #[must_use]
    pub fn mounted_at(&self, path: &Path) -> Option<&MountEntry> {
        self.entries.iter().rev().find(|entry| entry.mount_point == path)
    }

    /// Mounts at and below a path, newest first: the order to unmount them.
    pub fn below<'a>(&'a self, path: &'a Path) -> impl Iterator<Item = &'a MountEntry> {
        self.entries.iter().rev().filter(move |entry| entry.mount_point.starts_with(path))
    }

    /// The mount that an absolute path without symlinks lies on.
    #[must_use]
    pub fn holding(&self, path: &Path) -> Option<&MountEntry> {
        let mut best: Option<&MountEntry> = None;
        for entry in self.entries.iter().filter(|entry| path.starts_with(&entry.mount_point)) {
            let depth = |entry: &MountEntry| entry.mount_point.components().count();
            // `>=`: of two at one place the newer covers the older.
            if best.is_none_or(|held| depth(entry) >= depth(held)) {
                best = Some(entry);
            }
        }
        best
    }
}

fn parse_line(line: &[u8]) -> Option<MountEntry> {
    let mut fields = line.split(|byte| *byte == b' ');
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let device = text(fields.nth(2)?);
    let root = path_of(fields.next()?);
    let mount_point = path_of(fields.next()?);
    let options = text(fields.next()?);
    // All of them up to the separator, so that what follows is the type.
    let optional: Vec<&[u8]> = fields.by_ref().take_while(|field| *field != b"-").collect();
    let shared = optional.iter().any(|field| field.starts_with(b"shared:"));
    let fs_type = text(fields.next()?);
    let origin = path_of(fields.next()?).to_string_lossy().into_owned();
    let super_options = text(fields.next().unwrap_or_default());
    Some(MountEntry { device, root, mount_point, options, shared, fs_type, origin, super_options })
}

/// The kernel writes space, tab, newline and backslash as three octal digits.
fn path_of(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, tail)) = rest.split_first() {
        let octal = |digit: &u8| (b'0'..=b'7').contains(digit).then(|| u32::from(digit - b'0'));
        let escape = match (first, tail) {
            (b'\\', [a, b, c, after @ ..]) => match (octal(a), octal(b), octal(c)) {
                (Some(a), Some(b), Some(c)) => {
                    u8::try_from(a * 64 + b * 8 + c).ok().map(|byte| (byte, after))
                }
                _ => None,
            },
            _ => None,
        };
        let (byte, after) = escape.unwrap_or((*first, tail));
        bytes.push(byte);
        rest = after;
    }
    PathBuf::from(OsString::from_vec(bytes))
}
