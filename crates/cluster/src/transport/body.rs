//! The body of an answer, read chunk by chunk. Holds its place on the connection until it is dropped.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, client::conn::http1};

use super::TransportError;

/// Body of an answer.
pub(crate) struct Body {
    incoming: Incoming,
    _place: Held,
}

/// What keeps the stream, or the connection, ours.
#[expect(dead_code, reason = "held, never read")]
enum Held {
    Stream(Arc<()>),
    Connection(http1::SendRequest<Full<Bytes>>),
}

/// Why a body could not be read to its end.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum BodyError {
    /// The connection broke.
    #[error(transparent)]
    Broken(#[from] TransportError),
    /// Longer than what may be held in memory.
    #[error("the answer is longer than {most} bytes")]
    TooLong {
        /// The limit in bytes.
        most: usize,
    },
}

impl Body {
    pub(super) fn shared(incoming: Incoming, slot: Arc<()>) -> Self {
        Self { incoming, _place: Held::Stream(slot) }
    }

    pub(super) fn single(incoming: Incoming, sender: http1::SendRequest<Full<Bytes>>) -> Self {
        Self { incoming, _place: Held::Connection(sender) }
    }

    /// The next chunk; `None` at the end. Cancel-safe.
    pub(crate) async fn chunk(&mut self) -> Option<Result<Bytes, TransportError>> {
        loop {
            match self.incoming.frame().await? {
                Err(error) => return Some(Err(TransportError::of(&error))),
                Ok(frame) => {
                    if let Ok(data) = frame.into_data() {
                        return Some(Ok(data));
                    }
                }
            }
        }
    }

    /// The whole body, at most `most` bytes.
    pub(crate) async fn collect(mut self, most: usize) -> Result<Vec<u8>, BodyError> {
        let mut all = Vec::new();
        while let Some(chunk) = self.chunk().await {
            let chunk = chunk?;
            if all.len() + chunk.len() > most {
                return Err(BodyError::TooLong { most });
            }
            all.extend_from_slice(&chunk);
        }
        Ok(all)
    }
}
