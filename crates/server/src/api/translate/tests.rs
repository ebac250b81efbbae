use bytes::Bytes;
use futures::SinkExt as _;
use tokio::{io::DuplexStream, task::JoinHandle, time::timeout};
use tokio_tungstenite::tungstenite::protocol::Role;

use super::*;
use crate::spdy::peer::{self, Sent, Server};

const SOON: Duration = Duration::from_secs(20);
const ALL: Streams = Streams { stdin: true, stdout: true, stderr: true, tty: false };

struct Rig {
    client: WebSocketStream<DuplexStream>,
    server: Server<DuplexStream>,
    task: JoinHandle<()>,
}

impl Rig {
    /// A translation with a client and a runtime that has taken all streams.
    async fn start(streams: Streams, count: usize, idle: Duration) -> Self {
        Self::with_room(64 << 10, streams, count, idle).await
    }

    /// The same, where so many bytes fit between client and translation.
    async fn with_room(room: usize, streams: Streams, count: usize, idle: Duration) -> Self {
        let (near, far) = tokio::io::duplex(room);
        let client = WebSocketStream::from_raw_socket(near, Role::Client, None).await;
        let (runtime, server) = tokio::io::duplex(64 << 10);
        let task =
            tokio::spawn(async move { run(websocket::socket(far).await, runtime, streams, idle).await });
        let mut rig = Self { client, server: Server::on(server), task };
        rig.server.accept(count).await;
        rig
    }

    async fn next(&mut self) -> Option<Message> {
        timeout(SOON, self.client.next()).await.expect("a message").map(Result::unwrap)
    }

    async fn send(&mut self, bytes: &[u8]) {
        self.client.send(Message::Binary(Bytes::copy_from_slice(bytes))).await.unwrap();
    }

    /// All messages up to the end, and how it was closed.
    async fn rest(&mut self) -> (Vec<Vec<u8>>, u16) {
        let mut messages = Vec::new();
        loop {
            match self.next().await {
                Some(Message::Binary(bytes)) => messages.push(bytes.to_vec()),
                Some(Message::Close(Some(frame))) => return (messages, frame.code.into()),
                other => panic!("{other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn a_command_from_its_input_to_its_status() {
    let mut rig = Rig::start(ALL, 4, Duration::ZERO).await;
    assert_eq!(rig.next().await, Some(Message::Binary(Bytes::from_static(b"\x01"))));
    rig.send(b"\x00hello").await;
    assert_eq!(rig.server.next().await, Some(Sent::Data(3, b"hello".to_vec(), false)));
    rig.send(b"\xff\x00").await;
    assert_eq!(rig.server.next().await, Some(Sent::Data(3, Vec::new(), true)));
    let said = [
        peer::data(5, b"out", false),
        peer::data(7, b"err", true),
        peer::data(1, b"{\"status\":\"Success\"}", false),
        peer::data(5, b"last", true),
        peer::reset(1, 5),
    ];
    rig.server.say(&said.concat()).await;
    let (messages, code) = rig.rest().await;
    assert_eq!(messages.last().unwrap(), b"\x03{\"status\":\"Success\"}");
    let of = |channel: u8| {
        let of = messages.iter().filter(|message| message[0] == channel).map(|message| &message[1..]);
        of.collect::<Vec<_>>().concat()
    };
    assert_eq!((of(1).as_slice(), of(2).as_slice(), code), (&b"outlast"[..], &b"err"[..], 1000));
    assert!(matches!(rig.server.next().await, Some(Sent::Other(7, _))), "a farewell");
    assert_eq!(rig.server.next().await, None);
    drop(rig.client);
    timeout(SOON, rig.task).await.unwrap().unwrap();
}

#[tokio::test]
async fn much_goes_both_ways_at_once() {
    const MUCH: usize = 3 << 20;
    let mut rig = Rig::start(Streams { stderr: false, ..ALL }, 3, Duration::ZERO).await;
    let echo = async {
        let mut received = 0;
        loop {
            match rig.server.next().await {
                Some(Sent::Data(3, bytes, fin)) => {
                    received += bytes.len();
                    if !bytes.is_empty() {
                        rig.server.say(&peer::data(5, &bytes, false)).await;
                    }
                    if fin {
                        break;
                    }
                }
                other => panic!("{other:?}"),
            }
        }
        let end = [peer::data(5, b"", true), peer::data(1, b"{}", true)];
        rig.server.say(&end.concat()).await;
        received
    };
    let (mut sender, mut receiver) = rig.client.split();
    let send = async {
        let piece = Bytes::from([&[0][..], &vec![b'x'; 32 << 10]].concat());
        for _ in 0..MUCH / (32 << 10) {
            sender.send(Message::Binary(piece.clone())).await.unwrap();
        }
        sender.send(Message::Binary(Bytes::from_static(b"\xff\x00"))).await.unwrap();
    };
    let receive = async {
        let mut received = 0;
        while let Some(Ok(Message::Binary(bytes))) = receiver.next().await {
            received += if bytes[0] == 1 { bytes.len() - 1 } else { 0 };
        }
        received
    };
    let (echoed, (), received) =
        timeout(SOON, async { tokio::join!(echo, send, receive) }).await.expect("an end");
    assert_eq!((echoed, received), (MUCH, MUCH));
}

#[tokio::test]
async fn a_client_waits_for_a_container_that_does_not_read_and_output_goes_on() {
    let mut rig = Rig::start(Streams { stderr: false, ..ALL }, 3, Duration::ZERO).await;
    let piece = Bytes::from([&[0][..], &vec![b'x'; 32 << 10]].concat());
    let mut taken = 0;
    // The runtime reads nothing: buffers fill up, and no more is taken.
    while timeout(Duration::from_millis(300), rig.client.send(Message::Binary(piece.clone()))).await.is_ok() {
        taken += piece.len();
        assert!(taken < 1 << 20, "{taken} bytes are held for a container that does not read");
    }
    rig.server.say(&peer::data(5, b"still here", false)).await;
    let mut seen = Vec::new();
    while !seen.ends_with(b"still here") {
        match rig.next().await {
            Some(Message::Binary(bytes)) => seen.extend_from_slice(&bytes),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_runtime_that_goes_away_is_a_failure() {
    let mut rig = Rig::start(ALL, 4, Duration::ZERO).await;
    rig.server.say(&peer::data(5, b"half", false)).await;
    assert!(rig.next().await.is_some());
    let Rig { client, server, task } = rig;
    drop(server);
    let mut rig = Rig { client, server: Server::on(tokio::io::duplex(1).0), task };
    let (messages, code) = rig.rest().await;
    let status = String::from_utf8_lossy(messages.last().unwrap()).into_owned();
    assert!(
        status.starts_with('\u{3}') && status.contains("\"Failure\"") && status.contains("without a status")
    );
    assert_eq!(code, 1000);
}

#[tokio::test]
async fn a_connection_that_breaks_behind_the_status_has_lost_nothing() {
    let mut rig = Rig::start(ALL, 4, Duration::ZERO).await;
    let said = [peer::data(5, b"all", false), peer::data(1, b"{\"status\":\"Success\"}", false)];
    rig.server.say(&said.concat()).await;
    let Rig { client, server, task } = rig;
    drop(server);
    let mut rig = Rig { client, server: Server::on(tokio::io::duplex(1).0), task };
    let (messages, _) = rig.rest().await;
    assert_eq!(messages.last().unwrap(), b"\x03{\"status\":\"Success\"}");
    assert!(messages.contains(&b"\x01all".to_vec()), "{messages:?}");
}

#[tokio::test]
async fn nonsense_of_a_runtime_is_a_failure() {
    let mut rig = Rig::start(ALL, 4, Duration::ZERO).await;
    rig.server.say(b"\x80\x02nonsense").await;
    let (messages, _) = rig.rest().await;
    assert!(String::from_utf8_lossy(messages.last().unwrap()).contains("SPDY version 2"));
}

#[tokio::test]
async fn a_client_that_leaves_ends_the_runtimes_stream() {
    let mut rig = Rig::start(ALL, 4, Duration::ZERO).await;
    rig.client.close(None).await.unwrap();
    assert!(matches!(timeout(SOON, rig.server.next()).await.unwrap(), Some(Sent::Other(7, _))));
    assert_eq!(timeout(SOON, rig.server.next()).await.unwrap(), None);
    assert!(rig.next().await.is_none_or(|message| message.is_binary() || message.is_close()));
    drop(rig.client);
    timeout(SOON, rig.task).await.unwrap().unwrap();
}

#[tokio::test]
async fn pings_are_answered() {
    let mut rig = Rig::start(ALL, 4, Duration::ZERO).await;
    rig.client.send(Message::Ping(Bytes::from_static(b"there?"))).await.unwrap();
    assert!(rig.next().await.is_some_and(|message| message.is_binary()));
    assert_eq!(rig.next().await, Some(Message::Pong(Bytes::from_static(b"there?"))));
}

#[tokio::test(start_paused = true)]
async fn an_idle_stream_ends_pings_or_not() {
    let mut rig = Rig::start(ALL, 4, Duration::from_secs(60)).await;
    rig.next().await;
    let begun = Instant::now();
    for _ in 0..5 {
        tokio::time::sleep(Duration::from_secs(10)).await;
        rig.client.send(Message::Ping(Bytes::new())).await.unwrap();
        assert!(rig.next().await.is_some_and(|message| message.is_pong()));
    }
    let (messages, _) = rig.rest().await;
    assert!(String::from_utf8_lossy(&messages[0]).contains("idle"));
    assert!((60..62).contains(&begun.elapsed().as_secs()));
}

#[tokio::test(start_paused = true)]
async fn a_runtime_that_takes_no_stream_is_not_waited_for() {
    let (near, far) = tokio::io::duplex(64 << 10);
    let mut client = WebSocketStream::from_raw_socket(near, Role::Client, None).await;
    let (runtime, _server) = tokio::io::duplex(64 << 10);
    tokio::spawn(async move { run(websocket::socket(far).await, runtime, ALL, Duration::ZERO).await });
    let mut said = Vec::new();
    while let Some(Ok(Message::Binary(bytes))) = client.next().await {
        said.extend_from_slice(&bytes);
    }
    assert!(String::from_utf8_lossy(&said).contains("did not take all streams in time"));
}

/// All output of a command and its end, in one piece.
fn last_words(output: &[u8]) -> Vec<u8> {
    let said = [
        peer::data(5, output, true),
        peer::data(7, b"", true),
        peer::data(1, b"{\"status\":\"Success\"}", true),
    ];
    said.concat()
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_late_gets_all_output_and_the_status() {
    let output = [b'x'; 8 << 10];
    let mut rig = Rig::with_room(256, ALL, 4, Duration::from_secs(3600)).await;
    rig.server.say(&last_words(&output)).await;
    assert!(matches!(rig.server.next().await, Some(Sent::Other(7, _))), "the runtime is done with");
    tokio::time::sleep(Duration::from_secs(60)).await;
    let (messages, code) = rig.rest().await;
    let of = |channel: u8| {
        let of = messages.iter().filter(|message| message[0] == channel).map(|message| &message[1..]);
        of.collect::<Vec<_>>().concat()
    };
    assert_eq!(of(1), output);
    assert_eq!((messages.last().unwrap().as_slice(), code), (&b"\x03{\"status\":\"Success\"}"[..], 1000));
    drop(rig.client);
    timeout(SOON, rig.task).await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_client_that_never_reads_has_the_idle_time_for_the_last_output() {
    let mut rig = Rig::with_room(256, ALL, 4, Duration::from_secs(120)).await;
    let begun = Instant::now();
    rig.server.say(&last_words(&[b'x'; 8 << 10])).await;
    timeout(Duration::from_secs(600), rig.task).await.expect("an end").unwrap();
    assert!((120..140).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
    drop(rig.client);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_pings_and_never_reads_is_not_read_either() {
    let (mut client, far) = tokio::io::duplex(1 << 10);
    let (runtime, server) = tokio::io::duplex(64 << 10);
    let task = tokio::spawn(async move {
        run(websocket::socket(far).await, runtime, ALL, Duration::from_secs(3600)).await;
    });
    let mut server = Server::on(server);
    server.accept(4).await;
    // 125 bytes, masked with zeros.
    let ping = [&[0x89, 0x80 | 125, 0, 0, 0, 0][..], &[b'p'; 125]].concat();
    let mut taken = 0;
    while let Ok(Ok(())) = timeout(SOON, client.write_all(&ping)).await {
        taken += ping.len();
        assert!(taken < 128 << 10, "{taken} bytes of pings were taken");
    }
    assert!(taken > 256 * ping.len(), "{taken}: all that may wait");
    // Once it reads, everything is there, the answers too.
    server.say(&last_words(b"at last")).await;
    let mut said = Vec::new();
    timeout(SOON, client.read_to_end(&mut said)).await.expect("an end").unwrap();
    let count = |text: &[u8]| said.windows(text.len()).filter(|bytes| *bytes == text).count();
    assert!(count(&[0x8a, 125]) > 256 && count(b"at last") == 1 && count(b"Success") == 1);
    timeout(SOON, task).await.unwrap().unwrap();
}
