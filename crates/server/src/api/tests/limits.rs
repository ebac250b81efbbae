//! Clients that are slow, silent or many, and files that change.

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use super::rig::{Ask, Authority, Rig, SOON, Setup, get, write_pair};

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
async fn one_host_cannot_take_all_places() {
    let rig = Rig::start(Setup { access_ttls: None, ..Setup::default() }).await;
    let mut silent = Vec::new();
    let closed = timeout(SOON, async {
        loop {
            let mut stream = TcpStream::connect(rig.address).await.unwrap();
            // A place that is not given shows as an end at once; one that is given, as nothing.
            let mut byte = [0];
            match timeout(std::time::Duration::from_millis(20), stream.read(&mut byte)).await {
                Err(_) => silent.push(stream),
                Ok(_) => return silent.len(),
            }
        }
    });
    let held = closed.await.expect("a bound");
    assert!((64..=200).contains(&held), "{held}");
    drop(silent);
    let again = async {
        loop {
            if rig_answers(&rig).await {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    timeout(SOON, again).await.expect("places are given back");
}

async fn rig_answers(rig: &Rig) -> bool {
    let Ok(mut stream) = TcpStream::connect(rig.address).await else { return false };
    // What is no TLS is answered with an alert; without a place there is no answer.
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.is_ok()
        && matches!(stream.read(&mut [0; 16]).await, Ok(read) if read > 0)
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
