//! Lists and watches.
//!
//! A watch is a task that holds a position in the history. It sends what is new, waits for a signal, and looks again; a
//! position that was compacted away ends it with 410. It never holds the store while it waits.

use std::{collections::BTreeMap, convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use hyper::body::Frame;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::{
    Shared, Signals,
    faults::{Gone, Network},
    query::{flag, number},
    resources::Target,
    selectors::Selector,
    status::Refusal,
    store::{Change, Store},
};

/// What a watch writes to.
pub(super) type Chunks = mpsc::Sender<Result<Frame<Bytes>, Infallible>>;

/// The restriction of a list or watch.
pub(super) fn selector(target: &Target, query: &BTreeMap<String, String>) -> Result<Selector, Refusal> {
    let text = |name: &str| query.get(name).map(String::as_str).unwrap_or_default();
    let mut fields = text("fieldSelector").to_owned();
    if !target.name.is_empty() {
        fields = format!("metadata.name={}", target.name);
    }
    Selector::parse(target.served, &fields, text("labelSelector"))
}

/// GET a collection, in pages if a limit says so.
pub(super) fn list(
    store: &Store,
    target: &Target,
    query: &BTreeMap<String, String>,
) -> Result<Value, Refusal> {
    let selector = selector(target, query)?;
    if number(query, "resourceVersion")?.is_some_and(|wanted| wanted > store.revision()) {
        return Err(Refusal::injected(504));
    }
    let limit = number(query, "limit")?.filter(|limit| *limit > 0);
    let limit = limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX);
    // The token is where the next page begins; the real one is opaque too.
    let after = query.get("continue").filter(|token| !token.is_empty());
    let place = |value: &Value| {
        format!(
            "{}/{}",
            value["metadata"]["namespace"].as_str().unwrap_or_default(),
            value["metadata"]["name"].as_str().unwrap_or_default()
        )
    };
    let mut items: Vec<Value> = matching(store, target, &selector)
        .filter(|object| after.is_none_or(|after| place(object) > *after))
        .cloned()
        .collect();
    let mut metadata = json!({ "resourceVersion": store.revision().to_string() });
    if items.len() > limit {
        metadata["remainingItemCount"] = json!(items.len() - limit);
        items.truncate(limit);
        metadata["continue"] = json!(items.last().map(place));
    }
    for item in &mut items {
        // Items of a typed list do not repeat their type.
        if let Some(item) = item.as_object_mut() {
            item.remove("kind");
            item.remove("apiVersion");
        }
    }
    Ok(json!({
        "kind": format!("{}List", target.served.kind),
        "apiVersion": target.served.api_version(),
        "metadata": metadata,
        "items": items,
    }))
}

fn matching<'a>(
    store: &'a Store,
    target: &'a Target,
    selector: &'a Selector,
) -> impl Iterator<Item = &'a Value> {
    store
        .of(target.served.group, target.served.plural)
        .filter(|(key, _)| target.namespace.is_empty() || key.namespace == target.namespace)
        .map(|(_, object)| object)
        .filter(|object| selector.matches(object))
}

/// A watch that may begin.
pub(super) struct Watch {
    shared: Arc<Shared>,
    target: Target,
    selector: Selector,
    start: Start,
    bookmarks: bool,
    timeout: Option<Duration>,
    /// Followed from the request on, so that what happens before the task runs is not missed.
    signals: tokio::sync::watch::Receiver<Signals>,
}

enum Start {
    /// Everything there is, then changes; with the end of the initial events marked if that was asked.
    State { mark_end: bool },
    /// Changes after a revision.
    After(u64),
    /// Say that the revision is gone.
    Gone(Refusal),
}

impl Watch {
    /// Check the query.
    pub(super) fn new(
        shared: &Arc<Shared>,
        target: Target,
        query: &BTreeMap<String, String>,
    ) -> Result<Self, Refusal> {
        let selector = selector(&target, query)?;
        let revision = number(query, "resourceVersion")?;
        let initial = flag(query, "sendInitialEvents");
        let matching = query.get("resourceVersionMatch").map(String::as_str).unwrap_or_default();
        let bookmarks = flag(query, "allowWatchBookmarks");
        let forbidden = |cause: &str| Err(Refusal::invalid(target.served, "", cause));
        if query.contains_key("sendInitialEvents") && matching != "NotOlderThan" {
            return forbidden(
                "resourceVersionMatch: Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
            );
        }
        if !query.contains_key("sendInitialEvents") && !matching.is_empty() {
            return forbidden(
                "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
            );
        }
        if initial && !bookmarks {
            return forbidden(
                "allowWatchBookmarks: Forbidden: sendInitialEvents requires allowWatchBookmarks",
            );
        }
        let gone = shared.faults.lock().take_gone();
        let start = match gone {
            Some(Gone::Status) => {
                return Err(Refusal::gone(revision.unwrap_or(0), shared.store.lock().revision()));
            }
            Some(Gone::Event) => {
                Start::Gone(Refusal::gone(revision.unwrap_or(0), shared.store.lock().revision()))
            }
            None => match revision {
                _ if initial => Start::State { mark_end: true },
                None | Some(0) => Start::State { mark_end: false },
                Some(revision) => Start::After(revision),
            },
        };
        let timeout = number(query, "timeoutSeconds")?.map(Duration::from_secs);
        let signals = shared.signals.subscribe();
        Ok(Self { shared: Arc::clone(shared), target, selector, start, bookmarks, timeout, signals })
    }

    /// Send events until the client leaves, the timeout passes, or a fault ends it.
    pub(super) async fn run(self, to: Chunks) {
        let mut signals = self.signals.clone();
        let begun = signals.borrow_and_update().clone();
        let mut bookmarked = begun.bookmarks;
        let end = self.timeout.map(|timeout| tokio::time::Instant::now() + timeout);
        let mut position = match &self.start {
            Start::After(revision) => *revision,
            Start::Gone(refusal) => {
                let _ = send(&to, "ERROR", &refusal.body()).await;
                return;
            }
            Start::State { mark_end } => {
                let (objects, revision) = {
                    let store = self.shared.store.lock();
                    let objects: Vec<Value> =
                        matching(&store, &self.target, &self.selector).cloned().collect();
                    (objects, store.revision())
                };
                for object in objects {
                    if send(&to, "ADDED", &object).await.is_err() {
                        return;
                    }
                }
                if *mark_end && send(&to, "BOOKMARK", &self.bookmark(revision, true)).await.is_err() {
                    return;
                }
                revision
            }
        };
        loop {
            let now = signals.borrow_and_update().clone();
            if now.watches_closed != begun.watches_closed {
                return;
            }
            if now.network != Network::Hang {
                match self.events(&mut position) {
                    Ok(events) => {
                        for (kind, object) in events {
                            if send(&to, kind, &object).await.is_err() {
                                return;
                            }
                        }
                    }
                    Err(refusal) => {
                        let _ = send(&to, "ERROR", &refusal.body()).await;
                        return;
                    }
                }
                if self.bookmarks && bookmarked != now.bookmarks {
                    bookmarked = now.bookmarks;
                    if send(&to, "BOOKMARK", &self.bookmark(position, false)).await.is_err() {
                        return;
                    }
                }
            }
            // Cancel-safe: a signal that is not seen here is seen at the next look, the state being compared, not counted.
            tokio::select! {
                changed = signals.changed() => if changed.is_err() { return },
                () = to.closed() => return,
                () = async { match end { Some(end) => tokio::time::sleep_until(end).await, None => std::future::pending().await } } => return,
            }
        }
    }

    /// What happened since the position, as this watch's selector sees it.
    fn events(&self, position: &mut u64) -> Result<Vec<(&'static str, Value)>, Refusal> {
        let store = self.shared.store.lock();
        let changes = store.since(*position).map_err(|error| Refusal::gone(*position, error.oldest))?;
        let events = changes.iter().filter_map(|change| self.event(change)).collect();
        *position = store.revision().max(*position);
        Ok(events)
    }

    fn event(&self, change: &Change) -> Option<(&'static str, Value)> {
        let key = &change.key;
        let here = key.group == self.target.served.group
            && key.plural == self.target.served.plural
            && (self.target.namespace.is_empty() || key.namespace == self.target.namespace);
        if !here {
            return None;
        }
        let before = change.before.as_ref().filter(|object| self.selector.matches(object));
        let after = change.after.as_ref().filter(|object| self.selector.matches(object));
        match (before, after) {
            (None, None) => None,
            (None, Some(after)) => Some(("ADDED", after.clone())),
            (Some(_), Some(after)) => Some(("MODIFIED", after.clone())),
            // Gone, or gone from the selection: the last state that was selected, with the revision of the change.
            (Some(before), None) => {
                let mut last = before.clone();
                last["metadata"]["resourceVersion"] = json!(change.revision.to_string());
                Some(("DELETED", last))
            }
        }
    }

    fn bookmark(&self, revision: u64, initial_end: bool) -> Value {
        let mut metadata = json!({ "resourceVersion": revision.to_string(), "creationTimestamp": null });
        if initial_end {
            metadata["annotations"] = json!({ "k8s.io/initial-events-end": "true" });
        }
        let mut object = json!({ "kind": self.target.served.kind, "apiVersion": self.target.served.api_version(), "metadata": metadata });
        if self.target.served.kind == "Pod" {
            // The real server sends an empty pod, whose containers are null.
            object["spec"] = json!({ "containers": null });
            object["status"] = json!({});
        }
        object
    }
}

/// The client is gone.
struct Left;

async fn send(to: &Chunks, kind: &str, object: &Value) -> Result<(), Left> {
    let mut line = json!({ "type": kind, "object": object }).to_string();
    line.push('\n');
    to.send(Ok(Frame::data(Bytes::from(line)))).await.map_err(|_| Left)
}
