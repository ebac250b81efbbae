//! Writes ustar archives (POSIX.1-1988, `man 5 tar`), with names up to 100 bytes and no times: all that image layers and OCI
//! layouts need.

use anyhow::{Result, ensure};

/// Size of a header, and what contents are padded to.
const BLOCK: usize = 512;

/// What an entry is.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    /// A folder.
    Folder,
    /// A regular file and its contents.
    File(Vec<u8>),
    /// A symbolic link and its target.
    Link(String),
}

/// One entry.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// Relative, without a leading or trailing slash.
    pub(super) path: String,
    /// Permission bits with setuid, setgid and sticky.
    pub(super) mode: u32,
    /// Owner.
    pub(super) uid: u32,
    /// Group.
    pub(super) gid: u32,
    /// What it is.
    pub(super) kind: Kind,
}

impl Entry {
    /// Root's folder, 0755.
    pub(super) fn folder(path: &str) -> Self {
        Self { path: path.to_owned(), mode: 0o755, uid: 0, gid: 0, kind: Kind::Folder }
    }

    /// Root's file, 0644.
    pub(super) fn file(path: &str, contents: impl Into<Vec<u8>>) -> Self {
        Self { path: path.to_owned(), mode: 0o644, uid: 0, gid: 0, kind: Kind::File(contents.into()) }
    }

    /// A link.
    pub(super) fn link(path: &str, target: &str) -> Self {
        Self { path: path.to_owned(), mode: 0o777, uid: 0, gid: 0, kind: Kind::Link(target.to_owned()) }
    }

    /// With other permissions.
    pub(super) fn mode(self, mode: u32) -> Self {
        Self { mode, ..self }
    }

    /// With another owner and group.
    pub(super) fn owner(self, id: u32) -> Self {
        Self { uid: id, gid: id, ..self }
    }
}

/// The archive of these entries, in their order.
pub(super) fn archive(entries: &[Entry]) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    for entry in entries {
        let (flag, link, contents): (u8, &str, &[u8]) = match &entry.kind {
            Kind::Folder => (b'5', "", &[]),
            Kind::File(contents) => (b'0', "", contents),
            Kind::Link(target) => (b'2', target, &[]),
        };
        let name = if flag == b'5' { format!("{}/", entry.path) } else { entry.path.clone() };
        ensure!(name.len() <= 100 && link.len() <= 100, "{name}: names in a ustar header have 100 bytes");
        let mut header = [0_u8; BLOCK];
        put(&mut header, 0, name.as_bytes());
        put(&mut header, 100, format!("{:07o}", entry.mode).as_bytes());
        put(&mut header, 108, format!("{:07o}", entry.uid).as_bytes());
        put(&mut header, 116, format!("{:07o}", entry.gid).as_bytes());
        put(&mut header, 124, format!("{:011o}", contents.len()).as_bytes());
        put(&mut header, 136, b"00000000000");
        // The checksum is computed as if its own field were blanks.
        put(&mut header, 148, b"        ");
        header[156] = flag;
        put(&mut header, 157, link.as_bytes());
        put(&mut header, 257, b"ustar\x0000");
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        put(&mut header, 148, format!("{sum:06o}\0 ").as_bytes());
        out.extend_from_slice(&header);
        out.extend_from_slice(contents);
        out.resize(out.len().next_multiple_of(BLOCK), 0);
    }
    out.resize(out.len() + 2 * BLOCK, 0);
    Ok(out)
}

fn put(header: &mut [u8; BLOCK], at: usize, bytes: &[u8]) {
    header[at..at + bytes.len()].copy_from_slice(bytes);
}
