//! Why a call to the runtime failed, and how pods are told.
//!
//! Three renderings, for three readers. `Display` is for the log: what the operator has to know. [`RuntimeError::rpc`]
//! is upstream's error as its gRPC client prints it, and [`RuntimeError::desc`] the same without the code: events and
//! statuses of pods carry the one or the other, step by step as upstream's do, because tools match on them.

use std::time::Duration;

use lifecycle::Obstacle;

/// A failed call to the runtime. `call` is the CRI method; `message` is the runtime's own text.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum RuntimeError {
    /// The object of the call does not exist.
    #[error("{call}: {message}")]
    NotFound {
        /// CRI method.
        call: &'static str,
        /// Runtime's text.
        message: String,
    },
    /// The runtime does not know this call.
    #[error("{call} is not implemented by this runtime")]
    Unimplemented {
        /// CRI method.
        call: &'static str,
    },
    /// No answer within the deadline: the call may still take effect.
    #[error("{call} did not answer within {after:?}")]
    Deadline {
        /// CRI method.
        call: &'static str,
        /// The deadline.
        after: Duration,
    },
    /// The socket is gone, refuses, or broke in the middle of the call.
    #[error("cannot reach the container runtime at {endpoint}: {message}")]
    Unreachable {
        /// Socket.
        endpoint: String,
        /// Transport's text.
        message: String,
    },
    /// The runtime answered with an error. Displays as upstream's gRPC rendering: `rpc error: code = C desc = M`.
    #[error("rpc error: code = {code} desc = {message}")]
    Failed {
        /// CRI method.
        call: &'static str,
        /// gRPC code name as Go prints it (`Unknown`, `AlreadyExists`, …).
        code: &'static str,
        /// Runtime's text.
        message: String,
    },
    /// The request cannot be expressed for this runtime, or the answer cannot be understood.
    #[error("{call}: {message}")]
    Invalid {
        /// CRI method.
        call: &'static str,
        /// What is wrong.
        message: String,
    },
}

impl RuntimeError {
    /// `rpc error: code = C desc = M`, as upstream's client renders a failed call: in events about sandboxes, pulls,
    /// image lookups and kills.
    #[must_use]
    pub fn rpc(&self) -> String {
        match self.code() {
            Some(code) => format!("rpc error: code = {code} desc = {}", self.desc()),
            None => self.desc(),
        }
    }

    /// The bare description: in events and waiting messages about the creation and the start of containers.
    #[must_use]
    pub fn desc(&self) -> String {
        match self {
            Self::NotFound { message, .. } | Self::Failed { message, .. } | Self::Invalid { message, .. } => {
                message.clone()
            }
            Self::Deadline { .. } => "context deadline exceeded".to_owned(),
            Self::Unimplemented { .. } | Self::Unreachable { .. } => self.to_string(),
        }
    }

    /// What stands in the way, where the error tells.
    #[must_use]
    pub fn obstacle(&self) -> Option<Obstacle> {
        match self {
            Self::Deadline { .. } | Self::Unreachable { .. } => Some(Obstacle::Runtime),
            Self::NotFound { .. }
            | Self::Unimplemented { .. }
            | Self::Failed { .. }
            | Self::Invalid { .. } => None,
        }
    }

    /// gRPC code name; `None` for what never was an answer.
    fn code(&self) -> Option<&'static str> {
        match self {
            Self::NotFound { .. } => Some("NotFound"),
            Self::Unimplemented { .. } => Some("Unimplemented"),
            Self::Deadline { .. } => Some("DeadlineExceeded"),
            Self::Unreachable { .. } => Some("Unavailable"),
            Self::Failed { code, .. } => Some(code),
            Self::Invalid { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_are_told_in_upstreams_words() {
        let failed = RuntimeError::Failed {
            call: "StartContainer",
            code: "Unknown",
            message: "no such shim".to_owned(),
        };
        assert_eq!(failed.rpc(), "rpc error: code = Unknown desc = no such shim");
        assert_eq!(failed.desc(), "no such shim");
        let late = RuntimeError::Deadline { call: "RunPodSandbox", after: Duration::from_secs(240) };
        assert_eq!(late.rpc(), "rpc error: code = DeadlineExceeded desc = context deadline exceeded");
        assert_eq!(late.to_string(), "RunPodSandbox did not answer within 240s");
        let gone = RuntimeError::NotFound { call: "StartContainer", message: "container \"x\"".to_owned() };
        assert_eq!(gone.rpc(), "rpc error: code = NotFound desc = container \"x\"");
        let away =
            RuntimeError::Unreachable { endpoint: "unix:///x".to_owned(), message: "refused".to_owned() };
        assert!(
            away.rpc().starts_with("rpc error: code = Unavailable desc = cannot reach"),
            "{}",
            away.rpc()
        );
        let invalid = RuntimeError::Invalid { call: "PullImage", message: "imageRef is not set".to_owned() };
        assert_eq!(invalid.rpc(), "imageRef is not set");
    }
}
