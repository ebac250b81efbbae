//! One pod's life: storm, calm, a restart that nobody must notice, the end.

use std::time::Duration;

use k8s_openapi::api::core::v1::PodStatus;

use crate::{
    Options, Violation, checks, pods,
    rng::Rng,
    world::{Counts, Event, Weather, World},
};

/// Longest storm.
const STORM: Duration = Duration::from_secs(900);
/// Longest wait for everything to come right: past every back-off, hung call and scripted end.
const SETTLE: Duration = Duration::from_secs(2400);
/// Wait after a restart of the kubelet alone.
const RESTART: Duration = Duration::from_secs(120);
/// As long a container cannot be removed at the end: past every grace period.
const STUCK: Duration = Duration::from_secs(300);
/// Longest wait for the end of a deleted pod.
const END: Duration = Duration::from_secs(1200);

/// Lives one life.
///
/// # Errors
/// The first invariant that did not hold.
pub fn live(seed: u64, options: Options) -> Result<Counts, Violation> {
    let mut rng = Rng::new(seed);
    let pod = pods::draw(&mut rng, seed);
    let mut world = World::new(options, rng, pod);
    run(&mut world).map_err(|violation| violation.of(seed, options))?;
    Ok(world.counts)
}

fn run(world: &mut World) -> Result<(), Violation> {
    world.after(Duration::ZERO, Event::Start);
    let storm = world.rng.between(Duration::from_secs(5), STORM);
    let first = world.rng.between(Duration::ZERO, Duration::from_secs(30));
    world.after(first, Event::Disturb);
    let first = world.rng.between(Duration::ZERO, Duration::from_secs(300));
    world.after(first, Event::Operate);
    world.run_until(storm)?;
    calm(world)?;
    if world.object.is_some() {
        restart_unnoticed(world)?;
    }
    end(world)
}

fn calm(world: &mut World) -> Result<(), Violation> {
    world.trace(|| "calm".to_owned());
    world.weather = Weather::Calm;
    world.operations = 0;
    world.runtime_down = Duration::ZERO;
    world.api_down = Duration::ZERO;
    world.watch_silent = Duration::ZERO;
    world.network_down = Duration::ZERO;
    world.pulls_down = Duration::ZERO;
    world.disk_full = Duration::ZERO;
    world.stuck = None;
    world.truth.heal(world.now);
    world.after(Duration::from_secs(1), Event::Start);
    world.run_until_quiet(world.now + SETTLE)?;
    finish_what_began(world)?;
    checks::converged(world)
}

/// A deadline far ahead (the clock was set back) may strike at the very end of the wait.
fn finish_what_began(world: &mut World) -> Result<(), Violation> {
    if world.idle() { Ok(()) } else { world.run_until_quiet(world.now + END) }
}

/// A restart of the kubelet alone changes nothing in the status.
fn restart_unnoticed(world: &mut World) -> Result<(), Violation> {
    let before = reported(world);
    let written = world.patches;
    world.kill_kubelet();
    world.after(Duration::from_secs(1), Event::Start);
    world.run_until(world.now + RESTART)?;
    if world.source.is_static() {
        // A manifest remembers nothing: one whose pod was evicted starts anew.
        world.run_until_quiet(world.now + SETTLE)?;
    }
    finish_what_began(world)?;
    checks::converged(world)?;
    let after = reported(world);
    // The clock may have been set back by days: then the deadline comes when it comes.
    let deadline = after.as_ref().is_some_and(|s| s.reason.as_deref() == Some("DeadlineExceeded"));
    if before != after && !deadline && !world.source.is_static() {
        return Err(Violation::new(format!(
            "a restart of the kubelet changed the status:\n{}",
            difference(before.as_ref(), after.as_ref())
        )));
    }
    if world.patches != written && !deadline && !world.source.is_static() {
        return Err(Violation::new("a restart of the kubelet changed the status for a while"));
    }
    Ok(())
}

fn reported(world: &World) -> Option<PodStatus> {
    world.object.as_ref().and_then(|object| object.status.clone())
}

fn show(status: Option<&PodStatus>) -> String {
    serde_json::to_string_pretty(&status).unwrap_or_default()
}

/// Lines that only one of two statuses has.
pub(crate) fn difference(before: Option<&PodStatus>, after: Option<&PodStatus>) -> String {
    let only = |these: &str, those: &str, sign: char| -> String {
        let those: Vec<_> = those.lines().collect();
        these.lines().filter(|line| !those.contains(line)).map(|line| format!("{sign}{line}\n")).collect()
    };
    let (before, after) = (show(before), show(after));
    only(&before, &after, '-') + &only(&after, &before, '+')
}

fn end(world: &mut World) -> Result<(), Violation> {
    world.trace(|| "deletion".to_owned());
    let grace = i64::try_from(world.rng.below(30)).unwrap_or(1);
    if world.source.is_static() {
        world.object = None;
    }
    let began = world.now;
    let runs = world.runtime.running().next().is_some();
    let orderly = runs && world.object.is_some() && !world.is_stopping();
    // A container that cannot be removed keeps the object no longer than its removal takes to fail.
    world.stuck =
        if world.rng.percent(10) { world.runtime.containers().last().map(|c| c.id.clone()) } else { None };
    world.delete(grace);
    world.refresh_mail();
    world.run_until_quiet(world.now + STUCK)?;
    if orderly {
        checks::stopping::in_time(world, began, grace)?;
    }
    if world.object.is_some() {
        return Err(Violation::new("a deleted pod is still in the API"));
    }
    world.stuck = None;
    world.run_until_quiet(world.now + END)?;
    checks::gone(world)?;
    if world.object.is_some() {
        return Err(Violation::new("a deleted pod is still in the API"));
    }
    if world.kubelet.is_some() {
        return Err(Violation::new("the worker of a pod that is gone still lives"));
    }
    Ok(())
}
