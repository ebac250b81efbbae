//! Checks of amounts of resources: those of containers, of the pod as a whole, and its overhead. What gets past here
//! would count as nothing in admission and cgroups.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::{
    api::core::v1::{Container, PodResourceClaim, PodSpec, ResourceClaim, ResourceRequirements},
    apimachinery::pkg::api::resource::Quantity,
};

use super::Checker;
use crate::spec::{
    amount::{self, Amount, NANO, Side},
    names, resource_ref,
};

/// What a pod as a whole may ask for, beside sizes of huge pages.
const OF_PODS: [&str; 3] = ["cpu", "hugepages-", "memory"];
/// Names without a domain that mean something, if only in quotas.
const STANDARD: [&str; 20] = [
    "cpu",
    "memory",
    "ephemeral-storage",
    "requests.cpu",
    "requests.memory",
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "configmaps",
    "persistentvolumeclaims",
    "storage",
    "requests.storage",
    "services.nodeports",
    "services.loadbalancers",
];

/// Whose amounts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Owner {
    Container,
    Pod,
}

fn is_huge_pages(name: &str) -> bool {
    name.starts_with("hugepages-")
}

/// Whether a resource is one of Kubernetes' own.
fn is_native(name: &str) -> bool {
    !name.contains('/') || name.contains("kubernetes.io/")
}

/// Whether a resource is somebody else's: counted in whole pieces, and never more of them than there are.
fn is_extended(name: &str) -> bool {
    !is_native(name)
        && !name.starts_with("requests.")
        && names::label_key_problems(&format!("requests.{name}")).is_empty()
}

/// An amount; what is none is reported.
pub(super) fn read(checker: &mut Checker, field: &str, quantity: &Quantity) -> Option<Amount> {
    let amount = Amount::of(quantity);
    if amount.is_none() {
        let detail = format!("Invalid value: \"{}\": is not a quantity", quantity.0);
        checker.add(field, detail, "write amounts such as 250m, 1.5, 64Mi");
    }
    amount
}

fn name(checker: &mut Checker, name: &str, owner: Owner, field: &str) {
    let before = checker.count();
    checker.names(field, name, names::label_key_problems(name));
    if checker.count() == before
        && !name.contains('/')
        && !STANDARD.contains(&name)
        && !is_huge_pages(name.strip_prefix("requests.").unwrap_or(name))
    {
        checker.invalid(field, name, "must be a standard resource type or fully qualified");
    }
    match owner {
        Owner::Pod if checker.count() == before && !is_huge_pages(name) => {
            checker.supported(field, name, &OF_PODS);
        }
        Owner::Pod => {}
        Owner::Container if !name.contains('/') => {
            if !matches!(name, "cpu" | "memory" | "ephemeral-storage") && !is_huge_pages(name) {
                checker.invalid(field, name, "must be a standard resource for containers");
            }
        }
        Owner::Container if !is_native(name) && !is_extended(name) => {
            checker.invalid(field, name, "doesn't follow extended resource name standard");
        }
        Owner::Container => {}
    }
}

fn value(checker: &mut Checker, name: &str, quantity: &Quantity, field: &str) {
    let Some(amount) = read(checker, field, quantity) else { return };
    let text = amount.to_string();
    if amount.nano() < 0 {
        checker.invalid(field, &text, "must be greater than or equal to 0");
    }
    if is_extended(name) && amount.nano() % NANO != 0 {
        checker.invalid(field, &text, "must be an integer");
    }
    if let Some(size) = name.strip_prefix("hugepages-") {
        let size = resource_ref::parse_nano(size).filter(|size| *size > 0 && size % NANO == 0);
        let pieces = |size: i128| (amount.nano() + NANO - 1).div_euclid(NANO) % (size / NANO);
        if size.is_none_or(|size| pieces(size) != 0) {
            let detail = format!("{text} is not positive integer multiple of {name}");
            checker.invalid(field, &text, &detail);
        }
    }
}

fn overcommit(
    checker: &mut Checker,
    name: &str,
    request: &Quantity,
    limits: &BTreeMap<String, Quantity>,
    path: &str,
) {
    let allowed = is_native(name) && !is_huge_pages(name);
    let Some(limit) = limits.get(name) else {
        if !allowed {
            let detail = "Limit must be set for non overcommitable resources";
            checker.required(&format!("{path}.limits"), detail, "");
        }
        return;
    };
    let (Some(request), Some(limit)) = (Amount::of(request), Amount::of(limit)) else { return };
    let relation = match request.nano().cmp(&limit.nano()) {
        std::cmp::Ordering::Equal => return,
        _ if !allowed => "must be equal to",
        std::cmp::Ordering::Greater => "must be less than or equal to",
        std::cmp::Ordering::Less => return,
    };
    let detail = format!("{relation} {name} limit of {limit}");
    checker.invalid(&format!("{path}.requests"), &request.to_string(), &detail);
}

/// `of_pod` are the claims of the pod.
fn requirements(
    checker: &mut Checker,
    resources: &ResourceRequirements,
    owner: Owner,
    of_pod: &[PodResourceClaim],
    path: &str,
) {
    for (kind, amounts) in [("limits", &resources.limits), ("requests", &resources.requests)] {
        for (name, quantity) in amounts.iter().flatten() {
            let field = format!("{path}.{kind}[{name}]");
            self::name(checker, name, owner, &field);
            value(checker, name, quantity, &field);
        }
    }
    let empty = BTreeMap::new();
    let limits = resources.limits.as_ref().unwrap_or(&empty);
    let requests = resources.requests.as_ref().unwrap_or(&empty);
    for (name, request) in requests {
        overcommit(checker, name, request, limits, path);
    }
    let has = |test: fn(&str) -> bool| limits.keys().chain(requests.keys()).any(|name| test(name));
    if has(is_huge_pages) && !has(|name| matches!(name, "cpu" | "memory")) {
        checker.forbidden(path, "HugePages require cpu or memory");
    }
    claims(checker, resources.claims.as_deref().unwrap_or_default(), of_pod, path);
}

fn claims(checker: &mut Checker, claims: &[ResourceClaim], of_pod: &[PodResourceClaim], path: &str) {
    let known: BTreeSet<&str> =
        of_pod.iter().map(|claim| claim.name.as_str()).filter(|name| !name.is_empty()).collect();
    let mut seen: BTreeSet<(&str, &str)> = BTreeSet::new();
    for (index, claim) in claims.iter().enumerate() {
        let field = format!("{path}.claims[{index}]");
        let (name, request) = (claim.name.as_str(), claim.request.as_deref().unwrap_or_default());
        if name.is_empty() {
            checker.required(&field, "", "");
            continue;
        }
        if !request.is_empty() {
            checker.names(&format!("{field}.request"), request, names::label_problems(request));
        }
        // A claim as a whole holds all that can be requested of it.
        let whole = seen.contains(&(name, ""));
        if whole || (request.is_empty() && seen.iter().any(|(other, _)| *other == name)) {
            checker.duplicate(&field, name, "");
        } else if !seen.insert((name, request)) {
            checker.duplicate(&field, &format!("{name}/{request}"), "");
        }
        if !known.contains(name) {
            let names: Vec<&str> = known.iter().copied().collect();
            let known = if names.is_empty() {
                " which is empty".to_owned()
            } else {
                format!(": {}", names.join(", "))
            };
            let detail =
                format!("Not found: \"{name}\": must be one of the names in pod.spec.resourceClaims{known}");
            checker.add(&field, detail, "");
        }
    }
}

/// Checks the requirements of a container.
pub(super) fn of_container(checker: &mut Checker, container: &Container, spec: &PodSpec, path: &str) {
    if let Some(resources) = &container.resources {
        let claims = spec.resource_claims.as_deref().unwrap_or_default();
        requirements(checker, resources, Owner::Container, claims, &format!("{path}.resources"));
    }
}

/// A pod as a whole has to be given what its containers are.
fn room_for_containers(checker: &mut Checker, spec: &PodSpec, resources: &ResourceRequirements) {
    for (side, kind) in [(Side::Requests, "requests"), (Side::Limits, "limits")] {
        for (name, sum) in amount::of_containers(spec, side) {
            // Other limits of containers may be more than the pod's together; they are not all used at once.
            if side == Side::Limits && !is_huge_pages(name) {
                continue;
            }
            let own = amount::list(Some(resources), side).and_then(|list| Amount::of(list.get(name)?));
            if let Some(own) = own.filter(|own| sum.nano() > own.nano()) {
                let detail = format!("must be greater than or equal to aggregate container {kind} of {sum}");
                checker.invalid(&format!("spec.resources.{kind}[{name}]"), &own.to_string(), &detail);
            }
        }
    }
    let of_pod = resources.limits.iter().flatten();
    let of_pod: Vec<_> = of_pod.filter_map(|(name, quantity)| Some((name, Amount::of(quantity)?))).collect();
    for (index, container) in spec.containers.iter().enumerate() {
        let own = amount::list(container.resources.as_ref(), Side::Limits);
        for (name, limit) in &of_pod {
            let own = own.and_then(|list| Amount::of(list.get(*name)?));
            if let Some(own) = own.filter(|own| own.nano() > limit.nano()) {
                let field = format!("spec.resources.containers[{index}][{name}].limits");
                let detail = format!("must be less than or equal to pod limits of {limit}");
                checker.invalid(&field, &own.to_string(), &detail);
            }
        }
    }
}

/// Checks the amounts that are not a container's.
pub(super) fn of_pod(checker: &mut Checker, spec: &PodSpec) {
    if let Some(resources) = &spec.resources {
        if resources.claims.is_some() {
            let detail = "claims may not be set for Resources at pod-level";
            checker.forbidden("spec.resources.claims", detail);
        }
        let claims = spec.resource_claims.as_deref().unwrap_or_default();
        requirements(checker, resources, Owner::Pod, claims, "spec.resources");
        room_for_containers(checker, spec, resources);
    }
    // The API server judges overhead as if it were limits, and names it so.
    let overhead = ResourceRequirements { limits: spec.overhead.clone(), ..ResourceRequirements::default() };
    requirements(checker, &overhead, Owner::Container, &[], "spec.overhead");
}
