//! Files that are whole or not there: written beside their place, then renamed into it.

use std::{
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

/// Whether a file has to be there after a power failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lasting {
    /// It can be had again.
    No,
    /// It is on the disk before it has its name.
    Yes,
}

/// Writes a file of a directory that exists, in place of one that is there. Blocks.
pub(crate) fn write(path: &Path, text: &[u8], mode: u32, lasting: Lasting) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".tmp");
    let partial = path.with_file_name(name);
    let written = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(&partial)
        .and_then(|mut file| {
            file.write_all(text)?;
            if lasting == Lasting::Yes { file.sync_all() } else { Ok(()) }
        })
        .and_then(|()| std::fs::rename(&partial, path));
    if written.is_err() {
        // What is left of it would only take space.
        drop(std::fs::remove_file(&partial));
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_and_nothing_is_left_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.b");
        for (text, lasting) in [("one", Lasting::No), ("two", Lasting::Yes)] {
            write(&path, text.as_bytes(), 0o600, lasting).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        // A directory cannot be replaced.
        std::fs::create_dir(dir.path().join("d")).unwrap();
        assert!(write(&dir.path().join("d"), b"x", 0o600, Lasting::No).is_err());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
    }
}
