//! Links that are due when their container starts. Remembered from the creation on to save a status call at each
//! start; after a restart in between, the status says the same.

use std::{
    collections::VecDeque,
    path::PathBuf,
    sync::{Mutex, PoisonError},
};

use lifecycle::ContainerId;
use proto::cri::ContainerStatus;

use crate::{log_files::link_name, render::labels};

/// Containers between creation and start; more than that are looked up.
const LIMIT: usize = 256;

/// A link to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    /// File name.
    pub(crate) name: String,
    /// What it points to.
    pub(crate) log: PathBuf,
}

impl Link {
    /// The link of a container that the runtime knows.
    pub(crate) fn of(status: &ContainerStatus) -> Self {
        let text = |key: &str| status.labels.get(key).map(String::as_str).unwrap_or_default();
        Self {
            name: link_name(
                text(labels::POD_NAME),
                text(labels::POD_NAMESPACE),
                text(labels::CONTAINER_NAME),
                &status.id,
            ),
            log: PathBuf::from(&status.log_path),
        }
    }
}

/// The memory: oldest first.
#[derive(Debug, Default)]
pub(crate) struct Due(Mutex<VecDeque<(ContainerId, Link)>>);

impl Due {
    pub(crate) fn put(&self, id: ContainerId, link: Link) {
        let mut due = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if due.len() >= LIMIT {
            due.pop_front();
        }
        due.push_back((id, link));
    }

    pub(crate) fn take(&self, id: &ContainerId) -> Option<Link> {
        let mut due = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = due.iter().position(|(known, _)| known == id)?;
        due.remove(at).map(|(_, link)| link)
    }
}
