//! Kernel files: small, text, read and written whole.

use std::{
    fs::OpenOptions,
    io::{self, Write},
    path::{Path, PathBuf},
};

use seams::HostError;

/// A failed operation on a path.
pub(crate) fn failed(operation: &'static str, path: &Path, source: io::Error) -> HostError {
    HostError::Path { operation, path: path.to_path_buf(), source }
}

/// Contents of a file without the white space around it.
pub(crate) fn read(path: &Path) -> Result<String, HostError> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).trim().to_owned()),
        Err(source) => Err(failed("read", path, source)),
    }
}

/// Contents, or `None` when the file does not exist.
pub(crate) fn read_if_there(path: &Path) -> Result<Option<String>, HostError> {
    match read(path) {
        Ok(text) => Ok(Some(text)),
        Err(HostError::Path { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// A file that holds one number.
pub(crate) fn read_number(path: &Path) -> Result<u64, HostError> {
    let text = read(path)?;
    text.parse().map_err(|_| malformed(path, &text))
}

/// A file that holds something else than it should.
pub(crate) fn malformed(path: &Path, text: &str) -> HostError {
    let shown: String = text.chars().take(80).collect();
    failed(
        "parse",
        path,
        io::Error::new(io::ErrorKind::InvalidData, format!("unexpected contents {shown:?}")),
    )
}

/// Writes an existing file. Never creates one: in a kernel filesystem a missing file is a missing feature.
pub(crate) fn write(path: &Path, value: &str) -> Result<(), HostError> {
    let mut file =
        OpenOptions::new().write(true).open(path).map_err(|source| failed("open", path, source))?;
    file.write_all(value.as_bytes()).map_err(|source| failed(WRITE, path, source))
}

/// Operation of [`write`] in errors.
pub(crate) const WRITE: &str = "write";

/// Value of a line `<name> <value>` or `<name>: <value> …`.
pub(crate) fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        let key = words.next()?;
        (key.strip_suffix(':').unwrap_or(key) == name).then(|| words.next()?.parse().ok()).flatten()
    })
}

/// Names of the directories in a directory; none when it does not exist.
pub(crate) fn directories(path: &Path) -> Result<Vec<PathBuf>, HostError> {
    let entries = match std::fs::read_dir(path) {
        Ok(entries) => entries,
        Err(source) if source.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(failed("list", path, source)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|source| failed("list", path, source))?;
        // A file that goes away meanwhile is no directory any more.
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}
