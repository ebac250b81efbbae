//! Pods that no source holds: found in the runtime, on disk or in the cgroup tree, and removed once every source has
//! delivered.

use std::{collections::BTreeSet, path::Path, sync::Arc, time::Duration};

use k8s_openapi::api::core::v1::Pod;
use lifecycle::{Admission, Intent, PodKey, PodSource, PodUid};
use seams::RuntimeError;

use super::{Pods, counting};
use crate::{edges::Edges, worker::Mail};

/// Grace for what is found in the runtime only (contract §9).
const ORPHAN_GRACE: Duration = Duration::from_secs(1);

/// A pod that no source holds.
#[derive(Debug)]
pub(super) struct Stranger {
    uid: PodUid,
    /// Rebuilt from labels; `None`: the runtime has nothing of it; the error: it gave no answer.
    pod: Result<Option<Pod>, RuntimeError>,
}

impl Pods {
    /// Looks at what exists without a source: pods in the runtime, and once, what earlier processes left on disk and
    /// in the cgroup tree. The runtime is asked in a task of its own: it may hang.
    pub(super) fn sweep(&mut self) {
        let first = !std::mem::replace(&mut self.swept, true);
        if first && let Some(mirrors) = &self.mirrors {
            mirrors.sources_delivered();
        }
        let strangers = std::mem::take(&mut self.strangers);
        let mut uids: Vec<PodUid> = strangers.into_iter().filter(|uid| !self.is_known(uid)).collect();
        if !first && uids.is_empty() {
            return;
        }
        let edges = self.context.edges.clone();
        let root = self.context.executor.config.root_dir.clone();
        self.looks.spawn(async move {
            if first {
                uids.extend(left_behind(&edges, &root).await);
            }
            look_at(&edges, uids).await
        });
    }

    fn is_known(&self, uid: &PodUid) -> bool {
        self.workers.mail(uid).is_some() || self.wanted.contains(uid)
    }

    /// Hands over to workers what no source holds, unless one has come to hold it meanwhile.
    pub(super) fn remove_strangers(&mut self, strangers: Vec<Stranger>) {
        let metrics = Arc::clone(&self.context.edges.metrics);
        let (mut cleared, mut unknown) = (0, 0);
        for Stranger { uid, pod } in strangers {
            if self.is_known(&uid) {
                continue;
            }
            let pod = match pod {
                Ok(Some(pod)) => {
                    metrics.pods.orphans.inc();
                    pod
                }
                // A late hint about a pod that is gone already.
                Ok(None) if !self.has_remains(&uid) => continue,
                Err(error) => {
                    tracing::warn!(%uid, %error, "Could not look at a pod without a source; will try again");
                    self.unanswered.insert(uid);
                    unknown += 1;
                    continue;
                }
                Ok(None) => {
                    let mut pod = Pod::default();
                    pod.metadata.uid = Some(uid.to_string());
                    pod
                }
            };
            let key = PodKey::of(&pod);
            tracing::info!(pod = %key, "Removing what is left of a pod that no source holds");
            let intent = Intent::Removed { grace: ORPHAN_GRACE };
            let mail = Mail {
                pod: Arc::new(pod),
                source: PodSource::RuntimeOnly,
                intent,
                admission: Admission::Admitted,
            };
            self.spawn(key, mail);
            cleared += 1;
        }
        counting::swept(&metrics, cleared, unknown);
    }

    /// Whether the disk or the cgroup tree still holds something of a pod.
    fn has_remains(&self, uid: &PodUid) -> bool {
        self.context.executor.config.root_dir.join("pods").join(uid.as_str()).exists()
            || self.context.edges.host.list_pod_cgroups().is_ok_and(|uids| uids.contains(uid))
    }
}

/// Pods of which earlier processes left something.
async fn left_behind(edges: &Edges, root: &Path) -> Vec<PodUid> {
    let mut uids = leftover_directories(root);
    match edges.host.list_pod_cgroups() {
        Ok(found) => uids.extend(found),
        Err(error) => tracing::warn!(%error, "Could not look for cgroups left by earlier pods"),
    }
    match edges.runtime.list_pods().await {
        Ok(pods) => uids.extend(pods.into_iter().map(|pod| pod.uid)),
        // The observer lists again, and names those that it finds.
        Err(error) => tracing::warn!(%error, "Could not look for pods left in the runtime"),
    }
    uids
}

/// What the runtime knows about pods.
async fn look_at(edges: &Edges, uids: Vec<PodUid>) -> Vec<Stranger> {
    let uids: BTreeSet<PodUid> = uids.into_iter().collect();
    let mut found = Vec::with_capacity(uids.len());
    for uid in uids {
        let pod = edges.runtime.skeleton(&uid).await;
        found.push(Stranger { uid, pod });
    }
    found
}

/// Uids of pod directories on disk.
fn leftover_directories(root: &Path) -> Vec<PodUid> {
    let Ok(entries) = std::fs::read_dir(root.join("pods")) else { return Vec::new() };
    entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).map(PodUid::from).collect()
}
