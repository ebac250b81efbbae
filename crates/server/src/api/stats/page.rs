//! A page whose families are written as the client takes them.
//!
//! A page about a hundred pods has several megabytes; a family has some tens of kilobytes.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::Frame;
use metrics::{table::Metric, text::Page};

use super::super::answer::Body;

/// A page in parts.
struct Parts<I>(I);

impl<I: Iterator<Item = String> + Unpin> hyper::body::Body for Parts<I> {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.next().map(|part| Ok(Frame::data(part.into()))))
    }
}

/// A body that is made from these parts, none of which is empty.
pub(super) fn parts(parts: impl Iterator<Item = String> + Send + Unpin + 'static) -> Body {
    Parts(parts.filter(|part| !part.is_empty())).boxed_unsync()
}

/// Writes one family; nothing when it has no samples.
pub(super) fn family(metric: &'static Metric, samples: impl FnOnce(&mut Page)) -> String {
    let mut page = Page::new();
    page.family(metric.name, metric.stability, metric.help, metric.kind);
    samples(&mut page);
    if page.has_samples() { page.finish() } else { String::new() }
}
