//! Event reasons of pods that node admission turned away.

/// Reasons that node admission gives (contract §5).
const REJECTIONS: [&str; 26] = [
    "OutOfcpu",
    "OutOfmemory",
    "OutOfpods",
    "OutOfephemeral-storage",
    "NodeAffinity",
    "NodePorts",
    "NodeName",
    "TaintToleration",
    "PodOSNotSupported",
    "PodOSSelectorNodeLabelDoesNotMatch",
    "SysctlForbidden",
    "AppArmor",
    "TopologyAffinityError",
    "UnexpectedAdmissionError",
    "EmptyPodSharedPoolError",
    "Evicted",
    "NodeShutdown",
    "SupplementalGroupsPolicyNotSupported",
    "PodLevelResourcesNotSupported",
    "PodFeatureUnsupported",
    "InitContainerRestartPolicyForbidden",
    "InvalidNodeInfo",
    "UnknownReason",
    "UnexpectedPredicateFailureType",
    "VolumeAttachmentLimitExceeded",
    "Preempting",
];

/// The event's reason for a rejection. Extended resources have names of their own, which events gather under the name
/// that upstream's rejection metric gives them.
pub(super) fn rejection(reason: &str) -> &'static str {
    let known = REJECTIONS.iter().find(|known| **known == reason);
    match known {
        Some(known) => known,
        None if reason.starts_with("OutOf") => "OutOfExtendedResources",
        None => "UnexpectedAdmissionError",
    }
}
