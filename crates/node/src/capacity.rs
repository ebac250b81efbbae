//! Capacity and allocatable of the node, from plain facts (contract §2.2).
//!
//! Allocatable is capacity without what is reserved for the system, for the kubelet and for hard eviction, never below
//! zero, and its memory without all huge pages. The group of all pods is limited more generously
//! ([`NodeResources::enforced`]): the eviction threshold lies within it, so that eviction comes before the kernel.

use crate::{
    quantity::{Format, Quantity, ResourceList},
    resources,
};

/// What the machine has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeFacts {
    /// Logical CPUs.
    pub cpus: u32,
    /// Bytes of memory.
    pub memory_bytes: u64,
    /// Bytes of the filesystem of the root directory; `None` while unknown, or without local storage isolation.
    pub ephemeral_storage_bytes: Option<u64>,
    /// (page size in bytes, pages) per size.
    pub hugepages: Vec<(u64, u64)>,
    /// Processes that the kernel allows.
    pub max_pids: Option<u64>,
    /// `maxPods`.
    pub max_pods: u32,
    /// `podsPerCore`; 0 is off.
    pub pods_per_core: u32,
}

/// A hard eviction threshold, as far as it reserves something.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum EvictionReserve {
    /// `memory.available`.
    Memory(Threshold),
    /// `nodefs.available`.
    NodeFs(Threshold),
}

/// A threshold's value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Threshold {
    /// An amount.
    Quantity(Quantity),
    /// A part of the capacity, 0 to 1. Single precision, so that products come out as upstream's to the byte.
    Fraction(f32),
}

impl Threshold {
    /// The amount, for a capacity.
    #[must_use]
    pub fn of(self, capacity: Quantity) -> Quantity {
        match self {
            Self::Quantity(amount) => amount,
            Self::Fraction(part) => {
                #[expect(clippy::cast_precision_loss, reason = "upstream computes in floating point")]
                let amount = capacity.value() as f64 * f64::from(part);
                #[expect(clippy::cast_possible_truncation, reason = "truncated as upstream does")]
                let amount = amount as i64;
                Quantity::integer(amount, Format::BinarySi)
            }
        }
    }
}

/// What is kept from pods.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reservations {
    /// `systemReserved`.
    pub system: ResourceList,
    /// `kubeReserved`.
    pub kube: ResourceList,
    /// `evictionHard`.
    pub eviction: Vec<EvictionReserve>,
}

/// Resources of the node.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NodeResources {
    /// `status.capacity` without extended resources.
    pub capacity: ResourceList,
    /// What is taken from it for allocatable.
    pub reserved: ResourceList,
    /// Limits of the group of all pods when `pods` is enforced; else take the capacity, see [`Self::unenforced`].
    pub enforced: ResourceList,
    /// Limits of that group when `pods` is not enforced.
    pub unenforced: ResourceList,
}

impl NodeResources {
    /// Computes all of them.
    #[must_use]
    pub fn of(facts: &NodeFacts, reservations: &Reservations) -> Self {
        let capacity = capacity(facts);
        let mut internal = capacity.clone();
        if let Some(pids) = facts.max_pids {
            internal.insert("pid".to_owned(), Quantity::count(i64::try_from(pids).unwrap_or(i64::MAX)));
        }
        let configured = |name: &String| {
            let system = reservations.system.get(name).copied().unwrap_or(Quantity::ZERO);
            let kube = reservations.kube.get(name).copied().unwrap_or(Quantity::ZERO);
            system.plus(kube)
        };
        let enforced = internal
            .iter()
            .map(|(name, amount)| (name.clone(), amount.minus_floored(configured(name))))
            .collect();
        let eviction = eviction_reserve(&capacity, &reservations.eviction);
        let reserved = capacity
            .keys()
            .map(|name| {
                let evict = eviction.get(name).copied().unwrap_or(Quantity::ZERO);
                (name.clone(), configured(name).plus(evict))
            })
            .filter(|(_, amount)| !amount.is_zero())
            .collect();
        Self { capacity, reserved, enforced, unenforced: internal }
    }

    /// Allocatable of this capacity.
    #[must_use]
    pub fn allocatable(&self) -> ResourceList {
        self.allocatable_of(&self.capacity)
    }

    /// Allocatable of a capacity that may contain extended resources too.
    #[must_use]
    pub fn allocatable_of(&self, capacity: &ResourceList) -> ResourceList {
        let mut list: ResourceList = capacity
            .iter()
            .map(|(name, amount)| {
                let reserved = self.reserved.get(name).copied().unwrap_or(Quantity::ZERO);
                (name.clone(), amount.minus_floored(reserved))
            })
            .collect();
        let pages = capacity
            .iter()
            .filter(|(name, _)| name.starts_with(resources::HUGE_PAGES_PREFIX))
            .fold(Quantity::ZERO, |sum, (_, amount)| sum.plus(*amount));
        if let Some(memory) = list.get_mut("memory") {
            *memory = memory.minus_floored(pages);
        }
        list
    }

    /// Why more is reserved than there is; the kubelet does not start then. Empty when all is well.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        self.reserved
            .iter()
            .filter_map(|(name, reserved)| {
                let capacity = self.capacity.get(name).copied().unwrap_or(Quantity::ZERO);
                (*reserved > capacity).then(|| {
                    format!(
                        "Resource {name:?} has a reservation of {reserved} but capacity of {capacity}. Expected \
                         capacity >= reservation."
                    )
                })
            })
            .collect()
    }
}

fn capacity(facts: &NodeFacts) -> ResourceList {
    let mut list = ResourceList::new();
    list.insert("cpu".to_owned(), Quantity::milli(i64::from(facts.cpus) * 1000));
    list.insert("memory".to_owned(), Quantity::bytes(facts.memory_bytes));
    let pods = match facts.pods_per_core {
        0 => facts.max_pods,
        per_core => facts.max_pods.min(facts.cpus.saturating_mul(per_core)),
    };
    list.insert("pods".to_owned(), Quantity::count(pods.into()));
    if let Some(bytes) = facts.ephemeral_storage_bytes {
        // Spelt in decimal, unlike memory, since 1.37.
        let storage = Quantity::bytes(bytes).with_format(Format::DecimalSi);
        list.insert("ephemeral-storage".to_owned(), storage);
    }
    for (size, pages) in &facts.hugepages {
        list.insert(resources::huge_page_resource(*size), Quantity::bytes(size.saturating_mul(*pages)));
    }
    list
}

/// The last threshold of a signal counts, as upstream's.
fn eviction_reserve(capacity: &ResourceList, thresholds: &[EvictionReserve]) -> ResourceList {
    let mut list = ResourceList::new();
    for threshold in thresholds {
        let (name, value) = match threshold {
            EvictionReserve::Memory(value) => ("memory", value),
            EvictionReserve::NodeFs(value) => ("ephemeral-storage", value),
        };
        let whole = capacity.get(name).copied().unwrap_or(Quantity::ZERO);
        list.insert(name.to_owned(), value.of(whole));
    }
    list
}

#[cfg(test)]
mod tests;
