//! A reason in words: the message of its event where it has one, a log line in any case.

use std::fmt;

use super::{
    Afterwards, Cause, ContainerKind, ContainerRef, ImageAccess, KillCause, Reason, go_duration::go_duration,
};

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
            Self::ImagePresent { image, access, .. } => {
                let checked = match access {
                    ImageAccess::Checked => " and can be accessed by the pod",
                    ImageAccess::Anybody => "",
                };
                write!(f, "Container image \"{image}\" already present on machine{checked}")
            }
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
