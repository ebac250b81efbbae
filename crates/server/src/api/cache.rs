//! Answers of the API server, kept for a while and in bounds.

use std::{collections::HashMap, hash::Hash, time::Duration};

use parking_lot::Mutex;
use tokio::time::Instant;

/// Most that are kept: a node is asked by a handful of callers; more are somebody's tries.
const MOST: usize = 2048;

/// Values with an end.
#[derive(Debug)]
pub(super) struct Cache<K, V>(Mutex<HashMap<K, (Instant, V)>>);

impl<K, V> Default for Cache<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Clone + Eq + Hash, V: Clone> Cache<K, V> {
    /// What is kept and has not ended.
    pub(super) fn get(&self, key: &K) -> Option<V> {
        let kept = self.0.lock();
        kept.get(key).filter(|(ends, _)| *ends > Instant::now()).map(|(_, value)| value.clone())
    }

    /// Keeps a value. When there is no room, those that have ended go, or else the one that ends next: everything else is
    /// still answered without a review.
    pub(super) fn put(&self, key: K, value: V, ttl: Duration) {
        let now = Instant::now();
        let mut kept = self.0.lock();
        if kept.len() >= MOST && !kept.contains_key(&key) {
            kept.retain(|_, (ends, _)| *ends > now);
            if kept.len() >= MOST {
                let next = kept.iter().min_by_key(|(_, (ends, _))| *ends).map(|(key, _)| key.clone());
                next.and_then(|key| kept.remove(&key));
            }
        }
        kept.insert(key, (now + ttl, value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn values_end_and_are_bounded() {
        let cache = Cache::default();
        cache.put(1, "one", Duration::from_secs(10));
        tokio::time::advance(Duration::from_secs(9)).await;
        assert_eq!(cache.get(&1), Some("one"));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(cache.get(&1), None);
        for key in 0..3 * MOST {
            cache.put(key, "more", Duration::from_secs(10));
            assert_eq!(cache.get(&key), Some("more"));
        }
        assert_eq!(cache.0.lock().len(), MOST);
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_is_forgotten_than_has_to_be() {
        let cache = Cache::default();
        cache.put(0, "long", Duration::from_secs(300));
        for key in 1..3 * MOST {
            cache.put(key, "short", Duration::from_secs(30));
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        assert_eq!(cache.get(&0), Some("long"));
        assert_eq!(cache.get(&(2 * MOST + 1)), Some("short"));
    }
}
