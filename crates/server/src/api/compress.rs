//! Answers compressed on their way: nothing is ever whole in memory.

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
    Response,
    body::{Body as HttpBody, Frame},
    header::{ACCEPT_ENCODING, CONTENT_ENCODING, HeaderMap, HeaderValue},
};

use super::answer::Body;

const GZIP: HeaderValue = HeaderValue::from_static("gzip");

/// When what was compressed is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    /// Each piece at once: somebody watches it come.
    Promptly,
    /// When there is enough of it.
    InBlocks,
}

/// Whether a client takes gzip: it names it, or `*`, and not with `q=0`.
pub(super) fn accepts_gzip(asked: &HeaderMap) -> bool {
    let values = asked.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    let mut star = false;
    for coding in values.flat_map(|value| value.split(',')) {
        let (name, parameters) = coding.split_once(';').unwrap_or((coding, ""));
        let quality = parameters.trim().strip_prefix("q=").and_then(|text| text.trim().parse::<f32>().ok());
        let is_wanted = quality.is_none_or(|quality| quality > 0.0);
        match name.trim() {
            name if name.eq_ignore_ascii_case("gzip") => return is_wanted,
            "*" => star = is_wanted,
            _ => {}
        }
    }
    star
}

/// The same answer, compressed.
pub(super) fn gzipped(answer: Response<Body>, sent: Sent) -> Response<Body> {
    let mut answer = answer.map(|body| {
        // The kubelet's time is worth more than the last tenth of size.
        let encoder = Some(GzEncoder::new(Vec::new(), Compression::fast()));
        Gzip { body, encoder, sent }.boxed_unsync()
    });
    answer.headers_mut().insert(CONTENT_ENCODING, GZIP);
    answer
}

struct Gzip {
    body: Body,
    /// Until the end is written.
    encoder: Option<GzEncoder<Vec<u8>>>,
    sent: Sent,
}

impl HttpBody for Gzip {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = &mut *self;
        loop {
            let Some(encoder) = &mut this.encoder else { return Poll::Ready(None) };
            match std::task::ready!(Pin::new(&mut this.body).poll_frame(cx)) {
                None => {
                    // The end of the compressed stream, once. A vector takes all that is written to it.
                    let end = this.encoder.take().and_then(|encoder| encoder.finish().ok());
                    return Poll::Ready(end.map(|end| Ok(Frame::data(end.into()))));
                }
                Some(Ok(frame)) => {
                    // There are no trailers here.
                    let Ok(piece) = frame.into_data() else { continue };
                    let written = encoder.write_all(&piece).and_then(|()| match this.sent {
                        Sent::Promptly => encoder.flush(),
                        Sent::InBlocks => Ok(()),
                    });
                    debug_assert!(written.is_ok(), "a vector takes all");
                    if !encoder.get_ref().is_empty() {
                        let block = std::mem::take(encoder.get_mut());
                        return Poll::Ready(Some(Ok(Frame::data(block.into()))));
                    }
                }
                Some(Err(never)) => match never {},
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_asked_for() {
        let of = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(value));
            accepts_gzip(&headers)
        };
        for yes in ["gzip", "deflate, GZIP;q=0.5", "*", "br;q=1.0, gzip;q=0.8, *;q=0"] {
            assert!(of(yes), "{yes}");
        }
        for no in ["", "identity", "gzip;q=0", "gzip; q=0.0, *", "*;q=0", "br"] {
            assert!(!of(no), "{no}");
        }
        assert!(!accepts_gzip(&HeaderMap::new()));
    }
}
