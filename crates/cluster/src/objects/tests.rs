use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use super::*;
use crate::stub::{Reply, Seen, Stub, ok, status, until};

type Feeds = Arc<Mutex<HashMap<String, Vec<mpsc::UnboundedSender<Value>>>>>;

/// Answers watches with the objects it was given, and keeps them open to send more.
fn server(objects: Vec<(&'static str, Value)>) -> (Feeds, impl Fn(&Seen) -> Reply + Send + Sync) {
    let feeds: Feeds = Arc::default();
    let open = Arc::clone(&feeds);
    let handler = move |seen: &Seen| {
        if !seen.uri.contains("watch=true") {
            let path = seen.uri.rsplit('/').next().unwrap_or_default().to_owned();
            return match objects.iter().find(|(name, _)| *name == path) {
                Some((_, object)) => ok(object.clone()),
                None => status(404, "NotFound", "gone"),
            };
        }
        let name = seen.uri.split("metadata.name%3D").nth(1).unwrap().split('&').next().unwrap().to_owned();
        let (sender, receiver) = mpsc::unbounded_channel();
        for (_, object) in objects.iter().filter(|(n, _)| *n == name) {
            sender.send(json!({"type": "ADDED", "object": object})).unwrap();
        }
        let end = json!({"resourceVersion": "10", "annotations": {"k8s.io/initial-events-end": "true"}});
        sender.send(json!({"type": "BOOKMARK", "object": {"metadata": end}})).unwrap();
        open.lock().entry(name).or_default().push(sender);
        Reply::Stream(receiver)
    };
    (feeds, handler)
}

fn config(name: &str, version: &str, value: &str) -> Value {
    json!({"metadata": {"name": name, "namespace": "ns", "resourceVersion": version}, "data": {"k": value}})
}

fn pod(uid: &str, config_maps: &[&str], secrets: &[&str]) -> Pod {
    let from: Vec<Value> = config_maps.iter().map(|n| json!({"configMapRef": {"name": n}})).collect();
    let pull: Vec<Value> = secrets.iter().map(|n| json!({"name": n})).collect();
    serde_json::from_value(json!({
        "metadata": {"namespace": "ns", "name": uid, "uid": uid},
        "spec": {"imagePullSecrets": pull, "containers": [{"name": "c", "envFrom": from}]},
    }))
    .unwrap()
}

fn store(stub: &Stub, strategy: ChangeDetection) -> (Arc<Store>, mpsc::Receiver<String>) {
    Store::new(stub.api(), Arc::default(), strategy, CancellationToken::new())
}

async fn value(store: &Store, name: &str) -> Result<String, String> {
    match store.get(key(Kind::ConfigMap, "ns", name)).await {
        Ok(Object::ConfigMap(map)) => Ok(map.data.as_ref().unwrap()["k"].clone()),
        Ok(Object::Secret(_)) => unreachable!("a secret"),
        Err(error) => Err(error.to_string()),
    }
}

async fn hears(changes: &mut mpsc::Receiver<String>) -> String {
    tokio::time::timeout(Duration::from_secs(10), changes.recv()).await.unwrap().unwrap()
}

#[tokio::test]
async fn pods_share_a_watch_and_hear_of_changes_until_they_leave() {
    let (feeds, handler) = server(vec![("cm", config("cm", "5", "one"))]);
    let stub = Stub::start(handler).await;
    let (store, mut changes) = store(&stub, ChangeDetection::Watch);
    store.register(&pod("p", &["cm"], &["s"]));
    store.register(&pod("q", &["cm"], &[]));
    store.register(&pod("q", &["cm"], &[]));
    assert_eq!(value(&store, "cm").await.unwrap(), "one");
    let missing = store.get(key(Kind::Secret, "ns", "s")).await.err().unwrap();
    assert_eq!(missing.to_string(), "secret \"s\" not found");
    assert_eq!(feeds.lock()["cm"].len(), 1);

    let say = |kind: &str, version: &str, value: &str| {
        feeds.lock()["cm"][0].send(json!({"type": kind, "object": config("cm", version, value)})).unwrap();
    };
    say("MODIFIED", "6", "two");
    assert_eq!([hears(&mut changes).await, hears(&mut changes).await], ["p", "q"]);
    assert_eq!(value(&store, "cm").await.unwrap(), "two");
    store.unregister("p");
    say("DELETED", "7", "two");
    assert_eq!(hears(&mut changes).await, "q");
    assert_eq!(value(&store, "cm").await.unwrap_err(), "configmap \"cm\" not found");
    say("ADDED", "8", "three");
    assert_eq!(hears(&mut changes).await, "q");
    assert_eq!(value(&store, "cm").await.unwrap(), "three");

    // A newer version of the pod refers to it no more.
    store.register(&pod("q", &[], &[]));
    until("the watch is closed", || feeds.lock()["cm"][0].is_closed()).await;
    until("the secret's too", || feeds.lock()["s"][0].is_closed()).await;
    assert!(changes.try_recv().is_err(), "the first list is no change, and nobody listens any more");
}

#[tokio::test]
async fn an_immutable_object_is_kept_without_a_watch() {
    let mut frozen = config("cm", "5", "one");
    frozen["immutable"] = json!(true);
    let (feeds, handler) = server(vec![("cm", frozen)]);
    let stub = Stub::start(handler).await;
    let (store, _changes) = store(&stub, ChangeDetection::Watch);
    store.register(&pod("p", &["cm"], &[]));
    assert_eq!(value(&store, "cm").await.unwrap(), "one");
    until("the watch is closed", || feeds.lock()["cm"][0].is_closed()).await;
    assert_eq!(value(&store, "cm").await.unwrap(), "one");
    store.register(&pod("q", &["cm"], &[]));
    assert_eq!(value(&store, "cm").await.unwrap(), "one");
    assert_eq!(stub.uris().len(), 1);
}

#[tokio::test]
async fn a_refusal_at_first_is_waited_out() {
    let (_, good) = server(vec![("cm", config("cm", "5", "one"))]);
    let refusals = Mutex::new(2);
    let stub = Stub::start(move |seen: &Seen| {
        let mut left = refusals.lock();
        if *left > 0 {
            *left -= 1;
            return status(403, "Forbidden", "no relationship found");
        }
        good(seen)
    })
    .await;
    let (store, _changes) = store(&stub, ChangeDetection::Watch);
    store.register(&pod("p", &["cm"], &[]));
    assert_eq!(value(&store, "cm").await.unwrap(), "one");
}

#[tokio::test]
async fn a_refusal_that_stays_is_told() {
    let stub = Stub::start(|_: &Seen| status(403, "Forbidden", "no relationship found")).await;
    let (store, _changes) = store(&stub, ChangeDetection::Watch);
    store.register(&pod("p", &["cm"], &[]));
    let error = value(&store, "cm").await.unwrap_err();
    assert_eq!(error, "failed to sync configmap cache: no relationship found");
}

#[tokio::test]
async fn a_first_list_that_comes_too_late_for_a_get_is_a_change() {
    let (sender, list) = mpsc::unbounded_channel();
    let list = Mutex::new(Some(list));
    let stub = Stub::start(move |_: &Seen| list.lock().take().map_or(Reply::Silence, Reply::Stream)).await;
    let (store, mut changes) = store(&stub, ChangeDetection::Watch);
    store.register(&pod("p", &["cm"], &[]));
    until("the object is asked for", || !stub.uris().is_empty()).await;
    tokio::time::pause();
    let error = value(&store, "cm").await.unwrap_err();
    assert_eq!(error, "failed to sync configmap cache: timed out waiting for the condition");
    tokio::time::resume();

    sender.send(json!({"type": "ADDED", "object": config("cm", "5", "one")})).unwrap();
    let end = json!({"resourceVersion": "10", "annotations": {"k8s.io/initial-events-end": "true"}});
    sender.send(json!({"type": "BOOKMARK", "object": {"metadata": end}})).unwrap();
    assert_eq!(hears(&mut changes).await, "p");
    assert_eq!(value(&store, "cm").await.unwrap(), "one");
}

#[tokio::test]
async fn without_a_registration_the_server_is_asked() {
    let (_, handler) = server(vec![("cm", config("cm", "5", "one"))]);
    let stub = Stub::start(handler).await;
    let (store, _changes) = store(&stub, ChangeDetection::Watch);
    assert_eq!(value(&store, "cm").await.unwrap(), "one");
    assert_eq!(value(&store, "other").await.unwrap_err(), "configmap \"other\" not found");
    assert_eq!(
        stub.uris(),
        ["/api/v1/namespaces/ns/configmaps/cm", "/api/v1/namespaces/ns/configmaps/other"]
    );
}

#[tokio::test]
async fn get_asks_always_and_cache_asks_after_registration_and_time() {
    let (_, handler) = server(vec![("cm", config("cm", "5", "one"))]);
    let stub = Stub::start(handler).await;
    let (always, _a) = store(&stub, ChangeDetection::Get);
    always.register(&pod("p", &["cm"], &[]));
    value(&always, "cm").await.unwrap();
    value(&always, "cm").await.unwrap();
    assert_eq!(stub.uris().len(), 2);

    let (cached, _b) = store(&stub, ChangeDetection::Cache { ttl: Duration::from_secs(60) });
    value(&cached, "cm").await.unwrap();
    value(&cached, "cm").await.unwrap();
    assert_eq!(stub.uris().len(), 4, "nothing is kept for nobody");
    cached.register(&pod("p", &["cm"], &[]));
    value(&cached, "cm").await.unwrap();
    value(&cached, "cm").await.unwrap();
    assert_eq!(stub.uris().len(), 5);
    cached.register(&pod("q", &["cm"], &[]));
    value(&cached, "cm").await.unwrap();
    assert_eq!(stub.uris().len(), 6, "a new pod wants the newest");
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(61)).await;
    tokio::time::resume();
    value(&cached, "cm").await.unwrap();
    assert_eq!(stub.uris().len(), 7);
    cached.unregister("p");
    cached.unregister("q");
    assert!(cached.inner.lock().kept.is_empty());
}
