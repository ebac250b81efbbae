//! Making and starting containers.
//!
//! Each target passes the same gates, in this order: no other instance of it may live; a created one is taken up; its
//! crash-loop back-off is over; its image is present; sandbox and volumes are ready; no earlier sibling is at work.
//!
//! Regular containers are made and started in the order of the spec: people put first what the others need. One that
//! fails, or has to wait for another try, holds nobody back. Images are pulled side by side all the same.

use crate::{
    Reason,
    action::{Action, ActionKey, LogFate},
    decide::{
        backoff::{Restart, START_TRIES},
        images,
        plan::{self, Target},
        reset, sync,
        view::{Life, View},
        work::{Asked, Work},
    },
    ids::{ContainerName, PodKey, SandboxId},
    observation::ContainerRecord,
    reason::{ContainerKind, go_duration::go_duration},
    spec::hooks::has_post_start,
    state::{ContainerMemo, ImageMemo, Told, Trouble},
    status::instance_id,
};

pub(super) fn pursue_all(work: &mut Work<'_>, targets: &[Target<'_>], sandbox: Option<&SandboxId>) {
    let mut held_back = hook_running(work);
    for target in targets {
        let regular = target.kind == ContainerKind::Regular;
        pursue(work, target, sandbox, regular && held_back);
        held_back |= regular && at_work(work, target);
    }
}

/// Whether a step towards the start of a container is under way. A pull counts the first time only: what failed before
/// may fail for long.
fn at_work(work: &Work<'_>, target: &Target<'_>) -> bool {
    let troubled = work.state.containers.get(&target.name).is_some_and(|memo| memo.trouble.is_some());
    let newest = work.view.and_then(|view| view.newest(target.name.as_str()));
    work.flying(&ActionKey::CreateContainer(target.name.clone()))
        || newest.is_some_and(|record| plan::starting(work, record))
        || !troubled && work.flying(&ActionKey::EnsureImage(target.name.clone()))
}

/// Whether the postStart hook of a regular container runs at this moment. People rely on the next container being
/// held back until then.
fn hook_running(work: &Work<'_>) -> bool {
    let Some(view) = work.view else { return false };
    work.spec.containers.iter().any(|container| {
        has_post_start(container)
            && view.newest(&container.name).is_some_and(|record| plan::starting(work, record))
    })
}

fn pursue(work: &mut Work<'_>, target: &Target<'_>, sandbox: Option<&SandboxId>, held_back: bool) {
    let Some(view) = work.view else { return };
    start_afresh_when_changed(work, target);
    if work.flying(&ActionKey::CreateContainer(target.name.clone())) {
        return;
    }
    let history = view.history(target.name.as_str());
    if history.iter().any(|record| matches!(view.life(record), Life::Running | Life::Lost)) {
        return;
    }
    if let Some(created) = history.first().filter(|record| view.life(record) == Life::Created) {
        take_up(work, target, created, sandbox, held_back);
        return;
    }
    if !backed_off(work, target, &view, &history) {
        return;
    }
    let Some((image_ref, told)) = images::pursue(work, target) else { return };
    let Some(sandbox) = sandbox else { return };
    let prerequisites = [ActionKey::PrepareDirs, ActionKey::EnsureCgroup];
    if held_back || !sync::volumes_mounted(work) || prerequisites.iter().any(|key| !sync::in_place(work, key))
    {
        return;
    }
    let attempt = next_attempt(work, &view, &target.name);
    let action = Action::CreateContainer {
        container: target.name.clone(),
        attempt,
        sandbox: sandbox.clone(),
        image_ref,
    };
    if work.ask(action) == Asked::Now {
        if told == Told::NotYet {
            work.because(Reason::ImagePresent {
                container: target.reference(),
                image: target.image.to_owned(),
                access: work.seen.node.image_access,
            });
        }
        let memo = work.memo(&target.name);
        memo.image = ImageMemo::Unknown;
        memo.asked = Some(attempt);
    }
}

/// Back-offs belong to an image with its resources; the new one starts without a past.
fn start_afresh_when_changed(work: &mut Work<'_>, target: &Target<'_>) {
    let key = ActionKey::EnsureImage(target.name.clone());
    let known = work.state.containers.get(&target.name).map(|memo| memo.fingerprint);
    // What is under way is about the old image: its answer must not be taken for one about the new.
    if known == Some(target.fingerprint) || images::flying(work, &target.name) {
        return;
    }
    let memo = work.memo(&target.name);
    let old = std::mem::take(memo);
    *memo = ContainerMemo {
        fingerprint: target.fingerprint,
        owed: old.owed,
        condemned: old.condemned,
        asked: old.asked,
        created: old.created,
        begun: old.begun,
        // The first look of all is no change.
        trouble: if known == Some(0) { old.trouble } else { None },
        ..ContainerMemo::default()
    };
    work.state.setbacks.remove(&key);
    work.state.setbacks.remove(&ActionKey::CreateContainer(target.name.clone()));
}

/// A container that was created and not started: by us a moment ago, or by a process that was killed in between.
fn take_up(
    work: &mut Work<'_>,
    target: &Target<'_>,
    created: &ContainerRecord,
    sandbox: Option<&SandboxId>,
    held_back: bool,
) {
    let key = ActionKey::StartContainer(created.id.clone());
    let tries = work.state.setbacks.get(&key).map_or(0, |setback| setback.tries);
    // A removal that was asked for and not confirmed may still come about: what is to be removed is never started.
    let removal = ActionKey::RemoveContainer(created.id.clone());
    // A creation that took effect long after it was asked for has the attempt, and the log, of one that ran and is gone.
    let begun = work.state.containers.get(&target.name).and_then(|memo| memo.begun.as_ref());
    let behind = begun.is_some_and(|(attempt, id)| created.attempt <= *attempt && created.id != *id)
        || work.seen.logged.get(&target.name).is_some_and(|attempt| created.attempt <= *attempt)
        || work
            .view
            .is_some_and(|view| created.attempt.saturating_add(1) < next_attempt(work, &view, &target.name));
    let usable = created.hash == target.hash()
        && !behind
        && !work.state.setbacks.contains_key(&removal)
        && sandbox.is_none_or(|id| *id == created.sandbox)
        && tries < START_TRIES;
    if !usable {
        if !work.flying(&key) {
            work.ask(Action::RemoveContainer { id: created.id.clone(), log: LogFate::Remove });
        }
        return;
    }
    if sandbox.is_none() || held_back || work.flying(&removal) {
        return;
    }
    let start = Action::StartContainer { container: target.name.clone(), id: created.id.clone() };
    let ours = work.memo(&target.name).created >= Some(created.attempt);
    let asked = work.ask(start);
    if asked == Asked::Now {
        work.memo(&target.name).begun = Some((created.attempt, created.id.clone()));
    }
    if asked == Asked::Now && !ours {
        work.memo(&target.name).created = Some(created.attempt);
        work.because(Reason::ContainerAdopted { container: target.reference() });
    }
}

/// Whether the crash-loop back-off lets a start through; notes the wait if not.
fn backed_off(
    work: &mut Work<'_>,
    target: &Target<'_>,
    view: &View<'_>,
    history: &[&ContainerRecord],
) -> bool {
    let now = work.now;
    let cap = work.seen.node.max_restart_backoff;
    let mut dead = history.iter().filter(|record| view.life(record) == Life::Dead);
    let Some(last) = dead.next() else { return true };
    let before = dead.next().copied();
    let memo = work.memo(&target.name);
    let promised = memo.owes(&last.id);
    let answer =
        if promised { memo.crash.ask_promised(last, before, now) } else { memo.crash.ask(last, now) };
    match answer {
        Restart::Now => {
            if promised && before.is_none() {
                memo.crash.pass(last, now);
            } else {
                memo.crash.restarted(last, cap, now);
            }
            true
        }
        Restart::At { until, delay, fresh } => {
            work.wake_at(until);
            let pod = PodKey::of(work.pod);
            let memo = work.memo(&target.name);
            // A look in between may have found another reason, or none.
            if fresh || memo.trouble.is_none() {
                let delay = go_duration(delay);
                let message =
                    format!("back-off {delay} restarting failed container={} pod={pod}", target.name);
                memo.trouble = Some(Trouble { reason: CRASH_LOOP, message });
            }
            if fresh {
                memo.crash.told_at = None;
            }
            if memo.crash.tell(now) {
                work.because(Reason::CrashLoop { container: target.reference(), pod, delay });
            }
            false
        }
    }
}

const CRASH_LOOP: &str = "CrashLoopBackOff";

/// Never an attempt that exists, or that was made before: one past the highest known to the runtime, to this process,
/// to the last report, or to the log directory. The runtime alone does not do: its newest record may have been removed.
fn next_attempt(work: &Work<'_>, view: &View<'_>, name: &ContainerName) -> u32 {
    let made = work.state.containers.get(name).and_then(|memo| memo.created);
    let logged = work.seen.logged.get(name).copied();
    let known = [view.highest_attempt(name), made, logged].into_iter().flatten().max();
    let reported = plan::last_status(work).and_then(|status| reset::status_of(status, name.as_str()));
    let reported = reported.and_then(|status| {
        match instance_id(status).and_then(|id| view.container(&id.into())) {
            // Its record tells more; the count was raised if its state was lost for a while.
            Some(_) => u32::try_from(status.restart_count).ok(),
            None => reset::next_attempt(status),
        }
    });
    let after = known.map_or(0, |attempt| attempt.saturating_add(1));
    after.max(reported.unwrap_or(0))
}
