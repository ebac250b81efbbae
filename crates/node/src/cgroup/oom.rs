//! Which container's processes the kernel kills first when memory runs out (contract §18).

use k8s_openapi::api::core::v1::{Container, Pod};

use super::get;
use crate::{priority, qos::QosClass, resources};

/// The kubelet's own score.
pub const KUBELET_OOM_SCORE_ADJ: i64 = -999;
const GUARANTEED: i64 = -997;
const BEST_EFFORT: i64 = 1000;
/// Burstable containers stay above the guaranteed ones …
const BURSTABLE_LEAST: i64 = 1000 + GUARANTEED;
/// … and below best effort.
const BURSTABLE_MOST: i64 = BEST_EFFORT - 1;

/// `oom_score_adj` of a container's processes: the more of the node's memory it asked for, the lower. A sidecar is
/// never a better victim than the smallest regular container. What the pod asked for beyond its containers is divided
/// among all of them.
#[must_use]
pub fn oom_score_adj(pod: &Pod, container: &Container, memory_bytes: u64) -> i64 {
    if priority::is_node_critical(pod) {
        return GUARANTEED;
    }
    match QosClass::of(pod) {
        QosClass::Guaranteed => return GUARANTEED,
        QosClass::BestEffort => return BEST_EFFORT,
        QosClass::Burstable => {}
    }
    let capacity = i128::from(memory_bytes.max(1));
    let request = |container: &Container| get(&resources::container_requests(container), "memory").value();
    let extra = unclaimed(pod);
    let score = |request: i64| {
        let share = 1000 * (i128::from(request) + i128::from(extra)) / capacity;
        i64::try_from(1000 - share).unwrap_or(BURSTABLE_LEAST)
    };
    let own = score(request(container));
    let smallest = || pod.spec.as_ref().and_then(|spec| spec.containers.iter().map(request).min());
    let adjusted = match is_sidecar_of(pod, container).then(smallest).flatten() {
        Some(least) => own.min(score(least)),
        None => own,
    };
    adjusted.clamp(BURSTABLE_LEAST, BURSTABLE_MOST)
}

fn is_sidecar_of(pod: &Pod, container: &Container) -> bool {
    let init = pod.spec.as_ref().and_then(|spec| spec.init_containers.as_deref()).unwrap_or_default();
    resources::is_sidecar(container) && init.iter().any(|init| init.name == container.name)
}

/// Each container's part of the pod-level memory request that no container asked for.
fn unclaimed(pod: &Pod) -> i64 {
    let level = get(&resources::pod_level_requests(pod), "memory").value();
    let count = i64::try_from(resources::containers(pod).count()).unwrap_or(i64::MAX);
    if level == 0 || count == 0 {
        return 0;
    }
    let claimed = get(&resources::aggregated_requests(pod), "memory").value();
    level.saturating_sub(claimed).max(0) / count
}
