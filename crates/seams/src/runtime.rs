//! The container runtime, in the agent's terms.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use k8s_openapi::api::core::v1::Pod;
pub use lifecycle::account::{Became, ObjectEvent};
use lifecycle::{ContainerId, ContainerName, LogFate, PodUid, SandboxId, observation::RuntimePod};
pub use node::cgroup::LinuxResources;
pub use node::conditions::RuntimeCondition;
use tokio::sync::mpsc;

mod error;

pub use error::RuntimeError;

/// CRI `Version`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuntimeVersion {
    /// `containerd`, `cri-o`.
    pub name: String,
    /// Version of the runtime.
    pub version: String,
    /// CRI API version.
    pub api_version: String,
}

/// CRI `Status`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuntimeStatus {
    /// Condition `RuntimeReady`; `None` when the runtime does not report it.
    pub runtime_ready: Option<RuntimeCondition>,
    /// Condition `NetworkReady`, likewise.
    pub network_ready: Option<RuntimeCondition>,
    /// Runtime handlers, in the runtime's order.
    pub handlers: Vec<HandlerInfo>,
    /// `features.supplemental_groups_policy`.
    pub supplemental_groups_policy: bool,
}

/// A runtime handler and what it can do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HandlerInfo {
    /// Name; empty is the default handler.
    pub name: String,
    /// `recursive_read_only_mounts`.
    pub recursive_read_only_mounts: bool,
    /// `user_namespaces`.
    pub user_namespaces: bool,
}

/// Cgroup driver that the runtime reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CgroupDriver {
    /// Plain files.
    Cgroupfs,
    /// Slices and scopes.
    Systemd,
}

/// Everything that a sandbox is made from.
#[derive(Clone, Debug)]
pub struct SandboxRequest {
    /// The pod.
    pub pod: Arc<Pod>,
    /// CRI `metadata.attempt`.
    pub attempt: u32,
    /// CRI handler of the pod's runtime class; empty for the default.
    pub runtime_handler: String,
    /// Hostname, empty with host network (contract §12).
    pub hostname: String,
    /// Resolved DNS.
    pub dns: lifecycle::spec::dns::DnsConfig,
    /// `<podLogsDir>/<ns>_<name>_<uid>`.
    pub log_directory: String,
    /// Cgroup of the pod as the runtime wants it (path, or slice name with systemd).
    pub cgroup_parent: String,
    /// Pod overhead.
    pub overhead: Option<LinuxResources>,
    /// Sum of container resources of the pod (CRI `linux.resources`).
    pub resources: Option<LinuxResources>,
    /// `seccompDefault`.
    pub seccomp_default: bool,
    /// `<root-dir>/seccomp`: base of `Localhost` profiles.
    pub seccomp_root: String,
    /// The ids that its user namespace has, with `hostUsers: false`.
    pub user_namespace: Option<UserNamespace>,
}

/// Which ids of the node those of a pod are, users and groups alike: its 0 is `first`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UserNamespace {
    /// First id on the node.
    pub first: u32,
    /// How many.
    pub length: u32,
}

/// One mount of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerMount {
    /// Name of the volume; empty for the kubelet's own mounts (hosts file, termination log).
    pub volume: String,
    /// Where in the container.
    pub container_path: String,
    /// Where on the host.
    pub host_path: String,
    /// Read only.
    pub read_only: bool,
    /// Recursively read only (CRI).
    pub recursive_read_only: bool,
    /// Ask the runtime to relabel for SELinux.
    pub selinux_relabel: bool,
    /// Propagation.
    pub propagation: Propagation,
}

/// CRI mount propagation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Propagation {
    /// `None` of the API.
    #[default]
    Private,
    /// `HostToContainer`.
    HostToContainer,
    /// `Bidirectional`.
    Bidirectional,
}

/// Everything that a container is made from.
#[derive(Clone, Debug)]
pub struct ContainerRequest {
    /// How its sandbox was made (CRI wants the configuration again).
    pub sandbox: SandboxRequest,
    /// The sandbox.
    pub sandbox_id: SandboxId,
    /// Name in the spec.
    pub name: ContainerName,
    /// CRI `metadata.attempt` and restart count.
    pub attempt: u32,
    /// What the runtime resolved the image to.
    pub image_ref: String,
    /// The image's user, for `runAsNonRoot` (contract §15).
    pub image: ImageInfo,
    /// Expanded `command`.
    pub command: Vec<String>,
    /// Expanded `args`.
    pub args: Vec<String>,
    /// Environment, in order; values are bytes.
    pub env: Vec<(String, Vec<u8>)>,
    /// Mounts, in order.
    pub mounts: Vec<ContainerMount>,
    /// Cgroup values.
    pub resources: LinuxResources,
    /// Path of the log below the sandbox's log directory: `<name>/<attempt>.log`.
    pub log_path: String,
}

/// An image in the runtime.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageInfo {
    /// Runtime's id, for example `sha256:…`.
    pub id: String,
    /// Tags.
    pub repo_tags: Vec<String>,
    /// Digests.
    pub repo_digests: Vec<String>,
    /// Bytes.
    pub size: u64,
    /// Numeric user of the image, if it has one.
    pub uid: Option<i64>,
    /// User name of the image, if it is not numeric.
    pub username: String,
    /// Must not be collected.
    pub pinned: bool,
}

/// Registry credentials. No Debug, no Display: they cannot reach a log.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct RegistryAuth {
    /// User.
    pub username: String,
    /// Password.
    pub password: String,
    /// Base64 of `user:password`.
    pub auth: String,
    /// Registry host, as CRI `server_address`.
    pub server_address: String,
    /// OAuth identity token.
    pub identity_token: String,
    /// Bearer token.
    pub registry_token: String,
}

/// Result of a command run in a container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExecResult {
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
    /// Exit code.
    pub exit_code: i32,
}

/// Which streams of a process are wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Streams {
    /// Standard input.
    pub stdin: bool,
    /// Standard output.
    pub stdout: bool,
    /// Standard error; with a terminal it comes with standard output.
    pub stderr: bool,
    /// A terminal.
    pub tty: bool,
}

/// Use of one image filesystem.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageFs {
    /// Mount point.
    pub mountpoint: String,
    /// Bytes used by images or containers.
    pub used_bytes: u64,
    /// Inodes used.
    pub inodes_used: u64,
}

/// Something happened to a pod in the runtime; only a hint to look (design §1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RuntimeHint {
    /// Look at this pod.
    Pod(PodUid),
    /// This happened in this pod, and nothing else in it has changed.
    Object(PodUid, ObjectEvent),
    /// Events may have been lost: look at everything.
    Everything,
    /// Until the next [`RuntimeHint::Everything`], hints come of lists that are made every second.
    Listing,
}

/// One pod in the slow full relist: enough to see that it changed.
#[derive(Clone, Debug, PartialEq)]
pub struct ListedPod {
    /// Uid label.
    pub uid: PodUid,
    /// Namespace label.
    pub namespace: String,
    /// Name label.
    pub name: String,
    /// (sandbox id, ready).
    pub sandboxes: Vec<(SandboxId, bool)>,
    /// (container id, state).
    pub containers: Vec<(ContainerId, lifecycle::observation::RuntimeState)>,
}

/// The container runtime. Every method has a deadline of its own inside (contract §26) and may be cancelled by
/// dropping its future; the runtime may then still finish the work.
#[async_trait]
pub trait Runtime: Send + Sync + 'static {
    /// CRI `Version`.
    async fn version(&self) -> Result<RuntimeVersion, RuntimeError>;
    /// CRI `Status`.
    async fn status(&self) -> Result<RuntimeStatus, RuntimeError>;
    /// CRI `RuntimeConfig`; `Ok(None)` when the runtime does not know the call.
    async fn cgroup_driver(&self) -> Result<Option<CgroupDriver>, RuntimeError>;
    /// CRI `UpdateRuntimeConfig` with the node's pod CIDR.
    async fn set_pod_cidr(&self, cidr: &str) -> Result<(), RuntimeError>;

    /// Every pod that carries our labels, cheaply.
    async fn list_pods(&self) -> Result<Vec<ListedPod>, RuntimeError>;
    /// Sandboxes and containers of one pod with their statuses; empty when there are none.
    async fn inspect_pod(&self, uid: &PodUid) -> Result<RuntimePod, RuntimeError>;
    /// Names (namespace, name) and annotated grace of a pod known only to the runtime, rebuilt from labels as a
    /// skeleton `Pod`; `None` when nothing carries the uid.
    async fn skeleton(&self, uid: &PodUid) -> Result<Option<Pod>, RuntimeError>;

    /// Renders and runs a sandbox.
    async fn run_sandbox(&self, request: &SandboxRequest) -> Result<SandboxId, RuntimeError>;
    /// Idempotent.
    async fn stop_sandbox(&self, id: &SandboxId) -> Result<(), RuntimeError>;
    /// Idempotent; removes its containers too.
    async fn remove_sandbox(&self, id: &SandboxId) -> Result<(), RuntimeError>;

    /// Renders and creates a container. [`RuntimeError::Invalid`] means its configuration cannot be
    /// (`CreateContainerConfigError`).
    async fn create_container(&self, request: &ContainerRequest) -> Result<ContainerId, RuntimeError>;
    /// Starts it.
    async fn start_container(&self, id: &ContainerId) -> Result<(), RuntimeError>;
    /// Links the log of a container that was started under `/var/log/containers`. A container without its link is still a
    /// good container: what fails is told in the log.
    async fn link_log(&self, id: &ContainerId);
    /// Stops it; grace is what CRI gets. Deadline: grace + the request timeout.
    async fn stop_container(&self, id: &ContainerId, grace: Duration) -> Result<(), RuntimeError>;
    /// Removes it; with [`LogFate::Remove`] its log and its link too.
    async fn remove_container(&self, id: &ContainerId, log: LogFate) -> Result<(), RuntimeError>;
    /// Where the runtime writes a container's log; `None` when it writes none.
    async fn log_path(&self, id: &ContainerId) -> Result<Option<PathBuf>, RuntimeError>;
    /// CRI `ReopenContainerLog`: the container goes on in a new file of the same name.
    async fn reopen_log(&self, id: &ContainerId) -> Result<(), RuntimeError>;
    /// Removes the links under `/var/log/containers` that lead below a pod's log directory: logs that outlived their
    /// containers have theirs still.
    async fn unlink_logs(&self, log_directory: &Path) -> Result<(), RuntimeError>;
    /// Removes links to logs of which the whole pod's directory is gone. No call.
    async fn unlink_lost_logs(&self) -> Result<(), RuntimeError>;
    /// CRI `ExecSync`.
    async fn exec(
        &self,
        id: &ContainerId,
        command: &[String],
        timeout: Duration,
    ) -> Result<ExecResult, RuntimeError>;
    /// CRI `Exec`: address of the runtime's own streaming server where the command waits for its client.
    async fn exec_url(
        &self,
        id: &ContainerId,
        command: &[String],
        streams: Streams,
    ) -> Result<String, RuntimeError>;
    /// CRI `Attach`, likewise.
    async fn attach_url(&self, id: &ContainerId, streams: Streams) -> Result<String, RuntimeError>;
    /// CRI `PortForward`, likewise.
    async fn port_forward_url(&self, id: &SandboxId, ports: &[u16]) -> Result<String, RuntimeError>;

    /// CRI `CheckpointContainer`: the runtime writes the archive. Deadline: what is asked for, or the default where
    /// that is longer.
    async fn checkpoint(&self, id: &ContainerId, archive: &Path, limit: Duration)
    -> Result<(), RuntimeError>;

    /// CRI `ImageStatus`; `None` when absent.
    async fn image_status(&self, image: &str, handler: &str) -> Result<Option<ImageInfo>, RuntimeError>;
    /// CRI `PullImage`: no deadline, dropping the future cancels it. Returns the image reference.
    async fn pull_image(
        &self,
        image: &str,
        auth: Option<&RegistryAuth>,
        sandbox: &SandboxRequest,
    ) -> Result<String, RuntimeError>;
    /// All images.
    async fn list_images(&self) -> Result<Vec<ImageInfo>, RuntimeError>;
    /// Removes one.
    async fn remove_image(&self, image: &str) -> Result<(), RuntimeError>;
    /// Image and container filesystems.
    async fn image_fs(&self) -> Result<(Vec<ImageFs>, Vec<ImageFs>), RuntimeError>;

    /// Hints from the runtime's event stream. The edge reconnects by itself and sends
    /// [`RuntimeHint::Everything`] after every gap; where the runtime has no stream, or none that
    /// can be trusted, it compares lists instead ([`RuntimeHint::Listing`]), so that the caller needs no second way.
    fn hints(&self) -> mpsc::Receiver<RuntimeHint>;
}
