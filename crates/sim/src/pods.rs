//! Pods to live through.

use k8s_openapi::{
    api::core::v1::{
        Container, EphemeralContainer, Lifecycle, LifecycleHandler, Pod, PodSpec, PodStatus, Probe,
        SleepAction,
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};

use crate::rng::Rng;

/// Draws a pod.
#[must_use]
pub fn draw(rng: &mut Rng, seed: u64) -> Pod {
    let regular = 1 + rng.below(3);
    let containers = (0..regular).map(|i| container(rng, &format!("c{i}"))).collect();
    let inits = if rng.percent(40) { 1 + rng.below(3) } else { 0 };
    let init_containers: Vec<_> = (0..inits).map(|i| init(rng, i)).collect();
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

fn container(rng: &mut Rng, name: &str) -> Container {
    Container {
        name: name.to_owned(),
        image: Some("image:1".to_owned()),
        image_pull_policy: Some("IfNotPresent".to_owned()),
        restart_policy: if rng.percent(8) {
            rng.pick(&["Always", "OnFailure", "Never"]).map(str::to_owned)
        } else {
            None
        },
        readiness_probe: rng.percent(20).then(Probe::default),
        liveness_probe: rng.percent(20).then(Probe::default),
        lifecycle: rng.percent(15).then(|| Lifecycle {
            post_start: Some(LifecycleHandler {
                sleep: Some(SleepAction { seconds: 1 }),
                ..LifecycleHandler::default()
            }),
            ..Lifecycle::default()
        }),
        ..Container::default()
    }
}

fn init(rng: &mut Rng, index: u64) -> Container {
    let sidecar = rng.percent(40);
    Container {
        restart_policy: sidecar.then(|| "Always".to_owned()),
        startup_probe: (sidecar && rng.percent(30)).then(Probe::default),
        readiness_probe: None,
        liveness_probe: None,
        ..container(rng, &format!("i{index}"))
    }
}

/// A debug container.
#[must_use]
pub fn ephemeral(index: usize) -> EphemeralContainer {
    EphemeralContainer {
        name: format!("e{index}"),
        image: Some("debug:1".to_owned()),
        ..EphemeralContainer::default()
    }
}
