//! What the runtime's errors about images mean.

use lifecycle::{Failure, FailureStep, Obstacle};
use seams::RuntimeError;

pub(super) fn inspect_failure(error: &RuntimeError) -> Failure {
    Failure::new(FailureStep::ImageInspect, error.rpc()).because_of(error.obstacle())
}

/// Upstream drops the code of a failed pull where it says nothing.
pub(super) fn pull_text(error: &RuntimeError) -> String {
    match error {
        RuntimeError::Failed { code: "Unknown", message, .. } => message.clone(),
        other => other.rpc(),
    }
}

/// A pull that no credential could bring about.
pub(super) struct PullFailed {
    /// What each try met, joined.
    pub(super) message: String,
    /// What stood in the way of the last try.
    pub(super) obstacle: Option<Obstacle>,
}

pub(super) fn pull_obstacle(error: &RuntimeError) -> Option<Obstacle> {
    match error {
        RuntimeError::NotFound { .. } | RuntimeError::Failed { code: "NotFound", .. } => {
            Some(Obstacle::NoSuchImage)
        }
        RuntimeError::Failed { code: "Unauthenticated" | "PermissionDenied", .. } => {
            Some(Obstacle::ImageDenied)
        }
        other => other.obstacle(),
    }
}

/// The runtime may put a well-known word in front of its text (contract §16 "Special errors").
pub(super) fn pull_failure(failed: PullFailed) -> Failure {
    let step = if failed.message.starts_with("RegistryUnavailable") {
        FailureStep::RegistryUnavailable
    } else if failed.message.starts_with("SignatureValidationFailed") {
        FailureStep::SignatureValidation
    } else {
        FailureStep::ImagePull
    };
    Failure::new(step, failed.message).because_of(failed.obstacle)
}
