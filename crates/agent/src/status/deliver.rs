//! One report on its way.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Pod, PodStatus};
use lifecycle::{PodUid, explain::Report, status::is_terminal};
use seams::{ApiError, Cluster};
use tokio::time::Instant;

use super::merge;

/// One status, ready to go.
pub(super) struct Letter {
    pub(super) uid: PodUid,
    pub(super) mirror: bool,
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) base: Arc<Pod>,
    pub(super) status: PodStatus,
    pub(super) released: bool,
    /// When the first of the changes in it came; `None`: there is none, only the API's object is another.
    pub(super) since: Option<Instant>,
}

pub(super) enum Answer {
    /// The API holds it; its newest object.
    Kept(Arc<Pod>),
    /// Its deletion was taken: nothing left to say.
    Gone,
    /// To be tried again: what could not be done, and why.
    Failed(Report, ApiError),
    /// To be tried again: the kubelet itself failed.
    Died,
}

/// Makes one report: the status, then, where that is due, the deletion of the object.
pub(super) async fn deliver(cluster: &dyn Cluster, letter: &Letter) -> Answer {
    let uid = letter.base.metadata.uid.as_deref().unwrap_or_default();
    let old = letter.base.status.clone().unwrap_or_default();
    // Who wrote a terminal phase into a pod of the API meant it: its worker stops the pod, and reports no other one then.
    let ended_by_others =
        !letter.mirror && is_terminal(old.phase.as_deref()) && !is_terminal(letter.status.phase.as_deref());
    let new = if ended_by_others { old.clone() } else { merge::onto(&letter.base, &letter.status) };
    let mut api = Arc::clone(&letter.base);
    if let Some(patch) = seams::patch::status_patch_pod(&old, &new, uid) {
        match cluster.patch_pod_status(&letter.namespace, &letter.name, &patch).await {
            Ok(newest) => api = Arc::new(newest),
            // Also after 404, 409 and 422. The watch tells when the object is gone, or another has its name (409 and 422 are
            // the answers to the uid guard then); but a front end that does not know the way answers 404 for any object, and
            // 409 is the answer to a busy one too.
            Err(error) => return Answer::Failed(Report::Status, error),
        }
    }
    if letter.released && !letter.mirror && is_to_go(&api) {
        match cluster.delete_pod(&letter.namespace, &letter.name, uid, 0).await {
            Ok(()) => return Answer::Gone,
            // Also after 404, as above, and a conflict: it is the answer to the uid guard when another pod has the name, which
            // the watch tells, but may be a webhook's.
            Err(error) => return Answer::Failed(Report::Deletion, error),
        }
    }
    Answer::Kept(api)
}

/// Whether the API's object asks for its deletion, and holds that the pod has ended.
pub(super) fn is_to_go(api: &Pod) -> bool {
    let phase = api.status.as_ref().and_then(|status| status.phase.as_deref());
    api.metadata.deletion_timestamp.is_some() && is_terminal(phase)
}

/// What could not be done, after "could not".
pub(super) fn words(what: Report) -> &'static str {
    match what {
        Report::Status => "report the pod's status",
        Report::Deletion => "delete the pod's object",
    }
}
