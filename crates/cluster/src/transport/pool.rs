//! The connections of a transport, and the task that makes them.
//!
//! ```text
//!             a connection has a place
//!   request ──────────────────────────────────────────────────► place
//!      │ none has                                                 ▲
//!      └─► waits ──► dialler: while somebody waits, dial ─────────┤ made: places for those who wait, the rest is pooled
//!                                                                 └ failed: all who wait get its error
//! ```
//!
//! A dial may take longer than the deadline of the request that asked for it: a heartbeat has 10 s, a dial 10 s for each
//! of its steps. If it ended with the request, every next one would begin again from nothing, and none would ever come
//! about. So a dial belongs to the pool, as in Go's transport; a request waits for it only as long as it likes.
//!
//! Invariants:
//! * at most one dial at a time, begun only while somebody waits, and carried through when they leave;
//! * a dial that succeeds serves the first who still waits, so a server that hangs up at once is dialled as often as
//!   somebody asks, and no more;
//! * a reset ends the dial that is under way, and so do new certificate files, at its end at the latest: those who wait get
//!   one that began after it;
//! * retiring connections ends no dial: it may be the one that gets through.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::{http1, http2};
use parking_lot::Mutex;
use tokio::{sync::oneshot, task::JoinHandle, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{
    Purpose, TransportError,
    dial::{self, Dialled, Tls},
    tls::TlsFiles,
};
use crate::kubeconfig::Access;

/// Connections that are younger stay when the others are retired: of two callers whose requests fail side by side, the later
/// one must not take away what the earlier one has just dialled. Half of the shortest deadline by default (10 s).
const YOUNG: Duration = Duration::from_secs(5);

/// The connections to one API server.
pub(super) struct Pool {
    access: Arc<Access>,
    tls: TlsFiles,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    connections: Vec<Shared>,
    /// Made for somebody who left before it came about; the next request has it instead of a dial.
    spare: Option<http1::SendRequest<Full<Bytes>>>,
    /// Ends every task of every connection made so far, also of those that are no longer in the pool.
    alive: CancellationToken,
    /// In order of arrival; some may have left.
    waiting: Vec<Waiter>,
    /// The task that dials for them.
    dialler: Option<JoinHandle<()>>,
}

/// A request that has no connection yet.
struct Waiter {
    purpose: Purpose,
    answer: oneshot::Sender<Result<Place, TransportError>>,
}

struct Shared {
    sender: http2::SendRequest<Full<Bytes>>,
    /// One clone for every stream in use.
    streams: Arc<()>,
    /// Streams that the server allows, as last heard.
    most: Arc<AtomicUsize>,
    /// When it was made.
    since: Instant,
    /// Ends its tasks, and with them its streams.
    tasks: CancellationToken,
}

impl Shared {
    fn has_place(&self, purpose: Purpose) -> bool {
        let most = self.most.load(Ordering::Relaxed);
        let most = match purpose {
            Purpose::Call => most,
            Purpose::Watch => (most - most / 4).max(1),
        };
        !self.sender.is_closed() && Arc::strong_count(&self.streams) - 1 < most
    }

    fn place(&self) -> Place {
        Place::Shared { sender: self.sender.clone(), slot: Arc::clone(&self.streams) }
    }
}

/// Where one request goes.
pub(super) enum Place {
    /// A stream of a connection; the slot is held for as long as the stream is in use.
    Shared { sender: http2::SendRequest<Full<Bytes>>, slot: Arc<()> },
    /// A connection of its own.
    Single(http1::SendRequest<Full<Bytes>>),
}

impl Pool {
    pub(super) fn new(access: Arc<Access>) -> Self {
        Self { tls: TlsFiles::new(Arc::clone(&access)), access, state: Mutex::default() }
    }

    /// Drops every connection, also the one that is being made; requests on the way fail, the next one dials anew.
    pub(super) fn reset(&self) {
        let mut state = self.state.lock();
        state.connections.clear();
        state.spare = None;
        std::mem::take(&mut state.alive).cancel();
    }

    /// Drops the connections that have been there for a while, with the requests that wait on them; the next one dials
    /// anew. A dial that is under way goes on.
    pub(super) fn retire(&self) {
        let mut state = self.state.lock();
        state.spare = None;
        state.connections.retain(|shared| {
            let stays = shared.since.elapsed() < YOUNG;
            if !stays {
                shared.tasks.cancel();
            }
            stays
        });
    }

    /// How many connections requests are shared out among.
    pub(super) fn size(&self) -> usize {
        self.state.lock().connections.len()
    }

    /// Drops every connection if the certificate files changed since they were last read. True when they did.
    pub(super) fn reset_if_rotated(&self) -> bool {
        let rotated = self.tls.changed();
        if rotated {
            self.reset();
        }
        rotated
    }

    /// A place for one request. Cancel-safe: a dial goes on without who asked for it.
    ///
    /// # Errors
    /// The failure of the dial that was waited for.
    pub(super) async fn place(self: &Arc<Self>, purpose: Purpose) -> Result<Place, TransportError> {
        let made = {
            let mut state = self.state.lock();
            if let Some(place) = state.pooled(purpose) {
                return Ok(place);
            }
            let (answer, made) = oneshot::channel();
            state.waiting.push(Waiter { purpose, answer });
            // One that panicked is finished, too.
            if state.dialler.as_ref().is_none_or(JoinHandle::is_finished) {
                state.dialler = Some(tokio::spawn(Arc::clone(self).dial_while_awaited()));
            }
            made
        };
        // Nobody is forgotten by a dialler that lives.
        made.await.unwrap_or_else(|_| Err(TransportError::text("the task that connects is gone")))
    }

    async fn dial_while_awaited(self: Arc<Self>) {
        // What was made with the former files must not outlive the first dial with the new ones: after it, nothing tells
        // that they changed.
        self.reset_if_rotated();
        while let Some(alive) = self.awaited() {
            // The connection ends with all the others, or alone.
            let tasks = alive.child_token();
            let dialled = alive.run_until_cancelled(self.dial(tasks.clone())).await;
            // They may have changed while it took its time.
            self.reset_if_rotated();
            let mut state = self.state.lock();
            // What a reset found under way is none of the connections after it.
            match dialled.filter(|_| !alive.is_cancelled()) {
                None => {}
                Some(Ok(dialled)) => state.hand_out(dialled, tasks),
                Some(Err(error)) => {
                    tracing::debug!(server = self.access.server().url, %error, "Cannot connect to the API server");
                    for waiter in state.waiting.drain(..) {
                        // Whoever left needs no answer.
                        let _ = waiter.answer.send(Err(error.clone()));
                    }
                }
            }
        }
    }

    /// What a connection made now lives with, if somebody waits for one. If not, the dialler has ended.
    fn awaited(&self) -> Option<CancellationToken> {
        let mut state = self.state.lock();
        state.waiting.retain(|waiter| !waiter.answer.is_closed());
        if state.waiting.is_empty() {
            state.dialler = None;
            return None;
        }
        Some(state.alive.clone())
    }

    async fn dial(&self, alive: CancellationToken) -> Result<Dialled, TransportError> {
        let server = self.access.server();
        let tls = if server.tls {
            let name = dial::server_name(server, self.access.server_name())?;
            Some(Tls { name, config: self.tls.current()? })
        } else {
            None
        };
        dial::to(server, tls, alive).await
    }
}

impl State {
    fn pooled(&mut self, purpose: Purpose) -> Option<Place> {
        // A connection that refuses new streams (GOAWAY) is let go of quietly: its streams run to their end.
        self.connections.retain(|shared| !shared.sender.is_closed());
        if let Some(shared) = self.connections.iter().find(|shared| shared.has_place(purpose)) {
            return Some(shared.place());
        }
        self.spare.take().filter(|sender| !sender.is_closed()).map(Place::Single)
    }

    /// Gives places to those who wait, in their order. Who finds none waits for the next dial. `tasks` are those of the
    /// connection.
    fn hand_out(&mut self, dialled: Dialled, tasks: CancellationToken) {
        let mut unused = Some(match dialled {
            Dialled::Http2 { sender, most } => {
                let shared = Shared { sender, streams: Arc::default(), most, since: Instant::now(), tasks };
                let place = shared.place();
                self.connections.push(shared);
                place
            }
            Dialled::Http1 { sender } => Place::Single(sender),
        });
        for waiter in std::mem::take(&mut self.waiting) {
            match unused.take().or_else(|| self.pooled(waiter.purpose)) {
                // Who left hands the place on.
                Some(place) => unused = waiter.answer.send(Ok(place)).err().and_then(Result::ok),
                None => self.waiting.push(waiter),
            }
        }
        if let Some(Place::Single(sender)) = unused {
            self.spare = Some(sender);
        }
    }
}

#[cfg(test)]
mod tests;
