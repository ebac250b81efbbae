//! What a worker counts of its looks. Nothing is decided by it.

use std::time::Duration;

use k8s_openapi::api::core::v1::PodStatus;
use lifecycle::{Action, ActionKey, Done, Intent, Outcome, Tick, observation::RuntimePod};
use metrics::pods::Look;

use super::{Mail, Worker};
use crate::{containers::Endings, starts::Had};

/// What is remembered from look to look.
#[derive(Debug, Default)]
pub(super) struct Counting {
    endings: Endings,
    looks: Looks,
    phase: Phase,
}

/// How many looks there were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Looks {
    #[default]
    None,
    Some,
}

/// What the pod was last found to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    /// Not looked at yet.
    #[default]
    Unknown,
    /// Not running yet.
    Before,
    /// Running, or past it.
    Begun,
}

impl Phase {
    fn of(status: Option<&PodStatus>) -> Self {
        match status.and_then(|status| status.phase.as_deref()) {
            None | Some("" | "Pending") => Self::Before,
            Some(_) => Self::Begun,
        }
    }
}

/// Why a worker looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// The dispatcher wrote.
    Mail,
    /// Anything else.
    Other,
}

impl Worker {
    /// The worker begins.
    pub(super) fn count_start(&self, now: Tick) {
        self.context.edges.metrics.pods.worker_start_seconds.took(self.record.age(now));
    }

    /// A look at the runtime's account of the pod was answered.
    pub(super) fn count_inspection(&self, took: Duration) {
        self.context.edges.metrics.pods.pod_relist_seconds.took(took);
    }

    /// A pull begins, if the image is not there.
    pub(super) fn count_action(&self, action: &Action, now: Tick) {
        if let Action::EnsureImage { container } = action {
            self.context.starts.asks_for_image(&self.key.uid, container, now.wall);
        }
    }

    /// Pulls that ended.
    pub(super) fn count_outcomes(&self, outcomes: &[Outcome]) {
        for outcome in outcomes {
            let (ActionKey::EnsureImage(container) | ActionKey::FindImage(container)) = &outcome.key else {
                continue;
            };
            let had = match &outcome.result {
                Ok(Done::Image { pulled: Some(_), .. }) => Had::Pulled,
                Ok(Done::Image { pulled: None, .. }) => Had::Present,
                Ok(_) | Err(_) => Had::NotYet,
            };
            self.context.starts.has_image(&self.key.uid, container, had, outcome.at.wall);
        }
    }

    /// What a decision says of the pod's start, and what was seen to end.
    pub(super) fn count_decision(
        &mut self,
        letter: &Mail,
        runtime: Option<&RuntimePod>,
        status: &PodStatus,
        now: Tick,
    ) {
        let metrics = &self.context.edges.metrics;
        if let Some(runtime) = runtime {
            self.counting.endings.look(&letter.pod, runtime, metrics);
            self.context.starts.decided(&self.key.uid, &letter.pod, status, runtime);
        }
        let before = match self.counting.phase {
            // What an earlier process had reported was found by that process.
            Phase::Unknown => Phase::of(letter.pod.status.as_ref()),
            known => known,
        };
        self.counting.phase = Phase::of(Some(status));
        let runs = status.phase.as_deref() == Some("Running");
        if before == Phase::Before && runs {
            metrics.pods.start_seconds.took(self.record.age(now));
        }
    }

    /// A look is over: what it was for, and how long it took.
    pub(super) fn count_look(&mut self, letter: &Mail, cause: Cause, is_last: bool, took: Duration) {
        let first = std::mem::replace(&mut self.counting.looks, Looks::Some) == Looks::None;
        let look = match (&letter.intent, cause) {
            _ if is_last => Look::Terminated,
            (Intent::Run, _) if first => Look::Create,
            (Intent::Run, Cause::Mail) => Look::Update,
            (Intent::Run, Cause::Other) => Look::Sync,
            _ => Look::Kill,
        };
        self.context.edges.metrics.pods.look_seconds.took(&look, took);
    }
}
