use serde_json::{Value, json};

use super::*;
use crate::testing::{container, pod};

fn shown(list: &ResourceList) -> Vec<String> {
    list.iter().map(|(name, quantity)| format!("{name}={quantity}")).collect()
}

fn asks(name: &str, requests: Value) -> Value {
    container(name, requests, json!({}))
}

fn sidecar(name: &str, requests: Value) -> Value {
    let mut sidecar = asks(name, requests);
    sidecar["restartPolicy"] = json!("Always");
    sidecar
}

#[test]
fn regular_containers_add_up_and_init_containers_are_a_maximum() {
    let both = pod(json!({
        "containers": [asks("a", json!({ "cpu": "100m", "memory": "1Gi" })), asks("b", json!({ "cpu": "1" }))],
        "initContainers": [asks("i", json!({ "cpu": "500m", "memory": "3Gi" })), asks("j", json!({ "memory": "2Gi" }))],
    }));
    assert_eq!(shown(&pod_requests(&both)), ["cpu=1100m", "memory=3Gi"]);
}

#[test]
fn sidecars_run_beside_what_starts_after_them() {
    let mixed = pod(json!({
        "containers": [asks("a", json!({ "cpu": "1" }))],
        "initContainers": [
            asks("before", json!({ "cpu": "2" })),
            sidecar("s1", json!({ "cpu": "500m" })),
            asks("between", json!({ "cpu": "2" })),
            sidecar("s2", json!({ "cpu": "100m" })),
        ],
    }));
    // max(1 + 0.5 + 0.1, 2, 0.5, 2 + 0.5, 0.5 + 0.1)
    assert_eq!(shown(&pod_requests(&mixed)), ["cpu=2500m"]);
}

#[test]
fn overhead_is_added_to_requests_and_to_limits_that_exist() {
    let heavy = pod(json!({
        "containers": [container("a", json!({ "cpu": "1" }), json!({ "cpu": "2", "memory": "0" }))],
        "overhead": { "cpu": "250m", "memory": "120Mi" },
    }));
    assert_eq!(shown(&pod_requests(&heavy)), ["cpu=1250m", "memory=120Mi"]);
    assert_eq!(shown(&pod_limits(&heavy)), ["cpu=2250m", "memory=0"]);
}

#[test]
fn pod_level_values_replace_the_sum() {
    let level = pod(json!({
        "containers": [asks("a", json!({ "cpu": "1", "memory": "1Gi", "example.com/x": "1" }))],
        "resources": { "requests": { "cpu": "3", "example.com/x": "9" }, "limits": { "memory": "4Gi" } },
    }));
    assert_eq!(shown(&pod_requests(&level)), ["cpu=3", "example.com/x=1", "memory=1Gi"]);
    assert_eq!(shown(&pod_limits(&level)), ["memory=4Gi"]);
    assert!(has_pod_level(&level) && has_pod_level_requests(&level));
    assert_eq!(shown(&aggregated_requests(&level)), ["cpu=1", "example.com/x=1", "memory=1Gi"]);
}

#[test]
fn names_are_told_apart() {
    for extended in ["example.com/gpu", "a/b", "nvidia.com/gpu_1.x"] {
        assert!(is_extended(extended), "{extended}");
    }
    let long = format!("example.com/{}", "x".repeat(64));
    for other in [
        "cpu",
        "hugepages-2Mi",
        "kubernetes.io/x",
        "x.kubernetes.io/y",
        "requests.a.com/b",
        "A/b",
        "a/-b",
        &long,
    ] {
        assert!(!is_extended(other), "{other}");
    }
}

#[test]
fn huge_page_names_and_units() {
    assert_eq!(huge_page_size("hugepages-2Mi"), Some(2 << 20));
    assert_eq!(huge_page_size("hugepages-1Gi"), Some(1 << 30));
    assert_eq!(huge_page_size("hugepages-x"), None);
    assert_eq!(huge_page_size("hugepages-0"), None);
    assert_eq!(huge_page_size("memory"), None);
    assert_eq!(huge_page_resource(2 << 20), "hugepages-2Mi");
    assert_eq!(huge_page_resource(64 << 10), "hugepages-64Ki");
    for (bytes, unit) in
        [(1 << 30, "1GB"), (2 << 20, "2MB"), (64 << 10, "64KB"), (16 << 30, "16GB"), (512 << 20, "512MB")]
    {
        assert_eq!(huge_page_unit(bytes).as_deref(), Some(unit));
    }
    assert_eq!(huge_page_unit(0), None);
    assert_eq!(huge_page_unit((1 << 20) + 1), None);
}
