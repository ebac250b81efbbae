//! QoS class of a pod, as its status names it (contract §10, §18).

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{Pod, ResourceRequirements},
    apimachinery::pkg::api::resource::Quantity,
};

use crate::spec::resource_ref::parse_nano;

type Resources = BTreeMap<String, Quantity>;

/// The class in `status.qosClass`, which the API server fixed when the pod was made; computed where it is missing, as in
/// static pods: `Guaranteed`, `Burstable` or `BestEffort`.
#[must_use]
pub fn qos_class(pod: &Pod) -> String {
    let known = pod.status.as_ref().and_then(|status| status.qos_class.clone());
    known.filter(|class| !class.is_empty()).unwrap_or_else(|| compute(pod).to_owned())
}

fn compute(pod: &Pod) -> &'static str {
    let Some(spec) = &pod.spec else { return "BestEffort" };
    if let Some(resources) = spec.resources.as_ref().filter(|r| asks_for_anything(r)) {
        return class(std::iter::once(Some(resources)));
    }
    let containers = spec.containers.iter().chain(spec.init_containers.iter().flatten());
    class(containers.map(|container| container.resources.as_ref()))
}

/// Guaranteed: each has limits for CPU and memory, and requests that equal them or are absent. BestEffort: none asks for
/// either. Zero counts as absent.
fn class<'a>(all: impl Iterator<Item = Option<&'a ResourceRequirements>>) -> &'static str {
    let (mut any, mut guaranteed) = (false, true);
    for resources in all {
        for name in ["cpu", "memory"] {
            let limit = resources.and_then(|r| amount(r.limits.as_ref(), name));
            let request = resources.and_then(|r| amount(r.requests.as_ref(), name));
            any |= limit.is_some() || request.is_some();
            guaranteed &= limit.is_some() && request.is_none_or(|request| Some(request) == limit);
        }
    }
    match (any, guaranteed) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}

fn asks_for_anything(resources: &ResourceRequirements) -> bool {
    ["cpu", "memory"].iter().any(|name| {
        amount(resources.limits.as_ref(), name).is_some()
            || amount(resources.requests.as_ref(), name).is_some()
    })
}

/// Nano-units; `None` for zero, absent or unreadable.
fn amount(list: Option<&Resources>, name: &str) -> Option<i128> {
    parse_nano(&list?.get(name)?.0).filter(|amount| *amount > 0)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::{Container, PodSpec};

    use super::*;

    fn list(cpu: &str, memory: &str) -> Option<Resources> {
        let pairs = [("cpu", cpu), ("memory", memory)];
        let list = pairs.into_iter().filter(|(_, v)| !v.is_empty());
        Some(list.map(|(k, v)| (k.to_owned(), Quantity(v.to_owned()))).collect())
    }

    fn pod(containers: &[[&str; 4]]) -> Pod {
        let containers = containers
            .iter()
            .map(|[request_cpu, request_memory, limit_cpu, limit_memory]| Container {
                resources: Some(ResourceRequirements {
                    requests: list(request_cpu, request_memory),
                    limits: list(limit_cpu, limit_memory),
                    ..ResourceRequirements::default()
                }),
                ..Container::default()
            })
            .collect();
        Pod { spec: Some(PodSpec { containers, ..PodSpec::default() }), ..Pod::default() }
    }

    #[test]
    fn classes() {
        for (containers, want) in [
            (&[["", "", "", ""]][..], "BestEffort"),
            (&[["0", "", "", ""]][..], "BestEffort"),
            (&[["100m", "", "", ""]][..], "Burstable"),
            (&[["", "", "1", "1Gi"]][..], "Guaranteed"),
            (&[["1000m", "1024Mi", "1", "1Gi"]][..], "Guaranteed"),
            (&[["500m", "1Gi", "1", "1Gi"]][..], "Burstable"),
            (&[["1", "1Gi", "1", "1Gi"], ["", "", "", ""]][..], "Burstable"),
            (&[["", "", "1", ""]][..], "Burstable"),
        ] {
            assert_eq!(qos_class(&pod(containers)), want, "{containers:?}");
        }
    }
}
