//! Static pods that hold nothing any more that the next of their name needs.

use std::collections::BTreeSet;

use lifecycle::PodUid;
use parking_lot::Mutex;
use tokio::sync::Notify;

/// Told by workers, heard by the dispatcher: a pod's dead containers may be hard to remove, and nobody waits for that.
#[derive(Debug, Default)]
pub(crate) struct Released {
    pods: Mutex<BTreeSet<PodUid>>,
    news: Notify,
}

impl Released {
    /// Volumes and cgroup of a pod are gone; what is left are records and directories, which are its own.
    pub(crate) fn tell(&self, uid: &PodUid) {
        if self.pods.lock().insert(uid.clone()) {
            self.news.notify_one();
        }
    }

    pub(super) fn contains(&self, uid: &PodUid) -> bool {
        self.pods.lock().contains(uid)
    }

    pub(super) fn forget(&self, uid: &PodUid) {
        self.pods.lock().remove(uid);
    }

    /// Another pod was released. Cancel-safe: what is told meanwhile is kept for the next call.
    pub(super) async fn another(&self) {
        self.news.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_told_while_nobody_listens_is_heard_and_once() {
        let released = Released::default();
        let heard = async || {
            tokio::time::timeout(std::time::Duration::from_secs(1), released.another()).await.is_ok()
        };
        let uid = PodUid::from("u");
        released.tell(&uid);
        assert!(released.contains(&uid) && heard().await);
        released.tell(&uid);
        assert!(!heard().await, "it was told already");
        released.forget(&uid);
        assert!(!released.contains(&uid));
        released.tell(&uid);
        assert!(heard().await, "a pod of this uid that came back");
    }
}
