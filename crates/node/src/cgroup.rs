//! Cgroup values of containers, pods, QoS groups and of all pods together (contract §18).
//!
//! Everything is given in cgroup v1 terms (shares, quota and period); `linux` converts for v2 with [`weight`], and
//! the runtime does it for containers.

use k8s_openapi::api::core::v1::{Container, Pod};

use crate::{
    priority,
    qos::QosClass,
    quantity::{Quantity, ResourceList},
    resources,
};

mod oom;
pub use oom::{KUBELET_OOM_SCORE_ADJ, oom_score_adj};

/// Least cpu shares that the kernel takes.
pub const MIN_SHARES: u64 = 2;
/// Most cpu shares that the kernel takes.
pub const MAX_SHARES: u64 = 262_144;
/// Least quota, in µs: the kernel refuses less.
pub const MIN_QUOTA_MICROS: i64 = 1000;
/// Default period, in µs (`cpuCFSQuotaPeriod` 100 ms).
pub const DEFAULT_PERIOD_MICROS: u64 = 100_000;
/// Huge page limit that means none: 2⁶², as upstream writes for QoS groups.
pub const HUGE_PAGES_UNBOUNDED: u64 = 1 << 62;

/// Version of the cgroup hierarchy that holds the controllers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CgroupVersion {
    /// One hierarchy per controller (also the hybrid layout).
    V1,
    /// One unified hierarchy.
    V2,
}

/// What a cgroup is to hold. `None` leaves a value as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CgroupValues {
    /// cgroup v1 shares, 2 to 262144 (converted for v2, contract §18).
    pub cpu_shares: Option<u64>,
    /// (quota in µs or -1, period in µs).
    pub cpu_quota: Option<(i64, u64)>,
    /// Bytes.
    pub memory_limit: Option<i64>,
    /// Processes; -1 is `max`.
    pub pids_limit: Option<i64>,
    /// (page size as in the file names, such as `2MB`; bytes).
    pub hugepage_limits: Vec<(String, u64)>,
    /// Bytes that the group keeps whatever happens; cgroup v2 only.
    pub memory_min: Option<u64>,
    /// Bytes that the group keeps while others can give; cgroup v2 only.
    pub memory_low: Option<u64>,
}

/// CRI `LinuxContainerResources`. Zero means unset, as on the wire.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinuxResources {
    /// Microseconds.
    pub cpu_period: i64,
    /// Microseconds; -1 unlimited.
    pub cpu_quota: i64,
    /// Shares, 2 to 262144.
    pub cpu_shares: i64,
    /// Bytes.
    pub memory_limit: i64,
    /// -1000 to 1000.
    pub oom_score_adj: i64,
    /// Bytes; swap included.
    pub memory_swap_limit: i64,
    /// (page size such as `2MB`, limit in bytes).
    pub hugepage_limits: Vec<(String, u64)>,
    /// cgroup v2 files to set.
    pub unified: Vec<(String, String)>,
}

/// What containers get of the node's swap (`memorySwap.swapBehavior`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Swap {
    /// The kernel cannot limit it: nothing is said about it.
    Uncontrolled,
    /// None.
    NoSwap,
    /// Burstable containers get a share in proportion to their memory request; cgroup v2 only.
    Limited {
        /// Swap of the node in bytes.
        node_swap_bytes: u64,
    },
}

/// Node facts and settings by which values are computed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CgroupRules {
    /// Hierarchy.
    pub version: CgroupVersion,
    /// `cpuCFSQuotaPeriod` in µs; `None` when `cpuCFSQuota` is off.
    pub quota_period_micros: Option<u64>,
    /// Memory of the node in bytes.
    pub memory_bytes: u64,
    /// Huge page sizes of the node, in bytes.
    pub hugepage_sizes: Vec<u64>,
    /// Gate `MemoryQoS`. With its default policy it resets protections (`memory.min` and `low` to 0); without it
    /// `memory.high` is reset.
    pub memory_qos: bool,
    /// `singleProcessOOMKill`: the kernel kills one process of a container, not all.
    pub single_process_oom_kill: bool,
    /// Swap.
    pub swap: Swap,
    /// `podPidsLimit`; `None` or not above zero is no limit.
    pub pod_pids_limit: Option<i64>,
}

impl CgroupRules {
    /// The unified value by which the kernel kills all processes of a group that runs out of memory; `None` where it is
    /// not wanted, or cgroup v1 does not know it.
    #[must_use]
    pub fn oom_group(&self) -> Option<(String, String)> {
        let wanted = self.version == CgroupVersion::V2 && !self.single_process_oom_kill;
        wanted.then(|| ("memory.oom.group".to_owned(), "1".to_owned()))
    }
}

/// Shares for thousandths of a cpu: `milli × 1024 / 1000`, within what the kernel takes.
#[must_use]
pub fn shares(milli_cpu: i64) -> u64 {
    let shares = u128::try_from(milli_cpu).unwrap_or(0) * 1024 / 1000;
    u64::try_from(shares).unwrap_or(MAX_SHARES).clamp(MIN_SHARES, MAX_SHARES)
}

/// Quota in µs for thousandths of a cpu: `milli × period / 1000`, at least [`MIN_QUOTA_MICROS`]; 0 for no limit.
#[must_use]
pub fn quota(milli_cpu: i64, period_micros: u64) -> i64 {
    if milli_cpu == 0 {
        return 0;
    }
    let quota = i128::from(milli_cpu) * i128::from(period_micros) / 1000;
    i64::try_from(quota).unwrap_or(i64::MAX).max(MIN_QUOTA_MICROS)
}

/// `cpu.weight` (1 to 10000) for shares, linear: what the kubelet writes for its own groups.
#[must_use]
pub fn weight(shares: u64) -> u64 {
    if shares >= MAX_SHARES {
        10_000
    } else {
        1 + shares.saturating_sub(MIN_SHARES) * 9999 / (MAX_SHARES - MIN_SHARES)
    }
}

/// Shares for a `cpu.weight`: the inverse of [`weight`] as far as there is one.
#[must_use]
pub fn shares_of_weight(weight: u64) -> u64 {
    weight.clamp(1, 10_000).saturating_sub(1) * (MAX_SHARES - MIN_SHARES) / 9999 + MIN_SHARES
}

fn get(list: &ResourceList, name: &str) -> Quantity {
    list.get(name).copied().unwrap_or(Quantity::ZERO)
}

/// Values of one container for CRI.
#[must_use]
pub fn container_values(pod: &Pod, container: &Container, rules: &CgroupRules) -> LinuxResources {
    let requests = resources::container_requests(container);
    let limits = resources::container_limits(container);
    let pod_limits = resources::pod_level_limits(pod);
    let limit = |name: &str| {
        let own = get(&limits, name);
        if own.is_zero() { get(&pod_limits, name) } else { own }
    };
    let (cpu_limit, memory_limit) = (limit("cpu"), limit("memory").value());
    let cpu_request = requests.get("cpu").copied().unwrap_or(cpu_limit);
    let mut values = LinuxResources {
        cpu_shares: i64::try_from(shares(cpu_request.milli_value())).unwrap_or(i64::MAX),
        memory_limit,
        oom_score_adj: oom_score_adj(pod, container, rules.memory_bytes),
        hugepage_limits: container_hugepages(&pod_limits, &limits, &rules.hugepage_sizes),
        ..LinuxResources::default()
    };
    if let Some(period) = rules.quota_period_micros {
        values.cpu_period = i64::try_from(period).unwrap_or(i64::MAX);
        values.cpu_quota = quota(cpu_limit.milli_value(), period);
    }
    add_swap(&mut values, pod, container, rules);
    values.unified.extend(rules.oom_group());
    if rules.version == CgroupVersion::V2 {
        if rules.memory_qos {
            values.unified.push(("memory.min".to_owned(), "0".to_owned()));
            values.unified.push(("memory.low".to_owned(), "0".to_owned()));
        } else {
            values.unified.push(("memory.high".to_owned(), "max".to_owned()));
        }
        values.unified.sort();
    }
    values
}

/// A limit for every size of the node: the container's, else the pod's, else none at all (0).
fn container_hugepages(pod: &ResourceList, own: &ResourceList, sizes: &[u64]) -> Vec<(String, u64)> {
    let asked = |list: &ResourceList, size: u64| {
        list.iter()
            .find(|(name, _)| resources::huge_page_size(name) == Some(size))
            .map(|(_, quantity)| u64::try_from(quantity.value()).unwrap_or(0))
    };
    sizes
        .iter()
        .filter_map(|size| {
            let limit = asked(own, *size).or_else(|| asked(pod, *size)).unwrap_or(0);
            Some((resources::huge_page_unit(*size)?, limit))
        })
        .collect()
}

fn add_swap(values: &mut LinuxResources, pod: &Pod, container: &Container, rules: &CgroupRules) {
    let limited = match rules.swap {
        Swap::Uncontrolled => return,
        Swap::NoSwap => 0,
        Swap::Limited { node_swap_bytes } => swap_share(pod, container, rules.memory_bytes, node_swap_bytes),
    };
    match rules.version {
        CgroupVersion::V1 => values.memory_swap_limit = values.memory_limit,
        CgroupVersion::V2 => values.unified.push(("memory.swap.max".to_owned(), limited.to_string())),
    }
}

/// `request / memory × swap` for containers that may swap, else 0.
fn swap_share(pod: &Pod, container: &Container, memory_bytes: u64, swap_bytes: u64) -> u64 {
    let request = get(&resources::container_requests(container), "memory");
    let limit = get(&resources::container_limits(container), "memory");
    // Equal also when there is neither.
    if priority::is_critical(pod) || QosClass::of(pod) != QosClass::Burstable || request == limit {
        return 0;
    }
    let request = u64::try_from(request.value()).unwrap_or(0);
    if memory_bytes == 0 || request > memory_bytes {
        return 0;
    }
    #[expect(clippy::cast_precision_loss, reason = "upstream's formula, in floating point and truncated")]
    let share = request as f64 / memory_bytes as f64 * swap_bytes as f64;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "truncated as upstream does")]
    let share = share as u64;
    share
}

/// Values of a pod's cgroup.
#[must_use]
pub fn pod_values(pod: &Pod, rules: &CgroupRules) -> CgroupValues {
    let requests = resources::pod_requests(pod);
    let limits = resources::pod_limits(pod);
    let level = resources::pod_level_limits(pod);
    let limited = |name: &str| {
        !get(&level, name).is_zero()
            || resources::containers(pod)
                .all(|container| !get(&resources::container_limits(container), name).is_zero())
    };
    let class = QosClass::of(pod);
    let guaranteed = class == QosClass::Guaranteed;
    let period = rules.quota_period_micros.unwrap_or(DEFAULT_PERIOD_MICROS);
    let quota = match rules.quota_period_micros {
        Some(period) => quota(get(&limits, "cpu").milli_value(), period),
        None => -1,
    };
    let bounded = class != QosClass::BestEffort;
    CgroupValues {
        cpu_shares: Some(match class {
            QosClass::BestEffort => MIN_SHARES,
            _ => shares(get(&requests, "cpu").milli_value()),
        }),
        cpu_quota: (bounded && (guaranteed || limited("cpu"))).then_some((quota, period)),
        memory_limit: (bounded && (guaranteed || limited("memory"))).then(|| get(&limits, "memory").value()),
        pids_limit: rules.pod_pids_limit.filter(|limit| *limit > 0),
        hugepage_limits: sizes_or_zero(&requests, &rules.hugepage_sizes),
        ..CgroupValues::default()
    }
}

/// A limit for every huge page size of the node: what is in the list, or 0.
fn sizes_or_zero(list: &ResourceList, sizes: &[u64]) -> Vec<(String, u64)> {
    container_hugepages(&ResourceList::new(), list, sizes)
}

/// Values of a QoS group for the pods that are running: burstable gets the shares of its pods' requests, best effort
/// the least, both any number of huge pages. Guaranteed pods have no group of their own. What a kubelet that keeps memory for
/// burstable pods (`memoryReservationPolicy: TieredReservation`) has set is taken back.
#[must_use]
pub fn qos_values<'a>(
    class: QosClass,
    pods: impl IntoIterator<Item = &'a Pod>,
    hugepage_sizes: &[u64],
) -> CgroupValues {
    let milli = match class {
        QosClass::Burstable => pods
            .into_iter()
            .filter(|pod| QosClass::of(pod) == QosClass::Burstable)
            .map(|pod| get(&resources::pod_requests(pod), "cpu").milli_value())
            .fold(0i64, i64::saturating_add),
        _ => 0,
    };
    CgroupValues {
        cpu_shares: (class != QosClass::Guaranteed).then(|| shares(milli)),
        hugepage_limits: unbounded_hugepages(hugepage_sizes),
        memory_low: (class == QosClass::Burstable).then_some(0),
        ..CgroupValues::default()
    }
}

/// Values of `kubepods`, the group of all pods: the given list (capacity, or allocatable without eviction thresholds,
/// see [`crate::capacity::NodeResources::enforced`]) of cpu, memory and `pid`. It is also the group of guaranteed pods,
/// and like those of the other classes it bounds no huge pages. Nothing is kept for pods that they do not use, whatever an
/// earlier kubelet has set.
#[must_use]
pub fn kubepods_values(list: &ResourceList, hugepage_sizes: &[u64]) -> CgroupValues {
    CgroupValues {
        cpu_shares: list.get("cpu").map(|cpu| shares(cpu.milli_value())),
        cpu_quota: None,
        memory_limit: list.get("memory").map(|memory| memory.value()),
        pids_limit: list.get("pid").map(|pids| pids.value()),
        hugepage_limits: unbounded_hugepages(hugepage_sizes),
        memory_min: Some(0),
        memory_low: Some(0),
    }
}

fn unbounded_hugepages(sizes: &[u64]) -> Vec<(String, u64)> {
    sizes.iter().filter_map(|size| Some((resources::huge_page_unit(*size)?, HUGE_PAGES_UNBOUNDED))).collect()
}

#[cfg(test)]
mod tests;
