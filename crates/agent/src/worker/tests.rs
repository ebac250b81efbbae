//! A worker beside a runtime, a machine and volumes in memory, with the observer that rings for it.

use fakes::{
    clock::TokioClock,
    machine::{FakeHost, FakeVolumes},
    runtime::{Code, ContainerScript, FakeRuntime, Fault, When, core::Container},
};
use metrics::Metrics;
use serde_json::{Value, json};
use tokio::{
    sync::mpsc,
    task::{JoinHandle, JoinSet},
};

use super::*;
use crate::{
    config::AgentConfig,
    executor::Turns,
    health::Health,
    images::Images,
    log_rotation,
    node_status::DeviceCheckpoint,
    observer::{self, Relists, RuntimeHealth},
    user_namespaces::UserNamespaces,
};

struct Rig {
    runtime: FakeRuntime,
    context: WorkerContext,
    key: PodKey,
    mail: watch::Sender<Mail>,
    bell: Arc<Bell>,
    worker: Option<JoinHandle<PodKey>>,
    _tasks: JoinSet<()>,
    _root: tempfile::TempDir,
    _channels: (watch::Sender<Result<(), String>>, watch::Sender<NodeFacts>),
}

impl Rig {
    /// A pod `ns/p` with this spec, of which nothing is there yet, and its worker.
    fn new(source: PodSource, spec: Value) -> Self {
        let runtime = FakeRuntime::new();
        runtime.core.add_image("img", None, "");
        let root = tempfile::tempdir().unwrap();
        let config = AgentConfig::in_tests(root.path());
        let (clock, metrics) = (Arc::new(TokioClock::at(jiff::Timestamp::now())), Metrics::new());
        let edges = Edges {
            runtime: Arc::new(runtime.clone()),
            cluster: None,
            objects: None,
            host: Arc::new(FakeHost::default()),
            volumes: Arc::new(FakeVolumes),
            clock,
            metrics: Arc::clone(&metrics),
        };
        let facts = NodeFacts {
            name: "n".to_owned(),
            host_ips: vec!["192.0.2.1".to_owned()],
            runtime_name: "fake".to_owned(),
            max_restart_backoff: config.max_restart_backoff,
            ..NodeFacts::default()
        };
        let (network, network_seen) = watch::channel(Ok(()));
        let (node, node_seen) = watch::channel(facts);
        let clock = || Arc::clone(&edges.clock);
        let (events, _) = EventSink::new(None, "n".to_owned(), None, clock());
        let executor = Executor {
            images: Images::new(&edges, events.clone(), &config.root_dir, config.pulls.clone()),
            turns: Turns::new(config.starts_at_once, clock()),
            events: events.clone(),
            allocatable: watch::channel(BTreeMap::new()).1,
            runtime: watch::channel(RuntimeHealth::default()).1,
            logs: log_rotation::notices().0,
            devices: Arc::new(DeviceCheckpoint::read(root.path())),
            users: Arc::new(UserNamespaces::load(config.user_ids, root.path())),
            edges: edges.clone(),
            config,
        };
        let bells = Arc::new(Bells::default());
        let prober = Arc::new(Prober::new(edges.clone(), events.clone()));
        let context = WorkerContext {
            executor: Arc::new(executor),
            prober: Arc::clone(&prober),
            statuses: Arc::new(StatusQueue::new(None)),
            events,
            records: Arc::new(Records::new(clock())),
            starts: Arc::new(Starts::new(Arc::clone(&metrics))),
            released: Arc::default(),
            bells: Arc::clone(&bells),
            network: network_seen,
            node: node_seen,
            sync_frequency: Duration::from_secs(60),
            edges: edges.clone(),
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(prober.run());
        let (strangers, mut strangers_seen) = mpsc::channel(8);
        let (health, counts) =
            (Arc::new(Health::new(clock(), Duration::from_secs(60))), Relists::new(metrics, clock()));
        let running = watch::channel(std::collections::BTreeSet::new()).0;
        tasks.spawn(async move { while strangers_seen.recv().await.is_some() {} });
        tasks.spawn(observer::watch_pods(
            Arc::clone(&edges.runtime),
            Arc::clone(&bells),
            strangers,
            health,
            running,
            counts,
        ));
        let pod = json!({"metadata": {"namespace": "ns", "name": "p", "uid": "u"}, "spec": spec});
        let pod: Arc<Pod> = Arc::new(serde_json::from_value(pod).unwrap());
        let key = PodKey::of(&pod);
        let mail = Mail { pod, source, intent: Intent::Run, admission: Admission::Admitted, again: false };
        let mut rig = Self {
            runtime,
            context,
            key,
            mail: watch::channel(mail).0,
            bell: Arc::default(),
            worker: None,
            _tasks: tasks,
            _root: root,
            _channels: (network, node),
        };
        rig.begin();
        rig
    }

    fn begin(&mut self) {
        self.bell = Arc::default();
        self.context.bells.add(self.key.uid.clone(), Arc::clone(&self.bell));
        let worker = run(self.context.clone(), self.mail.subscribe(), Arc::clone(&self.bell));
        self.worker = Some(tokio::spawn(worker));
    }

    /// Waits until a status shows something, and tells how long that took.
    async fn until<T>(&self, what: &str, look: impl Fn(&PodStatus) -> Option<T>) -> (T, Duration) {
        let began = Instant::now();
        loop {
            let status = self.context.statuses.get(&self.key.uid);
            if let Some(found) = status.as_ref().and_then(&look) {
                return (found, began.elapsed());
            }
            assert!(began.elapsed() < Duration::from_secs(600), "{what}: {status:#?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn ready(&self) {
        self.until("the pod to be ready", |status| is_ready(status).then_some(())).await;
    }

    /// The container that was made last.
    fn newest(&self) -> Container {
        self.runtime.core.containers().pop().unwrap()
    }

    /// The end of the worker.
    async fn ended(&mut self) {
        let worker = self.worker.take().unwrap();
        tokio::time::timeout(Duration::from_secs(600), worker).await.expect("the worker goes on").unwrap();
    }
}

fn is_ready(status: &PodStatus) -> bool {
    let mut conditions = status.conditions.iter().flatten();
    conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

fn spec(more: &Value) -> Value {
    let mut container = json!({"name": "c", "image": "img", "imagePullPolicy": "IfNotPresent"});
    container.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({
        "containers": [container],
        "enableServiceLinks": false,
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": 30,
    })
}

/// Away, as after the end of its process.
fn away(rig: &Rig, is_away: bool) {
    for call in ["PodSandboxStatus", "ListPodSandbox", "StopContainer", "ExecSync"] {
        if is_away {
            let gone = Fault::Fail(Code::Unavailable, "connection refused".to_owned());
            rig.runtime.core.plan(call, gone, When::Before, None);
        } else {
            rig.runtime.core.heal(call);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_end_for_want_of_memory_is_told_as_that_though_no_event_does() {
    for policy in ["Never", "Always"] {
        let mut spec = spec(&json!({}));
        spec["restartPolicy"] = policy.into();
        let rig = Rig::new(PodSource::Api, spec);
        rig.ready().await;
        // Past the minute in which lists are made each second.
        tokio::time::sleep(Duration::from_secs(90)).await;
        let id = rig.newest().id;
        rig.runtime.core.exit_container(&id, 137);
        let reason = |status: &PodStatus| {
            let status = &status.container_statuses.as_ref()?[0];
            let states = [&status.state, &status.last_state];
            let mut ends = states.into_iter().flatten().filter_map(|state| state.terminated.as_ref());
            ends.next()?.reason.clone()
        };
        let (first, took) = rig.until("an end", reason).await;
        assert!(first == "Error" && took < Duration::from_millis(500), "{policy}: {first} after {took:?}");
        rig.runtime.core.learn_reason(&id, "OOMKilled");
        let killed = |status: &PodStatus| reason(status).filter(|reason| reason == "OOMKilled");
        let (_, took) = rig.until("its reason", killed).await;
        assert!(took < Duration::from_secs(3), "{policy}: {took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_the_runtime_does_not_tell_of_is_not_ready_when_its_probe_fails() {
    let probe = json!({"exec": {"command": ["ask"]}, "periodSeconds": 1, "failureThreshold": 2});
    let rig = Rig::new(PodSource::Api, spec(&json!({"readinessProbe": probe})));
    rig.ready().await;
    rig.runtime.core.plan(
        "PodSandboxStatus",
        Fault::Fail(Code::Unknown, "broken".to_owned()),
        When::Before,
        None,
    );
    rig.bell.runtime_changed();
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(is_ready(&rig.context.statuses.get(&rig.key.uid).unwrap()), "it is told of as it was");
    let ill = ContainerScript { exec: (Duration::ZERO, 1, String::new()), ..ContainerScript::default() };
    rig.runtime.core.script_container("c", ill);
    let (_, took) = rig.until("it not to be ready", |status| (!is_ready(status)).then_some(())).await;
    assert!(took < Duration::from_secs(4), "{took:?}");
    rig.runtime.core.script_container("c", ContainerScript::default());
    rig.ready().await;
}

#[tokio::test(start_paused = true)]
async fn a_grace_period_waits_for_the_runtime() {
    let hook = json!({"lifecycle": {"preStop": {"exec": {"command": ["drain"]}}}});
    let mut rig = Rig::new(PodSource::Api, spec(&hook));
    rig.ready().await;
    away(&rig, true);
    let grace = Duration::from_secs(30);
    rig.mail.send_modify(|mail| mail.intent = Intent::Removed { grace });
    tokio::time::sleep(grace * 2).await;
    // What was tried in vain meanwhile had no effect.
    let before = rig.runtime.core.calls().len();
    away(&rig, false);
    rig.ended().await;
    let calls = rig.runtime.core.calls().split_off(before);
    let at = |method: &str| calls.iter().position(|call| call.method == method);
    assert!(at("ExecSync").unwrap() < at("StopContainer").unwrap(), "{calls:?}");
}

#[tokio::test(start_paused = true)]
async fn a_static_pod_that_comes_back_does_not_wait_for_its_dead() {
    let mut rig = Rig::new(PodSource::File, spec(&json!({})));
    rig.ready().await;
    let busy = Fault::Fail(Code::Unknown, "device or resource busy".to_owned());
    rig.runtime.core.plan("RemoveContainer", busy, When::Before, None);
    rig.mail.send_modify(|mail| mail.intent = Intent::Removed { grace: Duration::from_secs(1) });
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert!(!rig.worker.as_ref().unwrap().is_finished(), "as long as nobody waits, it is tried again");
    rig.mail.send_modify(|mail| mail.again = true);
    rig.ended().await;
    rig.mail.send_modify(|mail| (mail.intent, mail.again) = (Intent::Run, false));
    rig.context.statuses.forget(&rig.key.uid);
    rig.begin();
    rig.ready().await;
    let (old, new) = (rig.runtime.core.containers().remove(0), rig.newest());
    assert_eq!((old.attempt(), new.attempt()), (0, 1));
    assert_ne!(old.sandbox, new.sandbox);
}

#[tokio::test(start_paused = true)]
async fn what_came_and_went_between_two_lists_is_not_believed_for_ever() {
    let rig = Rig::new(PodSource::Api, spec(&json!({})));
    rig.ready().await;
    // Past the minute in which lists are made each second.
    tokio::time::sleep(Duration::from_secs(90)).await;
    let (sandbox, id) = (rig.newest().sandbox, rig.newest().id);
    rig.runtime.core.lose_events(100);
    rig.runtime.core.kill_sandbox(&sandbox);
    let again = |status: &PodStatus| {
        let status = &status.container_statuses.as_ref()?[0];
        (status.restart_count == 1 && is_running(status)).then_some(())
    };
    let (_, took) = rig.until("another instance", again).await;
    assert!(took < Duration::from_secs(75), "{took:?}");
    assert_ne!(rig.newest().id, id);
}

fn is_running(status: &k8s_openapi::api::core::v1::ContainerStatus) -> bool {
    status.state.as_ref().is_some_and(|state| state.running.is_some())
}

#[tokio::test(start_paused = true)]
async fn at_rest_nobody_is_asked() {
    let mut spec = spec(&json!({}));
    let second = json!({"name": "d", "image": "img", "imagePullPolicy": "IfNotPresent"});
    spec["containers"].as_array_mut().unwrap().push(second);
    let rig = Rig::new(PodSource::Api, spec);
    rig.ready().await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let looks = || rig.runtime.core.count("PodSandboxStatus");
    let before = looks();
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(looks(), before, "lists have shown nothing new");
}
