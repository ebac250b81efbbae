//! Why: one typed value per decision made, rendered as event, waiting reason, condition, log line and explanation.
//!
//! Texts that upstream has are upstream's to the letter (contract §28): tools and people match on them.

use std::{borrow::Cow, fmt, time::Duration};

use crate::{
    action::Pulled,
    ids::{ContainerName, PodKey, SandboxId},
};

pub mod go_duration;
mod shorten;

use go_duration::go_duration;
pub use shorten::cut;

/// Which list of the pod spec a container is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ContainerKind {
    /// `spec.initContainers`, sidecars included.
    Init,
    /// `spec.containers`.
    Regular,
    /// `spec.ephemeralContainers`.
    Ephemeral,
}

/// A container as events name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerRef {
    /// List it is in.
    pub kind: ContainerKind,
    /// Name.
    pub name: ContainerName,
}

impl ContainerRef {
    /// `spec.containers{name}` and its siblings: `involvedObject.fieldPath`.
    #[must_use]
    pub fn field_path(&self) -> String {
        let list = match self.kind {
            ContainerKind::Init => "initContainers",
            ContainerKind::Regular => "containers",
            ContainerKind::Ephemeral => "ephemeralContainers",
        };
        format!("spec.{list}{{{}}}", self.name)
    }
}

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

/// A reason.
#[derive(Clone, Debug, PartialEq)]
pub enum Reason {
    /// The image was pulled.
    ImagePulled {
        /// For which container.
        container: ContainerRef,
        /// As written in the spec.
        image: String,
        /// Figures.
        pulled: Pulled,
    },
    /// The image was there.
    ImagePresent {
        /// For which container.
        container: ContainerRef,
        /// As written in the spec.
        image: String,
    },
    /// The pull failed.
    ImagePullFailed {
        /// For which container.
        container: ContainerRef,
        /// As written in the spec.
        image: String,
        /// Why.
        message: String,
    },
    /// The next pull is not due yet.
    ImageBackOff {
        /// For which container.
        container: ContainerRef,
        /// As written in the spec.
        image: String,
    },
    /// The image is absent and may not be pulled.
    ImageNeverPull {
        /// For which container.
        container: ContainerRef,
        /// Text.
        message: String,
    },
    /// The image's name does not parse, or its state could not be read.
    ImageInspectFailed {
        /// For which container.
        container: ContainerRef,
        /// Text.
        message: String,
    },
    /// A container could not be created or started.
    ContainerFailed {
        /// Which.
        container: ContainerRef,
        /// The runtime's or our own words.
        message: String,
    },
    /// A container was created.
    ContainerCreated {
        /// Which.
        container: ContainerRef,
    },
    /// A container was started.
    ContainerStarted {
        /// Which.
        container: ContainerRef,
    },
    /// A created container that a former process left behind is taken up instead of being doubled.
    ContainerAdopted {
        /// Which.
        container: ContainerRef,
    },
    /// A container is being killed.
    Killing {
        /// Which.
        container: ContainerRef,
        /// Why.
        cause: KillCause,
        /// What comes then.
        afterwards: Afterwards,
    },
    /// A failed container waits for its restart.
    CrashLoop {
        /// Which.
        container: ContainerRef,
        /// Its pod.
        pod: PodKey,
        /// Wait in force, measured from the end of the last run.
        delay: Duration,
    },
    /// A postStart hook failed. No details: they may hold secrets.
    PostStartHookFailed {
        /// Of which container.
        container: ContainerRef,
    },
    /// A preStop hook failed. No details: they may hold secrets.
    PreStopHookFailed {
        /// Of which container.
        container: ContainerRef,
    },
    /// The sandbox is no longer usable.
    SandboxChanged {
        /// The old one; `None` when its network mode changed, which upstream tells nobody.
        old: Option<SandboxId>,
    },
    /// The sandbox could not be made.
    SandboxFailed {
        /// Why.
        message: String,
    },
    /// The runtime's network is not ready.
    NetworkNotReady {
        /// The runtime's words.
        message: String,
    },
    /// Directories could not be made.
    DirsFailed {
        /// Why.
        message: String,
    },
    /// The pod cgroup could not be made.
    CgroupFailed {
        /// Why.
        message: String,
    },
    /// Volumes could not be mounted.
    VolumesFailed {
        /// Why.
        message: String,
    },
    /// A container or a sandbox could not be stopped.
    KillFailed {
        /// Why.
        message: String,
    },
    /// Something could not be removed, unmounted or taken down; tried again. A log line, never an event.
    TeardownFailed {
        /// What was tried.
        step: &'static str,
        /// Why it failed.
        message: String,
    },
    /// The runtime does not answer for this pod.
    StatusUnknown {
        /// The runtime's words.
        message: String,
    },
    /// The pod begins to stop.
    Terminating {
        /// Why.
        cause: Cause,
    },
    /// Nothing of the pod runs any more.
    Terminated {
        /// Why it was stopped.
        cause: Cause,
    },
    /// Nothing of the pod is left on the node.
    Gone,
}

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

    /// The container that it is about, if it is about one.
    #[must_use]
    pub fn container(&self) -> Option<&ContainerRef> {
        match self {
            Self::ImagePulled { container, .. }
            | Self::ImagePresent { container, .. }
            | Self::ImagePullFailed { container, .. }
            | Self::ImageBackOff { container, .. }
            | Self::ImageNeverPull { container, .. }
            | Self::ImageInspectFailed { container, .. }
            | Self::ContainerFailed { container, .. }
            | Self::ContainerCreated { container }
            | Self::ContainerStarted { container }
            | Self::ContainerAdopted { container }
            | Self::Killing { container, .. }
            | Self::CrashLoop { container, .. }
            | Self::PostStartHookFailed { container }
            | Self::PreStopHookFailed { container } => Some(container),
            _ => None,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ImagePulled { image, pulled, .. } => write!(
                f,
                "Successfully pulled image \"{image}\" in {} ({} including waiting). Image size: {} bytes.",
                go_duration(pulled.took),
                go_duration(pulled.including_wait),
                pulled.size
            ),
            Self::ImagePresent { image, .. } => write!(
                f,
                "Container image \"{image}\" already present on machine and can be accessed by the pod"
            ),
            Self::ImagePullFailed { image, message, .. } => {
                write!(f, "Failed to pull image \"{image}\": {message}")
            }
            Self::ImageBackOff { image, .. } => write!(f, "Back-off pulling image \"{image}\""),
            Self::ImageNeverPull { message, .. }
            | Self::ImageInspectFailed { message, .. }
            | Self::VolumesFailed { message } => f.write_str(message),
            Self::ContainerFailed { message, .. } => write!(f, "Error: {message}"),
            Self::ContainerCreated { .. } => f.write_str("Container created"),
            Self::ContainerStarted { .. } => f.write_str("Container started"),
            Self::ContainerAdopted { container } => {
                write!(f, "Container {} was created before and is taken up", container.name)
            }
            Self::Killing { container, cause, afterwards } => killing(f, container, *cause, *afterwards),
            Self::CrashLoop { container, pod, .. } => {
                write!(f, "Back-off restarting failed container {} in pod {pod}", container.name)
            }
            Self::PostStartHookFailed { .. } => f.write_str("PostStartHook failed"),
            Self::PreStopHookFailed { .. } => f.write_str("PreStopHook failed"),
            Self::SandboxChanged { .. } => {
                f.write_str("Pod sandbox changed, it will be killed and re-created.")
            }
            Self::SandboxFailed { message } => write!(f, "Failed to create pod sandbox: {message}"),
            Self::NetworkNotReady { message } => write!(f, "network is not ready: {message}"),
            Self::DirsFailed { message } => write!(f, "error making pod data directories: {message}"),
            Self::CgroupFailed { message } => write!(f, "unable to ensure pod container exists: {message}"),
            Self::KillFailed { message } => write!(f, "error killing pod: {message}"),
            Self::TeardownFailed { step, message } => write!(f, "could not {step}, trying again: {message}"),
            Self::StatusUnknown { message } => write!(f, "error determining status: {message}"),
            Self::Terminating { cause: cause @ Cause::DeadlineExceeded } => write!(f, "{cause}"),
            Self::Terminating { cause } => write!(f, "stopping: {cause}"),
            Self::Terminated { cause } => write!(f, "nothing runs any more: {cause}"),
            Self::Gone => f.write_str("nothing of the pod is left on the node"),
        }
    }
}

fn killing(
    f: &mut fmt::Formatter<'_>,
    container: &ContainerRef,
    cause: KillCause,
    afterwards: Afterwards,
) -> fmt::Result {
    let subject = match container.kind {
        ContainerKind::Init => "Init container",
        _ => "Container",
    };
    let name = &container.name;
    match cause {
        KillCause::PodStops => return write!(f, "Stopping container {name}"),
        KillCause::PostStartHook => return f.write_str("FailedPostStartHook"),
        KillCause::StartOver => return f.write_str("killing"),
        KillCause::Unknown => {
            return write!(f, "{subject} is in \"unknown\" state, try killing it before restart");
        }
        KillCause::DefinitionChanged => write!(f, "{subject} {name} definition changed")?,
        KillCause::Liveness => write!(f, "{subject} {name} failed liveness probe")?,
        KillCause::Startup => write!(f, "{subject} {name} failed startup probe")?,
    }
    match (container.kind, afterwards) {
        (ContainerKind::Regular, Afterwards::Restart) => f.write_str(", will be restarted"),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
