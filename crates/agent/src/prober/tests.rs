use fakes::{
    clock::HandClock,
    runtime::{FakeRuntime, Fault, When},
};
use k8s_openapi::api::core::v1::Pod;
use lifecycle::observation::{ContainerRecord, RuntimePod, RuntimeState};
use serde_json::{Value, json};

use super::*;
use crate::worker::bell::Bell;

fn prober() -> Prober {
    // An hour after the containers were started, in a process that has just begun.
    let clock: Arc<dyn Clock> = Arc::new(HandClock::at("2026-11-24T02:00:00Z".parse().unwrap()));
    let (events, _) = EventSink::new(None, "n".to_owned(), None, Arc::clone(&clock));
    Prober::of(Arc::new(FakeRuntime::new()), clock, events, Metrics::new())
}

fn record(name: &str) -> ContainerRecord {
    let started = "2026-11-24T01:00:00Z".parse().unwrap();
    ContainerRecord {
        state: RuntimeState::Running,
        started_at: Some(started),
        ..ContainerRecord::created(format!("id-{name}"), name, 0, "s", started)
    }
}

/// A sidecar and a container, each with a startup probe that one failure fails, and a readiness probe.
fn pod(status: &Value) -> Arc<Pod> {
    let container = |name: &str| {
        let probe = json!({"tcpSocket": {"port": 1}, "failureThreshold": 1});
        json!({"name": name, "startupProbe": probe, "readinessProbe": probe})
    };
    let mut side = container("side");
    side["restartPolicy"] = json!("Always");
    let pod = json!({
        "metadata": {"name": "p", "namespace": "default", "uid": "u"},
        "spec": {"initContainers": [side], "containers": [container("main")]},
        "status": status
    });
    Arc::new(serde_json::from_value(pod).unwrap())
}

fn key(name: &str, kind: Kind) -> Key {
    Key { uid: PodUid::from("u".to_owned()), container: ContainerName::from(name), kind }
}

/// What is reported of one instance of each.
fn reported(side: (&str, bool), main: (&str, bool)) -> Value {
    let of = |name: &str, (id, started): (&str, bool)| {
        json!([{
            "name": name, "containerID": format!("containerd://{id}"), "started": started, "ready": started,
            "image": "i", "imageID": "i", "restartCount": 0
        }])
    };
    json!({"initContainerStatuses": of("side", side), "containerStatuses": of("main", main)})
}

fn observe(prober: &Prober, pod: &Arc<Pod>) -> ProbeResults {
    observe_records(prober, pod, vec![record("side"), record("main")])
}

fn observe_records(prober: &Prober, pod: &Arc<Pod>, containers: Vec<ContainerRecord>) -> ProbeResults {
    observe_with(prober, pod, containers, &Arc::new(Bell::default()))
}

fn observe_with(
    prober: &Prober,
    pod: &Arc<Pod>,
    containers: Vec<ContainerRecord>,
    bell: &Arc<Bell>,
) -> ProbeResults {
    let runtime = RuntimePod { sandboxes: Vec::new(), containers };
    let seen = Seen { pod, runtime: &runtime, pod_ip: None, bell, stopping: false, starting: &|_| false };
    prober.observe(&PodUid::from("u".to_owned()), &seen)
}

fn started(results: &ProbeResults, name: &str) -> Option<bool> {
    results.containers[&ContainerName::from(name)].started
}

/// Whether a probe is going to run.
fn is_due(prober: &Prober, name: &str, kind: Kind) -> bool {
    let notes = prober.notes(&PodUid::from("u".to_owned()));
    let note = notes.iter().find(|note| note.container == ContainerName::from(name) && note.kind == kind);
    note.unwrap().next.is_some()
}

#[tokio::test]
async fn what_was_reported_as_started_is_not_asked_for_its_start_again() {
    let prober = prober();
    let results = observe(&prober, &pod(&reported(("id-side", true), ("id-main", true))));
    for name in ["side", "main"] {
        assert_eq!(started(&results, name), Some(true), "{name}");
        assert!(!is_due(&prober, name, Kind::Startup), "{name}");
        assert!(is_due(&prober, name, Kind::Readiness), "{name}: it need not wait");
    }
    // The status tells how it started, not whether it is ready: that is kept by the status itself.
    assert_eq!(results.containers[&ContainerName::from("main")].ready, None);
}

#[tokio::test]
async fn another_instance_and_one_not_started_are_asked() {
    let prober = prober();
    let results = observe(&prober, &pod(&reported(("id-side", false), ("id-before", true))));
    for name in ["side", "main"] {
        assert_eq!(started(&results, name), None, "{name}");
        assert!(is_due(&prober, name, Kind::Startup), "{name}");
        assert!(!is_due(&prober, name, Kind::Readiness), "{name}: it waits for the start");
    }
}

#[tokio::test]
async fn an_answer_that_comes_after_the_status_kills_nothing() {
    let prober = prober();
    assert_eq!(started(&observe(&prober, &pod(&json!({}))), "main"), None);
    let refused = Answer::Failure("connection refused".to_owned());
    // Nobody has reported the sidecar's start: its failure counts.
    prober.settle(&key("side", Kind::Startup), &ContainerId::from("id-side".to_owned()), &refused);
    let mirrored = pod(&reported(("id-side", false), ("id-main", true)));
    assert_eq!(started(&observe(&prober, &mirrored), "main"), Some(true));
    prober.settle(&key("main", Kind::Startup), &ContainerId::from("id-main".to_owned()), &refused);
    let results = observe(&prober, &mirrored);
    assert_eq!((started(&results, "side"), started(&results, "main")), (Some(false), Some(true)));
    let failed: Vec<_> = results.failures.iter().map(|failure| failure.container.as_str()).collect();
    assert_eq!(failed, ["side"]);
}

#[tokio::test]
async fn what_runs_is_probed_though_its_predecessor_looks_newer() {
    let mut before = record("main");
    before.id = ContainerId::from("id-before".to_owned());
    before.state = RuntimeState::Exited;
    // The clock jumped back between the two: the runtime lists the older one first.
    before.created_at = "2026-11-24T03:00:00Z".parse().unwrap();
    let now = ContainerRecord { attempt: 1, ..record("main") };
    let results = observe_records(&prober(), &pod(&json!({})), vec![before, now]);
    let result = &results.containers[&ContainerName::from("main")];
    assert_eq!(result.id, ContainerId::from("id-main".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_start_does_not_cut_short_the_initial_delay() {
    let prober = prober();
    let mut pod = Pod::clone(&pod(&json!({})));
    if let Some(probe) = pod.spec.as_mut().and_then(|spec| spec.containers[0].readiness_probe.as_mut()) {
        // Five minutes from now: it was started an hour ago.
        probe.initial_delay_seconds = Some(3900);
    }
    let results = observe(&prober, &Arc::new(pod));
    let id = results.containers[&ContainerName::from("main")].id.clone();
    prober.settle(&key("main", Kind::Startup), &id, &Answer::Success);
    let due = prober.table.lock().entries[&key("main", Kind::Readiness)].due;
    assert_eq!(due.saturating_duration_since(Instant::now()), Duration::from_secs(300));
    // Without a delay the start is all that it waits for.
    let side = ContainerId::from("id-side".to_owned());
    prober.settle(&key("side", Kind::Startup), &side, &Answer::Success);
    assert!(prober.table.lock().entries[&key("side", Kind::Readiness)].due <= Instant::now());
}

#[tokio::test]
async fn what_is_counted_of_a_pod_goes_with_it() {
    use metrics::table::Page;

    let prober = prober();
    drop(observe(&prober, &pod(&json!({}))));
    let key = key("main", Kind::Startup);
    prober.count(&key, &Answer::Success, Duration::from_millis(20));
    prober.count(&key, &Answer::Failure("refused".to_owned()), Duration::from_secs(1));
    let page = prober.metrics.page(Page::Probes);
    let ended = |result: &str| {
        format!(
            "\nprober_probe_total{{container=\"main\",namespace=\"default\",pod=\"p\",pod_uid=\"u\",\
             probe_type=\"Startup\",result=\"{result}\"}} 1\n"
        )
    };
    assert!(page.contains(&ended("successful")) && page.contains(&ended("failed")), "{page}");
    let labels = "{container=\"main\",namespace=\"default\",pod=\"p\",probe_type=\"Startup\"}";
    assert!(page.contains(&format!("_count{labels} 1\n")), "only what did not fail is timed: {page}");

    let uid = PodUid::from("u".to_owned());
    // Another instance of the container counts on.
    drop(observe_records(&prober, &pod(&json!({})), Vec::new()));
    assert!(prober.metrics.page(Page::Probes).contains(&ended("failed")));
    prober.forget(&uid);
    prober.count(&key, &Answer::Success, Duration::from_millis(20));
    assert!(!prober.metrics.page(Page::Probes).contains("prober_"));
}

#[tokio::test(start_paused = true)]
async fn a_failure_in_the_first_second_is_tried_again_and_not_counted() {
    let prober = prober();
    let mut young = record("main");
    young.started_at = Some("2026-11-24T02:00:00Z".parse().unwrap());
    let look = || observe_records(&prober, &pod(&json!({})), vec![young.clone()]);
    look();
    let refused = Answer::Failure("connection refused".to_owned());
    prober.settle(&key("main", Kind::Startup), &young.id, &refused);
    assert_eq!(started(&look(), "main"), None);
    let due = prober.table.lock().entries[&key("main", Kind::Startup)].due;
    assert!(due.saturating_duration_since(Instant::now()) <= Duration::from_millis(50));
    tokio::time::advance(Duration::from_secs(1)).await;
    prober.settle(&key("main", Kind::Startup), &young.id, &refused);
    assert_eq!(started(&look(), "main"), Some(false));
}

#[tokio::test(start_paused = true)]
async fn probes_that_hang_do_not_keep_others_waiting() {
    let runtime = Arc::new(FakeRuntime::new());
    runtime.core.plan("ExecSync", Fault::Hang, When::Before, None);
    let clock: Arc<dyn Clock> = Arc::new(HandClock::at("2026-11-24T02:00:00Z".parse().unwrap()));
    let (events, _) = EventSink::new(None, "n".to_owned(), None, Arc::clone(&clock));
    let prober = Arc::new(Prober::of(runtime, clock, events, Metrics::new()));
    let probe = json!({"exec": {"command": ["wait"]}, "timeoutSeconds": 3600});
    let containers: Vec<_> =
        (0..=PLACES).map(|n| json!({"name": format!("c{n}"), "readinessProbe": probe})).collect();
    let pod = json!({"metadata": {"name": "p", "uid": "u"}, "spec": {"containers": containers}});
    let pod: Arc<Pod> = Arc::new(serde_json::from_value(pod).unwrap());
    observe_records(&prober, &pod, (0..=PLACES).map(|n| record(&format!("c{n}"))).collect());
    let probes: Vec<_> = (0..=PLACES)
        .map(|n| {
            tokio::spawn(
                Arc::clone(&prober).probe(key(&format!("c{n}"), Kind::Readiness), format!("id-c{n}").into()),
            )
        })
        .collect();
    tokio::time::sleep(HELD / 2).await;
    assert_eq!(prober.places.available_permits(), 0);
    tokio::time::sleep(HELD * 3).await;
    assert_eq!(prober.places.available_permits(), PLACES, "and none has had its answer");
    assert!(probes.iter().all(|probe| !probe.is_finished()));
    probes.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test]
async fn one_that_waited_for_a_place_does_not_probe_the_next_instance() {
    let prober = Arc::new(prober());
    let pod = pod(&json!({}));
    observe(&prober, &pod);
    let places = Arc::clone(&prober.places).acquire_many_owned(PLACES as u32).await.unwrap();
    let this = key("main", Kind::Readiness);
    let mut waits = Box::pin(Arc::clone(&prober).probe(this.clone(), "id-main".into()));
    assert!(futures::poll!(waits.as_mut()).is_pending());
    let next = ContainerRecord { id: "id-next".into(), ..record("main") };
    observe_records(&prober, &pod, vec![record("side"), next]);
    let due = prober.table.lock().entries[&this].due;
    drop(places);
    waits.await;
    let table = prober.table.lock();
    let entry = &table.entries[&this];
    assert_eq!((entry.id.as_str(), entry.due, entry.last_failure.is_none()), ("id-next", due, true));
}

#[tokio::test]
async fn a_pod_that_stops_is_asked_for_its_readiness_only() {
    let prober = prober();
    let pod = pod(&json!({}));
    observe(&prober, &pod);
    prober.stopping(&PodUid::from("another".to_owned()));
    assert_eq!(prober.notes(&PodUid::from("u".to_owned())).len(), 4);
    prober.stopping(&PodUid::from("u".to_owned()));
    let notes = prober.notes(&PodUid::from("u".to_owned()));
    assert!(notes.len() == 2 && notes.iter().all(|note| note.kind == Kind::Readiness), "{notes:?}");
    // A failure that was on its way kills nothing.
    let refused = Answer::Failure("connection refused".to_owned());
    prober.settle(&key("main", Kind::Startup), &ContainerId::from("id-main".to_owned()), &refused);
    assert_eq!(prober.notes(&PodUid::from("u".to_owned())).len(), 2);
}

#[tokio::test]
async fn commands_know_what_the_list_of_variables_says_itself() {
    let prober = prober();
    let command = ["cat", "$(FILE)", "a$(IP)b", "$(NONE)", "$$(FILE)", "ä$"];
    let main = json!({
        "name": "main",
        "env": [
            {"name": "FILE", "value": "/tmp/before"},
            {"name": "FILE", "value": "/tmp/ok"},
            {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        ],
        "livenessProbe": {"exec": {"command": command}},
    });
    let pod = json!({"metadata": {"name": "p", "uid": "u"}, "spec": {"containers": [main]}});
    observe(&prober, &Arc::new(serde_json::from_value(pod).unwrap()));
    let target = prober.target(&key("main", Kind::Liveness)).unwrap();
    let run = target.probe.exec.unwrap().command.unwrap();
    assert_eq!(run, ["cat", "/tmp/ok", "ab", "$(NONE)", "$(FILE)", "ä$"]);
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_was_made_anew_is_told() {
    let prober = prober();
    let (first, second) = (Arc::new(Bell::default()), Arc::new(Bell::default()));
    for bell in [&first, &second] {
        observe_with(&prober, &pod(&json!({})), vec![record("main")], bell);
    }
    prober.settle(&key("main", Kind::Startup), &ContainerId::from("id-main".to_owned()), &Answer::Success);
    tokio::time::timeout(Duration::from_secs(1), second.rung()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_panics_runs_again() {
    let runtime = Arc::new(FakeRuntime::new());
    runtime.core.plan("ExecSync", Fault::Panic, When::Before, Some(1));
    let core = runtime.core.clone();
    let clock: Arc<dyn Clock> = Arc::new(HandClock::at("2026-11-24T02:00:00Z".parse().unwrap()));
    let (events, _) = EventSink::new(None, "n".to_owned(), None, Arc::clone(&clock));
    let prober = Arc::new(Prober::of(runtime, clock, events, Metrics::new()));
    let main = json!({"name": "main", "readinessProbe": {"exec": {"command": ["true"]}}});
    let pod = json!({"metadata": {"name": "p", "uid": "u"}, "spec": {"containers": [main]}});
    observe(&prober, &Arc::new(serde_json::from_value(pod).unwrap()));
    let running = tokio::spawn(Arc::clone(&prober).run());
    let again = async {
        while core.count("ExecSync") < 2 {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), again).await.unwrap();
    running.abort();
}
