//! What an atomic writer puts into a volume: paths, contents, modes.
//!
//! No `Debug` and no `Display` for contents: they are secrets as often as not.

use std::collections::BTreeMap;

/// Longest path inside a volume, bytes.
const MAX_PATH: usize = 4096;
/// Longest name of a file, bytes.
const MAX_NAME: usize = 255;

/// One file.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Projection {
    /// Contents.
    pub(crate) data: Vec<u8>,
    /// Permission bits, up to 0777.
    pub(crate) mode: u32,
    /// Owner; `None` leaves it with the kubelet's user.
    pub(crate) owner: Option<u32>,
}

/// Files by path, relative to the volume.
pub(crate) type Payload = BTreeMap<String, Projection>;

/// Why a path cannot be in a volume. The texts are upstream's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PathError {
    /// Nothing there.
    #[error("invalid path: must not be empty: {0:?}")]
    Empty(String),
    /// Absolute.
    #[error("invalid path: must be relative path: {0}")]
    Absolute(String),
    /// Too long as a whole.
    #[error("invalid path: must be less than or equal to {MAX_PATH} characters")]
    TooLong,
    /// Leads up.
    #[error("invalid path: must not contain '..': {0}")]
    Backstep(String),
    /// A part is too long.
    #[error("invalid path: filenames must be less than or equal to {MAX_NAME} characters")]
    NameTooLong,
    /// Reserved for the writer.
    #[error("invalid path: must not start with '..': {0}")]
    Reserved(String),
}

/// Permission bits of an API mode, which may carry more than a file can have here.
pub(crate) fn file_mode(mode: i32) -> u32 {
    mode.cast_unsigned() & 0o777
}

fn clean(path: &str) -> Result<String, PathError> {
    if path.starts_with('/') {
        return Err(PathError::Absolute(path.to_owned()));
    }
    if path.len() > MAX_PATH {
        return Err(PathError::TooLong);
    }
    let parts: Vec<&str> = path.split('/').collect();
    if parts.contains(&"..") {
        return Err(PathError::Backstep(path.to_owned()));
    }
    if parts.iter().any(|part| part.len() > MAX_NAME) {
        return Err(PathError::NameTooLong);
    }
    if path.starts_with("..") {
        return Err(PathError::Reserved(path.to_owned()));
    }
    let cleaned: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty() && *part != ".").collect();
    match cleaned.first() {
        None => Err(PathError::Empty(path.to_owned())),
        // `./..data` is cleaned into the writer's own names.
        Some(first) if first.starts_with("..") => Err(PathError::Reserved(path.to_owned())),
        Some(_) => Ok(cleaned.join("/")),
    }
}

/// The payload with its paths checked and cleaned.
pub(crate) fn checked(payload: Payload) -> Result<Payload, PathError> {
    payload.into_iter().map(|(path, file)| Ok((clean(&path)?, file))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        for (path, expected) in
            [("a", "a"), ("a/b", "a/b"), ("./a//b/", "a/b"), ("a/..b", "a/..b"), (".hidden", ".hidden")]
        {
            assert_eq!(clean(path).as_deref(), Ok(expected), "{path}");
        }
        let long = "x".repeat(256);
        let longest = "x/".repeat(2049);
        for (path, expected) in [
            ("", "invalid path: must not be empty: \"\""),
            (".", "invalid path: must not be empty: \".\""),
            ("/a", "invalid path: must be relative path: /a"),
            ("a/../b", "invalid path: must not contain '..': a/../b"),
            ("..", "invalid path: must not contain '..': .."),
            ("..data", "invalid path: must not start with '..': ..data"),
            ("./..data", "invalid path: must not start with '..': ./..data"),
            (&long, "invalid path: filenames must be less than or equal to 255 characters"),
            (&longest, "invalid path: must be less than or equal to 4096 characters"),
        ] {
            assert_eq!(clean(path).unwrap_err().to_string(), expected, "{path}");
        }
    }

    #[test]
    fn modes_keep_permission_bits_only() {
        assert_eq!(file_mode(0o1755), 0o755);
        assert_eq!(file_mode(-1), 0o777);
    }
}
