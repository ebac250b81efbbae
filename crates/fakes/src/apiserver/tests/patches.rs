//! Patches.

use k8s_openapi::api::core::v1::{Node, Pod, PodStatus};
use serde_json::{Value, json};

use super::{Asker, FakeApi, pod};
use crate::apiserver::{patch::apply, resources};

fn strategic(path: &str, object: &Value, patch: &Value) -> Result<Value, String> {
    let target = resources::target(path).unwrap();
    apply(target.served, "application/strategic-merge-patch+json", object, patch.to_string().as_bytes())
        .map_err(|refusal| refusal.message)
}

const POD: &str = "/api/v1/namespaces/a/pods/p";
const NODE: &str = "/api/v1/nodes/n";

/// Each row: kind, object, patch, result.
#[test]
fn strategic_merge() {
    let rows = [
        (
            "conditions are merged by type",
            POD,
            json!({ "status": { "conditions": [{ "type": "A", "status": "True", "reason": "x" }, { "type": "B", "status": "True" }] } }),
            json!({ "status": { "conditions": [{ "type": "B", "status": "False" }, { "type": "C", "status": "True" }] } }),
            json!({ "status": { "conditions": [{ "type": "A", "status": "True", "reason": "x" }, { "type": "B", "status": "False" }, { "type": "C", "status": "True" }] } }),
        ),
        (
            "container statuses are replaced as a whole",
            POD,
            json!({ "status": { "containerStatuses": [{ "name": "a", "ready": true }, { "name": "b", "ready": true }] } }),
            json!({ "status": { "containerStatuses": [{ "name": "a", "ready": false }] } }),
            json!({ "status": { "containerStatuses": [{ "name": "a", "ready": false }] } }),
        ),
        (
            "null removes, in elements too",
            POD,
            json!({ "status": { "message": "m", "conditions": [{ "type": "A", "reason": "x" }] } }),
            json!({ "status": { "message": null, "conditions": [{ "type": "A", "reason": null }] } }),
            json!({ "status": { "conditions": [{ "type": "A" }] } }),
        ),
        (
            "an element is deleted, the rest ordered",
            POD,
            json!({ "status": { "podIPs": [{ "ip": "1" }, { "ip": "2" }, { "ip": "3" }] } }),
            json!({ "status": { "podIPs": [{ "ip": "2", "$patch": "delete" }], "$setElementOrder/podIPs": [{ "ip": "3" }, { "ip": "1" }] } }),
            json!({ "status": { "podIPs": [{ "ip": "3" }, { "ip": "1" }] } }),
        ),
        (
            "what an order does not name stays behind its neighbour",
            POD,
            json!({ "status": { "podIPs": [{ "ip": "1" }, { "ip": "x" }, { "ip": "2" }] } }),
            json!({ "status": { "$setElementOrder/podIPs": [{ "ip": "2" }, { "ip": "1" }] } }),
            json!({ "status": { "podIPs": [{ "ip": "2" }, { "ip": "1" }, { "ip": "x" }] } }),
        ),
        (
            "a merged list is replaced on request",
            NODE,
            json!({ "status": { "addresses": [{ "type": "InternalIP", "address": "1" }, { "type": "Hostname", "address": "n" }] } }),
            json!({ "status": { "addresses": [{ "type": "InternalIP", "address": "1" }, { "type": "InternalIP", "address": "2" }, { "$patch": "replace" }] } }),
            json!({ "status": { "addresses": [{ "type": "InternalIP", "address": "1" }, { "type": "InternalIP", "address": "2" }] } }),
        ),
        (
            "so is a map",
            NODE,
            json!({ "status": { "capacity": { "cpu": "1", "gone": "1" } } }),
            json!({ "status": { "capacity": { "$patch": "replace", "cpu": "2" } } }),
            json!({ "status": { "capacity": { "cpu": "2" } } }),
        ),
        (
            "or only some of its keys are kept",
            POD,
            json!({ "spec": { "volumes": [{ "name": "v", "emptyDir": {} }] } }),
            json!({ "spec": { "volumes": [{ "name": "v", "$retainKeys": ["name", "hostPath"], "hostPath": { "path": "/" } }] } }),
            json!({ "spec": { "volumes": [{ "name": "v", "hostPath": { "path": "/" } }] } }),
        ),
        (
            "sets of scalars grow and shrink",
            NODE,
            json!({ "metadata": { "finalizers": ["a", "b"] } }),
            json!({ "metadata": { "finalizers": ["c", "a"], "$deleteFromPrimitiveList/finalizers": ["b"] } }),
            json!({ "metadata": { "finalizers": ["a", "c"] } }),
        ),
        (
            "lists in elements of lists have their own key",
            POD,
            json!({ "spec": { "containers": [{ "name": "c", "env": [{ "name": "A", "value": "1" }], "args": ["x", "y"] }] } }),
            json!({ "spec": { "containers": [{ "name": "c", "env": [{ "name": "B", "value": "2" }], "args": ["z"] }] } }),
            json!({ "spec": { "containers": [{ "name": "c", "env": [{ "name": "A", "value": "1" }, { "name": "B", "value": "2" }], "args": ["z"] }] } }),
        ),
    ];
    for (what, path, object, patch, wanted) in rows {
        assert_eq!(strategic(path, &object, &patch).unwrap(), wanted, "{what}");
    }
}

#[test]
fn an_element_without_its_key_is_refused() {
    let patch = json!({ "status": { "conditions": [{ "status": "True" }] } });
    let message = strategic(POD, &json!({}), &patch).unwrap_err();
    assert!(message.contains("does not contain declared merge key: type"), "{message}");
    assert!(strategic(POD, &json!({}), &json!({ "status": { "$patch": "nonsense" } })).is_err());
}

/// The agent's differ, judged by this applier.
#[test]
fn the_differ_of_seams_and_this_applier_agree() {
    let status = |value: Value| -> PodStatus { serde_json::from_value(value).unwrap() };
    let states = [
        json!({}),
        json!({ "phase": "Pending", "conditions": [{ "type": "PodScheduled", "status": "True" }] }),
        json!({ "phase": "Running", "podIP": "10.0.0.1", "podIPs": [{ "ip": "10.0.0.1" }, { "ip": "fd00::1" }],
            "conditions": [{ "type": "Ready", "status": "False", "reason": "r" }, { "type": "PodScheduled", "status": "True" }],
            "containerStatuses": [{ "name": "a", "ready": true, "restartCount": 0, "image": "i", "imageID": "d" }] }),
        json!({ "phase": "Running", "podIPs": [{ "ip": "fd00::1" }],
            "conditions": [{ "type": "PodScheduled", "status": "True" }, { "type": "Ready", "status": "True" }],
            "resourceClaimStatuses": [{ "name": "x", "resourceClaimName": "y" }] }),
        json!({ "phase": "Failed", "reason": "Evicted", "message": "m", "resourceClaimStatuses": [{ "name": "x" }] }),
    ];
    for old in &states {
        for new in &states {
            let (old, new) = (status(old.clone()), status(new.clone()));
            let object = json!({ "metadata": { "uid": "u" }, "status": old });
            let patched = match seams::patch::status_patch_pod(&old, &new, "u") {
                Some(patch) => strategic(POD, &object, &patch).unwrap(),
                None => object,
            };
            // An emptied list is the same as none.
            let mut result = patched["status"].clone();
            if let Some(map) = result.as_object_mut() {
                map.retain(|_, value| value.as_array().is_none_or(|list| !list.is_empty()));
            }
            let mut wanted = serde_json::to_value(&new).unwrap();
            // Elements keep the server's order only where the differ does not send one; compare as sets by key.
            for value in [&mut result, &mut wanted] {
                if let Some(list) = value["conditions"].as_array_mut() {
                    list.sort_by_key(|condition| condition["type"].to_string());
                } else if let Some(map) = value.as_object_mut() {
                    map.remove("conditions");
                }
            }
            assert_eq!(result, wanted, "from {old:?}");
        }
    }
}

#[tokio::test]
async fn a_status_patch_changes_the_status_alone_and_is_guarded_by_uid() {
    let api = FakeApi::start().await;
    let asker = Asker::new(&api);
    let uid = api.put(pod("p", "n")).metadata.uid.unwrap();
    let path = format!("{POD}/status");
    let body = json!({ "metadata": { "uid": "another" }, "status": { "phase": "Failed" } });
    let (status, refused) = asker.patch(&path, body).await;
    assert_eq!(status, 409);
    assert!(refused["message"].as_str().unwrap().contains("UID in precondition: another"), "{refused}");
    let body =
        json!({ "metadata": { "uid": uid }, "status": { "phase": "Failed" }, "spec": { "nodeName": "m" } });
    assert_eq!(asker.patch(&path, body).await.0, 200);
    let stored: Pod = api.get("a", "p").unwrap();
    assert_eq!(stored.status.unwrap().phase.as_deref(), Some("Failed"));
    assert_eq!(stored.spec.unwrap().node_name.as_deref(), Some("n"), "not by this path");
}

#[tokio::test]
async fn a_node_patch_changes_labels_by_both_paths_and_the_status_by_one() {
    let api = FakeApi::start().await;
    let asker = Asker::new(&api);
    api.put::<Node>(serde_json::from_value(json!({ "metadata": { "name": "n" } })).unwrap());
    let body = |label: &str| {
        json!({ "metadata": { "labels": { label: "x" } },
            "status": { "conditions": [{ "type": label, "status": "True" }] } })
    };
    assert_eq!(asker.patch(NODE, body("one")).await.0, 200);
    assert_eq!(asker.patch(&format!("{NODE}/status"), body("two")).await.0, 200);
    let stored: Node = api.get("", "n").unwrap();
    let labels: Vec<String> = stored.metadata.labels.unwrap().into_keys().collect();
    assert_eq!(labels, ["one", "two"]);
    let conditions = stored.status.unwrap().conditions.unwrap();
    assert_eq!(conditions.len(), 1, "{conditions:?}");
    assert_eq!(conditions[0].type_, "two");
}

#[tokio::test]
async fn the_other_patch_types_and_an_unknown_one() {
    let api = FakeApi::start().await;
    let asker = Asker::new(&api);
    api.put(pod("p", "n"));
    let send = async |content_type: &str, body: Value| {
        asker.send(asker.request(http::Method::PATCH, POD, content_type, &body)).await.unwrap().0.as_u16()
    };
    assert_eq!(
        send("application/merge-patch+json", json!({ "metadata": { "labels": { "a": "1" } } })).await,
        200
    );
    let patch = json!([{ "op": "test", "path": "/metadata/labels/a", "value": "1" }, { "op": "remove", "path": "/metadata/labels/a" }]);
    assert_eq!(send("application/json-patch+json", patch.clone()).await, 200);
    assert_eq!(send("application/json-patch+json", patch).await, 422, "the test does not hold any more");
    assert_eq!(send("application/apply-patch+yaml", json!({})).await, 415);
}
