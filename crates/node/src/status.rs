//! The whole `status` of the node object, computed from plain facts and from what it was before (contract §2.2).
//!
//! Invariants:
//! - what is not the kubelet's is kept: extended resources of others, `volumesAttached`, conditions of others;
//! - computing twice from the same facts changes nothing but heartbeat times ([`has_changed`]).

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::{
    api::core::v1::{
        ContainerImage, DaemonEndpoint, Node, NodeCondition, NodeDaemonEndpoints, NodeFeatures,
        NodeRuntimeHandler, NodeRuntimeHandlerFeatures, NodeStatus, NodeSwapStatus, NodeSystemInfo,
    },
    apimachinery::pkg::api::resource::Quantity as Wire,
};

use crate::{
    addresses::{AddressChoice, PROVIDED_IP_ANNOTATION},
    capacity::NodeResources,
    conditions::{self, EventKind, NodeEvent, Pressures, ReadyInputs},
    quantity::{Quantity, ResourceList, numbers},
    registration::{ARCH_LABEL, OS, OS_LABEL},
    resources,
};

mod patch;
mod seen;
pub use patch::patch;
pub use seen::as_seen;

/// Names reported per image.
const MAX_NAMES: usize = 5;

/// What identifies the machine and its software.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MachineIdentity {
    /// `nodeInfo.machineID`.
    pub machine_id: String,
    /// `nodeInfo.systemUUID`.
    pub system_uuid: String,
    /// `nodeInfo.bootID`.
    pub boot_id: String,
    /// `nodeInfo.kernelVersion`.
    pub kernel_version: String,
    /// `nodeInfo.osImage`.
    pub os_image: String,
    /// `nodeInfo.architecture`: Go's name, `amd64`.
    pub architecture: String,
    /// Bytes of swap; 0 is not reported.
    pub swap_bytes: u64,
    /// The kubelet runs in a user namespace; `None` is not reported.
    pub in_user_namespace: Option<bool>,
}

/// An image as the node reports it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    /// Runtime's id; orders images of one size.
    pub id: String,
    /// Digests.
    pub repo_digests: Vec<String>,
    /// Tags.
    pub repo_tags: Vec<String>,
    /// Bytes.
    pub size_bytes: u64,
}

/// A runtime handler as the node reports it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuntimeHandler {
    /// Name; empty is the default handler.
    pub name: String,
    /// Recursive read-only mounts.
    pub recursive_read_only_mounts: bool,
    /// User namespaces.
    pub user_namespaces: bool,
}

/// What the runtime says about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuntimeReport {
    /// (name, version): `containerd`, `2.4.2`; `None` for the version while it is not known.
    pub name: String,
    /// Version.
    pub version: Option<String>,
    /// Handlers of the last `Status` answer; empty before the first.
    pub handlers: Vec<RuntimeHandler>,
    /// `features.supplemental_groups_policy`; `None` when the runtime has no features message.
    pub supplemental_groups_policy: Option<bool>,
}

/// Everything that the status is computed from.
#[derive(Clone, Debug)]
pub struct StatusInputs<'a> {
    /// Node name.
    pub node_name: &'a str,
    /// Addresses; `None` when they could not be determined: then they stay as they are.
    pub addresses: Option<&'a AddressChoice>,
    /// Machine.
    pub machine: &'a MachineIdentity,
    /// Capacity and reservations.
    pub resources: &'a NodeResources,
    /// Runtime.
    pub runtime: &'a RuntimeReport,
    /// Version of the kubelet with its `v`.
    pub kubelet_version: &'a str,
    /// Port of the HTTPS API.
    pub port: u16,
    /// Images in any order; `None` when they could not be listed.
    pub images: Option<&'a [Image]>,
    /// `nodeStatusMaxImages`; -1 is all.
    pub max_images: i32,
    /// Names of declared features, sorted; empty is not reported.
    pub declared_features: &'a [&'a str],
    /// Resources whose device plugins do not serve here: there are none of them.
    pub unserved: &'a [String],
    /// Attachable volumes in use; `None` until the volumes of running pods are known: then they stay.
    pub volumes_in_use: Option<&'a [String]>,
    /// Pressures.
    pub pressures: Pressures,
    /// Readiness.
    pub ready: &'a ReadyInputs,
}

/// Computes the node object that follows from the one given: its status, the os and arch labels and the address
/// annotation. Events are to be recorded whether or not a patch is sent, but [`EventKind::Warning`] `Rebooted` once.
#[must_use]
pub fn next(node: &Node, inputs: &StatusInputs<'_>, now: Timestamp) -> (Node, Vec<NodeEvent>) {
    let mut node = node.clone();
    let mut events = Vec::new();
    repair_labels(&mut node, &inputs.machine.architecture);
    let mut status = node.status.take().unwrap_or_default();
    if let Some(choice) = inputs.addresses {
        if let Some(addresses) = &choice.addresses {
            status.addresses = Some(addresses.clone());
        }
        annotate(&mut node, PROVIDED_IP_ANNOTATION, choice.provided_ip.as_deref());
    }
    let known_boot = status.node_info.as_ref().map(|info| info.boot_id.as_str()).unwrap_or_default();
    if !known_boot.is_empty() && known_boot != inputs.machine.boot_id {
        events.push(NodeEvent {
            kind: EventKind::Warning,
            reason: "Rebooted",
            message: format!(
                "Node {} has been rebooted, boot id: {}",
                inputs.node_name, inputs.machine.boot_id
            ),
        });
    }
    status.node_info = Some(node_info(inputs, status.node_info.take()));
    set_resources(&mut status, inputs.resources, inputs.unserved);
    status.daemon_endpoints =
        Some(NodeDaemonEndpoints { kubelet_endpoint: Some(DaemonEndpoint { port: inputs.port.into() }) });
    status.images = inputs
        .images
        .map(|images| reported_images(images, inputs.max_images))
        .filter(|list| !list.is_empty());
    status.runtime_handlers = Some(inputs.runtime.handlers.iter().map(handler).collect::<Vec<_>>())
        .filter(|handlers| !handlers.is_empty());
    if let Some(policy) = inputs.runtime.supplemental_groups_policy {
        status.features = Some(NodeFeatures { supplemental_groups_policy: Some(policy) });
    }
    let declared: Vec<_> = inputs.declared_features.iter().map(|name| (*name).to_owned()).collect();
    status.declared_features = Some(declared).filter(|names| !names.is_empty());
    if let Some(volumes) = inputs.volumes_in_use {
        status.volumes_in_use = Some(volumes.to_vec()).filter(|volumes| !volumes.is_empty());
    }
    let capacity = numbers(status.capacity.as_ref());
    let before = status.conditions.take().unwrap_or_default();
    let (conditions, changes) =
        conditions::next(inputs.node_name, &before, inputs.pressures, inputs.ready, &capacity, now);
    status.conditions = Some(conditions);
    events.extend(changes);
    node.status = Some(status);
    (node, events)
}

/// `NodeSchedulable` or `NodeNotSchedulable` when cordoning changed. A kubelet starts from schedulable.
#[must_use]
pub fn schedulable_event(node_name: &str, was_unschedulable: bool, node: &Node) -> Option<NodeEvent> {
    let unschedulable = is_unschedulable(node);
    (unschedulable != was_unschedulable).then(|| {
        let reason = if unschedulable { "NodeNotSchedulable" } else { "NodeSchedulable" };
        NodeEvent::status_is_now(node_name, reason)
    })
}

/// The node is cordoned.
#[must_use]
pub fn is_unschedulable(node: &Node) -> bool {
    node.spec.as_ref().and_then(|spec| spec.unschedulable).unwrap_or(false)
}

fn repair_labels(node: &mut Node, architecture: &str) {
    let labels = node.metadata.labels.get_or_insert_default();
    labels.insert(OS_LABEL.to_owned(), OS.to_owned());
    labels.insert(ARCH_LABEL.to_owned(), architecture.to_owned());
}

fn annotate(node: &mut Node, name: &str, value: Option<&str>) {
    match value {
        Some(value) => {
            node.metadata.annotations.get_or_insert_default().insert(name.to_owned(), value.to_owned());
        }
        None => {
            if let Some(annotations) = &mut node.metadata.annotations {
                annotations.remove(name);
            }
        }
    }
}

fn node_info(inputs: &StatusInputs<'_>, before: Option<NodeSystemInfo>) -> NodeSystemInfo {
    let machine = inputs.machine;
    let swap = i64::try_from(machine.swap_bytes).ok().filter(|bytes| *bytes > 0);
    NodeSystemInfo {
        architecture: machine.architecture.clone(),
        boot_id: machine.boot_id.clone(),
        container_runtime_version: format!(
            "{}://{}",
            inputs.runtime.name,
            inputs.runtime.version.as_deref().unwrap_or("Unknown")
        ),
        kernel_version: machine.kernel_version.clone(),
        // Always empty since 1.33; the field itself stays.
        kube_proxy_version: String::new(),
        kubelet_version: inputs.kubelet_version.to_owned(),
        machine_id: machine.machine_id.clone(),
        operating_system: OS.to_owned(),
        os_image: machine.os_image.clone(),
        running_in_user_namespace: machine.in_user_namespace,
        // Swap that was turned off stays reported until the node object is made anew, as upstream's.
        swap: match swap {
            Some(capacity) => Some(NodeSwapStatus { capacity: Some(capacity) }),
            None => before.and_then(|info| info.swap),
        },
        system_uuid: machine.system_uuid.clone(),
    }
}

/// Capacity: ours over what was there. Allocatable: of all of that; extended resources without capacity go.
fn set_resources(status: &mut NodeStatus, resources: &NodeResources, unserved: &[String]) {
    let old_capacity = status.capacity.take().unwrap_or_default();
    let old_allocatable = status.allocatable.take().unwrap_or_default();
    let mut capacity = numbers(Some(&old_capacity));
    capacity.extend(resources.capacity.iter().map(|(name, amount)| (name.clone(), *amount)));
    capacity.extend(unserved.iter().map(|name| (name.clone(), Quantity::ZERO)));
    let mut allocatable = numbers(Some(&old_allocatable));
    allocatable.retain(|name, _| capacity.contains_key(name) || !resources::is_extended(name));
    allocatable.extend(resources.allocatable_of(&capacity));
    status.capacity = Some(keep_spelling(&capacity, &old_capacity));
    status.allocatable = Some(keep_spelling(&allocatable, &old_allocatable));
}

/// A quantity that did not change is left as it was written, so that a patch does not mention it.
fn keep_spelling(list: &ResourceList, old: &BTreeMap<String, Wire>) -> BTreeMap<String, Wire> {
    let spelled = |name: &String, amount: &Quantity| {
        let same = |wire: &&Wire| Quantity::try_from(*wire).is_ok_and(|known| known == *amount);
        old.get(name).filter(same).cloned().unwrap_or_else(|| (*amount).into())
    };
    list.iter().map(|(name, amount)| (name.clone(), spelled(name, amount))).collect()
}

/// Largest first; at most `max` (-1 is all), each with at most five names, digests before tags.
fn reported_images(images: &[Image], max: i32) -> Vec<ContainerImage> {
    let mut order: Vec<&Image> = images.iter().collect();
    order.sort_by(|a, b| b.size_bytes.cmp(&a.size_bytes).then_with(|| b.id.cmp(&a.id)));
    order.truncate(usize::try_from(max).unwrap_or(usize::MAX));
    let report = |image: &Image| {
        let names: Vec<_> =
            image.repo_digests.iter().chain(&image.repo_tags).take(MAX_NAMES).cloned().collect();
        ContainerImage {
            names: Some(names).filter(|names| !names.is_empty()),
            size_bytes: i64::try_from(image.size_bytes).ok(),
        }
    };
    order.into_iter().map(report).collect()
}

fn handler(handler: &RuntimeHandler) -> NodeRuntimeHandler {
    NodeRuntimeHandler {
        // The API has no empty string here: the default handler has no name.
        name: Some(handler.name.clone()).filter(|name| !name.is_empty()),
        features: Some(NodeRuntimeHandlerFeatures {
            recursive_read_only_mounts: Some(handler.recursive_read_only_mounts),
            user_namespaces: Some(handler.user_namespaces),
        }),
    }
}

/// Whether a report says anything new, heartbeat times aside: status, or the repaired labels and annotation.
#[must_use]
pub fn has_changed(before: &Node, after: &Node) -> bool {
    let meta = |node: &Node| {
        let labels = node.metadata.labels.clone().unwrap_or_default();
        (labels, node.metadata.annotations.clone().unwrap_or_default())
    };
    let comparable = |node: &Node| {
        let mut status = node.status.clone().unwrap_or_default();
        let mut conditions: Vec<NodeCondition> = status.conditions.take().unwrap_or_default();
        conditions.sort_by(|a, b| a.type_.cmp(&b.type_));
        for condition in &mut conditions {
            condition.last_heartbeat_time = None;
        }
        (status, conditions)
    };
    meta(before) != meta(after) || comparable(before) != comparable(after)
}

#[cfg(test)]
mod tests;
