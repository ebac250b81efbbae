use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::api::stats::testing;

fn written(disk: Option<DiskUse>) -> Value {
    let summary = Summary { snapshot: Arc::new(testing::snapshot()), disk };
    serde_json::to_value(document(&summary)).unwrap()
}

#[test]
fn a_pod_has_every_field() {
    let document = written(Some(testing::disk()));
    assert_eq!(document["pods"].as_array().unwrap().len(), 1, "what has no container is left out");
    let pod = &document["pods"][0];
    assert_eq!(pod["podRef"], json!({"name": "web", "namespace": "default", "uid": "u"}));
    assert_eq!(pod["startTime"], "2026-11-18T11:06:38Z");
    let psi = json!({
        "full": {"total": 500_000, "avg10": 0.0, "avg60": 0.0, "avg300": 0.0},
        "some": {"total": 1_500_000, "avg10": 0.5, "avg60": 0.25, "avg300": 0.0},
    });
    let time = "2026-11-18T11:07:40Z";
    let cpu = json!({"time": time, "usageNanoCores": 20, "usageCoreNanoSeconds": 20_000_000, "psi": psi});
    let container = &pod["containers"][0];
    assert_eq!(container["name"], "app");
    assert_eq!(container["cpu"], cpu);
    let memory = json!({
        "time": time, "availableBytes": 1820, "usageBytes": 200, "workingSetBytes": 180, "rssBytes": 160,
        "pageFaults": 50, "majorPageFaults": 2, "psi": psi,
    });
    assert_eq!(container["memory"], memory);
    assert_eq!(container["io"], json!({"time": time, "psi": psi}));
    assert_eq!(container["swap"], json!({"time": time, "swapAvailableBytes": 3, "swapUsageBytes": 7}));
    let fs = |used: u64| {
        json!({
            "time": "2026-11-18T11:07:30Z", "availableBytes": 600, "capacityBytes": 1000, "usedBytes": used,
            "inodesFree": 90, "inodes": 100, "inodesUsed": 4,
        })
    };
    assert_eq!((&container["rootfs"], &container["logs"]), (&fs(40), &fs(41)));
    let mut volume = fs(42);
    volume["name"] = "data".into();
    assert_eq!(pod["volume"], json!([volume]));
    assert_eq!(pod["ephemeral-storage"], fs(43));
    assert_eq!(pod["process_stats"], json!({"process_count": 2}));
    let interface =
        |name: &str| json!({"name": name, "rxBytes": 1000, "rxErrors": 2, "txBytes": 500, "txErrors": 2});
    let mut network = interface("eth0");
    network["time"] = time.into();
    network["interfaces"] = json!([interface("eth0"), interface("eth1")]);
    assert_eq!(pod["network"], network);
}

#[test]
fn a_node_has_what_the_machine_has() {
    let document = written(Some(testing::disk()));
    let node = &document["node"];
    assert_eq!((&node["nodeName"], &node["startTime"]), (&json!("node"), &json!("2026-11-18T10:50:00Z")));
    assert_eq!(node["systemContainers"][0]["name"], "pods");
    assert_eq!(node["systemContainers"][0]["startTime"], "2026-11-18T11:06:40Z");
    assert_eq!(node["memory"]["availableBytes"], 991_000, "of all memory");
    assert_eq!(node["swap"]["swapAvailableBytes"], 93);
    assert_eq!(node["rlimit"], json!({"time": "2026-11-18T11:07:40Z", "maxpid": 32768, "curproc": 345}));
    assert_eq!(node["fs"]["usedBytes"], 44);
    assert_eq!(node["runtime"]["imageFs"]["usedBytes"], 45);
    assert!(node["runtime"]["containerFs"].is_null(), "not told, and not made up");
    assert_eq!(node["network"]["name"], "eth0");
}

#[test]
fn without_disks_only_cpu_memory_and_swap_are_told() {
    let document = written(None);
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>().join(" ");
    assert_eq!(keys(&document["node"]), "cpu memory nodeName startTime swap systemContainers");
    assert_eq!(keys(&document["pods"][0]), "containers cpu memory podRef startTime swap");
    assert_eq!(keys(&document["pods"][0]["containers"][0]), "cpu memory name startTime swap");
}

#[test]
fn what_was_not_read_has_no_field() {
    let mut snapshot = testing::snapshot();
    let pod = &mut snapshot.pods[0];
    pod.network = Some(Vec::new());
    let reading = &mut pod.containers[0].group.reading;
    (reading.memory, reading.swap, reading.processes) = (None, None, None);
    reading.pressure = seams::stats::Pressures::default();
    pod.containers[0].group.nano_cores = None;
    let summary = Summary { snapshot: Arc::new(snapshot), disk: Some(DiskUse::default()) };
    let document = serde_json::to_value(document(&summary)).unwrap();
    let pod = &document["pods"][0];
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>().join(" ");
    assert_eq!(keys(&pod["containers"][0]), "cpu name startTime");
    assert_eq!(keys(&pod["containers"][0]["cpu"]), "time usageCoreNanoSeconds");
    assert_eq!(keys(&pod["network"]), "name time");
    assert_eq!(pod["network"]["name"], "");
}
