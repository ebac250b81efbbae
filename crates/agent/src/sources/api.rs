//! The API source: the watch of pods bound to this node.

use std::sync::Arc;

use seams::Cluster;
use tokio::sync::watch;

use super::{SourceUpdate, Updates};

/// Runs for ever. Starts when this node's object was seen once: before that, the node authorizer lets nothing through
/// and admission would lack the node's labels.
pub async fn run(cluster: Arc<dyn Cluster>, updates: Updates) {
    let mut node = cluster.node();
    if watch::Receiver::wait_for(&mut node, Option::is_some).await.is_err() {
        return;
    }
    let mut pods = cluster.pods();
    while let Some(event) = pods.recv().await {
        if updates.send(SourceUpdate::from_api(event)).await.is_err() {
            return;
        }
    }
}
