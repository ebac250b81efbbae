//! Resources that a pod was admitted with. Its object may ask for others (contract §11); they are not given, and not half
//! given either: whoever reads the spec is to see what is in force, in the cgroup, in the runtime and in the status.
//!
//! A running pod has the resources of its version before ([`as_before`]). One that an earlier process ran has those that it
//! reported ([`as_reported`]).

use std::{collections::BTreeMap, sync::Arc};

use k8s_openapi::{
    api::core::v1::{Container, ContainerStatus, Pod, PodStatus, ResourceRequirements},
    apimachinery::pkg::api::resource::Quantity,
};

use super::resource_ref::parse_nano;

type Amounts = BTreeMap<String, Quantity>;

/// What can be asked for anew in the life of a pod.
const RESIZABLE: [&str; 2] = ["cpu", "memory"];

/// A new version of a pod, with the resources of the one before. The same one if it asks for nothing else.
#[must_use]
pub fn as_before(pod: &Arc<Pod>, before: &Pod) -> Arc<Pod> {
    let Some(old) = &before.spec else { return Arc::clone(pod) };
    let known = |name: &str| {
        let mut all = old.containers.iter().chain(old.init_containers.iter().flatten());
        all.find(|container| container.name == name).map(|container| container.resources.clone())
    };
    with(pod, Some(old.resources.clone()), |container| known(&container.name))
}

/// A pod with the resources of its containers that exist, as its status tells them. The same one if it asks for nothing
/// else.
#[must_use]
pub fn as_reported(pod: &Arc<Pod>) -> Arc<Pod> {
    let Some(status) = &pod.status else { return Arc::clone(pod) };
    let existing = |status: &&ContainerStatus| status.container_id.as_ref().is_some_and(|id| !id.is_empty());
    let all = || statuses(status).filter(existing);
    let wanted = pod.spec.as_ref().and_then(|spec| spec.resources.as_ref());
    let whole = wanted.filter(|_| all().next().is_some()).and_then(|wanted| {
        let level = status.allocated_resources.as_ref()?;
        let limits = status.resources.as_ref().and_then(|resources| resources.limits.as_ref());
        // The sums that a status shows are no wish of the pod's own: only what it names itself is taken from them.
        let named = |wanted: Option<&Amounts>, told: Option<&Amounts>| {
            let kept = wanted?.iter().map(|(name, amount)| {
                let told = told.and_then(|told| told.get(name)).filter(|_| is_resizable(name));
                (name.clone(), spelled(amount, told.unwrap_or(amount)))
            });
            Some(kept.collect())
        };
        Some(Some(ResourceRequirements {
            requests: named(wanted.requests.as_ref(), Some(level)),
            limits: named(wanted.limits.as_ref(), limits),
            ..wanted.clone()
        }))
    });
    with(pod, whole, |container| {
        let told = all().find(|told| told.name == container.name)?;
        let in_force = told.resources.as_ref()?;
        let requests = told.allocated_resources.as_ref().or(in_force.requests.as_ref());
        let wanted = container.resources.clone().unwrap_or_default();
        let merged = ResourceRequirements {
            requests: merged(wanted.requests.as_ref(), requests),
            limits: merged(wanted.limits.as_ref(), in_force.limits.as_ref()),
            ..wanted
        };
        let nothing = merged == ResourceRequirements::default();
        Some((!nothing || container.resources.is_some()).then_some(merged))
    })
}

fn statuses(status: &PodStatus) -> impl Iterator<Item = &ContainerStatus> {
    status.container_statuses.iter().chain(&status.init_container_statuses).flatten()
}

/// `resources` of the pod and of each container; `None` leaves them.
fn with(
    pod: &Arc<Pod>,
    whole: Option<Option<ResourceRequirements>>,
    of: impl Fn(&Container) -> Option<Option<ResourceRequirements>>,
) -> Arc<Pod> {
    let Some(spec) = &pod.spec else { return Arc::clone(pod) };
    let differs = |container: &Container| of(container).is_some_and(|known| known != container.resources);
    let mut all = spec.containers.iter().chain(spec.init_containers.iter().flatten());
    if !all.any(differs) && whole.as_ref().is_none_or(|whole| *whole == spec.resources) {
        return Arc::clone(pod);
    }
    let mut frozen = pod.as_ref().clone();
    if let Some(spec) = &mut frozen.spec {
        for container in spec.containers.iter_mut().chain(spec.init_containers.iter_mut().flatten()) {
            if let Some(known) = of(container) {
                container.resources = known;
            }
        }
        if let Some(whole) = whole {
            spec.resources = whole;
        }
    }
    Arc::new(frozen)
}

/// What can be resized as it was told, the rest as it is wanted.
fn merged(wanted: Option<&Amounts>, told: Option<&Amounts>) -> Option<Amounts> {
    let mut amounts = wanted.cloned().unwrap_or_default();
    for name in RESIZABLE {
        match told.and_then(|told| told.get(name)) {
            Some(told) => {
                let amount = amounts.get(name).map_or_else(|| told.clone(), |wanted| spelled(wanted, told));
                amounts.insert(name.to_owned(), amount);
            }
            None => {
                amounts.remove(name);
            }
        }
    }
    if amounts.is_empty() { wanted.filter(|wanted| wanted.is_empty()).cloned() } else { Some(amounts) }
}

/// One amount has one spelling: the spec's.
fn spelled(wanted: &Quantity, told: &Quantity) -> Quantity {
    let same = parse_nano(&wanted.0).is_some_and(|amount| parse_nano(&told.0) == Some(amount));
    if same { wanted.clone() } else { told.clone() }
}

fn is_resizable(name: &str) -> bool {
    RESIZABLE.contains(&name)
}

#[cfg(test)]
mod tests;
