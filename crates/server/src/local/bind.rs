//! Making the socket, in place of one that a former process left.
//!
//! It is bound under another name, given its mode, and renamed: whoever finds the name finds a socket that is ready and
//! closed to others. The other name is as long as its own: where one is too long for a socket's address, so is the other,
//! and no socket is made that nobody can reach.

use std::{
    io,
    os::unix::fs::{FileTypeExt, PermissionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::net::{UnixListener, UnixStream};

use super::{Socket, identity, kind_is};

/// Read and write for the owner alone.
const MODE: u32 = 0o600;
/// For a process that may listen on the socket: a local connect is immediate, or its queue is full.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Another process answers on it.
    #[error(
        "another process listens on {}\nhint: two kubelets share one --root-dir; stop one, or give it another",
        path.display()
    )]
    InUse {
        /// Which.
        path: PathBuf,
    },
    /// Something that is no socket has its name.
    #[error("{} exists and is no socket\nhint: move it away", path.display())]
    NoSocket {
        /// Which.
        path: PathBuf,
    },
    /// It cannot be made.
    #[error("cannot make the socket {}: {source}\nhint: {}", path.display(), hint(source))]
    Make {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        // What a path that is too long for a socket's address is reported as.
        io::ErrorKind::InvalidInput => "the path of a socket may have 107 bytes; use a shorter --root-dir",
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "the kubelet has to be able to write its --root-dir"
        }
        io::ErrorKind::StorageFull => "free some space below --root-dir",
        _ => "look at the directory and its filesystem",
    }
}

/// Binds the socket. Must be called within a tokio runtime.
///
/// # Errors
/// [`SocketError`].
pub async fn bind(path: &Path) -> Result<Socket, SocketError> {
    let failed = |source| SocketError::Make { path: path.to_owned(), source };
    match std::fs::symlink_metadata(path) {
        Ok(file) if !file.file_type().is_socket() => {
            return Err(SocketError::NoSocket { path: path.to_owned() });
        }
        Ok(_) if answers(path).await => return Err(SocketError::InUse { path: path.to_owned() }),
        Ok(_) => {}
        Err(error) if kind_is(&error, io::ErrorKind::NotFound) => {}
        Err(error) => return Err(failed(error)),
    }
    let unready = unready(path);
    let made = make(&unready, path);
    if made.is_err() {
        // Best effort: what is left of a failed try has a name that nobody else uses.
        let _ = std::fs::remove_file(&unready);
    }
    let (listener, file) = made.map_err(failed)?;
    Ok(Socket { listener, path: path.to_owned(), file })
}

/// A name that no other process uses, beside the path and as long as it: `.000001234.sock`.
fn unready(path: &Path) -> PathBuf {
    const AROUND: usize = ".".len() + ".sock".len();
    let digits = path.file_name().map_or(0, |name| name.len().saturating_sub(AROUND));
    path.with_file_name(format!(".{:0>digits$}.sock", std::process::id()))
}

fn make(unready: &Path, path: &Path) -> io::Result<(UnixListener, (u64, u64))> {
    match std::fs::remove_file(unready) {
        Err(error) if !kind_is(&error, io::ErrorKind::NotFound) => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(unready)?;
    std::fs::set_permissions(unready, std::fs::Permissions::from_mode(MODE))?;
    let file = identity(&std::fs::symlink_metadata(unready)?);
    std::fs::rename(unready, path)?;
    Ok((listener, file))
}

/// Whether a process listens: it takes the connection, at once or later, or has no room for another. A socket that a dead
/// one left refuses, and one that cannot be asked for another reason has nobody either that could be reached by it.
async fn answers(path: &Path) -> bool {
    match tokio::time::timeout(PROBE_TIMEOUT, UnixStream::connect(path)).await {
        Ok(Ok(_)) | Err(_) => true,
        Ok(Err(error)) => kind_is(&error, io::ErrorKind::WouldBlock),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_in_between_is_as_long_as_the_last_one() {
        let path = Path::new("/var/lib/kubelet").join(super::super::FILE);
        let between = unready(&path);
        assert_eq!(between.as_os_str().len(), path.as_os_str().len(), "{}", between.display());
        assert!(between.parent() == path.parent() && between != path);
    }
}
