//! Asks the API for the node's object on behalf of pods that only labels speak against, beside everything else: an API
//! server that is slow holds up those pods and no others.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use k8s_openapi::api::core::v1::Node;
use lifecycle::PodUid;
use seams::Cluster;
use tokio::task::JoinSet;

use crate::admission::Look;

/// The questions under way, and the answers that were not used yet.
#[derive(Debug, Default)]
pub(super) struct SecondLooks {
    asked: BTreeSet<PodUid>,
    answers: BTreeMap<PodUid, Option<Arc<Node>>>,
    tasks: JoinSet<(PodUid, Option<Node>)>,
}

impl SecondLooks {
    /// What to judge a pod by; `None` while the answer is on its way.
    pub(super) fn look(&mut self, uid: &PodUid) -> Option<Look> {
        if self.asked.contains(uid) {
            return None;
        }
        Some(self.answers.remove(uid).map_or(Look::First, Look::Second))
    }

    /// Asks. The client's own deadline bounds the wait.
    pub(super) fn ask(&mut self, uid: PodUid, cluster: Arc<dyn Cluster>) {
        self.asked.insert(uid.clone());
        self.tasks.spawn(async move {
            let node = cluster.get_node().await;
            let node = node.inspect_err(
                |error| tracing::warn!(%uid, %error, "Could not read the node's labels again; the pod is judged by those known"),
            );
            (uid, node.ok())
        });
    }

    /// Waits for the next answer; `None` while nothing is asked. Cancel-safe, as `join_next` is: nothing is awaited
    /// after it.
    pub(super) async fn answered(&mut self) -> Option<PodUid> {
        match self.tasks.join_next().await? {
            Ok((uid, node)) => {
                self.asked.remove(&uid);
                self.answers.insert(uid.clone(), node.map(Arc::new));
                Some(uid)
            }
            Err(error) => {
                // A question that died has no uid: whoever waits asks anew.
                tracing::error!(%error, "A look at the node died");
                self.asked.clear();
                None
            }
        }
    }

    /// Nobody wants the answer any more.
    pub(super) fn forget(&mut self, uid: &PodUid) {
        self.answers.remove(uid);
    }
}

#[cfg(test)]
mod tests {
    use fakes::cluster::FakeCluster;

    use super::*;

    #[tokio::test]
    async fn an_answer_is_used_once() {
        let cluster = Arc::new(FakeCluster::default());
        cluster.keep(Node::default());
        let (mut looks, uid) = (SecondLooks::default(), PodUid::from("u".to_owned()));
        assert!(matches!(looks.look(&uid), Some(Look::First)));
        looks.ask(uid.clone(), cluster.clone());
        assert!(looks.look(&uid).is_none(), "on its way");
        assert_eq!(looks.answered().await, Some(uid.clone()));
        assert!(matches!(looks.look(&uid), Some(Look::Second(Some(_)))));
        assert!(matches!(looks.look(&uid), Some(Look::First)));
        assert_eq!(looks.answered().await, None);
        cluster.set_away(true);
        looks.ask(uid.clone(), cluster);
        looks.answered().await;
        assert!(matches!(looks.look(&uid), Some(Look::Second(None))));
    }
}
