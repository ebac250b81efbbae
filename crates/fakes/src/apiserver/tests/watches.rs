//! Watches.

use k8s_openapi::api::core::v1::Pod;
use serde_json::json;

use super::{Asker, FakeApi, pod};
use crate::apiserver::Gone;

const MINE: &str = "/api/v1/pods?watch=true&fieldSelector=spec.nodeName%3Dn&allowWatchBookmarks=true";
const INITIAL: &str = "&sendInitialEvents=true&resourceVersionMatch=NotOlderThan";

fn event(kind: &str, name: &str) -> (String, String) {
    (kind.to_owned(), name.to_owned())
}

#[tokio::test]
async fn a_streaming_list_says_where_it_ends_and_goes_on() {
    let api = FakeApi::start().await;
    let asker = Asker::new(&api);
    api.put(pod("p1", "n"));
    api.put(pod("p2", "other"));
    let mut events = asker.watch(&format!("{MINE}{INITIAL}")).await;
    assert_eq!(events.named().await, event("ADDED", "p1"));
    let bookmark = events.next().await.unwrap();
    assert_eq!(bookmark["type"], "BOOKMARK");
    assert_eq!(bookmark["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"], "true");
    assert_eq!(bookmark["object"]["metadata"]["resourceVersion"], api.revision().to_string());

    // Into the selection, changed in it, out of it, deleted.
    api.update::<Pod>("a", "p2", |pod| pod.spec.as_mut().unwrap().node_name = Some("n".to_owned()));
    assert_eq!(events.named().await, event("ADDED", "p2"));
    api.update::<Pod>("a", "p2", |pod| pod.metadata.labels = Some([("a".to_owned(), "b".to_owned())].into()));
    assert_eq!(events.named().await, event("MODIFIED", "p2"));
    api.update::<Pod>("a", "p2", |pod| pod.spec.as_mut().unwrap().node_name = Some("other".to_owned()));
    let left = events.next().await.unwrap();
    assert_eq!((&left["type"], &left["object"]["spec"]["nodeName"]), (&json!("DELETED"), &json!("n")));
    assert_eq!(left["object"]["metadata"]["resourceVersion"], api.revision().to_string());
    api.remove::<Pod>("a", "p1");
    assert_eq!(events.named().await, event("DELETED", "p1"));

    api.send_bookmarks();
    let bookmark = events.next().await.unwrap();
    assert_eq!(bookmark["type"], "BOOKMARK");
    assert!(bookmark["object"]["metadata"]["annotations"].is_null());
}

#[tokio::test]
async fn a_watch_goes_on_where_the_last_one_ended() {
    let api = FakeApi::start().await;
    let asker = Asker::new(&api);
    api.put(pod("p1", "n"));
    let after = api.revision();
    let mut first = asker.watch(&format!("{MINE}&resourceVersion={after}")).await;
    api.put(pod("p2", "n"));
    assert_eq!(first.named().await, event("ADDED", "p2"));
    api.faults().close_watches();
    assert!(first.next().await.is_none(), "a clean end");
    api.remove::<Pod>("a", "p2");
    let mut second = asker.watch(&format!("{MINE}&resourceVersion={after}")).await;
    assert_eq!(second.named().await, event("ADDED", "p2"));
    assert_eq!(second.named().await, event("DELETED", "p2"));
}

#[tokio::test]
async fn a_watch_of_one_object_and_its_timeout() {
    let api = FakeApi::start().await;
    let asker = Asker::new(&api);
    api.put(pod("p1", "n"));
    let path = "/api/v1/namespaces/a/pods?watch=true&fieldSelector=metadata.name%3Dp2&timeoutSeconds=1";
    let mut events = asker.watch(path).await;
    api.put(pod("p2", "n"));
    assert_eq!(events.named().await, event("ADDED", "p2"));
    assert!(events.next().await.is_none());
}

#[tokio::test]
async fn a_forgotten_revision_is_gone() {
    let api = FakeApi::start().await;
    let asker = Asker::new(&api);
    api.put(pod("p1", "n"));
    api.put(pod("p2", "n"));
    api.compact();
    let code = async |path: &str| asker.watch(path).await.next().await.unwrap()["object"]["code"].clone();
    assert_eq!(code(&format!("{MINE}&resourceVersion=1")).await, 410);
    let now = format!("{MINE}&resourceVersion={}", api.revision());
    api.faults().gone_on_watch(1, Gone::Event);
    assert_eq!(code(&now).await, 410);
    api.faults().gone_on_watch(1, Gone::Status);
    let (status, body) = asker.get(&now).await;
    assert_eq!((status.as_u16(), &body["reason"]), (410, &json!("Expired")));
    let mut events = asker.watch(&now).await;
    api.put(pod("p3", "n"));
    assert_eq!(events.named().await, event("ADDED", "p3"), "used up");
}

#[tokio::test]
async fn senseless_watches_are_refused() {
    let api = FakeApi::start().await;
    let asker = Asker::new(&api);
    for query in [
        "sendInitialEvents=true&allowWatchBookmarks=true",
        "sendInitialEvents=true&resourceVersionMatch=NotOlderThan",
        "resourceVersionMatch=NotOlderThan",
    ] {
        assert_eq!(asker.get(&format!("/api/v1/pods?watch=true&{query}")).await.0, 422, "{query}");
    }
    assert_eq!(asker.get("/api/v1/pods?watch=true&resourceVersion=x").await.0, 400);
}
