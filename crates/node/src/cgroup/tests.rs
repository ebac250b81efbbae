use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::testing::{container, pod};

const GIB: u64 = 1 << 30;

fn rules() -> CgroupRules {
    CgroupRules {
        version: CgroupVersion::V1,
        quota_period_micros: Some(DEFAULT_PERIOD_MICROS),
        memory_bytes: 16 * GIB,
        hugepage_sizes: vec![1 << 30, 2 << 20],
        memory_qos: true,
        single_process_oom_kill: true,
        swap: Swap::Uncontrolled,
        pod_pids_limit: None,
    }
}

fn values_of(pod: &Pod, index: usize, rules: &CgroupRules) -> LinuxResources {
    container_values(pod, &pod.spec.as_ref().unwrap().containers[index], rules)
}

fn one(requests: Value, limits: Value) -> Pod {
    pod(json!({ "containers": [container("a", requests, limits)] }))
}

#[test]
fn shares_weight_and_quota_of_the_contract() {
    for (milli, expected) in
        [(0, 2), (1, 2), (2, 2), (3, 3), (100, 102), (500, 512), (1000, 1024), (1_000_000, 262_144)]
    {
        assert_eq!(shares(milli), expected, "{milli}m");
    }
    assert_eq!(shares(i64::MAX), MAX_SHARES);
    assert_eq!(shares(-5), MIN_SHARES);
    for (shares, expected) in
        [(2, 1), (1024, 39), (262_144, 10_000), (0, 1), (102, 4), (300_000, 10_000), (262_143, 9999)]
    {
        assert_eq!(weight(shares), expected, "{shares} shares");
    }
    for (milli, period, expected) in [
        (0, 100_000, 0),
        (1, 100_000, 1000),
        (10, 100_000, 1000),
        (11, 100_000, 1100),
        (200, 100_000, 20_000),
        (1500, 10_000, 15_000),
    ] {
        assert_eq!(quota(milli, period), expected, "{milli}m of {period} µs");
    }
}

proptest! {
    #[test]
    fn weights_are_valid_and_monotonic(a in 0u64..300_000, b in 0u64..300_000) {
        prop_assert!((1..=10_000).contains(&weight(a)));
        prop_assert!((a <= b) == (weight(a) <= weight(b)) || weight(a) == weight(b));
    }

    #[test]
    fn a_weight_survives_the_way_back(weight_before in 1u64..=10_000) {
        let back = shares_of_weight(weight_before);
        prop_assert!((MIN_SHARES..=MAX_SHARES).contains(&back));
        // Integer division on both ways may lose one.
        prop_assert!(weight_before - weight(back) <= 1);
    }

    #[test]
    fn burstable_scores_stay_between_the_classes(request in 0i64..40 << 30, memory in 1u64..20 << 30) {
        let pod = one(json!({ "memory": request.to_string(), "cpu": "1m" }), json!({}));
        let score = oom_score_adj(&pod, &pod.spec.as_ref().unwrap().containers[0], memory);
        prop_assert!((3..=999).contains(&score));
    }
}

#[test]
fn a_container_with_everything() {
    let pod = one(
        json!({ "cpu": "250m", "memory": "64Mi", "hugepages-2Mi": "4Mi" }),
        json!({ "cpu": "500m", "memory": "128Mi", "hugepages-2Mi": "4Mi" }),
    );
    let values = values_of(&pod, 0, &rules());
    let expected = LinuxResources {
        cpu_period: 100_000,
        cpu_quota: 50_000,
        cpu_shares: 256,
        memory_limit: 128 << 20,
        oom_score_adj: 997,
        memory_swap_limit: 0,
        hugepage_limits: vec![("1GB".to_owned(), 0), ("2MB".to_owned(), 4 << 20)],
        unified: vec![],
    };
    assert_eq!(values, expected);
}

#[test]
fn unset_values_of_a_container() {
    let values = values_of(&one(json!({}), json!({})), 0, &rules());
    assert_eq!(
        (values.cpu_shares, values.cpu_quota, values.cpu_period, values.memory_limit),
        (2, 0, 100_000, 0)
    );
    assert_eq!(values.oom_score_adj, 1000);
    let limit_only = values_of(&one(json!({}), json!({ "cpu": "2" })), 0, &rules());
    assert_eq!(limit_only.cpu_shares, 2048, "the request defaults to the limit");
    let zero = values_of(&one(json!({ "cpu": "0" }), json!({ "cpu": "2" })), 0, &rules());
    assert_eq!(zero.cpu_shares, 2, "a request of zero is one");
    let off = CgroupRules { quota_period_micros: None, ..rules() };
    let unlimited = values_of(&one(json!({}), json!({ "cpu": "2" })), 0, &off);
    assert_eq!((unlimited.cpu_quota, unlimited.cpu_period), (0, 0));
}

#[test]
fn pod_level_limits_bound_containers_without_their_own() {
    let pod = pod(json!({
        "containers": [container("a", json!({}), json!({})), container("b", json!({}), json!({ "memory": "1Gi" }))],
        "resources": { "limits": { "cpu": "2", "memory": "4Gi", "hugepages-2Mi": "8Mi" } },
    }));
    let (a, b) = (values_of(&pod, 0, &rules()), values_of(&pod, 1, &rules()));
    assert_eq!((a.memory_limit, b.memory_limit), (4 << 30, 1 << 30));
    assert_eq!((a.cpu_quota, a.cpu_shares), (200_000, 2048));
    assert_eq!(a.hugepage_limits[1], ("2MB".to_owned(), 8 << 20));
}

#[test]
fn unified_files_on_v2() {
    let v2 = CgroupRules { version: CgroupVersion::V2, single_process_oom_kill: false, ..rules() };
    let pod = one(json!({}), json!({}));
    let show = |rules: &CgroupRules| {
        let values = values_of(&pod, 0, rules);
        values.unified.iter().map(|(file, value)| format!("{file}={value}")).collect::<Vec<_>>()
    };
    assert_eq!(show(&v2), ["memory.low=0", "memory.min=0", "memory.oom.group=1"]);
    let old = CgroupRules { memory_qos: false, single_process_oom_kill: true, ..v2.clone() };
    assert_eq!(show(&old), ["memory.high=max"]);
    let swapless = CgroupRules { swap: Swap::NoSwap, ..old };
    assert_eq!(show(&swapless), ["memory.high=max", "memory.swap.max=0"]);
}

#[test]
fn swap_goes_to_burstable_containers_in_proportion() {
    let limited = CgroupRules {
        version: CgroupVersion::V2,
        swap: Swap::Limited { node_swap_bytes: 8 * GIB },
        ..rules()
    };
    let swap = |pod: &Pod| {
        let unified = values_of(pod, 0, &limited).unified;
        unified.into_iter().find(|(file, _)| file == "memory.swap.max").unwrap().1
    };
    assert_eq!(swap(&one(json!({ "memory": "4Gi" }), json!({}))), (2 * GIB).to_string());
    assert_eq!(swap(&one(json!({ "memory": "4Gi" }), json!({ "memory": "4Gi" }))), "0");
    assert_eq!(swap(&one(json!({ "cpu": "1" }), json!({}))), "0", "no memory request");
    assert_eq!(swap(&one(json!({}), json!({}))), "0");
    let mut critical = one(json!({ "memory": "4Gi" }), json!({}));
    critical.spec.as_mut().unwrap().priority = Some(priority::SYSTEM_CRITICAL);
    assert_eq!(swap(&critical), "0");
    let v1 = CgroupRules { version: CgroupVersion::V1, ..limited.clone() };
    assert_eq!(values_of(&one(json!({}), json!({ "memory": "1Gi" })), 0, &v1).memory_swap_limit, 1 << 30);
}

#[test]
fn scores_of_the_contract() {
    let score =
        |pod: &Pod, index: usize| oom_score_adj(pod, &pod.spec.as_ref().unwrap().containers[index], 16 * GIB);
    let full = json!({ "cpu": "1", "memory": "1Gi" });
    assert_eq!(score(&one(full.clone(), full.clone()), 0), -997);
    assert_eq!(score(&one(json!({}), json!({})), 0), 1000);
    assert_eq!(score(&one(json!({ "memory": "4Gi" }), json!({})), 0), 750);
    assert_eq!(score(&one(json!({ "cpu": "1" }), json!({})), 0), 999, "1000 is best effort's");
    assert_eq!(score(&one(json!({ "memory": "16Gi" }), json!({})), 0), 3);
    let mut critical = one(json!({}), json!({}));
    let spec = critical.spec.as_mut().unwrap();
    spec.priority = Some(2_000_001_000);
    spec.priority_class_name = Some("system-node-critical".to_owned());
    assert_eq!(score(&critical, 0), -997);
}

#[test]
fn a_sidecar_is_no_better_victim_than_the_smallest_container() {
    let mut sidecar = container("s", json!({ "memory": "1Gi" }), json!({}));
    sidecar["restartPolicy"] = json!("Always");
    let pod = pod(json!({
        "containers": [container("a", json!({ "memory": "4Gi" }), json!({})), container("b", json!({ "memory": "8Gi" }), json!({}))],
        "initContainers": [sidecar],
    }));
    let spec = pod.spec.as_ref().unwrap();
    let sidecar = &spec.init_containers.as_ref().unwrap()[0];
    assert_eq!(oom_score_adj(&pod, sidecar, 16 * GIB), 750);
    assert_eq!(oom_score_adj(&pod, &spec.containers[1], 16 * GIB), 500);
}

#[test]
fn unclaimed_pod_level_memory_is_divided() {
    let pod = pod(json!({
        "containers": [container("a", json!({ "memory": "2Gi" }), json!({})), container("b", json!({}), json!({}))],
        "resources": { "requests": { "memory": "6Gi" } },
    }));
    let score = |index: usize| oom_score_adj(&pod, &pod.spec.as_ref().unwrap().containers[index], 16 * GIB);
    // (6 - 2) / 2 containers = 2 GiB more for each.
    assert_eq!((score(0), score(1)), (750, 875));
}

#[test]
fn pod_groups_by_class() {
    let full = json!({ "cpu": "1", "memory": "1Gi" });
    let guaranteed = pod_values(&one(full.clone(), full.clone()), &rules());
    assert_eq!(guaranteed.cpu_shares, Some(1024));
    assert_eq!(guaranteed.cpu_quota, Some((100_000, 100_000)));
    assert_eq!(guaranteed.memory_limit, Some(1 << 30));
    assert_eq!(guaranteed.hugepage_limits, [("1GB".to_owned(), 0), ("2MB".to_owned(), 0)]);
    let best_effort =
        pod_values(&one(json!({}), json!({})), &CgroupRules { pod_pids_limit: Some(100), ..rules() });
    assert_eq!(
        (best_effort.cpu_shares, best_effort.cpu_quota, best_effort.memory_limit),
        (Some(2), None, None)
    );
    assert_eq!(best_effort.pids_limit, Some(100));
    assert_eq!(
        pod_values(&one(json!({}), json!({})), &CgroupRules { pod_pids_limit: Some(-1), ..rules() })
            .pids_limit,
        None
    );
}

#[test]
fn burstable_pods_are_limited_when_all_containers_are() {
    let limits = |cpu: Option<&str>| {
        cpu.map_or(json!({ "memory": "1Gi" }), |cpu| json!({ "cpu": cpu, "memory": "1Gi" }))
    };
    let two = |second: Option<&str>| {
        pod(json!({ "containers": [
            container("a", json!({ "cpu": "100m" }), limits(Some("1"))),
            container("b", json!({ "cpu": "200m" }), limits(second)),
        ] }))
    };
    let all = pod_values(&two(Some("500m")), &rules());
    assert_eq!(
        (all.cpu_shares, all.cpu_quota, all.memory_limit),
        (Some(307), Some((150_000, 100_000)), Some(2 << 30))
    );
    let some = pod_values(&two(None), &rules());
    assert_eq!((some.cpu_quota, some.memory_limit), (None, Some(2 << 30)));
    let off = pod_values(&two(Some("500m")), &CgroupRules { quota_period_micros: None, ..rules() });
    assert_eq!(off.cpu_quota, Some((-1, 100_000)));
    let mut init = two(Some("500m"));
    init.spec.as_mut().unwrap().init_containers =
        Some(vec![crate::testing::object(container("i", json!({}), json!({})))]);
    assert_eq!(pod_values(&init, &rules()).cpu_quota, None, "an init container without limit");
}

#[test]
fn qos_and_kubepods_groups() {
    let burstable = one(json!({ "cpu": "100m" }), json!({}));
    let full = json!({ "cpu": "1", "memory": "1Gi" });
    let guaranteed = one(full.clone(), full);
    let pods = [&burstable, &guaranteed, &burstable];
    let sizes = [2 << 20];
    let group = qos_values(QosClass::Burstable, pods, &sizes);
    assert_eq!(group.cpu_shares, Some(204));
    assert_eq!(group.hugepage_limits, [("2MB".to_owned(), HUGE_PAGES_UNBOUNDED)]);
    assert_eq!(qos_values(QosClass::Burstable, [], &sizes).cpu_shares, Some(2));
    assert_eq!((group.memory_min, group.memory_low), (None, Some(0)));
    let least = qos_values(QosClass::BestEffort, pods, &sizes);
    assert_eq!((least.cpu_shares, least.memory_low), (Some(2), None));
    let list = [("cpu", "2"), ("memory", "1Gi"), ("pid", "1000"), ("hugepages-2Mi", "4Mi"), ("pods", "110")]
        .into_iter()
        .map(|(name, text)| (name.to_owned(), text.parse().unwrap()))
        .collect();
    let whole = kubepods_values(&list, &sizes);
    assert_eq!(
        (whole.cpu_shares, whole.memory_limit, whole.pids_limit),
        (Some(2048), Some(1 << 30), Some(1000))
    );
    assert_eq!(whole.hugepage_limits, [("2MB".to_owned(), HUGE_PAGES_UNBOUNDED)]);
    assert_eq!((whole.memory_min, whole.memory_low), (Some(0), Some(0)));
}
