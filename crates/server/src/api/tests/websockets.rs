//! WebSockets through the API, to a streaming server that plays the runtime's.

use bytes::Bytes;
use futures::{SinkExt as _, StreamExt as _};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::timeout,
};
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message, protocol::Role},
};

use super::{
    rig::{Rig, SOON, Setup},
    streams::head,
};
use crate::spdy::peer::{self, Sent, Server};

type Client = WebSocketStream<TlsStream<TcpStream>>;

/// A streaming server for one connection, that switches to SPDY with a protocol: its address, and what `serve` returns
/// with the request's head.
async fn runtime<F, R>(
    protocol: &'static str,
    serve: impl FnOnce(TcpStream) -> F + Send + 'static,
) -> (String, JoinHandle<(String, R)>)
where
    F: Future<Output = R> + Send,
    R: Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/exec/token", listener.local_addr().unwrap());
    let task = tokio::spawn(async move {
        let mut stream = listener.accept().await.unwrap().0;
        let head = head(&mut stream).await;
        let switched = format!(
            "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: SPDY/3.1\r\n\
             x-stream-protocol-version: {protocol}\r\n\r\n"
        );
        stream.write_all(switched.as_bytes()).await.unwrap();
        (head, serve(stream).await)
    });
    (url, task)
}

/// A request for a WebSocket: the head of the answer, and the socket.
async fn ask(rig: &Rig, path: &str, protocol: &str) -> (String, Client) {
    let mut stream = rig.connect(None, &["http/1.1"]).await;
    let request = format!(
        "GET {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer t-admin\r\nconnection: Upgrade\r\n\
         upgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         sec-websocket-protocol: {protocol}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let head = timeout(SOON, head(&mut stream)).await.unwrap();
    (head, WebSocketStream::from_raw_socket(stream, Role::Client, None).await)
}

async fn open() -> Rig {
    Rig::start(Setup { access_ttls: None, ..Setup::default() }).await
}

#[tokio::test]
async fn a_command_by_web_socket_reaches_the_runtime_as_spdy() {
    let rig = open().await;
    let (url, server) = runtime("v4.channel.k8s.io", async |stream: TcpStream| {
        let mut server = Server::on(stream);
        let kinds = server.accept(3).await;
        let Some(Sent::Data(3, said, false)) = server.next().await else { panic!("no input") };
        server.say(&[peer::data(5, &said, true), peer::data(1, b"{}", true)].concat()).await;
        kinds
    })
    .await;
    *rig.node.url.lock() = url;
    let path = "/exec/ns/pod/uid/c?command=cat&input=1&output=1";
    let (head, mut client) = ask(&rig, path, "v5.channel.k8s.io").await;
    let head = head.to_lowercase();
    assert!(head.starts_with("http/1.1 101 "), "{head}");
    assert!(head.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=\r\n"), "{head}");
    assert!(head.contains("sec-websocket-protocol: v5.channel.k8s.io\r\n"), "{head}");
    client.send(Message::Binary(Bytes::from_static(b"\x00hello"))).await.unwrap();
    let mut messages = Vec::new();
    while let Some(Ok(Message::Binary(bytes))) = timeout(SOON, client.next()).await.unwrap() {
        messages.push(bytes.to_vec());
    }
    assert_eq!(messages, [b"\x01".to_vec(), b"\x01hello".to_vec(), b"\x03{}".to_vec()]);
    let (asked, kinds) = timeout(SOON, server).await.unwrap().unwrap();
    assert_eq!(kinds, ["error", "stdin", "stdout"]);
    let asked = asked.to_lowercase();
    assert!(asked.starts_with("post /exec/token http/1.1\r\n"), "{asked}");
    assert!(asked.contains("x-stream-protocol-version: v4.channel.k8s.io\r\n"), "{asked}");
    assert!(!asked.contains("t-admin") && !asked.contains("websocket"), "{asked}");
}

#[tokio::test]
async fn a_port_forward_by_web_socket_carries_spdy() {
    let rig = open().await;
    let (url, server) = runtime("portforward.k8s.io", async |mut stream: TcpStream| {
        let mut bytes = vec![0; 300_000];
        stream.read_exact(&mut bytes).await.unwrap();
        stream.write_all(&bytes).await.unwrap();
        stream.read_u8().await.unwrap()
    })
    .await;
    *rig.node.url.lock() = url;
    let (head, mut client) = ask(&rig, "/portForward/ns/pod", "SPDY/3.1+portforward.k8s.io").await;
    assert!(
        head.to_lowercase().contains("sec-websocket-protocol: spdy/3.1+portforward.k8s.io\r\n"),
        "{head}"
    );
    let bytes: Vec<u8> = (0..300_000_usize).map(|at| (at % 251) as u8).collect();
    for piece in bytes.chunks(7_000) {
        client.send(Message::Binary(Bytes::copy_from_slice(piece))).await.unwrap();
    }
    let mut back = Vec::new();
    while back.len() < bytes.len() {
        match timeout(SOON, client.next()).await.unwrap() {
            Some(Ok(Message::Binary(piece))) => back.extend_from_slice(&piece),
            other => panic!("{other:?}"),
        }
    }
    assert!(back == bytes);
    client.send(Message::Binary(Bytes::from_static(b"!"))).await.unwrap();
    let (asked, last) = timeout(SOON, server).await.unwrap().unwrap();
    assert_eq!(last, b'!');
    assert!(asked.to_lowercase().contains("x-stream-protocol-version: portforward.k8s.io\r\n"), "{asked}");
    // The runtime's end is the tunnel's.
    assert!(matches!(timeout(SOON, client.next()).await.unwrap(), Some(Ok(Message::Close(_)))));
}

#[tokio::test]
async fn older_protocols_and_bad_handshakes() {
    let rig = open().await;
    // Goes through as it is, and gets the runtime's own answer.
    let (url, server) = runtime("unused", async |_: TcpStream| ()).await;
    *rig.node.url.lock() = url;
    ask(&rig, "/exec/ns/pod/c?output=1", "v4.channel.k8s.io").await;
    let (asked, ()) = timeout(SOON, server).await.unwrap().unwrap();
    assert!(asked.to_lowercase().contains("sec-websocket-protocol: v4.channel.k8s.io\r\n"), "{asked}");

    let (url, _server) = runtime("v3.channel.k8s.io", async |_: TcpStream| ()).await;
    *rig.node.url.lock() = url;
    let (answer, _) = ask(&rig, "/exec/ns/pod/c?output=1", "v5.channel.k8s.io").await;
    assert!(answer.starts_with("HTTP/1.1 500 "), "{answer}");

    *rig.node.url.lock() = "http://192.0.2.1/exec/token".to_owned();
    let (answer, _) = ask(&rig, "/exec/ns/pod/c?output=1", "v5.channel.k8s.io").await;
    assert!(answer.starts_with("HTTP/1.1 500 "), "an address elsewhere is not dialled: {answer}");

    let mut stream = rig.connect(None, &["http/1.1"]).await;
    let request = "GET /exec/ns/pod/c?output=1 HTTP/1.1\r\nhost: x\r\nauthorization: Bearer t-admin\r\n\
        connection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-protocol: v5.channel.k8s.io\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let answer = timeout(SOON, head(&mut stream)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
}
