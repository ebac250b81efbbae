//! One GET over the local socket.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{Request, header};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;

/// For the whole exchange: the kubelet answers from memory.
const DEADLINE: Duration = Duration::from_secs(10);
/// Largest answer: the list of some thousand pods.
const MAX_BYTES: usize = 16 << 20;

/// What the kubelet answered.
#[derive(Debug)]
pub(super) struct Answer {
    /// HTTP status.
    pub(super) status: u16,
    /// Body.
    pub(super) body: String,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum AskError {
    /// The socket cannot be opened.
    #[error("cannot ask the kubelet at {}: {}\nhint: {}", path.display(), cause(source), hint(source))]
    Connect {
        /// Socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The connection ended without an answer.
    #[error(
        "the kubelet at {} closed the connection: {cause}\nhint: only root may ask; its log tells more",
        path.display()
    )]
    Closed {
        /// Socket.
        path: PathBuf,
        /// Why.
        cause: String,
    },
    /// No answer in time.
    #[error(
        "the kubelet at {} did not answer within {DEADLINE:?}\nhint: is it busy, or stopped? look at its log and its CPU time",
        path.display()
    )]
    Silent {
        /// Socket.
        path: PathBuf,
    },
    /// The answer is none of a kubelet of this version.
    #[error("cannot understand the answer: {cause}\nhint: use the binary that is running, or -o json")]
    Foreign {
        /// Why.
        cause: String,
    },
}

fn cause(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such socket",
        io::ErrorKind::ConnectionRefused => "nothing listens on it",
        io::ErrorKind::PermissionDenied => "permission denied",
        io::ErrorKind::InvalidInput => "the path is too long for a socket",
        _ => "the socket cannot be opened",
    }
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => "is the kubelet running? with another --root-dir, give the same one here",
        io::ErrorKind::ConnectionRefused => "the kubelet has stopped; look at its log",
        io::ErrorKind::PermissionDenied => "ask as root",
        _ => "look at the file",
    }
}

/// Asks.
///
/// # Errors
/// [`AskError`].
pub(super) async fn get(path: &Path, target: &str) -> Result<Answer, AskError> {
    match tokio::time::timeout(DEADLINE, exchange(path, target)).await {
        Ok(result) => result,
        Err(_) => Err(AskError::Silent { path: path.to_owned() }),
    }
}

async fn exchange(path: &Path, target: &str) -> Result<Answer, AskError> {
    let connect = |source| AskError::Connect { path: path.to_owned(), source };
    let closed = |cause: String| AskError::Closed { path: path.to_owned(), cause };
    let stream = UnixStream::connect(path).await.map_err(connect)?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| closed(error.to_string()))?;
    // Ends with the sender: the connection is good for one request.
    tokio::spawn(async move { drop(connection.await) });
    let request = Request::get(target).header(header::HOST, "kubelet").body(Empty::<Bytes>::new());
    let request = request.map_err(|error| AskError::Foreign { cause: error.to_string() })?;
    let answer = sender.send_request(request).await.map_err(|error| closed(error.to_string()))?;
    let status = answer.status().as_u16();
    let body = Limited::new(answer.into_body(), MAX_BYTES).collect().await;
    let body = body.map_err(|error| AskError::Foreign { cause: error.to_string() })?.to_bytes();
    let body =
        String::from_utf8(body.to_vec()).map_err(|error| AskError::Foreign { cause: error.to_string() })?;
    Ok(Answer { status, body })
}

/// A value for a query: what is not plain is percent-encoded.
pub(super) fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'/' => out.push(char::from(byte)),
            other => out.push_str(&format!("%{other:02X}")),
        }
        out
    })
}
