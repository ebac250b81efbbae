use std::{
    net::IpAddr,
    path::Path,
    sync::{
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc,
    },
};

use fakes::{
    clock::TokioClock,
    cluster::FakeCluster,
    machine::{FakeHost, FakeVolumes},
    runtime::{Code, Core, FakeRuntime, Fault, When},
};
use node::{
    addresses::{CloudProvider, Family, HostNetwork, Interface},
    capacity::Reservations,
    registration::Registration,
};
use seams::Clock;
use serde_json::json;

use super::*;

/// What the node task tells, with what it was given.
struct Rig {
    cluster: Arc<FakeCluster>,
    object: watch::Receiver<Option<Arc<Node>>>,
    health: Arc<Health>,
    core: Core,
}

fn settings(root: &Path) -> NodeSettings {
    NodeSettings {
        registration: Registration {
            node_name: "n".to_owned(),
            hostname: "n".to_owned(),
            architecture: "amd64".to_owned(),
            labels: BTreeMap::from([("zone".to_owned(), "a".to_owned())]),
            ..Registration::default()
        },
        register: true,
        // Given, so that nobody is asked.
        node_ips: vec![IpAddr::from([192, 0, 2, 1])],
        cloud: CloudProvider::None,
        network: Arc::new(|| Err("not looked at".to_owned())),
        resolve: Arc::new(|_| None),
        root_dir: root.to_owned(),
        device_plugins_dir: root.to_owned(),
        local_storage: true,
        max_pods: 110,
        pods_per_core: 0,
        reservations: Reservations::default(),
        enforce_pods: true,
        pods_group: None,
        pod_cidr: None,
        kubelet_version: "v1.37.2".to_owned(),
        port: 10250,
        max_images: 50,
        declared_features: Vec::new(),
        update_frequency: Duration::from_secs(10),
        report_frequency: Duration::from_secs(300),
        lease_duration: Duration::from_secs(40),
        began: (None, None),
    }
}

/// Starts the task; without a cluster it runs standalone.
fn start(cluster: Option<&Arc<FakeCluster>>, devices: DeviceCheckpoint) -> Rig {
    start_with(cluster, devices, settings(Path::new("/nonexistent")))
}

fn start_with(cluster: Option<&Arc<FakeCluster>>, devices: DeviceCheckpoint, settings: NodeSettings) -> Rig {
    let clock: Arc<dyn Clock> = Arc::new(TokioClock::at("2026-11-24T02:00:00Z".parse().unwrap()));
    let api = cluster.map(|cluster| Arc::clone(cluster) as Arc<dyn Cluster>);
    let fake = FakeRuntime::new();
    let core = fake.core.clone();
    let edges = Edges {
        runtime: Arc::new(fake),
        cluster: api.clone(),
        objects: None,
        host: Arc::new(FakeHost::default()),
        volumes: Arc::new(FakeVolumes),
        clock: Arc::clone(&clock),
        metrics: metrics::Metrics::new(),
    };
    let (events, task) = EventSink::new(api, "n".to_owned(), None, Arc::clone(&clock));
    tokio::spawn(task.run());
    let (object, object_seen) = watch::channel(None);
    let (runtime, runtime_seen) = watch::channel(RuntimeHealth::default());
    let health = Arc::new(Health::new(clock, Duration::from_secs(60)));
    let channels = Channels {
        facts: watch::channel(NodeFacts::default()).0,
        allocatable: watch::channel(BTreeMap::new()).0,
        object,
        runtime: runtime_seen,
        health: Arc::clone(&health),
        devices: Arc::new(devices),
    };
    tokio::spawn(async move {
        Box::pin(run(edges, settings, events, channels)).await;
        drop(runtime);
    });
    Rig { cluster: cluster.cloned().unwrap_or_default(), object: object_seen, health, core }
}

impl Rig {
    async fn object(&mut self) -> Arc<Node> {
        let known = self.object.wait_for(Option::is_some);
        let known = tokio::time::timeout(Duration::from_secs(600), known).await;
        known.expect("no object within ten minutes").unwrap().clone().unwrap()
    }

    fn quantity(&self, list: &str, name: &str) -> Option<String> {
        let node = serde_json::to_value(self.cluster.stored()?).unwrap();
        node["status"][list][name].as_str().map(str::to_owned)
    }
}

fn label(node: &Node, name: &str) -> Option<String> {
    node.metadata.labels.as_ref()?.get(name).cloned()
}

#[tokio::test(start_paused = true)]
async fn the_object_does_not_wait_for_the_api_server() {
    let cluster = Arc::new(FakeCluster::default());
    cluster.set_away(true);
    let mut rig = start(Some(&cluster), DeviceCheckpoint::Gone);
    let node = rig.object().await;
    assert_eq!(label(&node, "zone").as_deref(), Some("a"));
    assert_eq!(node.status.as_ref().unwrap().allocatable.as_ref().unwrap()["pods"].0, "110");
    assert_eq!(cluster.stored(), None);
}

#[tokio::test(start_paused = true)]
async fn nor_for_one_that_there_is_not() {
    let mut rig = start(None, DeviceCheckpoint::Gone);
    assert_eq!(label(&*rig.object().await, "zone").as_deref(), Some("a"));
}

#[tokio::test(start_paused = true)]
async fn nor_long_for_a_runtime_that_is_silent() {
    let hour = Duration::from_secs(3600);
    let rare = NodeSettings { update_frequency: hour, ..settings(Path::new("/nonexistent")) };
    let began = Instant::now();
    start_with(None, DeviceCheckpoint::Gone, rare).object().await;
    assert!(began.elapsed() < Duration::from_secs(11), "{:?}", began.elapsed());
}

/// One interface with two addresses, the first of which is what the default route suggests.
fn by_name(resolve: Resolve) -> NodeSettings {
    let network = HostNetwork {
        interfaces: vec![Interface {
            name: "eth0".to_owned(),
            up: true,
            loopback: false,
            addresses: vec![IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2])],
        }],
        default_routes: vec![(Family::V4, "eth0".to_owned())],
    };
    NodeSettings {
        node_ips: Vec::new(),
        network: Arc::new(move || Ok(network.clone())),
        resolve,
        update_frequency: Duration::from_millis(10),
        ..settings(Path::new("/nonexistent"))
    }
}

fn ip(node: &Node) -> Option<&str> {
    let mut addresses = node.status.as_ref()?.addresses.iter().flatten();
    addresses.find(|address| address.type_ == "InternalIP").map(|address| address.address.as_str())
}

/// In real time: a paused clock stands still while something blocks.
#[tokio::test]
async fn nor_for_a_resolver_that_is_silent() {
    let (release, held) = mpsc::channel::<()>();
    let (held, answered) = (parking_lot::Mutex::new(held), Arc::new(AtomicBool::new(false)));
    let told = Arc::clone(&answered);
    let settings = by_name(Arc::new(move |_| {
        // The bound is for a test that fails: it should end.
        let _ = held.lock().recv_timeout(Duration::from_secs(60));
        told.store(true, Ordering::SeqCst);
        Some(vec![IpAddr::from([192, 0, 2, 2])])
    }));
    let mut rig = start_with(None, DeviceCheckpoint::Gone, settings);
    assert_eq!(ip(&*rig.object().await), Some("192.0.2.1"));
    assert!(!answered.load(Ordering::SeqCst), "the object waited for the resolver");
    rig.object.changed().await.unwrap();
    assert!(!answered.load(Ordering::SeqCst), "the report waited for the resolver");
    drop(release);
    let known = rig.object.wait_for(|node| node.as_deref().and_then(ip) == Some("192.0.2.2"));
    tokio::time::timeout(Duration::from_secs(60), known).await.expect("the late answer counts").unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_last_word_of_a_resolver_stands_while_it_is_silent() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let settings = by_name(Arc::new(move |_| {
        (count.fetch_add(1, Ordering::SeqCst) == 0).then(|| vec![IpAddr::from([192, 0, 2, 2])])
    }));
    let mut rig = start_with(None, DeviceCheckpoint::Gone, settings);
    assert_eq!(ip(&*rig.object().await), Some("192.0.2.2"));
    tokio::time::timeout(Duration::from_secs(60), async {
        while asked.load(Ordering::SeqCst) < 2 {
            rig.object.changed().await.unwrap();
        }
    })
    .await
    .expect("it is asked again");
    rig.object.changed().await.unwrap();
    assert_eq!(ip(&*rig.object().await), Some("192.0.2.2"));
}

#[tokio::test(start_paused = true)]
async fn a_node_whose_runtime_does_not_tell_its_name_is_not_ready_and_says_why() {
    let mut rig = start(None, DeviceCheckpoint::Gone);
    rig.core.plan("Version", Fault::Fail(Code::Unknown, "boom".into()), When::Before, None);
    rig.health.unnamed("boom".to_owned());
    let ready = |node: &Node| {
        let conditions = node.status.as_ref()?.conditions.as_ref()?;
        let ready = conditions.iter().find(|condition| condition.type_ == "Ready")?;
        Some((ready.status.clone(), ready.message.clone().unwrap_or_default()))
    };
    let text = "container runtime does not tell its name: boom";
    let (status, message) = ready(&*rig.object().await).unwrap();
    assert_eq!((status.as_str(), message.contains(text)), ("False", true), "{message}");
    // The report itself asks, too.
    rig.core.heal("Version");
    let named = rig
        .object
        .wait_for(|node| node.as_deref().and_then(ready).is_some_and(|(_, message)| !message.contains(text)));
    tokio::time::timeout(Duration::from_secs(600), named).await.expect("the name counts").unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_first_object_has_the_labels_that_the_api_has() {
    let cluster = Arc::new(FakeCluster::default());
    let known = json!({"metadata": {"name": "n", "labels": {"zone": "b"}}});
    cluster.show(serde_json::from_value(known).unwrap());
    cluster.set_away(true);
    let mut rig = start(Some(&cluster), DeviceCheckpoint::Gone);
    assert_eq!(label(&*rig.object().await, "zone").as_deref(), Some("b"));
}

#[tokio::test(start_paused = true)]
async fn registering_tells_once_that_nothing_is_short() {
    let cluster = Arc::new(FakeCluster::default());
    cluster.set_away(true);
    let _rig = start(Some(&cluster), DeviceCheckpoint::Gone);
    cluster.until(|state| state.calls.len() > 5).await;
    cluster.set_away(false);
    cluster.until(|state| state.node.is_some()).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let events = cluster.events();
    let reasons: Vec<_> = events.iter().filter_map(|event| event.reason.as_deref()).collect();
    let first = ["NodeHasSufficientMemory", "NodeHasNoDiskPressure", "NodeHasSufficientPID"];
    assert_eq!(reasons[..3], first);
    assert_eq!(reasons.iter().filter(|reason| first.contains(reason)).count(), 3, "{reasons:?}");
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_deleted_is_not_registered_again_and_kept_true_when_it_is_there() {
    let cluster = Arc::new(FakeCluster::default());
    let _rig = start(Some(&cluster), DeviceCheckpoint::Gone);
    cluster.until(|state| state.node.is_some() && state.calls.contains(&"patch")).await;
    cluster.remove();
    let before = cluster.calls().len();
    // Longer than between two reports of a node that does not change.
    tokio::time::sleep(Duration::from_secs(1000)).await;
    let calls = cluster.calls().split_off(before);
    assert!(calls.contains(&"patch") && !calls.contains(&"create"), "{calls:?}");
    assert_eq!(cluster.stored(), None);
    // Somebody else creates it.
    let made = json!({"metadata": {"name": "n", "uid": "another"}});
    cluster.show(serde_json::from_value(made).unwrap());
    let reported = |node: &Node| node.status.as_ref().is_some_and(|status| status.conditions.is_some());
    cluster.until(|state| state.node.as_ref().is_some_and(reported)).await;
    assert_eq!(cluster.stored().unwrap().metadata.uid.as_deref(), Some("another"));
}

#[tokio::test(start_paused = true)]
async fn a_report_that_is_not_answered_costs_the_connection_from_the_second_time_on() {
    let cluster = Arc::new(FakeCluster::default());
    let _rig = start(Some(&cluster), DeviceCheckpoint::Gone);
    cluster.until(|state| state.node.is_some() && state.calls.contains(&"patch")).await;
    cluster.set_away(true);
    cluster.until(|state| state.resets > 0).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(cluster.resets(), TRIES - 1, "the first failure costs none");
}

fn with_devices() -> Node {
    let list = json!({"cpu": "2", "nvidia.com/gpu": "4", "example.com/licence": "2"});
    let node = json!({"metadata": {"name": "n"}, "status": {"capacity": list, "allocatable": list}});
    serde_json::from_value(node).unwrap()
}

#[tokio::test(start_paused = true)]
async fn devices_that_plugins_had_registered_are_gone_at_the_registration() {
    let cluster = Arc::new(FakeCluster::default());
    cluster.show(with_devices());
    let rig = start(Some(&cluster), DeviceCheckpoint::Listed(vec!["nvidia.com/gpu".to_owned()]));
    cluster.until(|state| state.calls.iter().filter(|call| **call == "patch").count() > 1).await;
    for list in ["capacity", "allocatable"] {
        assert_eq!(rig.quantity(list, "nvidia.com/gpu").as_deref(), Some("0"), "{list}");
        assert_eq!(rig.quantity(list, "example.com/licence").as_deref(), Some("2"), "{list}");
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_checkpoint_no_extended_resource_is_left() {
    let cluster = Arc::new(FakeCluster::default());
    cluster.show(with_devices());
    let rig = start(Some(&cluster), DeviceCheckpoint::Gone);
    cluster.until(|state| state.calls.contains(&"patch")).await;
    for name in ["nvidia.com/gpu", "example.com/licence"] {
        assert_eq!(rig.quantity("allocatable", name).as_deref(), Some("0"), "{name}");
    }
}
