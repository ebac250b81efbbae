//! `hostPath`: a path of the node, checked for its type (contract §14.3). Whoever may write such a pod is trusted with
//! the node, so links are followed, as upstream does.
//!
//! A volume is looked at until it has passed, and then no more while its pod has it in this process: what becomes of
//! the path later is between its owner and the pod, and a refresh of the pod's other volumes neither fails for it nor
//! makes it anew.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{DirBuilder, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt, FileTypeExt, OpenOptionsExt},
    path::Path,
};

use lifecycle::reason::go_error::go_error;
use parking_lot::Mutex;

use crate::error::SetUpError;

/// The volumes that have passed, by the pod's uid.
#[derive(Default)]
pub(crate) struct Checked {
    pods: Mutex<BTreeMap<String, BTreeSet<String>>>,
}

impl Checked {
    /// Looks at a volume, unless it has passed before. Others are not held up by a look that hangs.
    pub(crate) fn once(
        &self,
        uid: &str,
        volume: &str,
        look: impl FnOnce() -> Result<(), SetUpError>,
    ) -> Result<(), SetUpError> {
        let passed = self.pods.lock().get(uid).is_some_and(|volumes| volumes.contains(volume));
        if passed {
            return Ok(());
        }
        look()?;
        self.pods.lock().entry(uid.to_owned()).or_default().insert(volume.to_owned());
        Ok(())
    }

    /// The pod's volumes are taken down.
    pub(crate) fn forget(&self, uid: &str) {
        self.pods.lock().remove(uid);
    }
}

/// What is at a path, as the API names it, or why that cannot be told.
fn kind_of(path: &str) -> Result<&'static str, String> {
    let seen = match Path::new(path).metadata() {
        Ok(seen) => seen.file_type(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(format!("path {path:?} does not exist"));
        }
        Err(error) => return Err(format!("stat {path}: {}", go_error(&error))),
    };
    let kinds = [
        (seen.is_dir(), "Directory"),
        (seen.is_file(), "File"),
        (seen.is_socket(), "Socket"),
        (seen.is_char_device(), "CharDevice"),
        (seen.is_block_device(), "BlockDevice"),
    ];
    kinds
        .into_iter()
        .find(|(is, _)| *is)
        .map(|(_, name)| name)
        .ok_or_else(|| "only recognise file, directory, socket, block device and character device".to_owned())
}

fn must_be(path: &str, wanted: &str, expected: &'static str) -> Result<(), SetUpError> {
    match kind_of(path) {
        Ok(found) if found == wanted => Ok(()),
        Ok(found) => Err(SetUpError::HostPathType { path: path.to_owned(), expected, found }),
        Err(cause) => Err(SetUpError::HostPathUnknown { path: path.to_owned(), expected, cause }),
    }
}

fn failed(operation: &'static str, path: &str) -> impl FnOnce(io::Error) -> SetUpError {
    move |cause| SetUpError::File { operation, path: path.into(), cause }
}

/// Checks a path against its type, and creates it where the type says so.
pub(crate) fn set_up(path: &str, kind: &str) -> Result<(), SetUpError> {
    if path.split('/').any(|part| part == "..") {
        return Err(SetUpError::HostPathBackstep(path.to_owned()));
    }
    let exists = || Path::new(path).metadata().is_ok();
    match kind {
        "" => Ok(()),
        "DirectoryOrCreate" if !exists() => {
            DirBuilder::new().recursive(true).mode(0o755).create(path).map_err(failed("mkdir", path))
        }
        "DirectoryOrCreate" | "Directory" => must_be(path, "Directory", "directory"),
        "FileOrCreate" if !exists() => {
            let mut options = OpenOptions::new();
            let made = options.write(true).create(true).truncate(false).mode(0o644).open(path);
            made.map(drop).map_err(failed("open", path))
        }
        "FileOrCreate" | "File" => must_be(path, "File", "file"),
        "Socket" => must_be(path, "Socket", "socket file"),
        "CharDevice" => must_be(path, "CharDevice", "character device"),
        "BlockDevice" => must_be(path, "BlockDevice", "block device"),
        other => Err(SetUpError::HostPathKind(other.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::{fs::MetadataExt, net::UnixListener};

    use super::*;

    #[test]
    fn types() {
        let scratch = tempfile::tempdir().unwrap();
        let at = |name: &str| scratch.path().join(name).to_str().unwrap().to_owned();
        std::fs::write(at("file"), "").unwrap();
        std::fs::create_dir(at("dir")).unwrap();
        let _socket = UnixListener::bind(at("socket")).unwrap();
        std::os::unix::fs::symlink(at("dir"), at("link")).unwrap();
        for (path, kind) in [
            (at("file"), "File"),
            (at("file"), "FileOrCreate"),
            (at("dir"), "Directory"),
            (at("link"), "Directory"),
            (at("dir"), "DirectoryOrCreate"),
            (at("socket"), "Socket"),
            ("/dev/null".to_owned(), "CharDevice"),
            (at("missing"), ""),
        ] {
            set_up(&path, kind).unwrap();
        }
        let text = |path: &str, kind: &str| set_up(path, kind).unwrap_err().to_string();
        let (file, missing) = (at("file"), at("missing"));
        assert_eq!(
            text(&file, "Directory"),
            format!("hostPath type check failed: {file} is not a directory, it's a File")
        );
        assert_eq!(
            text(&file, "BlockDevice"),
            format!("hostPath type check failed: {file} is not a block device, it's a File")
        );
        assert_eq!(
            text(&missing, "Socket"),
            format!(
                "hostPath type check failed, {missing} is not a socket file, unable to determine its type: path \"{missing}\" does not exist"
            )
        );
        assert_eq!(text("/a/../b", ""), "invalid HostPath `/a/../b`: must not contain '..'");
        assert_eq!(text(&file, "Door"), "Door is an invalid volume type");
    }

    #[test]
    fn a_volume_is_looked_at_until_it_has_passed() {
        let (checked, mut looks) = (Checked::default(), 0);
        let mut look = |uid: &str, volume: &str, passes: bool| {
            let seen = checked.once(uid, volume, || {
                looks += 1;
                if passes { Ok(()) } else { Err(SetUpError::HostPathKind("Door".to_owned())) }
            });
            (seen.is_ok(), looks)
        };
        assert_eq!(look("u1", "v", false), (false, 1));
        assert_eq!(look("u1", "v", true), (true, 2));
        assert_eq!(look("u1", "v", false), (true, 2));
        assert_eq!(look("u1", "w", true), (true, 3));
        assert_eq!(look("u2", "v", false), (false, 4));
        checked.forget("u1");
        assert_eq!(look("u1", "v", false), (false, 5));
    }

    #[test]
    fn what_is_missing_is_made() {
        let scratch = tempfile::tempdir().unwrap();
        let at = |name: &str| scratch.path().join(name).to_str().unwrap().to_owned();
        set_up(&at("a/b"), "DirectoryOrCreate").unwrap();
        assert_eq!(Path::new(&at("a/b")).metadata().unwrap().mode() & 0o7777, 0o755);
        set_up(&at("f"), "FileOrCreate").unwrap();
        assert_eq!(Path::new(&at("f")).metadata().unwrap().mode() & 0o7777, 0o644);
        assert_eq!(
            set_up(&at("no/f"), "FileOrCreate").unwrap_err().to_string(),
            format!("open {}: no such file or directory", at("no/f"))
        );
    }
}
