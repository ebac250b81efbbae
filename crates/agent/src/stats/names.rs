//! Whose groups they are: the runtime's lists, asked only when a group turns up that is not known yet.
//!
//! A name never changes, so that in the steady state no scrape asks the runtime for one. A runtime may make a group a while
//! before it names the container in its list: a group that it does not name is asked for again while it is new.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use futures::StreamExt as _;
use seams::stats::{Depth, Named, RuntimeMeters, TreeReading};

/// Longest wait of a scrape for the runtime's lists: it may hang, and what is known already must be told all the same.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// After it did not answer it is left alone this long, so that scrapes do not wait one after the other.
const REST: Duration = Duration::from_secs(15);
/// So long, and so many times at least, a group is asked for that the runtime does not name. A start of a container is over
/// by then; what is no container's stays unnamed for ever, and must not cost a list with every scrape.
const NEW: Duration = Duration::from_secs(60);
const LOOKS: u32 = 3;
/// Sandboxes asked for their image at once.
const AT_ONCE: usize = 8;

/// What is known.
#[derive(Default)]
pub(super) struct Names {
    known: HashMap<Arc<str>, Named>,
    /// Groups in pods that are no container of the runtime's.
    strangers: HashMap<Arc<str>, Stranger>,
    /// Sandboxes whose image the runtime does not tell.
    without_image: HashSet<Arc<str>>,
    /// Until then, on the monotonic clock, the runtime is not asked again.
    rest_until: Duration,
}

/// What is known of one.
#[derive(Clone, Copy)]
struct Stranger {
    /// First seen, on the monotonic clock.
    since: Duration,
    /// How often the runtime was asked.
    looks: u32,
}

impl Stranger {
    fn is_new(self, now: Duration) -> bool {
        self.looks < LOOKS || now.saturating_sub(self.since) < NEW
    }
}

impl Names {
    /// What a group is; `None` for what is not the runtime's.
    pub(super) fn of(&self, id: &str) -> Option<&Named> {
        self.known.get(id)
    }

    /// Learns the names of the groups in a reading. False when some could not be learnt.
    pub(super) async fn learn(
        &mut self,
        runtime: &dyn RuntimeMeters,
        tree: &TreeReading,
        depth: Depth,
        now: Duration,
    ) -> bool {
        let mut complete = true;
        let is_new = |id: &Arc<str>| {
            !self.known.contains_key(id) && self.strangers.get(id).is_none_or(|stranger| stranger.is_new(now))
        };
        if ids(tree).any(is_new) {
            complete = now >= self.rest_until && self.list(runtime, tree, now).await;
            if !complete && now >= self.rest_until {
                self.rest_until = now + REST;
            }
        }
        // The sandbox's image stands on one page only, and costs a call for each.
        if depth == Depth::Everything && now >= self.rest_until && !self.images(runtime).await {
            self.rest_until = now + REST;
        }
        complete
    }

    async fn list(&mut self, runtime: &dyn RuntimeMeters, tree: &TreeReading, now: Duration) -> bool {
        let listed = match tokio::time::timeout(PATIENCE, runtime.named()).await {
            Ok(Ok(listed)) => listed,
            Ok(Err(error)) => {
                tracing::warn!(%error, "The runtime does not tell whose containers run: their statistics are left out");
                return false;
            }
            Err(_) => {
                tracing::warn!(
                    "The runtime is silent: statistics of containers that it did not name are left out"
                );
                return false;
            }
        };
        let here: HashSet<&Arc<str>> = ids(tree).collect();
        let mut before = std::mem::take(&mut self.known);
        for new in listed.into_iter().filter(|named| here.contains(&named.id)) {
            // What was learnt about it stays.
            let named = before.remove(&new.id).unwrap_or(new);
            self.known.insert(Arc::clone(&named.id), named);
        }
        let before = std::mem::take(&mut self.strangers);
        for id in here.into_iter().filter(|id| !self.known.contains_key(*id)) {
            let before = before.get(id).copied().unwrap_or(Stranger { since: now, looks: 0 });
            self.strangers.insert(Arc::clone(id), Stranger { looks: before.looks + 1, ..before });
        }
        self.without_image.retain(|id| self.known.contains_key(id));
        true
    }

    /// Asks for the images of sandboxes that have none yet. False when the runtime did not answer.
    async fn images(&mut self, runtime: &dyn RuntimeMeters) -> bool {
        let known = self.known.values().filter(|named| named.container.is_none() && named.image.is_empty());
        let wanted = known.map(|named| Arc::clone(&named.id)).filter(|id| !self.without_image.contains(id));
        let wanted: Vec<Arc<str>> = wanted.collect();
        if wanted.is_empty() {
            return true;
        }
        let asking = futures::stream::iter(wanted).map(|id| async move {
            let image = runtime.sandbox_image(&id).await;
            (id, image)
        });
        let answers = asking.buffer_unordered(AT_ONCE).collect::<Vec<_>>();
        let Ok(answers) = tokio::time::timeout(PATIENCE, answers).await else { return false };
        let mut all = true;
        for (id, image) in answers {
            match (image, self.known.get_mut(&id)) {
                (Ok(image), _) if image.is_empty() => {
                    self.without_image.insert(id);
                }
                (Ok(image), Some(named)) => named.image = image,
                (Err(seams::RuntimeError::NotFound { .. }), _) | (_, None) => {}
                (Err(error), _) => {
                    tracing::debug!(%error, sandbox = &*id, "The image of a sandbox is not known");
                    all = false;
                }
            }
        }
        all
    }
}

fn ids(tree: &TreeReading) -> impl Iterator<Item = &Arc<str>> {
    tree.pods.iter().flat_map(|pod| pod.inside.iter().map(|(id, _)| id))
}
