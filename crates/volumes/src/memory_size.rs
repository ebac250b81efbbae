//! How large a memory-backed directory may grow: the least of the node's allocatable memory, the pod's memory limit
//! and the volume's own limit (contract §14.3).

use k8s_openapi::{
    api::core::v1::{Container, Pod, PodSpec, ResourceRequirements},
    apimachinery::pkg::api::resource::Quantity,
};
use lifecycle::spec::resource_ref::{Allocatable, units};

use crate::error::SetUpError;

fn memory_limit(resources: Option<&ResourceRequirements>) -> u64 {
    let limit =
        resources.and_then(|resources| resources.limits.as_ref()).and_then(|limits| limits.get("memory"));
    limit.and_then(|limit| units(&limit.0).ok()).and_then(|units| u64::try_from(units).ok()).unwrap_or(0)
}

fn is_sidecar(container: &Container) -> bool {
    container.restart_policy.as_deref() == Some("Always")
}

/// Memory limit of a whole pod as its cgroup gets it; `None` while one of its containers has none.
fn pod_limit(spec: &PodSpec) -> Option<u64> {
    let overhead = spec
        .overhead
        .as_ref()
        .and_then(|overhead| overhead.get("memory"))
        .and_then(|quantity| units(&quantity.0).ok())
        .and_then(|units| u64::try_from(units).ok())
        .unwrap_or(0);
    let own = memory_limit(spec.resources.as_ref());
    if own > 0 {
        return Some(own.saturating_add(overhead));
    }
    let init = || spec.init_containers.iter().flatten();
    if spec.containers.iter().chain(init()).any(|container| memory_limit(container.resources.as_ref()) == 0) {
        return None;
    }
    let running: u64 =
        spec.containers.iter().map(|container| memory_limit(container.resources.as_ref())).sum();
    let mut sidecars = 0_u64;
    let mut peak = 0_u64;
    for container in init() {
        let limit = memory_limit(container.resources.as_ref());
        if is_sidecar(container) {
            sidecars = sidecars.saturating_add(limit);
            peak = peak.max(sidecars);
        } else {
            peak = peak.max(sidecars.saturating_add(limit));
        }
    }
    Some(running.saturating_add(sidecars).max(peak).saturating_add(overhead))
}

/// Bytes; `None` leaves it to the kernel (half of the memory), when not even the node's allocatable is known.
pub(crate) fn limit(
    pod: &Pod,
    size_limit: Option<&Quantity>,
    allocatable: &Allocatable,
) -> Result<Option<u64>, SetUpError> {
    let bytes = |text: &str| -> Result<Option<u64>, SetUpError> {
        let units = units(text).map_err(|_| SetUpError::Size(text.to_owned()))?;
        Ok(u64::try_from(units).ok().filter(|bytes| *bytes > 0))
    };
    let node = match allocatable.get("memory") {
        Some(text) => bytes(text)?,
        None => None,
    };
    let own = match size_limit {
        Some(quantity) => bytes(&quantity.0)?,
        None => None,
    };
    let pod = pod.spec.as_ref().and_then(pod_limit).filter(|bytes| *bytes > 0);
    Ok([node, pod, own].into_iter().flatten().min())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn run(spec: serde_json::Value, size: Option<&str>) -> Option<u64> {
        let pod: Pod = serde_json::from_value(json!({"spec": spec})).unwrap();
        let allocatable = [("memory".to_owned(), "1Gi".to_owned())].into();
        limit(&pod, size.map(|size| Quantity(size.into())).as_ref(), &allocatable).ok().unwrap()
    }

    fn container(limit: &str) -> serde_json::Value {
        json!({"name": "c", "resources": {"limits": {"memory": limit}}})
    }

    const MIB: u64 = 1 << 20;

    #[test]
    fn the_least_wins() {
        let bare = json!({"containers": [{"name": "c"}]});
        assert_eq!(run(bare.clone(), None), Some(1024 * MIB));
        assert_eq!(run(bare.clone(), Some("10Mi")), Some(10 * MIB));
        assert_eq!(run(bare.clone(), Some("0")), Some(1024 * MIB));
        assert_eq!(run(bare, Some("2Gi")), Some(1024 * MIB));
        let limited = json!({"containers": [container("64Mi"), container("32Mi")]});
        assert_eq!(run(limited.clone(), None), Some(96 * MIB));
        assert_eq!(run(limited, Some("128Mi")), Some(96 * MIB));
        assert_eq!(run(json!({"containers": [container("64Mi"), {"name": "d"}]}), None), Some(1024 * MIB));
    }

    #[test]
    fn pods_as_a_whole() {
        let mut sidecar = container("10Mi");
        sidecar["restartPolicy"] = json!("Always");
        let spec = json!({
            "containers": [container("20Mi")],
            "initContainers": [sidecar, container("100Mi")],
            "overhead": {"memory": "1Mi"},
        });
        assert_eq!(run(spec, None), Some(111 * MIB));
        let spec = json!({"containers": [{"name": "c"}], "resources": {"limits": {"memory": "7Mi"}}});
        assert_eq!(run(spec, None), Some(7 * MIB));
    }

    #[test]
    fn unknown_node() {
        let pod = Pod::default();
        assert_eq!(limit(&pod, None, &Allocatable::new()).ok().unwrap(), None);
        let nonsense = Quantity("x".into());
        assert!(limit(&pod, Some(&nonsense), &Allocatable::new()).is_err());
    }
}
