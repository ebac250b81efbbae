//! Why a pod is where it is: what is blocked, since when, why, who has to act, and what comes next.
//!
//! Pure, like the decision: it reads what `decide` left behind (its state, and the record of its reasons) and draws no
//! conclusion of its own about the world. Whose turn it is follows from the typed cause of a failure; where nobody knows
//! more than the text of an error, that is said.
//!
//! Invariants:
//! * blocks come in the order in which a pod is started, so that the first one is the one to look at;
//! * a pod that runs, is ready and has nothing set back has no block;
//! * every container of the spec has exactly one row.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Pod, PodStatus};

use crate::{
    ContainerName, Intent, PodKey, PodSource, PodState, Tick,
    action::MissingObject,
    reason::{Cause, ContainerKind, ContainerRef},
    record::{Record, Stamp},
    state::Stage,
};

mod container;
mod end;
mod failure;
mod pod;
mod text;

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
    /// Why the runtime's network is not ready, if it is not.
    pub network: Option<&'a str>,
    /// What its probes found.
    pub probes: &'a [ProbeNote],
    /// It may not begin before this static pod of the same name is gone.
    pub held_by: Option<&'a PodKey>,
    /// Nothing of it is left on the node.
    pub finished: bool,
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

/// A pod's account.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// How it is, in a word.
    pub standing: Standing,
    /// Since when, if that is known.
    pub since: Option<Stamp>,
    /// What stands still or is under way; the first is the one to look at.
    pub blocks: Vec<Block>,
    /// Every container of the spec: init, regular, ephemeral.
    pub containers: Vec<ContainerAccount>,
}

/// How a pod is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Not everything runs yet.
    Starting,
    /// Its containers run; it is not ready.
    NotReady,
    /// It runs and is ready.
    Ready,
    /// It is being stopped.
    Stopping {
        /// Why.
        cause: Cause,
    },
    /// Nothing of it runs any more.
    Ended {
        /// Why.
        cause: Cause,
    },
    /// Nothing of it is left on the node.
    Gone,
}

/// One thing that a pod waits for.
#[derive(Clone, Debug, PartialEq)]
pub struct Block {
    /// What does not go on.
    pub step: BlockedStep,
    /// For which container.
    pub container: Option<ContainerRef>,
    /// Since when, if that is known.
    pub since: Option<Stamp>,
    /// Why.
    pub cause: BlockCause,
    /// Whose turn it is.
    pub actor: Actor,
    /// What comes next, and when, where that is known.
    pub next: (Next, Option<Stamp>),
}

/// What does not go on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "`name` and `Display` say what each is")]
pub enum BlockedStep {
    Namesake,
    Inspection,
    Directories,
    Cgroup,
    Volumes,
    Network,
    OldSandbox,
    Sandbox,
    Image,
    Restart,
    Creation,
    Start,
    Hook,
    InitContainer,
    StartupProbe,
    ReadinessProbe,
    ReadinessGate,
    Stop,
    Removal,
    CleanUp,
}

/// Why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BlockCause {
    /// It failed.
    Failed {
        /// The word of statuses and events: `ErrImagePull`, `FailedMount`.
        reason: &'static str,
        /// The error, in its own words.
        message: String,
        /// Failures in a row.
        tries: u32,
    },
    /// It is under way; with the runtime call that it waits for, if it waits for one.
    UnderWay {
        /// CRI method.
        call: Option<&'static str>,
    },
    /// The container ended and may not start again yet.
    BackOff {
        /// Wait in force, from the end of the last run.
        delay: Duration,
        /// How the last run ended: exit code, reason.
        exit: Option<(i32, String)>,
    },
    /// The program has to get there by itself.
    Runs,
    /// A probe does not say yes.
    Probe(Option<ProbeNote>),
    /// Nobody has set this condition of the pod to `True`.
    Condition(String),
    /// A pod of this name still stops.
    Namesake(PodKey),
}

/// Whose turn it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    /// The kubelet: it works, or tries again by itself.
    Kubelet,
    /// The container runtime.
    Runtime,
    /// The node's network plugin.
    NetworkPlugin,
    /// The registry, or whoever can mend the way to it.
    Registry,
    /// Whoever can put the image into its registry, or its right name into the pod.
    ImageOwner {
        /// As written in the spec.
        image: String,
    },
    /// Whoever can load the image onto the node, or let it be pulled.
    ImageLoader {
        /// As written in the spec.
        image: String,
    },
    /// Whoever owns the pull secrets.
    PullSecretOwner,
    /// The API server.
    ApiServer,
    /// Whoever can make these.
    ObjectOwner(Vec<MissingObject>),
    /// Whoever wrote the pod.
    PodAuthor,
    /// Whoever wrote the pod, or the runtime: the error tells which.
    PodAuthorOrRuntime,
    /// The program in this container.
    Container(ContainerName),
    /// The controller that owns the condition.
    Controller,
    /// Whoever looks after the node.
    NodeAdmin,
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// The kubelet tries again.
    Retry,
    /// It is being tried again right now.
    Retrying,
    /// The pod goes on when the answer is there.
    Answer,
    /// The container is started again.
    Restart,
    /// The next container starts when this one has ended well.
    InitDone,
    /// The probe runs again.
    Probe,
    /// The pod becomes ready when the condition is set.
    Condition,
    /// What still runs is killed.
    Kill,
    /// The pod begins when the other is gone.
    NamesakeGone,
}

/// One container's row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerAccount {
    /// List and name.
    pub container: ContainerRef,
    /// An init container that goes on running beside the others.
    pub sidecar: bool,
    /// What it does.
    pub state: ContainerStanding,
    /// Whether it counts as ready.
    pub ready: bool,
    /// How often it was restarted.
    pub restarts: u32,
    /// What it waits for.
    pub waits_for: Option<Gate>,
}

/// What a container does, as its status says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ContainerStanding {
    /// It is to be started.
    Waiting {
        /// Reason of the status.
        reason: String,
    },
    /// It runs.
    Running,
    /// It has ended.
    Ended {
        /// Exit code.
        code: i32,
        /// Reason of the status.
        reason: String,
    },
}

/// What a container waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gate {
    /// A step of its own, or of the pod.
    Step(BlockedStep),
    /// Another container: to end well, to have started, or to have run its postStart hook.
    Container(ContainerName),
    /// The others to be stopped.
    Others,
}

/// Explains.
#[must_use]
pub fn explain(facts: &Facts<'_>, now: Tick) -> Explanation {
    let scene = Scene { facts, now: Stamp::from(now), status: facts.state.reported.as_deref() };
    let mut blocks = Vec::new();
    pod::inspection(&scene, &mut blocks);
    match &facts.state.stage {
        Stage::Syncing(_) => {
            pod::syncing(&scene, &mut blocks);
            container::blocks(&scene, &mut blocks);
            pod::gates(&scene, &mut blocks);
        }
        Stage::Terminating(terminating) => end::stopping(&scene, terminating.deadline, &mut blocks),
        Stage::Terminated(terminated) => end::clearing(&scene, terminated, &mut blocks),
    }
    let containers = container::rows(&scene, &blocks);
    let (standing, since) = pod::standing(&scene);
    Explanation { standing, since, blocks, containers }
}

/// The facts, with what is asked of them often.
struct Scene<'a> {
    facts: &'a Facts<'a>,
    now: Stamp,
    status: Option<&'a PodStatus>,
}

impl Scene<'_> {
    /// An instant of the monotonic clock.
    fn instant(&self, mono: Duration) -> Stamp {
        self.now.at(mono)
    }

    fn reference(kind: ContainerKind, name: &str) -> ContainerRef {
        ContainerRef { kind, name: name.into() }
    }
}
