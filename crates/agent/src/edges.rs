//! The agent's hold on the world: one handle per seam, and where it counts.

use std::sync::Arc;

use metrics::Metrics;
use seams::{Clock, Cluster, Host, Objects, Runtime, Volumes};

/// Handles to the edges; cheap to clone. Without an API server `cluster` and `objects` are `None` (standalone mode).
#[derive(Clone)]
pub struct Edges {
    /// Container runtime.
    pub runtime: Arc<dyn Runtime>,
    /// API server.
    pub cluster: Option<Arc<dyn Cluster>>,
    /// What pods refer to in the API.
    pub objects: Option<Arc<dyn Objects>>,
    /// Machine.
    pub host: Arc<dyn Host>,
    /// Volumes.
    pub volumes: Arc<dyn Volumes>,
    /// Clocks.
    pub clock: Arc<dyn Clock>,
    /// Where everything is counted.
    pub metrics: Arc<Metrics>,
}

impl std::fmt::Debug for Edges {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Edges").field("standalone", &self.cluster.is_none()).finish_non_exhaustive()
    }
}
