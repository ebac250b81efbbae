//! Statuses from accounts of the runtime.

use std::time::Duration;

use k8s_openapi::api::core::v1::{
    Container, PodCondition, PodReadinessGate, ResourceRequirements, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use serde_json::{Value, json};

use super::*;
use crate::{
    decide,
    observation::{ContainerRecord, NodeFacts, RuntimePod, RuntimeState, SandboxRecord},
    spec::hash::container_hash,
    testing::sandbox,
};

fn at(second: i64) -> jiff::Timestamp {
    // With a fraction: statuses show whole seconds.
    jiff::Timestamp::new(1_795_456_187 + second, 500_000_000).unwrap()
}

fn pod(value: Value) -> Pod {
    serde_json::from_value(value).unwrap()
}

fn record(name: &str, image: &str, state: RuntimeState) -> ContainerRecord {
    ContainerRecord {
        state,
        started_at: (state != RuntimeState::Created).then(|| at(1)),
        finished_at: (state == RuntimeState::Exited).then(|| at(2)),
        reason: if state == RuntimeState::Exited { "Completed".to_owned() } else { String::new() },
        image: image.to_owned(),
        image_ref: "sha256:2fc5".to_owned(),
        hash: container_hash(name, image),
        ..ContainerRecord::created(format!("id-{name}"), name, 0, "s", at(0))
    }
}

fn seen(pod: Pod, containers: Vec<ContainerRecord>) -> Observation {
    let sandbox = SandboxRecord { ips: vec!["10.88.1.189".to_owned()], ..sandbox("s", at(0)) };
    Observation {
        runtime: Ok(RuntimePod { sandboxes: vec![sandbox], containers }),
        node: NodeFacts {
            name: "n".to_owned(),
            host_ips: vec!["192.0.2.2".to_owned()],
            runtime_name: "containerd".to_owned(),
            max_restart_backoff: Duration::from_secs(300),
            has_api: true,
            ..NodeFacts::default()
        },
        ..Observation::of(pod)
    }
}

fn status(seen: &Observation, second: i64) -> PodStatus {
    decide(&PodState::default(), seen, Tick { mono: Duration::from_secs(9), wall: at(second) }).status
}

fn simple() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "b0-000", "namespace": "default", "uid": "u", "generation": 1},
        "spec": {
            "containers": [{
                "name": "c", "image": "registry.test/pause:3.10", "resources": {},
                "volumeMounts": [{"mountPath": "/var/run/secrets", "name": "token", "readOnly": true}]
            }],
            "restartPolicy": "Always"
        },
        "status": {"phase": "Pending"}
    })
}

/// What upstream's kubelet shows for this pod (contract §10), but for the pod-level resources it reads off the cgroup.
#[test]
fn running_pod_is_shown_as_upstream_shows_it() {
    let seen = seen(pod(simple()), vec![record("c", "registry.test/pause:3.10", RuntimeState::Running)]);
    let condition = |kind: &str| {
        json!({
            "lastTransitionTime": "2026-11-23T17:49:48Z", "observedGeneration": 1, "status": "True", "type": kind
        })
    };
    let want = json!({
        "conditions": [
            condition("PodReadyToStartContainers"),
            condition("Initialized"),
            condition("Ready"),
            condition("ContainersReady"),
            condition("PodScheduled")
        ],
        "containerStatuses": [{
            "containerID": "containerd://id-c",
            "image": "registry.test/pause:3.10",
            "imageID": "sha256:2fc5",
            "lastState": {},
            "name": "c",
            "ready": true,
            "resources": {},
            "restartCount": 0,
            "started": true,
            "state": {"running": {"startedAt": "2026-11-23T17:49:48Z"}},
            "volumeMounts": [{
                "mountPath": "/var/run/secrets", "name": "token", "readOnly": true, "recursiveReadOnly": "Disabled"
            }]
        }],
        "hostIP": "192.0.2.2",
        "hostIPs": [{"ip": "192.0.2.2"}],
        "observedGeneration": 1,
        "phase": "Running",
        "podIP": "10.88.1.189",
        "podIPs": [{"ip": "10.88.1.189"}],
        "qosClass": "BestEffort",
        "resources": {},
        "startTime": "2026-11-23T17:49:48Z"
    });
    assert_eq!(serde_json::to_value(status(&seen, 1)).unwrap(), want);
}

#[test]
fn transition_times_and_start_are_kept() {
    let first = seen(pod(simple()), vec![record("c", "registry.test/pause:3.10", RuntimeState::Running)]);
    let before = status(&first, 1);
    let mut object = pod(simple());
    object.status = Some(before.clone());
    let later = seen(object.clone(), vec![record("c", "registry.test/pause:3.10", RuntimeState::Running)]);
    assert_eq!(status(&later, 1000), before);
    object.metadata.generation = Some(2);
    let after =
        status(&seen(object, vec![record("c", "registry.test/pause:3.10", RuntimeState::Running)]), 1000);
    assert_eq!(after.observed_generation, Some(2));
    for (old, new) in before.conditions.iter().flatten().zip(after.conditions.iter().flatten()) {
        assert_eq!(old.last_transition_time, new.last_transition_time);
        assert_eq!(new.observed_generation, Some(2));
    }
}

#[test]
fn resources_in_force_and_allocated() {
    let mut value = simple();
    value["spec"]["containers"][0]["resources"] =
        json!({"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"cpu": "500m", "memory": "64Mi"}});
    value["spec"]["containers"].as_array_mut().unwrap().push(
        json!({"name": "d", "image": "i", "resources": {"requests": {"cpu": "250m", "memory": "64Mi"}}}),
    );
    value["status"]["phase"] = json!("Running");
    let mut c = record("c", "registry.test/pause:3.10", RuntimeState::Running);
    c.resources = Some(ResourceRequirements {
        limits: Some(
            [("cpu".to_owned(), Quantity("600m".into())), ("memory".to_owned(), Quantity("67108864".into()))]
                .into(),
        ),
        requests: Some([("cpu".to_owned(), Quantity("100m".into()))].into()),
        ..ResourceRequirements::default()
    });
    c.user = Some((1000, 1000, vec![2000]));
    let status = status(&seen(pod(value), vec![c, record("d", "i", RuntimeState::Exited)]), 1);
    let status = serde_json::to_value(status).unwrap();
    assert_eq!(
        status["containerStatuses"][0]["resources"],
        json!({"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"cpu": "600m", "memory": "64Mi"}})
    );
    assert_eq!(
        status["containerStatuses"][0]["allocatedResources"],
        json!({"cpu": "100m", "memory": "64Mi"})
    );
    assert_eq!(
        status["containerStatuses"][0]["user"],
        json!({"linux": {"uid": 1000, "gid": 1000, "supplementalGroups": [2000]}})
    );
    assert_eq!(status["allocatedResources"], json!({"cpu": "350m", "memory": "128Mi"}));
    assert_eq!(
        status["resources"],
        json!({"requests": {"cpu": "350m", "memory": "128Mi"}, "limits": {"cpu": "500m", "memory": "64Mi"}})
    );
    assert_eq!(status["qosClass"], "Burstable");
}

#[test]
fn phases() {
    use RuntimeState::{Created, Exited, Running};
    // policy, (name, state, exit code), phase
    type Row<'a> = (&'a str, &'a [(&'a str, RuntimeState, i32)], &'a str);
    let rows: [Row<'_>; 12] = [
        ("Always", &[], "Pending"),
        ("Always", &[("c", Created, 0), ("d", Running, 0)], "Pending"),
        ("Always", &[("c", Running, 0)], "Pending"),
        ("Always", &[("c", Running, 0), ("d", Running, 0)], "Running"),
        ("Always", &[("c", Exited, 0), ("d", Running, 0)], "Running"),
        ("Always", &[("c", Exited, 0), ("d", Exited, 0)], "Running"),
        ("OnFailure", &[("c", Exited, 1), ("d", Exited, 0)], "Running"),
        ("Never", &[("c", Exited, 1), ("d", Running, 0)], "Running"),
        // Ended pods are reported so only when their sandbox is stopped: the last phase stands until then.
        ("OnFailure", &[("c", Exited, 0), ("d", Exited, 0)], "Pending"),
        ("Never", &[("c", Exited, 1), ("d", Exited, 0)], "Pending"),
        ("Never", &[("c", Exited, 0), ("d", Exited, 0)], "Pending"),
        ("Never", &[("c", Exited, 0)], "Pending"),
    ];
    for (policy, containers, want) in rows {
        let mut value = simple();
        value["spec"]["restartPolicy"] = json!(policy);
        value["spec"]["containers"] = json!([{"name": "c", "image": "i"}, {"name": "d", "image": "i"}]);
        let records = containers
            .iter()
            .map(|(name, state, code)| ContainerRecord { exit_code: *code, ..record(name, "i", *state) });
        let status = status(&seen(pod(value), records.collect()), 1);
        assert_eq!(status.phase.as_deref(), Some(want), "{policy} {containers:?}");
    }
}

#[test]
fn conditions_name_what_is_missing() {
    let mut value = simple();
    value["spec"]["containers"] = json!([{"name": "c", "image": "i"}, {"name": "d", "image": "i"}]);
    value["spec"]["initContainers"] = json!([{"name": "i", "image": "i"}, {"name": "j", "image": "i"}]);
    let status = status(&seen(pod(value), vec![record("i", "i", RuntimeState::Exited)]), 1);
    let find = |kind: &str| status.conditions.iter().flatten().find(|c| c.type_ == kind).unwrap();
    let show = |c: &PodCondition| {
        (c.status.clone(), c.reason.clone().unwrap_or_default(), c.message.clone().unwrap_or_default())
    };
    assert_eq!(
        show(find("Initialized")),
        ("False".into(), "ContainersNotInitialized".into(), "containers with incomplete status: [j]".into())
    );
    for kind in ["Ready", "ContainersReady"] {
        assert_eq!(
            show(find(kind)),
            ("False".into(), "ContainersNotReady".into(), "containers with unready status: [c d]".into())
        );
    }
}

#[test]
fn readiness_gates_and_foreign_conditions() {
    let mut object = pod(simple());
    let gates = ["example.com/a", "example.com/b"];
    if let Some(spec) = &mut object.spec {
        spec.readiness_gates =
            Some(gates.iter().map(|g| PodReadinessGate { condition_type: (*g).to_owned() }).collect());
    }
    let foreign =
        PodCondition { type_: "example.com/a".into(), status: "False".into(), ..PodCondition::default() };
    object.status.get_or_insert_default().conditions = Some(vec![foreign.clone()]);
    let status =
        status(&seen(object, vec![record("c", "registry.test/pause:3.10", RuntimeState::Running)]), 1);
    let conditions = status.conditions.unwrap();
    assert_eq!(conditions[0], foreign, "others' conditions come first, untouched");
    let ready = conditions.iter().find(|c| c.type_ == "Ready").unwrap();
    assert_eq!(ready.reason.as_deref(), Some("ReadinessGatesNotReady"));
    assert_eq!(
        ready.message.as_deref(),
        Some(
            "the status of pod readiness gate \"example.com/a\" is not \"True\", but False, \
             corresponding condition of pod readiness gate \"example.com/b\" does not exist."
        )
    );
    assert_eq!(conditions.iter().find(|c| c.type_ == "ContainersReady").unwrap().status, "True");
}

#[test]
fn addresses_follow_the_nodes_primary_family() {
    let mut seen = seen(pod(simple()), vec![]);
    seen.node.host_ips = vec!["2001:db8::2".to_owned(), "192.0.2.2".to_owned()];
    if let Ok(runtime) = &mut seen.runtime {
        runtime.sandboxes[0].ips = vec!["10.0.0.1".into(), "10.0.0.2".into(), "fd00::1".into()];
    }
    let status = status(&seen, 1);
    let ips: Vec<_> = status.pod_ips.iter().flatten().map(|ip| ip.ip.as_str()).collect();
    assert_eq!(ips, ["fd00::1", "10.0.0.1"]);
    assert_eq!(
        status.host_ips.iter().flatten().map(|ip| ip.ip.as_str()).collect::<Vec<_>>(),
        ["2001:db8::2", "192.0.2.2"]
    );
    // Standalone, nobody asks for host addresses.
    seen.node.has_api = false;
    assert_eq!(super::tests::status(&seen, 1).host_ip, None);
}

#[test]
fn a_pod_on_the_nodes_network_goes_with_the_node_when_that_moves() {
    let mut value = simple();
    value["spec"]["hostNetwork"] = json!(true);
    let mut seen = seen(pod(value), vec![record("c", "registry.test/pause:3.10", RuntimeState::Running)]);
    if let Ok(runtime) = &mut seen.runtime {
        runtime.sandboxes[0].ips.clear();
        runtime.sandboxes[0].host_network = true;
    }
    let ips = |status: &PodStatus| (status.host_ip.clone().unwrap(), status.pod_ip.clone().unwrap());
    let look = |state: &PodState, seen: &Observation| {
        decide(state, seen, Tick { mono: Duration::from_secs(9), wall: at(1) })
    };
    let before = look(&PodState::default(), &seen);
    assert_eq!(ips(&before.status), ("192.0.2.2".to_owned(), "192.0.2.2".to_owned()));
    seen.node.host_ips = vec!["192.0.2.7".to_owned()];
    let after = look(&before.next, &seen);
    assert_eq!(ips(&after.status), ("192.0.2.7".to_owned(), "192.0.2.7".to_owned()));
    // A node without an address has lost it for a while.
    seen.node.host_ips.clear();
    assert_eq!(look(&after.next, &seen).status.pod_ip.as_deref(), Some("192.0.2.7"));
}

#[test]
fn lost_init_container_counts_as_done_once_regular_ones_ran() {
    let mut value = simple();
    value["spec"]["initContainers"] = json!([{"name": "i", "image": "i"}]);
    let status =
        status(&seen(pod(value), vec![record("c", "registry.test/pause:3.10", RuntimeState::Running)]), 1);
    let init = &status.init_container_statuses.as_ref().unwrap()[0];
    let ended = init.state.as_ref().unwrap().terminated.as_ref().unwrap();
    assert_eq!((ended.exit_code, ended.reason.as_deref()), (0, Some("Completed")));
    assert!(init.ready);
    assert_eq!(status.phase.as_deref(), Some("Running"));
}

#[test]
fn mounts_say_whether_they_are_recursively_read_only() {
    let mount = |read_only, recursive: Option<&str>| VolumeMount {
        name: "v".into(),
        mount_path: "/v".into(),
        read_only,
        recursive_read_only: recursive.map(str::to_owned),
        ..VolumeMount::default()
    };
    let mut object = pod(simple());
    if let Some(spec) = &mut object.spec {
        spec.containers = vec![Container {
            name: "c".into(),
            image: Some("i".into()),
            volume_mounts: Some(vec![
                mount(None, None),
                mount(Some(true), None),
                mount(Some(true), Some("Enabled")),
                mount(Some(true), Some("IfPossible")),
            ]),
            ..Container::default()
        }];
    }
    let mut seen = seen(object, vec![]);
    let shown = |seen: &Observation| -> Vec<(bool, String)> {
        let mounts = status(seen, 1).container_statuses.unwrap()[0].volume_mounts.clone().unwrap();
        let shown = mounts.into_iter().map(|m| (m.read_only == Some(true), m.recursive_read_only));
        shown.map(|(read_only, mode)| (read_only, mode.unwrap_or_default())).collect()
    };
    let mode = |mode: &str| (true, mode.to_owned());
    let writable = || (false, String::new());
    assert_eq!(shown(&seen), [writable(), mode("Disabled"), mode("Disabled"), mode("Disabled")]);
    seen.node.recursive_read_only.insert(String::new());
    assert_eq!(shown(&seen), [writable(), mode("Disabled"), mode("Enabled"), mode("Enabled")]);
}
