//! Labels on sandboxes and containers (contract §26): how we find our own.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod;

/// `metadata.name` of the pod.
pub const POD_NAME: &str = "io.kubernetes.pod.name";
/// `metadata.namespace` of the pod.
pub const POD_NAMESPACE: &str = "io.kubernetes.pod.namespace";
/// `metadata.uid` of the pod.
pub const POD_UID: &str = "io.kubernetes.pod.uid";
/// Name of the container in the spec.
pub const CONTAINER_NAME: &str = "io.kubernetes.container.name";

fn identity(pod: &Pod, into: &mut BTreeMap<String, String>) {
    let meta = &pod.metadata;
    into.insert(POD_NAME.into(), meta.name.clone().unwrap_or_default());
    into.insert(POD_NAMESPACE.into(), meta.namespace.clone().unwrap_or_default());
    into.insert(POD_UID.into(), meta.uid.clone().unwrap_or_default());
}

/// Labels of a sandbox: the pod's own, under ours, so that no pod can pose as another.
#[must_use]
pub fn of_sandbox(pod: &Pod) -> BTreeMap<String, String> {
    let mut labels = pod.metadata.labels.clone().unwrap_or_default();
    identity(pod, &mut labels);
    labels
}

/// Labels of a container: only ours.
#[must_use]
pub fn of_container(pod: &Pod, container: &str) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::new();
    identity(pod, &mut labels);
    labels.insert(CONTAINER_NAME.into(), container.into());
    labels
}
