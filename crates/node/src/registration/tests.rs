use serde_json::{Value, json};

use super::*;
use crate::{status, testing::object};

fn registration() -> Registration {
    Registration {
        node_name: "n".to_owned(),
        hostname: "host".to_owned(),
        architecture: "amd64".to_owned(),
        labels: [
            ("a/b".to_owned(), "c".to_owned()),
            ("beta.kubernetes.io/os".to_owned(), "other".to_owned()),
        ]
        .into(),
        taints: vec![Taint { key: "k".to_owned(), effect: "NoSchedule".to_owned(), ..Taint::default() }],
        external_cloud: true,
        controller_attach: true,
        provider_id: "cloud://1".to_owned(),
    }
}

#[test]
fn a_new_node_object() {
    assert_eq!(
        serde_json::to_value(registration().node()).unwrap(),
        json!({
            "apiVersion": "v1", "kind": "Node",
            "metadata": {
                "name": "n",
                "labels": {
                    "a/b": "c", "kubernetes.io/hostname": "host", "kubernetes.io/os": "linux",
                    "kubernetes.io/arch": "amd64", "beta.kubernetes.io/os": "other", "beta.kubernetes.io/arch": "amd64",
                },
                "annotations": { "volumes.kubernetes.io/controller-managed-attach-detach": "true" },
            },
            "spec": {
                "providerID": "cloud://1",
                "taints": [
                    { "key": "k", "effect": "NoSchedule" },
                    { "key": "node.cloudprovider.kubernetes.io/uninitialized", "value": "true", "effect": "NoSchedule" },
                ],
            },
        })
    );
    let plain = Registration { node_name: "n".to_owned(), ..Registration::default() }.node();
    assert!(plain.spec.unwrap().taints.is_none() && plain.metadata.annotations.is_none());
}

fn with_status(mut node: Node, capacity: Value, allocatable: Value) -> Node {
    node.status = Some(object(json!({ "capacity": capacity, "allocatable": allocatable })));
    node
}

fn fresh() -> Node {
    with_status(
        registration().node(),
        json!({ "cpu": "2", "hugepages-2Mi": "1Gi" }),
        json!({ "cpu": "2", "hugepages-2Mi": "1Gi" }),
    )
}

fn change(existing: &Node, extended: ExtendedResources) -> Option<Value> {
    reconciled(existing, &fresh(), extended).and_then(|node| status::patch(existing, &node))
}

#[test]
fn a_right_object_is_left_alone() {
    let mut existing = fresh();
    existing.metadata.labels.as_mut().unwrap().insert("of/others".to_owned(), "x".to_owned());
    existing.metadata.labels.as_mut().unwrap().remove("a/b");
    existing.spec = None;
    assert_eq!(
        change(&existing, ExtendedResources::Keep),
        None,
        "own labels and taints are for creation only"
    );
}

#[test]
fn labels_and_annotation_are_set_right() {
    let mut existing = fresh();
    let labels = existing.metadata.labels.as_mut().unwrap();
    labels.insert(HOSTNAME_LABEL.to_owned(), "old".to_owned());
    labels.remove(ARCH_LABEL);
    existing.metadata.annotations = None;
    assert_eq!(
        change(&existing, ExtendedResources::Keep).unwrap(),
        json!({ "metadata": {
            "labels": { "kubernetes.io/hostname": "host", "kubernetes.io/arch": "amd64" },
            "annotations": { MANAGED_ATTACH_ANNOTATION: "true" },
        } })
    );
    let without = Registration { controller_attach: false, ..registration() };
    let wanted = with_status(without.node(), json!({}), json!({}));
    let node = reconciled(&fresh(), &wanted, ExtendedResources::Keep).unwrap();
    assert!(!node.metadata.annotations.unwrap().contains_key(MANAGED_ATTACH_ANNOTATION));
}

#[test]
fn huge_pages_follow_the_machine() {
    let existing = with_status(
        registration().node(),
        json!({ "cpu": "1", "hugepages-2Mi": "0", "hugepages-1Gi": "4Gi" }),
        json!({ "cpu": "1", "hugepages-2Mi": "0", "hugepages-1Gi": "4Gi" }),
    );
    let lists = json!({ "hugepages-2Mi": "1Gi", "hugepages-1Gi": null });
    assert_eq!(
        change(&existing, ExtendedResources::Keep).unwrap(),
        json!({ "status": { "capacity": lists, "allocatable": lists } }),
        "the cpu is left to the next status"
    );
}

#[test]
fn extended_resources_are_zeroed_when_the_checkpoint_is_gone() {
    let list = json!({ "cpu": "2", "hugepages-2Mi": "1Gi", "example.com/gpu": "4" });
    let existing = with_status(registration().node(), list.clone(), list);
    assert_eq!(change(&existing, ExtendedResources::Keep), None);
    let zero = json!({ "example.com/gpu": "0" });
    assert_eq!(
        change(&existing, ExtendedResources::Zero).unwrap(),
        json!({ "status": { "capacity": zero, "allocatable": zero } })
    );
}

#[test]
fn an_object_without_status_gets_resources() {
    let mut bare = registration().node();
    bare.status = None;
    let list = json!({ "cpu": "2", "hugepages-2Mi": "1Gi" });
    assert_eq!(
        change(&bare, ExtendedResources::Keep).unwrap(),
        json!({ "status": { "capacity": list, "allocatable": list } })
    );
}
