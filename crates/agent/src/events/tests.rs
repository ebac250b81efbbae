use std::{collections::VecDeque, future::pending};

use async_trait::async_trait;
use k8s_openapi::api::{coordination::v1::Lease, node::v1::RuntimeClass};
use parking_lot::Mutex;
use seams::cluster::PodEvent as ClusterPodEvent;
use serde_json::{Value, json};

use super::*;

struct FixedClock(jiff::Timestamp);

impl Clock for FixedClock {
    fn now(&self) -> Tick {
        Tick { mono: Duration::from_secs(5), wall: self.0 }
    }
}

fn clock() -> Arc<dyn Clock> {
    Arc::new(FixedClock("2026-11-24T01:02:03.5Z".parse().unwrap()))
}

/// Takes events; answers with the errors it was given, then with success.
struct Api {
    node: watch::Sender<Option<Arc<Node>>>,
    answers: Mutex<VecDeque<ApiError>>,
    got: Mutex<Vec<(String, Value)>>,
    heard: mpsc::UnboundedSender<()>,
}

impl Api {
    fn new(answers: impl IntoIterator<Item = ApiError>) -> (Arc<Self>, mpsc::UnboundedReceiver<()>) {
        let (heard, hears) = mpsc::unbounded_channel();
        let api = Self {
            node: watch::channel(None).0,
            answers: Mutex::new(answers.into_iter().collect()),
            got: Mutex::default(),
            heard,
        };
        (Arc::new(api), hears)
    }

    fn answer(&self, call: String, body: Value) -> Result<Event, ApiError> {
        self.got.lock().push((call, body));
        self.heard.send(()).unwrap();
        self.answers.lock().pop_front().map_or_else(|| Ok(Event::default()), Err)
    }
}

#[async_trait]
impl Cluster for Api {
    fn pods(&self) -> mpsc::Receiver<ClusterPodEvent> {
        mpsc::channel(1).1
    }
    fn node(&self) -> watch::Receiver<Option<Arc<Node>>> {
        self.node.subscribe()
    }
    async fn get_pod(&self, _: &str, _: &str) -> Result<Pod, ApiError> {
        pending().await
    }
    async fn patch_pod_status(&self, _: &str, _: &str, _: &Value) -> Result<Pod, ApiError> {
        pending().await
    }
    async fn create_pod(&self, _: &Pod) -> Result<Pod, ApiError> {
        pending().await
    }
    async fn delete_pod(&self, _: &str, _: &str, _: &str, _: u32) -> Result<(), ApiError> {
        pending().await
    }
    async fn get_node(&self) -> Result<Node, ApiError> {
        pending().await
    }
    async fn create_node(&self, _: &Node) -> Result<Node, ApiError> {
        pending().await
    }
    async fn patch_node(&self, _: &Value) -> Result<Node, ApiError> {
        pending().await
    }
    async fn patch_node_status(&self, _: &Value) -> Result<Node, ApiError> {
        pending().await
    }
    async fn get_lease(&self) -> Result<Lease, ApiError> {
        pending().await
    }
    async fn create_lease(&self, _: &Lease) -> Result<Lease, ApiError> {
        pending().await
    }
    async fn update_lease(&self, _: &Lease) -> Result<Lease, ApiError> {
        pending().await
    }
    async fn create_event(&self, event: &Event) -> Result<Event, ApiError> {
        self.answer("create".to_owned(), serde_json::to_value(event).unwrap())
    }
    async fn patch_event(&self, namespace: &str, name: &str, patch: &Value) -> Result<Event, ApiError> {
        self.answer(format!("patch {namespace}/{name}"), patch.clone())
    }
    async fn runtime_class(&self, _: &str) -> Result<Arc<RuntimeClass>, ApiError> {
        pending().await
    }
    fn reset_connections(&self) {}
}

fn pod() -> Pod {
    serde_json::from_value(
        json!({"metadata": {"namespace": "ns", "name": "p", "uid": "u", "resourceVersion": "7"}}),
    )
    .unwrap()
}

fn pulled(message: &str) -> PodEvent {
    PodEvent {
        warning: false,
        reason: "Pulled".into(),
        message: message.to_owned(),
        field_path: Some("spec.containers{c}".to_owned()),
    }
}

fn gone() -> ApiError {
    ApiError::NotFound("events \"x\" not found".to_owned())
}

fn away() -> ApiError {
    ApiError::Unreachable { server: "s".into(), message: "m".into() }
}

async fn hear(heard: &mut mpsc::UnboundedReceiver<()>, times: usize) {
    for _ in 0..times {
        tokio::time::timeout(Duration::from_secs(300), heard.recv()).await.unwrap().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_looks_as_upstreams() {
    let (api, mut heard) = Api::new([]);
    let (sink, task) = EventSink::new(Some(api.clone()), "n1".into(), None, clock());
    tokio::spawn(task.run());
    sink.record_pod(&pod(), pulled("m"));
    sink.record_node(false, "Starting", "Starting kubelet.");
    let mut node = Node::default();
    node.metadata.uid = Some("node-uid".into());
    api.node.send_replace(Some(Arc::new(node)));
    sink.record_node(false, "NodeReady", "Node n1 status is now: NodeReady");
    sink.record_node(true, "MissingClusterDNS", "Falling back");
    hear(&mut heard, 4).await;
    let got = api.got.lock();
    let nanoseconds = "18bad9a2e6fa8f00".len();
    let name = got[0].1["metadata"]["name"].as_str().unwrap().to_owned();
    assert_eq!((name.starts_with("p."), name.len()), (true, 2 + nanoseconds));
    let mut first = got[0].1.clone();
    first["metadata"]["name"] = json!("p");
    assert_eq!(
        first,
        json!({
            "apiVersion": "v1", "kind": "Event", "metadata": {"name": "p", "namespace": "ns"},
            "involvedObject": {"apiVersion": "v1", "kind": "Pod", "namespace": "ns", "name": "p", "uid": "u",
                "resourceVersion": "7", "fieldPath": "spec.containers{c}"},
            "reason": "Pulled", "message": "m", "type": "Normal", "count": 1,
            "firstTimestamp": "2026-11-24T01:02:03Z", "lastTimestamp": "2026-11-24T01:02:03Z",
            "source": {"component": "kubelet", "host": "n1"},
            "reportingComponent": "kubelet", "reportingInstance": "n1",
        })
    );
    let about = |i: usize| got[i].1["involvedObject"].clone();
    assert_eq!(about(1), json!({"apiVersion": "v1", "kind": "Node", "name": "n1"}));
    assert_eq!(got[1].1["metadata"]["namespace"], "default");
    assert_eq!(about(2)["uid"], "node-uid");
    assert_eq!(about(3).get("uid"), None);
    let names: std::collections::BTreeSet<_> =
        got.iter().map(|(_, e)| e["metadata"]["name"].to_string()).collect();
    assert_eq!(names.len(), 4, "one instant, four names");
}

#[tokio::test(start_paused = true)]
async fn a_repeated_event_is_patched_and_written_anew_when_it_expired() {
    let (api, mut heard) = Api::new([]);
    let (sink, task) = EventSink::new(Some(api.clone()), "n1".into(), None, clock());
    tokio::spawn(task.run());
    sink.record_pod(&pod(), pulled("m"));
    sink.record_pod(&pod(), pulled("m"));
    hear(&mut heard, 2).await;
    api.answers.lock().push_back(gone());
    sink.record_pod(&pod(), pulled("m"));
    hear(&mut heard, 2).await;
    let got = api.got.lock();
    let name = got[0].1["metadata"]["name"].as_str().unwrap();
    assert_eq!(got[1].0, format!("patch ns/{name}"));
    assert_eq!(got[2].0, format!("patch ns/{name}"));
    assert_eq!((got[3].0.as_str(), &got[3].1["count"]), ("create", &json!(3)));
}

#[tokio::test(start_paused = true)]
async fn an_unreachable_server_is_tried_again_and_a_refusal_is_not() {
    let refused = ApiError::Forbidden("no".into());
    let (api, mut heard) = Api::new([away(), away(), refused]);
    let (sink, task) = EventSink::new(Some(api.clone()), "n1".into(), None, clock());
    tokio::spawn(task.run());
    let start = Instant::now();
    sink.record_pod(&pod(), pulled("a"));
    sink.record_pod(&pod(), pulled("b"));
    hear(&mut heard, 4).await;
    assert!(start.elapsed() >= FIRST_PAUSE * 3 && start.elapsed() < FIRST_PAUSE * 4, "{:?}", start.elapsed());
    let got = api.got.lock();
    let messages: Vec<_> = got.iter().map(|(_, e)| e["message"].as_str().unwrap()).collect();
    assert_eq!(messages, ["a", "a", "a", "b"]);
}

#[tokio::test(start_paused = true)]
async fn an_event_is_given_up_after_two_minutes_and_a_sign_of_life_ends_a_pause() {
    let (api, mut heard) = Api::new(std::iter::repeat_n(away(), 18));
    let (sink, task) = EventSink::new(Some(api.clone()), "n1".into(), None, clock());
    tokio::spawn(task.run());
    let start = Instant::now();
    sink.record_pod(&pod(), pulled("a"));
    // Six pauses that double, and then ten seconds each.
    hear(&mut heard, 18).await;
    assert!(start.elapsed() >= PATIENCE && start.elapsed() < PATIENCE + LAST_PAUSE, "{:?}", start.elapsed());

    api.answers.lock().extend(std::iter::repeat_n(away(), 8));
    sink.record_pod(&pod(), pulled("b"));
    hear(&mut heard, 8).await;
    let start = Instant::now();
    api.node.send_replace(Some(Arc::default()));
    hear(&mut heard, 1).await;
    assert!(start.elapsed() < FIRST_PAUSE, "{:?}", start.elapsed());
    assert_eq!(api.got.lock().last().unwrap().1["message"], "b");
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_drops_and_counts_and_never_waits() {
    let (api, _heard) = Api::new([]);
    let (sink, task) = EventSink::new(Some(api), "n1".into(), None, clock());
    for i in 0..QUEUE + 5 {
        sink.record_node(true, "MissingClusterDNS", format!("{i}"));
    }
    assert_eq!(sink.dropped(), 5);
    drop(task);
}

#[tokio::test(start_paused = true)]
async fn events_are_paced() {
    let (api, mut heard) = Api::new([]);
    let rate = EventRate { per_second: 2, burst: 3 };
    let (sink, task) = EventSink::new(Some(api), "n1".into(), Some(rate), clock());
    tokio::spawn(task.run());
    let start = Instant::now();
    for i in 0..7 {
        sink.record_pod(&pod(), pulled(&format!("m{i}")));
    }
    hear(&mut heard, 3).await;
    assert!(start.elapsed() < Duration::from_millis(10));
    hear(&mut heard, 4).await;
    assert!(start.elapsed() >= Duration::from_millis(1990) && start.elapsed() < Duration::from_millis(2100));
}

#[tokio::test]
async fn without_a_cluster_events_are_only_logged() {
    let (sink, task) = EventSink::new(None, "n1".into(), None, clock());
    sink.record_node(false, "Starting", "Starting kubelet.");
    task.run().await;
    assert_eq!(sink.dropped(), 0);
}

#[test]
fn long_names_are_cut() {
    let (sink, _task) = EventSink::new(None, "n1".into(), None, clock());
    let name = sink.event_name(&"a".repeat(253), clock().now());
    assert_eq!(name.len(), 253);
}
