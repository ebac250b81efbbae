//! Every event of upstream's kubelet 1.37.2 (contract §5, §28), and whether it is recorded here: the table behind
//! `docs/compat.md`. What is recorded without being listed is a mistake, which a build with assertions stops at.

/// What an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// A pod.
    Pod,
    /// A pod, with the field path of one of its containers.
    Container,
    /// The node.
    Node,
    /// A volume of the API.
    Volume,
}

impl About {
    /// Word for the compat table.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Pod => "pod",
            Self::Container => "container",
            Self::Node => "node",
            Self::Volume => "persistent volume",
        }
    }

    /// Kind of the involved object.
    fn kind(self) -> &'static str {
        match self {
            Self::Pod | Self::Container => "Pod",
            Self::Node => "Node",
            Self::Volume => "PersistentVolume",
        }
    }
}

/// Whether it is recorded here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Here {
    /// As upstream does.
    Same,
    /// It is, but not as upstream does: how.
    Differs(&'static str),
    /// Its feature is not built yet: which.
    Absent(&'static str),
    /// It never will be: why.
    Otherwise(&'static str),
}

/// One kind of event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Reason; a `*` at its end stands for any name.
    pub reason: &'static str,
    /// True: `Warning`, false: `Normal`.
    pub warning: bool,
    /// Object.
    pub about: About,
    /// Whether it is recorded here.
    pub here: Here,
}

const fn row(about: About, warning: bool, reason: &'static str, here: Here) -> Row {
    Row { reason, warning, about, here }
}

const fn normal(about: About, reason: &'static str) -> Row {
    row(about, false, reason, Here::Same)
}

const fn warning(about: About, reason: &'static str) -> Row {
    row(about, true, reason, Here::Same)
}

const fn absent(about: About, is_warning: bool, reason: &'static str, feature: &'static str) -> Row {
    row(about, is_warning, reason, Here::Absent(feature))
}

use About::{Container, Node, Pod, Volume};

const RESIZE: &str = "resize in place";
const MANAGERS: &str = "the resource managers";
const EVICTION: &str = "eviction";
const VOLUMES: &str = "persistent volumes";
const CERTIFICATES: &str = "pod certificates";
const IMAGE_GC: &str = "image garbage collection";

/// All of them, by object and reason.
pub const EVENTS: &[Row] = &[
    normal(Container, "BackOff"),
    warning(Container, "BackOff"),
    normal(Container, "Created"),
    warning(Container, "ErrImageNeverPull"),
    warning(Container, "Failed"),
    warning(Container, "FailedPostStartHook"),
    warning(Container, "FailedPreStopHook"),
    warning(Container, "InspectFailed"),
    normal(Container, "Killing"),
    warning(Container, "ProbeWarning"),
    normal(Container, "Pulled"),
    normal(Container, "Pulling"),
    normal(Container, "Started"),
    warning(Container, "Unhealthy"),
    absent(Pod, true, "AlreadyMountedVolume", VOLUMES),
    absent(Pod, true, "AppArmor", "AppArmor profiles"),
    absent(Pod, true, "CertificateExpired", CERTIFICATES),
    absent(Pod, true, "CertificateOverdueForRefresh", CERTIFICATES),
    warning(Pod, "DNSConfigForming"),
    normal(Pod, "DeadlineExceeded"),
    absent(Pod, true, "Denied", CERTIFICATES),
    absent(Pod, true, "EmptyPodSharedPoolError", MANAGERS),
    absent(Pod, true, "Evicted", EVICTION),
    row(
        Pod,
        true,
        "ExceededGracePeriod",
        Here::Otherwise("the runtime is asked again instead, and each try is an event"),
    ),
    warning(Pod, "Failed"),
    absent(Pod, true, "FailedAttachVolume", VOLUMES),
    warning(Pod, "FailedCreatePodContainer"),
    warning(Pod, "FailedCreatePodSandBox"),
    row(
        Pod,
        true,
        "FailedKillPod",
        Here::Differs("not for what is removed after the last container has ended"),
    ),
    absent(Pod, true, "FailedMapVolume", VOLUMES),
    warning(Pod, "FailedMount"),
    absent(Pod, true, "FailedNodeDeclaredFeaturesCheck", RESIZE),
    row(
        Pod,
        true,
        "FailedPodSandBoxStatus",
        Here::Otherwise("`FailedSync` tells that the runtime cannot be asked"),
    ),
    absent(Pod, true, "FailedPrepareDynamicResources", "dynamic resources"),
    warning(Pod, "FailedSync"),
    warning(Pod, "FailedToRetrieveImagePullSecret"),
    warning(Pod, "FailedValidation"),
    absent(Pod, true, "FileSystemResizeFailed", VOLUMES),
    absent(Pod, false, "FileSystemResizeSuccessful", VOLUMES),
    absent(Pod, true, "HostIPsIPFamilyMismatch", "the check of a dual-stack node's addresses"),
    row(Pod, true, "InvalidNodeInfo", Here::Otherwise("no pod is looked at before the node is known")),
    warning(Pod, "LifecycleHTTPFallback"),
    warning(Pod, "MissingClusterDNS"),
    warning(Pod, "NetworkNotReady"),
    warning(Pod, "NodeAffinity"),
    warning(Pod, "NodeName"),
    warning(Pod, "NodePorts"),
    absent(Pod, true, "NodeShutdown", "graceful node shutdown"),
    warning(Pod, "OutOf*"),
    absent(Pod, true, "PodFeatureUnsupported", "the check of the features that a pod needs"),
    absent(Pod, true, "PodLevelResourcesNotSupported", "the check of resources of a pod whose gate is off"),
    warning(Pod, "PodOSNotSupported"),
    warning(Pod, "PodOSSelectorNodeLabelDoesNotMatch"),
    absent(Pod, true, "Preempting", "preemption for critical pods"),
    absent(Pod, false, "ResizeCompleted", RESIZE),
    absent(Pod, true, "ResizeDeferred", RESIZE),
    absent(Pod, true, "ResizeError", RESIZE),
    absent(Pod, true, "ResizeInfeasible", RESIZE),
    absent(Pod, false, "ResizeStarted", RESIZE),
    normal(Pod, "SandboxChanged"),
    absent(Pod, false, "SuccessfulAttachVolume", VOLUMES),
    absent(Pod, false, "SuccessfulMountVolume", VOLUMES),
    warning(Pod, "SupplementalGroupsPolicyNotSupported"),
    warning(Pod, "SysctlForbidden"),
    warning(Pod, "TaintToleration"),
    absent(Pod, true, "TopologyAffinityError", MANAGERS),
    row(
        Pod,
        true,
        "UnexpectedAdmissionError",
        Here::Differs(
            "for pods with resource claims, which nobody prepares here; the resource managers are not built yet",
        ),
    ),
    absent(Pod, true, "VolumeAttachmentLimitExceeded", VOLUMES),
    absent(Pod, true, "VolumePermissionChangeInProgress", VOLUMES),
    absent(Pod, true, "VolumeResizeFailed", VOLUMES),
    row(Node, true, "CgroupV1", Here::Otherwise("a line of the log")),
    warning(Node, "CheckLimitsForResolvConf"),
    absent(Node, true, "ContainerGCFailed", "container garbage collection of its own"),
    absent(Node, true, "EvictionThresholdMet", EVICTION),
    warning(Node, "FailedNodeAllocatableEnforcement"),
    absent(Node, true, "FreeDiskSpaceFailed", IMAGE_GC),
    absent(Node, true, "ImageGCFailed", IMAGE_GC),
    absent(Node, true, "InvalidDiskCapacity", IMAGE_GC),
    absent(Node, true, "InvalidImageID", IMAGE_GC),
    row(Node, true, "KubeletSetupFailed", Here::Otherwise("the process ends with an error")),
    warning(Node, "MissingClusterDNS"),
    normal(Node, "NodeAllocatableEnforced"),
    absent(Node, false, "NodeHasDiskPressure", EVICTION),
    absent(Node, false, "NodeHasInsufficientMemory", EVICTION),
    absent(Node, false, "NodeHasInsufficientPID", EVICTION),
    normal(Node, "NodeHasNoDiskPressure"),
    normal(Node, "NodeHasSufficientMemory"),
    normal(Node, "NodeHasSufficientPID"),
    normal(Node, "NodeNotReady"),
    normal(Node, "NodeNotSchedulable"),
    normal(Node, "NodeReady"),
    normal(Node, "NodeSchedulable"),
    absent(
        Node,
        true,
        "PossibleMemoryBackedVolumesOnDisk",
        "the check whether volumes in memory can be swapped",
    ),
    warning(Node, "Rebooted"),
    absent(Node, false, "Shutdown", "graceful node shutdown"),
    normal(Node, "Starting"),
    absent(Node, true, "SystemOOM", "the watch for the kernel's OOM kills"),
    absent(Volume, true, "FailedMountOnFilesystemMismatch", VOLUMES),
];

/// Whether an event of this kind is one that is recorded here.
#[must_use]
pub fn is_listed(kind: &str, is_warning: bool, reason: &str) -> bool {
    EVENTS.iter().any(|row| {
        let named = match row.reason.strip_suffix('*') {
            Some(beginning) => reason.starts_with(beginning),
            None => reason == row.reason,
        };
        named
            && matches!(row.here, Here::Same | Here::Differs(_))
            && row.warning == is_warning
            && row.about.kind() == kind
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_row_is_there_once_and_in_order() {
        let keys: Vec<_> = EVENTS.iter().map(|row| (row.about.word(), row.reason, row.warning)).collect();
        for (at, key) in keys.iter().enumerate() {
            assert!(!keys[at + 1..].contains(key), "{key:?} twice");
        }
        for pair in EVENTS.windows(2).filter(|pair| pair[0].about == pair[1].about) {
            assert!(pair[0].reason <= pair[1].reason, "{} before {}", pair[0].reason, pair[1].reason);
        }
    }

    #[test]
    fn only_what_is_recorded_is_listed() {
        assert!(is_listed("Pod", false, "BackOff") && is_listed("Pod", true, "BackOff"));
        assert!(is_listed("Pod", true, "OutOfexample.com/thing"));
        assert!(!is_listed("Node", false, "Pulled") && !is_listed("Pod", true, "Pulled"));
        assert!(!is_listed("Pod", true, "Evicted"));
    }
}
