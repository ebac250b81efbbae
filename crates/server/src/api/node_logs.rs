//! `/logs/`: files below `/var/log`, as Go's file server shows them, and lines of services.

use std::{
    convert::Infallible,
    io,
    path::Path,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::{
    Method, Response, StatusCode,
    body::{Body as HttpBody, Frame, SizeHint},
    header::{HeaderValue, LOCATION},
    http::request::Parts,
};
use seams::{NodeLogs, node_logs::NodeLog};
use tokio::io::{AsyncRead as _, ReadBuf};

use self::query::Asked;
use super::{
    answer::{Body, HTML, TEXT, full, not_allowed, not_found, of_type, text},
    paths::Parameters,
    query::Query,
};

/// Bytes of a file that are in memory at once.
const PIECE: usize = 32 << 10;

mod query;
mod services;

/// What is asked for, where queries are on; the file of the path otherwise.
pub(super) async fn serve(
    logs: &dyn NodeLogs,
    head: &Parts,
    parameters: &Parameters,
    queries: bool,
) -> Response<Body> {
    let asked = if queries {
        query::asked(&Query::parse(head.uri.query().unwrap_or_default()), &parameters.rest)
    } else {
        Ok(Asked::Nothing)
    };
    match asked {
        Ok(Asked::Nothing) if head.method != Method::GET => not_allowed("GET", "Method Not Allowed"),
        Ok(Asked::Nothing) => tree(logs, head.uri.path(), &parameters.rest).await,
        Ok(Asked::File(file)) => match logs.open(Path::new(&file)).await {
            Err(error) => text(StatusCode::NOT_ACCEPTABLE, format!("query: {file:?}: {error}\n")),
            // With a slash behind, a directory is shown in its place.
            Ok(_) => tree(logs, "/", &file).await,
        },
        Ok(Asked::Services(query)) => services::serve(logs.services(query), &head.headers),
        Err((status, message)) => text(status, message + "\n"),
    }
}

async fn tree(logs: &dyn NodeLogs, path: &str, below: &str) -> Response<Body> {
    match logs.open(Path::new(below)).await {
        Ok(NodeLog::Directory(names)) => {
            if path.ends_with('/') {
                of_type(StatusCode::OK, HTML, full(index(&names)))
            } else {
                to_directory(path)
            }
        }
        Ok(NodeLog::File(file, size)) => {
            let body = FileBody { file: tokio::fs::File::from_std(file), left: size };
            of_type(StatusCode::OK, TEXT, body.boxed_unsync())
        }
        Err(error) => match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => not_found(),
            io::ErrorKind::PermissionDenied => text(StatusCode::FORBIDDEN, "403 Forbidden\n"),
            _ => {
                tracing::warn!(%error, "Could not read below the log directory");
                text(StatusCode::INTERNAL_SERVER_ERROR, "500 Internal Server Error\n")
            }
        },
    }
}

/// Links in a page of a directory are relative, so that its address ends with a slash.
fn to_directory(path: &str) -> Response<Body> {
    let last = path.rsplit('/').next().unwrap_or_default();
    let mut response = text(StatusCode::MOVED_PERMANENTLY, "");
    if let Ok(location) = HeaderValue::from_str(&format!("{last}/")) {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}

fn index(names: &[String]) -> String {
    let mut page =
        "<!doctype html>\n<meta name=\"viewport\" content=\"width=device-width\">\n<pre>\n".to_owned();
    for name in names {
        page.push_str(&format!("<a href=\"./{}\">{}</a>\n", encoded(name), escaped(name)));
    }
    page.push_str("</pre>\n");
    page
}

fn encoded(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    let one = |byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    name.bytes().map(one).collect()
}

fn escaped(name: &str) -> String {
    let name = name.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    name.replace('"', "&#34;").replace('\'', "&#39;")
}

/// As much of a file as there was when it was opened: a log that grows has an end here.
struct FileBody {
    file: tokio::fs::File,
    left: u64,
}

impl HttpBody for FileBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let most = usize::try_from(self.left).unwrap_or(PIECE).min(PIECE);
        if most == 0 {
            return Poll::Ready(None);
        }
        let mut piece = BytesMut::zeroed(most);
        let mut buffer = ReadBuf::new(&mut piece);
        match Pin::new(&mut self.file).poll_read(cx, &mut buffer) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                let read = buffer.filled().len();
                self.left = self.left.saturating_sub(read as u64);
                piece.truncate(read);
                Poll::Ready(Some(Ok(Frame::data(piece.freeze()))))
            }
            // It became shorter, or cannot be read any more: an end without the announced length tells the client.
            Poll::Ready(_) => Poll::Ready(None),
        }
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_write_html() {
        let page = index(&["a&b<script>.log".to_owned(), "dir/".to_owned()]);
        assert!(page.contains("<a href=\"./a%26b%3Cscript%3E.log\">a&amp;b&lt;script&gt;.log</a>"), "{page}");
        assert!(page.contains("<a href=\"./dir/\">dir/</a>"), "{page}");
        assert!(!page.contains("<script>"));
    }

    #[tokio::test]
    async fn a_file_is_sent_in_pieces() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.log");
        let content: Vec<u8> = (0..3 * PIECE + 5).map(|at| u8::try_from(at % 251).unwrap()).collect();
        std::fs::write(&path, &content).unwrap();
        let file = tokio::fs::File::open(&path).await.unwrap();
        let body = FileBody { file, left: content.len() as u64 }.collect().await.unwrap().to_bytes();
        assert!(body == content);
    }
}
