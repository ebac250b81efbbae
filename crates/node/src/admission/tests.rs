use serde_json::{Value, json};

use super::{sysctls::PatternError, *};
use crate::testing::{container, object, pod};

fn node() -> Node {
    object(json!({
        "metadata": { "name": "here", "labels": { "zone": "a", "kubernetes.io/os": "linux", "cores": "8" } },
        "spec": {},
        "status": { "allocatable": {
            "cpu": "2", "memory": "4Gi", "pods": "3", "ephemeral-storage": "10Gi", "example.com/gpu": "1",
            "hugepages-2Mi": "4Mi",
        } },
    }))
}

fn check(pod: &Pod, node: &Node, others: &[&Pod], pressures: &[Pressure]) -> Result<(), Refused> {
    let sysctls =
        SysctlAllowlist::new("6.1.0", &["net.core.somaxconn".to_owned(), "user.max_*".to_owned()]).unwrap();
    admit(pod, &AdmissionInputs { node, others, pressures, sysctls: &sysctls })
}

fn refusal(spec: Value) -> Option<(String, String)> {
    let refused = check(&pod(spec), &node(), &[], &[]).err()?;
    Some((refused.rejection.reason().into_owned(), refused.rejection.to_string()))
}

fn reason(spec: Value) -> Option<String> {
    refusal(spec).map(|(reason, _)| reason)
}

fn asking(requests: Value) -> Value {
    json!({ "containers": [container("c", requests, json!({}))] })
}

#[test]
fn what_fits_is_admitted() {
    assert_eq!(refusal(json!({ "nodeName": "here" })), None);
    assert_eq!(refusal(asking(json!({ "cpu": "2", "memory": "4Gi", "ephemeral-storage": "10Gi" }))), None);
    assert_eq!(refusal(asking(json!({ "example.com/unknown": "5" }))), None, "a resource of the cluster");
}

#[test]
fn shortages_are_reported_with_numbers() {
    let cases = [
        ("cpu", "2500m", "OutOfcpu", "cpu, requested: 2500, used: 0, capacity: 2000"),
        ("memory", "5Gi", "OutOfmemory", "memory, requested: 5368709120, used: 0, capacity: 4294967296"),
        (
            "ephemeral-storage",
            "11Gi",
            "OutOfephemeral-storage",
            "ephemeral-storage, requested: 11811160064, used: 0, capacity: 10737418240",
        ),
        (
            "example.com/gpu",
            "2",
            "OutOfexample.com/gpu",
            "example.com/gpu, requested: 2, used: 0, capacity: 1",
        ),
        (
            "hugepages-2Mi",
            "6Mi",
            "OutOfhugepages-2Mi",
            "hugepages-2Mi, requested: 6291456, used: 0, capacity: 4194304",
        ),
    ];
    for (name, amount, reason, message) in cases {
        let mut requests = serde_json::Map::new();
        requests.insert(name.to_owned(), json!(amount));
        let (got, text) = refusal(asking(Value::Object(requests))).unwrap();
        assert_eq!(got, reason);
        assert_eq!(text, format!("Node didn't have enough resource: {message}"));
    }
}

#[test]
fn other_pods_count_and_zero_requests_fit_a_full_node() {
    let big = pod(asking(json!({ "cpu": "1500m" })));
    let refused = check(&pod(asking(json!({ "cpu": "600m" }))), &node(), &[&big], &[]).unwrap_err();
    assert_eq!(
        refused.rejection,
        Rejection::Insufficient { resource: "cpu".to_owned(), requested: 600, used: 1500, capacity: 2000 }
    );
    assert!(refused.resources_only && !refused.labels_only);
    let over = pod(asking(json!({ "cpu": "9" })));
    assert_eq!(check(&pod(json!({})), &node(), &[&over], &[]), Ok(()));
    assert_eq!(
        check(&pod(asking(json!({ "memory": "1Gi" }))), &node(), &[&over], &[]),
        Ok(()),
        "its own needs are free"
    );
    let full = [&over, &over, &over];
    let refused = check(&pod(json!({})), &node(), &full, &[]).unwrap_err();
    assert_eq!(refused.rejection.reason(), "OutOfpods");
    assert!(refused.rejection.to_string().ends_with("pods, requested: 1, used: 3, capacity: 3"));
}

#[test]
fn only_the_first_failure_is_reported() {
    let mut spec = asking(json!({ "cpu": "9", "memory": "9Gi" }));
    spec["nodeName"] = json!("elsewhere");
    let refused = check(&pod(spec), &node(), &[], &[]).unwrap_err();
    assert_eq!(refused.rejection.reason(), "OutOfcpu");
    assert!(!refused.resources_only && !refused.labels_only);
}

#[test]
fn names_and_selectors() {
    assert_eq!(
        refusal(json!({ "nodeName": "elsewhere" })).unwrap(),
        ("NodeName".into(), "Predicate NodeName failed: node(s) didn't match the requested node name".into())
    );
    assert_eq!(reason(json!({ "nodeSelector": { "zone": "a" } })), None);
    assert_eq!(
        refusal(json!({ "nodeSelector": { "zone": "b" } })).unwrap(),
        (
            "NodeAffinity".into(),
            "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector".into()
        )
    );
    let refused = check(&pod(json!({ "nodeSelector": { "zone": "b" } })), &node(), &[], &[]).unwrap_err();
    assert!(refused.labels_only);
}

#[test]
fn devices_that_are_gone_are_kept_by_who_runs_and_given_to_nobody() {
    let mut node = node();
    let allocatable = node.status.as_mut().unwrap().allocatable.as_mut().unwrap();
    allocatable.get_mut("example.com/gpu").unwrap().0 = "0".to_owned();
    let mut pod = pod(asking(json!({ "example.com/gpu": "1" })));
    let refused = check(&pod, &node, &[], &[]).unwrap_err();
    assert_eq!(refused.rejection.reason(), "OutOfexample.com/gpu");
    pod.status = Some(object(json!({ "phase": "Running" })));
    check(&pod, &node, &[], &[]).unwrap();
}

#[test]
fn pods_with_resource_claims_are_refused() {
    let mut pod = pod(json!({ "resourceClaims": [{ "name": "gpu", "resourceClaimName": "x" }] }));
    let refused = check(&pod, &node(), &[], &[]).unwrap_err().rejection;
    assert_eq!(refused.reason(), "UnexpectedAdmissionError");
    assert!(refused.to_string().ends_with("nobody would prepare the claims [gpu]"), "{refused}");
    pod.status = Some(object(json!({ "phase": "Running" })));
    check(&pod, &node(), &[], &[]).unwrap();
}

#[test]
fn required_node_affinity() {
    let term = |terms: Value| {
        let required = json!({ "nodeSelectorTerms": terms });
        reason(
            json!({ "affinity": { "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": required } } }),
        )
    };
    let one = |key: &str, operator: &str, values: Value| {
        term(json!([{ "matchExpressions": [{ "key": key, "operator": operator, "values": values }] }]))
    };
    let no = Some("NodeAffinity".to_owned());
    for (key, operator, values, outcome) in [
        ("zone", "In", json!(["a", "b"]), None),
        ("zone", "In", json!(["b"]), no.clone()),
        ("none", "In", json!(["b"]), no.clone()),
        ("zone", "In", json!([]), no.clone()),
        ("zone", "NotIn", json!(["b"]), None),
        ("zone", "NotIn", json!(["a"]), no.clone()),
        ("none", "NotIn", json!(["a"]), None),
        ("zone", "Exists", json!([]), None),
        ("none", "Exists", json!([]), no.clone()),
        ("none", "DoesNotExist", json!([]), None),
        ("zone", "DoesNotExist", json!([]), no.clone()),
        ("cores", "Gt", json!(["4"]), None),
        ("cores", "Gt", json!(["8"]), no.clone()),
        ("cores", "Lt", json!(["9"]), None),
        ("zone", "Gt", json!(["4"]), no.clone()),
        ("cores", "Gt", json!(["x"]), no.clone()),
        ("zone", "Like", json!(["a"]), no.clone()),
    ] {
        assert_eq!(one(key, operator, values.clone()), outcome, "{key} {operator} {values}");
    }
    let name = |operator: &str, name: &str| {
        term(json!([{ "matchFields": [{ "key": "metadata.name", "operator": operator, "values": [name] }] }]))
    };
    assert_eq!((name("In", "here"), name("In", "x"), name("NotIn", "x")), (None, no.clone(), None));
    let any = json!([
        { "matchExpressions": [{ "key": "zone", "operator": "Bad" }] },
        { "matchExpressions": [{ "key": "zone", "operator": "In", "values": ["a"] }] },
    ]);
    assert_eq!(term(any), None, "one term is enough, a malformed one matches nothing");
    assert_eq!(term(json!([{}])), no, "an empty term matches nothing");
}

#[test]
fn host_ports() {
    let with = |ports: Value| pod(json!({ "containers": [{ "name": "c", "ports": ports }] }));
    let http = with(json!([{ "containerPort": 80, "hostPort": 80 }]));
    let taken = |ports: Value| {
        let refused = check(&with(ports), &node(), &[&http], &[]);
        refused.err().map(|refused| refused.rejection.reason().into_owned())
    };
    let no = Some("NodePorts".to_owned());
    assert_eq!(taken(json!([{ "containerPort": 1, "hostPort": 80 }])), no);
    assert_eq!(taken(json!([{ "containerPort": 1, "hostPort": 80, "hostIP": "192.0.2.1" }])), no);
    assert_eq!(taken(json!([{ "containerPort": 1, "hostPort": 80, "protocol": "UDP" }])), None);
    assert_eq!(taken(json!([{ "containerPort": 80 }])), None);
    let one = with(json!([{ "containerPort": 1, "hostPort": 1, "hostIP": "192.0.2.1" }]));
    let two = with(json!([{ "containerPort": 1, "hostPort": 1, "hostIP": "192.0.2.2" }]));
    assert_eq!(check(&two, &node(), &[&one], &[]), Ok(()));
    assert!(check(&one, &node(), &[&one], &[]).is_err());
    let init = |policy: Value| {
        pod(
            json!({ "initContainers": [{ "name": "i", "restartPolicy": policy, "ports": [{ "containerPort": 1, "hostPort": 80 }] }] }),
        )
    };
    assert_eq!(check(&init(Value::Null), &node(), &[&http], &[]), Ok(()), "an init container comes and goes");
    assert!(check(&init(json!("Always")), &node(), &[&http], &[]).is_err());
}

#[test]
fn only_noexecute_taints_count_and_static_pods_ignore_them() {
    let tainted = |effect: &str| {
        let mut node = node();
        node.spec = Some(object(json!({ "taints": [{ "key": "k", "value": "v", "effect": effect }] })));
        node
    };
    assert_eq!(check(&pod(json!({})), &tainted("NoSchedule"), &[], &[]), Ok(()));
    let refused = check(&pod(json!({})), &tainted("NoExecute"), &[], &[]).unwrap_err();
    assert_eq!(
        (refused.rejection.reason().as_ref(), refused.rejection.to_string().as_str()),
        (
            "TaintToleration",
            "Predicate TaintToleration failed: node(s) had taints that the pod didn't tolerate"
        )
    );
    for (toleration, passes) in [
        (json!({ "operator": "Exists" }), true),
        (json!({ "key": "k", "value": "v" }), true),
        (json!({ "key": "k", "operator": "Equal", "value": "v", "effect": "NoExecute" }), true),
        (json!({ "key": "k", "operator": "Exists", "effect": "NoSchedule" }), false),
        (json!({ "key": "k", "value": "w" }), false),
        (json!({ "key": "x", "operator": "Exists" }), false),
        (json!({ "key": "k", "operator": "Gt", "value": "1" }), false),
    ] {
        let tolerant = pod(json!({ "tolerations": [toleration] }));
        assert_eq!(check(&tolerant, &tainted("NoExecute"), &[], &[]).is_ok(), passes, "{toleration}");
    }
    let mut file = pod(json!({}));
    file.metadata.annotations = Some([("kubernetes.io/config.source".to_owned(), "file".to_owned())].into());
    assert_eq!(check(&file, &tainted("NoExecute"), &[], &[]), Ok(()));
    file.metadata.annotations = Some([("kubernetes.io/config.source".to_owned(), "api".to_owned())].into());
    assert!(check(&file, &tainted("NoExecute"), &[], &[]).is_err());
}

#[test]
fn pressure_keeps_pods_away_unless_they_matter() {
    let best_effort = pod(json!({ "containers": [{ "name": "c" }] }));
    let burstable = pod(asking(json!({ "cpu": "1m" })));
    let mut critical = best_effort.clone();
    critical.spec.as_mut().unwrap().priority = Some(2_000_000_000);
    let tolerant = pod(
        json!({ "tolerations": [{ "key": "node.kubernetes.io/memory-pressure", "operator": "Exists" }] }),
    );
    let check = |pod: &Pod, pressures: &[Pressure]| check(pod, &node(), &[], pressures);
    let refused = check(&best_effort, &[Pressure::Memory]).unwrap_err();
    assert_eq!(refused.rejection.reason(), "Evicted");
    assert_eq!(refused.rejection.to_string(), "The node had condition: [MemoryPressure]. ");
    assert_eq!(check(&burstable, &[Pressure::Memory]), Ok(()));
    assert_eq!(check(&tolerant, &[Pressure::Memory]), Ok(()));
    let both = check(&burstable, &[Pressure::Memory, Pressure::Disk]).unwrap_err();
    assert_eq!(both.rejection.to_string(), "The node had condition: [MemoryPressure DiskPressure]. ");
    assert!(check(&tolerant, &[Pressure::Pid]).is_err());
    assert_eq!(check(&critical, &[Pressure::Memory, Pressure::Disk, Pressure::Pid]), Ok(()));
}

#[test]
fn operating_systems_and_groups() {
    assert_eq!(reason(json!({ "os": { "name": "linux" } })), None);
    assert_eq!(
        refusal(json!({ "os": { "name": "windows" } })).unwrap(),
        ("PodOSNotSupported".into(), "Failed to admit pod as the OS field doesn't match node OS".into())
    );
    let mut labelled = pod(json!({}));
    labelled.metadata.labels = Some([("kubernetes.io/os".to_owned(), "windows".to_owned())].into());
    let refused = check(&labelled, &node(), &[], &[]).unwrap_err();
    assert_eq!(refused.rejection.reason(), "PodOSSelectorNodeLabelDoesNotMatch");
    let strict = pod(json!({ "securityContext": { "supplementalGroupsPolicy": "Strict" } }));
    let refused = check(&strict, &node(), &[], &[]).unwrap_err();
    assert_eq!(
        refused.rejection.to_string(),
        "SupplementalGroupsPolicy=Strict is not supported in this node"
    );
    let mut able = node();
    able.status.as_mut().unwrap().features = Some(object(json!({ "supplementalGroupsPolicy": true })));
    assert_eq!(check(&strict, &able, &[], &[]), Ok(()));
}

#[test]
fn a_cordoned_node_runs_what_is_bound_to_it() {
    let mut cordoned = node();
    cordoned.spec.as_mut().unwrap().unschedulable = Some(true);
    assert_eq!(check(&pod(json!({})), &cordoned, &[], &[]), Ok(()));
}

#[test]
fn sysctls() {
    let with = |name: &str, more: Value| {
        let mut spec = json!({ "securityContext": { "sysctls": [{ "name": name, "value": "1" }] } });
        for (key, value) in more.as_object().unwrap() {
            spec[key] = value.clone();
        }
        refusal(spec)
    };
    let forbidden = |text: &str| Some(("SysctlForbidden".to_owned(), format!("forbidden sysctl: {text}")));
    for safe in ["kernel.shm_rmid_forced", "net.ipv4.tcp_rmem", "net/ipv4/tcp_rmem", "net.core.somaxconn"] {
        assert_eq!(with(safe, json!({})), None, "{safe}");
    }
    assert_eq!(with("kernel.msgmax", json!({})), forbidden("\"kernel.msgmax\" not allowlisted"));
    assert_eq!(
        with("net/ipv4/conf/eth0.1/x", json!({})),
        forbidden("\"net.ipv4.conf.eth0/1.x\" not allowlisted")
    );
    assert_eq!(
        with("net.ipv4.tcp_rmem", json!({ "hostNetwork": true })),
        forbidden("\"net.ipv4.tcp_rmem\" not allowed with host Net enabled")
    );
    assert_eq!(
        with("kernel.shm_rmid_forced", json!({ "hostIPC": true })),
        forbidden("\"kernel.shm_rmid_forced\" not allowed with host IPC enabled")
    );
    assert_eq!(
        with("user.max_user_namespaces", json!({})),
        forbidden("\"user.max_user_namespaces\" not allowed with host User enabled")
    );
    assert_eq!(with("user.max_user_namespaces", json!({ "hostUsers": false })), None);
}

#[test]
fn sysctl_lists() {
    let old = SysctlAllowlist::new("4.14.336-x", &[]).unwrap();
    let with =
        |name: &str| pod(json!({ "securityContext": { "sysctls": [{ "name": name, "value": "1" }] } }));
    assert!(old.check(&with("net.ipv4.tcp_rmem")).is_err(), "isolated since 4.15");
    assert!(old.check(&with("net.ipv4.tcp_notsent_lowat")).is_ok());
    assert!(SysctlAllowlist::new("garbage", &[]).unwrap().check(&with("net.ipv4.tcp_syncookies")).is_ok());
    let add = |pattern: &str| SysctlAllowlist::new("6.1", &[pattern.to_owned()]);
    for good in ["kernel.msg*", "kernel.sem", "net.*", "fs.mqueue.*", "net/core/somaxconn", "kernel.shm*"] {
        assert!(add(good).is_ok(), "{good}");
    }
    assert_eq!(add("kernel.panic"), Err(PatternError::NotNamespaced("kernel.panic".to_owned())));
    assert_eq!(add("vm.*"), Err(PatternError::NotNamespaced("vm.".to_owned())));
    let long = format!("net.{}", "a".repeat(250));
    for bad in ["", "net.", "Net.core", "net.*.x", "net..x", "net.-a", long.as_str()] {
        assert!(matches!(add(bad), Err(PatternError::Malformed(_))), "{bad}");
    }
    assert!(add("kernel.msg*").unwrap().check(&with("kernel.msgmax")).is_ok());
}
