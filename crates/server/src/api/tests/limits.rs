//! Clients that are slow, silent or many, and files that change.

use std::{net::IpAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::{
    Method, Request, StatusCode,
    client::conn::http2,
    header::{AUTHORIZATION, HeaderMap, HeaderValue},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use seams::reviews::User;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream},
    net::TcpStream,
    task::JoinHandle,
    time::{Instant, timeout},
};

use super::{
    super::{
        authorization::STRANGERS_OF_HOST,
        connection::{Connection, Places},
        listener::{Peer, Spoken, converse},
        reviewing::WAITING_OF_HOST,
    },
    rig::{Ask, Authority, Rig, SOON, Setup, get, write_pair},
};
use crate::catalog::routes::ROUTES;

/// A connection without a socket, where so many bytes fit in between: the client's end, and whether it ended well.
fn conversation(
    rig: &Rig,
    spoken: Spoken,
    connection: &Arc<Connection>,
    room: usize,
) -> (DuplexStream, JoinHandle<bool>) {
    let (client, server) = tokio::io::duplex(room);
    let peer = Peer { address: rig.address, certificates: Arc::default() };
    let (api, connection, stop) = (Arc::clone(&rig.api), Arc::clone(connection), rig.stop.clone());
    let serving =
        async move { Box::pin(converse(server, spoken, peer, api, connection, stop)).await.is_ok() };
    (client, tokio::spawn(serving))
}

#[tokio::test]
async fn silent_clients_do_not_hurt_others() {
    let rig = Rig::start(Setup { access_ttls: None, ..Setup::default() }).await;
    let mut silent = Vec::new();
    for _ in 0..60 {
        silent.push(TcpStream::connect(rig.address).await.unwrap());
    }
    for _ in 0..20 {
        // Half a request over TLS.
        let mut stream = rig.connect(None, &["http/1.1"]).await;
        stream.write_all(b"GET /pods HTTP/1.1\r\nhost: x\r\n").await.unwrap();
        stream.flush().await.unwrap();
        assert_eq!(rig.ask(get("/pods")).await.0, 200);
    }
}

#[tokio::test]
async fn fifty_silent_clients_do_not_keep_others_from_health() {
    let rig = Rig::start(Setup { access_ttls: None, ..Setup::default() }).await;
    let (mut silent, mut shaken) = (Vec::new(), Vec::new());
    for _ in 0..50 {
        silent.push(TcpStream::connect(rig.address).await.unwrap());
        shaken.push(rig.connect(None, &["h2", "http/1.1"]).await);
    }
    for _ in 0..20 {
        let begun = tokio::time::Instant::now();
        assert_eq!(rig.ask(get("/healthz")).await, (200, "ok".to_owned()));
        assert!(begun.elapsed() < std::time::Duration::from_secs(2), "{:?}", begun.elapsed());
    }
    // They are still there: nobody was helped by their end.
    for stream in &mut silent {
        let mut byte = [0];
        let nothing = timeout(std::time::Duration::from_millis(1), stream.read(&mut byte)).await;
        assert!(nothing.is_err(), "a silent connection was closed");
    }
    drop(shaken);
}

#[tokio::test]
async fn the_oldest_silent_clients_of_a_host_make_room() {
    let rig = Rig::start(Setup { access_ttls: None, ..Setup::default() }).await;
    let mut silent = Vec::new();
    for _ in 0..400 {
        silent.push(TcpStream::connect(rig.address).await.unwrap());
    }
    let settled = async {
        loop {
            assert_eq!(rig.ask(get("/pods")).await.0, 200, "who asks has a place");
            let mut held = Vec::new();
            for (at, stream) in silent.iter_mut().enumerate() {
                // A connection that was sent away shows as an end; one that has its place, as nothing.
                if timeout(std::time::Duration::from_millis(2), stream.read(&mut [0])).await.is_err() {
                    held.push(at);
                }
            }
            if held.len() <= 128 {
                return held;
            }
        }
    };
    let held = timeout(SOON, settled).await.expect("one host has no more than its places");
    assert!(held.len() >= 64 && held[0] >= 200, "the newest stay: {held:?}");
    assert_eq!(rig.ask(get("/pods")).await.0, 200);
}

#[tokio::test]
async fn a_burst_of_good_clients_of_one_host_gets_in() {
    let rig = Rig::start(Setup { access_ttls: None, plain: true, ..Setup::default() }).await;
    let mut streams = Vec::new();
    for _ in 0..300 {
        streams.push(TcpStream::connect(rig.address).await.unwrap());
    }
    for stream in &mut streams {
        let request = b"GET /healthz HTTP/1.1\r\nhost: x\r\nauthorization: Bearer t-admin\r\n\r\n";
        stream.write_all(request).await.unwrap();
        let mut head = [0; 12];
        let read = timeout(SOON, stream.read_exact(&mut head)).await.expect("an answer");
        assert!(read.is_ok() && head.starts_with(b"HTTP/1.1 200"), "{read:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_of_http2_that_is_gone_without_a_word_is_noticed() {
    let rig = Rig::start(Setup { access_ttls: None, plain: true, ..Setup::default() }).await;
    let connection = Places::default().take(rig.address.ip()).unwrap();
    // A known client, between two requests.
    connection.proven();
    let _request = connection.busy();
    let (mut client, serving) = conversation(&rig, Spoken::Both, &connection, 1 << 16);
    // The preface and empty settings; then nothing, not even answers to pings.
    client.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    let is_well = timeout(Duration::from_secs(60), serving).await.expect("an end");
    assert!(!is_well.unwrap());
}

/// A node whose page of pods has megabytes, for everybody.
async fn large() -> Rig {
    let rig = Rig::start(Setup { read_only: true, ..Setup::default() }).await;
    *rig.node.pods.lock() = Some(40_000);
    rig
}

const PODS: &[u8] = b"GET /pods HTTP/1.1\r\nhost: x\r\n\r\n";

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_its_answer_loses_its_connection() {
    let rig = large().await;
    let connection = Places::default().take(rig.address.ip()).unwrap();
    let (mut client, serving) = conversation(&rig, Spoken::Http1, &connection, 1 << 16);
    client.write_all(PODS).await.unwrap();
    let begun = Instant::now();
    timeout(Duration::from_secs(600), serving).await.expect("an end").unwrap();
    assert!((60..=75).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
    // Also where all of the answer is in buffers.
    let connection = Places::default().take(rig.address.ip()).unwrap();
    let (mut client, serving) = conversation(&rig, Spoken::Http1, &connection, 64);
    client.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    timeout(Duration::from_secs(120), serving).await.expect("an end").unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_slowly_gets_all_of_its_answer() {
    let rig = large().await;
    let connection = Places::default().take(rig.address.ip()).unwrap();
    let (mut client, serving) = conversation(&rig, Spoken::Http1, &connection, 1 << 16);
    client.write_all(PODS).await.unwrap();
    let begun = Instant::now();
    let mut piece = vec![0; 256 << 10];
    client.read_exact(&mut piece).await.unwrap();
    let head = String::from_utf8_lossy(&piece).to_lowercase();
    let (head, _) = head.split_once("\r\n\r\n").unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    let whole = head.len() + 4 + length.parse::<usize>().unwrap();
    let mut read = piece.len();
    while read < whole {
        tokio::time::sleep(Duration::from_secs(45)).await;
        let next = piece.len().min(whole - read);
        client.read_exact(&mut piece[..next]).await.expect("the connection lives");
        read += next;
    }
    assert!(begun.elapsed() > Duration::from_secs(240), "{whole} bytes");
    assert!(!serving.is_finished());
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_left_lying_goes_and_others_on_its_connection_stay() {
    let rig = Rig::start(Setup { access_ttls: None, plain: true, ..Setup::default() }).await;
    *rig.node.pods.lock() = Some(40_000);
    let connection = Places::default().take(rig.address.ip()).unwrap();
    let (client, serving) = conversation(&rig, Spoken::Both, &connection, 1 << 16);
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder.initial_stream_window_size(1 << 15).initial_connection_window_size(1 << 20);
    let (sender, http) = builder.handshake::<_, Empty<Bytes>>(TokioIo::new(client)).await.unwrap();
    tokio::spawn(http);
    let ask = async |path: &str| {
        let request = Request::get(format!("http://x{path}")).header(AUTHORIZATION, "Bearer t-admin");
        let answer = sender.clone().send_request(request.body(Empty::new()).unwrap()).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        answer.into_body()
    };
    let mut followed = ask("/containerLogs/ns/pod/c?follow=true").await;
    assert!(followed.frame().await.is_some_and(|frame| frame.is_ok()));
    let untaken = ask("/pods").await;
    tokio::time::sleep(Duration::from_secs(80)).await;
    assert!(untaken.collect().await.is_err(), "it was let go");
    // Nothing new of the log either, for a long time, which is nobody's fault.
    let silent = timeout(Duration::from_secs(600), followed.frame()).await;
    assert!(silent.is_err(), "it is still followed");
    assert_eq!(ask("/healthz").await.collect().await.unwrap().to_bytes(), "ok");
    assert!(!serving.is_finished());
}

#[tokio::test]
async fn http2_is_not_spoken_on_the_plain_port() {
    let rig = Rig::start(Setup { read_only: true, ..Setup::default() }).await;
    let mut stream = TcpStream::connect(rig.address).await.unwrap();
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    stream.write_all(preface).await.unwrap();
    let mut answer = Vec::new();
    // A connection that is closed with unread bytes may end in a reset.
    let _ = timeout(SOON, stream.read_to_end(&mut answer)).await.expect("an end");
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 4"), "{answer:?}");
}

/// Whether a request has to wait until it is known who asks.
async fn waits_to_be_known(rig: &Rig, headers: &HeaderMap, peer: &Peer) -> bool {
    let begun = Instant::now();
    let user = rig.api.authenticator.user(headers, peer).await;
    assert!(user.is_err(), "nobody said who it is");
    !begun.elapsed().is_zero()
}

/// Whether a request has to wait until it is known what its user may do.
async fn waits_to_be_allowed(rig: &Rig, user: &Arc<User>, stranger: Option<IpAddr>) -> bool {
    let route = ROUTES.iter().find(|route| route.path == "/pods").unwrap();
    let begun = Instant::now();
    let checked = rig.api.authorizer.check(user, &Method::GET, route, stranger).await;
    assert!(checked.is_err(), "nobody said that it may");
    !begun.elapsed().is_zero()
}

#[tokio::test(start_paused = true)]
async fn few_requests_of_a_stranger_wait_for_a_review_and_the_rest_are_refused_at_once() {
    let rig = Rig::start(Setup::default()).await;
    *rig.judge.silent.lock() = true;
    let count = |waited: Vec<bool>| waited.into_iter().filter(|waited| *waited).count();
    let peer = Peer { address: rig.address, certificates: Arc::default() };
    let mut headers = HeaderMap::new();
    headers.insert(AUTHORIZATION, HeaderValue::from_static("Bearer t-admin"));
    let asks = (0..1000).map(|_| waits_to_be_known(&rig, &headers, &peer));
    assert_eq!(count(futures::future::join_all(asks).await), WAITING_OF_HOST);

    // Who is known by a certificate may still not be allowed anything.
    let eve = Arc::new(User { name: "eve".to_owned(), ..User::default() });
    let stranger = |at: u32| at.is_multiple_of(2).then(|| peer.address.ip());
    let asks = (0..1000).map(|at| waits_to_be_allowed(&rig, &eve, stranger(at)));
    let waited = count(futures::future::join_all(asks).await);
    assert_eq!(waited, STRANGERS_OF_HOST + 500, "who has proven something is not limited");
}

#[tokio::test]
async fn heads_have_a_limit() {
    let rig = Rig::start(Setup { access_ttls: None, ..Setup::default() }).await;
    let mut stream = rig.connect(None, &["http/1.1"]).await;
    let mut head = b"GET /pods HTTP/1.1\r\nhost: x\r\nx: ".to_vec();
    head.resize(1 << 20, b'x');
    // The server may hang up before it has all of it.
    let _ = stream.write_all(&head).await;
    let mut answer = Vec::new();
    let _ = timeout(SOON, stream.read_to_end(&mut answer)).await.expect("an end");
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 431"), "{}", String::from_utf8_lossy(&answer));
}

#[tokio::test]
async fn lines_have_a_limit() {
    let rig = Rig::start(Setup { access_ttls: None, ..Setup::default() }).await;
    let mut stream = rig.connect(None, &["http/1.1"]).await;
    let line = format!("GET /pods?{} HTTP/1.1\r\nhost: x\r\n\r\n", "x".repeat(70 << 10));
    stream.write_all(line.as_bytes()).await.unwrap();
    let mut head = [0; 12];
    timeout(SOON, stream.read_exact(&mut head)).await.expect("an answer").unwrap();
    assert_eq!(&head, b"HTTP/1.1 414");
}

#[tokio::test]
async fn a_new_pair_and_a_new_client_ca_are_taken_up() {
    let rig = Rig::start(Setup::default()).await;
    rig.judge.allow("late", "*", "*");
    let serving = async |rig: &Rig| {
        let stream = rig.connect(None, &["http/1.1"]).await;
        stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
    };
    let before = serving(&rig).await;
    write_pair(rig.dir.path(), &rig.authority.issue("node", "nodes", &["localhost"]));
    let changed = async {
        while serving(&rig).await == before {
            tokio::task::yield_now().await;
        }
    };
    timeout(SOON, changed).await.expect("the new certificate is served");

    let other = Authority::new("other");
    let late = other.issue("late", "x", &[]);
    let ask = Ask { own: Some(&late), token: None, ..get("/pods") };
    assert_eq!(rig.ask(ask.clone()).await.0, 401);
    std::fs::write(rig.dir.path().join("ca.crt"), format!("{}{}", rig.authority.pem, other.pem)).unwrap();
    let trusted = async {
        while rig.ask(ask.clone()).await.0 != 200 {
            tokio::task::yield_now().await;
        }
    };
    timeout(SOON, trusted).await.expect("the new client CA is trusted");

    // What cannot be used changes nothing.
    std::fs::write(rig.dir.path().join("tls.key"), "no key").unwrap();
    std::fs::write(rig.dir.path().join("ca.crt"), "no certificate").unwrap();
    let start = tokio::time::Instant::now();
    while start.elapsed() < std::time::Duration::from_millis(1_500) {
        assert_eq!(rig.ask(ask.clone()).await.0, 200);
    }
}
