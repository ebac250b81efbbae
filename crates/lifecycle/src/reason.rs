//! Why: one typed value per decision made, rendered as event, waiting reason, condition, log line and explanation.

/// A reason.
#[derive(Clone, Debug, PartialEq)]
pub enum Reason {}

/// A reason rendered as a core/v1 event about the pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodEvent {
    /// True: `Warning`, false: `Normal`.
    pub warning: bool,
    /// `CamelCase` reason (contract §28).
    pub reason: &'static str,
    /// Message.
    pub message: String,
    /// `spec.containers{name}`, for events about one container.
    pub field_path: Option<String>,
}

impl Reason {
    /// The event that upstream emits for this reason, if any.
    #[must_use]
    pub fn event(&self) -> Option<PodEvent> {
        None
    }
}
