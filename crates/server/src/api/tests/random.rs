//! Requests at random. Each gets an answer, and nobody else waits for it.
//!
//! `KUBELET_HTTP_CASES` is their number; a million take some minutes.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Method, Request, client::conn::http1::SendRequest, header::HeaderValue};
use hyper_util::rt::TokioIo;
use proptest::{
    prelude::*,
    strategy::ValueTree as _,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use super::rig::{Rig, SOON, Setup};
use crate::catalog::routes::ROUTES;

/// In an ordinary run.
const CASES: usize = 4_000;
/// Clients at once.
const CLIENTS: usize = 8;

#[derive(Clone, Debug)]
struct Ask {
    method: String,
    path: String,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

/// A path of the table with its variables filled in somehow, or any path.
fn path() -> impl Strategy<Value = String> {
    let segment = prop_oneof![
        4 => Just("ns".to_owned()),
        4 => Just("pod".to_owned()),
        3 => Just("c".to_owned()),
        1 => "[!-~&&[^ #?]]{0,12}",
        1 => "(%[0-9a-fA-F]{2}){1,6}",
        1 => Just("..".to_owned()),
        1 => Just(String::new()),
    ];
    let of_table = (0..ROUTES.len(), proptest::collection::vec(segment, 6)).prop_map(|(row, fills)| {
        let mut fills = fills.into_iter();
        let parts = ROUTES[row].path.split('/').map(|part| {
            if part.starts_with('{') { fills.next().unwrap_or_default() } else { part.to_owned() }
        });
        parts.collect::<Vec<_>>().join("/")
    });
    prop_oneof![8 => of_table, 1 => "(/[!-~&&[^ #?]]{0,10}){1,6}", 1 => "/[a-z]{1,8}/{0,3}"]
}

fn query() -> impl Strategy<Value = String> {
    let key = prop_oneof![
        Just("command"),
        Just("cmd"),
        Just("input"),
        Just("output"),
        Just("tty"),
        Just("port"),
        Just("follow"),
        Just("tailLines"),
        Just("sinceTime"),
        Just("sinceSeconds"),
        Just("limitBytes"),
        Just("query"),
        Just("pattern"),
        Just("boot"),
        Just("timeout"),
        Just("verbose"),
        Just("exclude"),
    ];
    let value = prop_oneof![
        "[ -~&&[^ #]]{0,16}",
        Just("1".to_owned()),
        Just("-1".to_owned()),
        "[0-9]{1,25}",
        "(%[0-9a-f]{2}){0,5}"
    ];
    let pairs = proptest::collection::vec((key, value), 0..5);
    pairs.prop_map(|pairs| {
        pairs.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join("&")
    })
}

fn ask() -> impl Strategy<Value = Ask> {
    let method = prop_oneof![
        6 => Just("GET".to_owned()), 4 => Just("POST".to_owned()), 2 => Just("PUT".to_owned()),
        1 => Just("DELETE".to_owned()), 1 => Just("HEAD".to_owned()), 1 => Just("OPTIONS".to_owned()), 1 => "[A-Z]{1,12}",
    ];
    let header = prop_oneof![
        6 => Just(("authorization", "Bearer t-admin".to_owned())),
        1 => "[ -~]{0,40}".prop_map(|text| ("authorization", text)),
        2 => "(websocket|SPDY/3.1|h2c|[a-z]{0,8})".prop_map(|text| ("upgrade", text)),
        1 => "(Upgrade|keep-alive|[a-z]{0,8})".prop_map(|text| ("connection", text)),
        2 => "(v[3-6].channel.k8s.io|SPDY/3.1\\+[a-z.8]{0,20}|[ -~]{0,20})".prop_map(|text| ("sec-websocket-protocol", text)),
        1 => "(dGhlIHNhbXBsZSBub25jZQ==|[ -~]{0,30})".prop_map(|text| ("sec-websocket-key", text)),
        1 => Just(("sec-websocket-version", "13".to_owned())),
        1 => "[ -~]{0,20}".prop_map(|text| ("accept-encoding", text)),
        1 => "[ -~]{0,20}".prop_map(|text| ("x-stream-protocol-version", text)),
    ];
    let headers = proptest::collection::vec(header, 0..6);
    let body = prop_oneof![3 => Just(Vec::new()), 1 => proptest::collection::vec(any::<u8>(), 0..3_000)];
    (method, path(), query(), headers, body).prop_map(|(method, path, query, headers, body)| {
        let path = if query.is_empty() { path } else { format!("{path}?{query}") };
        Ask { method, path, headers, body }
    })
}

async fn dial(rig: &Rig) -> SendRequest<Full<Bytes>> {
    let stream = TcpStream::connect(rig.address).await.unwrap();
    let (sender, http) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(http);
    sender
}

/// `None` for what no client can send.
fn request(ask: &Ask) -> Option<Request<Full<Bytes>>> {
    let mut request = Request::builder()
        .method(Method::from_bytes(ask.method.as_bytes()).ok()?)
        .uri(ask.path.as_str())
        .header("host", "localhost");
    for (name, value) in &ask.headers {
        request = request.header(*name, HeaderValue::from_str(value.trim()).ok()?);
    }
    request.body(Full::new(Bytes::from(ask.body.clone()))).ok()
}

/// The status, once all of the answer is there or enough of it; `None` for what no client can send.
async fn answered(rig: &Rig, sender: &mut SendRequest<Full<Bytes>>, ask: &Ask) -> Option<u16> {
    let request = request(ask)?;
    if sender.ready().await.is_err() {
        *sender = dial(rig).await;
    }
    let response = match sender.send_request(request.clone()).await {
        Ok(response) => response,
        // The server may close behind an answer whose request had a body that nobody wanted, which races with this one.
        Err(_) => {
            *sender = dial(rig).await;
            sender.send_request(request).await.unwrap_or_else(|error| panic!("{ask:?}: {error}"))
        }
    };
    let (head, mut body) = response.into_parts();
    // A log that is followed has no end.
    while let Ok(Some(Ok(frame))) = timeout(Duration::from_millis(20), body.frame()).await {
        drop(frame);
    }
    if !hyper::body::Body::is_end_stream(&body) {
        *sender = dial(rig).await;
    }
    Some(head.status.as_u16())
}

fn runner(seed: u8) -> TestRunner {
    TestRunner::new_with_rng(Config::default(), TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_request_is_answered_and_keeps_nobody_waiting() {
    let cases = std::env::var("KUBELET_HTTP_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(CASES);
    let rig = Rig::start(Setup { access_ttls: None, plain: true, ..Setup::default() }).await;
    // Where streams lead, connections are closed at once.
    let runtime = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    *rig.node.url.lock() = format!("http://{}/exec/token", runtime.local_addr().unwrap());
    let hangs_up = tokio::spawn(async move { while runtime.accept().await.is_ok() {} });
    let rig = &rig;
    let client = |number: usize| async move {
        let mut runner = runner(u8::try_from(number).unwrap());
        let asks = ask();
        let mut sender = dial(rig).await;
        let mut seen = std::collections::BTreeMap::<u16, usize>::new();
        let mut answers = 0;
        while answers < cases / CLIENTS {
            let ask = asks.new_tree(&mut runner).unwrap().current();
            let status = timeout(SOON, answered(rig, &mut sender, &ask)).await;
            if let Some(status) = status.unwrap_or_else(|_| panic!("no answer to {ask:?}")) {
                *seen.entry(status).or_default() += 1;
                answers += 1;
            }
        }
        seen
    };
    let all = futures::future::join_all((0..CLIENTS).map(client));
    let mut all = std::pin::pin!(all);
    let seen = loop {
        tokio::select! {
            seen = all.as_mut() => break seen,
            () = tokio::time::sleep(Duration::from_millis(100)) => {
                let mut other = dial(rig).await;
                let ask = Ask { method: "GET".into(), path: "/healthz".into(), headers: vec![("authorization", "Bearer t-admin".into())], body: Vec::new() };
                let answer = timeout(Duration::from_secs(5), answered(rig, &mut other, &ask)).await;
                assert_eq!(answer.expect("an answer for somebody else"), Some(200));
            }
        }
    };
    let mut sums = std::collections::BTreeMap::<u16, usize>::new();
    for (status, count) in seen.into_iter().flatten() {
        *sums.entry(status).or_default() += count;
    }
    println!("{sums:?}");
    assert!([200, 401, 404, 405].iter().all(|status| sums.contains_key(status)), "{sums:?}");
    hangs_up.abort();
}

#[tokio::test]
async fn bytes_that_are_no_request_end_their_own_connection() {
    let rig = Rig::start(Setup { access_ttls: None, plain: true, ..Setup::default() }).await;
    let mut runner = runner(99);
    let bytes = prop_oneof![
        proptest::collection::vec(any::<u8>(), 1..400),
        "(GET|POST|PRI) [ -~]{0,80}( HTTP/[0-9.]{0,3})?(\r\n[ -~]{0,40}){0,5}\r\n\r\n".prop_map(String::into_bytes),
        "POST /debug/flags/v HTTP/1.1\r\nhost: x\r\n(content-length: [0-9]{1,20}\r\n|transfer-encoding: chunked\r\n){1,3}\r\n[ -~\r\n]{0,60}"
            .prop_map(String::into_bytes),
    ];
    for _ in 0..300 {
        let bytes = bytes.new_tree(&mut runner).unwrap().current();
        let mut stream = TcpStream::connect(rig.address).await.unwrap();
        let _ = stream.write_all(&bytes).await;
        let _ = stream.shutdown().await;
        let mut answer = Vec::new();
        let ended = timeout(SOON, stream.read_to_end(&mut answer)).await;
        assert!(ended.is_ok(), "{:?}", String::from_utf8_lossy(&bytes));
    }
    let mut sender = dial(&rig).await;
    let ask = Ask { method: "GET".into(), path: "/nothing".into(), headers: Vec::new(), body: Vec::new() };
    assert_eq!(answered(&rig, &mut sender, &ask).await, Some(404));
}
