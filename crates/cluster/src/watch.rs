//! A list that stays true: streaming list or paged list, then changes, for ever.
//!
//! ```text
//!            streaming list refused           first bookmark
//!   Unknown ───────────────► paged list   Listing ──────────► Watching ──► end of stream ──► Known
//!      │  ▲                      │            ▲                   │                           │
//!      │  └── 410 Gone ──────────│────────────│───────────────────┴───────────────────────────┤
//!      └─────────────────────────│────────────┘                   ▲                           │
//!                                └──► Known (resource version) ───┴───────────────────────────┘
//! ```
//!
//! [`Watcher::next`] consumes the state and leaves the next one; whoever holds the watcher owns the truth it brings.
//!
//! Invariants:
//! * the first change is a snapshot, and after a gap (410) there is one again: nothing is lost without one;
//! * an object that cannot be decoded is reported in the log and skipped; it does not stop the others;
//! * between two failed attempts there is a pause of 0.8 s, doubling to 30 s, up to twice as long by chance;
//! * `managedFields` never stay in memory.

mod backoff;
mod lines;

use std::{marker::PhantomData, sync::Arc, time::Duration};

use k8s_openapi::{Metadata, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use seams::ApiError;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::value::RawValue;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until, timeout_at},
};

pub(crate) use backoff::{Backoff, jitter};

use crate::{
    api::{Api, Status, encoded},
    transport::{Body, TransportError},
};
use lines::Lines;

/// Objects per page of a paged list, as client-go.
const PAGE: u32 = 500;
/// A streaming list that says nothing about its end for so long comes from a server that does not know it.
const FIRST_BOOKMARK: Duration = Duration::from_secs(60);
/// A server ends a watch after the asked time; a watch that outlives it by so much is dead.
const OVERTIME: Duration = Duration::from_secs(30);
/// Spread of the attempts of all watches when the server is back.
const AFTER_RETURN: Duration = Duration::from_secs(1);
/// A watch that ends earlier than this counts as a failed attempt.
const SHORT: Duration = Duration::from_secs(5);

/// What is watched.
#[derive(Clone, Debug)]
pub(crate) struct Feed {
    /// Path of the collection, for example `/api/v1/pods`.
    pub(crate) path: String,
    /// Field selector; empty for everything.
    pub(crate) fields: String,
}

/// One step in the life of the list.
#[derive(Debug)]
pub(crate) enum Change<K> {
    /// Everything there is.
    Snapshot(Vec<K>),
    /// Added or changed.
    Applied(K),
    /// Gone; its last state.
    Deleted(K),
    /// An attempt failed; another follows.
    Failed(ApiError),
}

/// Whether the server has streaming lists. One for all watchers: the first refusal is remembered.
#[derive(Debug, Default)]
pub(crate) struct Streaming {
    refused: std::sync::atomic::AtomicBool,
}

impl Streaming {
    fn is_offered(&self) -> bool {
        !self.refused.load(std::sync::atomic::Ordering::Relaxed)
    }

    fn refuse(&self) {
        self.refused.store(true, std::sync::atomic::Ordering::Relaxed);
    }
}

/// Follows one feed.
pub(crate) struct Watcher<K> {
    api: Arc<Api>,
    streaming: Arc<Streaming>,
    feed: Feed,
    state: State<K>,
    backoff: Backoff,
    not_before: Option<Instant>,
    /// Changes when the server is back after an outage.
    back: watch::Receiver<u64>,
    _kind: PhantomData<fn() -> K>,
}

enum State<K> {
    /// Nothing is known.
    Unknown,
    /// A streaming list is under way.
    Listing { stream: Stream, found: Vec<K> },
    /// Everything up to a version is known, nobody is listening.
    Known { version: String },
    /// Listening.
    Watching { stream: Stream, version: String },
}

struct Stream {
    lines: Lines,
    opened: Instant,
    dead_at: Instant,
}

/// Why a step could not be taken.
enum Setback {
    /// Ask again from the known version, or from nothing.
    Failed(ApiError),
    /// What is known is too old: start from nothing, at once.
    Expired(ApiError),
    /// The server ended the watch, as it does every few minutes.
    Ended,
}

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(rename = "type")]
    kind: EventKind,
    #[serde(borrow)]
    object: &'a RawValue,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "UPPERCASE")]
enum EventKind {
    Added,
    Modified,
    Deleted,
    Bookmark,
    Error,
}

/// What every object has: enough to go on when the rest cannot be read.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Partial {
    metadata: ObjectMeta,
}

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    metadata: PageMeta,
    items: Option<Vec<Box<RawValue>>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct PageMeta {
    resource_version: String,
    r#continue: String,
}

impl<K> Watcher<K>
where
    K: DeserializeOwned + Metadata<Ty = ObjectMeta>,
{
    pub(crate) fn new(api: Arc<Api>, streaming: Arc<Streaming>, feed: Feed, backoff: Backoff) -> Self {
        let back = api.transport().reach().back();
        Self {
            api,
            streaming,
            feed,
            state: State::Unknown,
            backoff,
            not_before: None,
            back,
            _kind: PhantomData,
        }
    }

    /// Sits out a pause, or what is left of it when the server comes back meanwhile: a little, so that the watches of
    /// all nodes do not come at once. Both arms are cancel-safe.
    async fn rest(&mut self, until: Instant) {
        tokio::select! {
            () = sleep_until(until) => {}
            Ok(()) = self.back.changed() => {
                sleep_until(until.min(Instant::now() + jitter(AFTER_RETURN))).await;
            }
        }
    }

    /// The next change. Steps that are over soon are boxed: a node waits in hundreds of these, and what a future may
    /// once need it holds for ever. When its future is dropped midway, the list starts anew with a snapshot.
    pub(crate) async fn next(&mut self) -> Change<K> {
        loop {
            if let Some(time) = self.not_before {
                Box::pin(self.rest(time)).await;
                self.not_before = None;
            }
            match std::mem::replace(&mut self.state, State::Unknown) {
                State::Unknown => match Box::pin(self.begin()).await {
                    Ok((state, None)) => self.state = state,
                    Ok((state, Some(found))) => {
                        self.state = state;
                        return Change::Snapshot(found);
                    }
                    Err(error) => return self.pause(error),
                },
                State::Listing { mut stream, mut found } => {
                    match Box::pin(self.listing(&mut stream, &mut found)).await {
                        Ok(version) => {
                            found.shrink_to_fit();
                            self.state = State::Watching { stream, version };
                            return Change::Snapshot(found);
                        }
                        Err(Setback::Failed(error) | Setback::Expired(error)) => return self.pause(error),
                        Err(Setback::Ended) => {
                            return self
                                .pause(ApiError::Malformed("the list ended before it was complete".into()));
                        }
                    }
                }
                State::Known { version } => {
                    match Box::pin(self.open(&format!("&resourceVersion={}", encoded(&version)))).await {
                        Ok(stream) => self.state = State::Watching { stream, version },
                        Err(ApiError::Gone(message)) => {
                            tracing::debug!(path = self.feed.path, message, "listing again");
                            self.not_before = Some(Instant::now() + self.backoff.next());
                        }
                        Err(error) => {
                            self.state = State::Known { version };
                            return self.pause(error);
                        }
                    }
                }
                State::Watching { mut stream, mut version } => {
                    match self.event(&mut stream, &mut version).await {
                        Ok(change) => {
                            self.state = State::Watching { stream, version };
                            return change;
                        }
                        Err(setback) => {
                            let lived = stream.opened.elapsed() >= SHORT;
                            if lived {
                                self.backoff.reset();
                            }
                            match setback {
                                Setback::Ended if lived => self.state = State::Known { version },
                                Setback::Expired(error) if lived => {
                                    tracing::debug!(path = self.feed.path, %error, "listing again");
                                }
                                Setback::Expired(error) => return self.pause(error),
                                Setback::Ended => {
                                    self.state = State::Known { version };
                                    self.not_before = Some(Instant::now() + self.backoff.next());
                                }
                                Setback::Failed(error) => {
                                    self.state = State::Known { version };
                                    return self.pause(error);
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    fn pause(&mut self, error: ApiError) -> Change<K> {
        self.back.mark_unchanged();
        self.not_before = Some(Instant::now() + self.backoff.next());
        Change::Failed(error)
    }

    async fn begin(&mut self) -> Result<(State<K>, Option<Vec<K>>), ApiError> {
        if self.streaming.is_offered() {
            match self.open("&sendInitialEvents=true&resourceVersionMatch=NotOlderThan").await {
                Ok(stream) => return Ok((State::Listing { stream, found: Vec::new() }, None)),
                // Bad request or unprocessable: the parameters are not known to this server.
                Err(ApiError::Status { code: 400 | 422, message }) => {
                    tracing::debug!(path = self.feed.path, message, "no streaming lists; listing in pages");
                    self.streaming.refuse();
                }
                Err(error) => return Err(error),
            }
        }
        let (version, found) = self.list().await?;
        Ok((State::Known { version }, Some(found)))
    }

    /// Opens a watch for five to ten minutes, so that watchers do not come back all at once.
    async fn open(&self, query: &str) -> Result<Stream, ApiError> {
        let lasts = Duration::from_secs(300) + jitter(Duration::from_secs(300));
        let path = format!(
            "{}?watch=true&allowWatchBookmarks=true&timeoutSeconds={}{}{query}",
            self.feed.path,
            lasts.as_secs(),
            self.selector(),
        );
        let body: Body = self.api.watch(&path).await?;
        let opened = Instant::now();
        Ok(Stream { lines: Lines::new(body), opened, dead_at: opened + lasts + OVERTIME })
    }

    async fn list(&self) -> Result<(String, Vec<K>), ApiError> {
        let mut found = Vec::new();
        let mut token = String::new();
        loop {
            let at = if token.is_empty() { String::new() } else { format!("&continue={}", encoded(&token)) };
            let path = format!("{}?limit={PAGE}{}{at}", self.feed.path, self.selector());
            let page: Page = self.api.get(&path).await?;
            found.extend(page.items.into_iter().flatten().filter_map(|raw| self.decode(&raw)));
            if page.metadata.r#continue.is_empty() {
                return Ok((page.metadata.resource_version, found));
            }
            token = page.metadata.r#continue;
        }
    }

    async fn listing(&self, stream: &mut Stream, found: &mut Vec<K>) -> Result<String, Setback> {
        let patience = stream.opened + FIRST_BOOKMARK;
        loop {
            let Ok(line) = timeout_at(patience, self.line(stream)).await else {
                self.streaming.refuse();
                let message =
                    format!("no end of the streaming list within {FIRST_BOOKMARK:?}; listing in pages");
                return Err(Setback::Failed(ApiError::Malformed(message)));
            };
            let line = line?;
            let event = self.parse(&line)?;
            match event.kind {
                EventKind::Added | EventKind::Modified => found.extend(self.decode(event.object)),
                EventKind::Deleted => {
                    let gone = self.partial(event.object);
                    found.retain(|object| object.metadata().uid != gone.uid);
                }
                EventKind::Bookmark => {
                    let meta = self.partial(event.object);
                    let ended = meta
                        .annotations
                        .as_ref()
                        .is_some_and(|a| a.get("k8s.io/initial-events-end").is_some_and(|v| v == "true"));
                    if ended {
                        return Ok(meta.resource_version.unwrap_or_default());
                    }
                }
                EventKind::Error => return Err(self.error(event.object)),
            }
        }
    }

    async fn event(&self, stream: &mut Stream, version: &mut String) -> Result<Change<K>, Setback> {
        loop {
            let line = self.line(stream).await?;
            let event = self.parse(&line)?;
            if event.kind == EventKind::Error {
                return Err(self.error(event.object));
            }
            let decoded = match event.kind {
                EventKind::Bookmark | EventKind::Error => None,
                EventKind::Added | EventKind::Modified | EventKind::Deleted => self.decode(event.object),
            };
            let seen = match &decoded {
                Some(object) => object.metadata().resource_version.clone(),
                None => self.partial(event.object).resource_version,
            };
            if let Some(seen) = seen.filter(|v| !v.is_empty()) {
                *version = seen;
            }
            match (event.kind, decoded) {
                (EventKind::Deleted, Some(object)) => return Ok(Change::Deleted(object)),
                (_, Some(object)) => return Ok(Change::Applied(object)),
                (_, None) => {}
            }
        }
    }

    async fn line(&self, stream: &mut Stream) -> Result<bytes::Bytes, Setback> {
        match timeout_at(stream.dead_at, stream.lines.next()).await {
            Ok(Some(Ok(line))) => Ok(line),
            Ok(Some(Err(error))) => Err(Setback::Failed(self.broken(&error))),
            Ok(None) | Err(_) => Err(Setback::Ended),
        }
    }

    fn broken(&self, error: &TransportError) -> ApiError {
        ApiError::Unreachable {
            server: self.api.transport().server_url().to_owned(),
            message: format!("watch of {} broke: {error}", self.feed.path),
        }
    }

    fn parse<'a>(&self, line: &'a [u8]) -> Result<Event<'a>, Setback> {
        serde_json::from_slice(line)
            .map_err(|e| Setback::Failed(ApiError::Malformed(format!("watch of {}: {e}", self.feed.path))))
    }

    fn error(&self, object: &RawValue) -> Setback {
        let status: Status = serde_json::from_slice(object.get().as_bytes()).unwrap_or_default();
        match status.into_error() {
            error @ ApiError::Gone(_) => Setback::Expired(error),
            error => Setback::Failed(error),
        }
    }

    fn decode(&self, raw: &RawValue) -> Option<K> {
        // From bytes, as everywhere: a second way to read the same types is a second copy of all their code.
        match serde_json::from_slice::<K>(raw.get().as_bytes()) {
            Ok(mut object) => {
                object.metadata_mut().managed_fields = None;
                Some(object)
            }
            Err(error) => {
                let meta = self.partial(raw);
                tracing::warn!(
                    path = self.feed.path,
                    namespace = meta.namespace.unwrap_or_default(),
                    name = meta.name.unwrap_or_default(),
                    %error,
                    "skipping an object that cannot be understood"
                );
                None
            }
        }
    }

    fn partial(&self, raw: &RawValue) -> ObjectMeta {
        serde_json::from_slice::<Partial>(raw.get().as_bytes()).unwrap_or_default().metadata
    }

    fn selector(&self) -> String {
        if self.feed.fields.is_empty() {
            String::new()
        } else {
            format!("&fieldSelector={}", encoded(&self.feed.fields))
        }
    }
}

#[cfg(test)]
mod tests;
