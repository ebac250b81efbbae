//! The wait for the runtime's name. Without it, no container is the one that the last status tells of.

use std::time::Duration;

use lifecycle::{Intent, explain::Hold, observation::NodeFacts};
use tokio::{sync::watch, time::Instant};

use super::{Mail, Worker};

/// How long a pod that goes waits for the runtime's name, from when its worker began: it is stopped without, too, and its
/// last status is then short of what earlier ones told of its containers.
const NAME_PATIENCE: Duration = Duration::from_secs(30);

/// Why the wait for the runtime's name is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waited {
    /// It is known, or not worth waiting for any longer.
    Enough,
    /// Something else is wanted of the worker now.
    NewMail,
}

impl Worker {
    /// Waits for the runtime's name; while that lasts, the pod's record says so.
    pub(super) async fn await_name(&self, intent: &Intent, mail: &watch::Receiver<Mail>) -> Waited {
        let node = &self.context.node;
        if !node.borrow().runtime_name.is_empty() {
            return Waited::Enough;
        }
        self.record.held(Hold::RuntimeName, self.context.edges.clock.now());
        let waited = wait(node.clone(), mail.clone(), intent, self.began).await;
        if waited == Waited::Enough {
            self.record.goes_on();
        }
        waited
    }
}

/// A runtime that answers tells its name soon; one that does not must not keep a pod that goes.
async fn wait(
    mut node: watch::Receiver<NodeFacts>,
    mut mail: watch::Receiver<Mail>,
    intent: &Intent,
    began: Instant,
) -> Waited {
    let goes = !matches!(intent, Intent::Run);
    // A closed channel is for whoever reads it next.
    let named = async { drop(node.wait_for(|facts| !facts.runtime_name.is_empty()).await) };
    // Cancel-safe: both receivers are only looked at, and the sleep is made anew.
    tokio::select! {
        biased;
        () = named => Waited::Enough,
        changed = mail.changed() => match changed {
            Ok(()) => Waited::NewMail,
            // The dispatcher is gone: the process is ending, and so does this task with it.
            Err(_) => std::future::pending().await,
        },
        () = tokio::time::sleep_until(began + NAME_PATIENCE), if goes => Waited::Enough,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use lifecycle::{Admission, PodSource};

    use super::*;

    fn letter(intent: Intent) -> Mail {
        let (pod, source) = (Arc::default(), PodSource::Api);
        Mail { pod, source, intent, admission: Admission::Admitted, again: false }
    }

    #[tokio::test(start_paused = true)]
    async fn a_pod_that_goes_does_not_wait_for_ever_for_the_runtimes_name() {
        let (facts, node) = watch::channel(NodeFacts::default());
        let (sender, mail) = watch::channel(letter(Intent::Run));
        let began = Instant::now();
        let waits = |intent: Intent| {
            let (node, mail) = (node.clone(), mail.clone());
            async move { wait(node, mail, &intent, began).await }
        };
        let day = Duration::from_secs(24 * 60 * 60);
        assert!(tokio::time::timeout(day, waits(Intent::Run)).await.is_err(), "one that runs waits");
        let removed = Intent::Removed { grace: Duration::from_secs(1) };
        let long_after = tokio::time::timeout(day, waits(removed.clone())).await;
        assert_eq!(long_after, Ok(Waited::Enough));

        let waiting = tokio::spawn(waits(Intent::Run));
        tokio::task::yield_now().await;
        sender.send_replace(letter(removed));
        assert_eq!(waiting.await.unwrap(), Waited::NewMail, "that it has to go is heard");
        facts.send_modify(|facts| facts.runtime_name = "containerd".to_owned());
        assert_eq!(waits(Intent::Run).await, Waited::Enough);
    }
}
