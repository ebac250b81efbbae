//! The directory of all pods, `<root>/pods`. Whoever runs the node may have moved it to a larger disk and left a
//! symbolic link in its place. Up to here links are the operator's and are followed; below, they are a pod's and never
//! are.
//!
//! It is opened under its real path: mount points are compared as text.

use std::{io, path::Path};

use linux::safe_path::SafeRoot;

use crate::layout::{PODS, PRIVATE_MODE};

fn real_root(root_dir: &Path) -> Result<SafeRoot, String> {
    let real = root_dir
        .canonicalize()
        .map_err(|error| format!("the root directory {} is not there: {error}", root_dir.display()))?;
    SafeRoot::open(&real).map_err(|error| error.to_string())
}

fn is_absent(path: &Path) -> bool {
    path.symlink_metadata().is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}

fn find_in(root: &SafeRoot) -> Result<Option<SafeRoot>, String> {
    let pods = root.path().join(PODS);
    match pods.canonicalize() {
        Ok(real) => SafeRoot::open(&real).map(Some).map_err(|error| error.to_string()),
        Err(error) if error.kind() == io::ErrorKind::NotFound && is_absent(&pods) => Ok(None),
        Err(error) => Err(format!(
            "cannot find the directory of all pods {}: {error}; hint: where it is a symbolic link, is the disk mounted that it leads to?",
            pods.display()
        )),
    }
}

/// Opens the directory of all pods; `None` when there is none yet.
///
/// # Errors
/// For the operator, in one line: the root directory is not there, or the link leads nowhere.
pub(crate) fn find(root_dir: &Path) -> Result<Option<SafeRoot>, String> {
    find_in(&real_root(root_dir)?)
}

/// Opens the directory of all pods, made where there is none yet.
///
/// # Errors
/// As [`find`], or it cannot be made.
pub(crate) fn make(root_dir: &Path) -> Result<SafeRoot, String> {
    let root = real_root(root_dir)?;
    if let Some(pods) = find_in(&root)? {
        return Ok(pods);
    }
    let pods = Path::new(PODS);
    let made = root.create_dir_all(pods, PRIVATE_MODE).and_then(|_| root.descend(pods));
    made.map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, symlink};

    use super::*;

    #[test]
    fn it_is_where_a_link_leads_and_made_where_there_is_nothing() {
        let scratch = tempfile::tempdir().unwrap();
        let base = scratch.path().canonicalize().unwrap();
        let (root, disk) = (base.join("root"), base.join("disk"));
        assert!(find(&root).unwrap_err().starts_with("the root directory "));
        assert!(make(&root).is_err());
        std::fs::create_dir(&root).unwrap();
        assert!(find(&root).unwrap().is_none());
        assert_eq!(make(&root).unwrap().path(), root.join("pods"));
        assert_eq!(root.join("pods").metadata().unwrap().mode() & 0o7777, 0o750);
        assert_eq!(find(&root).unwrap().unwrap().path(), root.join("pods"));

        std::fs::remove_dir(root.join("pods")).unwrap();
        symlink("../disk", root.join("pods")).unwrap();
        for text in [find(&root).unwrap_err(), make(&root).unwrap_err()] {
            assert!(text.contains("is the disk mounted"), "{text}");
        }
        assert!(!disk.exists(), "what is missing behind a link is not made");
        std::fs::create_dir(&disk).unwrap();
        assert_eq!(find(&root).unwrap().unwrap().path(), disk);
        // The root directory may be reached through a link as well.
        symlink("root", base.join("link")).unwrap();
        assert_eq!(make(&base.join("link")).unwrap().path(), disk);
    }
}
