//! Answers on their way, and clients that do not take them.
//!
//! ```text
//!   piece ── given to hyper ──▶ offered ── hyper asks for the next one ──▶ piece …
//!                                  └── not within the client's time: let go
//! ```
//!
//! hyper asks a body for more when the client has taken enough of what went before: on HTTP/1 all but 128 KiB of it, on
//! HTTP/2 all that its window allows. So an answer that is not asked for more is one whose client does not read. What it
//! holds is let go then. A body that has nothing to give yet, a followed log, waits for nobody.
//!
//! Pieces are short, so that being asked is a sign of progress, and little waits where it cannot be seen.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Weak},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::{super::answer::Body, Busy};

/// Longest piece, bytes: that of a frame of HTTP/2.
const PIECE: usize = 16 << 10;

/// An answer's body, until it is sent or let go.
#[derive(Debug)]
pub(in crate::api) struct Outgoing(Arc<Mutex<Rest>>);

/// What is left of it.
#[derive(Debug)]
struct Rest {
    /// `None` when it was let go.
    body: Option<Body>,
    /// Of what the body gave, what did not fit into a piece.
    bytes: Bytes,
    busy: Option<Busy>,
    /// Since when it is the client's turn.
    offered: Option<Instant>,
    /// For so long; `None` for ever.
    patience: Option<Duration>,
}

/// Sees to an answer.
#[derive(Clone, Debug)]
pub(super) struct Watch(Weak<Mutex<Rest>>);

/// What there is to do for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Nothing, as it stands.
    Nothing,
    /// It has to be looked at then.
    Look(Instant),
    /// It was let go.
    LetGo,
}

impl Outgoing {
    pub(super) fn new(body: Body, busy: Busy, patience: Option<Duration>) -> (Self, Watch) {
        let offered = Some(Instant::now());
        let rest = Rest { body: Some(body), bytes: Bytes::new(), busy: Some(busy), offered, patience };
        let rest = Arc::new(Mutex::new(rest));
        let watch = Watch(Arc::downgrade(&rest));
        (Self(rest), watch)
    }
}

impl Watch {
    pub(super) fn is_over(&self) -> bool {
        self.0.strong_count() == 0
    }

    /// Lets go of an answer that the client has not taken in time, and with it ends its request.
    pub(super) fn look(&self, now: Instant) -> Due {
        let Some(rest) = self.0.upgrade() else { return Due::Nothing };
        let mut held = rest.lock();
        let (Some(offered), Some(patience), Some(_)) = (held.offered, held.patience, &held.body) else {
            return Due::Nothing;
        };
        let until = offered + patience;
        if now < until {
            return Due::Look(until);
        }
        let gone = (held.body.take(), std::mem::take(&mut held.bytes), held.busy.take());
        // The end of a request looks at the connection, which must not happen under this lock.
        drop(held);
        drop(gone);
        Due::LetGo
    }
}

impl Rest {
    fn next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if self.bytes.is_empty() {
            let Some(body) = &mut self.body else {
                return Poll::Ready(Some(Err(io::ErrorKind::TimedOut.into())));
            };
            let frame = match ready!(Pin::new(body).poll_frame(cx)) {
                Some(Ok(frame)) => frame,
                Some(Err(never)) => match never {},
                None => return Poll::Ready(None),
            };
            match frame.into_data() {
                Ok(bytes) => self.bytes = bytes,
                Err(other) => return Poll::Ready(Some(Ok(other))),
            }
        }
        let piece = self.bytes.split_to(self.bytes.len().min(PIECE));
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }
}

impl HttpBody for Outgoing {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let mut rest = self.0.lock();
        let polled = rest.next(cx);
        let is_piece = matches!(polled, Poll::Ready(Some(Ok(_))));
        rest.offered = is_piece.then(Instant::now);
        polled
    }

    fn is_end_stream(&self) -> bool {
        let rest = self.0.lock();
        rest.bytes.is_empty() && rest.body.as_ref().is_some_and(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.0.lock();
        let (of_body, bytes) = (rest.body.as_ref().map(HttpBody::size_hint), rest.bytes.len());
        of_body.unwrap_or_default() + SizeHint::with_exact(u64::try_from(bytes).unwrap_or(u64::MAX))
    }
}
