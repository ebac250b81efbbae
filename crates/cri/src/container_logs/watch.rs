//! Tells when a log is written, closed or rotated, by inotify on its directory.
//!
//! Events only say when to look. One thing they say that looking cannot: that who wrote a file has closed it.

use std::{collections::BTreeSet, io, path::Path};

use futures::{FutureExt, StreamExt};
use inotify::{Event, EventMask, EventStream, Inotify, WatchMask};

/// Room for some dozens of events at a time.
const BUFFER: usize = 4096;
/// Closed files that are remembered, the newest: more than rotation keeps.
const REMEMBERED: usize = 64;

/// What happened since the last time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Noticed {
    /// Look again.
    Change,
    /// Look again, and a file was closed by who wrote it: the container may have ended.
    Closed,
}

/// The watch of one log.
pub(super) struct Watch {
    events: EventStream<Vec<u8>>,
    log: String,
    /// The files that were closed by who wrote them, as long as nobody wrote them since.
    closed: BTreeSet<String>,
}

impl Watch {
    /// Watches a directory for what happens to `log` and what was rotated from it.
    ///
    /// # Errors
    /// The machine's limit of watches is reached, or the directory is gone.
    pub(super) fn start(dir: &Path, log: &str) -> io::Result<Self> {
        let inotify = Inotify::init()?;
        let mask = WatchMask::MODIFY
            | WatchMask::CLOSE_WRITE
            | WatchMask::CREATE
            | WatchMask::MOVED_TO
            | WatchMask::MOVED_FROM
            | WatchMask::DELETE
            | WatchMask::DELETE_SELF
            | WatchMask::ONLYDIR;
        inotify.watches().add(dir, mask)?;
        let events = inotify.into_event_stream(vec![0; BUFFER])?;
        Ok(Self { events, log: log.to_owned(), closed: BTreeSet::new() })
    }

    /// Whether who wrote this file has closed it.
    pub(super) fn is_closed(&self, name: &str) -> bool {
        self.closed.contains(name)
    }

    /// Waits for something to happen, and takes with it what happened besides. Cancel-safe: an event that was taken has
    /// had its effect, and there is no wait after the first.
    ///
    /// # Errors
    /// The watch is broken; start another.
    pub(super) async fn next(&mut self) -> io::Result<Noticed> {
        let mut noticed = None;
        loop {
            let event = match noticed {
                None => self.events.next().await,
                Some(_) => match self.events.next().now_or_never() {
                    Some(event) => event,
                    None => return Ok(noticed.unwrap_or(Noticed::Change)),
                },
            };
            let event = event.ok_or(io::ErrorKind::UnexpectedEof)??;
            noticed = match (noticed, self.take(&event)) {
                (Some(Noticed::Closed), _) => Some(Noticed::Closed),
                (before, new) => new.or(before),
            };
        }
    }

    /// Takes one event; `None` if it is about something else.
    fn take(&mut self, event: &Event<std::ffi::OsString>) -> Option<Noticed> {
        if event.mask.intersects(EventMask::Q_OVERFLOW | EventMask::IGNORED | EventMask::DELETE_SELF) {
            self.closed.clear();
            return Some(Noticed::Change);
        }
        let name = event.name.as_ref()?.to_str().filter(|name| name.starts_with(&self.log))?;
        if name.ends_with(".tmp") {
            return None;
        }
        if event.mask.contains(EventMask::CLOSE_WRITE) {
            self.closed.insert(name.to_owned());
            if self.closed.len() > REMEMBERED {
                self.closed.pop_first();
            }
            return Some(Noticed::Closed);
        }
        // Another file of that name, or more in this one.
        self.closed.remove(name);
        Some(Noticed::Change)
    }
}
