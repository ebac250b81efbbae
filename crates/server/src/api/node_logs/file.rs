//! A file on its way: all of it, one part, or nothing where the client has it already (RFC 9110, sections 13 and 14).
//!
//! As Go's file server, but for several parts at once: who asks for those gets all.

use std::{
    convert::Infallible,
    fs::File,
    io::{Seek as _, SeekFrom},
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::{
    Response, StatusCode,
    body::{Body as HttpBody, Frame, SizeHint},
    header::{
        ACCEPT_RANGES, CONTENT_RANGE, HeaderMap, HeaderName, HeaderValue, IF_MODIFIED_SINCE, IF_RANGE,
        LAST_MODIFIED, RANGE,
    },
};
use jiff::{Timestamp, fmt::rfc2822};
use tokio::io::{AsyncRead as _, ReadBuf};

use crate::api::answer::{Body, TEXT, full, of_type, text};

/// Bytes of a file that are in memory at once.
const PIECE: usize = 32 << 10;

/// What is sent of a file.
#[derive(Debug, PartialEq, Eq)]
enum Part {
    All,
    /// From a byte on, so many.
    Span(u64, u64),
    /// What was asked for is not there.
    Nothing,
}

/// The answer about an open file that had this size when it was opened.
pub(super) fn serve(mut file: File, size: u64, asked: &HeaderMap) -> Response<Body> {
    let modified = file.metadata().and_then(|found| found.modified()).ok();
    let modified = modified.and_then(|time| Timestamp::try_from(time).ok()).map(Timestamp::as_second);
    let date = |name: HeaderName| {
        let date = asked.get(name)?.to_str().ok()?;
        rfc2822::DateTimeParser::new().parse_timestamp(date).ok().map(Timestamp::as_second)
    };
    let mut answer = match part(asked, size, asked.contains_key(IF_RANGE).then(|| date(IF_RANGE) == modified))
    {
        _ if modified.is_some() && date(IF_MODIFIED_SINCE) >= modified => {
            let mut answer = Response::new(full(Bytes::new()));
            *answer.status_mut() = StatusCode::NOT_MODIFIED;
            answer
        }
        Part::Nothing => {
            ranged(text(StatusCode::RANGE_NOT_SATISFIABLE, "416 Range Not Satisfiable\n"), "*", size)
        }
        Part::Span(first, length) if file.seek(SeekFrom::Start(first)).is_ok() => {
            let body = FileBody { file: tokio::fs::File::from_std(file), left: length };
            let answer = of_type(StatusCode::PARTIAL_CONTENT, TEXT, body.boxed_unsync());
            ranged(answer, &format!("{first}-{}", first + length - 1), size)
        }
        Part::All | Part::Span(..) => {
            let body = FileBody { file: tokio::fs::File::from_std(file), left: size };
            of_type(StatusCode::OK, TEXT, body.boxed_unsync())
        }
    };
    answer.headers_mut().insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    let modified = modified.and_then(|second| Timestamp::from_second(second).ok());
    let modified =
        modified.and_then(|time| rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&time).ok());
    if let Some(modified) = modified.and_then(|text| HeaderValue::from_str(&text).ok()) {
        answer.headers_mut().insert(LAST_MODIFIED, modified);
    }
    answer
}

fn ranged(mut answer: Response<Body>, range: &str, size: u64) -> Response<Body> {
    if let Ok(range) = HeaderValue::from_str(&format!("bytes {range}/{size}")) {
        answer.headers_mut().insert(CONTENT_RANGE, range);
    }
    answer
}

/// `is_same` says whether the file is still the one of which a part is wanted, where the client asks that.
fn part(asked: &HeaderMap, size: u64, is_same: Option<bool>) -> Part {
    let Some(range) = asked.get(RANGE).filter(|_| is_same != Some(false)) else { return Part::All };
    let span = range.to_str().ok().and_then(|range| range.strip_prefix("bytes="));
    match span.map(str::trim) {
        Some(spans) if spans.contains(',') => Part::All,
        Some(span) => of_span(span, size),
        None => Part::Nothing,
    }
}

/// `FIRST-LAST`, `FIRST-`, or `-LENGTH` for the end.
fn of_span(span: &str, size: u64) -> Part {
    let Some((first, last)) = span.split_once('-') else { return Part::Nothing };
    let number = |text: &str| text.trim().parse::<u64>().ok();
    let first_and_end = match (first.trim(), last.trim()) {
        ("", length) => number(length).map(|length| (size.saturating_sub(length), size)),
        (first, "") => number(first).map(|first| (first, size)),
        (first, last) => number(first).zip(number(last).map(|last| last.saturating_add(1).min(size))),
    };
    match first_and_end {
        Some((first, end)) if first < end => Part::Span(first, end - first),
        // Of an empty file every part is all of it.
        Some(_) if size == 0 => Part::All,
        _ => Part::Nothing,
    }
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

    fn file(content: &[u8]) -> File {
        let path = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&path, content).unwrap();
        File::open(&path).unwrap()
    }

    async fn ask(asked: &[(HeaderName, &str)]) -> (u16, HeaderMap, Bytes) {
        let file = file(b"0123456789");
        let modified = std::time::UNIX_EPOCH + std::time::Duration::from_millis(1_704_882_885_700);
        file.set_modified(modified).unwrap();
        let pairs = asked.iter().map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap()));
        let (head, body) = serve(file, 10, &pairs.collect()).into_parts();
        (head.status.as_u16(), head.headers, body.collect().await.unwrap().to_bytes())
    }

    #[tokio::test]
    async fn one_part_may_be_had() {
        for (range, status, body, told) in [
            ("bytes=2-4", 206, "234", "bytes 2-4/10"),
            ("bytes=7-", 206, "789", "bytes 7-9/10"),
            ("bytes=-3", 206, "789", "bytes 7-9/10"),
            ("bytes=8-99", 206, "89", "bytes 8-9/10"),
            ("bytes=-99", 206, "0123456789", "bytes 0-9/10"),
            ("bytes=10-", 416, "416 Range Not Satisfiable\n", "bytes */10"),
            ("bytes=4-2", 416, "416 Range Not Satisfiable\n", "bytes */10"),
            ("lines=1-2", 416, "416 Range Not Satisfiable\n", "bytes */10"),
        ] {
            let (seen, headers, content) = ask(&[(RANGE, range)]).await;
            assert_eq!((seen, &*content), (status, body.as_bytes()), "{range}");
            assert_eq!(headers[CONTENT_RANGE], told, "{range}");
        }
        let (status, headers, content) = ask(&[(RANGE, "bytes=0-1,4-5")]).await;
        assert_eq!((status, content.len(), headers.get(CONTENT_RANGE)), (200, 10, None));
        assert_eq!(of_span("0-", 0), Part::All);
    }

    #[tokio::test]
    async fn what_the_client_has_is_not_sent_again() {
        let date = "Wed, 10 Jan 2024 10:34:45 GMT";
        let (status, headers, _) = ask(&[]).await;
        assert_eq!((status, headers[LAST_MODIFIED].to_str().unwrap()), (200, date));
        let (status, headers, body) = ask(&[(IF_MODIFIED_SINCE, date)]).await;
        assert_eq!((status, body.len(), headers[LAST_MODIFIED].to_str().unwrap()), (304, 0, date));
        assert_eq!(ask(&[(IF_MODIFIED_SINCE, "Wed, 10 Jan 2024 10:34:44 GMT")]).await.0, 200);
        assert_eq!(ask(&[(IF_MODIFIED_SINCE, "yesterday")]).await.0, 200);
        // A part only of the file that the client knows.
        assert_eq!(ask(&[(RANGE, "bytes=1-2"), (IF_RANGE, date)]).await.0, 206);
        assert_eq!(ask(&[(RANGE, "bytes=1-2"), (IF_RANGE, "\"tag\"")]).await.0, 200);
    }

    #[tokio::test]
    async fn a_file_is_sent_in_pieces() {
        let content: Vec<u8> = (0..3 * PIECE + 5).map(|at| u8::try_from(at % 251).unwrap()).collect();
        let body = FileBody { file: tokio::fs::File::from_std(file(&content)), left: content.len() as u64 };
        assert!(body.collect().await.unwrap().to_bytes() == content);
    }
}
