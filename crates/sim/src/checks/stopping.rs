//! Order and time of stopping: who is stopped when, and with how much grace.

use std::time::Duration;

use lifecycle::{
    Action, ActionKey, ContainerId, Decision, Intent, Observation, Obstacle, PodSource, PodState,
    observation::{ContainerRecord, RuntimeState},
};

use super::broken;
use crate::{Violation, pods, world::World};

/// A pod that is being stopped: the grace it was given, and when that is over; it has to begin first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ending {
    grace: Duration,
    deadline: Option<Duration>,
}

impl Ending {
    fn left(self, now: Duration) -> Duration {
        self.deadline.map_or(self.grace, |deadline| deadline.saturating_sub(now))
    }
}

/// Containers whose stop the runtime did not answer.
pub(crate) fn unanswered(seen: &Observation) -> impl Iterator<Item = &ContainerId> {
    seen.outcomes.iter().filter_map(|outcome| match (&outcome.key, &outcome.result) {
        (ActionKey::StopContainer(id), Err(failure)) if failure.obstacle == Some(Obstacle::Runtime) => {
            Some(id)
        }
        _ => None,
    })
}

/// Follows the grace period: it begins when the first container is told, and may only be shortened; it begins anew where the
/// runtime left it open whether one was told.
pub(crate) fn ending(
    known: Option<Ending>,
    before: &PodState,
    seen: &Observation,
    decision: &Decision,
    now: Duration,
) -> Option<Ending> {
    if decision.next.stage() == "syncing" {
        return None;
    }
    let wanted = match &seen.intent {
        Intent::Delete { grace } | Intent::Removed { grace } | Intent::Kill { grace, .. } => Some(*grace),
        Intent::Run => None,
    };
    let mut ending = match known {
        Some(known) => match wanted.filter(|wanted| *wanted < known.grace) {
            Some(grace) if before.stage() == "terminating" => {
                let deadline = known.deadline.map(|deadline| deadline.min(now.saturating_add(grace)));
                Ending { grace, deadline }
            }
            _ => known,
        },
        None => {
            let spec = seen.pod.spec.as_ref().and_then(|spec| spec.termination_grace_period_seconds);
            let own = Duration::from_secs(u64::try_from(spec.unwrap_or(30)).unwrap_or(0));
            Ending { grace: wanted.unwrap_or(own), deadline: None }
        }
    };
    let answered =
        |id: &&ContainerId| before.in_flight().any(|key| *key == ActionKey::StopContainer((*id).clone()));
    if before.stage() == "terminating" && unanswered(seen).any(|id| answered(&id)) {
        ending.deadline = None;
    }
    let told = |key: &ActionKey| matches!(key, ActionKey::StopContainer(_) | ActionKey::RunPreStop(_));
    if ending.deadline.is_none() && seen.runtime.is_ok() && decision.next.in_flight().any(told) {
        ending.deadline = Some(now.saturating_add(ending.grace));
    }
    Some(ending)
}

/// What must hold of a decision about a pod that is being stopped.
pub(crate) fn check(
    ending: Option<Ending>,
    seen: &Observation,
    decision: &Decision,
    now: Duration,
) -> Result<(), Violation> {
    let (Some(ending), Ok(runtime), "terminating") = (ending, &seen.runtime, decision.next.stage()) else {
        return Ok(());
    };
    let left = ending.left(now);
    let running: Vec<_> = runtime.containers.iter().filter(|c| c.state == RuntimeState::Running).collect();
    for action in &decision.actions {
        let (container, id, grace) = match action {
            Action::StopContainer { container, id, grace, .. }
            | Action::HurryContainer { container, id, grace } => (container, id, *grace),
            Action::CreateContainer { .. } | Action::StartContainer { .. } | Action::CreateSandbox { .. } => {
                return broken(format!("{:?} while the pod is being stopped", action.key()));
            }
            _ => continue,
        };
        if grace != left {
            return broken(format!("{container} is given {grace:?} of the {left:?} that are left"));
        }
        let runs = running.iter().any(|record| record.id == *id);
        if runs && !left.is_zero() {
            in_turn(seen, container.as_str(), &running)?;
        }
    }
    all_at_once(seen, decision, &running)
}

/// In calm weather the grace period is kept: each sidecar may add the two seconds that everybody gets.
pub(crate) fn in_time(world: &World, began: Duration, grace: i64) -> Result<(), Violation> {
    const SLACK: Duration = Duration::from_secs(4);
    let grace = Duration::from_secs(u64::try_from(grace).unwrap_or(1).max(1));
    let inits = world.spec.spec.as_ref().and_then(|spec| spec.init_containers.as_ref());
    let sidecars = inits.into_iter().flatten().filter(|container| pods::is_sidecar(container)).count();
    let each = Duration::from_secs(3) * u32::try_from(sidecars).unwrap_or(0);
    let took = world.ran_at.saturating_sub(began);
    if took > grace + each + SLACK {
        return broken(format!("containers ran on for {took:?} of a grace of {grace:?}"));
    }
    Ok(())
}

/// A sidecar is stopped when no regular container and no later sidecar runs.
fn in_turn(seen: &Observation, name: &str, running: &[&ContainerRecord]) -> Result<(), Violation> {
    let Some(place) = sidecar(seen, name) else { return Ok(()) };
    for record in running {
        let later = sidecar(seen, record.name.as_str()).is_some_and(|other| other > place);
        if record.name.as_str().starts_with('c') || later {
            return broken(format!("sidecar {name} is stopped while {} runs", record.name));
        }
    }
    Ok(())
}

/// Place of a sidecar among the init containers.
fn sidecar(seen: &Observation, name: &str) -> Option<usize> {
    let spec = seen.pod.spec.as_ref()?;
    let mut inits = spec.init_containers.iter().flatten();
    inits.position(|container| container.name == name && pods::is_sidecar(container))
}

/// Whoever has to wait for nobody is being stopped.
fn all_at_once(
    seen: &Observation,
    decision: &Decision,
    running: &[&ContainerRecord],
) -> Result<(), Violation> {
    if seen.source == PodSource::RuntimeOnly {
        return Ok(());
    }
    for record in running.iter().filter(|record| sidecar(seen, record.name.as_str()).is_none()) {
        let key = ActionKey::StopContainer(record.id.clone());
        let tried = decision.next.setbacks().any(|(known, _)| *known == key);
        if !tried && !decision.next.in_flight().any(|known| *known == key) {
            return broken(format!("{} runs, the pod stops, and nobody stops it", record.name));
        }
    }
    Ok(())
}
