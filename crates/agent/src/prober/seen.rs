//! What a worker tells the prober about its pod.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use lifecycle::{ContainerId, observation::RuntimePod};

use crate::worker::bell::Bell;

/// What a worker knows about its pod.
pub struct Seen<'a> {
    /// The pod.
    pub pod: &'a Arc<Pod>,
    /// The runtime's account of it.
    pub runtime: &'a RuntimePod,
    /// First address of its sandbox, or of the node with host network.
    pub pod_ip: Option<String>,
    /// Rung when a result changes.
    pub bell: &'a Arc<Bell>,
    /// Liveness and startup probes end when the pod is being stopped.
    pub stopping: bool,
    /// Whether the start of a container, its postStart hook included, is still under way: then it is not probed yet.
    pub starting: &'a dyn Fn(&ContainerId) -> bool,
}

impl std::fmt::Debug for Seen<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Seen").field("pod_ip", &self.pod_ip).finish_non_exhaustive()
    }
}
