//! Exec and attach by WebSocket, translated: the runtime's streaming server speaks SPDY (contract §25).
//!
//! ```text
//!   client ══ v5.channel.k8s.io ══▶ here ══ SPDY/3.1, v4.channel.k8s.io ══▶ runtime (this machine only)
//!      0 stdin, 4 resize, 255 close         a stream for each channel
//!      1 stdout, 2 stderr, 3 status  ◀══
//! ```
//!
//! One task for each stream. It reads from one side only when the other side took what was read before, and never waits
//! for one side while the other could go on: a command that writes before it reads does not stop.
//!
//! The end is the runtime's: when output and status are over, the status is sent as the last message, behind all output,
//! however late the client reads it. A runtime that goes away before leaves a status of failure behind, so that no client
//! takes silence for success.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use bytes::BytesMut;
use futures::StreamExt as _;
use hyper::{Request, Response, body::Incoming};
use seams::runtime::Streams;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    time::Instant,
};
use tokio_tungstenite::{WebSocketStream, tungstenite::Message};

use self::channels::Channels;
use super::{
    answer::Body,
    counting::Held,
    dial::DialError,
    tunnel::idled,
    websocket::{self, CHANNELS, Outbox},
};

mod channels;

/// The protocol of streams that runtimes speak: a status as JSON on the error stream.
const RUNTIME_PROTOCOL: &str = "v4.channel.k8s.io";
/// For the runtime to take all streams, as long as it waits for them itself.
const OPENING: Duration = Duration::from_secs(30);
/// For telling the runtime that the client left.
const LEAVING: Duration = Duration::from_secs(1);
/// Read at once, bytes.
const READ: usize = 32 << 10;

/// Answers a WebSocket request for a prepared stream; with a 101, the stream goes on by itself.
pub(super) async fn open(
    url: &str,
    request: Request<Incoming>,
    streams: Streams,
    idle: Duration,
    held: Held,
) -> Result<Response<Body>, DialError> {
    let named = |_: &str| CHANNELS.to_owned();
    websocket::open(url, request, &[RUNTIME_PROTOCOL], named, held, move |(client, runtime)| {
        run(client, runtime, streams, idle)
    })
    .await
}

/// How a stream ends.
enum Ending {
    /// The runtime said all.
    Over,
    /// The client does not want more.
    Left,
    /// It cannot go on.
    Failed(String),
}

async fn run<C, R>(client: WebSocketStream<C>, runtime: R, streams: Streams, idle: Duration)
where
    C: AsyncRead + AsyncWrite + Unpin,
    R: AsyncRead + AsyncWrite,
{
    let (mut to_client, mut from_client) = client.split();
    let (mut from_runtime, mut to_runtime) = tokio::io::split(runtime);
    let mut channels = Channels::open(streams);
    let mut outbox = Outbox::default();
    outbox.put(channels.greeting());
    let mut received = BytesMut::new();
    let last = Mutex::new(Instant::now());
    let moved = || *last.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    let opened_by = Instant::now() + OPENING;
    let mut listens = true;
    let ending = loop {
        let (is_clear, is_settled) = (outbox.is_clear(), channels.is_settled());
        let has_room = channels.has_room() && outbox.may_read();
        let has_frames = !channels.outgoing().is_empty();
        received.reserve(READ);
        // Cancel-safe, all of them: what was read is in a buffer of this loop, what was written is out of it.
        tokio::select! {
            message = from_client.next(), if has_room => match message {
                Some(Ok(Message::Binary(bytes))) => {
                    moved();
                    channels.take_message(bytes);
                }
                Some(Ok(Message::Text(text))) => {
                    moved();
                    channels.take_message(text.into());
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => break Ending::Left,
                Some(Ok(Message::Ping(_))) => outbox.pinged(),
                Some(Ok(_)) => {}
            },
            read = from_runtime.read_buf(&mut received), if is_clear => {
                match read {
                    Ok(0) | Err(_) if channels.has_status() => break Ending::Over,
                    Ok(0) => break Ending::Failed("the container runtime ended the stream without a status".to_owned()),
                    Ok(_) => moved(),
                    Err(error) => break Ending::Failed(format!("reading from the container runtime: {error}")),
                }
                if let Err(error) = channels.take_frames(&mut received, |message| outbox.put(message)) {
                    break Ending::Failed(format!("the container runtime sent {error}"));
                }
                if channels.is_over() {
                    break Ending::Over;
                }
            }
            written = to_runtime.write_buf(channels.outgoing()), if has_frames && listens => {
                // A runtime that is done closes, whatever the client still sends; its last words are read all the same.
                listens = written.is_ok_and(|written| written > 0);
            }
            sent = outbox.send(&mut to_client), if !is_clear => if sent.is_err() { break Ending::Left },
            () = idled(&last, idle) => break Ending::Failed("the stream was idle for too long".to_owned()),
            () = tokio::time::sleep_until(opened_by), if !is_settled => {
                break Ending::Failed("the container runtime did not take all streams in time".to_owned());
            }
        }
    };
    channels.leave();
    let leaving = async {
        to_runtime.write_all_buf(channels.outgoing()).await?;
        to_runtime.shutdown().await
    };
    // A runtime that does not listen learns of the end when the connection is gone.
    let _ = tokio::time::timeout(LEAVING, leaving).await;
    if !matches!(ending, Ending::Left) {
        websocket::deliver(&mut outbox, &mut to_client, &mut from_client, idled(&last, idle)).await;
    }
    match ending {
        Ending::Over => outbox.put(channels.status()),
        Ending::Failed(why) => {
            tracing::debug!(why, "A stream into a container ended early");
            outbox.put(channels::failure(&why));
        }
        Ending::Left => {}
    }
    websocket::close(outbox, &mut to_client, &mut from_client).await;
}

#[cfg(test)]
mod tests;
