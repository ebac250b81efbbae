//! Reservations, enforcement, cgroups, memory per NUMA node.

use std::collections::{BTreeMap, BTreeSet};

use node::quantity::Quantity;

use super::Checks;
use crate::{cpuset, gates::Gate};

const LEVELS: [&str; 6] = [
    "pods",
    "system-reserved",
    "system-reserved-compressible",
    "kube-reserved",
    "kube-reserved-compressible",
    "none",
];

pub(super) fn check(checks: &mut Checks<'_>) {
    enforcement(checks);
    reservations(checks);
    numa(checks);
    let config = checks.config;
    if !config.system_cgroups.is_empty() && config.cgroup_root.is_empty() {
        let cause = "invalid configuration: systemCgroups (--system-cgroups) was specified and cgroupRoot (--cgroup-root) was not specified";
        checks.fail("systemCgroups", cause, "set cgroupRoot: / as well");
    }
    if let Err(error) = config
        .container_log_max_size
        .parse::<Quantity>()
        .map(Quantity::value)
        .map_err(|error| error.to_string())
        // Below zero there is no limit, and no rotation (upstream's stub log manager).
        .and_then(|size| if size == 0 { Err("must not be zero".to_owned()) } else { Ok(()) })
    {
        let cause = format!(
            "invalid configuration: {} {:?}: {error}",
            Checks::called("containerLogMaxSize"),
            config.container_log_max_size
        );
        checks.fail("containerLogMaxSize", cause, "write a size such as 10Mi, or -1 to rotate nothing");
    }
}

fn enforcement(checks: &mut Checks<'_>) {
    let config = checks.config;
    let path = "enforceNodeAllocatable";
    let levels = &config.enforce_node_allocatable;
    let has = |level: &str| levels.iter().any(|other| other == level);
    for owner in ["system-reserved", "kube-reserved"] {
        let compressible = format!("{owner}-compressible");
        if has(owner) && has(&compressible) {
            let cause = format!(
                "invalid configuration: both {owner:?} and {compressible:?} cannot be specified together in enforceNodeAllocatable (--enforce-node-allocatable)"
            );
            checks.fail(path, cause, "keep one of them");
        }
    }
    let mut seen = BTreeSet::new();
    for level in levels {
        if !seen.insert(level) {
            let cause = format!(
                "invalid configuration: duplicated enforcements {level:?} in enforceNodeAllocatable (--enforce-node-allocatable)"
            );
            checks.fail(path, cause, "name each level once");
            continue;
        }
        let cgroup = match level.as_str() {
            "pods" => None,
            "system-reserved" | "system-reserved-compressible" => Some((
                &config.system_reserved_cgroup,
                "systemReservedCgroup (--system-reserved-cgroup)",
                "system-reserved",
            )),
            "kube-reserved" | "kube-reserved-compressible" => Some((
                &config.kube_reserved_cgroup,
                "kubeReservedCgroup (--kube-reserved-cgroup)",
                "kube-reserved",
            )),
            "none" => {
                if levels.len() > 1 {
                    let cause = "invalid configuration: enforceNodeAllocatable (--enforce-node-allocatable) may not contain additional enforcements when \"none\" is specified";
                    checks.fail(path, cause, "delete the other levels");
                }
                continue;
            }
            _ => {
                let cause = format!(
                    "invalid configuration: option {level:?} specified for enforceNodeAllocatable (--enforce-node-allocatable). Valid options are {}",
                    LEVELS.map(|level| format!("{level:?}")).join(", ")
                );
                checks.fail(path, cause, "write some of these words");
                continue;
            }
        };
        if let Some((cgroup, field, owner)) = cgroup
            && cgroup.is_empty()
        {
            let cause = format!(
                "invalid configuration: {field} must be specified when {owner:?} or \"{owner}-compressible\" included in enforceNodeAllocatable (--enforce-node-allocatable)"
            );
            checks.fail(path, cause, "name the cgroup, or delete the level");
        }
        if !config.cgroups_per_qos {
            let cause = format!(
                "invalid configuration: cgroupsPerQOS (--cgroups-per-qos) must be set to true when {level:?} contained in enforceNodeAllocatable (--enforce-node-allocatable)"
            );
            checks.fail(path, cause, "set enforceNodeAllocatable: [none] to run without these cgroups");
        }
    }
}

fn reservations(checks: &mut Checks<'_>) {
    let config = checks.config;
    for (path, map) in [("systemReserved", &config.system_reserved), ("kubeReserved", &config.kube_reserved)]
    {
        reserved(checks, path, map);
    }
    for (resource, share) in &config.qos_reserved {
        let path = format!("qosReserved.{resource}");
        if resource != "memory" {
            checks.fail(
                &path,
                format!("cannot reserve {resource:?} resource"),
                "only memory can be reserved by QoS class",
            );
        } else if share
            .strip_suffix('%')
            .and_then(|share| share.parse::<i64>().ok())
            .is_none_or(|share| !(0..=100).contains(&share))
        {
            let cause = format!(
                "failed to parse percentage {share:?} for {resource:?} resource: percentage must be between 0 and 100"
            );
            checks.fail(&path, cause, "write a percentage such as 50%");
        }
    }
    if !config.qos_reserved.is_empty() && !checks.on(Gate::QOSReserved) {
        let cause = "invalid configuration: qosReserved (--qos-reserved) requires feature gate QOSReserved";
        checks.fail("qosReserved", cause, "enable the gate, or delete the field");
    }
    if config.reserved_system_cpus.is_empty() {
        return;
    }
    if !config.system_reserved_cgroup.is_empty() || !config.kube_reserved_cgroup.is_empty() {
        let cause = "invalid configuration: can't use reservedSystemCPUs (--reserved-cpus) with systemReservedCgroup (--system-reserved-cgroup) or kubeReservedCgroup (--kube-reserved-cgroup)";
        checks.fail("reservedSystemCPUs", cause, "reserve CPUs by list or by cgroup, not both");
    }
    if let Err(error) = cpuset::parse(&config.reserved_system_cpus) {
        let cause = format!(
            "invalid configuration: unable to parse reservedSystemCPUs (--reserved-cpus) {}, error: {error}",
            config.reserved_system_cpus
        );
        checks.fail("reservedSystemCPUs", cause, "write a list such as 0-1,8");
    }
}

fn reserved(checks: &mut Checks<'_>, field: &str, map: &BTreeMap<String, String>) {
    for (resource, amount) in map {
        let path = format!("{field}.{resource}");
        let prefix = if field == "systemReserved" { "--system-reserved" } else { "--kube-reserved" };
        let (cause, hint) = match amount.parse::<Quantity>() {
            _ if !matches!(resource.as_str(), "cpu" | "memory" | "ephemeral-storage" | "pid") => (
                format!("cannot reserve {resource:?} resource"),
                "reserve cpu, memory, ephemeral-storage or pid",
            ),
            Err(error) => (
                format!("failed to parse quantity {amount:?} for {resource:?} resource: {error}"),
                "write a quantity such as 200m or 500Mi",
            ),
            Ok(quantity) if quantity.is_negative() => (
                format!("resource quantity for {resource:?} cannot be negative: {amount}"),
                "write zero or more",
            ),
            Ok(_) => continue,
        };
        checks.fail(&path, format!("{prefix} value failed to parse: {cause}"), hint);
    }
}

fn numa(checks: &mut Checks<'_>) {
    let mut seen = BTreeSet::new();
    for reservation in &checks.config.reserved_memory {
        let node = reservation.numa_node;
        for (kind, amount) in &reservation.limits {
            if kind != "memory" && !kind.starts_with("hugepages-") {
                let cause = format!(
                    "invalid configuration: the limit type {kind:?} for NUMA node {node} is not supported, only [memory hugepages-<HugePageSize>] is accepted"
                );
                checks.fail("reservedMemory", cause, "reserve memory or hugepages-<size>");
            }
            if amount.parse::<Quantity>().is_ok_and(Quantity::is_zero) {
                let cause = format!(
                    "invalid configuration: reserved memory may not be zero for NUMA node {node} and resource {kind:?}"
                );
                checks.fail("reservedMemory", cause, "delete the entry");
            }
            if !seen.insert((node, kind)) {
                let cause = format!(
                    "invalid configuration: the reserved memory has a duplicate value for NUMA node {node} and resource {kind:?}"
                );
                checks.fail("reservedMemory", cause, "keep one of them");
            }
        }
    }
}
