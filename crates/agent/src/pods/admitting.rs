//! Whether a pod that gets a worker may run, beside those that have one.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use lifecycle::{Admission, PodKey, PodSource, PodUid, explain::Hold, status::is_terminal};
use tokio::time::Instant;

use super::{Pods, counting};
use crate::admission::{Look, Verdict};

impl Pods {
    /// `None`: the API is asked first.
    pub(super) fn admit(&mut self, source: PodSource, pod: &Arc<Pod>, look: &Look) -> Option<Admission> {
        // That a static pod has ended is told by its mirror alone, which proves nothing.
        let status = pod.status.as_ref().filter(|_| !source.is_static());
        let phase = status.and_then(|status| status.phase.as_deref());
        if pod.metadata.deletion_timestamp.is_some() || is_terminal(phase) {
            return Some(Admission::Admitted);
        }
        let uid = PodKey::of(pod).uid;
        // One that left its source goes, and what it still holds is not counted: its next version could not come in beside
        // it, and never again.
        let counts = |other: &PodUid| *other != uid && self.wanted.contains(other) && !self.is_over(other);
        let others: Vec<Arc<Pod>> = self
            .workers
            .mails()
            .filter(|(other, _)| counts(other))
            .map(|(_, mail)| Arc::clone(&mail.borrow().pod))
            .collect();
        let began = Instant::now();
        let answer = match (self.admitter.admit(pod, &others, look), &self.context.edges.cluster) {
            (Verdict::Final(answer), _) => answer,
            (Verdict::AskAgain, Some(cluster)) => {
                self.context.records.held(&uid, Hold::NodeLabels);
                self.second_looks.ask(uid, Arc::clone(cluster));
                return None;
            }
            // Not without an API server: there would be nobody to ask.
            (Verdict::AskAgain, None) => return None,
        };
        counting::admission(&self.context.edges.metrics, pod, &answer, began.elapsed());
        if let Admission::Rejected { reason, message } = &answer {
            tracing::warn!(pod = %PodKey::of(pod), reason, message, "The pod may not run here");
        }
        Some(answer)
    }
}
