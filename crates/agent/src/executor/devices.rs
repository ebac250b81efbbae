//! Refuses to make a container without the devices that it was promised. Admission keeps new pods with such wishes away;
//! here are containers that start again in pods that ran before this kubelet took them over.

use k8s_openapi::api::core::v1::Container;
use lifecycle::{Failure, FailureStep};

use crate::node_status::DeviceCheckpoint;

/// Errors name what the container asks for.
pub(super) fn check(container: &Container, devices: &DeviceCheckpoint) -> Result<(), Failure> {
    let Some(resources) = &container.resources else { return Ok(()) };
    let refused = |text: String| Err(Failure::new(FailureStep::ContainerConfig, text));
    if let Some(claim) = resources.claims.iter().flatten().next() {
        return refused(format!(
            "the resource claim \"{}\" cannot be prepared: dynamic resource allocation is not built into this kubelet yet",
            claim.name
        ));
    }
    let asked = |name: &&String| resources.limits.as_ref().is_some_and(|limits| limits.contains_key(*name));
    match devices.listed().iter().find(asked) {
        Some(name) => refused(format!(
            "there is no device for {name}: device plugins are not built into this kubelet yet"
        )),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_can_be_given_is_made() {
        let devices = DeviceCheckpoint::Listed(vec!["nvidia.com/gpu".to_owned()]);
        let of = |resources: serde_json::Value| {
            let container = json!({"name": "c", "resources": resources});
            let container: Container = serde_json::from_value(container).unwrap();
            check(&container, &devices).map_err(|failure| failure.message)
        };
        let gpu = of(json!({"limits": {"nvidia.com/gpu": "1"}})).unwrap_err();
        assert!(gpu.starts_with("there is no device for nvidia.com/gpu"), "{gpu}");
        let claim = of(json!({"claims": [{"name": "gpu"}]})).unwrap_err();
        assert!(claim.starts_with("the resource claim \"gpu\" cannot be prepared"), "{claim}");
        of(json!({"limits": {"cpu": "1", "example.com/licence": "1"}})).unwrap();
        of(json!({})).unwrap();
    }
}
