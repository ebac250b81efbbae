use k8s_openapi::api::core::v1::ConfigMap;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::{sync::mpsc, time::timeout};

use super::*;
use crate::stub::{Reply, Seen, Stub, ok, status};

fn object(name: &str, version: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": name, "uid": name, "resourceVersion": version, "managedFields": [{"manager": "x"}]}})
}

fn event(kind: &str, object: Value) -> Value {
    json!({"type": kind, "object": object})
}

fn bookmark(version: &str, last: bool) -> Value {
    let annotations = if last { json!({"k8s.io/initial-events-end": "true"}) } else { json!({}) };
    event(
        "BOOKMARK",
        json!({"kind": "ConfigMap", "metadata": {"resourceVersion": version, "annotations": annotations}}),
    )
}

/// Hands out one prepared reply after the other; then silence.
fn script(replies: Vec<Reply>) -> impl Fn(&Seen) -> Reply + Send + Sync {
    let replies = Mutex::new(replies.into_iter());
    move |_| replies.lock().next().unwrap_or(Reply::Silence)
}

fn lines(lines: Vec<Value>) -> (Reply, mpsc::UnboundedSender<Value>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    for line in lines {
        sender.send(line).unwrap();
    }
    (Reply::Stream(receiver), sender)
}

fn watcher(stub: &Stub, streaming: &Arc<Streaming>) -> Watcher<ConfigMap> {
    let feed = Feed { path: "/api/v1/x".to_owned(), fields: "metadata.name=a".to_owned() };
    let backoff = Backoff::new(Duration::from_millis(1), Duration::from_millis(5));
    Watcher::new(stub.api(), Arc::clone(streaming), feed, backoff)
}

async fn next(watcher: &mut Watcher<ConfigMap>) -> String {
    let named = |object: &ConfigMap| {
        assert_eq!(object.metadata.managed_fields, None);
        object.metadata.name.clone().unwrap_or_default()
    };
    match timeout(Duration::from_secs(10), watcher.next()).await.unwrap() {
        Change::Snapshot(all) => format!("snapshot {}", all.iter().map(named).collect::<Vec<_>>().join(" ")),
        Change::Applied(object) => format!("applied {}", named(&object)),
        Change::Deleted(object) => format!("deleted {}", named(&object)),
        Change::Failed(error) => format!("failed {error}"),
    }
}

#[tokio::test]
async fn a_streaming_list_becomes_a_watch_and_goes_on_where_it_ended() {
    let (first, sender) = lines(vec![
        event("ADDED", object("a", "1")),
        event("ADDED", object("b", "2")),
        event("DELETED", object("b", "3")),
        bookmark("5", false),
        bookmark("7", true),
    ]);
    let (second, _open) = lines(vec![event("MODIFIED", object("a", "12"))]);
    let stub = Stub::start(script(vec![first, second])).await;
    let mut watcher = watcher(&stub, &Arc::default());
    assert_eq!(next(&mut watcher).await, "snapshot a");
    sender.send(event("MODIFIED", object("a", "8"))).unwrap();
    assert_eq!(next(&mut watcher).await, "applied a");
    sender.send(event("DELETED", object("a", "9"))).unwrap();
    assert_eq!(next(&mut watcher).await, "deleted a");
    sender.send(bookmark("11", false)).unwrap();
    drop(sender);
    assert_eq!(next(&mut watcher).await, "applied a");
    let uris = stub.uris();
    assert!(uris[0].contains("watch=true&allowWatchBookmarks=true&timeoutSeconds="), "{uris:?}");
    assert!(uris[0].ends_with(
        "&fieldSelector=metadata.name%3Da&sendInitialEvents=true&resourceVersionMatch=NotOlderThan"
    ));
    assert!(uris[1].ends_with("&fieldSelector=metadata.name%3Da&resourceVersion=11"), "{uris:?}");
}

#[tokio::test]
async fn a_refused_streaming_list_becomes_pages_for_every_watcher() {
    let page = |token: &str, name: &str| {
        ok(json!({"metadata": {"resourceVersion": "20", "continue": token}, "items": [object(name, "1")]}))
    };
    let (watch, _open) = lines(vec![event("ADDED", object("c", "21"))]);
    let refusal = status(422, "Invalid", "sendInitialEvents: Forbidden");
    let stub =
        Stub::start(script(vec![refusal, page("a+b", "a"), page("", "b"), watch, page("", "z")])).await;
    let streaming = Arc::default();
    let mut first = watcher(&stub, &streaming);
    assert_eq!(next(&mut first).await, "snapshot a b");
    assert_eq!(next(&mut first).await, "applied c");
    assert_eq!(next(&mut watcher(&stub, &streaming)).await, "snapshot z");
    let uris = stub.uris();
    assert_eq!(uris[1], "/api/v1/x?limit=500&fieldSelector=metadata.name%3Da");
    assert_eq!(uris[2], "/api/v1/x?limit=500&fieldSelector=metadata.name%3Da&continue=a%2Bb");
    assert!(uris[3].ends_with("&resourceVersion=20"));
}

#[tokio::test]
async fn an_expired_version_is_listed_again() {
    let (first, _a) = lines(vec![
        event("ADDED", object("a", "1")),
        bookmark("2", true),
        event(
            "ERROR",
            json!({"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"}),
        ),
    ]);
    let (second, _b) = lines(vec![event("ADDED", object("b", "9")), bookmark("9", true)]);
    let stub = Stub::start(script(vec![first, second])).await;
    let mut watcher = watcher(&stub, &Arc::default());
    assert_eq!(next(&mut watcher).await, "snapshot a");
    assert_eq!(next(&mut watcher).await, "failed too old resource version");
    assert_eq!(next(&mut watcher).await, "snapshot b");
}

#[tokio::test]
async fn a_resumed_watch_that_is_gone_is_listed_again() {
    let (first, sender) = lines(vec![bookmark("2", true)]);
    let (third, _open) = lines(vec![bookmark("9", true)]);
    let stub = Stub::start(script(vec![first, status(410, "Expired", "old"), third])).await;
    let mut watcher = watcher(&stub, &Arc::default());
    assert_eq!(next(&mut watcher).await, "snapshot ");
    drop(sender);
    assert_eq!(next(&mut watcher).await, "snapshot ");
    assert_eq!(stub.uris().len(), 3);
}

#[tokio::test]
async fn failures_are_told_and_tried_again() {
    let (good, _open) = lines(vec![bookmark("2", true)]);
    let broken = lines(vec![json!("not an event")]).0;
    let cut = lines(vec![event("ADDED", object("a", "1"))]).0;
    let stub =
        Stub::start(script(vec![status(403, "Forbidden", "no"), status(500, "", "boom"), broken, cut, good]))
            .await;
    let mut watcher = watcher(&stub, &Arc::default());
    assert_eq!(next(&mut watcher).await, "failed no");
    assert_eq!(next(&mut watcher).await, "failed boom");
    assert!(next(&mut watcher).await.starts_with("failed unexpected answer"));
    assert!(next(&mut watcher).await.contains("ended before it was complete"));
    assert_eq!(next(&mut watcher).await, "snapshot ");
}

#[tokio::test]
async fn one_object_that_cannot_be_read_does_not_stop_the_others() {
    let bad = json!({"metadata": {"name": "bad", "resourceVersion": "5"}, "data": "not a map"});
    let (first, _open) = lines(vec![
        event("ADDED", bad.clone()),
        event("ADDED", object("a", "1")),
        bookmark("4", true),
        event("ADDED", bad),
        event("ADDED", object("b", "6")),
    ]);
    let stub = Stub::start(script(vec![first])).await;
    let mut watcher = watcher(&stub, &Arc::default());
    assert_eq!(next(&mut watcher).await, "snapshot a");
    assert_eq!(next(&mut watcher).await, "applied b");
}
