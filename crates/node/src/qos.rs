//! QoS class of a pod.

use k8s_openapi::api::core::v1::{Pod, ResourceRequirements};

use crate::{
    quantity::{Quantity, numbers},
    resources,
};

/// QoS class (`status.qosClass`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum QosClass {
    /// Every container has cpu and memory limits equal to its requests.
    Guaranteed,
    /// Some container has a request or limit.
    Burstable,
    /// None has.
    BestEffort,
}

impl QosClass {
    /// As in `status.qosClass`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Guaranteed => "Guaranteed",
            Self::Burstable => "Burstable",
            Self::BestEffort => "BestEffort",
        }
    }

    /// From `status.qosClass`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Guaranteed, Self::Burstable, Self::BestEffort].into_iter().find(|class| class.as_str() == name)
    }

    /// Class of a pod: what its status says (it never changes over a pod's life), or else computed from its spec.
    #[must_use]
    pub fn of(pod: &Pod) -> Self {
        let recorded = pod.status.as_ref().and_then(|status| status.qos_class.as_deref());
        recorded.and_then(Self::from_name).unwrap_or_else(|| Self::compute(pod))
    }

    /// Class by the spec alone. Pod-level resources of a supported kind decide by themselves; else all containers and
    /// init containers (not the ephemeral ones) have to agree.
    #[must_use]
    pub fn compute(pod: &Pod) -> Self {
        let Some(spec) = &pod.spec else { return Self::BestEffort };
        if let Some(level) = spec.resources.as_ref().filter(|_| resources::has_pod_level(pod)) {
            return class_of(Some(level));
        }
        let mut classes = resources::containers(pod).map(|container| class_of(container.resources.as_ref()));
        let Some(first) = classes.next() else { return Self::BestEffort };
        if classes.all(|class| class == first) { first } else { Self::Burstable }
    }
}

/// By cpu and memory of one set of requirements: equal and above zero is guaranteed, nothing is best effort, and
/// anything else, or a mixture of both, is burstable.
fn class_of(requirements: Option<&ResourceRequirements>) -> QosClass {
    let requests = numbers(requirements.and_then(|both| both.requests.as_ref()));
    let limits = numbers(requirements.and_then(|both| both.limits.as_ref()));
    let one = |name: &str| {
        let request = requests.get(name).copied().unwrap_or(Quantity::ZERO);
        let limit = limits.get(name).copied().unwrap_or(Quantity::ZERO);
        match (request == limit, request.is_zero()) {
            (false, _) => QosClass::Burstable,
            (true, true) => QosClass::BestEffort,
            (true, false) => QosClass::Guaranteed,
        }
    };
    let (cpu, memory) = (one("cpu"), one("memory"));
    if cpu == memory { cpu } else { QosClass::Burstable }
}

#[cfg(test)]
mod tests;
