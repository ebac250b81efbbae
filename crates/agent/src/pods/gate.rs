//! Keeps updates waiting until the node is known: a pod that is judged by nothing would be let in for good.

use tokio::sync::mpsc;

use crate::{admission::SeenNode, sources::Stamped};

/// Closed until the node's object is there; then it stays open.
#[derive(Debug)]
pub(super) struct Gate {
    node: SeenNode,
    open: bool,
}

impl Gate {
    pub(super) fn new(node: SeenNode) -> Self {
        Self { node, open: false }
    }

    /// The next update. Cancel-safe: nothing is taken before the gate is open, and `recv` loses nothing.
    pub(super) async fn recv(&mut self, updates: &mut mpsc::Receiver<Stamped>) -> Option<Stamped> {
        if !self.open {
            // Nobody computes the node any more: its task has ended, and so will the process.
            self.open = self.node.wait_for(Option::is_some).await.is_ok();
            if !self.open {
                return std::future::pending().await;
            }
        }
        updates.recv().await
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use fakes::clock::TokioClock;
    use k8s_openapi::api::core::v1::Node;
    use lifecycle::PodSource;
    use tokio::{sync::watch, time::timeout};

    use super::*;
    use crate::sources::{SourceUpdate, Updates};

    #[tokio::test(start_paused = true)]
    async fn updates_wait_for_the_node() {
        let (node, seen) = watch::channel(None);
        let clock = Arc::new(TokioClock::at("2026-11-24T02:00:00Z".parse().unwrap()));
        let (updates, mut inbox) = Updates::channel(clock, 4);
        let mut gate = Gate::new(seen);
        updates.send(SourceUpdate::Set(PodSource::File, Vec::new())).await.unwrap();
        let early = timeout(Duration::from_secs(3600), gate.recv(&mut inbox)).await;
        assert!(early.is_err(), "an update came through before the node was known");
        node.send_replace(Some(Arc::new(Node::default())));
        assert!(gate.recv(&mut inbox).await.is_some());
    }
}
