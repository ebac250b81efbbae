//! The `Authorization` header. A token file is read again every minute, because projected tokens are rotated.

use std::{sync::Arc, time::Duration};

use http::HeaderValue;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::TransportError;
use crate::kubeconfig::{Access, Login};

/// As client-go: short against the life of a token (an hour), long against the cost of a read.
const READ_AGAIN: Duration = Duration::from_mins(1);

pub(super) struct Authorization {
    access: Arc<Access>,
    from_file: Mutex<Option<(Instant, HeaderValue)>>,
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
            Login::TokenFile(path) => {
                let mut kept = self.from_file.lock();
                if let Some((read_at, value)) = kept.as_ref()
                    && read_at.elapsed() < READ_AGAIN
                {
                    return Ok(Some(value.clone()));
                }
                // One small local file a minute: not worth a thread of the blocking pool.
                match std::fs::read_to_string(path) {
                    Ok(token) => {
                        let value = sensitive("Bearer", token.trim())?;
                        *kept = Some((Instant::now(), value.clone()));
                        Ok(Some(value))
                    }
                    Err(error) => {
                        let text = format!("read the token file {}: {error}", path.display());
                        let Some((read_at, value)) = kept.as_mut() else {
                            return Err(TransportError::text(text));
                        };
                        tracing::warn!("{text}; going on with the token read before");
                        *read_at = Instant::now();
                        Ok(Some(value.clone()))
                    }
                }
            }
        }
    }
}

fn sensitive(scheme: &str, secret: &str) -> Result<HeaderValue, TransportError> {
    let mut value = HeaderValue::from_str(&format!("{scheme} {secret}")).map_err(|_| {
        TransportError::text("the token in the kubeconfig holds characters that a header cannot")
    })?;
    value.set_sensitive(true);
    Ok(value)
}
