use k8s_openapi::api::core::v1::NodeAddress;
use serde_json::{Value, json};

use super::*;
use crate::{
    capacity::{EvictionReserve, NodeFacts, Reservations, Threshold},
    registration::Registration,
    testing::object,
};

/// What upstream served for the sample machine (contract §2.2), without declared features, which this kubelet has
/// none of, and without what the API server adds.
fn sample() -> Value {
    let condition = |kind: &str, status: &str, reason: &str, message: &str| {
        json!({
            "lastHeartbeatTime": "2026-11-23T18:04:23Z", "lastTransitionTime": "2026-11-23T18:04:23Z",
            "message": message, "reason": reason, "status": status, "type": kind,
        })
    };
    json!({
        "addresses": [{ "address": "192.0.2.2", "type": "InternalIP" }, { "address": "peer-node", "type": "Hostname" }],
        "allocatable": {
            "cpu": "2", "ephemeral-storage": "243497856212", "hugepages-1Gi": "0", "hugepages-2Mi": "0",
            "memory": "24581692Ki", "pods": "110",
        },
        "capacity": {
            "cpu": "2", "ephemeral-storage": "270553174016", "hugepages-1Gi": "0", "hugepages-2Mi": "0",
            "memory": "24684092Ki", "pods": "110",
        },
        "conditions": [
            condition("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
            condition("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
            condition("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
            condition("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
        ],
        "daemonEndpoints": { "kubeletEndpoint": { "Port": 10250 } },
        "images": [
            { "names": ["registry.test/busybox:1"], "sizeBytes": 1_032_033 },
            { "names": ["registry.test/pause:3.10"], "sizeBytes": 305_366 },
        ],
        "nodeInfo": {
            "architecture": "amd64", "bootID": "00b82710-8532-490a-ad5e-62506d7096e8",
            "containerRuntimeVersion": "containerd://1.6.20", "kernelVersion": "6.18.44", "kubeProxyVersion": "",
            "kubeletVersion": "v1.36.2", "machineID": "3d1219c7c4c5404aaa1f6d2a48adfda4", "operatingSystem": "linux",
            "osImage": "Debian GNU/Linux 12 (bookworm)", "systemUUID": "3d1219c7c4c5404aaa1f6d2a48adfda4",
        },
    })
}

struct World {
    addresses: AddressChoice,
    machine: MachineIdentity,
    resources: NodeResources,
    runtime: RuntimeReport,
    images: Vec<Image>,
    volumes: Option<Vec<String>>,
    ready: ReadyInputs,
    pressures: Pressures,
    unserved: Vec<String>,
}

impl World {
    fn new() -> Self {
        let id = "3d1219c7c4c5404aaa1f6d2a48adfda4".to_owned();
        let facts = NodeFacts {
            cpus: 2,
            memory_bytes: 24_684_092 << 10,
            ephemeral_storage_bytes: Some(264_212_084 << 10),
            hugepages: vec![(1 << 30, 0), (2 << 20, 0)],
            max_pids: None,
            max_pods: 110,
            pods_per_core: 0,
        };
        let eviction = vec![
            EvictionReserve::Memory(Threshold::Quantity(Quantity::bytes(100 << 20))),
            EvictionReserve::NodeFs(Threshold::Fraction(0.1)),
        ];
        let image = |tag: &str, size_bytes| Image {
            id: tag.to_owned(),
            repo_tags: vec![tag.to_owned()],
            size_bytes,
            ..Image::default()
        };
        Self {
            addresses: AddressChoice {
                addresses: Some(vec![
                    NodeAddress { type_: "InternalIP".to_owned(), address: "192.0.2.2".to_owned() },
                    NodeAddress { type_: "Hostname".to_owned(), address: "peer-node".to_owned() },
                ]),
                provided_ip: None,
            },
            machine: MachineIdentity {
                machine_id: id.clone(),
                system_uuid: id,
                boot_id: "00b82710-8532-490a-ad5e-62506d7096e8".to_owned(),
                kernel_version: "6.18.44".to_owned(),
                os_image: "Debian GNU/Linux 12 (bookworm)".to_owned(),
                architecture: "amd64".to_owned(),
                swap_bytes: 0,
                in_user_namespace: None,
            },
            resources: NodeResources::of(&facts, &Reservations { eviction, ..Reservations::default() }),
            runtime: RuntimeReport {
                name: "containerd".to_owned(),
                version: Some("1.6.20".to_owned()),
                ..RuntimeReport::default()
            },
            images: vec![
                image("registry.test/pause:3.10", 305_366),
                image("registry.test/busybox:1", 1_032_033),
            ],
            volumes: None,
            ready: ReadyInputs { local_storage: true, ..ReadyInputs::default() },
            pressures: Pressures::default(),
            unserved: Vec::new(),
        }
    }

    fn next(&self, node: &Node, second: i64) -> (Node, Vec<NodeEvent>) {
        let start: Timestamp = "2026-11-23T18:04:23.25Z".parse().unwrap();
        let inputs = StatusInputs {
            node_name: "peer-node",
            addresses: Some(&self.addresses),
            machine: &self.machine,
            resources: &self.resources,
            runtime: &self.runtime,
            kubelet_version: "v1.36.2",
            port: 10250,
            images: Some(&self.images),
            max_images: 50,
            declared_features: &[],
            unserved: &self.unserved,
            volumes_in_use: self.volumes.as_deref(),
            pressures: self.pressures,
            ready: &self.ready,
        };
        next(node, &inputs, Timestamp::from_second(start.as_second() + second).unwrap())
    }

    fn registered(&self) -> Node {
        let registration = Registration {
            node_name: "peer-node".to_owned(),
            hostname: "peer-node".to_owned(),
            architecture: "amd64".to_owned(),
            controller_attach: true,
            ..Registration::default()
        };
        self.next(&registration.node(), 0).0
    }
}

fn status(node: &Node) -> Value {
    serde_json::to_value(&node.status).unwrap()
}

#[test]
fn the_sample_of_upstream_byte_by_byte() {
    assert_eq!(status(&World::new().registered()), sample());
}

#[test]
fn the_same_facts_change_nothing_but_heartbeats() {
    let world = World::new();
    let before = world.registered();
    let (after, events) = world.next(&before, 10);
    assert!(!has_changed(&before, &after) && events.is_empty(), "{events:?}");
    // A round trip through the API changes nothing either.
    let stored: Node = object(serde_json::to_value(&after).unwrap());
    assert!(!has_changed(&stored, &world.next(&stored, 20).0));
    let beat = |kind: &str| json!({ "type": kind, "lastHeartbeatTime": "2026-11-23T18:04:33Z" });
    let beats = ["MemoryPressure", "DiskPressure", "PIDPressure", "Ready"].map(beat);
    assert_eq!(patch(&before, &after).unwrap(), json!({ "status": { "conditions": beats } }));
    assert_eq!(patch(&before, &before), None);
}

#[test]
fn a_transition_is_patched_by_type() {
    let mut world = World::new();
    let before = world.registered();
    world.pressures.disk = true;
    let (after, events) = world.next(&before, 0);
    assert!(has_changed(&before, &after));
    assert_eq!(events.iter().map(|event| event.reason).collect::<Vec<_>>(), ["NodeHasDiskPressure"]);
    assert_eq!(
        patch(&before, &after).unwrap(),
        json!({ "status": { "conditions": [{
            "type": "DiskPressure", "status": "True", "reason": "KubeletHasDiskPressure",
            "message": "kubelet has disk pressure",
        }] } })
    );
}

#[test]
fn addresses_are_replaced_as_a_whole_and_maps_are_merged() {
    let mut world = World::new();
    let before = world.registered();
    world.addresses.addresses.as_mut().unwrap()[0].address = "192.0.2.3".to_owned();
    world.addresses.provided_ip = Some("192.0.2.3".to_owned());
    world.machine.kernel_version = "7.0".to_owned();
    world.images.pop();
    let after = world.next(&before, 0).0;
    assert_eq!(
        patch(&before, &after).unwrap(),
        json!({
            "metadata": { "annotations": { "alpha.kubernetes.io/provided-node-ip": "192.0.2.3" } },
            "status": {
                "addresses": [
                    { "address": "192.0.2.3", "type": "InternalIP" }, { "address": "peer-node", "type": "Hostname" },
                    { "$patch": "replace" },
                ],
                "images": [{ "names": ["registry.test/pause:3.10"], "sizeBytes": 305_366 }],
                "nodeInfo": { "kernelVersion": "7.0" },
            },
        })
    );
    world.addresses.provided_ip = None;
    let back = world.next(&after, 0).0;
    assert_eq!(
        patch(&after, &back).unwrap(),
        json!({ "metadata": { "annotations": { "alpha.kubernetes.io/provided-node-ip": null } } })
    );
}

#[test]
fn resources_of_others_stay_and_are_allocatable() {
    let world = World::new();
    let mut node = world.registered();
    let list = node.status.as_mut().unwrap();
    let quantity = |text: &str| Wire(text.to_owned());
    list.capacity.as_mut().unwrap().insert("example.com/gpu".to_owned(), quantity("4"));
    list.allocatable.as_mut().unwrap().insert("example.com/gone".to_owned(), quantity("1"));
    // Written in another way than ours: not a change.
    list.capacity.as_mut().unwrap().insert("memory".to_owned(), quantity("25276510208"));
    let (after, _) = world.next(&node, 0);
    assert_eq!(
        patch(&node, &after).unwrap(),
        json!({ "status": { "allocatable": { "example.com/gpu": "4", "example.com/gone": null } } })
    );
}

#[test]
fn labels_are_repaired_with_every_status() {
    let world = World::new();
    let mut node = world.registered();
    node.metadata.labels.as_mut().unwrap().insert("kubernetes.io/os".to_owned(), "dummyOS".to_owned());
    node.metadata.labels.as_mut().unwrap().remove("kubernetes.io/arch");
    let (after, _) = world.next(&node, 0);
    assert!(has_changed(&node, &after));
    assert_eq!(
        patch(&node, &after).unwrap(),
        json!({ "metadata": { "labels": { "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64" } } })
    );
}

#[test]
fn a_reboot_is_an_event() {
    let mut world = World::new();
    let before = world.registered();
    world.machine.boot_id = "new".to_owned();
    let (after, events) = world.next(&before, 0);
    assert_eq!(events.len(), 1);
    assert_eq!((events[0].kind.as_str(), events[0].reason), ("Warning", "Rebooted"));
    assert_eq!(events[0].message, "Node peer-node has been rebooted, boot id: new");
    assert!(world.next(&after, 0).1.is_empty());
}

#[test]
fn images_are_cut_and_named() {
    let image = |id: &str, size_bytes, digests: usize, tags: usize| Image {
        id: id.to_owned(),
        repo_digests: (0..digests).map(|n| format!("d{n}")).collect(),
        repo_tags: (0..tags).map(|n| format!("t{n}")).collect(),
        size_bytes,
    };
    let images = [image("a", 1, 0, 0), image("b", 5, 3, 4), image("c", 5, 1, 0)];
    let names = |max| {
        let report = reported_images(&images, max);
        report.into_iter().map(|image| image.names.unwrap_or_default().join(",")).collect::<Vec<_>>()
    };
    assert_eq!(names(-1), ["d0", "d0,d1,d2,t0,t1", ""]);
    assert_eq!(names(2).len(), 2);
    assert!(names(0).is_empty());
}

#[test]
fn runtime_features_volumes_and_swap() {
    let mut world = World::new();
    world.runtime.handlers = vec![
        RuntimeHandler { name: String::new(), recursive_read_only_mounts: true, user_namespaces: false },
        RuntimeHandler { name: "runc".to_owned(), recursive_read_only_mounts: true, user_namespaces: true },
    ];
    world.runtime.supplemental_groups_policy = Some(true);
    world.runtime.version = None;
    world.machine.swap_bytes = 1024;
    world.machine.in_user_namespace = Some(false);
    world.volumes = Some(vec!["kubernetes.io/csi/d^v".to_owned()]);
    let node = world.registered();
    let seen = status(&node);
    assert_eq!(
        seen["runtimeHandlers"],
        json!([
            { "features": { "recursiveReadOnlyMounts": true, "userNamespaces": false } },
            { "name": "runc", "features": { "recursiveReadOnlyMounts": true, "userNamespaces": true } },
        ])
    );
    assert_eq!(seen["features"], json!({ "supplementalGroupsPolicy": true }));
    assert_eq!(seen["nodeInfo"]["swap"], json!({ "capacity": 1024 }));
    assert_eq!(seen["nodeInfo"]["runningInUserNamespace"], json!(false));
    assert_eq!(seen["nodeInfo"]["containerRuntimeVersion"], "containerd://Unknown");
    assert_eq!(seen["volumesInUse"], json!(["kubernetes.io/csi/d^v"]));
    world.volumes = None;
    assert_eq!(status(&world.next(&node, 0).0)["volumesInUse"], seen["volumesInUse"], "not known yet: kept");
    world.volumes = Some(vec![]);
    let empty = world.next(&node, 0).0;
    assert_eq!(patch(&node, &empty).unwrap()["status"]["volumesInUse"], Value::Null);
}

#[test]
fn cordoning_is_an_event() {
    let node =
        |unschedulable: bool| -> Node { object(json!({ "spec": { "unschedulable": unschedulable } })) };
    let reason = |was, now| schedulable_event("n", was, &node(now)).map(|event| event.reason);
    assert_eq!(reason(false, true), Some("NodeNotSchedulable"));
    assert_eq!(reason(true, false), Some("NodeSchedulable"));
    assert_eq!(reason(false, false), None);
    assert!(!is_unschedulable(&Node::default()));
}

#[test]
fn devices_without_a_plugin_are_none() {
    let mut node: Node = object(json!({ "metadata": { "name": "peer-node" } }));
    node.status = Some(object(json!({
        "capacity": { "nvidia.com/gpu": "4", "example.com/licence": "2" },
        "allocatable": { "nvidia.com/gpu": "4", "example.com/licence": "2" },
    })));
    let world = World { unserved: vec!["nvidia.com/gpu".to_owned()], ..World::new() };
    let (node, _) = world.next(&node, 0);
    let status = node.status.unwrap();
    for list in [status.capacity.unwrap(), status.allocatable.unwrap()] {
        assert_eq!((list["nvidia.com/gpu"].0.as_str(), list["example.com/licence"].0.as_str()), ("0", "2"));
    }
}

#[test]
fn what_others_wrote_later_is_seen_beside_our_status() {
    let computed: Node = object(json!({
        "metadata": { "labels": { "a": "1" } }, "status": { "allocatable": { "pods": "5" } },
    }));
    let read: Node = object(json!({
        "metadata": { "labels": { "a": "2" } }, "spec": { "unschedulable": true },
        "status": { "allocatable": { "pods": "3" } },
    }));
    let seen = as_seen(&computed, &read);
    assert_eq!(seen.metadata, read.metadata);
    assert_eq!(seen.spec, read.spec);
    assert_eq!(seen.status, computed.status);
}
