//! The node object that admission goes by: our own status with what others wrote since it was computed.

use k8s_openapi::api::core::v1::Node;

/// The object as computed, with labels, annotations, taints and the rest of what is not the kubelet's from one that was
/// read later. Its status stays: that is ours, and what was read is older.
#[must_use]
pub fn as_seen(computed: &Node, read: &Node) -> Node {
    Node { metadata: read.metadata.clone(), spec: read.spec.clone(), status: computed.status.clone() }
}
