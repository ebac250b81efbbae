//! Cuts a body into lines. Holds memory only for a line that has begun and not yet ended.

use bytes::{Buf as _, Bytes};

use crate::transport::{Body, TransportError};

/// Longest line: an object is at most 1.5 MiB in etcd, and less than this in any encoding of JSON.
const MOST: usize = 32 * 1024 * 1024;

pub(super) struct Lines {
    body: Body,
    begun: Vec<u8>,
    chunk: Bytes,
}

impl Lines {
    pub(super) fn new(body: Body) -> Self {
        Self { body, begun: Vec::new(), chunk: Bytes::new() }
    }

    /// The next line that is not empty; `None` at the end. Cancel-safe: what was read stays.
    pub(super) async fn next(&mut self) -> Option<Result<Bytes, TransportError>> {
        loop {
            if let Some(end) = self.chunk.iter().position(|byte| *byte == b'\n') {
                let rest = self.chunk.split_to(end);
                self.chunk.advance(1);
                if self.chunk.is_empty() {
                    // An empty slice would still hold the connection's whole read buffer.
                    self.chunk = Bytes::new();
                }
                let line = if self.begun.is_empty() {
                    rest
                } else {
                    self.begun.extend_from_slice(&rest);
                    Bytes::from(std::mem::take(&mut self.begun))
                };
                if line.is_empty() {
                    continue;
                }
                return Some(Ok(line));
            }
            self.begun.extend_from_slice(&self.chunk);
            self.chunk = Bytes::new();
            if self.begun.len() > MOST {
                return Some(Err(TransportError::text(format!(
                    "a line of the watch is longer than {MOST} bytes"
                ))));
            }
            match self.body.chunk().await? {
                Ok(chunk) => self.chunk = chunk,
                Err(error) => return Some(Err(error)),
            }
        }
    }
}
