use parking_lot::Mutex;
use tokio::sync::mpsc;

use super::*;
use crate::stub::{Reply, Stub, StubOptions, client_pair, ok, until};

fn get(path: &str) -> Request<Bytes> {
    let mut request = Request::new(Bytes::new());
    *request.uri_mut() = path.parse().unwrap();
    request
}

/// Answers `/watch` with a stream that stays open.
fn watches() -> impl Fn(&crate::stub::Seen) -> Reply + Send + Sync {
    let open = Mutex::new(Vec::new());
    move |seen| {
        if seen.uri.contains("watch") {
            let (sender, receiver) = mpsc::unbounded_channel();
            open.lock().push(sender);
            Reply::Stream(receiver)
        } else {
            ok(serde_json::json!({}))
        }
    }
}

#[tokio::test]
async fn calls_share_one_connection_even_when_they_begin_together() {
    let stub = Stub::start(watches()).await;
    let transport = stub.transport();
    let calls: Vec<_> = (0..40)
        .map(|i| {
            let transport = Arc::clone(&transport);
            tokio::spawn(async move {
                transport.send(Purpose::Call, &get(&format!("/{i}?a=b"))).await.unwrap().status()
            })
        })
        .collect();
    for call in calls {
        assert_eq!(call.await.unwrap(), 200);
    }
    assert_eq!(stub.connections(), 1);
    let seen = stub.seen.lock();
    assert_eq!(seen[0].headers["user-agent"], "test/1");
    assert!(seen.iter().any(|s| s.uri == "/7?a=b"));
}

#[tokio::test]
async fn watches_leave_room_for_calls_and_overflow_to_another_connection() {
    let stub = Stub::with(StubOptions { streams: 8, ..StubOptions::default() }, watches()).await;
    let transport = stub.transport();
    // The first answer tells how many streams the server allows.
    transport.send(Purpose::Call, &get("/first")).await.unwrap().into_body().collect(100).await.unwrap();
    transport.send(Purpose::Call, &get("/second")).await.unwrap().into_body().collect(100).await.unwrap();
    let mut held = Vec::new();
    for i in 0..6 {
        held.push(transport.send(Purpose::Watch, &get(&format!("/watch/{i}"))).await.unwrap());
    }
    assert_eq!(stub.connections(), 1);
    held.push(transport.send(Purpose::Watch, &get("/watch/more")).await.unwrap());
    assert_eq!(stub.connections(), 2);
    transport.send(Purpose::Call, &get("/call")).await.unwrap();
    assert_eq!(stub.connections(), 2);
    // A place that is given back is used again.
    held.remove(0);
    transport.send(Purpose::Watch, &get("/watch/again")).await.unwrap();
    assert_eq!(stub.connections(), 2);
}

#[tokio::test]
async fn a_reset_ends_streams_and_the_next_call_dials_anew() {
    let stub = Stub::start(watches()).await;
    let transport = stub.transport();
    let mut body = transport.send(Purpose::Watch, &get("/watch")).await.unwrap().into_body();
    transport.reset();
    let ended = tokio::time::timeout(Duration::from_secs(10), body.chunk()).await.unwrap();
    assert!(matches!(ended, None | Some(Err(_))));
    transport.send(Purpose::Call, &get("/call")).await.unwrap();
    assert_eq!(stub.connections(), 2);
}

#[tokio::test]
async fn a_server_without_http2_gets_a_connection_per_request() {
    let stub = Stub::with(StubOptions { alpn: b"http/1.1", ..StubOptions::default() }, watches()).await;
    let transport = stub.transport();
    let _held = transport.send(Purpose::Watch, &get("/watch")).await.unwrap();
    let response = transport.send(Purpose::Call, &get("/a?b=c")).await.unwrap();
    assert_eq!(response.into_body().collect(10).await.unwrap(), b"{}");
    assert_eq!(stub.connections(), 2);
    let seen = stub.seen.lock();
    assert_eq!(seen[1].uri, "/a?b=c");
    assert_eq!(seen[1].headers["host"], stub.address.to_string());
}

#[tokio::test]
async fn new_certificate_files_make_new_connections_once_they_fit_together() {
    let stub = Stub::start(watches()).await;
    let transport = stub.transport();
    assert!(!transport.reset_if_rotated(), "nothing was read yet");
    transport.send(Purpose::Call, &get("/a")).await.unwrap();
    assert!(!transport.reset_if_rotated());
    let key = stub.dir.path().join("client.key");
    let before = std::fs::read(&key).unwrap();
    client_pair(stub.dir.path());
    let after = std::fs::read(&key).unwrap();
    std::fs::write(&key, before).unwrap();
    assert!(!transport.reset_if_rotated(), "new certificate, old key");
    transport.reset();
    transport.send(Purpose::Call, &get("/b")).await.expect("the credentials read before still serve");
    std::fs::write(&key, after).unwrap();
    assert!(transport.reset_if_rotated());
    transport.send(Purpose::Call, &get("/c")).await.unwrap();
    assert!(!transport.reset_if_rotated());
    assert_eq!(stub.connections(), 3);
}

#[tokio::test]
async fn errors_say_what_is_wrong() {
    let stub = Stub::start(watches()).await;
    let other = Stub::start(watches()).await;
    // Another CA than the server's.
    std::fs::copy(other.dir.path().join("ca.crt"), stub.dir.path().join("ca.crt")).unwrap();
    let error = stub.transport().send(Purpose::Call, &get("/")).await.err().unwrap().to_string();
    assert!(error.contains("TLS") && error.contains("certificate"), "{error}");
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    stub.kubeconfig(&format!("https://{closed}"), "{}");
    let error = stub.transport().send(Purpose::Call, &get("/")).await.err().unwrap().to_string();
    assert!(error.contains(&closed.to_string()) && error.contains("refused"), "{error}");
}

#[tokio::test]
async fn a_token_file_is_read_again() {
    let stub = Stub::start(watches()).await;
    let token = stub.dir.path().join("token");
    std::fs::write(&token, "one\n").unwrap();
    stub.kubeconfig(&format!("https://{}", stub.address), "{tokenFile: token}");
    let transport = stub.transport();
    transport.send(Purpose::Call, &get("/a")).await.unwrap();
    std::fs::write(&token, "two\n").unwrap();
    transport.send(Purpose::Call, &get("/b")).await.unwrap();
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(61)).await;
    tokio::time::resume();
    transport.send(Purpose::Call, &get("/c")).await.unwrap();
    std::fs::remove_file(&token).unwrap();
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(61)).await;
    tokio::time::resume();
    transport.send(Purpose::Call, &get("/d")).await.unwrap();
    let seen = stub.seen.lock();
    let tokens: Vec<_> = seen.iter().map(|s| s.headers["authorization"].to_str().unwrap()).collect();
    assert_eq!(tokens, ["Bearer one", "Bearer one", "Bearer two", "Bearer two"]);
}

#[tokio::test]
async fn a_dropped_transport_leaves_no_connection() {
    let stub = Stub::start(watches()).await;
    let transport = stub.transport();
    let mut body = transport.send(Purpose::Watch, &get("/watch")).await.unwrap().into_body();
    drop(transport);
    let ended = tokio::time::timeout(Duration::from_secs(10), body.chunk()).await.unwrap();
    assert!(matches!(ended, None | Some(Err(_))));
    until("the stub saw one connection", || stub.connections() == 1).await;
}
