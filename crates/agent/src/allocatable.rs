//! Limits the group of all pods to what the node has for them, once (contract §18).

use std::{fmt::Display, sync::Arc, time::Duration};

use crate::events::EventSink;

/// Delay before it is tried again.
const RETRY: Duration = Duration::from_secs(60);

/// Tries until it is done. `group` is the path of the group of all pods. A limit below what they use is written when the
/// kernel has made room: not on a thread that others wait for.
pub(crate) async fn enforce<E: Display + Send + 'static>(
    group: String,
    limit: impl Fn() -> Result<(), E> + Send + Sync + 'static,
    events: EventSink,
) {
    let limit = Arc::new(limit);
    loop {
        let limit = Arc::clone(&limit);
        let error = match tokio::task::spawn_blocking(move || limit()).await {
            Ok(Ok(())) => break,
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        let message = format!("Failed to update Node Allocatable Limits {group:?}: {error}");
        events.record_node(true, "FailedNodeAllocatableEnforcement", message);
        tokio::time::sleep(RETRY).await;
    }
    events.record_node(false, "NodeAllocatableEnforced", "Updated Node Allocatable limit across pods");
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use fakes::{clock::TokioClock, cluster::FakeCluster};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_failure_names_the_group_and_is_tried_again() {
        let cluster = Arc::new(FakeCluster::default());
        let clock = Arc::new(TokioClock::at("2026-11-24T02:00:00Z".parse().unwrap()));
        let (sink, task) = EventSink::new(Some(Arc::clone(&cluster) as _), "n".to_owned(), None, clock);
        tokio::spawn(task.run());
        let tries = Arc::new(AtomicU32::new(0));
        let limit = {
            let tries = Arc::clone(&tries);
            move || match tries.fetch_add(1, Ordering::SeqCst) {
                0 => Err("no room"),
                _ => Ok(()),
            }
        };
        enforce("/kubepods".to_owned(), limit, sink).await;
        cluster.until(|state| state.events.len() == 2).await;
        let events = cluster.events();
        let told: Vec<_> = events.iter().map(|event| event.message.as_deref().unwrap_or_default()).collect();
        assert_eq!(
            told,
            [
                "Failed to update Node Allocatable Limits \"/kubepods\": no room",
                "Updated Node Allocatable limit across pods",
            ]
        );
        assert_eq!(tries.load(Ordering::SeqCst), 2);
    }
}
