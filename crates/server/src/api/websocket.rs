//! WebSockets that end here: which ones, their handshake, and sending on them.
//!
//! Only two kinds do (contract §25): channels with a close signal for exec and attach, which [`super::translate`] turns
//! into SPDY, and SPDY itself in binary messages for port forwards ([`super::spdy_tunnel`]). Any other upgrade goes
//! through to the runtime.
//!
//! A ping is answered when it is read, in its place among the messages: while a container does not read its input, the
//! client's pings wait behind it, as with upstream. A client that pings and does not read the answers is not read either
//! until it does.
//!
//! What is sent waits for the client for as long as the stream may be idle, also behind the end of the runtime's side;
//! only the last words, status and close, have a time of their own.

use std::{collections::VecDeque, time::Duration};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use futures::{Sink, SinkExt as _, Stream, StreamExt as _};
use hyper::{
    Method, Request, Response, StatusCode, Version,
    body::Incoming,
    header::{
        CONNECTION, HeaderMap, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
        SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
    },
    upgrade::{OnUpgrade, Upgraded},
};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Error, Message,
        protocol::{CloseFrame, Role, WebSocketConfig, frame::coding::CloseCode},
    },
};

use super::{
    answer::{Body, full, not_allowed},
    counting::Held,
    dial::{self, DialError},
    tunnel::is_upgrade,
};

/// Channels with a close signal.
pub(super) const CHANNELS: &str = "v5.channel.k8s.io";
/// What a WebSocket that carries SPDY is called, before the protocol in it.
pub(super) const SPDY: &str = "SPDY/3.1+";
/// Longest message, bytes. Clients send pieces of 32 KiB; one that sends a file in one message has to cut it.
const LONGEST_MESSAGE: usize = 4 << 20;
/// Read at once, bytes.
const READ: usize = 16 << 10;
/// What waits for the client to read it, bytes: more than ever does. A message is what is read of the runtime at once, a
/// few hundred kilobytes at the most; tungstenite writes from 128 KiB on and holds more back while the socket is full.
const WAITING: usize = 1 << 20;
/// Pings whose answers wait for the client to read them; an answer has at most 127 bytes.
const PINGS: usize = 256;
/// For the last words at the end, and then for the client to close.
pub(super) const LAST_WORDS: Duration = Duration::from_secs(10);
const CLOSING: Duration = Duration::from_secs(5);
/// RFC 6455, section 1.3.
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const STREAM_PROTOCOL: HeaderName = HeaderName::from_static("x-stream-protocol-version");

/// Whether a request is for a WebSocket.
pub(super) fn is_websocket(headers: &HeaderMap) -> bool {
    let upgrade = headers.get(UPGRADE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    upgrade.eq_ignore_ascii_case("websocket") && is_upgrade(headers)
}

/// Protocols that the client offers, in its order.
pub(super) fn protocols(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let values = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim)
}

/// Both ends of a stream, when their upgrades are done.
pub(super) type Ends = (WebSocketStream<TokioIo<Upgraded>>, TokioIo<Upgraded>);

/// Upgrades on both sides: to SPDY with one of `inner` at the runtime, to a WebSocket of the protocol that `named` makes
/// of it at the client. What the runtime refuses is handed on; otherwise `carry` has both ends from then on.
pub(super) async fn open<F>(
    url: &str,
    mut request: Request<Incoming>,
    inner: &[&str],
    named: impl FnOnce(&str) -> String,
    held: Held,
    carry: impl FnOnce(Ends) -> F + Send + 'static,
) -> Result<Response<Body>, DialError>
where
    F: Future<Output = ()> + Send + 'static,
{
    if request.version() != Version::HTTP_11 {
        return Err(DialError::NoUpgrade);
    }
    if request.method() != Method::GET {
        return Ok(not_allowed("GET", "Method Not Allowed"));
    }
    let accept = accept(request.headers())?;
    let client: OnUpgrade = hyper::upgrade::on(&mut request);
    let mut headers = HeaderMap::new();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("SPDY/3.1"));
    for protocol in inner {
        let protocol =
            HeaderValue::from_str(protocol).map_err(|_| DialError::Handshake("a protocol's name"))?;
        headers.append(STREAM_PROTOCOL, protocol);
    }
    let mut answer = dial::ask(url, Method::POST, headers).await?;
    if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Ok(dial::handed_on(answer).await);
    }
    let chosen = answer.headers().get(STREAM_PROTOCOL).and_then(|value| value.to_str().ok());
    let chosen =
        chosen.and_then(|chosen| inner.iter().find(|one| **one == chosen)).ok_or(DialError::Protocol)?;
    let runtime = hyper::upgrade::on(&mut answer);
    let response = switched(accept, &named(chosen))?;
    tokio::spawn(async move {
        match tokio::try_join!(client, runtime) {
            Ok((client, runtime)) => carry((socket(TokioIo::new(client)).await, TokioIo::new(runtime))).await,
            Err(error) => tracing::debug!(%error, "An upgrade was not completed"),
        }
        drop(held);
    });
    Ok(response)
}

fn switched(accept: HeaderValue, protocol: &str) -> Result<Response<Body>, DialError> {
    let mut response = Response::new(full(Bytes::new()));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    let protocol = HeaderValue::from_str(protocol).map_err(|_| DialError::Handshake("a protocol's name"))?;
    headers.insert(SEC_WEBSOCKET_PROTOCOL, protocol);
    Ok(response)
}

/// What proves that the handshake was understood; RFC 6455, section 4.2.
fn accept(headers: &HeaderMap) -> Result<HeaderValue, DialError> {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    if text(SEC_WEBSOCKET_VERSION) != Some("13") {
        return Err(DialError::Handshake("Sec-WebSocket-Version is not 13"));
    }
    let key = text(SEC_WEBSOCKET_KEY).map(str::trim).unwrap_or_default();
    if BASE64_STANDARD.decode(key).map(|bytes| bytes.len()) != Ok(16) {
        return Err(DialError::Handshake("Sec-WebSocket-Key is not 16 bytes in base64"));
    }
    let digest =
        ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, format!("{key}{GUID}").as_bytes());
    HeaderValue::from_str(&BASE64_STANDARD.encode(digest)).map_err(|_| DialError::Handshake("its key"))
}

/// The server's end of a WebSocket on a connection that was upgraded.
pub(super) async fn socket<S: AsyncRead + AsyncWrite + Unpin>(stream: S) -> WebSocketStream<S> {
    let config = WebSocketConfig::default()
        .read_buffer_size(READ)
        .max_write_buffer_size(WAITING)
        .max_message_size(Some(LONGEST_MESSAGE))
        .max_frame_size(Some(LONGEST_MESSAGE));
    WebSocketStream::from_raw_socket(stream, Role::Server, Some(config)).await
}

/// Messages on their way to the client.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    waiting: VecDeque<Message>,
    /// Something was sent, and may still be in a buffer.
    unflushed: bool,
    /// Pings whose answers may.
    pings: usize,
}

impl Outbox {
    pub(super) fn put(&mut self, bytes: Bytes) {
        self.waiting.push_back(Message::Binary(bytes));
        self.unflushed = true;
    }

    /// The client sent a ping; its answer goes with what is sent next.
    pub(super) fn pinged(&mut self) {
        self.pings += 1;
        self.unflushed = true;
    }

    /// Whether another message of the client may be read.
    pub(super) fn may_read(&self) -> bool {
        self.pings < PINGS
    }

    /// Whether all is sent.
    pub(super) fn is_clear(&self) -> bool {
        !self.unflushed
    }

    /// Sends all. Cancel-safe: a message is here or in the sink's buffer.
    pub(super) async fn send(
        &mut self,
        client: &mut (impl Sink<Message, Error = Error> + Unpin),
    ) -> Result<(), Error> {
        while !self.waiting.is_empty() {
            futures::future::poll_fn(|cx| client.poll_ready_unpin(cx)).await?;
            if let Some(message) = self.waiting.pop_front() {
                client.start_send_unpin(message)?;
            }
        }
        client.flush().await?;
        (self.unflushed, self.pings) = (false, 0);
        Ok(())
    }
}

/// Sends what waits, until `over`: a client that reads late misses nothing. What it still sends is dropped; its end is the
/// end of this.
pub(super) async fn deliver(
    outbox: &mut Outbox,
    client: &mut (impl Sink<Message, Error = Error> + Unpin),
    from_client: &mut (impl Stream<Item = Result<Message, Error>> + Unpin),
    over: impl Future<Output = ()>,
) {
    let mut over = std::pin::pin!(over);
    while !outbox.is_clear() {
        let may_read = outbox.may_read();
        // Cancel-safe, all of them: a message is in the outbox or in the sink's buffer, and what is read is of no use.
        tokio::select! {
            sent = outbox.send(client) => if sent.is_err() { return },
            message = from_client.next(), if may_read => match message {
                Some(Ok(Message::Ping(_))) => outbox.pinged(),
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) => {}
            },
            () = over.as_mut() => return,
        }
    }
}

/// Says the last words and closes. What the client still sends is read and dropped: a socket that is closed with unread
/// bytes takes what was sent before with it.
pub(super) async fn close(
    mut outbox: Outbox,
    client: &mut (impl Sink<Message, Error = Error> + Unpin),
    from_client: &mut (impl Stream<Item = Result<Message, Error>> + Unpin),
) {
    let normal = CloseFrame { code: CloseCode::Normal, reason: "".into() };
    outbox.waiting.push_back(Message::Close(Some(normal)));
    if let Ok(Ok(())) = tokio::time::timeout(LAST_WORDS, outbox.send(client)).await {
        let closed = async { while let Some(Ok(_)) = from_client.next().await {} };
        let _ = tokio::time::timeout(CLOSING, closed).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pairs = pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        pairs.collect()
    }

    #[test]
    fn a_handshake_is_checked() {
        let good = [("sec-websocket-version", "13"), ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")];
        // The example of RFC 6455, section 1.3.
        assert_eq!(accept(&headers(&good)).unwrap(), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        for (name, value) in [
            ("sec-websocket-version", "8"),
            ("sec-websocket-key", "c2hvcnQ="),
            ("sec-websocket-key", "no base 64"),
            ("sec-websocket-key", ""),
        ] {
            let mut bad = headers(&good);
            bad.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
            assert!(matches!(accept(&bad), Err(DialError::Handshake(_))), "{name}: {value}");
        }
    }

    #[test]
    fn web_sockets_are_told_from_other_upgrades() {
        assert!(is_websocket(&headers(&[("upgrade", "WebSocket"), ("connection", "keep-alive, Upgrade")])));
        assert!(!is_websocket(&headers(&[("upgrade", "SPDY/3.1"), ("connection", "Upgrade")])));
        assert!(!is_websocket(&headers(&[("upgrade", "websocket")])));
        let offered = headers(&[("sec-websocket-protocol", "v4.channel.k8s.io, v5.channel.k8s.io")]);
        assert_eq!(protocols(&offered).collect::<Vec<_>>(), ["v4.channel.k8s.io", CHANNELS]);
    }
}
