//! A reason as an event about the pod. Not every reason is one.

use std::borrow::Cow;

use super::{Cause, ContainerRef, Reason};

/// A reason rendered as a core/v1 event about the pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodEvent {
    /// True: `Warning`, false: `Normal`.
    pub warning: bool,
    /// `CamelCase` reason (contract §28).
    pub reason: Cow<'static, str>,
    /// Message.
    pub message: String,
    /// `spec.containers{name}`, for events about one container.
    pub field_path: Option<String>,
}

impl Reason {
    /// The event that upstream emits for this reason, if any.
    #[must_use]
    pub fn event(&self) -> Option<PodEvent> {
        let (warning, reason) = self.kind()?;
        let message = match self {
            // The bare message: the object carries what goes with it.
            Self::Terminating { cause: Cause::Rejected { message, .. } | Cause::Killed { message, .. } } => {
                message.clone()
            }
            _ => self.to_string(),
        };
        Some(PodEvent {
            warning,
            reason,
            message,
            field_path: self.container().map(ContainerRef::field_path),
        })
    }

    /// Severity (true: Warning) and reason of the event.
    fn kind(&self) -> Option<(bool, Cow<'static, str>)> {
        let (warning, reason) = match self {
            Self::ImagePulled { .. } | Self::ImagePresent { .. } => (false, "Pulled"),
            Self::ImagePullFailed { .. } | Self::ContainerFailed { .. } | Self::DirsFailed { .. } => {
                (true, "Failed")
            }
            Self::ImageBackOff { .. } => (false, "BackOff"),
            Self::ImageNeverPull { .. } => (true, "ErrImageNeverPull"),
            Self::ImageInspectFailed { .. } => (true, "InspectFailed"),
            Self::ContainerCreated { .. } => (false, "Created"),
            Self::ContainerStarted { .. } => (false, "Started"),
            Self::Killing { .. } => (false, "Killing"),
            Self::CrashLoop { .. } => (true, "BackOff"),
            Self::PostStartHookFailed { .. } => (true, "FailedPostStartHook"),
            Self::PreStopHookFailed { .. } => (true, "FailedPreStopHook"),
            Self::SandboxChanged { old: Some(_) } => (false, "SandboxChanged"),
            Self::SandboxFailed { .. } => (true, "FailedCreatePodSandBox"),
            Self::NetworkNotReady { .. } => (true, "NetworkNotReady"),
            Self::CgroupFailed { .. } => (true, "FailedCreatePodContainer"),
            Self::VolumesFailed { .. } => (true, "FailedMount"),
            Self::KillFailed { .. } => (true, "FailedKillPod"),
            Self::StatusUnknown { .. } => (true, "FailedSync"),
            Self::Terminating { cause: Cause::DeadlineExceeded } => (false, "DeadlineExceeded"),
            // Whatever admission says, names of extended resources included.
            Self::Terminating { cause: Cause::Rejected { reason, .. } } => {
                return Some((true, Cow::Owned(reason.clone())));
            }
            Self::Terminating { cause: Cause::Killed { reason, .. } } => match reason.as_str() {
                "Evicted" => (true, "Evicted"),
                "Preempting" => (true, "Preempting"),
                _ => return None,
            },
            Self::Terminating { .. }
            | Self::Terminated { .. }
            | Self::Gone
            | Self::ContainerAdopted { .. }
            | Self::TeardownFailed { .. }
            | Self::SandboxChanged { old: None } => return None,
        };
        Some((warning, Cow::Borrowed(reason)))
    }
}
