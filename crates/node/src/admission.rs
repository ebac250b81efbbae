//! Whether a pod may run on this node (contract §5).
//!
//! ```text
//! node pressure ▶ sysctls ▶ resource claims ▶ pod's os label ▶ pod's os ▶ supplemental groups ▶ fit: pod count, cpu, memory, storage,
//!                 others ▶ node affinity ▶ node name ▶ host ports ▶ NoExecute taints
//! ```
//!
//! The first that fails is reported, and a rejection is final. Invariants: a cordoned node still runs what is bound to
//! it; static pods ignore taints; critical pods ignore pressure; devices that a pod holds, since it runs already, are not
//! asked for again. Preemption for critical pods that do not fit, device
//! plugins and AppArmor are decided elsewhere.

use std::borrow::Cow;

use k8s_openapi::api::core::v1::{Node, Pod};

use crate::{
    priority,
    qos::QosClass,
    registration::{OS, OS_LABEL},
};

mod affinity;
mod fit;
mod ports;
pub mod sysctls;
mod taints;

use sysctls::{SysctlAllowlist, SysctlRefusal};

/// A condition of the node that keeps pods away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pressure {
    /// `MemoryPressure`.
    Memory,
    /// `DiskPressure`.
    Disk,
    /// `PIDPressure`.
    Pid,
}

impl Pressure {
    fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "MemoryPressure",
            Self::Disk => "DiskPressure",
            Self::Pid => "PIDPressure",
        }
    }
}

/// What admission looks at besides the pod.
#[derive(Clone, Debug)]
pub struct AdmissionInputs<'a> {
    /// The node object with labels, taints, allocatable and features; in standalone mode one made by
    /// [`crate::registration`] and [`crate::status`].
    pub node: &'a Node,
    /// Other pods that run here or are admitted, with allocated resources in their specs.
    pub others: &'a [&'a Pod],
    /// Conditions that hold, in the order memory, disk, pid.
    pub pressures: &'a [Pressure],
    /// Allowed sysctls.
    pub sysctls: &'a SysctlAllowlist,
}

/// Why a pod may not run here. `Display` is the event's message; the status message has `Pod was rejected: ` before it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// The node is short of something.
    #[error("The node had condition: [{}]. ", .0.join(" "))]
    Pressure(Vec<&'static str>),
    /// A sysctl is not allowed.
    #[error("forbidden sysctl: {0}")]
    Sysctl(SysctlRefusal),
    /// The pod wants dynamic resources.
    #[error("dynamic resource allocation is not built into this kubelet yet: nobody would prepare the claims [{}]", .0.join(" "))]
    ResourceClaims(Vec<String>),
    /// The pod's own label `kubernetes.io/os` is not the node's.
    #[error("Failed to admit pod as the `kubernetes.io/os` label doesn't match node label")]
    OsLabel,
    /// `spec.os.name` is not this operating system.
    #[error("Failed to admit pod as the OS field doesn't match node OS")]
    Os,
    /// The runtime cannot do `supplementalGroupsPolicy: Strict`.
    #[error("SupplementalGroupsPolicy=Strict is not supported in this node")]
    SupplementalGroups,
    /// Something would be overcommitted.
    #[error(
        "Node didn't have enough resource: {resource}, requested: {requested}, used: {used}, capacity: {capacity}"
    )]
    Insufficient {
        /// Resource.
        resource: String,
        /// Asked for: thousandths of a cpu, bytes, or a count.
        requested: i64,
        /// Asked for by the other pods.
        used: i64,
        /// Allocatable.
        capacity: i64,
    },
    /// Node selector or required node affinity.
    #[error("Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector")]
    NodeAffinity,
    /// Bound to another node.
    #[error("Predicate NodeName failed: node(s) didn't match the requested node name")]
    NodeName,
    /// A host port is taken.
    #[error("Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports")]
    NodePorts,
    /// A `NoExecute` taint is not tolerated.
    #[error("Predicate TaintToleration failed: node(s) had taints that the pod didn't tolerate")]
    Taint,
}

impl Rejection {
    /// `status.reason`, the event's reason and the metric's label.
    #[must_use]
    pub fn reason(&self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::Pressure(_) => "Evicted",
            Self::Sysctl(_) => "SysctlForbidden",
            Self::ResourceClaims(_) => "UnexpectedAdmissionError",
            Self::OsLabel => "PodOSSelectorNodeLabelDoesNotMatch",
            Self::Os => "PodOSNotSupported",
            Self::SupplementalGroups => "SupplementalGroupsPolicyNotSupported",
            Self::Insufficient { resource, .. } => return Cow::Owned(format!("OutOf{resource}")),
            Self::NodeAffinity => "NodeAffinity",
            Self::NodeName => "NodeName",
            Self::NodePorts => "NodePorts",
            Self::Taint => "TaintToleration",
        })
    }
}

/// All that speaks against a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Reported.
    pub rejection: Rejection,
    /// Everything that is wrong is the match of labels: worth a second look with a node object read live.
    pub labels_only: bool,
    /// Everything that is wrong is resources: preemption can help a critical pod.
    pub resources_only: bool,
}

impl Refused {
    fn alone(rejection: Rejection) -> Self {
        Self { rejection, labels_only: false, resources_only: false }
    }
}

/// Decides.
///
/// # Errors
/// [`Refused`].
pub fn admit(pod: &Pod, inputs: &AdmissionInputs<'_>) -> Result<(), Refused> {
    pressure(pod, inputs.pressures).map_err(Refused::alone)?;
    inputs.sysctls.check(pod).map_err(Rejection::Sysctl).map_err(Refused::alone)?;
    resource_claims(pod).map_err(Refused::alone)?;
    os(pod).map_err(Refused::alone)?;
    supplemental_groups(pod, inputs.node).map_err(Refused::alone)?;
    let mut failures = fit::failures(pod, inputs.node, inputs.others);
    if !affinity::matches(pod, inputs.node) {
        failures.push(Rejection::NodeAffinity);
    }
    let name = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).unwrap_or_default();
    if !name.is_empty() && Some(name) != inputs.node.metadata.name.as_deref() {
        failures.push(Rejection::NodeName);
    }
    if ports::conflict(pod, inputs.others) {
        failures.push(Rejection::NodePorts);
    }
    if !priority::is_static(pod) && !taints::tolerated(pod, inputs.node) {
        failures.push(Rejection::Taint);
    }
    let labels_only = failures.iter().all(|failure| *failure == Rejection::NodeAffinity);
    let resources_only = failures.iter().all(|failure| matches!(failure, Rejection::Insufficient { .. }));
    match failures.into_iter().next() {
        None => Ok(()),
        Some(rejection) => Err(Refused { rejection, labels_only, resources_only }),
    }
}

/// Memory pressure alone lets pass what has requests, and best effort pods that tolerate it.
fn pressure(pod: &Pod, pressures: &[Pressure]) -> Result<(), Rejection> {
    if pressures.is_empty() || priority::is_critical(pod) {
        return Ok(());
    }
    if pressures == [Pressure::Memory]
        && (QosClass::of(pod) != QosClass::BestEffort || taints::tolerates_memory_pressure(pod))
    {
        return Ok(());
    }
    Err(Rejection::Pressure(pressures.iter().map(|pressure| pressure.as_str()).collect()))
}

/// A pod that runs has its claims prepared; they stay so while it does.
fn resource_claims(pod: &Pod) -> Result<(), Rejection> {
    let claims = pod.spec.iter().flat_map(|spec| spec.resource_claims.iter().flatten());
    let names: Vec<_> = claims.map(|claim| claim.name.clone()).collect();
    if names.is_empty() || runs(pod) { Ok(()) } else { Err(Rejection::ResourceClaims(names)) }
}

/// The pod was admitted before, by this process or another, and has containers that run.
fn runs(pod: &Pod) -> bool {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Running")
}

fn os(pod: &Pod) -> Result<(), Rejection> {
    let label = pod.metadata.labels.as_ref().and_then(|labels| labels.get(OS_LABEL));
    if label.is_some_and(|os| os != OS) {
        return Err(Rejection::OsLabel);
    }
    let field = pod.spec.as_ref().and_then(|spec| spec.os.as_ref());
    if field.is_some_and(|os| os.name != OS) { Err(Rejection::Os) } else { Ok(()) }
}

fn supplemental_groups(pod: &Pod, node: &Node) -> Result<(), Rejection> {
    let context = pod.spec.as_ref().and_then(|spec| spec.security_context.as_ref());
    let strict = context.and_then(|context| context.supplemental_groups_policy.as_deref()) == Some("Strict");
    let features = node.status.as_ref().and_then(|status| status.features.as_ref());
    let supported = features.and_then(|features| features.supplemental_groups_policy).unwrap_or(false);
    if strict && !supported { Err(Rejection::SupplementalGroups) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
