//! The node object as the kubelet makes it, and what it sets right in one that exists already (contract §2.1).

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{Node, NodeSpec, Taint},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};

use crate::{
    quantity::{Quantity, ResourceList, numbers, wire},
    resources,
};

/// `kubernetes.io/os`.
pub const OS_LABEL: &str = "kubernetes.io/os";
/// `kubernetes.io/arch`.
pub const ARCH_LABEL: &str = "kubernetes.io/arch";
/// `kubernetes.io/hostname`.
pub const HOSTNAME_LABEL: &str = "kubernetes.io/hostname";
/// Operating system, as Go calls it.
pub const OS: &str = "linux";
/// Says that the attach/detach controller attaches this node's volumes.
pub const MANAGED_ATTACH_ANNOTATION: &str = "volumes.kubernetes.io/controller-managed-attach-detach";
/// Taint that an external cloud provider takes away when it has initialised the node.
const CLOUD_TAINT: &str = "node.cloudprovider.kubernetes.io/uninitialized";
/// Labels that are set right in an existing node object.
const RECONCILED_LABELS: [&str; 12] = [
    HOSTNAME_LABEL,
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region",
    "node.kubernetes.io/instance-type",
    "beta.kubernetes.io/instance-type",
    OS_LABEL,
    ARCH_LABEL,
    "node.kubernetes.io/windows-build",
    "beta.kubernetes.io/os",
    "beta.kubernetes.io/arch",
];

/// Settings of the node object.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Registration {
    /// Node name.
    pub node_name: String,
    /// Hostname, or its override.
    pub hostname: String,
    /// Architecture: Go's name.
    pub architecture: String,
    /// `--node-labels`.
    pub labels: BTreeMap<String, String>,
    /// `registerWithTaints`.
    pub taints: Vec<Taint>,
    /// An external cloud provider initialises the node.
    pub external_cloud: bool,
    /// `enableControllerAttachDetach`.
    pub controller_attach: bool,
    /// `providerID`; empty is none.
    pub provider_id: String,
}

impl Registration {
    /// The object to create, without status: add it with [`crate::status::next`].
    #[must_use]
    pub fn node(&self) -> Node {
        let mut labels: BTreeMap<String, String> = [
            (HOSTNAME_LABEL, self.hostname.as_str()),
            (OS_LABEL, OS),
            (ARCH_LABEL, &self.architecture),
            ("beta.kubernetes.io/os", OS),
            ("beta.kubernetes.io/arch", &self.architecture),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
        labels.extend(self.labels.clone());
        let mut taints = self.taints.clone();
        if self.external_cloud {
            taints.push(Taint {
                key: CLOUD_TAINT.to_owned(),
                value: Some("true".to_owned()),
                effect: "NoSchedule".to_owned(),
                time_added: None,
            });
        }
        let attach = (MANAGED_ATTACH_ANNOTATION.to_owned(), "true".to_owned());
        Node {
            metadata: ObjectMeta {
                name: Some(self.node_name.clone()),
                labels: Some(labels),
                annotations: self.controller_attach.then(|| BTreeMap::from([attach])),
                ..ObjectMeta::default()
            },
            spec: Some(NodeSpec {
                taints: Some(taints).filter(|taints| !taints.is_empty()),
                provider_id: Some(self.provider_id.clone()).filter(|id| !id.is_empty()),
                ..NodeSpec::default()
            }),
            status: None,
        }
    }
}

/// What happens to extended resources of an existing node object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExtendedResources {
    /// They stay.
    Keep,
    /// The checkpoint of the device plugins is gone, the node may be a new machine: 0 until plugins register.
    Zero,
}

/// Sets an existing node object right: default labels, the attach annotation, extended resources, huge pages.
/// `fresh` is the object that would have been created, with its status. `None` when nothing is wrong; else the object
/// to patch to with [`crate::status::patch`].
#[must_use]
pub fn reconciled(existing: &Node, fresh: &Node, extended: ExtendedResources) -> Option<Node> {
    let mut node = existing.clone();
    reconcile_labels(&mut node, fresh);
    reconcile_annotation(&mut node, fresh);
    reconcile_resources(&mut node, fresh, extended);
    (node != *existing).then_some(node)
}

fn reconcile_labels(node: &mut Node, fresh: &Node) {
    let wanted = fresh.metadata.labels.clone().unwrap_or_default();
    for name in RECONCILED_LABELS {
        let Some(value) = wanted.get(name) else { continue };
        let labels = node.metadata.labels.get_or_insert_default();
        if value.is_empty() {
            labels.remove(name);
        } else {
            labels.insert(name.to_owned(), value.clone());
        }
    }
}

fn reconcile_annotation(node: &mut Node, fresh: &Node) {
    let wanted = fresh.metadata.annotations.as_ref().and_then(|all| all.get(MANAGED_ATTACH_ANNOTATION));
    match wanted {
        Some(value) => {
            let annotations = node.metadata.annotations.get_or_insert_default();
            annotations.insert(MANAGED_ATTACH_ANNOTATION.to_owned(), value.clone());
        }
        None => {
            if let Some(annotations) = &mut node.metadata.annotations {
                annotations.remove(MANAGED_ATTACH_ANNOTATION);
            }
        }
    }
}

fn reconcile_resources(node: &mut Node, fresh: &Node, extended: ExtendedResources) {
    let lists = |node: &Node| {
        let status = node.status.as_ref();
        let list = |list: Option<_>| numbers(list);
        let capacity = list(status.and_then(|status| status.capacity.as_ref()));
        (capacity, list(status.and_then(|status| status.allocatable.as_ref())))
    };
    let (mut capacity, mut allocatable) = lists(node);
    let before = (capacity.clone(), allocatable.clone());
    let (wanted, wanted_allocatable) = lists(fresh);
    let status = node.status.as_ref();
    if status.is_none_or(|status| status.capacity.is_none()) {
        capacity.clone_from(&wanted);
    }
    if status.is_none_or(|status| status.allocatable.is_none()) {
        allocatable.clone_from(&wanted_allocatable);
    }
    if extended == ExtendedResources::Zero {
        for name in capacity.keys().filter(|name| resources::is_extended(name)).cloned().collect::<Vec<_>>() {
            capacity.insert(name.clone(), Quantity::ZERO);
            allocatable.insert(name, Quantity::ZERO);
        }
    }
    follow_hugepages(&mut capacity, &wanted);
    follow_hugepages(&mut allocatable, &wanted_allocatable);
    if (&capacity, &allocatable) != (&before.0, &before.1) {
        let status = node.status.get_or_insert_default();
        status.capacity = Some(wire(&capacity));
        status.allocatable = Some(wire(&allocatable));
    }
}

/// Huge page sizes are those of the machine, no more and no fewer.
fn follow_hugepages(list: &mut ResourceList, wanted: &ResourceList) {
    let huge = |name: &String| name.starts_with(resources::HUGE_PAGES_PREFIX);
    list.retain(|name, _| !huge(name) || wanted.contains_key(name));
    list.extend(wanted.iter().filter(|(name, _)| huge(name)).map(|(name, amount)| (name.clone(), *amount)));
}

#[cfg(test)]
mod tests;
