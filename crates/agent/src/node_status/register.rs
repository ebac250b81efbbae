//! The registration: the node object is created, or the one that exists is set right.

use std::time::Duration;

use k8s_openapi::api::core::v1::Node;
use node::{registration, status};
use seams::{ApiError, Cluster};

use super::Keeper;

/// First and longest delay between tries to register.
const REGISTER_RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(7));

impl Keeper {
    /// Creates the node object, or sets right the one that exists. Tries for ever.
    pub(super) async fn register(&mut self) {
        let Some(cluster) = self.edges.cluster.clone() else { return };
        let mut delay = REGISTER_RETRY.0;
        let mut told = false;
        loop {
            let (fresh, events) = self.computed(&self.settings.registration.node()).await;
            self.publish_unregistered();
            // The object begins without pressure, whatever the one says that exists; upstream tells it at each start.
            if !std::mem::replace(&mut told, true) {
                self.record(events);
            }
            match self.try_register(&*cluster, &fresh).await {
                Ok(node) => {
                    tracing::info!(node = self.settings.registration.node_name, "Node is registered");
                    self.node = Some(node);
                    return;
                }
                // Told by the edge, once for all.
                Err(ApiError::Unreachable { .. }) => {}
                Err(error) => {
                    let node = &self.settings.registration.node_name;
                    tracing::error!(node, %error, "Unable to register the node with the API server; will try again");
                }
            }
            tokio::time::sleep(delay).await;
            delay = (delay * 2).min(REGISTER_RETRY.1);
        }
    }

    async fn try_register(&mut self, cluster: &dyn Cluster, fresh: &Node) -> Result<Node, ApiError> {
        self.startup.attempt(self.edges.clock.now().wall);
        match cluster.create_node(fresh).await {
            Ok(node) => {
                self.startup.registered(self.edges.clock.now().wall);
                return Ok(node);
            }
            Err(ApiError::Conflict { .. } | ApiError::Forbidden(_)) => {}
            Err(error) => return Err(error),
        }
        let existing = cluster.get_node().await?;
        match registration::reconciled(&existing, fresh, self.devices.extended()) {
            Some(wanted) => match status::patch(&existing, &wanted) {
                Some(patch) => cluster.patch_node_status(&patch).await,
                None => Ok(existing),
            },
            None => Ok(existing),
        }
    }
}
