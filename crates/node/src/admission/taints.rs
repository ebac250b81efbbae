//! Taints of the node and tolerations of the pod. The kubelet looks at `NoExecute` only.

use k8s_openapi::api::core::v1::{Node, Pod, Taint, Toleration};

/// Whether every `NoExecute` taint of the node is tolerated.
pub(super) fn tolerated(pod: &Pod, node: &Node) -> bool {
    let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_deref()).unwrap_or_default();
    taints.iter().filter(|taint| taint.effect == "NoExecute").all(|taint| tolerates(pod, taint))
}

/// Whether the taint that the node controller sets under memory pressure is tolerated.
pub(super) fn tolerates_memory_pressure(pod: &Pod) -> bool {
    let taint = Taint {
        key: "node.kubernetes.io/memory-pressure".to_owned(),
        effect: "NoSchedule".to_owned(),
        ..Taint::default()
    };
    tolerates(pod, &taint)
}

fn tolerates(pod: &Pod, taint: &Taint) -> bool {
    let tolerations = pod.spec.as_ref().and_then(|spec| spec.tolerations.as_deref()).unwrap_or_default();
    tolerations.iter().any(|toleration| matches(toleration, taint))
}

/// Empty effect and empty key match all; comparison operators (`Lt`, `Gt`) are off by default and match nothing.
fn matches(toleration: &Toleration, taint: &Taint) -> bool {
    let said = |field: &Option<String>| field.clone().unwrap_or_default();
    let (effect, key) = (said(&toleration.effect), said(&toleration.key));
    if (!effect.is_empty() && effect != taint.effect) || (!key.is_empty() && key != taint.key) {
        return false;
    }
    match toleration.operator.as_deref().unwrap_or_default() {
        "" | "Equal" => said(&toleration.value) == said(&taint.value),
        "Exists" => true,
        _ => false,
    }
}
