use serde_json::json;

use super::*;
use crate::testing::{container, object, pod};

#[test]
fn classes_by_containers() {
    let full = json!({ "cpu": "1", "memory": "1Gi" });
    let cases = [
        (vec![container("a", json!({}), json!({}))], QosClass::BestEffort),
        (vec![container("a", full.clone(), full.clone())], QosClass::Guaranteed),
        (
            vec![container("a", json!({ "cpu": "1000m", "memory": "1024Mi" }), full.clone())],
            QosClass::Guaranteed,
        ),
        (vec![container("a", json!({ "cpu": "1" }), json!({}))], QosClass::Burstable),
        (vec![container("a", json!({ "cpu": "1" }), json!({ "cpu": "1" }))], QosClass::Burstable),
        (vec![container("a", json!({ "cpu": "0", "memory": "0" }), json!({}))], QosClass::BestEffort),
        (vec![container("a", json!({ "ephemeral-storage": "1Gi" }), json!({}))], QosClass::BestEffort),
        (
            vec![container("a", full.clone(), full.clone()), container("b", json!({}), json!({}))],
            QosClass::Burstable,
        ),
        (vec![], QosClass::BestEffort),
    ];
    for (containers, class) in cases {
        assert_eq!(QosClass::of(&pod(json!({ "containers": containers }))), class, "{containers:?}");
    }
}

#[test]
fn init_containers_count_and_ephemeral_ones_do_not() {
    let full = json!({ "cpu": "1", "memory": "1Gi" });
    let guaranteed = container("a", full.clone(), full.clone());
    let bare = container("b", json!({}), json!({}));
    let with_init = pod(json!({ "containers": [guaranteed.clone()], "initContainers": [bare.clone()] }));
    assert_eq!(QosClass::of(&with_init), QosClass::Burstable);
    let with_ephemeral = pod(json!({ "containers": [guaranteed], "ephemeralContainers": [{ "name": "e" }] }));
    assert_eq!(QosClass::of(&with_ephemeral), QosClass::Guaranteed);
}

#[test]
fn pod_level_resources_decide_alone() {
    let bare = container("b", json!({}), json!({}));
    let full = json!({ "cpu": "1", "memory": "1Gi" });
    let level = |resources: serde_json::Value| pod(json!({ "containers": [bare], "resources": resources }));
    assert_eq!(QosClass::of(&level(json!({ "requests": full, "limits": full }))), QosClass::Guaranteed);
    assert_eq!(QosClass::of(&level(json!({ "limits": { "cpu": "1" } }))), QosClass::Burstable);
    // Nothing of a supported kind: as if it were not there.
    assert_eq!(QosClass::of(&level(json!({}))), QosClass::BestEffort);
    assert_eq!(QosClass::of(&level(json!({ "requests": { "hugepages-2Mi": "2Mi" } }))), QosClass::BestEffort);
}

#[test]
fn the_recorded_class_wins() {
    let recorded: Pod = object(json!({
        "spec": { "containers": [{ "name": "a" }] }, "status": { "qosClass": "Guaranteed" }
    }));
    assert_eq!(QosClass::of(&recorded), QosClass::Guaranteed);
    assert_eq!(QosClass::compute(&recorded), QosClass::BestEffort);
    for class in [QosClass::Guaranteed, QosClass::Burstable, QosClass::BestEffort] {
        assert_eq!(QosClass::from_name(class.as_str()), Some(class));
    }
}
