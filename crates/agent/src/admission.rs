//! Asks `node::admission` whether a pod may run here, with the node as it is known now.
//!
//! ```text
//!   computed by the node task ─┐
//!   watched in the API ────────┴─► the newer labels and taints ─► refused for its labels alone?
//!                                                                    └─► once more, with what the API answers now
//! ```
//!
//! What is computed is up to a report's period old, and a watch may lag: neither is good enough to refuse a pod for ever,
//! which the scheduler has just placed by labels that it saw.

use std::{borrow::Cow, sync::Arc};

use k8s_openapi::api::core::v1::{Node, Pod};
use lifecycle::Admission;
use node::{
    admission::{self, AdmissionInputs, Pressure, sysctls::SysctlAllowlist},
    status,
};
use tokio::sync::watch;

use crate::resource_version;

/// This node's object, as somebody keeps it.
pub type SeenNode = watch::Receiver<Option<Arc<Node>>>;

/// Holds what does not change, and looks up the rest.
#[derive(Debug)]
pub struct Admitter {
    /// As this process would report it.
    computed: SeenNode,
    /// As the API's watch has it; `None` in standalone mode.
    watched: Option<SeenNode>,
    sysctls: SysctlAllowlist,
}

/// How well the node is known that a pod is judged by.
#[derive(Clone, Debug)]
pub enum Look {
    /// As far as this process has heard.
    First,
    /// The API was asked; `None`: it gave no answer.
    Second(Option<Arc<Node>>),
}

/// What came of a look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Final for this pod.
    Final(Admission),
    /// Only labels speak against it: look again, with the node as the API has it now.
    AskAgain,
}

impl Admitter {
    /// `computed` is kept by the node task.
    #[must_use]
    pub fn new(computed: SeenNode, watched: Option<SeenNode>, sysctls: SysctlAllowlist) -> Self {
        Self { computed, watched, sysctls }
    }

    /// The node as this process computes it: until that is there, nothing may be judged.
    #[must_use]
    pub fn node(&self) -> SeenNode {
        self.computed.clone()
    }

    /// Judges. `others` are the pods that run here or are admitted.
    #[must_use]
    pub fn admit(&self, pod: &Pod, others: &[Arc<Pod>], look: &Look) -> Verdict {
        let computed = self.computed.borrow().clone().unwrap_or_default();
        let node = self.newest(&computed, look);
        let others: Vec<&Pod> = others.iter().map(AsRef::as_ref).collect();
        let pressures = pressures(&node);
        let inputs =
            AdmissionInputs { node: &node, others: &others, pressures: &pressures, sysctls: &self.sysctls };
        match admission::admit(pod, &inputs) {
            Ok(()) => Verdict::Final(Admission::Admitted),
            Err(refused) if refused.labels_only && matches!(look, Look::First) && self.watched.is_some() => {
                Verdict::AskAgain
            }
            Err(refused) => Verdict::Final(Admission::Rejected {
                reason: refused.rejection.reason().into_owned(),
                message: refused.rejection.to_string(),
            }),
        }
    }

    fn newest<'a>(&self, computed: &'a Node, look: &Look) -> Cow<'a, Node> {
        let watched = self.watched.as_ref().and_then(|watched| watched.borrow().clone());
        let live = match look {
            Look::First => None,
            Look::Second(live) => live.clone(),
        };
        let version = |node: &Node| resource_version::number(&node.metadata);
        let read = watched.into_iter().chain(live).max_by_key(|node| version(node));
        match read {
            Some(read) if version(&read) > version(computed) => Cow::Owned(status::as_seen(computed, &read)),
            _ => Cow::Borrowed(computed),
        }
    }
}

fn pressures(node: &Node) -> Vec<Pressure> {
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let holds =
        |kind: &str| conditions.iter().any(|condition| condition.type_ == kind && condition.status == "True");
    [("MemoryPressure", Pressure::Memory), ("DiskPressure", Pressure::Disk), ("PIDPressure", Pressure::Pid)]
        .into_iter()
        .filter(|(kind, _)| holds(kind))
        .map(|(_, pressure)| pressure)
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn node(version: Option<&str>, zone: &str) -> Arc<Node> {
        let node = json!({
            "metadata": {"name": "n", "resourceVersion": version, "labels": {"zone": zone}},
            "status": {"allocatable": {"pods": "5", "cpu": "1"}},
        });
        Arc::new(serde_json::from_value(node).unwrap())
    }

    fn pod(zone: &str) -> Pod {
        let mut pod = fakes::pods::pod("default", "p", "u", &[]);
        let selector = [("zone".to_owned(), zone.to_owned())].into();
        pod.spec.as_mut().unwrap().node_selector = Some(selector);
        pod
    }

    fn admitter(computed: Arc<Node>, watched: Option<Option<Arc<Node>>>) -> Admitter {
        let watched = watched.map(|node| watch::channel(node).1);
        Admitter::new(watch::channel(Some(computed)).1, watched, SysctlAllowlist::new("6.1.0", &[]).unwrap())
    }

    const ADMITTED: Verdict = Verdict::Final(Admission::Admitted);

    fn rejected(verdict: &Verdict) -> bool {
        matches!(verdict, Verdict::Final(Admission::Rejected { reason, .. }) if reason == "NodeAffinity")
    }

    #[test]
    fn labels_of_the_watch_count_when_they_are_newer() {
        let labelled = || Some(Some(node(Some("8"), "b")));
        let admitter = admitter(node(Some("7"), "a"), labelled());
        assert_eq!(admitter.admit(&pod("b"), &[], &Look::First), ADMITTED);
        let unregistered = self::admitter(node(None, "a"), labelled());
        assert_eq!(unregistered.admit(&pod("b"), &[], &Look::First), ADMITTED);
        let ahead = self::admitter(node(Some("9"), "a"), labelled());
        assert_eq!(ahead.admit(&pod("a"), &[], &Look::First), ADMITTED);
    }

    #[test]
    fn taints_of_the_watch_count_and_the_status_stays_ours() {
        let mut tainted = Node::clone(&node(Some("8"), "a"));
        tainted.status = None;
        let taints = json!({"taints": [{"key": "k", "effect": "NoExecute"}]});
        tainted.spec = serde_json::from_value(taints).unwrap();
        let admitter = admitter(node(Some("7"), "a"), Some(Some(Arc::new(tainted))));
        let verdict = admitter.admit(&pod("a"), &[], &Look::First);
        assert!(
            matches!(&verdict, Verdict::Final(Admission::Rejected { reason, .. }) if reason == "TaintToleration"),
            "{verdict:?}"
        );
    }

    #[test]
    fn labels_alone_are_no_reason_until_the_api_was_asked() {
        let admitter = admitter(node(Some("7"), "a"), Some(None));
        assert_eq!(admitter.admit(&pod("b"), &[], &Look::First), Verdict::AskAgain);
        let labelled = Look::Second(Some(node(Some("8"), "b")));
        assert_eq!(admitter.admit(&pod("b"), &[], &labelled), ADMITTED);
        assert!(rejected(&admitter.admit(&pod("b"), &[], &Look::Second(Some(node(Some("7"), "a"))))));
        assert!(rejected(&admitter.admit(&pod("b"), &[], &Look::Second(None))));
    }

    #[test]
    fn without_an_api_server_there_is_nobody_to_ask() {
        let admitter = admitter(node(None, "a"), None);
        assert!(rejected(&admitter.admit(&pod("b"), &[], &Look::First)));
    }
}
