//! Clients that are slow, silent or many, and files that change.

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use super::{
    super::{
        connection::Places,
        listener::{Peer, converse},
    },
    rig::{Ask, Authority, Rig, SOON, Setup, get, write_pair},
};

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
    let (mut client, server) = tokio::io::duplex(1 << 16);
    let connection = Places::default().take(rig.address.ip()).unwrap();
    // A known client, between two requests.
    connection.proven();
    let _request = connection.busy();
    let peer = Peer { address: rig.address, certificates: std::sync::Arc::default() };
    let serving = tokio::spawn(converse(server, peer, rig.api.clone(), connection.clone(), rig.stop.clone()));
    // The preface and empty settings; then nothing, not even answers to pings.
    client.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    let ended = timeout(std::time::Duration::from_secs(60), serving).await.expect("an end");
    assert!(ended.unwrap().is_err());
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
