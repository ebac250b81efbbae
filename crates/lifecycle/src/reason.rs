//! Why: one typed value per decision made, rendered as event, waiting reason, condition, log line and explanation.
//!
//! The reasons are here; [`cause`] has why something is stopped, [`event`] which reasons are events, [`text`] their words.
//! Texts that upstream has are upstream's to the letter (contract §28): tools and people match on them.

use std::time::Duration;

use crate::{
    action::Pulled,
    ids::{ContainerName, PodKey, SandboxId},
    observation::ImageAccess,
};

mod cause;
mod event;
pub mod go_duration;
pub mod go_error;
mod shorten;
mod text;

pub(crate) use cause::DEADLINE_MESSAGE;
pub use cause::{Afterwards, Cause, KillCause};
pub use event::PodEvent;
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
        /// Whether it was checked that the pod may use it.
        access: ImageAccess,
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

impl Reason {
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

#[cfg(test)]
mod tests;
