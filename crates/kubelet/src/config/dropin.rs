//! `--config-dir`: which files count, and in which order.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Files of a drop-in directory.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct DropIns {
    /// `*.conf`, in the order in which they are applied.
    pub files: Vec<PathBuf>,
    /// Others.
    pub skipped: Vec<PathBuf>,
}

/// Walks the directory: entries of each directory in byte order of their names, directories in place.
/// Symbolic links to files are read, those to directories are not followed, as upstream.
///
/// # Errors
/// The path that cannot be read, and why.
pub fn walk(root: &Path) -> Result<DropIns, (PathBuf, io::Error)> {
    let mut found = DropIns::default();
    visit(root, &mut found)?;
    Ok(found)
}

fn visit(directory: &Path, found: &mut DropIns) -> Result<(), (PathBuf, io::Error)> {
    let failed = |error| (directory.to_owned(), error);
    let mut entries =
        fs::read_dir(directory).map_err(failed)?.collect::<Result<Vec<_>, _>>().map_err(failed)?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        let kind = entry.file_type().map_err(|error| (path.clone(), error))?;
        if kind.is_dir() {
            visit(&path, found)?;
        } else if entry.file_name().as_encoded_bytes().ends_with(b".conf") {
            found.files.push(path);
        } else {
            found.skipped.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_is_lexical_and_recursive() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("20-b")).unwrap();
        for name in ["30.conf", "10.conf", "20-b/z.conf", "20-b/a.conf", "25.yaml", "20-b/.conf"] {
            fs::write(root.path().join(name), "").unwrap();
        }
        let found = walk(root.path()).unwrap();
        let relative = |paths: &[PathBuf]| -> Vec<String> {
            paths.iter().map(|path| path.strip_prefix(root.path()).unwrap().display().to_string()).collect()
        };
        assert_eq!(
            relative(&found.files),
            ["10.conf", "20-b/.conf", "20-b/a.conf", "20-b/z.conf", "30.conf"]
        );
        assert_eq!(relative(&found.skipped), ["25.yaml"]);
    }

    #[test]
    fn a_missing_directory_is_named() {
        assert_eq!(walk(Path::new("/nonexistent-dir")).unwrap_err().0, PathBuf::from("/nonexistent-dir"));
    }
}
