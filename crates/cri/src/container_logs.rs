//! Reading the logs of containers (contract §17, §24): [`seams::ContainerLogs`] over the files that runtimes write.
//!
//! ```text
//!   follow ──▶ reader ──▶ generations   which file, and which after it
//!     │           ├─────▶ tail          where the last lines begin
//!     │           └─────▶ select        which bytes are wanted
//!     ├──▶ watch   inotify                 └──▶ line   one line
//!     └──▶ Alive   whether the container runs
//! ```
//!
//! Memory of one reader: a block of the file, a line or the beginning of one, and the pieces on their way: less than
//! half a MiB, however long files and lines are. Files are read on the blocking pool, some blocks at a time.
//!
//! What differs from upstream, on purpose: no rotation is missed while following, however late it is seen; the last line
//! of a container that ended without a newline is sent; a runtime that does not answer ends nothing; a first line that is
//! none is passed over as others are; a log that was just renamed is found under its new name.

mod follow;
pub(crate) mod generations;
mod line;
mod reader;
mod select;
mod tail;
mod watch;

use std::{path::Path, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use lifecycle::{ContainerId, observation::RuntimeState};
use seams::{
    ContainerLogs, RuntimeError,
    logs::{LogError, LogOptions, LogSource},
};
use tokio::sync::mpsc;

use crate::{client::Client, observe, runtime::CriRuntime};

/// Pieces on their way to the receiver: one is being sent while the next is read.
const PIECES: usize = 1;

/// Tells whether a container runs.
#[async_trait]
pub(crate) trait Alive: Send + Sync + 'static {
    /// Asks now.
    async fn runs(&self, id: &ContainerId) -> Result<bool, RuntimeError>;
}

#[async_trait]
impl Alive for Client {
    async fn runs(&self, id: &ContainerId) -> Result<bool, RuntimeError> {
        let status = observe::container_status(self, id).await?;
        Ok(observe::container_state(status.state) == RuntimeState::Running)
    }
}

#[async_trait]
impl ContainerLogs for CriRuntime {
    async fn read(
        &self,
        source: LogSource,
        options: LogOptions,
    ) -> Result<mpsc::Receiver<Result<Bytes, LogError>>, LogError> {
        read(self.log_root(), source, options, Arc::new(self.client().clone())).await
    }
}

/// Opens a log beneath `root` and sends what is wanted of it.
async fn read(
    root: &Path,
    source: LogSource,
    options: LogOptions,
    alive: Arc<dyn Alive>,
) -> Result<mpsc::Receiver<Result<Bytes, LogError>>, LogError> {
    let (pieces, receiver) = mpsc::channel(PIECES);
    let (root, path, follow) = (root.to_owned(), source.path.clone(), options.follow);
    // Who asked may go while the end of a long file is looked for: this future and with it the receiver is dropped then.
    let wanted = pieces.clone();
    let opened = tokio::task::spawn_blocking(move || {
        reader::Reader::open(&root, &path, &options, || !wanted.is_closed())
    });
    let reader = opened.await.map_err(|cause| LogError::File {
        path: source.path.clone(),
        source: std::io::Error::other(cause),
    })??;
    tokio::spawn(follow::send(reader, source, follow, alive, pieces));
    Ok(receiver)
}

#[cfg(test)]
mod tests;
