//! What a pod's worker remembers between decisions.
//!
//! ```text
//!            Intent::Delete / Removed / Kill, deadline, terminal phase, rejection, all work done
//!   Syncing ────────────────────────────────────────────────────────────────────► Terminating ──► Terminated
//! ```
//! Never back. Each stage carries how far it got; a step that failed is named in `setbacks` with its cause, and is
//! taken up again from there when its delay is over.
//!
//! Invariants:
//! * a key is in flight or set back, never both;
//! * everything kept per container, sandbox or step is dropped with its subject, so the size of the state is bounded
//!   by the size of the pod's spec and of its account in the runtime.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use k8s_openapi::api::core::v1::PodStatus;

use crate::{
    action::{ActionKey, Failure},
    ids::{ContainerId, ContainerName, SandboxId, Tick},
    reason::Cause,
};

/// Memory of one pod's worker.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PodState {
    pub(crate) stage: Stage,
    pub(crate) in_flight: BTreeSet<ActionKey>,
    /// Steps that failed and are due again later.
    pub(crate) setbacks: BTreeMap<ActionKey, Setback>,
    pub(crate) containers: BTreeMap<ContainerName, ContainerMemo>,
    /// Stops asked for, with their deadline on the monotonic clock.
    pub(crate) stopping: BTreeMap<ContainerId, Duration>,
    /// Containers whose stop was confirmed; matters for those whose state the runtime does not know.
    pub(crate) stopped: BTreeSet<ContainerId>,
    /// Containers whose preStop hook was asked for.
    pub(crate) hooked: BTreeSet<ContainerId>,
    /// Containers of which it was said that they stop with their pod.
    pub(crate) doomed: BTreeSet<ContainerId>,
    /// Sandboxes whose stop was confirmed.
    pub(crate) stopped_sandboxes: BTreeSet<SandboxId>,
    /// The runtime does not answer for this pod: text last reported, tries, next try.
    pub(crate) runtime_trouble: Option<Setback>,
    /// Last status decided.
    pub(crate) reported: Option<Arc<PodStatus>>,
}

/// How far the pod is in its life, for whoever counts pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StageKind {
    /// It is to run.
    Syncing,
    /// It is to stop.
    Terminating,
    /// Nothing of it runs.
    Terminated,
}

/// How far the pod is in its life.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Stage {
    /// It is to run.
    Syncing(Syncing),
    /// It is to stop.
    Terminating(Terminating),
    /// Nothing of it runs; leftovers are cleared away.
    Terminated(Terminated),
}

impl Default for Stage {
    fn default() -> Self {
        Self::Syncing(Syncing::default())
    }
}

/// A pod that is to run.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Syncing {
    /// Prerequisites in place: directories, cgroup.
    pub(crate) in_place: BTreeSet<ActionKey>,
    pub(crate) volumes: Volumes,
    /// Fingerprint of what volumes may show of the pod itself.
    pub(crate) shown: u64,
    /// Fingerprint of which volumes its containers use.
    pub(crate) used: u64,
    /// The network was found not ready: when to look again.
    pub(crate) network_retry: Option<Duration>,
    /// Newest sandbox that was found unusable, so that its replacement is announced once.
    pub(crate) unusable_sandbox: Option<SandboxId>,
    /// Containers make way for a new sandbox: when their grace period ends, on the monotonic clock.
    pub(crate) make_way_until: Option<Duration>,
    /// Whether all containers are being started over.
    pub(crate) reset: Reset,
}

/// Whether all containers of a pod are being killed and removed, to be started over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Reset {
    /// No.
    #[default]
    Idle,
    /// Something is left of them.
    UnderWay,
}

/// The pod's volumes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Volumes {
    /// Not all mounted yet.
    #[default]
    Missing,
    /// As `Missing`, and what the mount under way shows is out of date already.
    MissingStale,
    /// As `Missing`, and the mount under way does not know of all that are used.
    MissingMore,
    /// Mounted and up to date.
    Fresh,
    /// Mounted; contents are due for an update.
    Stale,
}

impl Volumes {
    /// Whether all are mounted.
    pub(crate) fn are_mounted(self) -> bool {
        matches!(self, Self::Fresh | Self::Stale)
    }
}

/// A pod that is to stop.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Terminating {
    pub(crate) cause: Cause,
    /// Grace period in force.
    pub(crate) grace: Duration,
    /// When it ends, on the monotonic clock. `None`: it has not begun, because nothing could be told to stop yet.
    pub(crate) deadline: Option<Duration>,
}

impl Terminating {
    /// When the grace period ends, if it begins now at the latest.
    pub(crate) fn deadline(&self, now: Duration) -> Duration {
        self.deadline.unwrap_or_else(|| now.saturating_add(self.grace))
    }
}

/// A pod of which nothing runs.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Terminated {
    pub(crate) cause: Cause,
    /// Clean-up steps done.
    pub(crate) done: BTreeSet<ActionKey>,
    pub(crate) end: End,
    /// Since when the records stay because the API does not show the last status; `None`: nothing waits for that.
    pub(crate) untold: Option<Tick>,
    /// Since when the API shows it, on the monotonic clock.
    pub(crate) told: Option<Duration>,
}

/// Whether the end was announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Something may be left.
    Clearing,
    /// Nothing is left, and that was said.
    Gone,
}

/// A failed step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Setback {
    /// Failures in a row.
    pub(crate) tries: u32,
    /// When the first of them was seen.
    pub(crate) since: Tick,
    /// When the step is due again, on the monotonic clock.
    pub(crate) retry_at: Duration,
    /// What went wrong last.
    pub(crate) failure: Failure,
}

/// What is remembered of one container of the spec.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ContainerMemo {
    /// Fingerprint of image and resources: a change of either starts all back-offs afresh.
    pub(crate) fingerprint: u64,
    pub(crate) image: ImageMemo,
    /// The image that was asked for last, until the answer.
    pub(crate) pulling: Option<String>,
    pub(crate) crash: CrashMemo,
    /// Why it could not be started: becomes `state.waiting`.
    pub(crate) trouble: Option<Trouble>,
    /// This instance was killed with the promise of a restart, whatever the policy says of its exit code.
    pub(crate) owed: Option<Owed>,
    /// This instance is to be killed because its postStart hook failed.
    pub(crate) condemned: Option<ContainerId>,
    /// Attempt asked for last.
    pub(crate) asked: Option<u32>,
    /// Highest attempt that was created by this process.
    pub(crate) created: Option<u32>,
    /// The instance whose start was asked for last, and its attempt.
    pub(crate) begun: Option<(u32, ContainerId)>,
}

impl ContainerMemo {
    /// Whether this instance was killed with the promise of a restart.
    pub(crate) fn owes(&self, instance: &ContainerId) -> bool {
        self.owed.as_ref().is_some_and(|owed| owed.after == *instance)
    }
}

/// A restart that was promised when an instance was killed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Owed {
    /// The killed instance; the promise is kept when a newer one appears.
    pub(crate) after: ContainerId,
}

/// What is known of a container's image.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum ImageMemo {
    /// Nothing: has to be ensured before a container is made from it.
    #[default]
    Unknown,
    /// Present; used up by the next creation.
    Ready {
        /// Reference to create from.
        image_ref: String,
        /// Whether an event said so.
        told: Told,
    },
    /// The pull failed; `setbacks` says when it is due again.
    Failed {
        /// Waiting reason of the failure.
        reason: &'static str,
        /// Its message.
        message: String,
        /// When the failure turns into a reported back-off.
        back_off_from: Duration,
        /// Whether that was reported.
        shown: Shown,
        /// When the image is looked for meanwhile; `None` where only a pull will do.
        look: Option<Look>,
    },
}

/// The next look whether an image is there whose pull backs off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Look {
    /// Instant of the monotonic clock.
    pub at: Duration,
    /// Looks in vain since the pull failed.
    pub times: u32,
}

/// Whether an event told of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// By the one that ended its pull.
    Yes,
    /// It was there already, which is told when a container is made from it.
    NotYet,
}

/// Which face of a failed pull was reported last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shown {
    /// `ErrImagePull`.
    Failure,
    /// `ImagePullBackOff`.
    BackOff {
        /// When it was told last, on the monotonic clock.
        told_at: Duration,
    },
}

/// Crash-loop back-off of one container.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct CrashMemo {
    /// Delay in force between the end of a run and the next start; zero before the first restart.
    pub(crate) delay: Duration,
    /// When the last restart was let through, on the monotonic clock.
    pub(crate) restarted_at: Option<Duration>,
    /// The ended instance that waits, and until when.
    pub(crate) waiting: Option<(ContainerId, Duration)>,
    /// When the present wait was told last, on the monotonic clock.
    pub(crate) told_at: Option<Duration>,
    /// The ended instance after which a restart was let through: its retries do not count as crashes.
    pub(crate) passed: Option<ContainerId>,
}

/// A start that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trouble {
    /// `state.waiting.reason`.
    pub(crate) reason: &'static str,
    /// `state.waiting.message`.
    pub(crate) message: String,
}

impl PodState {
    /// Actions emitted whose outcome has not been seen.
    pub fn in_flight(&self) -> impl Iterator<Item = &ActionKey> + Clone {
        self.in_flight.iter()
    }

    /// Steps that failed and will be tried again, with their last error: for explanations.
    pub fn setbacks(&self) -> impl Iterator<Item = (&ActionKey, &str)> {
        self.setbacks.iter().map(|(key, setback)| (key, setback.failure.message.as_str()))
    }

    /// Lets the next look start from the status that the pod object carries, as the first look of a process does: for a
    /// static pod whose mirror turns up later.
    pub fn forget_report(&mut self) {
        self.reported = None;
    }

    /// How far the pod is in its life.
    #[must_use]
    pub fn stage_kind(&self) -> StageKind {
        match self.stage {
            Stage::Syncing(_) => StageKind::Syncing,
            Stage::Terminating(_) => StageKind::Terminating,
            Stage::Terminated(_) => StageKind::Terminated,
        }
    }

    /// Name of the stage: `syncing`, `terminating`, `terminated`.
    #[must_use]
    pub fn stage(&self) -> &'static str {
        match self.stage_kind() {
            StageKind::Syncing => "syncing",
            StageKind::Terminating => "terminating",
            StageKind::Terminated => "terminated",
        }
    }

    /// `status.phase` as last decided; empty before the first decision.
    #[must_use]
    pub fn phase(&self) -> &str {
        self.reported.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default()
    }

    /// Number of things remembered: a measure of its memory, bounded by spec and runtime account.
    #[must_use]
    pub fn weight(&self) -> usize {
        let stage = match &self.stage {
            Stage::Syncing(syncing) => syncing.in_place.len(),
            Stage::Terminating(_) => 1,
            Stage::Terminated(terminated) => terminated.done.len(),
        };
        stage
            + self.in_flight.len()
            + self.setbacks.len()
            + self.containers.len()
            + self.stopping.len()
            + self.stopped.len()
            + self.hooked.len()
            + self.doomed.len()
            + self.stopped_sandboxes.len()
    }
}
