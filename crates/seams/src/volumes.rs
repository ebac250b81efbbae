//! Volumes of a pod, in the agent's terms.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use async_trait::async_trait;
use k8s_openapi::api::core::v1::Pod;
use lifecycle::{
    Obstacle, PodUid,
    spec::env::{EnvFile, EnvFileFailure},
};

/// Why volumes are not ready, or not gone. `Display` is the text after `MountVolume.SetUp failed for volume "v" : `.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum VolumeError {
    /// One volume could not be set up.
    #[error("{message}")]
    SetUp {
        /// Volume name.
        volume: String,
        /// Cause.
        message: String,
        /// What stands in the way, where it is known.
        obstacle: Option<Obstacle>,
    },
    /// One volume could not be taken down.
    #[error("volume \"{volume}\": {message}")]
    TearDown {
        /// Volume name.
        volume: String,
        /// Cause.
        message: String,
    },
    /// A kind of volume that this kubelet does not have (docs/compat.md).
    #[error("volume \"{volume}\" is of kind {kind}, which this kubelet does not support yet")]
    Unsupported {
        /// Volume name.
        volume: String,
        /// Kind, as in the API.
        kind: String,
    },
}

impl VolumeError {
    /// What stands in the way, where it is known.
    #[must_use]
    pub fn obstacle(&self) -> Option<Obstacle> {
        match self {
            Self::SetUp { obstacle, .. } => obstacle.clone(),
            Self::TearDown { .. } => None,
            Self::Unsupported { .. } => Some(Obstacle::Spec),
        }
    }
}

/// A mounted volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountedVolume {
    /// Host directory or file to bind into containers.
    pub host_path: PathBuf,
    /// The volume as a whole is read only.
    pub read_only: bool,
    /// The runtime may relabel it for SELinux.
    pub selinux_relabel: bool,
}

/// Facts about the pod that volumes of kind downwardAPI, token and memory need.
#[derive(Clone, Debug, Default)]
pub struct VolumeContext {
    /// Node name.
    pub node_name: String,
    /// Node addresses, primary first.
    pub host_ips: Vec<String>,
    /// Allocatable of the node by resource name, canonical quantities: default of unset limits.
    pub allocatable: BTreeMap<String, String>,
}

/// The volumes of all pods. Idempotent throughout; runs blocking work on its own bounded pool, so that a hung mount
/// is that pod's trouble only.
#[async_trait]
pub trait Volumes: Send + Sync + 'static {
    /// Mounts every volume of the pod, or brings contents up to date. All errors, one per volume.
    async fn mount(
        &self,
        pod: &Arc<Pod>,
        context: &VolumeContext,
    ) -> Result<BTreeMap<String, MountedVolume>, Vec<VolumeError>>;
    /// Prepares a `subPath` of a mounted volume for one container and returns the host path to bind: opened beneath
    /// the volume's root by descriptor, never followed out of it.
    async fn sub_path(
        &self,
        pod: &PodUid,
        volume: &str,
        root: &std::path::Path,
        sub_path: &str,
        container: &str,
        index: usize,
    ) -> Result<PathBuf, VolumeError>;
    /// Reads a file of variables (`fileKeyRef`) beneath a mounted volume's root. The pod writes the volume: links count
    /// while they stay inside it, and only regular files are read.
    async fn env_file(
        &self,
        pod: &PodUid,
        root: &std::path::Path,
        path: &str,
    ) -> Result<EnvFile, EnvFileFailure>;
    /// Unmounts everything below the pod's directory and removes its volume directories. Needs no pod object: works
    /// from what is on disk, so that pods removed while the kubelet was down are cleaned too.
    async fn unmount(&self, uid: &PodUid) -> Result<(), Vec<VolumeError>>;
    /// When the pod's volumes want another `mount` for refresh (token at 80 % of its life): delay from now.
    fn refresh_after(&self, uid: &PodUid) -> Option<std::time::Duration>;
}
