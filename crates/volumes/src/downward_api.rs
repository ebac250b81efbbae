//! `downwardAPI` volumes: fields of the pod and resources of its containers as files.

use k8s_openapi::api::core::v1::{DownwardAPIVolumeFile, Pod};
use lifecycle::spec::{
    field_ref,
    resource_ref::{self, Allocatable},
};

use crate::{
    error::{SetUpError, aggregate},
    payload::{Payload, Projection, file_mode},
};

/// Files of a downward API volume; all errors together.
pub(crate) fn payload(
    items: &[DownwardAPIVolumeFile],
    pod: &Pod,
    allocatable: &Allocatable,
    default_mode: Option<i32>,
) -> Result<Payload, SetUpError> {
    let default_mode = default_mode.ok_or(SetUpError::NoDefaultMode)?;
    let mut payload = Payload::new();
    let mut errors = Vec::new();
    for item in items {
        let value = if let Some(selector) = &item.field_ref {
            field_ref::metadata_value(pod, &selector.field_path).map_err(SetUpError::Field)
        } else if let Some(selector) = &item.resource_field_ref {
            resource_ref::volume_value(pod, selector, allocatable).map_err(SetUpError::Resource)
        } else {
            Ok(String::new())
        };
        match value {
            Ok(text) => {
                let mode = file_mode(item.mode.unwrap_or(default_mode));
                payload.insert(item.path.clone(), Projection { data: text.into_bytes(), mode, owner: None });
            }
            Err(error) => errors.push(error),
        }
    }
    match aggregate(errors) {
        None => Ok(payload),
        Some(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn files() {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "web", "labels": {"b": "2", "a": "1"}},
            "spec": {"containers": [{"name": "c", "resources": {"limits": {"memory": "64Mi"}}}]},
        }))
        .unwrap();
        let items = |value: serde_json::Value| -> Vec<DownwardAPIVolumeFile> {
            serde_json::from_value(value).unwrap()
        };
        let allocatable = [("cpu".to_owned(), "2".to_owned())].into();
        let chosen = items(json!([
            {"path": "name", "fieldRef": {"fieldPath": "metadata.name"}},
            {"path": "d/labels", "fieldRef": {"fieldPath": "metadata.labels"}, "mode": 256},
            {"path": "memory", "resourceFieldRef": {"containerName": "c", "resource": "limits.memory", "divisor": "1Mi"}},
            {"path": "cpu", "resourceFieldRef": {"containerName": "c", "resource": "limits.cpu"}},
        ]));
        let files = payload(&chosen, &pod, &allocatable, Some(0o644)).ok().unwrap();
        let seen: Vec<_> = files
            .iter()
            .map(|(path, file)| (path.as_str(), std::str::from_utf8(&file.data).unwrap(), file.mode))
            .collect();
        assert_eq!(
            seen,
            [
                ("cpu", "2", 0o644),
                ("d/labels", "a=\"1\"\nb=\"2\"", 0o400),
                ("memory", "64", 0o644),
                ("name", "web", 0o644),
            ]
        );
        let bad = items(json!([
            {"path": "a", "fieldRef": {"fieldPath": "status.podIP"}},
            {"path": "b", "resourceFieldRef": {"containerName": "z", "resource": "limits.cpu"}},
        ]));
        assert_eq!(
            payload(&bad, &pod, &allocatable, Some(0o644)).err().unwrap().to_string(),
            "[unsupported fieldPath: status.podIP, container z not found]"
        );
    }
}
