//! Conditions of the node: `MemoryPressure`, `DiskPressure`, `PIDPressure` and `Ready`, in this order, `Ready` last
//! (contract §2.2).
//!
//! Invariants: the transition time changes with the status and only with it; every transition has one event; reason
//! and message of a pressure condition change with its status only, those of `Ready` whenever its inputs do.

use jiff::Timestamp;
use k8s_openapi::{api::core::v1::NodeCondition, apimachinery::pkg::apis::meta::v1::Time};

use crate::quantity::ResourceList;

/// An event about the node that a decision wants recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeEvent {
    /// Severity.
    pub kind: EventKind,
    /// Reason (contract §28).
    pub reason: &'static str,
    /// Message.
    pub message: String,
}

impl NodeEvent {
    /// `Node <name> status is now: <reason>`.
    #[must_use]
    pub fn status_is_now(node_name: &str, reason: &'static str) -> Self {
        let message = format!("Node {node_name} status is now: {reason}");
        Self { kind: EventKind::Normal, reason, message }
    }
}

/// Type of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// `Normal`.
    Normal,
    /// `Warning`.
    Warning,
}

impl EventKind {
    /// As in the event's `type`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "Normal",
            Self::Warning => "Warning",
        }
    }
}

/// What the node is short of, held for the transition period by the eviction plan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pressures {
    /// Memory.
    pub memory: bool,
    /// Bytes or inodes of any filesystem.
    pub disk: bool,
    /// Process ids.
    pub pid: bool,
}

/// One reason why the node is not ready. `Display` is upstream's text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotReady {
    /// The runtime has not answered since the kubelet started.
    #[error("container runtime status check may not have completed yet")]
    RuntimeUnchecked,
    /// The runtime has not answered well for 30 s.
    #[error("container runtime is down")]
    RuntimeDown,
    /// The runtime does not say what it is called, which is part of every container's id: no pod can be looked after.
    #[error("container runtime does not tell its name: {0}")]
    RuntimeUnnamed(String),
    /// A part of the kubelet itself does not keep up, such as `PLEG`.
    #[error("{part} is not healthy: {cause}")]
    Unhealthy {
        /// Part.
        part: String,
        /// Cause.
        cause: String,
    },
    /// The runtime says that it is not ready.
    #[error("container runtime not ready: {0}")]
    RuntimeNotReady(RuntimeCondition),
    /// The runtime has not said anything about its network yet.
    #[error("network state unknown")]
    NetworkUnknown,
    /// The runtime says that its network is not ready.
    #[error("container runtime network not ready: {0}")]
    NetworkNotReady(RuntimeCondition),
    /// CSINode could not be made yet.
    #[error("CSINode is not yet initialized")]
    StorageNotInitialized,
    /// Graceful shutdown.
    #[error("node is shutting down")]
    ShuttingDown,
    /// Something essential is not known.
    #[error("missing node capacity for resources: {}", .0.join(", "))]
    MissingCapacity(Vec<&'static str>),
}

/// A condition of the CRI `Status` answer, printed as upstream prints it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuntimeCondition {
    /// `RuntimeReady` or `NetworkReady`.
    pub name: String,
    /// Status.
    pub ready: bool,
    /// Reason.
    pub reason: String,
    /// Message.
    pub message: String,
}

impl std::fmt::Display for RuntimeCondition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { name, ready, reason, message } = self;
        write!(f, "{name}={ready} reason:{reason} message:{message}")
    }
}

/// Inputs of the `Ready` condition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadyInputs {
    /// Why not, in the order runtime, network, storage, shutdown. Empty is ready.
    pub problems: Vec<NotReady>,
    /// What is wrong without making the node unusable; appended to the message as a warning.
    pub warnings: Vec<String>,
    /// Local storage is accounted for: `ephemeral-storage` has to be known.
    pub local_storage: bool,
}

/// Joins messages as Go's aggregate error does: one alone, several in brackets, each once.
#[must_use]
pub fn joined(messages: impl IntoIterator<Item = String>) -> String {
    let mut once: Vec<String> = Vec::new();
    for message in messages {
        if !once.contains(&message) {
            once.push(message);
        }
    }
    match once.as_slice() {
        [alone] => alone.clone(),
        several => format!("[{}]", several.join(", ")),
    }
}

/// The conditions that follow those of the last report. Conditions of other owners are kept where they are.
#[must_use]
pub fn next(
    node_name: &str,
    previous: &[NodeCondition],
    pressures: Pressures,
    ready: &ReadyInputs,
    capacity: &ResourceList,
    now: Timestamp,
) -> (Vec<NodeCondition>, Vec<NodeEvent>) {
    let mut list = previous.to_vec();
    let mut events = Vec::new();
    let now = Time(whole_seconds(now));
    for (kind, holds) in [(&MEMORY, pressures.memory), (&DISK, pressures.disk), (&PID, pressures.pid)] {
        if let Some(event) = kind.apply(&mut list, holds, &now) {
            events.push(NodeEvent::status_is_now(node_name, event));
        }
    }
    if let Some(event) = apply_ready(&mut list, ready, capacity, &now) {
        events.push(NodeEvent::status_is_now(node_name, event));
    }
    (list, events)
}

/// The API keeps whole seconds: anything finer would look like a change when it comes back.
pub(crate) fn whole_seconds(now: Timestamp) -> Timestamp {
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}

/// Texts of one pressure condition.
struct Pressure {
    name: &'static str,
    /// Reason, message, event when it holds, and when not.
    yes: (&'static str, &'static str, &'static str),
    no: (&'static str, &'static str, &'static str),
}

const MEMORY: Pressure = Pressure {
    name: "MemoryPressure",
    yes: (
        "KubeletHasInsufficientMemory",
        "kubelet has insufficient memory available",
        "NodeHasInsufficientMemory",
    ),
    no: ("KubeletHasSufficientMemory", "kubelet has sufficient memory available", "NodeHasSufficientMemory"),
};
const DISK: Pressure = Pressure {
    name: "DiskPressure",
    yes: ("KubeletHasDiskPressure", "kubelet has disk pressure", "NodeHasDiskPressure"),
    no: ("KubeletHasNoDiskPressure", "kubelet has no disk pressure", "NodeHasNoDiskPressure"),
};
const PID: Pressure = Pressure {
    name: "PIDPressure",
    yes: ("KubeletHasInsufficientPID", "kubelet has insufficient PID available", "NodeHasInsufficientPID"),
    no: ("KubeletHasSufficientPID", "kubelet has sufficient PID available", "NodeHasSufficientPID"),
};

impl Pressure {
    fn apply(&self, list: &mut Vec<NodeCondition>, holds: bool, now: &Time) -> Option<&'static str> {
        let status = if holds { "True" } else { "False" };
        let (reason, message, event) = if holds { self.yes } else { self.no };
        let fresh = || NodeCondition {
            type_: self.name.to_owned(),
            status: status.to_owned(),
            reason: Some(reason.to_owned()),
            message: Some(message.to_owned()),
            last_heartbeat_time: Some(now.clone()),
            last_transition_time: Some(now.clone()),
        };
        match list.iter_mut().find(|condition| condition.type_ == self.name) {
            Some(known) if known.status == status => {
                known.last_heartbeat_time = Some(now.clone());
                return None;
            }
            Some(known) => *known = fresh(),
            None => list.push(fresh()),
        }
        Some(event)
    }
}

/// The first report of readiness is no transition and has no event, as upstream's.
fn apply_ready(
    list: &mut Vec<NodeCondition>,
    inputs: &ReadyInputs,
    capacity: &ResourceList,
    now: &Time,
) -> Option<&'static str> {
    let required = ["cpu", "memory", "pods", "ephemeral-storage"];
    let missing: Vec<_> = required
        .into_iter()
        .filter(|name| *name != "ephemeral-storage" || inputs.local_storage)
        .filter(|name| !capacity.contains_key(*name))
        .collect();
    let missing = (!missing.is_empty()).then_some(NotReady::MissingCapacity(missing));
    let problems: Vec<_> = inputs.problems.iter().chain(missing.iter()).map(ToString::to_string).collect();
    let (status, reason, mut message, event) = if problems.is_empty() {
        ("True", "KubeletReady", "kubelet is posting ready status".to_owned(), "NodeReady")
    } else {
        ("False", "KubeletNotReady", joined(problems), "NodeNotReady")
    };
    if !inputs.warnings.is_empty() {
        message = format!("{message}. WARNING: {}", joined(inputs.warnings.clone()));
    }
    let mut fresh = NodeCondition {
        type_: "Ready".to_owned(),
        status: status.to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message),
        last_heartbeat_time: Some(now.clone()),
        last_transition_time: Some(now.clone()),
    };
    match list.iter_mut().find(|condition| condition.type_ == "Ready") {
        Some(known) => {
            let same = known.status == status;
            if same {
                fresh.last_transition_time.clone_from(&known.last_transition_time);
            }
            *known = fresh;
            (!same).then_some(event)
        }
        None => {
            list.push(fresh);
            None
        }
    }
}

/// Whether the `Ready` condition is `True`.
#[must_use]
pub fn is_ready(conditions: &[NodeCondition]) -> bool {
    conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

#[cfg(test)]
mod tests;
