//! Checks of references to the pod's fields and to its containers' resources, from environments and from files.

use k8s_openapi::api::core::v1::{ObjectFieldSelector, ResourceFieldSelector};

use super::{Checker, amounts};
use crate::spec::{field_ref, names};

/// Where a reference is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// In a container's environment.
    Environment,
    /// In a volume.
    Volume,
}

/// Fields for environments, besides single labels and annotations.
const ENVIRONMENT_FIELDS: [&str; 9] = [
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];
/// Fields for files.
const VOLUME_FIELDS: [&str; 5] =
    ["metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"];
/// Resources, besides sizes of huge pages.
const RESOURCES: [&str; 6] = [
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
];
/// Divisors of amounts of bytes.
const OF_BYTES: [&str; 13] =
    ["1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"];

/// Checks a reference to a field.
pub(super) fn field(checker: &mut Checker, selector: &ObjectFieldSelector, place: Place, path: &str) {
    let version = selector.api_version.as_deref().unwrap_or_default();
    let field = format!("{path}.fieldPath");
    if version.is_empty() {
        checker.required(&format!("{path}.apiVersion"), "", "");
        return;
    }
    if selector.field_path.is_empty() {
        checker.required(&field, "", "");
        return;
    }
    let known = match field_ref::known(version, &selector.field_path) {
        Ok(known) => known,
        Err(error) => {
            checker.invalid(&field, &selector.field_path, &format!("error converting fieldPath: {error}"));
            return;
        }
    };
    match field_ref::split_subscript(known) {
        Some(("metadata.annotations", key)) => {
            let key = key.to_lowercase();
            checker.names(path, &key, names::label_key_problems(&key));
        }
        Some((_, key)) => checker.names(path, key, names::label_key_problems(key)),
        None if place == Place::Environment => checker.supported(&field, known, &ENVIRONMENT_FIELDS),
        None => checker.supported(&field, known, &VOLUME_FIELDS),
    }
}

/// Checks a reference to a resource.
pub(super) fn resource(checker: &mut Checker, selector: &ResourceFieldSelector, place: Place, path: &str) {
    let resource = selector.resource.as_str();
    let of = resource.split_once('.').filter(|(kind, _)| matches!(*kind, "limits" | "requests"));
    let of_huge_pages = of.is_some_and(|(_, name)| name.starts_with("hugepages-"));
    if place == Place::Volume && selector.container_name.as_deref().unwrap_or_default().is_empty() {
        checker.required(&format!("{path}.containerName"), "", "");
    } else if resource.is_empty() {
        checker.required(&format!("{path}.resource"), "", "");
    } else if !of_huge_pages {
        checker.supported(&format!("{path}.resource"), resource, &RESOURCES);
    }
    let field = format!("{path}.divisor");
    let Some(divisor) = selector.divisor.as_ref().filter(|divisor| !divisor.0.is_empty()) else { return };
    let Some(divisor) = amounts::read(checker, &field, divisor) else { return };
    let (allowed, values, what): (&[&str], _, _) = match of {
        Some((_, "cpu")) => (&["1m", "1"], "1m and 1".to_owned(), "cpu"),
        Some((_, "memory")) => (&OF_BYTES, OF_BYTES.join(", "), "memory"),
        Some((_, "ephemeral-storage")) => (&OF_BYTES, OF_BYTES.join(", "), "local ephemeral storage"),
        Some(_) if of_huge_pages => (&OF_BYTES, OF_BYTES.join(", "), "hugepages"),
        _ => return,
    };
    if divisor.nano() != 0 && !allowed.contains(&divisor.to_string().as_str()) {
        let detail = format!("only divisor's values {values} are supported with the {what} resource");
        checker.invalid(&field, resource, &detail);
    }
}
