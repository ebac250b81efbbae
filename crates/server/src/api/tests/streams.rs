//! Streams through the API, to a streaming server that plays the runtime's.

use std::{sync::Arc, time::Duration};

use hyper::Method;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::timeout,
};

use super::rig::{Ask, Authority, Rig, SOON, Setup, get};

/// Reads a head of HTTP/1.
pub(super) async fn head(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

/// A streaming server for one connection: its address, and what `serve` returns.
async fn runtime<F, R>(serve: impl FnOnce(TcpStream) -> F + Send + 'static) -> (String, JoinHandle<R>)
where
    F: Future<Output = R> + Send,
    R: Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/exec/token", listener.local_addr().unwrap());
    let task = tokio::spawn(async move { serve(listener.accept().await.unwrap().0).await });
    (url, task)
}

const UPGRADE: &str = "POST /exec/ns/pod/uid/c?command=cat&command=-&input=1&output=1 HTTP/1.1\r\nhost: x\r\n\
    authorization: Bearer t-admin\r\nconnection: Upgrade\r\nupgrade: SPDY/3.1\r\n\
    x-stream-protocol-version: v5.channel.k8s.io\r\nx-stream-protocol-version: v4.channel.k8s.io\r\n\
    content-length: 0\r\n\r\n";

const SWITCHED: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: SPDY/3.1\r\n\
    x-stream-protocol-version: v4.channel.k8s.io\r\n\r\nearly";

#[tokio::test]
async fn an_upgrade_goes_through_with_half_close() {
    let rig = Rig::start(Setup { access_ttls: None, ..Setup::default() }).await;
    let (url, server) = runtime(async |mut stream: TcpStream| {
        let head = head(&mut stream).await;
        stream.write_all(SWITCHED).await.unwrap();
        // Only when the client has said all is there an answer.
        let mut said = Vec::new();
        stream.read_to_end(&mut said).await.unwrap();
        stream.write_all(format!("{} bytes", said.len()).as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        head
    })
    .await;
    *rig.node.url.lock() = url;
    let mut stream = rig.connect(None, &["http/1.1"]).await;
    stream.write_all(UPGRADE.as_bytes()).await.unwrap();
    let answer = timeout(SOON, head(&mut stream)).await.unwrap().to_lowercase();
    assert!(answer.starts_with("http/1.1 101 "), "{answer}");
    assert!(answer.contains("x-stream-protocol-version: v4.channel.k8s.io\r\n"), "{answer}");
    assert!(answer.contains("upgrade: spdy/3.1\r\n"), "{answer}");
    stream.write_all(&vec![7; 300_000]).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut said = String::new();
    timeout(SOON, stream.read_to_string(&mut said)).await.expect("an end").unwrap();
    assert_eq!(said, "early300000 bytes");
    let asked = timeout(SOON, server).await.unwrap().unwrap().to_lowercase();
    assert!(asked.starts_with("post /exec/token http/1.1\r\n"), "{asked}");
    assert!(!asked.contains("t-admin") && !asked.contains("command"), "{asked}");
    assert_eq!(asked.matches("x-stream-protocol-version").count(), 2, "{asked}");
    let (command, streams) = rig.node.asked.lock()[0].clone();
    assert_eq!(command, ["cat", "-"]);
    assert!(streams.stdin && streams.stdout && !streams.stderr && !streams.tty);
}

#[tokio::test]
async fn a_runtime_may_speak_tls_with_a_certificate_of_its_own() {
    let rig = Rig::start(Setup { access_ttls: None, ..Setup::default() }).await;
    // Nobody's authority, and another name.
    let (certificate, key) = Authority::new("runtime").issue("runtime", "x", &["elsewhere"]);
    let config =
        rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()],
                PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
            )
            .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let (url, server) = runtime(async move |stream: TcpStream| {
        let mut stream = acceptor.accept(stream).await.unwrap();
        let head = head(&mut stream).await;
        stream.write_all(SWITCHED).await.unwrap();
        let mut said = [0; 4];
        stream.read_exact(&mut said).await.unwrap();
        stream.write_all(&said).await.unwrap();
        stream.shutdown().await.unwrap();
        head
    })
    .await;
    *rig.node.url.lock() = url.replace("http://", "https://");
    let mut stream = rig.connect(None, &["http/1.1"]).await;
    stream.write_all(UPGRADE.as_bytes()).await.unwrap();
    let answer = timeout(SOON, head(&mut stream)).await.unwrap().to_lowercase();
    assert!(answer.starts_with("http/1.1 101 "), "{answer}");
    stream.write_all(b"ping").await.unwrap();
    let mut said = [0; 9];
    timeout(SOON, stream.read_exact(&mut said)).await.expect("an answer").unwrap();
    assert_eq!(&said, b"earlyping");
    let asked = timeout(SOON, server).await.unwrap().unwrap().to_lowercase();
    assert!(asked.starts_with("post /exec/token http/1.1\r\n"), "{asked}");
}

#[tokio::test]
async fn what_the_runtime_refuses_is_handed_on() {
    let rig = Rig::start(Setup { access_ttls: None, ..Setup::default() }).await;
    let (url, _server) = runtime(async |mut stream: TcpStream| {
        head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 7\r\n\r\nno such").await.unwrap();
    })
    .await;
    *rig.node.url.lock() = url;
    let mut stream = rig.connect(None, &["http/1.1"]).await;
    stream.write_all(UPGRADE.as_bytes()).await.unwrap();
    let answer = timeout(SOON, head(&mut stream)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
    let mut body = [0; 7];
    timeout(SOON, stream.read_exact(&mut body)).await.unwrap().unwrap();
    assert_eq!(&body, b"no such");
}

#[tokio::test]
async fn an_idle_stream_ends() {
    let setup = Setup { access_ttls: None, stream_idle: Duration::from_millis(200), ..Setup::default() };
    let rig = Rig::start(setup).await;
    let (url, server) = runtime(async |mut stream: TcpStream| {
        head(&mut stream).await;
        stream.write_all(SWITCHED).await.unwrap();
        let mut said = Vec::new();
        let _ = stream.read_to_end(&mut said).await;
    })
    .await;
    *rig.node.url.lock() = url;
    let mut stream = rig.connect(None, &["http/1.1"]).await;
    stream.write_all(UPGRADE.as_bytes()).await.unwrap();
    let mut said = Vec::new();
    // Ends without a farewell.
    let _ = timeout(SOON, stream.read_to_end(&mut said)).await.expect("an end");
    timeout(SOON, server).await.expect("an end for the runtime too").unwrap();
}

#[tokio::test]
async fn requests_that_cannot_become_streams() {
    let rig = Rig::start(Setup { access_ttls: None, ..Setup::default() }).await;
    *rig.node.url.lock() = "http://192.0.2.1/exec/token".to_owned();
    let post = |path| Ask { method: Method::POST, ..get(path) };
    let (status, body) = rig.ask(post("/exec/ns/pod/c?output=1")).await;
    assert_eq!((status, body.as_str()), (500, "Upgrade request required\n"));
    assert_eq!(rig.ask(post("/exec/ns/pod/c")).await.0, 400, "no stream is asked for");
    assert_eq!(rig.ask(post("/exec/ns/none/c?output=1")).await, (404, "pod does not exist".to_owned()));
    assert_eq!(rig.ask(post("/portForward/ns/pod/other")).await, (404, "pod not found".to_owned()));
    assert_eq!(rig.ask(Ask { http2: true, ..post("/attach/ns/pod/c?output=1") }).await.0, 500);
    let mut stream = rig.connect(None, &["http/1.1"]).await;
    stream.write_all(UPGRADE.as_bytes()).await.unwrap();
    let answer = timeout(SOON, head(&mut stream)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 500 "), "an address elsewhere is not dialled: {answer}");
}

#[tokio::test]
async fn run_tells_output_or_failure() {
    let rig = Rig::start(Setup { access_ttls: None, ..Setup::default() }).await;
    let post = |path| Ask { method: Method::POST, ..get(path) };
    assert_eq!(rig.ask(post("/run/ns/pod/c?cmd=echo%20a")).await, (200, "echo+a!".to_owned()));
    let (status, body) = rig.ask(post("/run/ns/pod/uid/c?cmd=false+x")).await;
    assert_eq!((status, body.as_str()), (500, "command 'false x' exited with 1: !"));
    assert_eq!(rig.ask(post("/run/ns/none/c?cmd=x")).await.0, 404);
    assert_eq!(rig.ask(get("/run/ns/pod/c?cmd=x")).await.0, 405);
}
