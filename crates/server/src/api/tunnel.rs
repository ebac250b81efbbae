//! The way through: an upgraded connection to the runtime's streaming server, and bytes both ways.
//!
//! ```text
//!   client ══ upgrade ══▶ here ── the same upgrade ──▶ runtime (this machine only)
//!          ◀═ 101, its headers ═    ◀── 101 ──           otherwise: its answer is handed on
//! ```
//!
//! Nothing in the stream is looked at: SPDY or WebSocket, the runtime and the client agree. One side's end of sending is
//! handed on, and the other has a moment for its last words; a stream without a byte for the idle timeout ends.
//!
//! The caller's credentials stay here.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use hyper::{
    Request, Response, StatusCode, Version,
    body::Incoming,
    header::{
        AUTHORIZATION, CONNECTION, CONTENT_LENGTH, COOKIE, HOST, HeaderMap, TRANSFER_ENCODING, UPGRADE,
    },
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf},
    time::Instant,
};

use super::{
    answer::{Body, full},
    counting::Held,
    dial::{self, DialError},
    protocol_token,
    websocket::LAST_WORDS,
};

/// Answers an upgrade request with what the runtime answers to it; with a 101, the stream goes on by itself.
pub(super) async fn open(
    url: &str,
    mut request: Request<Incoming>,
    idle: Duration,
    held: Held,
) -> Result<Response<Body>, DialError> {
    if request.version() != Version::HTTP_11 || !is_upgrade(request.headers()) {
        return Err(DialError::NoUpgrade);
    }
    let client = hyper::upgrade::on(&mut request);
    let mut answer = dial::ask(url, request.method().clone(), passed_on(request.headers())).await?;
    if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Ok(dial::handed_on(answer).await);
    }
    let runtime = hyper::upgrade::on(&mut answer);
    let mut response = Response::new(full(Bytes::new()));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    *response.headers_mut() = answer.headers().clone();
    tokio::spawn(async move {
        match tokio::try_join!(client, runtime) {
            Ok((client, runtime)) => {
                if let Err(error) = carry(TokioIo::new(client), TokioIo::new(runtime), idle).await {
                    tracing::debug!(%error, "A stream into a container ended early");
                }
            }
            Err(error) => tracing::debug!(%error, "An upgrade was not completed"),
        }
        drop(held);
    });
    Ok(response)
}

/// As upstream tells upgrades from other requests.
pub(super) fn is_upgrade(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    headers.contains_key(UPGRADE) && values.any(|value| value.to_ascii_lowercase().contains("upgrade"))
}

/// Everything but the caller's credentials and what belongs to the connection's framing.
fn passed_on(headers: &HeaderMap) -> HeaderMap {
    let mut headers = headers.clone();
    for name in [HOST, AUTHORIZATION, COOKIE, CONTENT_LENGTH, TRANSFER_ENCODING] {
        headers.remove(name);
    }
    protocol_token::remove(&mut headers);
    headers
}

async fn carry<C, R>(client: C, runtime: R, idle: Duration) -> io::Result<()>
where
    C: AsyncRead + AsyncWrite + Send + Unpin,
    R: AsyncRead + AsyncWrite + Send + Unpin,
{
    let last = Arc::new(Mutex::new(Instant::now()));
    let client = Watched { stream: client, last: Arc::clone(&last) };
    let runtime = Watched { stream: runtime, last: Arc::clone(&last) };
    let (mut from_client, mut to_client) = tokio::io::split(client);
    let (mut from_runtime, mut to_runtime) = tokio::io::split(runtime);
    // A runtime that is done closes, whatever the client still sends; its last words are read all the same.
    let up = async {
        if let Err(error) = tokio::io::copy(&mut from_client, &mut to_runtime).await {
            tracing::debug!(%error, "The way to the runtime ended early");
        }
        let _ = to_runtime.shutdown().await;
        io::Result::Ok(())
    };
    let down = async {
        tokio::io::copy(&mut from_runtime, &mut to_client).await?;
        to_client.shutdown().await
    };
    // A command that runs on without a word must not hold the connection of a client that is gone.
    let both = async {
        tokio::pin!(up, down);
        // Cancel-safe: who has not ended is only borrowed.
        let rest: Pin<&mut (dyn Future<Output = io::Result<()>> + Send)> = tokio::select! {
            ended = &mut up => ended.map(|()| down as _)?,
            ended = &mut down => ended.map(|()| up as _)?,
        };
        *last.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        // Cancel-safe: who has nothing to say is dropped for good.
        tokio::select! {
            ended = rest => ended,
            () = idled(&last, LAST_WORDS) => Ok(()),
        }
    };
    // Cancel-safe: when the stream has been idle for too long, it is dropped for good.
    tokio::select! {
        ended = both => ended,
        () = idled(&last, idle) => Err(io::ErrorKind::TimedOut.into()),
    }
}

/// Ends when no byte went either way for the time; zero is no limit.
pub(super) async fn idled(last: &Mutex<Instant>, idle: Duration) {
    if idle.is_zero() {
        return std::future::pending().await;
    }
    loop {
        let until = *last.lock().unwrap_or_else(PoisonError::into_inner) + idle;
        if until <= Instant::now() {
            return;
        }
        tokio::time::sleep_until(until).await;
    }
}

/// A stream that notes when it last moved.
struct Watched<S> {
    stream: S,
    last: Arc<Mutex<Instant>>,
}

impl<S> Watched<S> {
    fn moved(&self) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if read.is_ready() {
            self.moved();
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        if written.is_ready() {
            self.moved();
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, DuplexStream, duplex};

    use super::*;

    #[test]
    fn credentials_stay_here() {
        use hyper::header::HeaderValue;
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::from_static("Bearer secret"));
        headers.insert(COOKIE, HeaderValue::from_static("secret"));
        headers.insert("x-stream-protocol-version", HeaderValue::from_static("v5.channel.k8s.io"));
        headers.append("x-stream-protocol-version", HeaderValue::from_static("v4.channel.k8s.io"));
        let protocols = "v4.channel.k8s.io, base64url.bearer.authorization.k8s.io.c2VjcmV0";
        headers.insert("sec-websocket-protocol", HeaderValue::from_static(protocols));
        let passed = passed_on(&headers);
        assert_eq!(passed.get_all("x-stream-protocol-version").iter().count(), 2);
        assert_eq!(passed["sec-websocket-protocol"], "v4.channel.k8s.io");
        assert_eq!(passed.len(), 3);
    }

    /// The other ends of client and runtime, and what carries between them.
    fn carried() -> (DuplexStream, DuplexStream, tokio::task::JoinHandle<io::Result<()>>) {
        let ((client, here), (there, runtime)) = (duplex(64), duplex(64));
        (client, runtime, tokio::spawn(carry(here, there, Duration::ZERO)))
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_command_does_not_outlive_its_client() {
        let (client, _runtime, carrying) = carried();
        tokio::time::sleep(LAST_WORDS * 2).await;
        assert!(!carrying.is_finished(), "silence alone ends nothing");
        drop(client);
        let gone = Instant::now();
        carrying.await.unwrap().unwrap();
        assert_eq!(gone.elapsed().as_secs(), LAST_WORDS.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn words_that_go_on_are_heard_to_the_end() {
        let (mut client, mut runtime, carrying) = carried();
        client.shutdown().await.unwrap();
        for _ in 0..10 {
            tokio::time::sleep(LAST_WORDS / 2).await;
            runtime.write_all(b"word").await.unwrap();
            let mut word = [0; 4];
            client.read_exact(&mut word).await.unwrap();
        }
        drop(runtime);
        assert_eq!(client.read(&mut [0; 4]).await.unwrap(), 0);
        carrying.await.unwrap().unwrap();
    }
}
