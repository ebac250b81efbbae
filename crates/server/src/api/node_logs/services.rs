//! Lines of services on their way to the client, compressed for those who ask for nothing but gzip.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::{
    Response, StatusCode,
    body::{Body as HttpBody, Frame},
    header::{ACCEPT_ENCODING, HeaderMap, HeaderValue},
};
use tokio::sync::mpsc;

use crate::api::{
    answer::{Body, of_type},
    compress::{Sent, gzipped},
};

/// In upstream's spelling, which differs here from that of other pages.
const PLAIN: HeaderValue = HeaderValue::from_static("text/plain;charset=UTF-8");

pub(super) fn serve(lines: mpsc::Receiver<Bytes>, asked: &HeaderMap) -> Response<Body> {
    let answer = of_type(StatusCode::OK, PLAIN, Lines(lines).boxed_unsync());
    let is_compressed = asked.get(ACCEPT_ENCODING).is_some_and(|value| value == "gzip");
    // Each piece can be read when it arrives.
    if is_compressed { gzipped(answer, Sent::Promptly) } else { answer }
}

struct Lines(mpsc::Receiver<Bytes>);

impl HttpBody for Lines {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(cx).map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use hyper::header::CONTENT_ENCODING;

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
