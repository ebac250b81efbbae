//! A pod that is to run: prerequisites side by side, then whatever the plan asks for.
//!
//! ```text
//!   PrepareDirs ──► MountVolumes ───────────────────┐
//!        └──┬────► CreateSandbox (network ready) ───┼──► CreateContainer ──► StartContainer
//!   EnsureCgroup ┘                                  │
//!   EnsureImage, one for each container to start ───┘
//! ```

use crate::{
    action::{Action, ActionKey},
    decide::{
        Progress, containers,
        plan::{self, Plan, SandboxPlan},
        reset, sandbox, stop, terminate, tidy, triggers,
        work::{Asked, Work},
    },
    delay::fnv,
    reason::Afterwards,
    spec::mounts,
    state::{Reset, Stage, Volumes},
    status,
};

pub(super) fn advance(work: &mut Work<'_>) -> Progress {
    let Some(plan) = plan::make(work).filter(|plan| !is_in_vain(work, plan)) else { return Progress::Over };
    drop_old_trouble(work, &plan);
    prerequisites(work);
    for kill in &plan.kill {
        stop::kill(work, kill);
    }
    make_way(work, &plan);
    let sandbox = sandbox::pursue(work, &plan);
    if let (Some(_), Some(view), Reset::UnderWay) = (sandbox, work.view, plan.reset) {
        reset::pursue(work, &view);
        return Progress::Continue;
    }
    containers::pursue_all(work, &plan.start, sandbox);
    tidy::strays(work, &plan);
    tidy::dead_containers(work);
    Progress::Continue
}

/// Whether there is nothing to be done any more, though the runtime's account alone asks for something: what it has
/// lost has run, and may not run twice.
fn is_in_vain(work: &Work<'_>, plan: &Plan<'_>) -> bool {
    let rests = plan.start.is_empty() && plan.kill.is_empty();
    let view = work.view.filter(|_| !rests && plan.reset == Reset::Idle);
    view.is_some_and(|view| status::has_ended(&work.state, work.seen, &view, work.now))
}

/// Stops what lives in sandboxes that are to be replaced, as at the pod's end, within one grace period.
fn make_way(work: &mut Work<'_>, plan: &Plan<'_>) {
    let (Some(view), now) = (work.view, work.now.mono) else { return };
    let grace = triggers::spec_grace(work);
    let replaced = matches!(plan.sandbox, SandboxPlan::Create { .. }) && view.alive().next().is_some();
    let Stage::Syncing(syncing) = &mut work.state.stage else { return };
    if !replaced {
        syncing.make_way_until = None;
        return;
    }
    let deadline = *syncing.make_way_until.get_or_insert(now.saturating_add(grace));
    terminate::stop_all(work, &view, deadline, Afterwards::Restart);
}

/// Trouble with starting a container is over when it runs, or has ended for good. It is not over because others come
/// first, as in a new sandbox.
fn drop_old_trouble(work: &mut Work<'_>, plan: &Plan<'_>) {
    let troubled = work.state.containers.iter().filter(|(_, memo)| memo.trouble.is_some());
    let over = troubled.map(|(name, _)| name.clone()).filter(|name| {
        let concerned = plan.start.iter().any(|target| target.name == *name)
            || plan.kill.iter().any(|kill| kill.record.name == *name);
        !concerned && plan::is_settled(work, name)
    });
    for name in over.collect::<Vec<_>>() {
        work.memo(&name).trouble = None;
    }
}

/// Directories, cgroup, volumes: none of them needs the runtime.
pub(super) fn prerequisites(work: &mut Work<'_>) {
    note_stale_volumes(work);
    for action in [Action::PrepareDirs, Action::EnsureCgroup] {
        if !in_place(work, &action.key()) {
            work.ask(action);
        }
    }
    let Stage::Syncing(syncing) = &work.state.stage else { return };
    if syncing.volumes == Volumes::Fresh || !syncing.in_place.contains(&ActionKey::PrepareDirs) {
        return;
    }
    if work.ask(Action::MountVolumes) == Asked::Now
        && let Stage::Syncing(syncing) = &mut work.state.stage
    {
        // What changes from here on counts again, even while this mount runs.
        syncing.volumes = match syncing.volumes {
            Volumes::Stale => Volumes::Fresh,
            Volumes::MissingStale | Volumes::MissingMore => Volumes::Missing,
            other => other,
        };
    }
}

fn note_stale_volumes(work: &mut Work<'_>) {
    let (shown, used) = (shown(work), used(work));
    let stale = work.seen.volumes_stale;
    let mounting = work.flying(&ActionKey::MountVolumes);
    let Stage::Syncing(syncing) = &mut work.state.stage else { return };
    let changed = syncing.shown != shown;
    syncing.shown = shown;
    let others = std::mem::replace(&mut syncing.used, used) != used;
    if others {
        // An ephemeral container may be the first that uses a volume: it is mounted before the container is made.
        syncing.volumes = if mounting { Volumes::MissingMore } else { Volumes::Missing };
    } else if stale || changed {
        syncing.volumes = match syncing.volumes {
            Volumes::Missing if mounting => Volumes::MissingStale,
            Volumes::Fresh => Volumes::Stale,
            other => other,
        };
    }
    if changed || others {
        // What a container is made of may come from there: a creation that failed for it need not wait.
        work.state.setbacks.retain(|key, _| !matches!(key, ActionKey::CreateContainer(_)));
    }
}

/// Labels and annotations are what volumes, and variables of containers, show of the pod itself.
fn shown(work: &Work<'_>) -> u64 {
    let maps = [work.pod.metadata.labels.as_ref(), work.pod.metadata.annotations.as_ref()];
    let pairs = maps.into_iter().flatten().flatten();
    fnv(pairs.flat_map(|(key, value)| key.bytes().chain([b'=']).chain(value.bytes()).chain([0])))
}

fn used(work: &Work<'_>) -> u64 {
    fnv(mounts::used_volumes(work.pod).into_iter().flat_map(|name| name.bytes().chain([0])))
}

pub(super) fn in_place(work: &Work<'_>, key: &ActionKey) -> bool {
    match &work.state.stage {
        Stage::Syncing(syncing) => syncing.in_place.contains(key),
        _ => false,
    }
}

pub(super) fn volumes_mounted(work: &Work<'_>) -> bool {
    matches!(&work.state.stage, Stage::Syncing(syncing) if syncing.volumes.are_mounted())
}
