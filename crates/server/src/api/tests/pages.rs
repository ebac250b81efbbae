//! What is served besides streams.

use hyper::Method;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::timeout,
};

use super::rig::{Ask, Rig, SOON, Setup, get};
use crate::api::Switches;

async fn open() -> Rig {
    Rig::start(Setup { access_ttls: None, ..Setup::default() }).await
}

#[tokio::test]
async fn pages_are_as_upstreams() {
    let rig = open().await;
    let (status, headers, body) = rig.ask_fully(get("/pods")).await;
    assert_eq!((status, headers["content-type"].as_str()), (200, "application/json"));
    let text = r#"{"kind":"PodList","apiVersion":"v1","metadata":{},"items":[{"metadata":{"name":"pod"},"spec":null,"status":{}}]}"#;
    assert_eq!(body, text);
    let (_, body) = rig.ask(get("/runningpods/")).await;
    assert_eq!(body, r#"{"kind":"PodList","apiVersion":"v1","metadata":{},"items":[]}"#);
    assert_eq!(rig.ask(get("/healthz/syncloop")).await, (200, "ok".to_owned()));
    let (_, body) = rig.ask(get("/healthz?verbose")).await;
    assert_eq!(body, "[+]ping ok\n[+]log ok\n[+]syncloop ok\nhealthz check passed\n");
    assert_eq!(rig.ask(get("/configz")).await, (200, "{\"kubeletconfig\":{}}".to_owned()));
    assert!(rig.ask(get("/flagz")).await.1.ends_with("debugging purposes only.\nv:2\n"));
    let (_, page) = rig.ask(get("/statusz")).await;
    assert!(page.starts_with("\nkubelet statusz\nWarning: "), "{page}");
    assert!(page.contains("\nStarted= Thu Jan  1 00:00:00 UTC 1970\nUp= "), "{page}");
    assert!(page.contains("\nBinary version= 1.37.2\nEmulation version= 1.37\n"), "{page}");
    assert!(page.ends_with("\nPaths= /configz /debug /flagz /healthz\n"), "{page}");
    for path in ["/", "/livez", "/metrics/none", "/healthz/none", "/spec/", "/containerLogs/"] {
        assert_eq!(rig.ask(get(path)).await, (404, "404 page not found\n".to_owned()), "{path}");
    }
    let (status, headers, body) = rig.ask_fully(Ask { method: Method::POST, ..get("/pods") }).await;
    assert_eq!((status, headers["allow"].as_str(), body.as_str()), (405, "GET", "Method Not Allowed"));
}

#[tokio::test]
async fn logs_of_the_node_are_a_tree() {
    let rig = open().await;
    let (status, body) = rig.ask(get("/logs/")).await;
    assert!(status == 200 && body.contains("<a href=\"./pods/\">pods/</a>"), "{body}");
    let (status, headers, _) = rig.ask_fully(get("/logs/pods")).await;
    assert_eq!((status, headers["location"].as_str()), (301, "pods/"));
    assert_eq!(rig.ask(get("/logs/none")).await.0, 404);
    assert_eq!(rig.ask(get("/logs/../etc/passwd")).await.0, 404);
}

#[tokio::test]
async fn lines_of_services_are_asked_for_by_a_query() {
    let rig = open().await;
    assert_eq!(
        rig.ask(get("/logs/?query=kubelet&query=containerd")).await,
        (200, "kubelet+containerd".to_owned())
    );
    let post = |path| Ask { method: Method::POST, ..get(path) };
    assert_eq!(rig.ask(post("/logs/?query=kubelet")).await, (200, "kubelet".to_owned()));
    assert_eq!(rig.ask(post("/logs/")).await, (405, "Method Not Allowed".to_owned()));
    assert_eq!(rig.ask(get("/logs/?query=%20")).await.0, 400);
    assert_eq!(rig.ask(get("/logs/pods?query=kubelet")).await.0, 406);
    assert_eq!(rig.ask(get("/logs/?query=/none.log")).await.0, 406);
    assert_eq!(rig.ask(get("/logs/?query=/pods")).await.0, 200);
    let switches = Switches { log_queries: false, ..Setup::default().switches };
    let rig = Rig::start(Setup { access_ttls: None, switches, ..Setup::default() }).await;
    assert!(rig.ask(get("/logs/?query=kubelet")).await.1.contains("pods/"), "the query is not looked at");
}

#[tokio::test]
async fn checkpoints_profiles_and_allocated_pods() {
    let rig = open().await;
    let post = |path| Ask { method: Method::POST, ..get(path) };
    let (status, body) = rig.ask(post("/checkpoint/ns/pod/c?timeout=7")).await;
    assert_eq!((status, body.as_str()), (200, "{\"items\":[\"/checkpoints/7.tar\"]}"));
    assert_eq!(rig.ask(post("/checkpoint/ns/none/c")).await, (404, "pod does not exist".to_owned()));
    assert_eq!(rig.ask(post("/checkpoint/ns/pod/x")).await, (404, "container x does not exist".to_owned()));
    assert_eq!(rig.ask(post("/checkpoint/ns/pod/c?timeout=soon")).await.0, 404);
    let failed = "checkpointing of ns/pod/stuck failed (container stuck not found)".to_owned();
    assert_eq!(rig.ask(post("/checkpoint/ns/pod/stuck")).await, (500, failed));
    assert_eq!(rig.ask(get("/checkpoint/ns/pod/c")).await.0, 405);

    let (status, page) = rig.ask(get("/debug/pprof/heap")).await;
    assert!(status == 501 && page.contains("hint: "), "{status} {page}");
    assert_eq!(rig.ask(get("/debug/pprof/")).await.0, 501);
    assert!(rig.ask(get("/debug/pprof/cmdline")).await.1.starts_with('/'));
    assert_eq!(rig.ask(get("/debug/pprof/none")).await.0, 404);

    let (status, body) = rig.ask(get("/allocatedPods")).await;
    assert!(status == 200 && body.contains("\"name\":\"pod\"") && body.contains("PodList"), "{body}");
    assert_eq!(rig.ask(get("/allocatedPods/ns/none")).await, (404, "pod not found".to_owned()));
    let switches = Switches { checkpoints: false, allocated_pods: false, ..Setup::default().switches };
    let rig = Rig::start(Setup { access_ttls: None, switches, ..Setup::default() }).await;
    for ask in [post("/checkpoint/ns/pod/c"), get("/allocatedPods")] {
        assert_eq!(rig.ask(ask).await.0, 404);
    }
}

#[tokio::test]
async fn the_verbosity_can_be_changed() {
    let rig = open().await;
    let put = |body| Ask { method: Method::PUT, body, ..get("/debug/flags/v") };
    assert_eq!(rig.ask(put("4")).await, (200, "successfully set klog.logging.verbosity to 4".to_owned()));
    assert_eq!(*rig.verbosity.lock(), 4);
    assert_eq!(rig.ask(put("loud")).await.0, 400);
    assert_eq!(rig.ask(put(&"9".repeat(5_000))).await.0, 400);
    assert_eq!(rig.ask(get("/debug/flags/v")).await, (406, "unsupported http method".to_owned()));
    assert_eq!(*rig.verbosity.lock(), 4);
}

#[tokio::test]
async fn logs_of_containers_come_with_upstreams_refusals() {
    let rig = open().await;
    let ask = async |path: &str| rig.ask(get(path)).await;
    assert_eq!(ask("/containerLogs/ns/pod/c").await, (200, "one\ntwo\n".to_owned()));
    assert_eq!(ask("/containerLogs/ns/x/c").await, (404, "pod \"x\" does not exist".to_owned()));
    let none = "container \"x\" not found in pod \"pod\"".to_owned();
    assert_eq!(ask("/containerLogs/ns/pod/x").await, (404, none));
    assert_eq!(ask("/containerLogs/ns/pod/waits").await, (400, "it waits".to_owned()));
    let undecodable = "{\"message\": \"Unable to decode query.\"}".to_owned();
    assert_eq!(ask("/containerLogs/ns/pod/c?tailLines=x").await, (400, undecodable));
    let invalid = "{\"message\": \"Invalid request.\"}".to_owned();
    assert_eq!(ask("/containerLogs/ns/pod/c?tailLines=-1").await, (422, invalid));
}

#[tokio::test]
async fn followed_lines_come_at_once() {
    let rig = open().await;
    let mut stream = rig.connect(None, &["http/1.1"]).await;
    let request = "GET /containerLogs/ns/pod/c?follow=true HTTP/1.1\r\nhost: x\r\nauthorization: Bearer t-admin\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut seen = Vec::new();
    let arrived = async {
        while !String::from_utf8_lossy(&seen).contains("two") {
            let mut piece = [0; 1024];
            let read = stream.read(&mut piece).await.unwrap();
            assert!(read > 0, "the answer ended");
            seen.extend_from_slice(&piece[..read]);
        }
    };
    timeout(SOON, arrived).await.expect("the lines, while the log is followed");
}
