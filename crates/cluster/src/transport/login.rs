//! The `Authorization` header. A token file is read again every minute, because projected tokens are rotated.
//!
//! A file that cannot be read, or has no token in it (as while somebody writes it anew), leaves the token that was read
//! before in use, and is looked at again soon. So is one whose token was refused: there may be a new one.

use std::{path::Path, sync::Arc, time::Duration};

use http::HeaderValue;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::TransportError;
use crate::kubeconfig::{Access, Login};

/// As client-go: short against the life of a token (an hour), long against the cost of a read. Also how often it is told
/// that a file has no token.
const READ_AGAIN: Duration = Duration::from_mins(1);
/// The same after a look that gave no token, or a token that was refused: a file that is being written is whole within
/// milliseconds, and however many requests are refused, it is not read for each of them.
const SOON: Duration = Duration::from_secs(1);

pub(super) struct Authorization {
    access: Arc<Access>,
    from_file: Mutex<Option<Kept>>,
}

/// What the token file said.
struct Kept {
    value: HeaderValue,
    /// When the file was looked at last.
    looked: Instant,
    /// When it is to be looked at again.
    due: Instant,
    /// When the log was last told that it has no token; `None`: it has had one since.
    told: Option<Instant>,
}

impl Authorization {
    pub(super) fn new(access: Arc<Access>) -> Self {
        Self { access, from_file: Mutex::default() }
    }

    pub(super) fn header(&self) -> Result<Option<HeaderValue>, TransportError> {
        match self.access.login() {
            Login::None => Ok(None),
            Login::Token(token) => sensitive("Bearer", token).map(Some),
            Login::Basic(pair) => sensitive("Basic", pair).map(Some),
            Login::TokenFile(path) => self.of_file(path).map(Some),
        }
    }

    /// The server has not accepted this header: if it is still what the file said, the file is read again.
    pub(super) fn refused(&self, header: &HeaderValue) {
        if let Some(kept) = &mut *self.from_file.lock()
            && kept.value == *header
        {
            kept.due = kept.due.min(kept.looked + SOON);
        }
    }

    fn of_file(&self, path: &Path) -> Result<HeaderValue, TransportError> {
        let now = Instant::now();
        let mut known = self.from_file.lock();
        if let Some(kept) = &*known
            && now < kept.due
        {
            return Ok(kept.value.clone());
        }
        // One small local file a minute, or a second in need: not worth a thread of the blocking pool.
        match (read(path), &mut *known) {
            (Ok(value), known) => {
                *known = Some(Kept { value: value.clone(), looked: now, due: now + READ_AGAIN, told: None });
                Ok(value)
            }
            (Err(error), None) => Err(error),
            (Err(error), Some(kept)) => {
                if kept.told.is_none_or(|told| now.duration_since(told) >= READ_AGAIN) {
                    tracing::warn!("{error}; going on with the token read before");
                    kept.told = Some(now);
                }
                (kept.looked, kept.due) = (now, now + SOON);
                Ok(kept.value.clone())
            }
        }
    }
}

fn read(path: &Path) -> Result<HeaderValue, TransportError> {
    let file = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|error| TransportError::text(format!("read the token file {file}: {error}")))?;
    match text.trim() {
        "" => Err(TransportError::text(format!("the token file {file} is empty"))),
        token => sensitive("Bearer", token),
    }
}

fn sensitive(scheme: &str, secret: &str) -> Result<HeaderValue, TransportError> {
    let mut value = HeaderValue::from_str(&format!("{scheme} {secret}")).map_err(|_| {
        TransportError::text("the token in the kubeconfig holds characters that a header cannot")
    })?;
    value.set_sensitive(true);
    Ok(value)
}
