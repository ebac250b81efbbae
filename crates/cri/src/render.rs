//! Pod terms to CRI messages. Pure: no IO, no clock; everything a message needs is an argument.
//!
//! What is written here outlives the process: labels and annotations are how the next kubelet (ours or upstream's)
//! recognises its containers, and how an orphan is stopped within its grace period. They are therefore byte for byte
//! upstream's; the tests compare whole messages with what upstream's own functions produce for the same pods.
//!
//! ```text
//!   SandboxRequest   ──► sandbox::config   ──► PodSandboxConfig
//!   ContainerRequest ──► container::config ──► ContainerConfig, or why it cannot be (contract §15)
//! ```

pub mod annotations;
pub mod container;
pub mod go_json;
pub mod image;
pub mod labels;
pub mod ports;
pub mod profiles;
pub mod resources;
pub mod sandbox;
pub mod security;
pub mod user;

#[cfg(test)]
mod golden_tests;

/// Facts about the machine that rendering depends on; read once at start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostFacts {
    /// Existing `/sys/devices/system/cpu/cpuN/thermal_throttle`, in the order of the processors: masked in every
    /// container (contract §15 `procMount`).
    pub thermal_throttle: Vec<String>,
    /// Whether SELinux is on: mounts are relabelled only then.
    pub selinux: bool,
}

/// Why a request cannot be rendered. Displays in upstream's words where it has words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// The pod object has no container of that name.
    #[error("the pod's spec has no container {0:?}")]
    NoContainer(String),
    /// Non-root is wanted and `runAsUser` is 0.
    #[error("container's runAsUser breaks non-root policy (pod: {pod:?}, container: {container})")]
    AskedForRoot {
        /// `name_namespace(uid)`.
        pod: String,
        /// Container.
        container: String,
    },
    /// Non-root is wanted and the image's user is 0, or the image has none.
    #[error("container has runAsNonRoot and image will run as root (pod: {pod:?}, container: {container})")]
    ImageIsRoot {
        /// `name_namespace(uid)`.
        pod: String,
        /// Container.
        container: String,
    },
    /// Non-root is wanted and the image's user is a name.
    #[error(
        "container has runAsNonRoot and image has non-numeric user ({user}), cannot verify user is non-root (pod: {pod:?}, container: {container})"
    )]
    ImageUserIsName {
        /// The image's user.
        user: String,
        /// `name_namespace(uid)`.
        pod: String,
        /// Container.
        container: String,
    },
    /// Non-root is wanted and the image's user is out of range.
    #[error(
        "container has runAsNonRoot and image has an invalid user id ({uid}). (Must be 1-(2147483647)): must be between 0 and 2147483647, inclusive (pod: {pod:?}, container: {container})"
    )]
    ImageUserInvalid {
        /// The image's user.
        uid: i64,
        /// `name_namespace(uid)`.
        pod: String,
        /// Container.
        container: String,
    },
    /// `Localhost` seccomp without a file would be no seccomp at all.
    #[error("localhostProfile must be set if seccompProfile type is Localhost.")]
    SeccompWithoutFile,
    /// `Localhost` seccomp with a path that leaves the profile directory.
    #[error("localhostProfile {0:?} must be a path below the kubelet's seccomp directory, without '..'")]
    SeccompOutside(String),
    /// `Localhost` AppArmor without a name.
    #[error("missing localhost apparmor profile name")]
    AppArmorWithoutName,
    /// A type that the API does not know.
    #[error("unknown apparmor profile type: {0:?}")]
    AppArmorType(String),
    /// A policy that the API does not know.
    #[error("unsupported supplementalGroupsPolicy: {0}")]
    GroupsPolicy(String),
    /// `hostUsers: false` and no ids for it: running it without would give it the node's root.
    #[error(
        "internal error, please report it: the pod asks for a user namespace and was given no ids for it"
    )]
    UserNamespace,
}
