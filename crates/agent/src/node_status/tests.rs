use std::{net::IpAddr, path::Path};

use fakes::{
    clock::TokioClock,
    cluster::FakeCluster,
    machine::{FakeHost, FakeVolumes},
    runtime::FakeRuntime,
};
use node::{addresses::CloudProvider, capacity::Reservations, registration::Registration};
use seams::Clock;
use serde_json::json;

use super::*;

/// What the node task tells, with what it was given.
struct Rig {
    cluster: Arc<FakeCluster>,
    object: watch::Receiver<Option<Arc<Node>>>,
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
    let edges = Edges {
        runtime: Arc::new(FakeRuntime::new()),
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
    let channels = Channels {
        facts: watch::channel(NodeFacts::default()).0,
        allocatable: watch::channel(BTreeMap::new()).0,
        object,
        runtime: runtime_seen,
        health: Arc::new(Health::new(clock, Duration::from_secs(60))),
        devices: Arc::new(devices),
    };
    tokio::spawn(async move {
        Box::pin(run(edges, settings, events, channels)).await;
        drop(runtime);
    });
    Rig { cluster: cluster.cloned().unwrap_or_default(), object: object_seen }
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
