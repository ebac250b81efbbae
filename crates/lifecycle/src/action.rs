//! What may be asked of the executor, and what comes back.

use std::time::Duration;

use crate::ids::{ContainerId, ContainerName, SandboxId, Tick};

/// One thing to do. The executor runs actions of one pod side by side, never decides, and answers each with
/// exactly one [`Outcome`] of the same [`ActionKey`]. Every action is idempotent: after a SIGKILL it may be asked again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Make the pod's directories under the root dir (contract §30).
    PrepareDirs,
    /// Make or update the pod's cgroup.
    EnsureCgroup,
    /// Mount, or bring up to date, every volume of the pod.
    MountVolumes,
    /// Run a new sandbox. Needs directories and cgroup; not volumes, not images.
    CreateSandbox {
        /// CRI `metadata.attempt`.
        attempt: u32,
    },
    /// Stop a sandbox (idempotent in CRI): frees its network.
    StopSandbox {
        /// Which one.
        id: SandboxId,
    },
    /// Have an image present according to the container's pull policy, within the node's pull limits.
    EnsureImage {
        /// For which container.
        container: ContainerName,
    },
    /// See whether an image whose pull waits for its next try has come by another way meanwhile. Pulls nothing.
    FindImage {
        /// For which container.
        container: ContainerName,
    },
    /// Resolve the container's environment and mounts, create it; not yet started.
    CreateContainer {
        /// Name in the spec.
        container: ContainerName,
        /// Restart count it will carry.
        attempt: u32,
        /// Sandbox to create it in.
        sandbox: SandboxId,
        /// Image reference returned by [`Done::Image`].
        image_ref: String,
    },
    /// Start a created container.
    StartContainer {
        /// Name in the spec.
        container: ContainerName,
        /// Which one.
        id: ContainerId,
    },
    /// Run the preStop hook if there is one, then stop the container within the grace period.
    StopContainer {
        /// Name, for events.
        container: ContainerName,
        /// Which one.
        id: ContainerId,
        /// Time for hook and process together, before SIGKILL. CRI is never given less than 2 s (contract §9).
        grace: Duration,
        /// False where the hook must not run: no time is left, it ran already, or nothing tells of one.
        run_pre_stop: bool,
    },
    /// The grace period was shortened while a [`Action::StopContainer`] of the same container is in flight: ask the
    /// runtime once more, side by side with the first call, with what is left. Runs no hook.
    HurryContainer {
        /// Name, for events.
        container: ContainerName,
        /// Which one.
        id: ContainerId,
        /// What is left. CRI is never given less than 2 s (contract §9).
        grace: Duration,
    },
    /// Run the preStop hook of a sidecar that has to wait for its turn to stop. Stops nothing: an
    /// [`Action::StopContainer`] without hook follows.
    RunPreStop {
        /// Name in the spec.
        container: ContainerName,
        /// Which one.
        id: ContainerId,
        /// Longest time for it.
        grace: Duration,
    },
    /// Remove a stopped container.
    RemoveContainer {
        /// Which one.
        id: ContainerId,
        /// What becomes of its log.
        log: LogFate,
    },
    /// Remove a stopped sandbox.
    RemoveSandbox {
        /// Which one.
        id: SandboxId,
    },
    /// Unmount every volume of the pod and remove its volume directories.
    UnmountVolumes,
    /// Remove the pod's cgroup with everything below it.
    RemoveCgroup,
    /// Remove the pod's directory; refuses while anything is mounted below it.
    RemoveDirs,
}

/// What becomes of a removed container's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFate {
    /// It goes with its container.
    Remove,
    /// It stays until the pod is gone: the container was removed for a restart of all, and its log tells why.
    Keep,
}

/// Names an action for de-duplication: two actions with one key are never in flight together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ActionKey {
    /// [`Action::PrepareDirs`].
    PrepareDirs,
    /// [`Action::EnsureCgroup`].
    EnsureCgroup,
    /// [`Action::MountVolumes`].
    MountVolumes,
    /// [`Action::CreateSandbox`]: one at a time, whatever the attempt.
    CreateSandbox,
    /// [`Action::StopSandbox`].
    StopSandbox(SandboxId),
    /// [`Action::EnsureImage`].
    EnsureImage(ContainerName),
    /// [`Action::FindImage`].
    FindImage(ContainerName),
    /// [`Action::CreateContainer`]: one at a time for a name.
    CreateContainer(ContainerName),
    /// [`Action::StartContainer`].
    StartContainer(ContainerId),
    /// [`Action::StopContainer`].
    StopContainer(ContainerId),
    /// [`Action::HurryContainer`], with the new grace in whole seconds: each is shorter than the one before.
    HurryContainer(ContainerId, u64),
    /// [`Action::RunPreStop`].
    RunPreStop(ContainerId),
    /// [`Action::RemoveContainer`].
    RemoveContainer(ContainerId),
    /// [`Action::RemoveSandbox`].
    RemoveSandbox(SandboxId),
    /// [`Action::UnmountVolumes`].
    UnmountVolumes,
    /// [`Action::RemoveCgroup`].
    RemoveCgroup,
    /// [`Action::RemoveDirs`].
    RemoveDirs,
}

impl ActionKey {
    /// Whether the action can have changed which sandboxes and containers the runtime holds, or how they are: what was
    /// seen of them before it ended is then out of date. An image is neither.
    #[must_use]
    pub fn changes_runtime(&self) -> bool {
        match self {
            Self::PrepareDirs
            | Self::EnsureCgroup
            | Self::MountVolumes
            | Self::EnsureImage(_)
            | Self::FindImage(_)
            | Self::UnmountVolumes
            | Self::RemoveCgroup
            | Self::RemoveDirs => false,
            Self::CreateSandbox
            | Self::StopSandbox(_)
            | Self::CreateContainer(_)
            | Self::StartContainer(_)
            | Self::StopContainer(_)
            | Self::HurryContainer(..)
            | Self::RunPreStop(_)
            | Self::RemoveContainer(_)
            | Self::RemoveSandbox(_) => true,
        }
    }

    /// The step that an action fails in when nothing more is known, as when it never answered.
    #[must_use]
    pub fn step(&self) -> FailureStep {
        match self {
            Self::PrepareDirs => FailureStep::Dirs,
            Self::EnsureCgroup => FailureStep::Cgroup,
            Self::MountVolumes => FailureStep::Volumes,
            Self::CreateSandbox => FailureStep::Sandbox,
            Self::EnsureImage(_) => FailureStep::ImagePull,
            Self::FindImage(_) => FailureStep::ImageInspect,
            Self::CreateContainer(_) => FailureStep::ContainerCreate,
            Self::StartContainer(_) => FailureStep::ContainerStart,
            Self::RunPreStop(_) => FailureStep::PreStopHook,
            _ => FailureStep::Teardown,
        }
    }
}

impl Action {
    /// The key under which this action is in flight.
    #[must_use]
    pub fn key(&self) -> ActionKey {
        match self {
            Self::PrepareDirs => ActionKey::PrepareDirs,
            Self::EnsureCgroup => ActionKey::EnsureCgroup,
            Self::MountVolumes => ActionKey::MountVolumes,
            Self::CreateSandbox { .. } => ActionKey::CreateSandbox,
            Self::StopSandbox { id } => ActionKey::StopSandbox(id.clone()),
            Self::EnsureImage { container } => ActionKey::EnsureImage(container.clone()),
            Self::FindImage { container } => ActionKey::FindImage(container.clone()),
            Self::CreateContainer { container, .. } => ActionKey::CreateContainer(container.clone()),
            Self::StartContainer { id, .. } => ActionKey::StartContainer(id.clone()),
            Self::StopContainer { id, .. } => ActionKey::StopContainer(id.clone()),
            Self::HurryContainer { id, grace, .. } => ActionKey::HurryContainer(id.clone(), grace.as_secs()),
            Self::RunPreStop { id, .. } => ActionKey::RunPreStop(id.clone()),
            Self::RemoveContainer { id, .. } => ActionKey::RemoveContainer(id.clone()),
            Self::RemoveSandbox { id } => ActionKey::RemoveSandbox(id.clone()),
            Self::UnmountVolumes => ActionKey::UnmountVolumes,
            Self::RemoveCgroup => ActionKey::RemoveCgroup,
            Self::RemoveDirs => ActionKey::RemoveDirs,
        }
    }
}

/// The result of one action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Of which action.
    pub key: ActionKey,
    /// When it ended.
    pub at: Tick,
    /// How.
    pub result: Result<Done, Failure>,
}

/// What a successful action found out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Done {
    /// Nothing beyond success; of [`Action::FindImage`], that the image is not there.
    Plain,
    /// The container was stopped, though its preStop hook failed: event `FailedPreStopHook`.
    StoppedWithoutHook,
    /// A sandbox runs.
    Sandbox(SandboxId),
    /// A container was created.
    Container(ContainerId),
    /// The image is present.
    Image {
        /// Runtime reference to create the container from.
        image_ref: String,
        /// `None`: it was present already. `Some`: it was pulled.
        pulled: Option<Pulled>,
    },
}

/// Figures of a pull, for the `Pulled` event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pulled {
    /// Time of the pull itself.
    pub took: Duration,
    /// Time including the wait for a place in the queue.
    pub including_wait: Duration,
    /// Size in bytes as the runtime reports it.
    pub size: u64,
}

/// Why an action failed. `message` is what an operator reads in `waiting.message` and events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Which step.
    pub step: FailureStep,
    /// Cause, in upstream's words where upstream has words.
    pub message: String,
    /// True when the container that was to be stopped, or the thing to be removed, is simply not there.
    pub not_found: bool,
    /// What has to change before another try can succeed; `None` where the step cannot tell.
    pub obstacle: Option<Obstacle>,
}

impl Failure {
    /// A failure of which nothing more than its text is known.
    #[must_use]
    pub fn new(step: FailureStep, message: impl Into<String>) -> Self {
        Self { step, message: message.into(), not_found: false, obstacle: None }
    }

    /// The same, with what stands in the way.
    #[must_use]
    pub fn because_of(self, obstacle: Option<Obstacle>) -> Self {
        Self { obstacle, ..self }
    }
}

/// What stands in the way of a step: tells whose turn it is. Known from typed errors, never guessed from texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// Objects in the API that the pod refers to do not exist, or lack a key.
    Objects(Vec<MissingObject>),
    /// The registry has no such image.
    NoSuchImage,
    /// The registry wants other credentials.
    ImageDenied,
    /// The runtime did not answer in time, or cannot be reached.
    Runtime,
    /// The API server could not be asked.
    ApiServer,
    /// Something on the node itself, such as a path that has to be there.
    Node,
    /// The pod asks for what cannot be: only a change of the pod, or of what it refers to, helps.
    Spec,
}

impl Obstacle {
    /// The one of several that is named: missing objects all together, else the first.
    #[must_use]
    pub fn of_several(obstacles: impl IntoIterator<Item = Self>) -> Option<Self> {
        let mut missing = Vec::new();
        let mut other = None;
        for obstacle in obstacles {
            match obstacle {
                Self::Objects(objects) => missing.extend(objects),
                obstacle => other = other.or(Some(obstacle)),
            }
        }
        missing.sort();
        missing.dedup();
        if missing.is_empty() { other } else { Some(Self::Objects(missing)) }
    }
}

/// An object that a pod refers to and cannot have.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MissingObject {
    /// Lower-case kind, as the API prints it: `configmap`.
    pub kind: &'static str,
    /// Name, in the pod's namespace.
    pub name: String,
    /// The key that the object lacks; `None`: the object itself is missing.
    pub key: Option<String>,
}

/// Failed steps that upstream reports under different names (contract §7 "Waiting reasons", §28).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureStep {
    /// Pod directories: event `Failed` "error making pod data directories: …".
    Dirs,
    /// Pod cgroup: event `FailedCreatePodContainer`.
    Cgroup,
    /// Volumes: event `FailedMount`.
    Volumes,
    /// Sandbox configuration or creation: event `FailedCreatePodSandBox`.
    Sandbox,
    /// Image name does not parse: `InvalidImageName`.
    ImageName,
    /// Image status could not be read: `ImageInspectError`.
    ImageInspect,
    /// Absent with policy `Never`: `ErrImageNeverPull`.
    ImageNeverPull,
    /// Pull failed: `ErrImagePull`.
    ImagePull,
    /// Runtime's error began with `RegistryUnavailable`.
    RegistryUnavailable,
    /// Runtime's error began with `SignatureValidationFailed`.
    SignatureValidation,
    /// Environment, user, mounts: `CreateContainerConfigError`.
    ContainerConfig,
    /// CRI create failed: `CreateContainerError`.
    ContainerCreate,
    /// CRI start failed: `RunContainerError`.
    ContainerStart,
    /// The container runs, its postStart hook failed: `PostStartHookError`; it will be killed.
    PostStartHook,
    /// The preStop hook failed; the container is stopped all the same: event `FailedPreStopHook`.
    PreStopHook,
    /// Stop, remove, unmount: `KillContainerError`, `FailedKillPod`, or a log line.
    Teardown,
    /// The runtime could not be asked about the pod: event `FailedSync`.
    Inspection,
}
