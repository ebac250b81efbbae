//! Where pods come from, merged into one stream (contract §4).
//!
//! Every source hands over its full set or a change of it; [`merge::Merger`] turns that into one decision per pod.
//! A source that cannot be read keeps what it last delivered: a broken file or a lost connection removes nothing.

use std::{path::PathBuf, sync::Arc};

use k8s_openapi::api::core::v1::Pod;
use lifecycle::{PodSource, Tick};
use seams::{Clock, cluster::PodEvent};
use tokio::sync::mpsc;

pub mod api;
pub mod file;
pub mod manifest;
pub mod merge;
pub mod url;
pub mod yaml;

/// What a source says.
#[derive(Clone, Debug)]
pub enum SourceUpdate {
    /// Everything that the source holds; what is missing is gone.
    Set(PodSource, Vec<Arc<Pod>>),
    /// One pod was added or changed.
    Applied(PodSource, Arc<Pod>),
    /// One pod is gone.
    Deleted(PodSource, Arc<Pod>),
    /// One pod does not count, since another of its name does. Told once; it is in no set.
    Refused(PodSource, Arc<Pod>),
}

impl SourceUpdate {
    /// What the API watch says, in the merger's terms.
    #[must_use]
    pub fn from_api(event: PodEvent) -> Self {
        match event {
            PodEvent::Snapshot(pods) => Self::Set(PodSource::Api, pods),
            PodEvent::Applied(pod) => Self::Applied(PodSource::Api, pod),
            PodEvent::Deleted(pod) => Self::Deleted(PodSource::Api, pod),
        }
    }
}

/// Where the file source looks.
#[derive(Clone, Debug)]
pub struct FileSource {
    /// Directory (not searched below) or a single file.
    pub path: PathBuf,
    /// Full re-read at this interval besides inotify.
    pub frequency: std::time::Duration,
    /// Node name, part of static pods' names.
    pub node_name: String,
}

/// An update, and when the kubelet had it first.
#[derive(Debug)]
pub struct Stamped {
    /// When.
    pub at: Tick,
    /// What.
    pub update: SourceUpdate,
}

/// Sender to the merger. Stamps what it sends: the time that an update waits for the dispatcher counts too.
#[derive(Clone)]
pub struct Updates {
    sender: mpsc::Sender<Stamped>,
    clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for Updates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Updates").field("room", &self.sender.capacity()).finish_non_exhaustive()
    }
}

/// Nobody takes updates any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed;

impl Updates {
    /// Both ends, with room for so many updates.
    #[must_use]
    pub fn channel(clock: Arc<dyn Clock>, room: usize) -> (Self, mpsc::Receiver<Stamped>) {
        let (sender, receiver) = mpsc::channel(room);
        (Self { sender, clock }, receiver)
    }

    /// Sends; waits for room.
    ///
    /// # Errors
    /// [`Closed`].
    pub async fn send(&self, update: SourceUpdate) -> Result<(), Closed> {
        let at = self.clock.now();
        self.sender.send(Stamped { at, update }).await.map_err(|_| Closed)
    }
}
