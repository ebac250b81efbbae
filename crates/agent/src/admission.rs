//! Asks `node::admission` whether a pod may run here, with the node as it is known now.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, Pod};
use lifecycle::Admission;
use node::admission::{self, AdmissionInputs, Pressure, sysctls::SysctlAllowlist};
use tokio::sync::watch;

/// Holds what does not change, and looks up the rest.
#[derive(Debug)]
pub struct Admitter {
    /// The node object: from the API, or in standalone mode as this process would report it.
    node: watch::Receiver<Option<Arc<Node>>>,
    sysctls: SysctlAllowlist,
}

impl Admitter {
    /// `node` is kept by the node task.
    #[must_use]
    pub fn new(node: watch::Receiver<Option<Arc<Node>>>, sysctls: SysctlAllowlist) -> Self {
        Self { node, sysctls }
    }

    /// Final for this pod. `others` are the pods that run here or are admitted.
    #[must_use]
    pub fn admit(&self, pod: &Pod, others: &[Arc<Pod>]) -> Admission {
        let node = self.node.borrow().clone();
        // Before the first status is computed nothing is known that could speak against a pod.
        let Some(node) = node else { return Admission::Admitted };
        let others: Vec<&Pod> = others.iter().map(AsRef::as_ref).collect();
        let pressures = pressures(&node);
        let inputs =
            AdmissionInputs { node: &node, others: &others, pressures: &pressures, sysctls: &self.sysctls };
        match admission::admit(pod, &inputs) {
            Ok(()) => Admission::Admitted,
            Err(refused) => Admission::Rejected {
                reason: refused.rejection.reason().into_owned(),
                message: refused.rejection.to_string(),
            },
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
