//! One connection's place and age.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{sync::Semaphore, time::Instant};
use tokio_util::sync::CancellationToken;

use super::answer::{Body, Holding};

/// Connections at once, proven or not, streams into containers among them.
const ALL: usize = 4096;
/// Connections that have not proven anything yet.
const YOUNG: usize = 512;
/// Of these, from one address: an API server opens a few at a time.
const YOUNG_OF_HOST: usize = 128;
/// For a handshake and a first request that is authorized.
const YOUNG_TIME: Duration = Duration::from_secs(15);
/// Without a request, upstream's idle timeout.
const IDLE: Duration = Duration::from_secs(90);

/// The places of one listener.
#[derive(Clone, Debug)]
pub(super) struct Places {
    all: Arc<Semaphore>,
    young: Arc<Young>,
}

#[derive(Debug, Default)]
struct Young {
    /// The oldest first.
    of_host: Mutex<HashMap<IpAddr, Vec<Arc<Ticket>>>>,
}

/// What is known of a connection where its place is.
#[derive(Debug)]
struct Ticket {
    /// Its place was given to another.
    ousted: CancellationToken,
    use_: Mutex<Use>,
}

impl Young {
    /// Takes a place, from an older one if need be: of the host that has the most, the oldest that asks for nothing. False
    /// when all are asking.
    fn join(&self, host: IpAddr, ticket: &Arc<Ticket>) -> bool {
        let mut of_host = self.of_host.lock();
        let of = |of_host: &HashMap<IpAddr, Vec<_>>| of_host.get(&host).map_or(0, Vec::len);
        let crowd = if of(&of_host) >= YOUNG_OF_HOST {
            Some(host)
        } else if of_host.values().map(Vec::len).sum::<usize>() >= YOUNG {
            of_host.iter().max_by_key(|(_, tickets)| tickets.len()).map(|(host, _)| *host)
        } else {
            None
        };
        if let Some(tickets) = crowd.and_then(|crowd| of_host.get_mut(&crowd)) {
            let oldest = tickets.iter().position(|ticket| ticket.use_.lock().busy == 0);
            let Some(oldest) = oldest else { return false };
            tickets.remove(oldest).ousted.cancel();
        }
        of_host.entry(host).or_default().push(Arc::clone(ticket));
        of_host.retain(|_, tickets| !tickets.is_empty());
        true
    }

    fn leave(&self, host: IpAddr, ticket: &Arc<Ticket>) {
        let mut of_host = self.of_host.lock();
        if let Some(tickets) = of_host.get_mut(&host) {
            tickets.retain(|other| !Arc::ptr_eq(other, ticket));
            if tickets.is_empty() {
                of_host.remove(&host);
            }
        }
    }
}

impl Default for Places {
    fn default() -> Self {
        Self { all: Arc::new(Semaphore::new(ALL)), young: Arc::default() }
    }
}

impl Places {
    /// A place for a new connection; `None` when there are too many, and none that can be sent away.
    pub(super) fn take(&self, host: IpAddr) -> Option<Arc<Connection>> {
        let all = Arc::clone(&self.all).try_acquire_owned().ok()?;
        let use_ = Mutex::new(Use { busy: 0, last: Instant::now() });
        let ticket = Arc::new(Ticket { ousted: CancellationToken::new(), use_ });
        let has_place = self.young.join(host, &ticket);
        has_place.then(|| {
            let over = AtomicBool::new(false);
            let youth = Youth { young: Arc::clone(&self.young), host, ticket, over };
            Arc::new(Connection { _all: all, youth, since: Instant::now() })
        })
    }
}

/// A place among the young; given back once.
#[derive(Debug)]
struct Youth {
    young: Arc<Young>,
    host: IpAddr,
    ticket: Arc<Ticket>,
    over: AtomicBool,
}

impl Youth {
    fn end(&self) {
        if !self.over.swap(true, Ordering::Relaxed) {
            self.young.leave(self.host, &self.ticket);
        }
    }
}

impl Drop for Youth {
    fn drop(&mut self) {
        self.end();
    }
}

/// A connection. Its place is free again when the last hold on this is gone, streams included.
#[derive(Debug)]
pub(super) struct Connection {
    _all: tokio::sync::OwnedSemaphorePermit,
    youth: Youth,
    since: Instant,
}

#[derive(Debug)]
struct Use {
    /// Requests that are not answered to their end.
    busy: usize,
    last: Instant,
}

impl Connection {
    /// A request was authorized.
    pub(super) fn proven(&self) {
        self.youth.end();
    }

    /// A request is under way until what this returns is dropped.
    pub(super) fn busy(self: &Arc<Self>) -> Busy {
        self.youth.ticket.use_.lock().busy += 1;
        Busy(Arc::clone(self))
    }

    /// Ends when a younger connection got the place of this one before it had proven anything.
    pub(super) async fn ousted(&self) {
        self.youth.ticket.ousted.cancelled().await;
        if self.youth.over.load(Ordering::Relaxed) {
            // It had, just then.
            std::future::pending().await
        }
    }

    /// Ends when the connection has been young or idle for too long.
    pub(super) async fn outlived(&self) {
        loop {
            let until = {
                let used = self.youth.ticket.use_.lock();
                match (used.busy, self.youth.over.load(Ordering::Relaxed)) {
                    (0, false) => self.since + YOUNG_TIME,
                    (0, true) => used.last + IDLE,
                    _ => Instant::now() + YOUNG_TIME,
                }
            };
            if until <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(until).await;
        }
    }
}

/// A request under way.
#[derive(Debug)]
pub(super) struct Busy(Arc<Connection>);

impl Drop for Busy {
    fn drop(&mut self) {
        let mut used = self.0.youth.ticket.use_.lock();
        used.busy -= 1;
        used.last = Instant::now();
    }
}

impl Busy {
    /// The request lasts as long as its answer.
    pub(super) fn until_end_of(self, body: Body) -> Holding<Self> {
        Holding::new(body, self)
    }
}
