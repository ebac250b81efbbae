//! Checks of amounts of resources: those of containers, of the pod as a whole, and its overhead. What gets past here
//! would count as nothing in admission and cgroups.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{PodSpec, ResourceRequirements},
    apimachinery::pkg::api::resource::Quantity,
};

use super::Checker;
use crate::spec::{names, resource_ref};

/// What a pod as a whole may ask for, beside sizes of huge pages.
const OF_PODS: [&str; 3] = ["cpu", "hugepages-", "memory"];

fn nano(quantity: &Quantity) -> Option<i128> {
    resource_ref::parse_nano(&quantity.0)
}

/// Checks requests and limits, of a container or of all of them.
pub(super) fn requirements(checker: &mut Checker, resources: Option<&ResourceRequirements>, path: &str) {
    let Some(resources) = resources else {
        return;
    };
    for (kind, amounts) in [("limits", &resources.limits), ("requests", &resources.requests)] {
        for (name, quantity) in amounts.iter().flatten() {
            let field = format!("{path}.{kind}[{name}]");
            if !matches!(name.as_str(), "cpu" | "memory" | "ephemeral-storage") {
                checker.names(&field, name, names::label_key_problems(name));
                if !name.contains('/') && !name.starts_with("hugepages-") {
                    checker.invalid(&field, name, "must be a standard resource for containers");
                }
            }
            match nano(quantity) {
                None => checker.add(
                    &field,
                    format!("Invalid value: \"{}\": is not a quantity", quantity.0),
                    "write amounts such as 250m, 1.5, 64Mi",
                ),
                Some(value) if value < 0 => {
                    checker.invalid(&field, &quantity.0, "must be greater than or equal to 0");
                }
                Some(_) => {}
            }
        }
    }
    let empty = BTreeMap::new();
    let limits = resources.limits.as_ref().unwrap_or(&empty);
    let requests = resources.requests.as_ref().unwrap_or(&empty);
    for (name, request) in requests {
        let field = format!("{path}.requests");
        let overcommit =
            !name.starts_with("hugepages-") && (!name.contains('/') || name.starts_with("kubernetes.io/"));
        match limits.get(name) {
            Some(limit) if !overcommit && nano(request) != nano(limit) => {
                checker.invalid(&field, &request.0, &format!("must be equal to {name} limit of {}", limit.0));
            }
            Some(limit) if nano(request) > nano(limit) => checker.invalid(
                &field,
                &request.0,
                &format!("must be less than or equal to {name} limit of {}", limit.0),
            ),
            None if !overcommit => checker.required(
                &format!("{path}.limits"),
                "Limit must be set for non overcommitable resources",
                "",
            ),
            _ => {}
        }
    }
    let has = |test: fn(&str) -> bool| limits.keys().chain(requests.keys()).any(|name| test(name));
    if has(|name| name.starts_with("hugepages-")) && !has(|name| matches!(name, "cpu" | "memory")) {
        checker.forbidden(path, "HugePages require cpu or memory");
    }
}

/// Checks the amounts that are not a container's.
pub(super) fn of_pod(checker: &mut Checker, spec: &PodSpec) {
    let resources = spec.resources.as_ref();
    for (kind, amounts) in resources
        .into_iter()
        .flat_map(|resources| [("limits", &resources.limits), ("requests", &resources.requests)])
    {
        for name in amounts.iter().flatten().map(|(name, _)| name) {
            if !name.starts_with("hugepages-") {
                checker.one_of(&format!("spec.resources.{kind}[{name}]"), Some(name), &OF_PODS);
            }
        }
    }
    requirements(checker, resources, "spec.resources");
    // The API server judges overhead as if it were limits, and names it so.
    let overhead = ResourceRequirements { limits: spec.overhead.clone(), ..ResourceRequirements::default() };
    requirements(checker, Some(&overhead), "spec.overhead");
}
