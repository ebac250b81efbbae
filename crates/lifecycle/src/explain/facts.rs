//! What there is to explain from: what `decide` left behind, and what others than the pod's worker know.

use k8s_openapi::api::core::v1::Pod;

use crate::{
    ContainerName, Intent, PodKey, PodSource, PodState,
    record::{Record, Stamp},
};

/// What there is to explain from.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The pod.
    pub pod: &'a Pod,
    /// Where it came from.
    pub source: PodSource,
    /// What is wanted of it.
    pub intent: &'a Intent,
    /// What its last decision left.
    pub state: &'a PodState,
    /// Its past.
    pub record: &'a Record,
    /// What keeps it from being decided about, and since when.
    pub hold: Option<&'a (Hold, Stamp)>,
    /// Nothing of it is left on the node.
    pub finished: bool,
    /// What others know.
    pub beside: &'a Beside,
}

/// What keeps a pod from being decided about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hold {
    /// It may not begin before this static pod of the same name is gone.
    Namesake(PodKey),
    /// It is not judged before the API server has told the node's labels once more.
    NodeLabels,
    /// Its worker waits for the runtime's name, which container ids begin with.
    RuntimeName,
}

/// What others than the pod's worker know of it, and of the node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Beside {
    /// Why the runtime's network is not ready, if it is not.
    pub network: Option<String>,
    /// Why the runtime's name is not known, if it was asked for in vain.
    pub unnamed: Option<String>,
    /// What its probes found.
    pub probes: Vec<ProbeNote>,
    /// What the API server has not taken yet.
    pub report: Option<ReportNote>,
    /// The node's pulls; `None` where as many as are wanted may be under way.
    pub pulls: Option<PullsNote>,
    /// The node's places at the runtime.
    pub turns: TurnsNote,
}

/// Kinds of probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProbeKind {
    /// `startupProbe`.
    Startup,
    /// `livenessProbe`.
    Liveness,
    /// `readinessProbe`.
    Readiness,
}

/// A probe of a running container, as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeNote {
    /// Of which container.
    pub container: ContainerName,
    /// Which of its probes.
    pub kind: ProbeKind,
    /// What it has come to; `None`: a threshold was not reached yet.
    pub result: Option<bool>,
    /// Equal answers in a row: what they are, and how many.
    pub row: Option<(bool, u32)>,
    /// Failures in a row that count.
    pub failure_threshold: u32,
    /// Successes in a row that count.
    pub success_threshold: u32,
    /// When it runs next; `None`: it is on hold, or waits for another probe.
    pub next: Option<Stamp>,
    /// Last answer that was no success: when and what.
    pub last_failure: Option<(Stamp, String)>,
}

/// What the API server is told of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    /// Its status.
    Status,
    /// That its object may go.
    Deletion,
}

/// A report that the API server has not taken yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportNote {
    /// What it tells.
    pub what: Report,
    /// When it failed first; for one that has not failed, when it was to be made.
    pub since: Stamp,
    /// How it failed last; `None`: it was not answered yet.
    pub failure: Option<ReportFailure>,
    /// When it is tried again; `None`: it is being tried.
    pub next: Option<Stamp>,
}

/// A report that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportFailure {
    /// What stands in its way.
    pub obstacle: ReportObstacle,
    /// The error, in its own words.
    pub message: String,
    /// Failures in a row.
    pub tries: u32,
}

/// What stands in the way of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReportObstacle {
    /// The API server does not answer.
    Unreachable,
    /// It does not let this kubelet do that.
    Forbidden,
    /// It, or a webhook, said no, or the answer makes no sense.
    Refused,
    /// The kubelet itself failed.
    Internal,
}

/// Places at the runtime for what it works hard for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TurnsNote {
    /// How many calls may be under way at once.
    pub places: usize,
    /// How many wait for a place.
    pub waiting: usize,
}

/// The pulls of the node that are under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PullsNote {
    /// How many may be at once.
    pub places: usize,
    /// How many are.
    pub under_way: usize,
    /// The image whose pull began first, and when.
    pub oldest: Option<(String, Stamp)>,
}
