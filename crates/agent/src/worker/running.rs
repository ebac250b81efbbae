//! Actions in flight, and the keys to answer for when a task dies without an answer.

use std::{collections::HashMap, future::Future, sync::Arc};

use lifecycle::{ActionKey, Done, Failure, Outcome};
use seams::Clock;
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};

/// The tasks of one pod.
#[derive(Default)]
pub(super) struct Running {
    tasks: JoinSet<Outcome>,
    keys: HashMap<Id, (ActionKey, AbortHandle)>,
}

impl Running {
    /// Starts an action.
    pub(super) fn spawn(
        &mut self,
        key: ActionKey,
        clock: Arc<dyn Clock>,
        job: impl Future<Output = Result<Done, Failure>> + Send + 'static,
    ) {
        let answer = key.clone();
        let handle = self.tasks.spawn(async move {
            let result = job.await;
            Outcome { key: answer, at: clock.now(), result }
        });
        self.keys.insert(handle.id(), (key, handle));
    }

    /// Whether an action is under way.
    pub(super) fn holds(&self, key: &ActionKey) -> bool {
        self.keys().any(|known| known == key)
    }

    /// Whether an action is under way that changes what the runtime holds.
    pub(super) fn changes_runtime(&self) -> bool {
        self.keys().any(ActionKey::changes_runtime)
    }

    /// What is under way.
    pub(super) fn keys(&self) -> impl Iterator<Item = &ActionKey> + Clone {
        self.keys.values().map(|(key, _)| key)
    }

    /// Cancels image pulls: they may take long, and a pod that is going away needs none. Each still answers.
    pub(super) fn abort_pulls(&self) {
        for (key, handle) in self.keys.values() {
            if matches!(key, ActionKey::EnsureImage(_) | ActionKey::FindImage(_)) {
                handle.abort();
            }
        }
    }

    /// The next outcome; pending for ever while nothing runs. Cancel-safe, as `JoinSet::join_next_with_id` is.
    pub(super) async fn next(&mut self, clock: &dyn Clock) -> Outcome {
        loop {
            match self.tasks.join_next_with_id().await {
                Some(ended) => {
                    if let Some(outcome) = self.answer(ended, clock) {
                        return outcome;
                    }
                }
                None => std::future::pending::<()>().await,
            }
        }
    }

    /// Outcomes that are there already.
    pub(super) fn drain(&mut self, clock: &dyn Clock) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        while let Some(ended) = self.tasks.try_join_next_with_id() {
            outcomes.extend(self.answer(ended, clock));
        }
        outcomes
    }

    fn answer(&mut self, ended: Result<(Id, Outcome), JoinError>, clock: &dyn Clock) -> Option<Outcome> {
        match ended {
            Ok((id, outcome)) => {
                self.keys.remove(&id);
                Some(outcome)
            }
            Err(error) => {
                let (key, _) = self.keys.remove(&error.id())?;
                let message = if error.is_cancelled() {
                    "cancelled: the pod is being stopped".to_owned()
                } else {
                    format!("internal error, please report it: {error}")
                };
                let failure = Failure::new(key.step(), message);
                Some(Outcome { key, at: clock.now(), result: Err(failure) })
            }
        }
    }
}
