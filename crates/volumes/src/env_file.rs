//! Files that `fileKeyRef` names, read beneath their volume (contract §13).

use std::{fs::File, io::Read, os::fd::AsFd, path::Path};

use lifecycle::spec::env::{EnvFile, EnvFileFailure};
use linux::{
    mounts::fd_path,
    safe_path::{SafeRoot, SubPathKind},
};

/// Largest file that is read: an environment has to fit into the arguments of execve(2), which end below this.
const MAX_BYTES: u64 = 2 << 20;

/// Reads a file of a mounted volume. The pod writes the volume: links count while they stay inside it, and only
/// regular files are read.
///
/// # Errors
/// [`EnvFileFailure::Unreadable`] with the cause, for the log.
pub(crate) fn read_env_file(volume_root: &Path, path: &str) -> Result<EnvFile, EnvFileFailure> {
    let unreadable = |cause: String| EnvFileFailure::Unreadable(cause);
    let root = SafeRoot::open(volume_root).map_err(|error| unreadable(error.to_string()))?;
    let found = root.open_sub_path(Path::new(path)).map_err(|error| unreadable(error.to_string()))?;
    if found.kind != SubPathKind::File {
        return Err(unreadable(format!("{path} is a directory")));
    }
    let seen = rustix::fs::fstat(&found.fd).map_err(|errno| unreadable(errno.to_string()))?;
    if rustix::fs::FileType::from_raw_mode(seen.st_mode) != rustix::fs::FileType::RegularFile {
        return Err(unreadable(format!("{path} is not a regular file")));
    }
    let mut text = String::new();
    let file = File::open(fd_path(found.fd.as_fd())).map_err(|error| unreadable(error.to_string()))?;
    file.take(MAX_BYTES + 1).read_to_string(&mut text).map_err(|error| unreadable(error.to_string()))?;
    if text.len() as u64 > MAX_BYTES {
        return Err(unreadable(format!("{path} has more than {MAX_BYTES} bytes")));
    }
    Ok(EnvFile { path: volume_root.join(path).display().to_string(), text })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn files_beneath_the_volume_only() {
        let scratch = tempfile::tempdir().unwrap();
        let volume = scratch.path().join("volume");
        std::fs::create_dir_all(volume.join("d")).unwrap();
        std::fs::write(scratch.path().join("secret"), "K='stolen'").unwrap();
        std::fs::write(volume.join("d/f.env"), "K='v'").unwrap();
        symlink("d/f.env", volume.join("inside")).unwrap();
        symlink("../secret", volume.join("out")).unwrap();
        symlink("/etc/passwd", volume.join("absolute")).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            volume.join("pipe"),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from_raw_mode(0o644),
            0,
        )
        .unwrap();
        assert_eq!(read_env_file(&volume, "d/f.env").unwrap().text, "K='v'");
        assert_eq!(read_env_file(&volume, "inside").unwrap().text, "K='v'");
        for bad in ["out", "absolute", "pipe", "d", "none", "../secret", "/etc/passwd"] {
            assert!(matches!(read_env_file(&volume, bad), Err(EnvFileFailure::Unreadable(_))), "{bad}");
        }
    }
}
