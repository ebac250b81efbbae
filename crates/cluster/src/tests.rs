use std::sync::Arc;

use k8s_openapi::api::{
    authentication::v1::TokenRequest,
    coordination::v1::Lease,
    core::v1::{Event, Pod},
};
use parking_lot::Mutex;
use seams::{ApiError, Cluster as _, ObjectError, Objects as _, SystemClock, cluster::PodEvent};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::*;
use crate::stub::{Reply, Seen, Stub, ok, status, until};

fn start(stub: &Stub) -> ApiCluster {
    ApiCluster::start(ApiOptions {
        access: stub.access(),
        node_name: "n1".to_owned(),
        rate_limit: RateLimit::from_config(1, 1),
        heartbeat_timeout: Duration::from_secs(2),
        change_detection: ChangeDetection::Watch,
        kubelet_version: "v1.37.2".to_owned(),
        clock: Arc::new(SystemClock::start()),
        metrics: metrics::Metrics::new(),
    })
}

fn lines(all: Vec<Value>) -> (Reply, mpsc::UnboundedSender<Value>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    all.into_iter().for_each(|line| sender.send(line).unwrap());
    (Reply::Stream(receiver), sender)
}

fn end() -> Value {
    json!({"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "9", "annotations": {"k8s.io/initial-events-end": "true"}}}})
}

#[tokio::test]
async fn calls_go_where_the_api_has_them() {
    let stub = Stub::start(|_: &Seen| ok(json!({"metadata": {"name": "x"}}))).await;
    let mut api = start(&stub);
    api.main = stub.api();
    let pod: Pod = serde_json::from_value(json!({"metadata": {"namespace": "ns", "name": "p"}})).unwrap();
    let patch = json!({"status": {}});
    api.get_pod("ns", "p").await.unwrap();
    api.patch_pod_status("ns", "p", &patch).await.unwrap();
    api.create_pod(&pod).await.unwrap();
    api.delete_pod("ns", "p", "u", 0).await.unwrap();
    api.get_node().await.unwrap();
    api.create_node(&Node::default()).await.unwrap();
    api.patch_node(&patch).await.unwrap();
    api.patch_node_status(&patch).await.unwrap();
    api.get_lease().await.unwrap();
    api.create_lease(&Lease::default()).await.unwrap();
    api.update_lease(&Lease::default()).await.unwrap();
    api.create_event(&Event::default()).await.unwrap();
    api.patch_event("ns", "e", &patch).await.unwrap();
    api.token("ns", "sa", &TokenRequest::default()).await.unwrap();
    let seen = stub.seen.lock();
    let called: Vec<String> = seen.iter().map(|s| format!("{} {}", s.method, s.uri)).collect();
    let lease = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";
    let wanted = [
        "GET /api/v1/namespaces/ns/pods/p".to_owned(),
        "PATCH /api/v1/namespaces/ns/pods/p/status".to_owned(),
        "POST /api/v1/namespaces/ns/pods".to_owned(),
        "DELETE /api/v1/namespaces/ns/pods/p".to_owned(),
        "GET /api/v1/nodes/n1".to_owned(),
        "POST /api/v1/nodes".to_owned(),
        "PATCH /api/v1/nodes/n1".to_owned(),
        "PATCH /api/v1/nodes/n1/status".to_owned(),
        format!("GET {lease}/n1"),
        format!("POST {lease}"),
        format!("PUT {lease}/n1"),
        "POST /api/v1/namespaces/default/events".to_owned(),
        "PATCH /api/v1/namespaces/ns/events/e".to_owned(),
        "POST /api/v1/namespaces/ns/serviceaccounts/sa/token".to_owned(),
    ];
    assert_eq!(called, wanted);
    assert_eq!(seen[1].headers["content-type"], "application/strategic-merge-patch+json");
    assert_eq!(seen[1].headers["accept"], "application/json");
    assert_eq!(seen[3].body["gracePeriodSeconds"], 0);
    assert_eq!(seen[3].body["preconditions"], json!({"uid": "u"}));
    let agent = seen[4].headers["user-agent"].to_str().unwrap();
    assert!(agent.starts_with("kubelet/v1.37.2 (linux/") && agent.contains(") kubelet-rs/"), "{agent}");
}

#[tokio::test]
async fn heartbeats_are_not_paced_and_do_not_wait_long() {
    let stub = Stub::start(|seen: &Seen| {
        if seen.uri.ends_with("leases/n1") && seen.method == "PUT" { Reply::Silence } else { ok(json!({})) }
    })
    .await;
    let api = start(&stub);
    let begin = Instant::now();
    for _ in 0..20 {
        api.get_lease().await.unwrap();
    }
    assert!(begin.elapsed() < Duration::from_secs(2));
    let error = api.update_lease(&Lease::default()).await.unwrap_err();
    assert!(
        matches!(&error, ApiError::Unreachable { message, .. } if message == "no answer within 2s"),
        "{error}"
    );
    assert_eq!(stub.connections(), 1);
}

#[tokio::test]
async fn heartbeats_that_fail_cost_no_connection_but_their_own() {
    let open = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&open);
    let stub = Stub::start(move |seen: &Seen| {
        if seen.uri.starts_with("/api/v1/pods?") {
            let (reply, sender) = lines(vec![end()]);
            kept.lock().push(sender);
            return reply;
        }
        status(500, "InternalError", "etcdserver: request timed out")
    })
    .await;
    let api = start(&stub);
    let mut pods = api.pods();
    let first = timeout(Duration::from_secs(10), pods.recv()).await.unwrap().unwrap();
    assert!(matches!(first, PodEvent::Snapshot(all) if all.is_empty()));
    let refused = async || {
        let error = api.update_lease(&Lease::default()).await.unwrap_err();
        assert!(matches!(error, ApiError::Status { code: 500, .. }), "{error}");
    };
    let later = async || {
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(10)).await;
        tokio::time::resume();
    };
    for _ in 0..6 {
        refused().await;
        later().await;
    }
    assert_eq!(stub.dials(), 2, "one for each transport");
    api.reset_connections();
    refused().await;
    assert_eq!(stub.dials(), 3);
    api.reset_connections();
    refused().await;
    assert_eq!(stub.dials(), 3, "the other kind of heartbeat has just dialled");
    later().await;
    api.reset_connections();
    refused().await;
    assert_eq!(stub.dials(), 4);
    // The watch is the one that was opened first.
    let gone = json!({"type": "DELETED", "object": {"metadata": {"name": "x", "uid": "u"}}});
    let watches: Vec<_> = open.lock().clone();
    watches[0].send(gone).unwrap();
    let next = timeout(Duration::from_secs(10), pods.recv()).await.unwrap().unwrap();
    assert!(matches!(next, PodEvent::Deleted(_)));
    assert_eq!(watches.len(), 1);
}

#[tokio::test]
async fn events_do_not_wait_for_the_turns_of_other_calls() {
    let stub = Stub::start(|_: &Seen| ok(json!({}))).await;
    let api = start(&stub);
    // One a second: the bucket is empty for the next ten.
    let queue = async {
        for _ in 0..10 {
            api.get_pod("ns", "p").await.unwrap();
        }
    };
    let events = async {
        for _ in 0..20 {
            api.create_event(&Event::default()).await.unwrap();
            api.patch_event("ns", "e", &json!({})).await.unwrap();
        }
    };
    // Cancel-safe: whatever ends last is not waited for.
    tokio::select! {
        () = queue => panic!("the events waited for the pods"),
        () = events => {}
    }
    assert_eq!(stub.connections(), 1, "they share one");
}

#[tokio::test]
async fn a_busy_server_is_waited_for_within_the_deadline() {
    let busy = Mutex::new(true);
    let stub =
        Stub::start(
            move |_: &Seen| {
                if std::mem::take(&mut *busy.lock()) { Reply::Later(429, 1) } else { ok(json!({})) }
            },
        )
        .await;
    start(&stub).get_node().await.unwrap();
    assert_eq!(stub.uris().len(), 2);
    for longer in [3600, u64::MAX] {
        let stub = Stub::start(move |_: &Seen| Reply::Later(429, longer)).await;
        let error = start(&stub).get_node().await.unwrap_err();
        assert_eq!(error, ApiError::Status { code: 429, message: "later".into() });
    }
}

#[tokio::test]
async fn pods_and_the_node_are_followed() {
    let open = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&open);
    let stub = Stub::start(move |seen: &Seen| {
        let kind = if seen.uri.starts_with("/api/v1/pods?") { "p" } else { "n1" };
        let (reply, sender) =
            lines(vec![json!({"type": "ADDED", "object": {"metadata": {"name": kind, "uid": "u"}}}), end()]);
        kept.lock().push((kind, sender));
        reply
    })
    .await;
    let mut api = start(&stub);
    api.main = stub.api();
    let mut pods = api.pods();
    let mut node = api.node();
    let again = api.node();
    let first = timeout(Duration::from_secs(10), pods.recv()).await.unwrap().unwrap();
    assert!(matches!(first, PodEvent::Snapshot(all) if all.len() == 1));
    timeout(Duration::from_secs(10), node.wait_for(Option::is_some)).await.unwrap().unwrap();
    assert!(again.borrow().is_some());
    let gone = json!({"type": "DELETED", "object": {"metadata": {"name": "x", "uid": "u"}}});
    for (_, sender) in open.lock().iter() {
        sender.send(gone.clone()).unwrap();
    }
    let next = timeout(Duration::from_secs(10), pods.recv()).await.unwrap().unwrap();
    assert!(matches!(next, PodEvent::Deleted(_)));
    timeout(Duration::from_secs(10), node.wait_for(Option::is_none)).await.unwrap().unwrap();
    let uris = stub.uris();
    assert_eq!(uris.len(), 2);
    assert!(uris.iter().any(|u| u.contains("fieldSelector=spec.nodeName%3Dn1")));
    assert!(uris.iter().any(|u| u.contains("fieldSelector=metadata.name%3Dn1")));
    // Whoever stops listening stops the watch; the value's end stops the rest.
    drop(pods);
    until("the pods watch is closed", || open.lock().iter().any(|(kind, s)| *kind == "p" && s.is_closed()))
        .await;
    drop(api);
    until("the node watch is closed", || open.lock().iter().all(|(_, s)| s.is_closed())).await;
}

#[tokio::test]
async fn services_keep_only_what_the_environment_needs() {
    let service = |name: &str, ip: &str, label: &str| {
        json!({"metadata": {"namespace": "ns", "name": name, "uid": name, "resourceVersion": "3", "labels": {"a": label}},
            "spec": {"clusterIP": ip, "selector": {"a": "b"}, "ports": [{"name": "http", "port": 80, "targetPort": 8080}]}})
    };
    let (reply, sender) =
        lines(vec![json!({"type": "ADDED", "object": service("a", "10.0.0.1", "x")}), end()]);
    let reply = Mutex::new(Some(reply));
    let stub = Stub::start(move |_: &Seen| reply.lock().take().unwrap_or(Reply::Silence)).await;
    let api = start(&stub);
    let mut services = api.services();
    let all = timeout(Duration::from_secs(10), services.wait_for(Option::is_some))
        .await
        .unwrap()
        .unwrap()
        .clone()
        .unwrap();
    let kept = serde_json::to_value(&*all[&("ns".to_owned(), "a".to_owned())]).unwrap();
    assert_eq!(kept["spec"], json!({"clusterIP": "10.0.0.1", "ports": [{"name": "http", "port": 80}]}));
    assert_eq!(kept["metadata"], json!({"namespace": "ns", "name": "a"}));
    services.mark_unchanged();
    // A label is nothing to us; an address is.
    sender.send(json!({"type": "MODIFIED", "object": service("a", "10.0.0.1", "y")})).unwrap();
    sender.send(json!({"type": "ADDED", "object": service("b", "10.0.0.2", "x")})).unwrap();
    timeout(Duration::from_secs(10), services.changed()).await.unwrap().unwrap();
    assert_eq!(services.borrow_and_update().as_ref().unwrap().len(), 2);
    sender.send(json!({"type": "DELETED", "object": service("a", "10.0.0.1", "y")})).unwrap();
    timeout(Duration::from_secs(10), services.changed()).await.unwrap().unwrap();
    assert_eq!(services.borrow_and_update().as_ref().unwrap().len(), 1);
    assert_eq!(all.len(), 1, "a reader's snapshot does not change under it");
    assert!(stub.uris()[0].contains("fieldSelector=spec.clusterIP%21%3DNone"));
}

#[tokio::test]
async fn runtime_classes_are_kept_for_a_minute_and_in_need_for_longer() {
    let mood = Arc::new(Mutex::new(200));
    let now = Arc::clone(&mood);
    let stub = Stub::start(move |_: &Seen| match *now.lock() {
        200 => ok(json!({"metadata": {"name": "kata"}, "handler": "kata"})),
        404 => status(404, "NotFound", "runtimeclasses \"kata\" not found"),
        code => status(code, "", "boom"),
    })
    .await;
    let mut api = start(&stub);
    api.main = stub.api();
    assert_eq!(api.runtime_class("kata").await.unwrap().handler, "kata");
    *mood.lock() = 500;
    assert_eq!(api.runtime_class("kata").await.unwrap().handler, "kata");
    assert_eq!(stub.uris(), ["/apis/node.k8s.io/v1/runtimeclasses/kata"]);
    let later = async || {
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(61)).await;
        tokio::time::resume();
    };
    later().await;
    assert_eq!(api.runtime_class("kata").await.unwrap().handler, "kata");
    assert_eq!(stub.uris().len(), 2);
    *mood.lock() = 404;
    assert!(matches!(api.runtime_class("kata").await, Err(ApiError::NotFound(_))));
    *mood.lock() = 500;
    assert!(api.runtime_class("kata").await.is_err());
}

#[tokio::test]
async fn a_missing_service_account_is_told_apart_from_a_missing_pod() {
    let stub = Stub::start(|seen: &Seen| {
        let what = if seen.uri.contains("/sa/") { "serviceaccounts \"sa\"" } else { "pods \"p\"" };
        status(404, "NotFound", &format!("{what} not found"))
    })
    .await;
    let mut api = start(&stub);
    api.main = stub.api();
    let request = TokenRequest::default();
    let error = api.token("ns", "sa", &request).await.unwrap_err();
    assert_eq!(error, ObjectError::NotFound { kind: "serviceaccounts", name: "sa".into() });
    assert_eq!(error.to_string(), "serviceaccounts \"sa\" not found");
    let error = api.token("ns", "other", &request).await.unwrap_err();
    assert_eq!(error, ObjectError::Unavailable("pods \"p\" not found".into()));
}

#[tokio::test]
async fn a_token_is_asked_for_again_while_the_api_server_does_not_know_of_the_binding() {
    let granted = Arc::new(Mutex::new(2_usize));
    let refusals = Arc::clone(&granted);
    let stub = Stub::start(move |_| {
        let mut left = refusals.lock();
        if *left == 0 {
            return Reply::Json(
                201,
                json!({"status": {"token": "t", "expirationTimestamp": "2026-01-02T03:04:05Z"}}),
            );
        }
        *left -= 1;
        status(403, "Forbidden", "node requested token bound to a pod scheduled on a different node")
    })
    .await;
    let mut api = start(&stub);
    api.main = stub.api();
    let token = api.token("ns", "default", &TokenRequest::default()).await.unwrap();
    assert_eq!(token.status.unwrap().token.as_deref(), Some("t"));
    assert_eq!(stub.seen.lock().len(), 3);
    *granted.lock() = usize::MAX;
    let refused = api.token("ns", "default", &TokenRequest::default()).await.unwrap_err().to_string();
    assert!(refused.contains("different node"), "{refused}");
}
