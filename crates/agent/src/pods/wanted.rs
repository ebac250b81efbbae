//! The newest version of each pod that a source holds: written by the dispatcher alone, read by the node's API.

use std::{collections::BTreeMap, sync::Arc};

use k8s_openapi::api::core::v1::Pod;
use lifecycle::{PodSource, PodUid};
use parking_lot::RwLock;

/// A pod and where it came from.
pub(crate) type Held = (PodSource, Arc<Pod>);

/// The pods. Clones share them; locks are held for a look-up only.
#[derive(Clone, Debug, Default)]
pub struct Wanted(Arc<RwLock<BTreeMap<PodUid, Held>>>);

impl Wanted {
    pub(crate) fn insert(&self, uid: PodUid, source: PodSource, pod: Arc<Pod>) {
        self.0.write().insert(uid, (source, pod));
    }

    pub(super) fn remove(&self, uid: &PodUid) -> Option<Held> {
        self.0.write().remove(uid)
    }

    pub(crate) fn contains(&self, uid: &PodUid) -> bool {
        self.0.read().contains_key(uid)
    }

    /// Those that are not known otherwise.
    pub(super) fn strange(&self, is_known: impl Fn(&PodUid) -> bool) -> Vec<Held> {
        self.0.read().iter().filter(|(uid, _)| !is_known(uid)).map(|(_, held)| held.clone()).collect()
    }

    /// All of them, in order of uid.
    pub(crate) fn all(&self) -> Vec<(PodUid, Held)> {
        self.0.read().iter().map(|(uid, held)| (uid.clone(), held.clone())).collect()
    }

    /// The pod of a uid.
    pub(crate) fn get(&self, uid: &PodUid) -> Option<Arc<Pod>> {
        self.0.read().get(uid).map(|(_, pod)| Arc::clone(pod))
    }

    /// The pod of a name; of namesakes, as when a static pod is replaced, the one that was made last.
    pub(crate) fn named(&self, namespace: &str, name: &str) -> Option<Held> {
        let is_it = |pod: &Pod| {
            pod.metadata.namespace.as_deref() == Some(namespace) && pod.metadata.name.as_deref() == Some(name)
        };
        let held = self.0.read();
        let namesakes = held.values().filter(|(_, pod)| is_it(pod));
        namesakes.max_by_key(|(_, pod)| pod.metadata.creation_timestamp.as_ref().map(|time| time.0)).cloned()
    }
}
