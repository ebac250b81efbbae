//! Conditions: those of others first, then ours in upstream's order (contract §10).

use k8s_openapi::api::core::v1::{Container, ContainerStatus, PodCondition, PodStatus};

use super::{Input, find, is_terminal, seconds};
use crate::{
    decide::{reset, restart, view::SandboxFault},
    reason::Cause,
    state::Reset,
};

/// Condition types that are the kubelet's alone (contract §10); all others are carried over.
pub const OWNED_CONDITIONS: [&str; 8] = [
    "PodScheduled",
    "Initialized",
    "Ready",
    "ContainersReady",
    "PodReadyToStartContainers",
    "PodResizePending",
    "PodResizeInProgress",
    "AllContainersRestarting",
];

/// A condition before it has times.
struct Draft {
    kind: &'static str,
    truth: bool,
    reason: Option<&'static str>,
    message: Option<String>,
}

impl Draft {
    fn yes(kind: &'static str) -> Self {
        Self { kind, truth: true, reason: None, message: None }
    }

    fn no(kind: &'static str, reason: &'static str, message: String) -> Self {
        let message = (!message.is_empty()).then_some(message);
        Self { kind, truth: false, reason: Some(reason), message }
    }
}

/// Conditions that others own.
pub(super) fn foreign(input: &Input<'_>) -> Vec<PodCondition> {
    let api = input.pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    api.into_iter().flatten().filter(|c| !OWNED_CONDITIONS.contains(&c.type_.as_str())).cloned().collect()
}

/// `phase` is the computed one, even where a terminal phase is not reported yet.
pub(super) fn generate(input: &Input<'_>, status: &PodStatus, phase: &str) -> Vec<PodCondition> {
    let mut all = foreign(input);
    disruption(input, &mut all);
    let containers_ready = containers_ready(input, status, phase);
    let drafts = [
        ready_to_start(input),
        initialised(input, status, phase),
        ready(input, &containers_ready, &all),
        containers_ready,
        Draft::yes("PodScheduled"),
    ];
    all.extend(
        drafts.into_iter().map(|draft| settled(input, draft.kind).unwrap_or_else(|| timed(input, draft))),
    );
    if restart::may_start_all_over(input.spec) {
        // Alone among the kubelet's conditions it tells no generation.
        all.push(PodCondition { observed_generation: None, ..timed(input, starting_over(input, phase)) });
    }
    all
}

/// Brings the conditions of a last status in line with what probes found since.
pub(super) fn probed(input: &Input<'_>, status: &mut PodStatus) {
    let phase = status.phase.clone().unwrap_or_default();
    let containers_ready = containers_ready(input, status, &phase);
    let all = status.conditions.take().unwrap_or_default();
    let drafts = [ready(input, &containers_ready, &all), containers_ready];
    let found = drafts.map(|draft| timed(input, draft));
    let newest =
        |known: PodCondition| found.iter().find(|new| new.type_ == known.type_).cloned().unwrap_or(known);
    status.conditions = Some(all.into_iter().map(newest).collect());
}

fn starting_over(input: &Input<'_>, phase: &str) -> Draft {
    const KIND: &str = reset::CONDITION;
    match phase {
        "Succeeded" => Draft::no(KIND, "PodCompleted", String::new()),
        "Failed" => Draft::no(KIND, "PodFailed", String::new()),
        _ if input.reset == Reset::UnderWay => Draft {
            reason: Some("RestartAllContainersStarted"),
            message: Some("container exited with restart policy rule".to_owned()),
            ..Draft::yes(KIND)
        },
        _ => Draft { truth: false, ..Draft::yes(KIND) },
    }
}

/// What the status with the terminal phase said of the containers stands.
fn settled(input: &Input<'_>, kind: &str) -> Option<PodCondition> {
    let of_containers = matches!(kind, "Initialized" | "Ready" | "ContainersReady");
    let settled = of_containers && is_terminal(input.old.phase.as_deref());
    let old = input.old.conditions.iter().flatten().find(|condition| condition.type_ == kind);
    // One that was ready when others ended the pod is not any more.
    let old =
        old.filter(|old| settled && !(matches!(kind, "Ready" | "ContainersReady") && old.status == "True"));
    old.map(|old| PodCondition { observed_generation: input.pod.metadata.generation, ..old.clone() })
}

/// Keeps the time of the last change of status.
fn timed(input: &Input<'_>, draft: Draft) -> PodCondition {
    let status = if draft.truth { "True" } else { "False" };
    PodCondition {
        type_: draft.kind.to_owned(),
        status: status.to_owned(),
        reason: draft.reason.map(str::to_owned),
        message: draft.message,
        observed_generation: input.pod.metadata.generation,
        last_transition_time: Some(last_transition(input, draft.kind, status)),
        last_probe_time: None,
    }
}

fn last_transition(
    input: &Input<'_>,
    kind: &str,
    status: &str,
) -> k8s_openapi::apimachinery::pkg::apis::meta::v1::Time {
    let old = input.old.conditions.iter().flatten().find(|c| c.type_ == kind && c.status == status);
    old.and_then(|c| c.last_transition_time.clone()).unwrap_or_else(|| seconds(input.now.wall))
}

/// Written together with the terminal phase, not before (contract §10); kept from then on.
fn disruption(input: &Input<'_>, all: &mut Vec<PodCondition>) {
    const KIND: &str = "DisruptionTarget";
    let known = input.old.conditions.iter().flatten().find(|c| c.type_ == KIND);
    let condition = match input.cause().filter(|_| input.ended()) {
        Some(Cause::Killed { reason, message }) if !is_terminal(input.old.phase.as_deref()) => {
            let message = match reason.as_str() {
                "Preempting" => "Pod was preempted by Kubelet to accommodate a critical pod.",
                _ => message,
            };
            PodCondition {
                type_: KIND.to_owned(),
                status: "True".to_owned(),
                reason: Some("TerminationByKubelet".to_owned()),
                message: Some(message.to_owned()),
                observed_generation: input.pod.metadata.generation,
                last_transition_time: Some(seconds(input.now.wall)),
                last_probe_time: None,
            }
        }
        _ => match known {
            Some(known) => known.clone(),
            None => return,
        },
    };
    match all.iter_mut().find(|c| c.type_ == KIND) {
        Some(known) => *known = condition,
        None => all.push(condition),
    }
}

fn ready_to_start(input: &Input<'_>) -> Draft {
    const KIND: &str = "PodReadyToStartContainers";
    // The last sandbox of a pod that ended is taken away in the end; that is no news.
    let old = input.old.conditions.iter().flatten().find(|c| c.type_ == KIND && c.status == "False");
    if let Some(old) = old.filter(|_| input.ended() || is_terminal(input.old.phase.as_deref())) {
        return Draft::no(KIND, "PodSandboxNotReady", old.message.clone().unwrap_or_default());
    }
    let fault = if waits_for_volumes(input) { Some(SandboxFault::None) } else { input.view.sandbox().err() };
    match fault {
        None => Draft::yes(KIND),
        Some(fault) => Draft::no(KIND, "PodSandboxNotReady", fault.message().to_owned()),
    }
}

/// The sandbox is made while volumes are mounted; upstream makes it after that, and what waits for this condition takes
/// it as a word about the volumes too. So a pod is not ready to start containers before they are there. A pod that once
/// was stays so: its volumes are mounted anew after a restart of the kubelet.
fn waits_for_volumes(input: &Input<'_>) -> bool {
    let was_ready = || {
        let mut old = input.old.conditions.iter().flatten();
        old.any(|c| c.type_ == "PodReadyToStartContainers" && c.status == "True")
    };
    !input.volumes_mounted() && input.view.containers().is_empty() && !was_ready()
}

fn initialised(input: &Input<'_>, status: &PodStatus, phase: &str) -> Draft {
    const KIND: &str = "Initialized";
    let statuses = status.init_container_statuses.as_ref();
    let (mut unknown, mut incomplete) = (Vec::new(), Vec::new());
    for container in input.spec.init_containers.iter().flatten() {
        match find(statuses, &container.name) {
            None => unknown.push(container.name.as_str()),
            Some(status) if passed(container, status) => {}
            Some(_) => incomplete.push(container.name.as_str()),
        }
    }
    if phase == "Succeeded" && unknown.is_empty() {
        return Draft { reason: Some("PodCompleted"), ..Draft::yes(KIND) };
    }
    let begun = |status: &ContainerStatus| {
        status.state.as_ref().is_some_and(|state| state.running.is_some() || state.terminated.is_some())
    };
    if status.container_statuses.iter().flatten().any(begun) {
        return Draft::yes(KIND);
    }
    let message = message(&[("unknown", &unknown), ("incomplete", &incomplete)]);
    let before = input.old.conditions.iter().flatten().any(|c| c.type_ == KIND && c.status == "True");
    if message.is_empty() || before {
        return Draft::yes(KIND);
    }
    Draft::no(KIND, "ContainersNotInitialized", message)
}

fn passed(container: &Container, status: &ContainerStatus) -> bool {
    if restart::is_sidecar(container) { status.started == Some(true) } else { status.ready }
}

fn containers_ready(input: &Input<'_>, status: &PodStatus, phase: &str) -> Draft {
    const KIND: &str = "ContainersReady";
    let (mut unknown, mut unready) = (Vec::new(), Vec::new());
    let sidecars = input.spec.init_containers.iter().flatten().filter(|c| restart::is_sidecar(c));
    let sidecars = sidecars.map(|c| (c, status.init_container_statuses.as_ref()));
    let regular = input.spec.containers.iter().map(|c| (c, status.container_statuses.as_ref()));
    for (container, statuses) in sidecars.chain(regular) {
        match find(statuses, &container.name) {
            None => unknown.push(container.name.as_str()),
            Some(status) if status.ready => {}
            Some(_) => unready.push(container.name.as_str()),
        }
    }
    if phase == "Succeeded" && unknown.is_empty() {
        return Draft::no(KIND, "PodCompleted", String::new());
    }
    if phase == "Failed" {
        return Draft::no(KIND, "PodFailed", String::new());
    }
    let message = message(&[("unknown", &unknown), ("unready", &unready)]);
    if message.is_empty() { Draft::yes(KIND) } else { Draft::no(KIND, "ContainersNotReady", message) }
}

fn ready(input: &Input<'_>, containers_ready: &Draft, conditions: &[PodCondition]) -> Draft {
    const KIND: &str = "Ready";
    if !containers_ready.truth {
        return Draft {
            kind: KIND,
            truth: false,
            reason: containers_ready.reason,
            message: containers_ready.message.clone(),
        };
    }
    let mut unmet = Vec::new();
    for gate in input.spec.readiness_gates.iter().flatten() {
        let kind = &gate.condition_type;
        match conditions.iter().find(|c| c.type_ == *kind) {
            None => unmet
                .push(format!("corresponding condition of pod readiness gate \"{kind}\" does not exist.")),
            Some(c) if c.status == "True" => {}
            Some(c) => {
                unmet.push(format!(
                    "the status of pod readiness gate \"{kind}\" is not \"True\", but {}",
                    c.status
                ));
            }
        }
    }
    if unmet.is_empty() {
        Draft::yes(KIND)
    } else {
        Draft::no(KIND, "ReadinessGatesNotReady", unmet.join(", "))
    }
}

fn message(parts: &[(&str, &[&str])]) -> String {
    let texts = parts.iter().filter(|(_, names)| !names.is_empty());
    let texts: Vec<_> =
        texts.map(|(what, names)| format!("containers with {what} status: [{}]", names.join(" "))).collect();
    texts.join(", ")
}
