//! The invariants.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, ContainerRestartRule, ContainerStatus, Pod, PodSpec, PodStatus};
use lifecycle::{
    Action, Decision, Observation, PodState,
    account::Digest,
    observation::{ContainerRecord, RuntimeState},
    spec::hash::container_hash,
    status::all_containers,
};

use crate::{
    Violation,
    kubelet::{self, Kubelet},
    pods,
    runtime::Runtime,
    truth::Truth,
    world::World,
};

pub(crate) mod stopping;

fn broken(text: impl Into<String>) -> Result<(), Violation> {
    Err(Violation::new(text))
}

/// What must hold of every single decision.
pub(crate) fn decision(before: &PodState, seen: &Observation, decision: &Decision) -> Result<(), Violation> {
    for action in &decision.actions {
        let key = action.key();
        let answered = seen.outcomes.iter().any(|outcome| outcome.key == key);
        if before.in_flight().any(|known| *known == key) && !answered {
            return broken(format!("{key:?} was asked for while it was in flight"));
        }
        if !decision.next.in_flight().any(|known| *known == key) {
            return broken(format!("{key:?} was asked for and is not remembered as in flight"));
        }
        let Ok(runtime) = &seen.runtime else { continue };
        if let Some((name, attempt)) = kubelet::created(action)
            && runtime.containers.iter().any(|c| c.name.as_str() == name && c.attempt == attempt)
        {
            return broken(format!("container {name} attempt {attempt} was asked for a second time"));
        }
        if let Some((name, _)) = kubelet::created(action)
            && ran_once(seen, name)
        {
            return broken(format!("{name} of a pod that runs once was to run a second time"));
        }
        if let Action::RemoveContainer { id, .. } = action
            && runtime.containers.iter().any(|c| c.id == *id && c.state == RuntimeState::Running)
        {
            return broken(format!("container {id} was to be removed while it runs"));
        }
        if let Action::StartContainer { container, id } = action
            && runtime.containers.iter().any(|c| {
                c.name == *container
                    && c.id != *id
                    && matches!(c.state, RuntimeState::Running | RuntimeState::Unknown)
            })
        {
            return broken(format!("container {container} was started while another instance may run"));
        }
    }
    let mut keys: Vec<_> = decision.actions.iter().map(Action::key).collect();
    keys.sort();
    keys.dedup();
    if keys.len() != decision.actions.len() {
        return broken("one decision asked for the same action twice");
    }
    let rank =
        |state: &PodState| ["syncing", "terminating", "terminated"].iter().position(|s| *s == state.stage());
    if rank(before) > rank(&decision.next) {
        return broken(format!("the pod went back from {} to {}", before.stage(), decision.next.stage()));
    }
    if decision.wake_at.is_some_and(|at| at.mono.is_zero()) {
        return broken("wake-up at the beginning of time");
    }
    bounded(seen, decision)
}

/// The state is as large as the pod and its account in the runtime, whatever happened before.
fn bounded(seen: &Observation, decision: &Decision) -> Result<(), Violation> {
    let Ok(runtime) = &seen.runtime else { return Ok(()) };
    let spec = seen.pod.spec.as_ref();
    let named = spec.map_or(0, |s| {
        s.containers.len()
            + s.init_containers.as_ref().map_or(0, Vec::len)
            + s.ephemeral_containers.as_ref().map_or(0, Vec::len)
    });
    let records = runtime.containers.len() + runtime.sandboxes.len();
    let bound = 24 + 4 * named + 5 * records;
    let flying_before = decision.next.in_flight().count();
    if decision.next.weight() > bound + flying_before {
        return broken(format!(
            "state of {} things for {named} containers and {records} records",
            decision.next.weight()
        ));
    }
    Ok(())
}

/// Whether a container is the only one of a pod that runs once, and ran: the API says so, and the runtime has lost it.
fn ran_once(seen: &Observation, name: &str) -> bool {
    let (Some(spec), Some(status), Ok(runtime)) = (&seen.pod.spec, &seen.pod.status, &seen.runtime) else {
        return false;
    };
    let [only] = spec.containers.as_slice() else { return false };
    let sidecars = spec.init_containers.iter().flatten().any(pods::is_sidecar);
    let once = spec.restart_policy.as_deref() == Some("Never") && only.restart_policy.is_none();
    let told = all_containers(status).find(|status| status.name == name);
    let ran = told.and_then(|told| told.state.as_ref()).is_some_and(|state| state.running.is_some());
    let lost =
        !runtime.containers.iter().any(|c| c.name.as_str() == name && c.state != RuntimeState::Unknown);
    only.name == name && once && !sidecars && ran && lost && !seen.source.is_static()
}

/// What must hold of the world at every moment.
pub(crate) fn world(world: &World) -> Result<(), Violation> {
    if world.runtime.most_running > 1 {
        return broken("two containers of one name ran at the same time");
    }
    let flying = world.kubelet.iter().flat_map(|kubelet| kubelet.state.in_flight());
    if let Some(key) = flying.into_iter().find(|key| !world.is_under_way(key)) {
        return broken(format!("{key:?} is waited for, and nobody will answer"));
    }
    Ok(())
}

/// What must hold of every status written.
pub(crate) fn written(
    old: Option<&PodStatus>,
    new: &PodStatus,
    spec: &Pod,
    runtime: &Runtime,
) -> Result<(), Violation> {
    let terminal = |phase: Option<&str>| matches!(phase, Some("Succeeded" | "Failed"));
    let (before, after) = (old.and_then(|s| s.phase.as_deref()), new.phase.as_deref());
    if terminal(before) && before != after {
        return broken(format!("phase went from {before:?} to {after:?}"));
    }
    if terminal(after) && !terminal(before) && runtime.running().next().is_some() {
        return broken(format!("phase {after:?} while a container runs"));
    }
    // Who ends a pod from outside may leave it ready until the runtime has told of it.
    let ready = |status: &PodStatus| condition(status, "Ready") == Some("True");
    if terminal(after) && ready(new) && !old.is_some_and(|old| terminal(before) && ready(old)) {
        return broken("terminal and ready");
    }
    let counts = |status: &PodStatus| -> BTreeMap<String, i32> {
        all_containers(status).map(|s| (s.name.clone(), s.restart_count)).collect()
    };
    if let Some(old) = old {
        taken_back(old, new, spec)?;
        let after = counts(new);
        for (name, count) in counts(old) {
            if after.get(&name).is_some_and(|now| *now < count) {
                return broken(format!("restartCount of {name} fell from {count} to {:?}", after.get(&name)));
            }
        }
    }
    if old.and_then(|s| s.observed_generation) > new.observed_generation {
        return broken("observedGeneration went back");
    }
    Ok(())
}

/// The API server's rule: what ended for good by its policy is told of as ended for ever.
fn taken_back(old: &PodStatus, new: &PodStatus, pod: &Pod) -> Result<(), Violation> {
    let Some(spec) = &pod.spec else { return Ok(()) };
    let all = || spec.containers.iter().chain(spec.init_containers.iter().flatten());
    let rules = |container: &Container| container.restart_policy_rules.clone().unwrap_or_default();
    if all().flat_map(rules).any(|rule| rule.action == "RestartAllContainers") {
        return Ok(());
    }
    for container in all() {
        let state = |status: &PodStatus| {
            let found = all_containers(status).find(|status| status.name == container.name);
            found.and_then(|status| status.state.as_ref()?.terminated.clone())
        };
        let Some(before) = state(old).filter(|_| state(new).is_none()) else { continue };
        let code = before.exit_code;
        let named = |rule: &ContainerRestartRule| {
            let codes = rule.exit_codes.as_ref();
            codes.is_some_and(|codes| {
                codes.values.iter().flatten().any(|value| *value == code) == (codes.operator == "In")
            })
        };
        let own = container.restart_policy.as_deref();
        let again = match own.or(spec.restart_policy.as_deref()) {
            _ if own.is_some() && rules(container).iter().any(named) => true,
            Some("Never") => false,
            Some("OnFailure") => code != 0,
            _ => true,
        };
        if !again {
            return broken(format!(
                "{} ended for good with {code} and is told of as not ended",
                container.name
            ));
        }
    }
    Ok(())
}

fn condition<'s>(status: &'s PodStatus, kind: &str) -> Option<&'s str> {
    status.conditions.iter().flatten().find(|c| c.type_ == kind).map(|c| c.status.as_str())
}

/// What is said of how an instance ended is how it ended.
pub(crate) fn exact(status: &PodStatus, truth: &Truth) -> Result<(), Violation> {
    for status in all_containers(status) {
        let states = [status.state.as_ref(), status.last_state.as_ref()];
        for ended in states.into_iter().flatten().filter_map(|state| state.terminated.as_ref()) {
            let Some(id) = ended.container_id.as_deref().and_then(|id| id.rsplit("//").next()) else {
                continue;
            };
            if let Some(code) = truth.end_of(&id.into())
                && code != ended.exit_code
            {
                return broken(format!(
                    "{} ({id}) ended with {code}, {} is reported",
                    status.name, ended.exit_code
                ));
            }
        }
    }
    Ok(())
}

/// The last status of a pod, written before its object goes, tells how each container ended.
pub(crate) fn told_every_end(world: &World) -> Result<(), Violation> {
    let Some(status) = world.object.as_ref().and_then(|object| object.status.as_ref()) else {
        return broken("a pod's object goes without a status");
    };
    let named = |name: &str| pods::plain(&world.spec, name).is_some();
    for (name, id) in world.truth.newest().filter(|(name, _)| named(name.as_str())) {
        let Some(code) = world.truth.end_of(id).filter(|_| !world.truth.lost.contains(id)) else { continue };
        let state = all_containers(status).find(|s| s.name == name.as_str()).and_then(|s| s.state.as_ref());
        let told = state.and_then(|state| state.terminated.as_ref());
        if told.is_none_or(|told| told.exit_code != code) {
            return broken(format!("{name} ({id}) ended with {code}, the last status says {state:?}"));
        }
    }
    Ok(())
}

/// A process that has just begun leaves a pod ready that the API calls ready, and that runs as the API has it.
pub(crate) fn stays_ready(seen: &Observation, decision: &Decision) -> Result<(), Violation> {
    let (Some(status), Ok(runtime)) = (&seen.pod.status, &seen.runtime) else { return Ok(()) };
    let running = |id: &str| {
        let of = |record: &&ContainerRecord| id.strip_prefix("sim://") == Some(record.id.as_str());
        runtime.containers.iter().find(of).is_some_and(|record| record.state == RuntimeState::Running)
    };
    let regular = status.container_statuses.iter().flatten();
    let sidecars = status
        .init_container_statuses
        .iter()
        .flatten()
        .filter(|s| pods::plain(&seen.pod, &s.name).is_some_and(pods::is_sidecar));
    let as_reported = regular.chain(sidecars).all(|s| s.container_id.as_deref().is_some_and(running));
    let ready = |status: &PodStatus| condition(status, "Ready") == Some("True");
    let unprobed = seen.probes.containers.is_empty() && seen.probes.failures.is_empty();
    let goes_on = decision.next.stage() == "syncing";
    if ready(status) && as_reported && unprobed && goes_on && !ready(&decision.status) {
        return broken("a restart of the kubelet took Ready from a pod that runs as before");
    }
    Ok(())
}

/// Nothing is left of the pod, as far as the kubelet can know: what a call that it gave up has made later, it finds in the
/// next list.
pub(crate) fn said_to_be_gone(world: &World, kubelet: &Kubelet) -> Result<(), Violation> {
    if kubelet.digest() != Some(Digest::default()) {
        return broken(format!("said to be gone, yet the runtime held {:?}", kubelet.digest()));
    }
    host_is_clear(world)
}

/// Nothing is left of the pod.
pub(crate) fn gone(world: &World) -> Result<(), Violation> {
    if !world.runtime.is_empty() {
        return broken(format!("said to be gone, yet the runtime holds {:?}", world.runtime.inspect()));
    }
    host_is_clear(world)
}

fn host_is_clear(world: &World) -> Result<(), Violation> {
    if world.host.volumes || world.host.cgroup || world.host.dirs {
        return broken(format!("said to be gone, yet the machine holds {:?}", world.host));
    }
    Ok(())
}

/// In calm weather, after enough time: the pod is what its spec wants, and its status says what is.
pub(crate) fn converged(world: &World) -> Result<(), Violation> {
    let Some(object) = &world.object else { return gone(world) };
    let Some(kubelet) = &world.kubelet else { return broken("an object without a worker") };
    if !world.idle() {
        return broken(format!("still busy with {:?}", kubelet.state.in_flight().collect::<Vec<_>>()));
    }
    let Some(status) = &object.status else { return broken("no status") };
    if world.told().as_ref() != Some(status) {
        return broken("the last status was not written");
    }
    if matches!(status.phase.as_deref(), Some("Succeeded" | "Failed")) {
        return ended(world, status);
    }
    if status.phase.as_deref() != Some("Running") {
        return broken(format!("phase {:?} after a long calm, {}", status.phase, describe(status)));
    }
    if !(world.host.volumes && world.host.cgroup && world.host.dirs) {
        return broken(format!("running on {:?}", world.host));
    }
    let ready: Vec<_> = world.runtime.sandboxes().iter().filter(|s| s.ready).collect();
    let [sandbox] = ready.as_slice() else { return broken(format!("{} ready sandboxes", ready.len())) };
    let spec = object.spec.as_ref();
    let inits = spec.and_then(|s| s.init_containers.as_ref()).into_iter().flatten();
    let sidecars = inits.filter(|c| c.restart_policy.as_deref() == Some("Always"));
    for container in spec.into_iter().flat_map(|s| &s.containers).chain(sidecars) {
        let told = all_containers(status).find(|told| told.name == container.name);
        let record = newest(&world.runtime, &container.name);
        let Some(record) = record.filter(|record| !told.is_some_and(|told| is_later(told, record))) else {
            let ended = all_containers(status)
                .find(|s| s.name == container.name)
                .and_then(|s| s.state.as_ref()?.terminated.as_ref());
            if ended.is_some_and(|ended| is_final(object.spec.as_ref(), container, ended.exit_code)) {
                continue;
            }
            return broken(format!("container {} was never made, {}", container.name, describe(status)));
        };
        let hash = container_hash(&container.name, container.image.as_deref().unwrap_or_default());
        match record.state {
            RuntimeState::Running if record.hash != hash => {
                return broken(format!("{} runs an old definition", container.name));
            }
            RuntimeState::Running if record.sandbox != sandbox.id => {
                return broken(format!("{} runs in an old sandbox", container.name));
            }
            RuntimeState::Running => {}
            RuntimeState::Exited if is_final(object.spec.as_ref(), container, record.exit_code) => {}
            _ => return broken(format!("{} is {:?}, {}", container.name, record.state, describe(status))),
        }
    }
    surplus(&world.runtime)?;
    truthful(status, &world.runtime)
}

/// Whether a status tells of the end of a later instance, whose own record is gone.
fn is_later(told: &ContainerStatus, record: &ContainerRecord) -> bool {
    let has_ended = told.state.as_ref().is_some_and(|state| state.terminated.is_some());
    has_ended
        && record.state == RuntimeState::Exited
        && i64::from(told.restart_count) > i64::from(record.attempt)
}

/// Whether an end stands: by the first rule that matches, then by the container's policy, then by the pod's.
fn is_final(spec: Option<&PodSpec>, container: &Container, code: i32) -> bool {
    if pods::restarts_all(container, code).is_some() {
        return false;
    }
    let pod = spec.and_then(|s| s.restart_policy.as_deref());
    match container.restart_policy.as_deref().or(pod) {
        Some("Never") => true,
        Some("OnFailure") => code == 0,
        _ => false,
    }
}

fn ended(world: &World, status: &PodStatus) -> Result<(), Violation> {
    if world.runtime.running().next().is_some() {
        return broken("ended, yet a container runs");
    }
    if world.host.volumes || world.host.cgroup {
        return broken(format!("ended, yet the machine holds {:?}", world.host));
    }
    if world.runtime.sandboxes().iter().any(|s| s.ready) {
        return broken("ended, yet a sandbox is ready");
    }
    surplus(&world.runtime)?;
    truthful(status, &world.runtime)
}

/// One dead container of each name, at most.
fn surplus(runtime: &Runtime) -> Result<(), Violation> {
    let mut dead: BTreeMap<&str, usize> = BTreeMap::new();
    for record in runtime.containers().iter().filter(|c| c.state == RuntimeState::Exited) {
        *dead.entry(record.name.as_str()).or_default() += 1;
    }
    if let Some((name, count)) = dead.iter().find(|(_, count)| **count > 1) {
        return broken(format!("{count} dead containers of {name} were kept"));
    }
    Ok(())
}

fn newest<'r>(runtime: &'r Runtime, name: &str) -> Option<&'r ContainerRecord> {
    runtime
        .containers()
        .iter()
        .filter(|c| c.name.as_str() == name)
        .max_by_key(|c| (c.state == RuntimeState::Running, c.attempt))
}

/// The status says of every container what the runtime says.
pub(crate) fn truthful(status: &PodStatus, runtime: &Runtime) -> Result<(), Violation> {
    for status in all_containers(status) {
        let state = status.state.as_ref();
        let running = state.is_some_and(|s| s.running.is_some());
        let Some(record) = newest(runtime, &status.name) else {
            if running {
                return broken(format!("{} is said to run and does not exist", status.name));
            }
            continue;
        };
        if running != (record.state == RuntimeState::Running) {
            return broken(format!("{}: {:?} is reported, {:?} is true", status.name, state, record.state));
        }
        if running && status.container_id.as_deref() != Some(&format!("sim://{}", record.id)) {
            return broken(format!(
                "{} runs as {}, {:?} is reported",
                status.name, record.id, status.container_id
            ));
        }
        // Of an instance whose record is gone `exact` knows how it ended.
        let here = |id: &str| runtime.containers().iter().any(|c| id == format!("sim://{}", c.id));
        let ended = state.and_then(|s| s.terminated.as_ref());
        let known = status.container_id.as_deref().is_none_or(here);
        let code = ended.filter(|_| known).map(|t| t.exit_code);
        if record.state == RuntimeState::Exited && code.is_some_and(|code| code != record.exit_code) {
            return broken(format!("{} ended with {}, {code:?} is reported", status.name, record.exit_code));
        }
        let debug = status.name.starts_with('e');
        if running && !debug && !(status.ready && status.started == Some(true)) {
            return broken(format!("{} runs in calm weather and is not ready", status.name));
        }
    }
    Ok(())
}

fn describe(status: &PodStatus) -> String {
    let states: Vec<_> = all_containers(status)
        .map(|s| {
            let state = s.state.as_ref();
            format!("{} #{} {}", s.name, s.restart_count, serde_json::to_string(&state).unwrap_or_default())
        })
        .collect();
    states.join(", ")
}
