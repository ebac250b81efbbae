//! What the dispatcher counts of admissions and of pods that come and go.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use lifecycle::{Admission, PodSource};
use metrics::{
    Metrics,
    pods::{Admitted, ConfigMode, Qos, Rejection, Static},
};
use node::qos::QosClass;

/// A pod was asked about, whether it may run here.
pub(super) fn admission(metrics: &Metrics, pod: &Pod, answer: &Admission, took: Duration) {
    let counts = &metrics.pods;
    counts.admission_requests.inc();
    counts.admission_milliseconds.observe(took.as_secs_f64() * 1000.0);
    match answer {
        Admission::Rejected { reason, .. } => counts.admission_rejections.inc(&Rejection::of(reason)),
        Admission::Admitted => counts.admitted.inc(&admitted(pod)),
    }
}

fn admitted(pod: &Pod) -> Admitted {
    let qos_class = match QosClass::of(pod) {
        QosClass::Guaranteed => Qos::Guaranteed,
        QosClass::Burstable => Qos::Burstable,
        QosClass::BestEffort => Qos::BestEffort,
    };
    let sets = |resources: Option<&k8s_openapi::api::core::v1::ResourceRequirements>| {
        resources.is_some_and(|resources| {
            let sets = |list: &Option<std::collections::BTreeMap<_, _>>| {
                list.as_ref().is_some_and(|list| !list.is_empty())
            };
            sets(&resources.requests) || sets(&resources.limits)
        })
    };
    let spec = pod.spec.as_ref();
    let of_pod = sets(spec.and_then(|spec| spec.resources.as_ref()));
    let containers =
        spec.into_iter().flat_map(|spec| spec.containers.iter().chain(spec.init_containers.iter().flatten()));
    let of_containers = containers.into_iter().any(|container| sets(container.resources.as_ref()));
    let config_mode = match (of_pod, of_containers) {
        (true, true) => ConfigMode::Both,
        (true, false) => ConfigMode::Pod,
        (false, true) => ConfigMode::Containers,
        (false, false) => ConfigMode::None,
    };
    Admitted { config_mode, qos_class }
}

/// A pod of a source that may run gets its worker.
pub(super) fn came(metrics: &Metrics, pod: &Pod) {
    let containers = pod.spec.as_ref().map_or(0, |spec| spec.containers.len());
    metrics.pods.containers_per_pod.observe(u32::try_from(containers).map_or(f64::INFINITY, f64::from));
}

/// Nothing is left of a pod, and its source has it again.
pub(super) fn came_back(metrics: &Metrics, source: PodSource) {
    metrics.pods.restarted.inc(if source.is_static() { &Static::Yes } else { &Static::No });
}

/// A sweep looked at pods without a source.
pub(super) fn swept(metrics: &Metrics, cleared: usize, unknown: usize) {
    let number = |count: usize| u32::try_from(count).map_or(f64::INFINITY, f64::from);
    metrics.pods.swept.set(number(cleared));
    metrics.pods.sweep_errors.set(number(unknown));
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(of_pod: Value, of_container: Value) -> Pod {
        let spec = json!({
            "resources": of_pod,
            "containers": [{"name": "c", "resources": of_container}],
        });
        serde_json::from_value(json!({"spec": spec})).unwrap()
    }

    #[test]
    fn admissions_are_told_apart_by_where_resources_are_set() {
        let some = || json!({"requests": {"cpu": "1"}});
        for (of_pod, of_container, mode) in [
            (json!({}), json!({}), ConfigMode::None),
            (json!({}), some(), ConfigMode::Containers),
            (some(), json!({}), ConfigMode::Pod),
            (some(), some(), ConfigMode::Both),
        ] {
            assert_eq!(admitted(&pod(of_pod, of_container)).config_mode, mode);
        }
    }

    #[test]
    fn rejections_are_counted_by_reason() {
        let metrics = Metrics::new();
        let rejected = Admission::Rejected { reason: "OutOfcpu".to_owned(), message: String::new() };
        admission(&metrics, &Pod::default(), &rejected, Duration::from_millis(3));
        assert_eq!(metrics.pods.admission_rejections.of(&Rejection::of("OutOfcpu")).get(), 1);
        assert_eq!(
            (metrics.pods.admission_milliseconds.count(), metrics.pods.admission_milliseconds.sum()),
            (1, 3.0)
        );
        assert_eq!(metrics.pods.admission_requests.get(), 1);
    }
}
