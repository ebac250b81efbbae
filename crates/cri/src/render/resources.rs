//! Cgroup values to and from the wire.

use k8s_openapi::{api::core::v1::ResourceRequirements, apimachinery::pkg::api::resource::Quantity};
use proto::cri::{HugepageLimit, LinuxContainerResources};
use seams::runtime::LinuxResources;

/// To the wire; zero means unset on both sides.
#[must_use]
pub fn to_wire(resources: &LinuxResources) -> LinuxContainerResources {
    LinuxContainerResources {
        cpu_period: resources.cpu_period,
        cpu_quota: resources.cpu_quota,
        cpu_shares: resources.cpu_shares,
        memory_limit_in_bytes: resources.memory_limit,
        oom_score_adj: resources.oom_score_adj,
        cpuset_cpus: String::new(),
        cpuset_mems: String::new(),
        hugepage_limits: resources
            .hugepage_limits
            .iter()
            .map(|(size, limit)| HugepageLimit { page_size: size.clone(), limit: *limit })
            .collect(),
        unified: resources.unified.iter().cloned().collect(),
        memory_swap_limit_in_bytes: resources.memory_swap_limit,
    }
}

/// What the runtime says is in force, in the API's terms: CPU limit from quota and period, CPU request from shares,
/// memory limit. `None` when it says nothing.
#[must_use]
pub fn from_wire(linux: &LinuxContainerResources) -> Option<ResourceRequirements> {
    let mut found = ResourceRequirements::default();
    if linux.cpu_period > 0 && linux.cpu_quota > 0 {
        let milli = i128::from(linux.cpu_quota) * 1000 / i128::from(linux.cpu_period);
        if milli > 0 {
            found.limits.get_or_insert_default().insert("cpu".into(), milli_quantity(milli));
        }
    }
    // 2 shares is the kernel's minimum and stands for "no request" (upstream's MinShares).
    if linux.cpu_shares >= 2 {
        let milli = (i128::from(linux.cpu_shares) * 1000 + 1023) / 1024;
        found.requests.get_or_insert_default().insert("cpu".into(), milli_quantity(milli));
    }
    if linux.memory_limit_in_bytes > 0 {
        let bytes = binary_quantity(linux.memory_limit_in_bytes);
        found.limits.get_or_insert_default().insert("memory".into(), bytes);
    }
    (found.limits.is_some() || found.requests.is_some()).then_some(found)
}

/// Canonical form: whole units without suffix where they divide, else thousandths.
fn milli_quantity(milli: i128) -> Quantity {
    if milli % 1000 == 0 { Quantity((milli / 1000).to_string()) } else { Quantity(format!("{milli}m")) }
}

/// Canonical form: the largest binary suffix that divides.
fn binary_quantity(bytes: i64) -> Quantity {
    let mut value = bytes;
    let mut suffix = "";
    for next in ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"] {
        if value % 1024 != 0 {
            break;
        }
        value /= 1024;
        suffix = next;
    }
    Quantity(format!("{value}{suffix}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resources_in_force_read_back_in_api_terms() {
        let read = from_wire(&LinuxContainerResources {
            cpu_period: 100_000,
            cpu_quota: 50_000,
            cpu_shares: 102,
            memory_limit_in_bytes: 128 << 20,
            ..Default::default()
        })
        .unwrap();
        let limits = read.limits.unwrap();
        assert_eq!(limits["cpu"], Quantity("500m".into()));
        assert_eq!(limits["memory"], Quantity("128Mi".into()));
        assert_eq!(read.requests.unwrap()["cpu"], Quantity("100m".into()));
        let whole = from_wire(&LinuxContainerResources { cpu_shares: 2048, ..Default::default() }).unwrap();
        assert_eq!(whole.requests.unwrap()["cpu"], Quantity("2".into()));
    }

    #[test]
    fn nothing_and_unlimited_are_no_resources() {
        assert_eq!(from_wire(&LinuxContainerResources::default()), None);
        let unlimited = LinuxContainerResources { cpu_period: 100_000, cpu_quota: -1, ..Default::default() };
        assert_eq!(from_wire(&unlimited), None);
    }
}
