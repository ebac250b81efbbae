//! Where pods come from, merged into one stream (contract §4).
//!
//! Every source hands over its full set or a change of it; [`merge::Merger`] turns that into one decision per pod.
//! A source that cannot be read keeps what it last delivered: a broken file or a lost connection removes nothing.

use std::{path::PathBuf, sync::Arc};

use k8s_openapi::api::core::v1::Pod;
use lifecycle::PodSource;
use seams::cluster::PodEvent;
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

/// Sender to the merger.
pub type Updates = mpsc::Sender<SourceUpdate>;
