//! The objects, the revision counter, and the history that watches read.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

/// Names one object. The version is not part of it: every version of a resource is the same object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) group: String,
    pub(super) plural: String,
    pub(super) namespace: String,
    pub(super) name: String,
}

/// One change: what was there before, what is there after it.
#[derive(Clone, Debug)]
pub(super) struct Change {
    pub(super) revision: u64,
    pub(super) key: Key,
    pub(super) before: Option<Value>,
    pub(super) after: Option<Value>,
}

#[derive(Debug, Default)]
pub(super) struct Store {
    objects: BTreeMap<Key, Value>,
    history: Vec<Change>,
    /// Changes up to this revision are forgotten.
    compacted: u64,
    revision: u64,
    uids: u64,
}

/// The asked revision is not in the history any more.
#[derive(Debug)]
pub(super) struct TooOld {
    pub(super) oldest: u64,
}

impl Store {
    pub(super) fn revision(&self) -> u64 {
        self.revision
    }

    pub(super) fn get(&self, key: &Key) -> Option<&Value> {
        self.objects.get(key)
    }

    pub(super) fn of(&self, group: &str, plural: &str) -> impl Iterator<Item = (&Key, &Value)> {
        self.objects.iter().filter(move |(key, _)| key.group == group && key.plural == plural)
    }

    /// Store; fills in what every object has. The same content again is no change, as in the real server.
    pub(super) fn put(&mut self, key: Key, mut object: Value) -> Value {
        let before = self.objects.get(&key).cloned();
        let old = |field: &str| before.as_ref().map(|before| before["metadata"][field].clone());
        let uid = old("uid").unwrap_or_else(|| {
            self.uids += 1;
            json!(format!("{:08x}-0000-4000-8000-{:012x}", self.uids, std::process::id()))
        });
        let metadata = &mut object["metadata"];
        metadata["name"] = json!(key.name);
        if !key.namespace.is_empty() {
            metadata["namespace"] = json!(key.namespace);
        }
        if metadata["uid"].as_str().is_none_or(str::is_empty) {
            metadata["uid"] = uid;
        }
        if metadata["creationTimestamp"].is_null() {
            metadata["creationTimestamp"] =
                old("creationTimestamp").unwrap_or_else(|| json!(seconds(Timestamp::now())));
        }
        if let Some(before) = &before {
            metadata["resourceVersion"] = before["metadata"]["resourceVersion"].clone();
            if *before == object {
                return object;
            }
        }
        self.revision += 1;
        object["metadata"]["resourceVersion"] = json!(self.revision.to_string());
        self.objects.insert(key.clone(), object.clone());
        self.history.push(Change { revision: self.revision, key, before, after: Some(object.clone()) });
        object
    }

    /// Take out; the object as it was, with the revision of its end.
    pub(super) fn remove(&mut self, key: &Key) -> Option<Value> {
        let mut before = self.objects.remove(key)?;
        self.revision += 1;
        let matched = before.clone();
        before["metadata"]["resourceVersion"] = json!(self.revision.to_string());
        self.history.push(Change {
            revision: self.revision,
            key: key.clone(),
            before: Some(matched),
            after: None,
        });
        Some(before)
    }

    /// Changes after a revision.
    pub(super) fn since(&self, revision: u64) -> Result<&[Change], TooOld> {
        if revision < self.compacted {
            return Err(TooOld { oldest: self.compacted });
        }
        let start = self.history.partition_point(|change| change.revision <= revision);
        Ok(&self.history[start..])
    }

    pub(super) fn compact(&mut self) {
        self.compacted = self.revision;
        self.history.clear();
    }
}

/// A time as metadata has it: RFC 3339 in UTC with whole seconds.
pub(super) fn seconds(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
