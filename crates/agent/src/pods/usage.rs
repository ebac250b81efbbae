//! Which pods take something of the node: those count at admission, and in the cgroups of the QoS classes.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Pod, PodStatus};
use lifecycle::{Admission, PodUid, status::is_terminal};
use node::qos::QosClass;

use super::Pods;
use crate::worker::Mail;

impl Pods {
    /// Whether a pod uses nothing any more.
    pub(super) fn is_over(&self, uid: &PodUid) -> bool {
        let reported = self.context.statuses.get(uid);
        self.workers.mail(uid).is_some_and(|mail| ended(&mail.borrow(), reported.as_ref()))
    }

    /// The burstable group's weight follows the requests of its pods.
    pub(super) fn update_qos_groups(&self) {
        let pods: Vec<Arc<Pod>> = self
            .workers
            .mails()
            .filter(|(uid, _)| !self.is_over(uid))
            .map(|(_, mail)| Arc::clone(&mail.borrow().pod))
            .collect();
        let sizes = &self.context.executor.config.rules.hugepage_sizes;
        for class in [QosClass::Burstable, QosClass::BestEffort] {
            let values = node::cgroup::qos_values(class, pods.iter().map(AsRef::as_ref), sizes);
            if let Err(error) = self.context.edges.host.set_qos_cgroup(class, &values) {
                tracing::warn!(?class, %error, "Could not update the cgroup of a QoS class");
            }
        }
    }
}

/// Whether a pod was rejected or has ended for good. What was `reported` last is not all that tells of an end: a kubelet
/// that has just started has reported nothing, and knows it from the object. The mirror of a static pod only repeats what
/// was seen in the runtime, where its worker looks for itself.
fn ended(mail: &Mail, reported: Option<&PodStatus>) -> bool {
    let object = mail.pod.status.as_ref().filter(|_| !mail.source.is_static());
    let terminal = |status: &PodStatus| is_terminal(status.phase.as_deref());
    matches!(mail.admission, Admission::Rejected { .. })
        || reported.is_some_and(terminal)
        || object.is_some_and(terminal)
}

#[cfg(test)]
mod tests {
    use lifecycle::{Intent, PodSource};

    use super::*;

    fn status(phase: &str) -> PodStatus {
        PodStatus { phase: Some(phase.to_owned()), ..PodStatus::default() }
    }

    fn mail(source: PodSource, phase: &str) -> Mail {
        let pod = Pod { status: Some(status(phase)), ..Pod::default() };
        Mail { pod: Arc::new(pod), source, intent: Intent::Run, admission: Admission::Admitted, again: false }
    }

    #[test]
    fn after_a_restart_the_object_tells_which_pods_have_ended() {
        for phase in ["Succeeded", "Failed"] {
            assert!(ended(&mail(PodSource::Api, phase), None), "{phase}");
            assert!(!ended(&mail(PodSource::File, phase), None), "{phase}: a mirror proves nothing");
        }
        assert!(!ended(&mail(PodSource::Api, "Running"), None));
    }

    #[test]
    fn what_was_reported_counts_before_the_object_shows_it() {
        assert!(ended(&mail(PodSource::Api, "Running"), Some(&status("Succeeded"))));
        assert!(ended(&mail(PodSource::File, "Running"), Some(&status("Failed"))));
        assert!(!ended(&mail(PodSource::Api, "Running"), Some(&status("Running"))));
    }

    #[test]
    fn what_was_rejected_takes_nothing() {
        let admission = Admission::Rejected { reason: "OutOfcpu".to_owned(), message: String::new() };
        assert!(ended(&Mail { admission, ..mail(PodSource::Api, "Pending") }, None));
    }
}
