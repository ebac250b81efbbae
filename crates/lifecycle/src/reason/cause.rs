//! Why something is stopped: one container, or the whole pod.

use std::fmt;

/// Why a container is killed. `Display` is the text of the `Killing` event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KillCause {
    /// The pod stops, or its sandbox is replaced.
    PodStops,
    /// Name or image in the spec changed.
    DefinitionChanged,
    /// Liveness probe failed.
    Liveness,
    /// Startup probe failed.
    Startup,
    /// The runtime lost track of it: stopped before its successor may start.
    Unknown,
    /// Its postStart hook failed.
    PostStartHook,
    /// All containers of the pod are started over.
    StartOver,
}

/// Whether a killed container comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Afterwards {
    /// It will be restarted.
    Restart,
    /// It stays dead.
    Stay,
}

/// Why a pod is being terminated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// `deletionTimestamp` is set.
    Deleted,
    /// No source holds it any more.
    Removed,
    /// The node wants it gone: eviction, preemption, shutdown.
    Killed {
        /// `status.reason`.
        reason: String,
        /// `status.message`.
        message: String,
    },
    /// `activeDeadlineSeconds` has passed.
    DeadlineExceeded,
    /// Node admission said no.
    Rejected {
        /// `status.reason`.
        reason: String,
        /// Message without the prefix `Pod was rejected: `.
        message: String,
    },
    /// Nothing of it is to run any more: its containers ended, or initialisation failed for good.
    Completed,
    /// The API says that it ended before this process looked.
    AlreadyTerminal,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deleted => f.write_str("the pod is being deleted"),
            Self::Removed => f.write_str("no source holds the pod any more"),
            Self::Killed { reason, message } => write!(f, "{reason}: {message}"),
            Self::DeadlineExceeded => f.write_str(DEADLINE_MESSAGE),
            Self::Rejected { reason, message } => write!(f, "rejected, {reason}: {message}"),
            Self::Completed => f.write_str("nothing of the pod is left to run"),
            Self::AlreadyTerminal => f.write_str("the pod had ended before"),
        }
    }
}

/// `status.message` and event text when `activeDeadlineSeconds` has passed.
pub(crate) const DEADLINE_MESSAGE: &str = "Pod was active on the node longer than the specified deadline";
