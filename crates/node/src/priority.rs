//! Which pods are critical (contract §20).

use k8s_openapi::api::core::v1::Pod;

/// Annotation that says where a pod came from; `api` for those of the API server.
pub const SOURCE_ANNOTATION: &str = "kubernetes.io/config.source";
/// Annotation of mirror pods.
pub const MIRROR_ANNOTATION: &str = "kubernetes.io/config.mirror";
/// Lowest priority of a system-critical pod.
pub const SYSTEM_CRITICAL: i32 = 2_000_000_000;
/// Class of node-critical pods, priority 2000001000.
const NODE_CRITICAL_CLASS: &str = "system-node-critical";

fn annotation<'a>(pod: &'a Pod, name: &str) -> Option<&'a str> {
    pod.metadata.annotations.as_ref()?.get(name).map(String::as_str)
}

/// The pod came from a manifest (file or URL), not from the API.
#[must_use]
pub fn is_static(pod: &Pod) -> bool {
    annotation(pod, SOURCE_ANNOTATION).is_some_and(|source| source != "api")
}

/// The pod stands for a static pod in the API.
#[must_use]
pub fn is_mirror(pod: &Pod) -> bool {
    annotation(pod, MIRROR_ANNOTATION).is_some()
}

/// Static, mirror, or of a priority of at least [`SYSTEM_CRITICAL`].
#[must_use]
pub fn is_critical(pod: &Pod) -> bool {
    let priority = pod.spec.as_ref().and_then(|spec| spec.priority);
    is_static(pod) || is_mirror(pod) || priority.is_some_and(|priority| priority >= SYSTEM_CRITICAL)
}

/// Critical, and of the class for pods without which the node is none.
#[must_use]
pub fn is_node_critical(pod: &Pod) -> bool {
    let class = pod.spec.as_ref().and_then(|spec| spec.priority_class_name.as_deref());
    is_critical(pod) && class == Some(NODE_CRITICAL_CLASS)
}
