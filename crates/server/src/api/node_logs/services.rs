//! Lines of services on their way to the client, compressed for those who ask for nothing but gzip.

use std::{
    convert::Infallible,
    io::Write as _,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use http_body_util::BodyExt as _;
use hyper::{
    Response, StatusCode,
    body::{Body as HttpBody, Frame},
    header::{ACCEPT_ENCODING, CONTENT_ENCODING, HeaderMap, HeaderValue},
};
use tokio::sync::mpsc;

use crate::api::answer::{Body, of_type};

/// In upstream's spelling, which differs here from that of other pages.
const PLAIN: HeaderValue = HeaderValue::from_static("text/plain;charset=UTF-8");

pub(super) fn serve(lines: mpsc::Receiver<Bytes>, asked: &HeaderMap) -> Response<Body> {
    let is_compressed = asked.get(ACCEPT_ENCODING).is_some_and(|value| value == "gzip");
    let gzip = is_compressed.then(|| GzEncoder::new(Vec::new(), Compression::fast()));
    let mut response = of_type(StatusCode::OK, PLAIN, Lines { lines, gzip }.boxed_unsync());
    if is_compressed {
        response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

struct Lines {
    lines: mpsc::Receiver<Bytes>,
    gzip: Option<GzEncoder<Vec<u8>>>,
}

impl HttpBody for Lines {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = &mut *self;
        let Some(piece) = std::task::ready!(this.lines.poll_recv(cx)) else {
            // The end of the compressed stream, once. A vector takes all that is written to it.
            let end = this.gzip.take().and_then(|gzip| gzip.finish().ok());
            return Poll::Ready(end.map(|end| Ok(Frame::data(end.into()))));
        };
        let piece = match &mut this.gzip {
            None => piece,
            Some(gzip) => {
                // Each piece can be read when it arrives.
                let written = gzip.write_all(&piece).and_then(|()| gzip.flush());
                debug_assert!(written.is_ok(), "a vector takes all");
                std::mem::take(gzip.get_mut()).into()
            }
        };
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    async fn body(encoding: Option<&'static str>) -> (Option<HeaderValue>, Bytes) {
        let (sender, lines) = mpsc::channel(4);
        for line in ["one\n", "two\n"] {
            sender.send(Bytes::from_static(line.as_bytes())).await.unwrap();
        }
        drop(sender);
        let mut asked = HeaderMap::new();
        if let Some(encoding) = encoding {
            asked.insert(ACCEPT_ENCODING, HeaderValue::from_static(encoding));
        }
        let (head, body) = serve(lines, &asked).into_parts();
        (head.headers.get(CONTENT_ENCODING).cloned(), body.collect().await.unwrap().to_bytes())
    }

    #[tokio::test]
    async fn lines_are_compressed_for_who_asks_for_just_that() {
        for plain in [None, Some("gzip, br"), Some("identity")] {
            assert_eq!(body(plain).await, (None, Bytes::from_static(b"one\ntwo\n")));
        }
        let (encoding, compressed) = body(Some("gzip")).await;
        assert_eq!(encoding.unwrap(), "gzip");
        let mut text = String::new();
        flate2::read::GzDecoder::new(&compressed[..]).read_to_string(&mut text).unwrap();
        assert_eq!(text, "one\ntwo\n");
    }
}
