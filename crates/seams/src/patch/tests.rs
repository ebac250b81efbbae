use k8s_openapi::api::core::v1::{
    ContainerState, ContainerStateRunning, ContainerStatus, PodCondition, PodIP, PodStatus,
};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{PatchKind, apply, schema, status_patch_pod, strategic};

#[test]
fn computes_what_upstream_computes() {
    let cases: Vec<Value> = serde_json::from_str(include_str!("golden.json")).unwrap();
    assert!(cases.len() > 10);
    for case in cases {
        let (schema, kind) = match case["kind"].as_str() {
            Some("Pod") => (&schema::POD_STATUS, PatchKind::Pod),
            _ => (&schema::NODE_STATUS, PatchKind::Node),
        };
        let (old, new) = (case["old"].as_object().unwrap(), case["new"].as_object().unwrap());
        let patch = Value::Object(strategic::diff(old, new, schema));
        assert_eq!(patch, case["patch"], "{}", case["name"]);
        let mut object = json!({ "status": old });
        apply(kind, &mut object, &json!({ "status": patch }));
        let mut wanted = json!({ "status": new });
        // A merged list whose last element goes stays as an empty list: the same to the API.
        strategic::prune(object.as_object_mut().unwrap());
        strategic::prune(wanted.as_object_mut().unwrap());
        assert_eq!(object, wanted, "{}", case["name"]);
    }
}

#[test]
fn equal_statuses_need_no_patch() {
    let status = PodStatus { phase: Some("Running".into()), ..PodStatus::default() };
    let same = PodStatus {
        message: Some(String::new()),
        conditions: Some(Vec::new()),
        allocated_resources: Some(std::collections::BTreeMap::new()),
        ..status.clone()
    };
    assert_eq!(status_patch_pod(&status, &same, "u"), None);
}

#[test]
fn a_pod_patch_is_guarded_by_the_uid() {
    let new = PodStatus { phase: Some("Running".into()), ..PodStatus::default() };
    let patch = status_patch_pod(&PodStatus::default(), &new, "u-1").unwrap();
    assert_eq!(patch, json!({ "metadata": { "uid": "u-1" }, "status": { "phase": "Running" } }));
}

#[test]
fn a_running_state_without_a_time_is_not_lost() {
    let new = PodStatus {
        container_statuses: Some(vec![ContainerStatus {
            name: "c".into(),
            state: Some(ContainerState {
                running: Some(ContainerStateRunning { started_at: None }),
                ..ContainerState::default()
            }),
            ..ContainerStatus::default()
        }]),
        ..PodStatus::default()
    };
    let patch = status_patch_pod(&PodStatus::default(), &new, "u").unwrap();
    assert_eq!(patch["status"]["containerStatuses"][0]["state"], json!({ "running": {} }));
}

#[test]
fn two_addresses_of_one_type_survive_where_the_list_is_replaced() {
    let mut object = json!({ "status": { "addresses": [
        { "type": "InternalIP", "address": "10.0.0.1" },
        { "type": "Hostname", "address": "n" },
    ]}});
    let wanted = [
        json!({ "type": "InternalIP", "address": "10.0.0.2" }),
        json!({ "type": "InternalIP", "address": "fd00::2" }),
        json!({ "type": "Hostname", "address": "n" }),
    ];
    let list = [&wanted[..], &[json!({ "$patch": "replace" })]].concat();
    apply(PatchKind::Node, &mut object, &json!({ "status": { "addresses": list } }));
    assert_eq!(object, json!({ "status": { "addresses": wanted } }));
}

#[test]
fn foreign_elements_survive_a_patch_that_does_not_know_them() {
    let old = json!({ "status": { "conditions": [{ "type": "a", "status": "x" }] } });
    let new = json!({ "conditions": [{ "type": "a", "status": "y" }, { "type": "b", "status": "y" }] });
    let patch =
        strategic::diff(old["status"].as_object().unwrap(), new.as_object().unwrap(), &schema::POD_STATUS);
    let mut live =
        json!({ "status": { "conditions": [{ "type": "gate" }, { "type": "a", "status": "x" }] } });
    apply(PatchKind::Pod, &mut live, &json!({ "status": patch }));
    let kinds: Vec<_> = live["status"]["conditions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| c["type"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["a", "b", "gate"]);
}

prop_compose! {
    fn conditions()(
        picked in proptest::sample::subsequence(vec!["Ready", "Initialized", "PodScheduled", "x", "y"], 0..=5).prop_shuffle(),
        status in proptest::collection::vec(any::<bool>(), 5),
        message in proptest::collection::vec(proptest::option::of("[a-c]{0,2}"), 5),
    ) -> Vec<PodCondition> {
        picked.into_iter().zip(status).zip(message).map(|((kind, up), message)| PodCondition {
            type_: kind.to_owned(),
            status: if up { "True" } else { "False" }.to_owned(),
            message,
            ..PodCondition::default()
        }).collect()
    }
}

prop_compose! {
    fn status()(
        conditions in proptest::option::of(conditions()),
        ips in proptest::sample::subsequence(vec!["10.0.0.1", "10.0.0.2", "fd00::1"], 0..=3).prop_shuffle(),
        phase in proptest::option::of("Pending|Running"),
        reason in proptest::option::of("[ab]?"),
        restarts in proptest::option::of(0..3_i32),
    ) -> PodStatus {
        PodStatus {
            conditions,
            pod_ips: Some(ips.into_iter().map(|ip| PodIP { ip: ip.to_owned() }).collect()),
            phase,
            reason,
            container_statuses: restarts.map(|restart_count| vec![ContainerStatus {
                name: "c".into(), restart_count, ..ContainerStatus::default()
            }]),
            ..PodStatus::default()
        }
    }
}

fn json_of(status: &PodStatus) -> Map<String, Value> {
    super::to_map(status)
}

proptest! {
    #[test]
    fn a_patch_applied_to_the_old_status_gives_the_new_one(old in status(), new in status()) {
        let mut object = json!({ "metadata": {}, "status": json_of(&old) });
        match status_patch_pod(&old, &new, "u") {
            None => prop_assert_eq!(json_of(&old), json_of(&new)),
            Some(patch) => {
                apply(PatchKind::Pod, &mut object, &patch);
                let mut got = object["status"].as_object().cloned().unwrap();
                strategic::prune(&mut got);
                prop_assert_eq!(got, json_of(&new));
            }
        }
    }
}
