//! What a pod declares of probes: which there are, and their times.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, Pod, Probe};
use lifecycle::spec::expansion::expand_bytes;

use super::Kind;

/// The probe of a kind that a container has.
pub(super) fn probe_of(kind: Kind, container: &Container) -> Option<&Probe> {
    match kind {
        Kind::Startup => container.startup_probe.as_ref(),
        Kind::Liveness => container.liveness_probe.as_ref(),
        Kind::Readiness => container.readiness_probe.as_ref(),
    }
}

/// Every kind, the one first that holds up the others.
pub(super) const KINDS: [Kind; 3] = [Kind::Startup, Kind::Liveness, Kind::Readiness];

/// Containers that may have probes, with the field path for events.
pub(super) fn containers(pod: &Pod) -> impl Iterator<Item = (&Container, String)> {
    let spec = pod.spec.as_ref();
    let regular = spec.into_iter().flat_map(|spec| &spec.containers);
    let regular = regular.map(|container| (container, format!("spec.containers{{{}}}", container.name)));
    let sidecars = spec.into_iter().flat_map(|spec| spec.init_containers.iter().flatten());
    let sidecars = sidecars.filter(|container| container.restart_policy.as_deref() == Some("Always"));
    regular.chain(sidecars.map(|container| (container, format!("spec.initContainers{{{}}}", container.name))))
}

/// `periodSeconds`, at least a second.
pub(super) fn period(probe: &Probe) -> Duration {
    seconds(probe.period_seconds, 10).max(Duration::from_secs(1))
}

/// A field of seconds; what is no number of seconds counts as left out.
pub(super) fn seconds(value: Option<i32>, default: u64) -> Duration {
    Duration::from_secs(value.and_then(|value| u64::try_from(value).ok()).unwrap_or(default))
}

/// A probe as it is run: `$(NAME)` in an exec probe's command is what the container's own list says of `NAME`. An entry
/// with `valueFrom` is empty there, as for upstream: nothing is looked up for a probe.
pub(super) fn expanded(probe: &Probe, container: &Container) -> Probe {
    let mut probe = probe.clone();
    let value = |name: &str| {
        // The last entry of a name wins.
        let entry = container.env.iter().flatten().rev().find(|entry| entry.name == name)?;
        Some(entry.value.clone().unwrap_or_default().into_bytes())
    };
    for part in probe.exec.iter_mut().flat_map(|exec| exec.command.iter_mut().flatten()) {
        // Whole texts are put between whole characters.
        *part = String::from_utf8_lossy(&expand_bytes(part.as_bytes(), value)).into_owned();
    }
    probe
}
