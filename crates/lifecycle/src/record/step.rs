//! One thing that was done for a pod: an action, or a look at the runtime's account; with the runtime calls in it.

use std::time::Duration;

use super::Stamp;
use crate::{Action, ContainerName};

fn micros(duration: Duration) -> u32 {
    u32::try_from(duration.as_micros()).unwrap_or(OPEN).min(OPEN - 1)
}

/// Runtime calls kept of one step; further ones are counted in the sums alone. A pull with several credentials makes
/// the most.
pub(super) const CALLS: usize = 6;

/// What a step does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each is the action of the same name")]
pub enum StepKind {
    /// A look at the runtime's account of the pod.
    Inspect,
    PrepareDirs,
    EnsureCgroup,
    MountVolumes,
    CreateSandbox,
    StopSandbox,
    EnsureImage,
    FindImage,
    CreateContainer,
    StartContainer,
    StopContainer,
    HurryContainer,
    RunPreStop,
    RemoveContainer,
    RemoveSandbox,
    UnmountVolumes,
    RemoveCgroup,
    RemoveDirs,
}

impl StepKind {
    /// Name in documents and on screen: the action's.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Inspect => "Inspect",
            Self::PrepareDirs => "PrepareDirs",
            Self::EnsureCgroup => "EnsureCgroup",
            Self::MountVolumes => "MountVolumes",
            Self::CreateSandbox => "CreateSandbox",
            Self::StopSandbox => "StopSandbox",
            Self::EnsureImage => "EnsureImage",
            Self::FindImage => "FindImage",
            Self::CreateContainer => "CreateContainer",
            Self::StartContainer => "StartContainer",
            Self::StopContainer => "StopContainer",
            Self::HurryContainer => "HurryContainer",
            Self::RunPreStop => "RunPreStop",
            Self::RemoveContainer => "RemoveContainer",
            Self::RemoveSandbox => "RemoveSandbox",
            Self::UnmountVolumes => "UnmountVolumes",
            Self::RemoveCgroup => "RemoveCgroup",
            Self::RemoveDirs => "RemoveDirs",
        }
    }

    /// What an action does, and for which container.
    #[must_use]
    pub fn of(action: &Action) -> (Self, Option<&ContainerName>) {
        match action {
            Action::PrepareDirs => (Self::PrepareDirs, None),
            Action::EnsureCgroup => (Self::EnsureCgroup, None),
            Action::MountVolumes => (Self::MountVolumes, None),
            Action::CreateSandbox { .. } => (Self::CreateSandbox, None),
            Action::StopSandbox { .. } => (Self::StopSandbox, None),
            Action::EnsureImage { container } => (Self::EnsureImage, Some(container)),
            Action::FindImage { container } => (Self::FindImage, Some(container)),
            Action::CreateContainer { container, .. } => (Self::CreateContainer, Some(container)),
            Action::StartContainer { container, .. } => (Self::StartContainer, Some(container)),
            Action::StopContainer { container, .. } => (Self::StopContainer, Some(container)),
            Action::HurryContainer { container, .. } => (Self::HurryContainer, Some(container)),
            Action::RunPreStop { container, .. } => (Self::RunPreStop, Some(container)),
            Action::RemoveContainer { .. } => (Self::RemoveContainer, None),
            Action::RemoveSandbox { .. } => (Self::RemoveSandbox, None),
            Action::UnmountVolumes => (Self::UnmountVolumes, None),
            Action::RemoveCgroup => (Self::RemoveCgroup, None),
            Action::RemoveDirs => (Self::RemoveDirs, None),
        }
    }
}

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Well.
    Done,
    /// It failed: the reasons of the next decision say why.
    Failed,
}

/// One call to the runtime within a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// CRI method.
    pub name: &'static str,
    /// When.
    pub when: Within,
}

/// A stretch of time, counted from the beginning of what it is a part of: a step, or the pod's start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Within {
    after: u32,
    took: u32,
}

/// No end yet. More microseconds than this, 71 minutes, are not counted.
const OPEN: u32 = u32::MAX;

impl Within {
    /// It has not ended yet.
    fn began(after: Duration) -> Self {
        Self { after: micros(after), took: OPEN }
    }

    /// It has.
    pub(super) fn over(after: Duration, took: Duration) -> Self {
        Self { after: micros(after), took: micros(took) }
    }

    /// `after` is the time from the beginning of the whole to the end of this.
    fn end(&mut self, after: Duration) {
        self.took = micros(after).saturating_sub(self.after);
    }

    fn is_open(&self) -> bool {
        self.took == OPEN
    }

    /// From the beginning of the whole to that of this.
    #[must_use]
    pub fn after(&self) -> Duration {
        Duration::from_micros(self.after.into())
    }

    /// How long it took; `None`: it is under way.
    #[must_use]
    pub fn took(&self) -> Option<Duration> {
        (!self.is_open()).then(|| Duration::from_micros(self.took.into()))
    }
}

/// A step, done or under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What.
    pub kind: StepKind,
    /// For which container, where it is for one.
    pub container: Option<ContainerName>,
    /// When it was asked for.
    pub began: Stamp,
    /// How long it took and how it ended; `None`: it is under way.
    pub ended: Option<(Duration, Ended)>,
    /// Failures of this very step right before that were folded into this one.
    pub failed_before: u32,
    /// Its wait for a place within it, where others had them all.
    pub wait: Option<Within>,
    /// Calls to the runtime within it, in order.
    pub calls: Vec<Call>,
}

impl Step {
    pub(super) fn new(kind: StepKind, container: Option<ContainerName>, began: Stamp) -> Self {
        Self { kind, container, began, ended: None, failed_before: 0, wait: None, calls: Vec::new() }
    }

    /// The runtime call under way.
    #[must_use]
    pub fn call(&self) -> Option<&Call> {
        self.calls.last().filter(|call| call.when.is_open())
    }

    /// Whether it waits for a place.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        self.wait.is_some_and(|wait| wait.is_open())
    }

    pub(super) fn wait_began(&mut self, at: Stamp) {
        self.wait = Some(Within::began(at.since(self.began)));
    }

    pub(super) fn wait_ended(&mut self, at: Stamp) {
        if let Some(wait) = &mut self.wait {
            wait.end(at.since(self.began));
        }
    }

    pub(super) fn call_began(&mut self, name: &'static str, at: Stamp) {
        if self.calls.len() < CALLS {
            // Most steps make one call: doubling would keep room for three more that never come.
            self.calls.reserve_exact(1);
            self.calls.push(Call { name, when: Within::began(at.since(self.began)) });
        }
    }

    pub(super) fn call_ended(&mut self, name: &'static str, at: Stamp) {
        let open = self.calls.iter_mut().rev().find(|call| call.name == name && call.when.is_open());
        if let Some(call) = open {
            call.when.end(at.since(self.began));
        }
    }

    /// Whether this one, done, says the same as a former one: a step that fails again and again is one line.
    pub(super) fn repeats(&self, former: &Self) -> bool {
        let failed = |step: &Self| matches!(step.ended, Some((_, Ended::Failed)));
        self.kind == former.kind && self.container == former.container && failed(self) && failed(former)
    }
}
