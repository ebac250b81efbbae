//! The node's lease: the cheap half of its heartbeat (contract §2.3).
//!
//! Renewed at a quarter of its duration. A renewal that fails is tried again at once a few times; after that the next
//! one comes at the usual time, over fresh connections.

use std::{sync::Arc, time::Duration};

use k8s_openapi::api::coordination::v1::Lease;
use node::heartbeat;
use seams::{ApiError, Clock, Cluster};

/// Renewals per duration.
const RENEWALS: u32 = 4;
/// Immediate tries per renewal.
const TRIES: usize = 5;
/// First and longest delay between tries to create the lease.
const CREATE_RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(7));

/// Runs for ever.
pub async fn run(cluster: Arc<dyn Cluster>, clock: Arc<dyn Clock>, node: String, duration: Duration) {
    let mut keeper = Keeper { cluster, clock, node, duration, lease: None };
    let mut delay = CREATE_RETRY.0;
    loop {
        if keeper.renew().await {
            delay = CREATE_RETRY.0;
            tokio::time::sleep(keeper.duration / RENEWALS).await;
        } else if keeper.lease.is_none() {
            tokio::time::sleep(delay).await;
            delay = (delay * 2).min(CREATE_RETRY.1);
        } else {
            keeper.cluster.reset_connections();
            tokio::time::sleep(keeper.duration / RENEWALS).await;
        }
    }
}

struct Keeper {
    cluster: Arc<dyn Cluster>,
    clock: Arc<dyn Clock>,
    node: String,
    duration: Duration,
    /// As the API server last returned it; `None` when it has to be read or created.
    lease: Option<Lease>,
}

impl Keeper {
    async fn renew(&mut self) -> bool {
        let mut failure = None;
        for _ in 0..TRIES {
            let result = match self.lease.take() {
                Some(known) => {
                    let renewed = self.next(Some(&known));
                    let result = self.cluster.update_lease(&renewed).await;
                    if !matches!(result, Err(ApiError::Conflict { .. } | ApiError::NotFound(_))) {
                        self.lease = Some(known);
                    }
                    result
                }
                None => self.read_or_create().await,
            };
            match result {
                Ok(lease) => {
                    self.lease = Some(lease);
                    return true;
                }
                Err(error) => failure = Some(error),
            }
        }
        // An outage is told by the edge, once for all.
        if let Some(error) = failure.filter(|error| !matches!(error, ApiError::Unreachable { .. })) {
            tracing::warn!(%error, tries = TRIES, "Could not renew the node's lease; will try again");
        }
        false
    }

    async fn read_or_create(&self) -> Result<Lease, ApiError> {
        match self.cluster.get_lease().await {
            Ok(lease) => self.cluster.update_lease(&self.next(Some(&lease))).await,
            Err(ApiError::NotFound(_)) => self.cluster.create_lease(&self.next(None)).await,
            Err(error) => Err(error),
        }
    }

    fn next(&self, existing: Option<&Lease>) -> Lease {
        let node = self.cluster.node().borrow().clone();
        let uid = node.as_ref().and_then(|node| node.metadata.uid.as_deref());
        let seconds = i32::try_from(self.duration.as_secs()).unwrap_or(i32::MAX);
        let now = self.clock.now().wall;
        // The API keeps microseconds.
        let now = jiff::Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now);
        heartbeat::lease(existing, &self.node, uid, seconds, now)
    }
}
