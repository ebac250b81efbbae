//! The node's lease: the cheap half of its heartbeat (contract §2.3).
//!
//! Renewed at a quarter of its duration. A renewal that fails is tried again at once a few times; after that the next
//! one comes at the usual time. What is not answered goes over a fresh connection from the second failure on: the one at
//! hand may lead to a server that answers its pings and nothing else. An answer that says no costs no connection.
//!
//! A lease is owned by the node's object and goes with it. While there is none, no lease is made: one without an owner
//! would stay for ever. One that is still there is renewed, as upstream's kubelet does.

use std::{sync::Arc, time::Duration};

use k8s_openapi::api::{coordination::v1::Lease, core::v1::Node};
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
    let period = duration / RENEWALS;
    let mut delay = CREATE_RETRY.0;
    loop {
        match keeper.renew().await {
            Renewal::Done => {
                delay = CREATE_RETRY.0;
                tokio::time::sleep(period).await;
            }
            Renewal::Ownerless => keeper.await_node(period).await,
            Renewal::Failed if keeper.lease.is_none() => {
                tokio::time::sleep(delay).await;
                delay = (delay * 2).min(CREATE_RETRY.1);
            }
            Renewal::Failed => tokio::time::sleep(period).await,
        }
    }
}

/// How a renewal went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Renewal {
    /// The API server has it.
    Done,
    /// There is no lease, and no object of the node that could own one.
    Ownerless,
    /// To be tried again.
    Failed,
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
    async fn renew(&mut self) -> Renewal {
        let mut failure = None;
        for attempt in 0..TRIES {
            let result = match self.lease.take() {
                Some(known) => {
                    let renewed = self.next(Some(&known), self.watched_uid());
                    let result = self.cluster.update_lease(&renewed).await;
                    if !matches!(result, Err(ApiError::Conflict { .. } | ApiError::NotFound(_))) {
                        self.lease = Some(known);
                    }
                    result
                }
                None => match self.read_or_create().await.transpose() {
                    Some(result) => result,
                    None => return Renewal::Ownerless,
                },
            };
            match result {
                Ok(lease) => {
                    self.lease = Some(lease);
                    return Renewal::Done;
                }
                Err(error) => {
                    if attempt > 0 && matches!(error, ApiError::Unreachable { .. }) {
                        self.cluster.reset_connections();
                    }
                    failure = Some(error);
                }
            }
        }
        // An outage is told by the edge, once for all.
        if let Some(error) = failure.filter(|error| !matches!(error, ApiError::Unreachable { .. })) {
            tracing::warn!(%error, tries = TRIES, "Could not renew the node's lease; will try again");
        }
        Renewal::Failed
    }

    /// The lease that there is, renewed, or a new one; `None`: there is neither a lease nor its owner.
    async fn read_or_create(&self) -> Result<Option<Lease>, ApiError> {
        match self.cluster.get_lease().await {
            Ok(lease) => {
                let renewed = self.next(Some(&lease), self.watched_uid());
                self.cluster.update_lease(&renewed).await.map(Some)
            }
            Err(ApiError::NotFound(_)) => {
                let Some(owner) = self.owner().await? else { return Ok(None) };
                self.cluster.create_lease(&self.next(None, Some(owner))).await.map(Some)
            }
            Err(error) => Err(error),
        }
    }

    /// The uid of the node's object, asked for where the watch does not show it; `None`: there is no such object.
    async fn owner(&self) -> Result<Option<String>, ApiError> {
        if let Some(uid) = self.watched_uid() {
            return Ok(Some(uid));
        }
        match self.cluster.get_node().await {
            Ok(node) => Ok(node.metadata.uid),
            Err(ApiError::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn watched_uid(&self) -> Option<String> {
        uid_of(self.cluster.node().borrow().as_deref())
    }

    /// Until the watch shows the node's object, but not longer than so.
    async fn await_node(&self, longest: Duration) {
        let mut node = self.cluster.node();
        let shown = node.wait_for(Option::is_some);
        // A watch that has ended tells nothing any more.
        let ended = matches!(tokio::time::timeout(longest, shown).await, Ok(Err(_)));
        if ended {
            tokio::time::sleep(longest).await;
        }
    }

    fn next(&self, existing: Option<&Lease>, owner: Option<String>) -> Lease {
        let seconds = i32::try_from(self.duration.as_secs()).unwrap_or(i32::MAX);
        let now = self.clock.now().wall;
        // The API keeps microseconds.
        let now = jiff::Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now);
        heartbeat::lease(existing, &self.node, owner.as_deref(), seconds, now)
    }
}

fn uid_of(node: Option<&Node>) -> Option<String> {
    node?.metadata.uid.clone()
}

#[cfg(test)]
mod tests {
    use fakes::{clock::TokioClock, cluster::FakeCluster};
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

    use super::*;

    fn node(uid: &str) -> Node {
        let (name, uid) = (Some("n".to_owned()), Some(uid.to_owned()));
        Node { metadata: ObjectMeta { name, uid, ..ObjectMeta::default() }, ..Node::default() }
    }

    fn start(cluster: &Arc<FakeCluster>) {
        let clock = Arc::new(TokioClock::at("2026-11-24T02:00:00Z".parse().unwrap()));
        let seam = Arc::clone(cluster) as Arc<dyn Cluster>;
        tokio::spawn(run(seam, clock, "n".to_owned(), Duration::from_secs(40)));
    }

    fn owner(lease: Option<&Lease>) -> Option<&str> {
        Some(lease?.metadata.owner_references.as_ref()?.first()?.uid.as_str())
    }

    #[tokio::test(start_paused = true)]
    async fn a_renewal_that_is_refused_costs_no_connection() {
        let cluster = Arc::new(FakeCluster::default());
        cluster.show(node("u"));
        start(&cluster);
        cluster.until(|state| state.lease.is_some()).await;
        for refusal in [
            ApiError::Status { code: 500, message: "etcdserver: request timed out".to_owned() },
            ApiError::Status { code: 422, message: "invalid".to_owned() },
            ApiError::Status { code: 429, message: "later".to_owned() },
            ApiError::Forbidden("no".to_owned()),
        ] {
            cluster.refuse_leases(Some(refusal));
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
        assert_eq!(cluster.resets(), 0);
        cluster.refuse_leases(None);
        let renewed = |lease: &Lease| lease.spec.as_ref().and_then(|spec| spec.renew_time.clone());
        let mut before = None;
        cluster
            .until(|state| {
                let now = state.lease.as_ref().and_then(renewed);
                now != *before.get_or_insert_with(|| now.clone())
            })
            .await;
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_is_not_answered_costs_the_connection_from_the_second_time_on() {
        let cluster = Arc::new(FakeCluster::default());
        cluster.set_away(true);
        start(&cluster);
        cluster.until(|state| state.resets > 0).await;
        tokio::time::sleep(CREATE_RETRY.0 / 2).await;
        assert_eq!(cluster.resets(), TRIES - 1, "the first failure costs none");
    }

    #[tokio::test(start_paused = true)]
    async fn there_is_no_lease_without_the_nodes_object() {
        let cluster = Arc::new(FakeCluster::default());
        start(&cluster);
        tokio::time::sleep(Duration::from_secs(60)).await;
        cluster.show(node("first"));
        cluster.until(|state| owner(state.lease.as_ref()) == Some("first")).await;
        cluster.remove();
        cluster.until(|state| state.lease_calls.last() == Some(&"update")).await;
        // The garbage collector takes it with its owner.
        cluster.remove_lease();
        let asked = cluster.lease_calls().len();
        tokio::time::sleep(Duration::from_secs(120)).await;
        assert_eq!(cluster.stored_lease(), None);
        let calls = cluster.lease_calls().split_off(asked);
        assert!(calls.len() > 10 && !calls.contains(&"create"), "{calls:?}");
        cluster.show(node("second"));
        cluster.until(|state| owner(state.lease.as_ref()) == Some("second")).await;
    }
}
