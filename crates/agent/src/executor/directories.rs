//! The pod's directories under the root dir (contract §30).

use std::{
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use lifecycle::{Done, Failure, FailureStep, PodKey};
use seams::Host;

use super::{Executor, Scene, failed};

/// Mode of pod directories.
const MODE: u32 = 0o750;

impl Executor {
    /// `<root>/pods/<uid>`. The uid was checked to be a plain name when the pod came in.
    pub(super) fn pod_dir(&self, scene: &Scene) -> PathBuf {
        self.config.root_dir.join("pods").join(scene.session.key.uid.as_str())
    }

    /// `<podLogsDir>/<namespace>_<name>_<uid>`.
    pub(super) fn log_dir(&self, scene: &Scene) -> PathBuf {
        self.config.pod_log_dir(&scene.session.key)
    }

    pub(super) async fn prepare_directories(&self, scene: &Scene) -> Result<Done, Failure> {
        let pod = self.pod_dir(scene);
        let logs = self.log_dir(scene);
        let made = blocking(FailureStep::Dirs, move || {
            for dir in [pod.clone(), pod.join("volumes"), pod.join("plugins"), pod.join("containers")] {
                make(&dir, MODE)?;
            }
            make(&logs, 0o755)
        });
        made.await.map(|()| Done::Plain)
    }

    /// Refuses while something is mounted below: `volumes.unmount` comes first and makes sure.
    pub(super) async fn remove_directories(&self, scene: &Scene) -> Result<Done, Failure> {
        let pod = self.pod_dir(scene);
        let logs = self.log_dir(scene);
        let PodKey { uid, name, .. } = &scene.session.key;
        let named = !name.is_empty();
        if named {
            let unlinked = self.edges.runtime.unlink_logs(&logs).await;
            unlinked.map_err(|error| failed(FailureStep::Teardown, error.to_string()))?;
        }
        let host = Arc::clone(&self.edges.host);
        let removed = blocking(FailureStep::Teardown, move || {
            refuse_mounts(&*host, &pod)?;
            remove(&pod)?;
            if named { remove(&logs) } else { Ok(()) }
        });
        removed.await?;
        self.users.release(uid);
        Ok(Done::Plain)
    }
}

/// Work on files, where it holds up its own pod only: a disk that hangs must not stop the two threads that everything else
/// runs on.
pub(super) async fn blocking<T: Send + 'static>(
    step: FailureStep,
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, Failure> {
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(message)) => Err(failed(step, message)),
        Err(error) => Err(failed(step, format!("internal error, please report it: {error}"))),
    }
}

/// Makes a directory with its parents; an existing one keeps its mode.
fn make(path: &Path, mode: u32) -> Result<(), String> {
    let text = |error: std::io::Error| format!("mkdir {}: {error}", path.display());
    if path.is_dir() {
        return Ok(());
    }
    std::fs::DirBuilder::new().recursive(true).mode(mode).create(path).map_err(text)?;
    // The mode given to mkdir is cut by the umask.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).map_err(text)
}

fn remove(path: &Path) -> Result<(), String> {
    match std::fs::remove_dir_all(path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(format!("remove {}: {error}", path.display())),
    }
}

/// Removing across a mount would delete what others own.
fn refuse_mounts(host: &dyn Host, path: &Path) -> Result<(), String> {
    let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let mounts = host.mounts_below(&path).map_err(|error| error.to_string())?;
    match mounts.first() {
        Some(mount) => {
            Err(format!("{} is still mounted below the pod's directory {}", mount.display(), path.display()))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt as _};

    use fakes::machine::FakeHost;

    use super::*;

    #[test]
    fn a_directory_with_a_mount_below_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let pods = dir.path().canonicalize().unwrap();
        std::fs::create_dir(pods.join("u")).unwrap();
        // A name that is no text, as a container may choose one.
        let odd = pods.join("u/volumes").join(OsStr::from_bytes(b"a \xff"));
        let refused = refuse_mounts(&FakeHost::with_mounts(vec![odd]), &pods.join("u")).unwrap_err();
        assert!(refused.contains("is still mounted below the pod's directory"), "{refused}");
        let others = FakeHost::with_mounts(vec![pods.join("uu"), pods.join("v/volumes/x")]);
        assert_eq!(refuse_mounts(&others, &pods.join("u")), Ok(()));
    }
}
