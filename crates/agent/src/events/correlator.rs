//! Joins events with their likes, so that a pod in trouble writes one object with a count and not hundreds.
//!
//! Three steps, with upstream's numbers (contract §28):
//! 1. events that differ only in their message become one `(combined from similar events): …` after 10 messages
//!    within 600 s of each other;
//! 2. an event that was seen before becomes a patch of the first one: count, last time, message;
//! 3. more than 25 events about one object, refilled by one in 300 s, are dropped.
//!
//! Pure: time is an argument. Records are found by hash: a collision among 4096 would at worst join two events.

use std::{
    collections::{BTreeSet, HashMap},
    hash::{DefaultHasher, Hash, Hasher},
    time::Duration,
};

use k8s_openapi::{api::core::v1::Event, apimachinery::pkg::apis::meta::v1::Time};
use serde_json::{Value, json};

/// Messages of one kind before they are combined.
const SIMILAR: usize = 10;
/// Silence after which counting begins anew.
const SIMILAR_WITHIN: Duration = Duration::from_mins(10);
/// Events about one object at once.
const BURST: u32 = 25;
/// One more after this time.
const REFILL: Duration = Duration::from_mins(5);
/// Records of each kind.
const RECORDS: usize = 4096;

/// What to do with an event.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// Nothing: too many about this object.
    Drop,
    /// Write it.
    Create(Event),
    /// It was written before under this name.
    Patch {
        /// The event with the first one's name and time and the new count: to be created if the first one is gone.
        event: Event,
        /// Count, last time and message.
        patch: Value,
    },
}

/// Memory of what was sent.
#[derive(Debug, Default)]
pub struct Correlator {
    similar: Recent<Similar>,
    seen: Recent<Seen>,
    spam: Recent<Duration>,
}

#[derive(Clone, Debug, Default)]
struct Similar {
    messages: BTreeSet<u64>,
    last: Duration,
}

#[derive(Clone, Debug)]
struct Seen {
    name: String,
    first: Option<Time>,
    count: i32,
}

impl Correlator {
    /// Decides about one event, recorded at `now` on the monotonic clock.
    pub fn observe(&mut self, mut event: Event, now: Duration) -> Verdict {
        let key = self.combine(&mut event, now);
        let verdict = self.count(event, key);
        let spam_key = match &verdict {
            Verdict::Drop => return Verdict::Drop,
            Verdict::Create(event) | Verdict::Patch { event, .. } => about(event),
        };
        // Kept as the time at which the bucket is full again.
        let full_at = self.spam.get(spam_key).copied().unwrap_or_default().max(now);
        if full_at + REFILL > now + REFILL * BURST {
            return Verdict::Drop;
        }
        self.spam.put(spam_key, full_at + REFILL);
        verdict
    }

    /// Counts messages of one kind; from the tenth on the event stands for all of them. Returns its identity.
    fn combine(&mut self, event: &mut Event, now: Duration) -> u64 {
        let kind = hash(&(about(event), &event.reason));
        let message = hash(&event.message);
        let mut record = self.similar.get(kind).cloned().unwrap_or_default();
        if now.saturating_sub(record.last) > SIMILAR_WITHIN {
            record.messages.clear();
        }
        record.messages.insert(message);
        record.last = now;
        let combined = record.messages.len() >= SIMILAR;
        if combined {
            // Room for the next one, so that the set stays small and full.
            record.messages.remove(&message);
        }
        self.similar.put(kind, record);
        if combined {
            let text = event.message.take().unwrap_or_default();
            event.message = Some(format!("(combined from similar events): {text}"));
            // As upstream's, which stand for many and name no reporter.
            (event.reporting_component, event.reporting_instance) = (None, None);
            return hash(&("combined", kind));
        }
        hash(&(kind, &event.involved_object.field_path, message))
    }

    fn count(&mut self, mut event: Event, key: u64) -> Verdict {
        let Some(before) = self.seen.get(key).cloned() else {
            let name = event.metadata.name.clone().unwrap_or_default();
            self.seen.put(key, Seen { name, first: event.first_timestamp.clone(), count: 1 });
            return Verdict::Create(event);
        };
        let count = before.count.saturating_add(1);
        event.metadata.name = Some(before.name.clone());
        event.first_timestamp.clone_from(&before.first);
        event.count = Some(count);
        let patch = json!({
            "count": count,
            "lastTimestamp": event.last_timestamp,
            "message": event.message,
        });
        self.seen.put(key, Seen { count, ..before });
        Verdict::Patch { event, patch }
    }
}

/// Reporter, object and type: what the limit is counted by.
fn about(event: &Event) -> u64 {
    let object = &event.involved_object;
    let source = event.source.as_ref().map(|source| (&source.component, &source.host));
    hash(&(
        source,
        &object.kind,
        &object.namespace,
        &object.name,
        &object.uid,
        &object.api_version,
        &event.type_,
    ))
}

fn hash<T: Hash>(value: &T) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// A map that forgets what was not used for longest.
#[derive(Debug)]
struct Recent<T> {
    records: HashMap<u64, (u64, T)>,
    uses: u64,
}

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Self { records: HashMap::new(), uses: 0 }
    }
}

impl<T> Recent<T> {
    fn get(&mut self, key: u64) -> Option<&T> {
        self.uses += 1;
        let (used, value) = self.records.get_mut(&key)?;
        *used = self.uses;
        Some(value)
    }

    fn put(&mut self, key: u64, value: T) {
        self.uses += 1;
        self.records.insert(key, (self.uses, value));
        if self.records.len() > RECORDS {
            // An eighth at a time: the scan is paid once in 512 events.
            let mut uses: Vec<u64> = self.records.values().map(|(used, _)| *used).collect();
            let (_, oldest_kept, _) = uses.select_nth_unstable(RECORDS / 8);
            let oldest_kept = *oldest_kept;
            self.records.retain(|_, (used, _)| *used > oldest_kept);
        }
    }
}

#[cfg(test)]
mod tests;
