use parking_lot::Mutex;
use tokio::sync::mpsc;

use super::*;
use crate::stub::{Reply, Seen, Stub, StubOptions, client_pair, ok, status, until};

fn get(path: &str) -> Request<Bytes> {
    let mut request = Request::new(Bytes::new());
    *request.uri_mut() = path.parse().unwrap();
    request
}

/// Answers `/watch` with a stream that stays open.
fn watches() -> impl Fn(&Seen) -> Reply + Send + Sync {
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
    let revoked = Arc::new(Mutex::new("Bearer none".to_owned()));
    let refused = Arc::clone(&revoked);
    let stub = Stub::start(move |seen: &Seen| {
        let accepted = seen.headers["authorization"].to_str().unwrap() != refused.lock().as_str();
        if accepted { ok(serde_json::json!({})) } else { status(401, "Unauthorized", "Unauthorized") }
    })
    .await;
    let file = stub.dir.path().join("token");
    let write = |token: &str| std::fs::write(&file, token).unwrap();
    write(" \n");
    stub.kubeconfig(&format!("https://{}", stub.address), "{tokenFile: token}");
    let transport = stub.transport();
    let call = async || {
        let answer = transport.send(Purpose::Call, &get("/")).await;
        answer.map(|response| response.status().as_u16()).map_err(|error| error.to_string())
    };
    let later = async |seconds: u64| {
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(seconds)).await;
        tokio::time::resume();
    };
    let error = call().await.unwrap_err();
    assert!(error.ends_with("/token is empty"), "there is no former one: {error}");
    write("one\n");
    call().await.unwrap();
    write("two\n");
    call().await.unwrap();
    later(61).await;
    call().await.unwrap();
    // Without a token the former one serves, and the file is looked at again soon.
    std::fs::remove_file(&file).unwrap();
    later(61).await;
    call().await.unwrap();
    write("\n");
    later(1).await;
    call().await.unwrap();
    write("three\n");
    later(1).await;
    call().await.unwrap();
    // A token that is refused is not used for the rest of the minute.
    write("four\n");
    later(1).await;
    assert_eq!(call().await.unwrap(), 200);
    *revoked.lock() = "Bearer three".to_owned();
    assert_eq!(call().await.unwrap(), 401);
    assert_eq!(call().await.unwrap(), 200);
    let seen = stub.seen.lock();
    let tokens: Vec<_> = seen.iter().map(|s| &s.headers["authorization"].to_str().unwrap()[7..]).collect();
    assert_eq!(tokens, ["one", "one", "two", "two", "two", "three", "three", "three", "four"]);
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
