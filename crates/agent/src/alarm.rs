//! Waiting for a moment that may never come.

use tokio::time::Instant;

/// Ends at that moment; never without one. Cancel-safe: there is nothing to lose.
pub(crate) async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
