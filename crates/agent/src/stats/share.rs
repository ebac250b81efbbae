//! One reading for all who ask at the same time.
//!
//! The newest snapshot stays until a deeper or newer one is wanted; who comes while one is made waits for it instead of
//! making another.

use std::{future::Future, sync::Arc, time::Duration};

use seams::stats::{Depth, Snapshot, StatsError};
use tokio::sync::Mutex;

struct Taken {
    depth: Depth,
    /// When it was begun, on the monotonic clock.
    at: Duration,
    snapshot: Arc<Snapshot>,
}

/// The newest snapshot.
#[derive(Default)]
pub(super) struct Share(Mutex<Option<Taken>>);

impl Share {
    /// The newest snapshot if it is as deep as `depth` and was begun at or after `since`, else a new one.
    pub(super) async fn get<F>(
        &self,
        depth: Depth,
        since: Duration,
        now: impl Fn() -> Duration,
        take: impl FnOnce() -> F,
    ) -> Result<Arc<Snapshot>, StatsError>
    where
        F: Future<Output = Result<Snapshot, StatsError>>,
    {
        let mut newest = self.0.lock().await;
        if let Some(taken) = newest.as_ref().filter(|taken| taken.depth >= depth && taken.at >= since) {
            return Ok(Arc::clone(&taken.snapshot));
        }
        let at = now();
        let snapshot = Arc::new(take().await?);
        *newest = Some(Taken { depth, at, snapshot: Arc::clone(&snapshot) });
        Ok(snapshot)
    }
}
