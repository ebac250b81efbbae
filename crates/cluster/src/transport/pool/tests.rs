use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{io::DuplexStream, time::timeout};

use super::*;
use crate::stub::{Gate, Stub, StubOptions, client_pair, ok, until};

/// A server whose connections stop after TCP until the gate is opened.
async fn held(alpn: &'static [u8]) -> (Stub, Arc<Pool>) {
    let stub = Stub::with(StubOptions { alpn, ..StubOptions::default() }, |_: &_| ok(().into())).await;
    stub.gate.send_replace(Gate::Held);
    let pool = Arc::new(Pool::new(Arc::new(stub.access())));
    (stub, pool)
}

/// Somebody who leaves while the dial is under way.
async fn leaves(stub: &Stub, pool: &Arc<Pool>) {
    let dials = stub.dials();
    let left = pool.place(Purpose::Call);
    // Cancel-safe: it is meant to be dropped.
    tokio::select! {
        _ = left => panic!("the gate is shut"),
        () = until("the dial begins", || stub.dials() > dials) => {}
    }
}

#[tokio::test]
async fn a_dial_outlives_who_asked_for_it() {
    for alpn in [&b"h2"[..], b"http/1.1"] {
        let (stub, pool) = held(alpn).await;
        leaves(&stub, &pool).await;
        // The next one, too, has less patience than the dial takes.
        assert!(timeout(Duration::from_millis(50), pool.place(Purpose::Call)).await.is_err());
        stub.gate.send_replace(Gate::Open);
        until("the connection is made", || stub.connections() == 1).await;
        until("the dialler has ended", || pool.state.lock().dialler.is_none()).await;
        pool.place(Purpose::Call).await.unwrap();
        assert_eq!(stub.dials(), 1);
    }
}

#[tokio::test]
async fn a_connection_that_nobody_waited_for_any_more_serves_one_request() {
    let (stub, pool) = held(b"http/1.1").await;
    leaves(&stub, &pool).await;
    stub.gate.send_replace(Gate::Open);
    until("the dialler has ended", || pool.state.lock().dialler.is_none()).await;
    let _first = pool.place(Purpose::Call).await.unwrap();
    let _second = pool.place(Purpose::Call).await.unwrap();
    assert_eq!(stub.dials(), 2);
}

#[tokio::test]
async fn a_failed_dial_is_told_to_all_who_wait() {
    let (stub, pool) = held(b"h2").await;
    let (first, second, third, ()) = tokio::join!(
        pool.place(Purpose::Call),
        pool.place(Purpose::Watch),
        pool.place(Purpose::Call),
        async {
            until("the dial begins", || stub.dials() == 1).await;
            stub.gate.send_replace(Gate::HangUp);
        }
    );
    for told in [first, second, third] {
        let error = told.err().unwrap().to_string();
        assert!(error.contains(&stub.address.to_string()) && error.contains("TLS"), "{error}");
    }
    assert_eq!(stub.dials(), 1);
}

#[tokio::test]
async fn nothing_is_dialled_for_those_who_left() {
    let (stub, pool) = held(b"h2").await;
    leaves(&stub, &pool).await;
    stub.gate.send_replace(Gate::HangUp);
    until("the dialler has ended", || pool.state.lock().dialler.is_none()).await;
    assert_eq!(stub.dials(), 1);
    assert!(pool.state.lock().waiting.is_empty());
}

#[tokio::test]
async fn a_reset_ends_the_dial_and_whoever_waits_gets_the_next_one() {
    let (stub, pool) = held(b"h2").await;
    let (place, ()) = tokio::join!(pool.place(Purpose::Call), async {
        until("the dial begins", || stub.dials() == 1).await;
        pool.reset();
        until("it begins again", || stub.dials() == 2).await;
        stub.gate.send_replace(Gate::Open);
    });
    place.unwrap();
    // The server is ready a little after the client.
    until("the second one is made", || stub.connections() == 1).await;

    stub.gate.send_replace(Gate::Held);
    pool.reset();
    leaves(&stub, &pool).await;
    pool.reset();
    until("the dialler has ended", || pool.state.lock().dialler.is_none()).await;
    assert!(pool.state.lock().connections.is_empty());
    assert_eq!(stub.dials(), 3, "nobody waited");
}

#[tokio::test]
async fn retiring_connections_leaves_the_dial_and_young_ones_alone() {
    let (stub, pool) = held(b"h2").await;
    leaves(&stub, &pool).await;
    pool.retire();
    stub.gate.send_replace(Gate::Open);
    until("the dialler has ended", || pool.state.lock().dialler.is_none()).await;
    pool.retire();
    let Place::Shared { sender, .. } = pool.place(Purpose::Call).await.unwrap() else { panic!("of HTTP/2") };
    assert_eq!(stub.dials(), 1);
    tokio::time::pause();
    tokio::time::advance(YOUNG).await;
    tokio::time::resume();
    pool.retire();
    until("it is closed", || sender.is_closed()).await;
    pool.place(Purpose::Call).await.unwrap();
    assert_eq!(stub.dials(), 2);
}

type Stalled = (http2::Connection<TokioIo<DuplexStream>, Full<Bytes>, TokioExecutor>, DuplexStream);

/// A pooled connection that takes requests and puts none on the wire, until it is dropped.
async fn stalled(pool: &Pool) -> Stalled {
    let (ours, theirs) = tokio::io::duplex(64 * 1024);
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(ours)).await.unwrap();
    pool.state.lock().connections.push(Shared {
        sender,
        streams: Arc::default(),
        most: Arc::new(AtomicUsize::new(1)),
        since: Instant::now(),
        tasks: CancellationToken::new(),
    });
    (connection, theirs)
}

#[tokio::test]
async fn a_request_goes_on_past_every_connection_that_did_not_take_it() {
    let stub = Stub::start(|_: &_| ok(().into())).await;
    let transport = stub.transport();
    let (first, second) = (stalled(&transport.pool).await, stalled(&transport.pool).await);
    let caller = Arc::clone(&transport);
    let call = tokio::spawn(async move {
        let request = http::Request::new(Bytes::new());
        caller.send(Purpose::Call, &request).await.map(|response| response.status().as_u16())
    });
    for (left, stalled) in [(2, first), (1, second)] {
        until("the request waits on the first one that is left", || {
            let state = transport.pool.state.lock();
            state.connections.len() == left && Arc::strong_count(&state.connections[0].streams) == 2
        })
        .await;
        // As when the server says that it goes away.
        drop(stalled);
    }
    assert_eq!(call.await.unwrap().unwrap(), 200);
    assert_eq!(stub.dials(), 1);
}

#[tokio::test]
async fn no_connection_of_old_certificate_files_outlives_a_dial() {
    let (stub, pool) = held(b"http/1.1").await;
    leaves(&stub, &pool).await;
    client_pair(stub.dir.path());
    stub.gate.send_replace(Gate::Open);
    until("the dialler has ended", || pool.state.lock().dialler.is_none()).await;
    let Place::Single(old) = pool.place(Purpose::Call).await.unwrap() else { panic!("of HTTP/1") };
    assert_eq!(stub.dials(), 2, "the files changed during the first one");

    client_pair(stub.dir.path());
    let Place::Single(new) = pool.place(Purpose::Call).await.unwrap() else { panic!("of HTTP/1") };
    assert_eq!(stub.dials(), 3);
    until("the one before is closed", || old.is_closed()).await;
    assert!(!new.is_closed());
    assert!(!pool.reset_if_rotated(), "the last dial has read them");
}

#[tokio::test]
async fn the_dialler_ends_with_the_transport() {
    let stub = Stub::start(|_: &_| ok(().into())).await;
    stub.gate.send_replace(Gate::Held);
    let transport = stub.transport();
    leaves(&stub, &transport.pool).await;
    let pool = Arc::downgrade(&transport.pool);
    drop(transport);
    until("nobody holds the pool", || pool.strong_count() == 0).await;
    assert_eq!(stub.connections(), 0);
}
