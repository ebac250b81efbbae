use lifecycle::observation::{ContainerRecord, RuntimeState};
use serde_json::{Value, json};

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn pod(status: Value, volumes: Value) -> Pod {
    serde_json::from_value(json!({
        "metadata": {"name": "p", "namespace": "ns", "uid": "u", "creationTimestamp": at(0).to_string()},
        "spec": {
            "initContainers": [{"name": "init"}],
            "containers": [{"name": "c"}],
            "volumes": volumes,
        },
        "status": status,
    }))
    .unwrap()
}

fn running() -> Value {
    json!({
        "startTime": at(1).to_string(),
        "containerStatuses": [{
            "name": "c", "ready": false, "restartCount": 0, "image": "", "imageID": "",
            "state": {"running": {"startedAt": at(20).to_string()}},
        }],
    })
}

fn init_ran(from: i64, to: i64) -> RuntimePod {
    let init = ContainerRecord {
        state: RuntimeState::Exited,
        started_at: Some(at(from)),
        finished_at: Some(at(to)),
        ..ContainerRecord::created("i", "init", 0, "s", at(from))
    };
    RuntimePod { sandboxes: Vec::new(), containers: vec![init] }
}

/// Pulls from 2 to 8 and from 6 to 9, init from 9 to 12, shown at 21: 21 in all, 10 of them not ours.
fn start(volumes: Value) -> Arc<Metrics> {
    let metrics = Metrics::new();
    let starts = Starts::new(Arc::clone(&metrics));
    let uid = PodUid::from("u");
    starts.shown(&pod(json!({}), volumes.clone()), at(1));
    // One of the pulls fails at first; what is there at once took no time.
    starts.asks_for_image(&uid, &"a".into(), at(2));
    starts.asks_for_image(&uid, &"c".into(), at(1));
    starts.has_image(&uid, &"c".into(), Had::Present, at(2));
    starts.has_image(&uid, &"a".into(), Had::NotYet, at(3));
    starts.asks_for_image(&uid, &"a".into(), at(5));
    starts.asks_for_image(&uid, &"b".into(), at(6));
    starts.has_image(&uid, &"a".into(), Had::Present, at(8));
    starts.has_image(&uid, &"b".into(), Had::Pulled, at(9));
    let started = pod(running(), volumes);
    starts.shown(&started, at(15));
    assert_eq!(metrics.pods.start_total_seconds.count(), 0, "nothing of it was decided here");
    starts.decided(&uid, &started, started.status.as_ref().unwrap(), &init_ran(9, 12));
    starts.shown(&started, at(21));
    starts.shown(&started, at(30));
    metrics
}

#[test]
fn pulls_and_init_containers_are_not_the_nodes() {
    let metrics = start(json!([{"name": "v", "emptyDir": {}}]));
    let pods = &metrics.pods;
    assert_eq!((pods.start_total_seconds.count(), pods.start_total_seconds.sum()), (1, 21.0));
    assert_eq!((pods.start_sli_seconds.count(), pods.start_sli_seconds.sum()), (1, 11.0));
    assert_eq!(pods.first_network_start.get(), 11.0);
}

#[test]
fn pods_with_volumes_of_others_have_no_sli() {
    let metrics = start(json!([{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]));
    assert_eq!(metrics.pods.start_total_seconds.count(), 1);
    assert_eq!(metrics.pods.start_sli_seconds.count(), 0);
}

#[test]
fn a_pod_that_was_started_before_does_not_count() {
    let metrics = Metrics::new();
    let starts = Starts::new(Arc::clone(&metrics));
    let started = pod(running(), json!([]));
    starts.shown(&started, at(100));
    starts.decided(&PodUid::from("u"), &started, started.status.as_ref().unwrap(), &init_ran(9, 12));
    starts.shown(&started, at(101));
    assert_eq!(metrics.pods.start_total_seconds.count(), 0);
}

#[test]
fn the_first_pod_of_the_network_is_one_that_waits_for_no_volumes() {
    let metrics = start(json!([{"name": "v", "hostPath": {"path": "/"}}]));
    assert_eq!(metrics.pods.start_total_seconds.count(), 1);
    assert_eq!(metrics.pods.first_network_start.get(), 0.0);
}
