//! Pods to live through: every kind of container, probe, hook, policy and rule.

use k8s_openapi::{
    api::core::v1::{
        Container, ContainerRestartRule, ContainerRestartRuleOnExitCodes, EphemeralContainer, Lifecycle,
        LifecycleHandler, Pod, PodSpec, PodStatus, Probe, SleepAction,
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};

use crate::rng::Rng;

/// Exit codes of containers that end by themselves; rules name some of them.
pub(crate) const CODES: [i32; 4] = [0, 1, 3, 42];

/// Draws a pod.
#[must_use]
pub fn draw(rng: &mut Rng, seed: u64) -> Pod {
    let regular = 1 + rng.below(3);
    let rules = rng.percent(20);
    let containers = (0..regular).map(|i| container(rng, &format!("c{i}"), rules)).collect();
    let inits = if rng.percent(50) { 1 + rng.below(4) } else { 0 };
    let init_containers: Vec<_> = (0..inits).map(|i| init(rng, i, rules)).collect();
    let policy = rng.pick(&["Always", "Always", "Always", "OnFailure", "Never"]).unwrap_or("Always");
    Pod {
        metadata: ObjectMeta {
            name: Some(format!("p{seed}")),
            namespace: Some("sim".to_owned()),
            uid: Some(format!("uid-{seed}")),
            generation: Some(1),
            ..ObjectMeta::default()
        },
        spec: Some(PodSpec {
            containers,
            init_containers: (!init_containers.is_empty()).then_some(init_containers),
            restart_policy: Some(policy.to_owned()),
            host_network: rng.percent(10).then_some(true),
            active_deadline_seconds: rng.percent(4).then(|| i64::try_from(60 + rng.below(900)).unwrap_or(60)),
            termination_grace_period_seconds: Some(i64::try_from(rng.below(60)).unwrap_or(30)),
            ..PodSpec::default()
        }),
        status: Some(PodStatus { phase: Some("Pending".to_owned()), ..PodStatus::default() }),
    }
}

fn container(rng: &mut Rng, name: &str, rules: bool) -> Container {
    let ruled = rules && rng.percent(60);
    let own = if ruled || rng.percent(8) { rng.pick(&["Always", "OnFailure", "Never"]) } else { None };
    Container {
        name: name.to_owned(),
        image: Some("image:1".to_owned()),
        image_pull_policy: Some("IfNotPresent".to_owned()),
        restart_policy: own.map(str::to_owned),
        restart_policy_rules: ruled.then(|| vec![rule(rng)]),
        readiness_probe: rng.percent(20).then(|| probe(rng)),
        liveness_probe: rng.percent(20).then(|| probe(rng)),
        startup_probe: rng.percent(15).then(|| probe(rng)),
        lifecycle: lifecycle(rng),
        ..Container::default()
    }
}

fn rule(rng: &mut Rng) -> ContainerRestartRule {
    let action = if rng.percent(60) { "RestartAllContainers" } else { "Restart" };
    let operator = if rng.percent(85) { "In" } else { "NotIn" };
    let code = rng.pick(&CODES).unwrap_or(42);
    ContainerRestartRule {
        action: action.to_owned(),
        exit_codes: Some(ContainerRestartRuleOnExitCodes {
            operator: operator.to_owned(),
            values: Some(vec![code, 99]),
        }),
    }
}

fn probe(rng: &mut Rng) -> Probe {
    let grace = rng.percent(30).then(|| i64::try_from(1 + rng.below(20)).unwrap_or(1));
    Probe { termination_grace_period_seconds: grace, ..Probe::default() }
}

fn lifecycle(rng: &mut Rng) -> Option<Lifecycle> {
    let hook = |rng: &mut Rng| LifecycleHandler {
        sleep: Some(SleepAction { seconds: i64::try_from(rng.below(25)).unwrap_or(1) }),
        ..LifecycleHandler::default()
    };
    let post_start = rng.percent(15).then(|| hook(rng));
    let pre_stop = rng.percent(20).then(|| hook(rng));
    (post_start.is_some() || pre_stop.is_some()).then_some(Lifecycle {
        post_start,
        pre_stop,
        ..Lifecycle::default()
    })
}

fn init(rng: &mut Rng, index: u64, rules: bool) -> Container {
    let name = format!("i{index}");
    if rng.percent(45) {
        let always = Some("Always".to_owned());
        return Container {
            restart_policy: always,
            restart_policy_rules: None,
            ..container(rng, &name, false)
        };
    }
    let container = own_policy(container(rng, &name, rules));
    // One that all containers are started over for when it ends well is never done with.
    let endless = restarts_all(&container, 0) == Some(true);
    Container {
        restart_policy_rules: container.restart_policy_rules.clone().filter(|_| !endless),
        startup_probe: None,
        readiness_probe: None,
        liveness_probe: None,
        lifecycle: None,
        ..container
    }
}

/// `Always` would make it a sidecar.
fn own_policy(container: Container) -> Container {
    let policy = container.restart_policy.map(|policy| match policy.as_str() {
        "Always" => "OnFailure".to_owned(),
        _ => policy,
    });
    Container { restart_policy: policy, ..container }
}

/// A debug container.
#[must_use]
pub fn ephemeral(index: usize) -> EphemeralContainer {
    EphemeralContainer {
        name: format!("e{index}"),
        image: Some("debug:1".to_owned()),
        target_container_name: Some("c0".to_owned()),
        ..EphemeralContainer::default()
    }
}

/// The container of that name, if it is no debug container.
pub(crate) fn plain<'p>(pod: &'p Pod, name: &str) -> Option<&'p Container> {
    let spec = pod.spec.as_ref()?;
    let mut all = spec.containers.iter().chain(spec.init_containers.iter().flatten());
    all.find(|container| container.name == name)
}

/// Whether a container is a sidecar.
pub(crate) fn is_sidecar(container: &Container) -> bool {
    container.name.starts_with('i') && container.restart_policy.as_deref() == Some("Always")
}

/// Seconds of its postStart hook.
pub(crate) fn post_start(pod: &Pod, name: &str) -> Option<u64> {
    let hook = plain(pod, name)?.lifecycle.as_ref()?.post_start.as_ref()?;
    u64::try_from(hook.sleep.as_ref()?.seconds).ok()
}

/// Seconds of its preStop hook.
pub(crate) fn pre_stop(pod: &Pod, name: &str) -> Option<u64> {
    let hook = plain(pod, name)?.lifecycle.as_ref()?.pre_stop.as_ref()?;
    u64::try_from(hook.sleep.as_ref()?.seconds).ok()
}

/// Whether a rule restarts a container that ended so, and whether all with it.
pub(crate) fn restarts_all(container: &Container, code: i32) -> Option<bool> {
    let rule = container.restart_policy_rules.iter().flatten().find(|rule| {
        let codes = rule.exit_codes.as_ref();
        let listed = codes.and_then(|c| c.values.as_ref()).is_some_and(|values| values.contains(&code));
        match codes.map(|c| c.operator.as_str()) {
            Some("In") => listed,
            Some("NotIn") => !listed,
            _ => false,
        }
    })?;
    Some(rule.action == "RestartAllContainers")
}
