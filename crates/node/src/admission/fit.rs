//! Whether what a pod requests is still free.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Node, Pod};

use super::{Rejection, runs};
use crate::{
    quantity::{Quantity, ResourceList, numbers},
    resources,
};

/// Everything that does not fit: pod count, cpu, memory, ephemeral storage, then the others by name. Extended
/// resources that the node does not list belong to the cluster and are not counted.
pub(super) fn failures(pod: &Pod, node: &Node, others: &[&Pod]) -> Vec<Rejection> {
    let allocatable = numbers(node.status.as_ref().and_then(|status| status.allocatable.as_ref()));
    let mut found = Vec::new();
    let allowed = allocatable.get("pods").copied().unwrap_or(Quantity::ZERO).value();
    let present = i64::try_from(others.len()).unwrap_or(i64::MAX);
    if present.saturating_add(1) > allowed {
        found.push(Rejection::Insufficient {
            resource: "pods".to_owned(),
            requested: 1,
            used: present,
            capacity: allowed,
        });
    }
    let mut request = known_only(resources::pod_requests(pod), &allocatable);
    if runs(pod) {
        // A device plugin that has gone takes nothing back from those that have it.
        let gone = |name: &String| allocatable.get(name).is_some_and(|amount| amount.is_zero());
        request.retain(|name, _| !(resources::is_extended(name) && gone(name)));
    }
    let request = counted(&request);
    if request.values().all(|amount| *amount == 0) {
        return found;
    }
    let mut used: BTreeMap<Resource, i64> = BTreeMap::new();
    for other in others {
        for (name, amount) in counted(&resources::pod_requests(other)) {
            let sum = used.entry(name).or_default();
            *sum = sum.saturating_add(amount);
        }
    }
    let free = counted(&allocatable);
    for (resource, requested) in request {
        let used = used.get(&resource).copied().unwrap_or(0);
        let capacity = free.get(&resource).copied().unwrap_or(0);
        if requested > 0 && requested > capacity.saturating_sub(used) {
            found.push(Rejection::Insufficient { resource: resource.0.1, requested, used, capacity });
        }
    }
    found
}

/// A resource in the order in which shortages are reported: cpu, memory, ephemeral storage, then by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Resource((u8, String));

/// Whole numbers to compare: thousandths of cpu, else rounded up. Resources that nobody counts are left out.
fn counted(list: &ResourceList) -> BTreeMap<Resource, i64> {
    let one = |(name, amount): (&String, &Quantity)| {
        let (rank, amount) = match name.as_str() {
            "cpu" => (0, amount.milli_value()),
            "memory" => (1, amount.value()),
            "ephemeral-storage" => (2, amount.value()),
            other if is_scalar(other) => (3, amount.value()),
            _ => return None,
        };
        Some((Resource((rank, name.clone())), amount))
    };
    list.iter().filter_map(one).collect()
}

fn is_scalar(name: &str) -> bool {
    resources::is_extended(name)
        || name.starts_with(resources::HUGE_PAGES_PREFIX)
        || name.contains("kubernetes.io/")
        || name.starts_with("attachable-volumes-")
}

fn known_only(mut request: ResourceList, allocatable: &ResourceList) -> ResourceList {
    request.retain(|name, _| !resources::is_extended(name) || allocatable.contains_key(name));
    request
}
