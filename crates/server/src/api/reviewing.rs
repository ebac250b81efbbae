//! Asking the API server, within bounds, and again when it does not answer.

use std::{future::Future, time::Duration};

use seams::ApiError;
use tokio::sync::Semaphore;

/// Reviews under way at once: what others ask must not take the API server from the node itself.
const PLACES: usize = 16;
/// Tries of one review, and the first pause between two; it grows by half (upstream's back-off for reviews).
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(500);
/// For a review with all its tries and the wait for a place.
const DEADLINE: Duration = Duration::from_secs(20);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReviewError {
    /// There is no API server to ask.
    #[error("no client provided, cannot use webhook")]
    Standalone,
    /// It answered with an error, or not at all.
    #[error("the API server did not review the request")]
    Failed(#[source] ApiError),
    /// Too many ask, or it is too slow.
    #[error("the review took too long")]
    Late,
}

/// The places.
#[derive(Debug)]
pub(super) struct Reviewing(Semaphore);

impl Default for Reviewing {
    fn default() -> Self {
        Self(Semaphore::new(PLACES))
    }
}

impl Reviewing {
    /// Asks until there is an answer.
    pub(super) async fn ask<T, F>(&self, ask: impl Fn() -> F) -> Result<T, ReviewError>
    where
        F: Future<Output = Result<T, ApiError>>,
    {
        tokio::time::timeout(DEADLINE, self.tries(ask)).await.unwrap_or(Err(ReviewError::Late))
    }

    async fn tries<T, F>(&self, ask: impl Fn() -> F) -> Result<T, ReviewError>
    where
        F: Future<Output = Result<T, ApiError>>,
    {
        // Closed never.
        let Ok(_place) = self.0.acquire().await else { return Err(ReviewError::Late) };
        let (mut left, mut pause) = (TRIES, PAUSE);
        loop {
            left -= 1;
            match ask().await {
                Ok(answer) => return Ok(answer),
                Err(error) if left > 0 && is_passing(&error) => {
                    tracing::debug!(%error, "A review failed and is tried again");
                    tokio::time::sleep(pause).await;
                    pause = pause * 3 / 2;
                }
                Err(error) => return Err(ReviewError::Failed(error)),
            }
        }
    }
}

fn is_passing(error: &ApiError) -> bool {
    match error {
        ApiError::Unreachable { .. } => true,
        ApiError::Status { code, .. } => *code == 429 || *code >= 500,
        _ => false,
    }
}
