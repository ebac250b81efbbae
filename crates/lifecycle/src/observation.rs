//! Everything that `decide` may know about a pod at one instant.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, PodSpec, ResourceRequirements};

use crate::{
    action::Outcome,
    ids::{ContainerId, ContainerName, SandboxId},
};

/// What was seen. Built by the pod's worker before each decision; holds no history (that is [`crate::PodState`]).
#[derive(Clone, Debug)]
pub struct Observation {
    /// The newest accepted version of the pod object. For a pod that is gone from every source: the last one known.
    pub pod: Arc<Pod>,
    /// Where it came from.
    pub source: PodSource,
    /// What the outside world wants of it.
    pub intent: Intent,
    /// What node admission said.
    pub admission: Admission,
    /// The runtime's own account of this pod, read after the last outcome in `outcomes` arrived, or brought up to date with
    /// them ([`crate::account`]). `Err` is the runtime's error text: nothing may then be concluded about containers.
    pub runtime: Result<RuntimePod, String>,
    /// CRI `NetworkReady`; the error text is the runtime's `reason` and `message`.
    pub network: Result<(), String>,
    /// Results of actions since the last decision, in order of arrival; each exactly once.
    pub outcomes: Vec<Outcome>,
    /// Facts about the node that a status carries.
    pub node: NodeFacts,
    /// Something that the pod's volumes show has changed, or is due for a refresh: mounted volumes are brought up
    /// to date. True once per change.
    pub volumes_stale: bool,
    /// What the probes found out.
    pub probes: ProbeResults,
    /// Highest attempt of each container that has written a log, read when the pod's worker began: containers may be gone
    /// from the runtime and from every report, as after a reboot, and their logs must not be written over.
    pub logged: Arc<BTreeMap<ContainerName, u32>>,
}

impl Observation {
    /// Of a pod of the API that is to run, of which the runtime has nothing yet. Tests start from it; a worker fills in every
    /// field.
    #[must_use]
    pub fn of(pod: impl Into<Arc<Pod>>) -> Self {
        Self {
            pod: pod.into(),
            source: PodSource::Api,
            intent: Intent::Run,
            admission: Admission::Admitted,
            runtime: Ok(RuntimePod::default()),
            network: Ok(()),
            outcomes: Vec::new(),
            node: NodeFacts::default(),
            volumes_stale: false,
            probes: ProbeResults::default(),
            logged: Arc::default(),
        }
    }
}

/// What the pod's probes found out so far.
///
/// Results carry the container's id, so that those of a container that is gone are never applied to its successor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProbeResults {
    /// Newest result by container name. A container that declares a probe and has no result is not ready, unless
    /// its last reported status, for the same container id, says otherwise (contract §31).
    pub containers: BTreeMap<ContainerName, ProbeResult>,
    /// Containers to kill: their liveness or startup probe failed for good.
    pub failures: Vec<ProbeFailure>,
}

/// Results for one running container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeResult {
    /// Which instance was probed.
    pub id: ContainerId,
    /// Whether the startup probe succeeded; `None`: it has not yet run.
    pub started: Option<bool>,
    /// Whether the readiness probe succeeds; `None`: it has not yet run.
    pub ready: Option<bool>,
}

/// A probe that reached its failure threshold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeFailure {
    /// Which container.
    pub container: ContainerName,
    /// Which instance; the failure is void for any other.
    pub id: ContainerId,
    /// Which probe.
    pub kind: FatalProbe,
}

/// The probes whose failure kills.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FatalProbe {
    /// `livenessProbe`.
    Liveness,
    /// `startupProbe`.
    Startup,
}

/// Which source a pod came from (contract §4, annotation `kubernetes.io/config.source`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PodSource {
    /// The API server.
    Api,
    /// A file under `staticPodPath`.
    File,
    /// `staticPodURL`.
    Http,
    /// Found in the runtime only, after a restart: no object is known, only labels and annotations.
    RuntimeOnly,
}

impl PodSource {
    /// Whether the pod is a static pod: its truth is a manifest, the API holds at most a mirror.
    #[must_use]
    pub fn is_static(self) -> bool {
        matches!(self, Self::File | Self::Http)
    }
}

/// What the outside world wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Intent {
    /// Run it.
    Run,
    /// `deletionTimestamp` is set: stop within the grace period, then the object may go.
    Delete {
        /// `deletionGracePeriodSeconds`, at least one second.
        grace: Duration,
    },
    /// The pod left every source (forced deletion, manifest removed): stop it, keep nothing.
    Removed {
        /// Grace for its containers.
        grace: Duration,
    },
    /// The node wants it gone while its object stays: eviction, preemption, shutdown.
    Kill {
        /// Grace for its containers.
        grace: Duration,
        /// Becomes `status.reason`.
        reason: String,
        /// Becomes `status.message`.
        message: String,
    },
}

/// The node's answer to "may this pod run here?" (contract §5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Yes.
    Admitted,
    /// No, finally: the pod becomes `Failed`.
    Rejected {
        /// `status.reason`, for example `OutOfcpu`.
        reason: String,
        /// Text without the prefix `Pod was rejected: `.
        message: String,
    },
}

/// Facts about the node that end up in pod statuses and environments.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeFacts {
    /// Node name.
    pub name: String,
    /// Node addresses, primary first; one or two.
    pub host_ips: Vec<String>,
    /// CRI runtime name: prefix of `containerID`, for example `containerd`.
    pub runtime_name: String,
    /// `crashLoopBackOff.maxContainerRestartPeriod`; upstream's default is 300 s.
    pub max_restart_backoff: Duration,
    /// Whether statuses are reported to an API server (false in standalone mode).
    pub has_api: bool,
    /// Runtime handlers that mount recursively read-only; the default handler has an empty name.
    pub recursive_read_only: BTreeSet<String>,
    /// Whether a pod has to show that it may use an image that is there.
    pub image_access: ImageAccess,
}

/// Whether pods have to show that they may use images that others pulled (gate `KubeletEnsureSecretPulledImages`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ImageAccess {
    /// They have to.
    #[default]
    Checked,
    /// What is there is everybody's.
    Anybody,
}

impl NodeFacts {
    /// Whether a pod's runtime handler mounts recursively read-only. The handler of a class usually bears its name.
    #[must_use]
    pub fn mounts_recursively(&self, spec: &PodSpec) -> bool {
        self.recursive_read_only.contains(spec.runtime_class_name.as_deref().unwrap_or_default())
    }
}

/// The runtime's account of one pod: every sandbox and container that carries its uid.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RuntimePod {
    /// Newest first, by creation time.
    pub sandboxes: Vec<SandboxRecord>,
    /// Newest first, by creation time; all attempts of all containers.
    pub containers: Vec<ContainerRecord>,
}

/// One pod sandbox.
#[derive(Clone, Debug, PartialEq)]
pub struct SandboxRecord {
    /// Runtime id.
    pub id: SandboxId,
    /// CRI `metadata.attempt`.
    pub attempt: u32,
    /// CRI state `SANDBOX_READY`.
    pub ready: bool,
    /// Creation time.
    pub created_at: Timestamp,
    /// Pod addresses, primary first; empty for host network.
    pub ips: Vec<String>,
    /// The runtime tells of a network of its own without a primary address. It may also tell of no network, or of addresses
    /// that nobody can read: no `ips` then, and nothing to replace the sandbox for.
    pub without_address: bool,
    /// Whether its network namespace is the node's.
    pub host_network: bool,
}

/// CRI container states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuntimeState {
    /// Created, not started.
    Created,
    /// Running.
    Running,
    /// Exited.
    Exited,
    /// The runtime lost track of it.
    Unknown,
}

/// One container, as the runtime reports it.
#[derive(Clone, Debug, PartialEq)]
pub struct ContainerRecord {
    /// Runtime id.
    pub id: ContainerId,
    /// Label `io.kubernetes.container.name`.
    pub name: ContainerName,
    /// Annotation `io.kubernetes.container.restartCount`; equals CRI `metadata.attempt`.
    pub attempt: u32,
    /// Sandbox it belongs to.
    pub sandbox: SandboxId,
    /// State.
    pub state: RuntimeState,
    /// Creation time.
    pub created_at: Timestamp,
    /// Set from `Running` on.
    pub started_at: Option<Timestamp>,
    /// Set when `Exited`.
    pub finished_at: Option<Timestamp>,
    /// Exit code; meaningful when `Exited`.
    pub exit_code: i32,
    /// The runtime's reason, for example `OOMKilled`, `Completed`, `Error`.
    pub reason: String,
    /// Termination message (already read from its file or log, bounded) or the runtime's own message.
    pub message: String,
    /// Image name as the runtime reports it.
    pub image: String,
    /// Image reference as the runtime reports it: `status.imageID`.
    pub image_ref: String,
    /// Annotation `io.kubernetes.container.hash`; 0 when missing or unreadable.
    pub hash: u64,
    /// Resources in force, if the runtime reports them.
    pub resources: Option<ResourceRequirements>,
    /// `user.linux` of the first process, if the runtime reports it: uid, gid, supplemental groups.
    pub user: Option<(i64, i64, Vec<i64>)>,
    /// Grace period from its annotations, for a pod whose object is gone.
    pub annotated_grace: Option<Duration>,
}

impl ContainerRecord {
    /// One that was just created, of which nothing more is known. The simulation and tests start from it; the edge fills
    /// in every field.
    #[must_use]
    pub fn created(
        id: impl Into<ContainerId>,
        name: impl Into<ContainerName>,
        attempt: u32,
        sandbox: impl Into<SandboxId>,
        at: Timestamp,
    ) -> Self {
        Self {
            id: id.into(),
            name: name.into(),
            attempt,
            sandbox: sandbox.into(),
            state: RuntimeState::Created,
            created_at: at,
            started_at: None,
            finished_at: None,
            exit_code: 0,
            reason: String::new(),
            message: String::new(),
            image: String::new(),
            image_ref: String::new(),
            hash: 0,
            resources: None,
            user: None,
            annotated_grace: None,
        }
    }
}
