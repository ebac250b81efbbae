//! Resources in statuses (contract §10, §11).

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{Container, ContainerStatus, PodSpec, PodStatus, ResourceRequirements},
    apimachinery::pkg::api::resource::Quantity,
};

use super::Input;
use crate::{
    decide::restart,
    observation::{ContainerRecord, RuntimeState},
    spec::resource_ref::parse_nano,
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

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Requests,
    Limits,
}

/// A sum that remembers how its parts were written.
#[derive(Clone, Default)]
struct Sum {
    nano: i128,
    /// The only part so far, verbatim.
    text: Option<String>,
    binary: bool,
}

impl Sum {
    fn of(quantity: &Quantity) -> Option<Self> {
        let nano = parse_nano(&quantity.0)?;
        Some(Self { nano, text: Some(quantity.0.clone()), binary: quantity.0.ends_with('i') })
    }

    fn plus(self, other: Self) -> Self {
        match (self.nano, other.nano) {
            (0, _) => other,
            (_, 0) => self,
            (a, b) => Self { nano: a.saturating_add(b), text: None, binary: self.binary || other.binary },
        }
    }

    fn max(self, other: Self) -> Self {
        if other.nano > self.nano { other } else { self }
    }

    /// Canonical: the largest suffix that leaves a whole number.
    fn quantity(self) -> Quantity {
        if let Some(text) = self.text {
            return Quantity(text);
        }
        const NANO: i128 = 1_000_000_000;
        let suffixes: &[(i128, &str)] = if self.binary {
            &[(NANO << 40, "Ti"), (NANO << 30, "Gi"), (NANO << 20, "Mi"), (NANO << 10, "Ki"), (NANO, "")]
        } else {
            &[
                (NANO * 1_000_000_000_000, "T"),
                (NANO * 1_000_000_000, "G"),
                (NANO * 1_000_000, "M"),
                (NANO * 1_000, "k"),
                (NANO, ""),
            ]
        };
        let small = [(NANO / 1_000, "m"), (NANO / 1_000_000, "u"), (1, "n")];
        let fit = suffixes.iter().chain(&small).find(|(unit, _)| self.nano % unit == 0);
        fit.map_or_else(
            || Quantity("0".to_owned()),
            |(unit, suffix)| Quantity(format!("{}{suffix}", self.nano / unit)),
        )
    }
}

/// Regular containers and sidecars run together; each init container runs beside the sidecars before it.
fn total(spec: &PodSpec, side: Side) -> Resources {
    let mut names = BTreeMap::new();
    let inits = || spec.init_containers.iter().flatten();
    for container in spec.containers.iter().chain(inits()) {
        for name in list(container.resources.as_ref(), side).into_iter().flat_map(BTreeMap::keys) {
            names.insert(name.clone(), ());
        }
    }
    let overhead = spec.overhead.iter().flatten();
    if side == Side::Requests {
        names.extend(overhead.map(|(name, _)| (name.clone(), ())));
    }
    let mut totals = Resources::new();
    for name in names.into_keys() {
        let part =
            |container: &Container| list(container.resources.as_ref(), side)?.get(&name).and_then(Sum::of);
        let running = spec.containers.iter().chain(inits().filter(|c| restart::is_sidecar(c)));
        let together = running.filter_map(part).fold(Sum::default(), Sum::plus);
        let (mut before, mut highest) = (Sum::default(), Sum::default());
        for container in inits() {
            let own = part(container).unwrap_or_default();
            if restart::is_sidecar(container) {
                before = before.plus(own);
                highest = highest.max(before.clone());
            } else {
                highest = highest.max(before.clone().plus(own));
            }
        }
        let mut total = together.max(highest);
        let overhead = spec.overhead.as_ref().and_then(|list| list.get(&name)).and_then(Sum::of);
        if let Some(overhead) = overhead.filter(|_| side == Side::Requests || total.nano > 0) {
            total = total.plus(overhead);
        }
        totals.insert(name, total.quantity());
    }
    let pod_level = list(spec.resources.as_ref(), side).into_iter().flatten();
    totals.extend(pod_level.map(|(name, quantity)| (name.clone(), quantity.clone())));
    totals
}

fn list(resources: Option<&ResourceRequirements>, side: Side) -> Option<&Resources> {
    let resources = resources?;
    match side {
        Side::Requests => resources.requests.as_ref(),
        Side::Limits => resources.limits.as_ref(),
    }
}
