//! Why a pod is where it is: what is blocked, since when, why, who has to act, and what comes next.
//!
//! Pure, like the decision: it reads what `decide` left behind (its state, and the record of its reasons) and draws no
//! conclusion of its own about the world. Whose turn it is follows from the typed cause of a failure; where nobody knows
//! more than the text of an error, that is said.
//!
//! Invariants:
//! * blocks come in the order in which a pod is started, so that the first one is the one to look at;
//! * who has no block is at rest: it is ready or runs as far as it can, or it has ended and holds nothing any more;
//! * every container of the spec has exactly one row.

use std::time::Duration;

use k8s_openapi::api::core::v1::PodStatus;

use crate::{
    ContainerName, PodKey, Tick,
    action::MissingObject,
    reason::{Cause, ContainerKind, ContainerRef},
    record::Stamp,
    state::Stage,
};

mod api;
mod container;
mod end;
mod facts;
mod failure;
mod pod;
mod text;

pub use facts::{
    Beside, Facts, Hold, ProbeKind, ProbeNote, PullsNote, Report, ReportFailure, ReportNote, ReportObstacle,
    TurnsNote,
};

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
    Admission,
    RuntimeName,
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
    Report,
    Deletion,
    Finalizers,
    Look,
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
    /// Only the node's labels speak against the pod: the API server is asked for them once more.
    NodeLabels,
    /// The node's admission said no.
    Refused {
        /// `status.reason`.
        reason: String,
        /// Its words.
        message: String,
    },
    /// Other pulls have all the places that there are.
    Place {
        /// How many pulls may be under way at once.
        places: usize,
        /// How many are.
        under_way: usize,
        /// The image whose pull began first, and how long ago.
        oldest: Option<(String, Duration)>,
    },
    /// Other pods' sandboxes, containers and starts have all the places at the runtime.
    Turn {
        /// How many calls may be under way at once.
        places: usize,
        /// How many wait for one, this one included.
        waiting: usize,
    },
    /// The API server has taken what it was told; its watch does not show it yet.
    NotShown,
    /// These finalizers are left of the object.
    Finalizers(Vec<String>),
    /// No step failed, and none is under way.
    Idle,
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
    /// The API server: it cannot be asked.
    ApiServer,
    /// The API server: it has been asked.
    ApiServerAnswer,
    /// Whoever looks after the cluster: its API server refuses what the kubelet has to tell it.
    ClusterAdmin,
    /// Whoever can end the oldest of the pulls under way.
    OldestPull {
        /// Its image.
        image: Option<String>,
    },
    /// Whoever wrote the pod, or looks after the node: they do not fit together.
    PodAuthorOrNodeAdmin,
    /// The controllers that own these finalizers.
    FinalizerOwner,
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
    /// The pod goes on to stop when the answer is there: what the call makes has to go too.
    StopsThen,
    /// The pull begins when one of the others is over.
    Place,
    /// The call is made when one of the others is over, or has taken too long.
    Turn,
    /// What is kept of the pod is removed when the answer is there.
    Removal,
    /// The object goes with its last finalizer.
    ObjectGone,
    /// Nothing: the pod stays as it is.
    NotAgain,
    /// A controller makes another pod; this one stays as it is.
    Replacement,
    /// The pod is judged anew with its next manifest, or by the next process.
    Manifest,
    /// The kubelet looks at the pod again.
    Look,
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
    pod::hold(&scene, &mut blocks);
    pod::inspection(&scene, &mut blocks);
    api::admission(&scene, &mut blocks);
    match &facts.state.stage {
        Stage::Syncing(_) => {
            pod::syncing(&scene, &mut blocks);
            container::blocks(&scene, &mut blocks);
            pod::removals(&scene, &mut blocks);
            pod::gates(&scene, &mut blocks);
        }
        Stage::Terminating(terminating) => {
            end::stopping(&scene, terminating.deadline(now.mono), &mut blocks);
        }
        Stage::Terminated(_) => end::clearing(&scene, &mut blocks),
    }
    api::report(&scene, &mut blocks);
    let containers = container::rows(&scene, &blocks);
    let (standing, since) = pod::standing(&scene);
    if blocks.is_empty() && !pod::rests(&scene, &standing, &containers) {
        blocks.push(pod::next_look(&scene));
    }
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
