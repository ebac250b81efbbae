//! What the runtime or the resolver said last, kept while the next answer is on its way: one that hangs must not hold up
//! the node's heartbeat, which is what tells that it hangs.

use std::{future::Future, time::Duration};

use tokio::{task::JoinHandle, time::Instant};

/// How long a report waits for an answer. A healthy runtime gives one in a few milliseconds.
pub(super) const PATIENCE: Duration = Duration::from_millis(250);

/// One value.
#[derive(Debug)]
pub(super) struct Known<T> {
    newest: Option<(Instant, T)>,
    asking: Option<JoinHandle<Option<T>>>,
}

impl<T> Default for Known<T> {
    fn default() -> Self {
        Self { newest: None, asking: None }
    }
}

impl<T: Send + 'static> Known<T> {
    /// Asks anew if the value is older than `age`, one question at a time, and waits a moment for the answer.
    pub(super) async fn refresh(
        &mut self,
        age: Duration,
        ask: impl Future<Output = Option<T>> + Send + 'static,
    ) {
        self.refresh_within(PATIENCE, age, ask).await;
    }

    /// The same with another patience.
    pub(super) async fn refresh_within(
        &mut self,
        patience: Duration,
        age: Duration,
        ask: impl Future<Output = Option<T>> + Send + 'static,
    ) {
        let old = self.newest.as_ref().is_none_or(|(at, _)| at.elapsed() > age);
        if !old {
            return;
        }
        let asking = self.asking.get_or_insert_with(|| tokio::spawn(ask));
        let Ok(answer) = tokio::time::timeout(patience, asking).await else { return };
        self.asking = None;
        // No answer, or a question that died: the last answer stands.
        if let Ok(Some(value)) = answer {
            self.newest = Some((Instant::now(), value));
        }
    }

    /// The newest answer, however old.
    pub(super) fn newest(&self) -> Option<&T> {
        self.newest.as_ref().map(|(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_question_that_hangs_holds_nobody_up_and_is_asked_once() {
        let mut known = Known::default();
        known.refresh(Duration::ZERO, async { Some(1) }).await;
        assert_eq!(known.newest(), Some(&1));
        tokio::time::sleep(Duration::from_secs(1)).await;
        known.refresh(Duration::ZERO, pending()).await;
        let (tell, told) = tokio::sync::oneshot::channel::<()>();
        known.asking = Some(tokio::spawn(async move { told.await.ok().map(|()| 2) }));
        let before = Instant::now();
        known.refresh(Duration::ZERO, async { Some(3) }).await;
        assert_eq!((known.newest(), before.elapsed()), (Some(&1), PATIENCE));
        tell.send(()).unwrap();
        known.refresh(Duration::ZERO, async { Some(3) }).await;
        assert_eq!(known.newest(), Some(&2), "the answer to the first question");
    }

    #[tokio::test(start_paused = true)]
    async fn a_fresh_value_is_not_asked_for() {
        let mut known = Known::default();
        known.refresh(Duration::from_secs(60), async { Some(1) }).await;
        known.refresh(Duration::from_secs(60), async { Some(2) }).await;
        assert_eq!(known.newest(), Some(&1));
        tokio::time::sleep(Duration::from_secs(61)).await;
        known.refresh(Duration::from_secs(60), async { None }).await;
        assert_eq!(known.newest(), Some(&1), "no answer is no news");
        known.refresh(Duration::from_secs(60), async { Some(2) }).await;
        assert_eq!(known.newest(), Some(&2));
    }
}
