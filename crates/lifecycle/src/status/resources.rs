//! Resources in statuses (contract §10, §11).

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{Container, ContainerStatus, PodSpec, PodStatus, ResourceRequirements},
    apimachinery::pkg::api::resource::Quantity,
};

use super::Input;
use crate::{
    observation::{ContainerRecord, RuntimeState},
    spec::{
        amount::{self, Amount, Side},
        resource_ref::parse_nano,
    },
};

type Resources = BTreeMap<String, Quantity>;

/// CPU limits at or below this many nano-CPUs are all the same to the kernel: the spec's value is shown (10 m).
const SMALLEST_CPU_LIMIT: i128 = 10_000_000;
/// The same for CPU requests (2 m, two shares).
const SMALLEST_CPU_REQUEST: i128 = 2_000_000;

/// What is in force for a running container as the runtime tells it, else what was shown for this instance before; the
/// spec's values for all others. `old` is the last status of this very instance.
pub(super) fn of_container(
    container: &Container,
    record: &ContainerRecord,
    old: Option<&ContainerStatus>,
) -> ResourceRequirements {
    let mut shown = container.resources.clone().unwrap_or_default();
    if record.state != RuntimeState::Running {
        return shown;
    }
    let before = old.filter(|old| old.state.as_ref().is_some_and(|s| s.running.is_some()));
    let before = before.and_then(|old| old.resources.as_ref());
    let real = record.resources.as_ref();
    if let Some(limits) = &mut shown.limits {
        let (real, before) = (real.and_then(|r| r.limits.as_ref()), before.and_then(|r| r.limits.as_ref()));
        fill(limits, real, before, SMALLEST_CPU_LIMIT);
    }
    if let Some(requests) = &mut shown.requests {
        let (real, before) =
            (real.and_then(|r| r.requests.as_ref()), before.and_then(|r| r.requests.as_ref()));
        fill(requests, real, before, SMALLEST_CPU_REQUEST);
    }
    shown
}

fn fill(shown: &mut Resources, real: Option<&Resources>, before: Option<&Resources>, smallest_cpu: i128) {
    for name in ["cpu", "memory"] {
        let value = match (real.and_then(|r| r.get(name)), before.and_then(|b| b.get(name))) {
            (Some(real), _) => {
                let amount = |q: &Quantity| parse_nano(&q.0).unwrap_or(0);
                let spec = shown.get(name).map_or(0, amount);
                if name == "cpu" && amount(real) <= smallest_cpu && spec <= smallest_cpu {
                    continue;
                }
                // One value, one spelling: the spec's, so that a status does not change with the way it is read.
                if spec == amount(real) {
                    continue;
                }
                real
            }
            (None, Some(before)) => before,
            (None, None) => continue,
        };
        shown.insert(name.to_owned(), value.clone());
    }
}

/// Pod level: the sum over containers as the scheduler counts it, where a container without a value adds nothing.
///
/// Upstream shows the same until the pod runs. From its next look on it reads CPU and memory off the pod's cgroup, in the
/// kernel's rounding, and drops other resources (docs/compat.md): those are values that nobody asked for, and they
/// change without a cause, so the sums stay here.
pub(super) fn fill_pod(input: &Input<'_>, status: &mut PodStatus) {
    let requests = total(input.spec, Side::Requests);
    let limits = total(input.spec, Side::Limits);
    let some = |list: Resources| (!list.is_empty()).then_some(list);
    status.allocated_resources = some(requests.clone());
    status.resources = Some(ResourceRequirements {
        requests: some(requests),
        limits: some(limits),
        ..ResourceRequirements::default()
    });
}

/// The sum over containers with the overhead; limits have one only where there are any. Values of the pod as a whole win.
fn total(spec: &PodSpec, side: Side) -> Resources {
    let mut sums = amount::of_containers(spec, side);
    for (name, overhead) in spec.overhead.iter().flatten() {
        let sum = sums.get(name.as_str()).cloned();
        let Some(overhead) = Amount::of(overhead) else { continue };
        if side == Side::Requests || sum.as_ref().is_some_and(|sum| sum.nano() > 0) {
            sums.insert(name, sum.unwrap_or_default().plus(overhead));
        }
    }
    let mut totals: Resources =
        sums.into_iter().map(|(name, sum)| (name.to_owned(), sum.quantity())).collect();
    let pod_level = amount::list(spec.resources.as_ref(), side).into_iter().flatten();
    totals.extend(pod_level.map(|(name, quantity)| (name.clone(), quantity.clone())));
    totals
}
