//! Port forwards by WebSocket: its binary messages carry SPDY, which goes on to the runtime as it is (contract §25).
//!
//! ```text
//!   client ══ SPDY/3.1+portforward.k8s.io: bytes in messages ══▶ here ══ SPDY/3.1 ══▶ runtime (this machine only)
//! ```
//!
//! Where one message ends says nothing. Either side's end is the end of both: SPDY has ends of its own inside.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use hyper::{Request, Response, body::Incoming};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    time::Instant,
};
use tokio_tungstenite::{WebSocketStream, tungstenite::Message};

use super::{
    answer::Body,
    counting::Held,
    dial::DialError,
    tunnel::idled,
    websocket::{self, Outbox, SPDY},
};

/// Protocols of which a client's are tried, at most.
const PROTOCOLS: usize = 4;
/// Read at once, bytes.
const READ: usize = 32 << 10;

/// Answers a WebSocket request for a prepared port forward; with a 101, the tunnel goes on by itself.
pub(super) async fn open(
    url: &str,
    request: Request<Incoming>,
    idle: Duration,
    held: Held,
) -> Result<Response<Body>, DialError> {
    let offered = websocket::protocols(request.headers()).filter_map(|name| name.strip_prefix(SPDY));
    let inner: Vec<String> = offered.take(PROTOCOLS).map(str::to_owned).collect();
    let inner: Vec<&str> = inner.iter().map(String::as_str).collect();
    let named = |chosen: &str| format!("{SPDY}{chosen}");
    websocket::open(url, request, &inner, named, held, move |(client, runtime)| carry(client, runtime, idle))
        .await
}

async fn carry<C, R>(client: WebSocketStream<C>, runtime: R, idle: Duration)
where
    C: AsyncRead + AsyncWrite + Unpin,
    R: AsyncRead + AsyncWrite,
{
    let (mut to_client, mut from_client) = client.split();
    let (mut from_runtime, mut to_runtime) = tokio::io::split(runtime);
    let (mut outbox, mut received, mut outgoing) = (Outbox::default(), BytesMut::new(), Bytes::new());
    let last = Mutex::new(Instant::now());
    let moved = || *last.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    let mut listens = true;
    loop {
        let (is_clear, is_written, may_read) = (outbox.is_clear(), outgoing.is_empty(), outbox.may_read());
        received.reserve(READ);
        // Cancel-safe, all of them: what was read is in a buffer of this loop, what was written is out of it.
        tokio::select! {
            message = from_client.next(), if is_written && may_read => match message {
                Some(Ok(Message::Binary(bytes))) => {
                    moved();
                    outgoing = bytes;
                }
                Some(Ok(Message::Ping(_))) => outbox.pinged(),
                Some(Ok(Message::Pong(_))) => {}
                // Text is no SPDY.
                Some(_) | None => break,
            },
            read = from_runtime.read_buf(&mut received), if is_clear => match read {
                Ok(0) | Err(_) => break,
                Ok(_) => {
                    moved();
                    outbox.put(received.split().freeze());
                }
            },
            written = to_runtime.write_buf(&mut outgoing), if !is_written && listens => {
                // A runtime that is done closes, whatever the client still sends; its last words are read all the same.
                listens = written.is_ok_and(|written| written > 0);
            }
            sent = outbox.send(&mut to_client), if !is_clear => if sent.is_err() { break },
            () = idled(&last, idle) => break,
        }
    }
    // The runtime has its end at once; the client may take a while to close.
    let _ = to_runtime.shutdown().await;
    drop((to_runtime, from_runtime));
    websocket::close(outbox, &mut to_client, &mut from_client).await;
}

#[cfg(test)]
mod tests {
    use tokio::{io::duplex, time::timeout};

    use super::*;

    const SOON: Duration = Duration::from_secs(20);

    #[tokio::test(start_paused = true)]
    async fn a_client_that_pings_and_never_reads_is_not_read_either() {
        let ((mut client, far), (near, mut runtime)) = (duplex(1 << 10), duplex(1 << 10));
        let socket = websocket::socket(far).await;
        let carrying = tokio::spawn(carry(socket, near, Duration::from_secs(600)));
        // 125 bytes, masked with zeros.
        let ping = [&[0x89, 0x80 | 125, 0, 0, 0, 0][..], &[b'p'; 125]].concat();
        let mut taken = 0;
        while let Ok(Ok(())) = timeout(SOON, client.write_all(&ping)).await {
            taken += ping.len();
            assert!(taken < 128 << 10, "{taken} bytes of pings were taken");
        }
        // The runtime's words come behind the answers, and are not lost.
        runtime.write_all(b"at last").await.unwrap();
        runtime.shutdown().await.unwrap();
        let mut said = Vec::new();
        timeout(SOON, client.read_to_end(&mut said)).await.expect("an end").unwrap();
        assert!(said.windows(7).any(|bytes| bytes == b"at last"));
        timeout(SOON, carrying).await.expect("an end").unwrap();
    }
}
