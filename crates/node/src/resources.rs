//! What a pod asks for and is limited to, summed over its containers.
//!
//! The rule (component-helpers' `resource`, part of the API): regular containers and sidecars run together, so they
//! add up. An ordinary init container runs with the sidecars started before it, so it counts as a maximum. Pod-level
//! values of cpu, memory and huge pages replace the sum. The runtime class's overhead comes on top.

use k8s_openapi::api::core::v1::{Container, Pod};

use crate::quantity::{Quantity, ResourceList, numbers};

/// Prefix of huge page resources: `hugepages-2Mi`.
pub const HUGE_PAGES_PREFIX: &str = "hugepages-";

/// All containers that run by themselves: init containers in order, then the regular ones. No ephemeral ones: they
/// have no resources.
pub fn containers(pod: &Pod) -> impl Iterator<Item = &Container> {
    let spec = pod.spec.as_ref();
    let init = spec.and_then(|spec| spec.init_containers.as_deref()).unwrap_or_default();
    let regular = spec.map(|spec| spec.containers.as_slice()).unwrap_or_default();
    init.iter().chain(regular)
}

/// An init container that keeps running beside the regular ones: `restartPolicy: Always`.
#[must_use]
pub fn is_sidecar(container: &Container) -> bool {
    container.restart_policy.as_deref() == Some("Always")
}

/// Resources that can be set for a pod as a whole.
fn is_pod_level(name: &str) -> bool {
    matches!(name, "cpu" | "memory") || name.starts_with(HUGE_PAGES_PREFIX)
}

/// Which side of resource requirements.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Requests,
    Limits,
}

fn pod_level(pod: &Pod, side: Side) -> ResourceList {
    let level = pod.spec.as_ref().and_then(|spec| spec.resources.as_ref());
    let mut list = numbers(level.and_then(|level| match side {
        Side::Requests => level.requests.as_ref(),
        Side::Limits => level.limits.as_ref(),
    }));
    list.retain(|name, _| is_pod_level(name));
    list
}

/// Whether requests or limits of a supported kind are set for the pod as a whole.
#[must_use]
pub fn has_pod_level(pod: &Pod) -> bool {
    has_pod_level_requests(pod) || !pod_level(pod, Side::Limits).is_empty()
}

/// Whether requests of a supported kind are set for the pod as a whole.
#[must_use]
pub fn has_pod_level_requests(pod: &Pod) -> bool {
    !pod_level(pod, Side::Requests).is_empty()
}

/// Limits of a supported kind that are set for the pod as a whole.
#[must_use]
pub fn pod_level_limits(pod: &Pod) -> ResourceList {
    pod_level(pod, Side::Limits)
}

/// Requests that are set for the pod as a whole, of a supported kind.
#[must_use]
pub fn pod_level_requests(pod: &Pod) -> ResourceList {
    pod_level(pod, Side::Requests)
}

/// Requests of one container.
#[must_use]
pub fn container_requests(container: &Container) -> ResourceList {
    numbers(container.resources.as_ref().and_then(|both| both.requests.as_ref()))
}

/// Limits of one container.
#[must_use]
pub fn container_limits(container: &Container) -> ResourceList {
    numbers(container.resources.as_ref().and_then(|both| both.limits.as_ref()))
}

/// Requests of all containers by the rule of the module; no pod-level values, no overhead.
#[must_use]
pub fn aggregated_requests(pod: &Pod) -> ResourceList {
    aggregate(pod, container_requests)
}

/// Requests of a pod: pod-level values win over the sum, overhead is added.
#[must_use]
pub fn pod_requests(pod: &Pod) -> ResourceList {
    let mut total = aggregated_requests(pod);
    total.extend(pod_level(pod, Side::Requests));
    add(&mut total, &overhead(pod));
    total
}

/// Limits of a pod: as [`pod_requests`], but overhead is added only to what is limited at all.
#[must_use]
pub fn pod_limits(pod: &Pod) -> ResourceList {
    let mut total = aggregate(pod, container_limits);
    total.extend(pod_level(pod, Side::Limits));
    for (name, extra) in overhead(pod) {
        if let Some(limit) = total.get_mut(&name).filter(|limit| !limit.is_zero()) {
            *limit = limit.plus(extra);
        }
    }
    total
}

/// `spec.overhead`: what the runtime class needs by itself.
#[must_use]
pub fn overhead(pod: &Pod) -> ResourceList {
    numbers(pod.spec.as_ref().and_then(|spec| spec.overhead.as_ref()))
}

fn aggregate(pod: &Pod, of: impl Fn(&Container) -> ResourceList) -> ResourceList {
    let mut together = ResourceList::new();
    let mut sidecars = ResourceList::new();
    let mut starting = ResourceList::new();
    let Some(spec) = &pod.spec else { return together };
    for container in &spec.containers {
        add(&mut together, &of(container));
    }
    for container in spec.init_containers.iter().flatten() {
        let own = of(container);
        if is_sidecar(container) {
            add(&mut together, &own);
            add(&mut sidecars, &own);
            raise(&mut starting, &sidecars);
        } else {
            let mut now = own;
            add(&mut now, &sidecars);
            raise(&mut starting, &now);
        }
    }
    raise(&mut together, &starting);
    together
}

fn add(list: &mut ResourceList, more: &ResourceList) {
    for (name, quantity) in more {
        list.entry(name.clone()).and_modify(|sum| *sum = sum.plus(*quantity)).or_insert(*quantity);
    }
}

fn raise(list: &mut ResourceList, other: &ResourceList) {
    for (name, quantity) in other {
        let most = list.entry(name.clone()).or_insert(*quantity);
        if *quantity > *most {
            *most = *quantity;
        }
    }
}

/// Whether a resource is known to Kubernetes itself: unprefixed, or in `*kubernetes.io/`.
#[must_use]
pub fn is_native(name: &str) -> bool {
    !name.contains('/') || name.contains("kubernetes.io/")
}

/// Whether a resource is extended: somebody else's, with a valid qualified name.
#[must_use]
pub fn is_extended(name: &str) -> bool {
    !is_native(name) && !name.starts_with("requests.") && is_qualified(&format!("requests.{name}"))
}

/// `prefix/name` with a DNS subdomain before the slash and at most 63 of `[A-Za-z0-9_.-]` behind it, alphanumeric at
/// both ends.
fn is_qualified(text: &str) -> bool {
    let alphanumeric = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let ends = |text: &[u8]| alphanumeric(text.first()) && alphanumeric(text.last());
    let Some((prefix, name)) = text.split_once('/') else { return false };
    let name_fits = name.len() <= 63
        && ends(name.as_bytes())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    let label = |label: &str| {
        ends(label.as_bytes())
            && label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    };
    name_fits && prefix.len() <= 253 && prefix.split('.').all(label)
}

/// Page size in bytes of a huge page resource; `None` for other resources and for sizes that are no quantity.
#[must_use]
pub fn huge_page_size(name: &str) -> Option<u64> {
    let size: Quantity = name.strip_prefix(HUGE_PAGES_PREFIX)?.parse().ok()?;
    u64::try_from(size.value()).ok().filter(|bytes| *bytes > 0)
}

/// Name of a huge page resource: `hugepages-2Mi`.
#[must_use]
pub fn huge_page_resource(page_bytes: u64) -> String {
    format!("{HUGE_PAGES_PREFIX}{}", Quantity::bytes(page_bytes))
}

/// A page size as the kernel and CRI write it: `2MB`, `64KB`. `None` where it is not a whole number of its unit below
/// 1024, which no kernel has.
#[must_use]
pub fn huge_page_unit(page_bytes: u64) -> Option<String> {
    let units = ["B", "KB", "MB", "GB", "TB", "PB"];
    let mut number = page_bytes;
    let mut unit = 0;
    while number > 0 && number.is_multiple_of(1024) && unit + 1 < units.len() {
        number /= 1024;
        unit += 1;
    }
    (number > 0 && number <= 1024).then(|| format!("{number}{}", units.get(unit).copied().unwrap_or("B")))
}

#[cfg(test)]
mod tests;
