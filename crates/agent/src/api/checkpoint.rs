//! Checkpoints of containers (contract §23): the runtime writes the archive below the root directory, where only root
//! reads: it holds the memory of the container's processes.

use std::{io, os::unix::fs::DirBuilderExt as _, path::PathBuf, time::Duration};

use jiff::Timestamp;
use seams::node_api::{CheckpointRefusal, PodPath, StreamRefusal};

use super::{Api, has_container};

/// Mode of the directory of archives.
const MODE: u32 = 0o700;

impl Api {
    pub(super) async fn write_checkpoint(
        &self,
        path: &PodPath,
        container: &str,
        limit: Duration,
    ) -> Result<PathBuf, CheckpointRefusal> {
        let pod = self.meant(path).map_err(|_| CheckpointRefusal::NoPod)?;
        // A container's name becomes part of a file's: it is one of the spec's, which the API server has checked.
        if !has_container(&pod, container) {
            return Err(CheckpointRefusal::NoContainer(container.to_owned()));
        }
        let id = self.running(path, container).await.map_err(|refusal| match refusal {
            StreamRefusal::Runtime { source } => CheckpointRefusal::Runtime { source },
            _ => CheckpointRefusal::NotRunning(container.to_owned()),
        })?;
        let folder = self.config.root_dir.join("checkpoints");
        let made = {
            let folder = folder.clone();
            tokio::task::spawn_blocking(move || make(&folder))
                .await
                .unwrap_or_else(|error| Err(io::Error::other(error)))
        };
        made.map_err(|source| CheckpointRefusal::Directory { path: folder.clone(), source })?;
        let archive = folder.join(file_name(path, container, self.clock.now().wall));
        self.runtime
            .checkpoint(&id, &archive, limit)
            .await
            .map_err(|source| CheckpointRefusal::Runtime { source })?;
        Ok(archive)
    }
}

/// `checkpoint-<pod>_<namespace>-<container>-<time>.tar`, the time to the second.
fn file_name(pod: &PodPath, container: &str, now: Timestamp) -> String {
    let now = Timestamp::from_second(now.as_second()).unwrap_or(now);
    format!("checkpoint-{}_{}-{container}-{now}.tar", pod.name, pod.namespace)
}

fn make(folder: &std::path::Path) -> io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(MODE).create(folder)
}
