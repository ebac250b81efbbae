//! What the gates of a kubelet switch here: facts for docs/compat.md, and for the warning at the start.

use super::{Area, Gate, Spec};

/// Gates whose behaviour is switched by them here as upstream.
const OBEYED: [Gate; 7] = [
    Gate::ContainerCheckpoint,
    Gate::ContainerRestartRules,
    Gate::ExtendWebSocketsToKubelet,
    Gate::KubeletAllocatedPodsEndpoint,
    Gate::KubeletEnsureSecretPulledImages,
    Gate::PodLogsQuerySplitStreams,
    Gate::RestartAllContainersOnContainerExits,
];

/// Gates that something here reads, beside the checks of the configuration.
const READ: [Gate; 12] = [
    Gate::AllAlpha,
    Gate::AllBeta,
    Gate::CustomCPUCFSQuotaPeriod,
    Gate::DefaultPodSysctls,
    Gate::GracefulNodeShutdown,
    Gate::GracefulNodeShutdownBasedOnPodPriority,
    Gate::KubeletCrashLoopBackOffMax,
    Gate::KubeletEnsureSecretPulledImages,
    Gate::LoggingAlphaOptions,
    Gate::LoggingBetaOptions,
    Gate::QOSReserved,
    Gate::RotateKubeletServerCertificate,
];

/// What a gate switches here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Here {
    /// What it switches upstream.
    Obeyed,
    /// A part of that: which.
    Partly(&'static str),
    /// Which configurations are accepted.
    Checks,
    /// Nothing, since it cannot be switched.
    Locked,
    /// Nothing.
    Absent,
}

/// What a gate switches here; `None` for those that no kubelet reads.
#[must_use]
pub fn of(spec: &Spec) -> Option<Here> {
    if spec.area == Area::Other && !READ.contains(&spec.gate) {
        return None;
    }
    Some(if OBEYED.contains(&spec.gate) {
        Here::Obeyed
    } else if spec.gate == Gate::MemoryQoS {
        Here::Partly(
            "which of `memory.min`, `low` and `high` are reset; throttling and reservations are not built yet",
        )
    } else if READ.contains(&spec.gate) {
        Here::Checks
    } else if spec.locked {
        Here::Locked
    } else {
        Here::Absent
    })
}
