//! Pods that no source holds: found in the runtime, on disk or in the cgroup tree, and removed once every source has
//! delivered.
//!
//! Whatever is found is handed to a worker, as its pod would be: the worker looks at the runtime, so that nothing is removed
//! under a container that lives, and a pod that a source comes to hold meanwhile has its turn when that worker has ended.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use k8s_openapi::api::core::v1::Pod;
use lifecycle::{Admission, Intent, PodKey, PodSource, PodUid, spec::names::names_a_directory};
use seams::RuntimeError;
use tokio::time::Instant;

use super::{Pods, counting, logs};
use crate::{edges::Edges, worker::Mail};

/// Grace for what is found in the runtime only (contract §9).
const ORPHAN_GRACE: Duration = Duration::from_secs(1);

/// How often everything is looked through that a pod can leave behind, after the first time. What is left by a pod that was
/// known is removed with it; only what others leave is found this way.
const THOROUGHLY: Duration = Duration::from_secs(60 * 60);

/// A pod that no source holds.
#[derive(Debug)]
pub(super) struct Stranger {
    uid: PodUid,
    /// Rebuilt from labels; `None`: the runtime has nothing of it; the error: it gave no answer.
    pod: Result<Option<Pod>, RuntimeError>,
    /// By what is left of its logs.
    name: Option<logs::Name>,
    remains: Remains,
}

/// Whether the disk or the cgroup tree still holds something of a pod of which nothing else is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Remains {
    Something,
    Nothing,
    /// Enough is known of the pod without.
    NotAsked,
}

impl Pods {
    /// Looks at what exists without a source: pods in the runtime, and now and then, what earlier processes left on disk
    /// and in the cgroup tree. The runtime is asked in a task of its own: it may hang.
    pub(super) fn sweep(&mut self) {
        if self.swept.is_none()
            && let Some(mirrors) = &self.mirrors
        {
            mirrors.sources_delivered();
        }
        let thoroughly = self.swept.is_none_or(|at| at.elapsed() >= THOROUGHLY);
        if thoroughly {
            self.swept = Some(Instant::now());
        }
        let strangers = std::mem::take(&mut self.strangers);
        let mut uids: Vec<PodUid> = strangers.into_iter().filter(|uid| !self.is_known(uid)).collect();
        if !thoroughly && uids.is_empty() {
            return;
        }
        let edges = self.context.edges.clone();
        let config = &self.context.executor.config;
        let (root, pod_logs) = (config.root_dir.clone(), config.pod_logs_dir.clone());
        let known: BTreeSet<PodUid> = self.known().collect();
        self.looks.spawn(async move {
            let mut named = BTreeMap::new();
            if thoroughly {
                named = logs::left_behind(&edges, pod_logs).await;
                uids.extend(left_behind(&edges, root.clone()).await);
                uids.extend(named.keys().cloned());
                uids.retain(|uid| !known.contains(uid));
            }
            look_at(&edges, &root, uids, &named).await
        });
    }

    fn known(&self) -> impl Iterator<Item = PodUid> {
        let held = self.wanted.all().into_iter().map(|(uid, _)| uid);
        self.workers.mails().map(|(uid, _)| uid.clone()).chain(held)
    }

    fn is_known(&self, uid: &PodUid) -> bool {
        self.workers.mail(uid).is_some() || self.wanted.contains(uid)
    }

    /// Hands over to workers what no source holds, unless one has come to hold it meanwhile.
    pub(super) fn remove_strangers(&mut self, strangers: Vec<Stranger>) {
        let metrics = Arc::clone(&self.context.edges.metrics);
        let (mut cleared, mut unknown) = (0, 0);
        for Stranger { uid, pod, name, remains } in strangers {
            if self.is_known(&uid) {
                continue;
            }
            let pod = match pod {
                Ok(Some(pod)) => {
                    metrics.pods.orphans.inc();
                    pod
                }
                // A late hint about a pod that is gone already.
                Ok(None) if remains == Remains::Nothing => continue,
                Err(error) => {
                    tracing::warn!(%uid, %error, "Could not look at a pod without a source; will try again");
                    self.unanswered.insert(uid);
                    unknown += 1;
                    continue;
                }
                Ok(None) => logs::pod_of(&uid, name),
            };
            let key = PodKey::of(&pod);
            tracing::info!(pod = %key, "Removing what is left of a pod that no source holds");
            let intent = Intent::Removed { grace: ORPHAN_GRACE };
            let mail = Mail {
                pod: Arc::new(pod),
                source: PodSource::RuntimeOnly,
                intent,
                admission: Admission::Admitted,
                again: false,
            };
            self.spawn(key, mail);
            cleared += 1;
        }
        counting::swept(&metrics, cleared, unknown);
    }
}

/// Pods of which earlier processes left something.
async fn left_behind(edges: &Edges, root: PathBuf) -> Vec<PodUid> {
    let directories = tokio::task::spawn_blocking(move || leftover_directories(&root)).await;
    let mut uids = directories.unwrap_or_default();
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

/// What the runtime knows about pods, and where that and the logs are silent, the disk.
async fn look_at(
    edges: &Edges,
    root: &Path,
    uids: Vec<PodUid>,
    named: &BTreeMap<PodUid, logs::Name>,
) -> Vec<Stranger> {
    let uids: BTreeSet<PodUid> = uids.into_iter().collect();
    let mut found = Vec::with_capacity(uids.len());
    for uid in uids {
        let pod = edges.runtime.skeleton(&uid).await;
        let name = named.get(&uid).cloned();
        let remains = match (&pod, &name) {
            (Ok(None), None) => remains(edges, root, &uid).await,
            _ => Remains::NotAsked,
        };
        found.push(Stranger { uid, pod, name, remains });
    }
    found
}

/// Looks at the disk where that holds nobody up.
async fn remains(edges: &Edges, root: &Path, uid: &PodUid) -> Remains {
    let (host, directory) = (Arc::clone(&edges.host), root.join("pods").join(uid.as_str()));
    let uid = uid.clone();
    let look = move || directory.exists() || host.list_pod_cgroups().is_ok_and(|uids| uids.contains(&uid));
    // A look that died is made again by the next one.
    let anything = tokio::task::spawn_blocking(look).await.unwrap_or(false);
    if anything { Remains::Something } else { Remains::Nothing }
}

/// Uids of pod directories on disk.
fn leftover_directories(root: &Path) -> Vec<PodUid> {
    let Ok(entries) = std::fs::read_dir(root.join("pods")) else { return Vec::new() };
    // A disk of its own brings `lost+found`, and people leave files: neither was ever a pod's.
    let directories = entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    let names = directories.filter_map(|entry| entry.file_name().into_string().ok());
    names.filter(|name| names_a_directory(name)).map(PodUid::from).collect()
}
