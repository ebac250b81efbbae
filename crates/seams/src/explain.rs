//! What the kubelet can tell about its pods, as documents: the local socket serves them, `kubelet explain` and
//! `kubelet timeline` render them.
//!
//! The shape is a contract with scripts: fields are added, never renamed; a change of meaning is a new [`VERSION`].
//! Instants are RFC 3339 with the wall clock of the node; durations are milliseconds, measured on the monotonic clock.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Version of the documents, and first part of their paths.
pub const VERSION: &str = "v1";

/// Which pod is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Namespace; `None`: any.
    pub namespace: Option<String>,
    /// Name; for a static pod its manifest's name will do.
    pub name: String,
    /// Uid, to tell namesakes apart.
    pub uid: Option<String>,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unknown {
    /// No pod of this name is known, nor was one lately.
    NoSuchPod,
    /// Several are.
    Several(Vec<PodName>),
}

/// Tells about pods. Answers at once, whatever the runtime, the API server or a pod's worker is doing.
pub trait Explainer: Send + Sync + 'static {
    /// Every pod that is or was lately on the node.
    fn pods(&self) -> PodList;
    /// Why a pod is where it is.
    ///
    /// # Errors
    /// [`Unknown`].
    fn explain(&self, wanted: &Wanted) -> Result<Explanation, Unknown>;
    /// Where the time of its start went, and what happened since.
    ///
    /// # Errors
    /// [`Unknown`].
    fn timeline(&self, wanted: &Wanted) -> Result<Timeline, Unknown>;
}

/// A pod, by all its names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodName {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Uid.
    pub uid: String,
}

/// A word for programs and a sentence for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    /// Stable word, `CamelCase`.
    pub name: String,
    /// Sentence; may change.
    pub text: String,
}

/// Every pod.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PodList {
    /// [`VERSION`].
    pub version: String,
    /// When this was said.
    pub now: Timestamp,
    /// Node name.
    pub node: String,
    /// Pods, by namespace and name; those that are gone last, the newest first.
    pub pods: Vec<PodEntry>,
}

/// One pod of [`PodList`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PodEntry {
    /// Names.
    #[serde(flatten)]
    pub pod: PodName,
    /// `api`, `file`, `http`, or `runtime` for what no source holds.
    pub source: String,
    /// How it is.
    pub standing: Said,
    /// When it went, for one that is gone.
    pub ended: Option<Timestamp>,
}

/// Why a pod is where it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// [`VERSION`].
    pub version: String,
    /// When this was said.
    pub now: Timestamp,
    /// Node name.
    pub node: String,
    /// Which pod.
    pub pod: PodName,
    /// `api`, `file`, `http`, or `runtime`.
    pub source: String,
    /// When the kubelet saw it first.
    pub seen: Timestamp,
    /// When the last decision about it was made.
    pub decided: Option<Timestamp>,
    /// When it went, for one that is gone.
    pub ended: Option<Timestamp>,
    /// `status.phase` as last decided; empty before the first decision.
    pub phase: String,
    /// How it is.
    pub standing: Said,
    /// Since when, if that is known.
    pub since: Option<Timestamp>,
    /// What stands still or is under way, in the order of a start: the first is the one to look at.
    pub blocks: Vec<Block>,
    /// Every container of the spec.
    pub containers: Vec<Container>,
    /// Probes of running containers.
    pub probes: Vec<Probe>,
    /// The newest reasons that decisions gave, oldest first.
    pub lately: Vec<Why>,
}

/// One thing that the pod waits for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Block {
    /// What does not go on.
    pub step: Said,
    /// For which container.
    pub container: Option<String>,
    /// `failed`, `under_way`, or `waiting`.
    pub state: String,
    /// Since when, if that is known.
    pub since: Option<Timestamp>,
    /// The word of statuses and events, for a step that failed: `ErrImagePull`, `FailedMount`.
    pub reason: Option<String>,
    /// Why.
    pub why: String,
    /// Failures in a row.
    pub tries: u32,
    /// Whose turn it is.
    pub actor: Said,
    /// What comes next.
    pub next: Said,
    /// When, if that is known.
    pub next_at: Option<Timestamp>,
}

/// One container of the spec.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Container {
    /// Name.
    pub name: String,
    /// `init`, `sidecar`, `regular` or `ephemeral`.
    pub kind: String,
    /// What it does.
    pub state: String,
    /// Whether it counts as ready.
    pub ready: bool,
    /// How often it was restarted.
    pub restarts: u32,
    /// What it waits for.
    pub waits_for: Option<String>,
}

/// One probe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Probe {
    /// Of which container.
    pub container: String,
    /// `Startup`, `Liveness` or `Readiness`.
    pub kind: String,
    /// What it has come to; absent until a threshold was reached.
    pub result: Option<bool>,
    /// How it stands, as a sentence.
    pub text: String,
    /// Last answer that was no success.
    pub last_failure: Option<Timestamp>,
    /// When it runs next.
    pub next: Option<Timestamp>,
}

/// A reason that a decision gave.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Why {
    /// When first.
    pub at: Timestamp,
    /// When last, if it came several times in a row.
    pub last: Option<Timestamp>,
    /// How often in a row.
    pub times: u32,
    /// The event's reason, for those that become events.
    pub event: Option<String>,
    /// For which container, if it is about one.
    pub container: Option<String>,
    /// What.
    pub text: String,
}

/// Where the time of a pod's start went, and what happened since.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Timeline {
    /// [`VERSION`].
    pub version: String,
    /// When this was said.
    pub now: Timestamp,
    /// Node name.
    pub node: String,
    /// Which pod.
    pub pod: PodName,
    /// `api`, `file`, `http`, or `runtime`.
    pub source: String,
    /// When the kubelet saw it first: offset zero.
    pub seen: Timestamp,
    /// Whether something of the pod was there already when this kubelet saw it first: then there is no start to tell.
    pub taken_up: bool,
    /// Figures of the start, once it is over.
    pub start: Option<StartFigures>,
    /// Steps, by their beginning.
    pub steps: Vec<Step>,
    /// Looks at the runtime's account during the start.
    pub inspections: Vec<Span>,
    /// Reasons, by time.
    pub why: Vec<TimedWhy>,
    /// Items forgotten between the start and the newest ones.
    pub forgotten: u32,
}

/// Figures of a start, milliseconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StartFigures {
    /// When the kubelet found the pod running and decided to report that.
    pub running: Timestamp,
    /// When the patch that says so was handed to the API client; absent without an API server, or before.
    pub status_sent: Option<Timestamp>,
    /// When the API server had taken it.
    pub status_accepted: Option<Timestamp>,
    /// From the first sight of the pod to `status_sent`, or where there is none, to `running`.
    pub total_ms: f64,
    /// Of that: at least one runtime call of this pod was under way.
    pub cri_ms: f64,
    /// Of that: no runtime call was under way, and an init container was at work.
    pub init_ms: f64,
    /// The rest, which the kubelet added: `total_ms` − `cri_ms` − `init_ms`.
    pub added_latency_ms: f64,
    /// Of that: the pod's worker had no step under way at all.
    pub idle_ms: f64,
    /// Number of runtime calls, each inspection counted as one.
    pub cri_calls: u32,
}

/// A span of time, milliseconds from the first sight of the pod.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Span {
    /// When it began.
    pub offset_ms: f64,
    /// How long it took; absent while it is under way.
    pub duration_ms: Option<f64>,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Name of the action.
    pub step: String,
    /// For which container.
    pub container: Option<String>,
    /// When.
    #[serde(flatten)]
    pub span: Span,
    /// `done`, `failed`, or `under_way`.
    pub state: String,
    /// Failures of the same step right before, folded into this one.
    pub failed_before: u32,
    /// Whether it belongs to the start.
    pub of_start: bool,
    /// Its wait for a place within it, as an image waits for other pulls; absent where it had one at once.
    pub wait: Option<Span>,
    /// Runtime calls within it.
    pub calls: Vec<Call>,
}

/// One runtime call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// CRI method.
    pub call: String,
    /// When.
    #[serde(flatten)]
    pub span: Span,
}

/// A reason with its offset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TimedWhy {
    /// Milliseconds from the first sight of the pod.
    pub offset_ms: f64,
    /// The reason.
    #[serde(flatten)]
    pub why: Why,
}

/// Why a request got no document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// [`VERSION`].
    pub version: String,
    /// `NoSuchPod`, `Several`, `BadRequest`, `NotFound`.
    pub error: String,
    /// What is wrong, as a sentence.
    pub message: String,
    /// The pods that the name fits, for `Several`.
    pub pods: Vec<PodName>,
}
