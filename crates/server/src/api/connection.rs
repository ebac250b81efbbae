//! One connection's place and age.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{sync::Semaphore, time::Instant};
use tokio_util::sync::CancellationToken;

use self::outgoing::{Due, Outgoing, Watch};
use super::answer::{Body, Patience};

mod outgoing;

/// Connections at once, proven or not, streams into containers among them.
const ALL: usize = 4096;
/// Connections that have not proven anything yet, before the old ones of them make room.
const YOUNG: usize = 512;
/// Of these, from one host: an API server opens a few at a time.
const YOUNG_OF_HOST: usize = 128;
/// Of these, whatever their age. What one costs before it is proven is a handshake's buffers, some tens of kilobytes.
const MOST_YOUNG: usize = 1024;
/// Who has been here for less is left alone while there is room at all: a burst of good clients is no attack, and a
/// handshake and its first request take a few round trips.
const GRACE: Duration = Duration::from_secs(2);
/// For a handshake and a first request that is authorized.
const YOUNG_TIME: Duration = Duration::from_secs(15);
/// Longer than that, for a first request that is under way: a review with all its tries takes 20 s.
const REVIEW_TIME: Duration = Duration::from_secs(20);
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
    of_host: Mutex<OfHost>,
}

type OfHost = HashMap<IpAddr, Vec<Arc<Ticket>>>;

/// What is known of a connection where its place is.
#[derive(Debug)]
struct Ticket {
    /// Its place was given to another.
    ousted: CancellationToken,
    since: Instant,
    use_: Mutex<Use>,
}

impl Young {
    /// Takes a place, from older ones if need be: where a host or all together have too many, those of the biggest crowd
    /// that are past their grace go, the oldest first.
    fn join(&self, host: IpAddr, ticket: &Arc<Ticket>) {
        let mut of_host = self.of_host.lock();
        while let Some(crowd) = crowd(&of_host, host) {
            let is_full = all(&of_host) >= MOST_YOUNG;
            let Some(tickets) = of_host.get_mut(&crowd) else { break };
            let Some(leaving) = leaving(tickets, ticket.since, is_full) else { break };
            tickets.remove(leaving).ousted.cancel();
            if tickets.is_empty() {
                of_host.remove(&crowd);
            }
        }
        of_host.entry(host).or_default().push(Arc::clone(ticket));
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

fn all(of_host: &OfHost) -> usize {
    of_host.values().map(Vec::len).sum()
}

/// Who has to make room for a newcomer of this host.
fn crowd(of_host: &OfHost, host: IpAddr) -> Option<IpAddr> {
    let biggest = || of_host.iter().max_by_key(|(_, tickets)| tickets.len()).map(|(host, _)| *host);
    match (all(of_host), of_host.get(&host).map_or(0, Vec::len)) {
        (MOST_YOUNG.., _) => biggest(),
        (_, YOUNG_OF_HOST..) => Some(host),
        (YOUNG.., _) => biggest(),
        _ => None,
    }
}

/// Of these, the oldest first, one that asks for nothing; if there is none, one whose request is under way: its client may
/// never take the answer.
fn leaving(tickets: &[Arc<Ticket>], now: Instant, is_full: bool) -> Option<usize> {
    let is_ripe = |ticket: &Ticket| is_full || now.duration_since(ticket.since) >= GRACE;
    let idle = tickets.iter().position(|ticket| is_ripe(ticket) && ticket.use_.lock().busy == 0);
    idle.or_else(|| tickets.iter().position(|ticket| is_ripe(ticket)))
}

/// Whose places an address takes: who has one address of IPv6 has 2^64.
pub(super) fn host(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & (u128::MAX << 64)).into(),
    }
}

impl Default for Places {
    fn default() -> Self {
        Self { all: Arc::new(Semaphore::new(ALL)), young: Arc::default() }
    }
}

impl Places {
    /// A place for a new connection; `None` when there are too many proven ones.
    pub(super) fn take(&self, address: IpAddr) -> Option<Arc<Connection>> {
        let all = Arc::clone(&self.all).try_acquire_owned().ok()?;
        let (host, since) = (host(address), Instant::now());
        let use_ = Mutex::new(Use { busy: 0, last: since, answers: Vec::new() });
        let ticket = Arc::new(Ticket { ousted: CancellationToken::new(), since, use_ });
        self.young.join(host, &ticket);
        let over = AtomicBool::new(false);
        let youth = Youth { young: Arc::clone(&self.young), host, ticket, over };
        Some(Arc::new(Connection { _all: all, youth, served: AtomicBool::new(false) }))
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
    /// A request was one that may be answered.
    served: AtomicBool,
}

#[derive(Debug)]
struct Use {
    /// Requests that are not answered to their end.
    busy: usize,
    last: Instant,
    /// Their answers, as far as there are any.
    answers: Vec<Watch>,
}

impl Connection {
    /// A request was authorized.
    pub(super) fn proven(&self) {
        self.served();
        self.youth.end();
    }

    /// A request was one that everybody may make: there is time for more of them, but nothing is proven by it, and the place
    /// may go to another.
    pub(super) fn served(&self) {
        self.served.store(true, Ordering::Relaxed);
    }

    /// Whether a request was authorized.
    pub(super) fn is_proven(&self) -> bool {
        self.youth.over.load(Ordering::Relaxed)
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

    /// Ends when the connection has been young or idle for too long, or has nothing left but answers that its client does
    /// not take. A request may be under way for as long as it likes where one was answered before.
    pub(super) async fn outlived(&self) {
        let ticket = &self.youth.ticket;
        loop {
            let now = Instant::now();
            // Looked at again in between: a busy one may have become idle, and that ends it sooner.
            let mut again = now + YOUNG_TIME;
            let untaken = self.let_go_untaken(now, &mut again);
            let until = {
                let used = ticket.use_.lock();
                match (used.busy, self.served.load(Ordering::Relaxed)) {
                    (0, _) if untaken => return,
                    (0, false) => ticket.since + YOUNG_TIME,
                    (_, false) => ticket.since + YOUNG_TIME + REVIEW_TIME,
                    (0, true) => used.last + IDLE,
                    (_, true) => again,
                }
            };
            if until <= now {
                return;
            }
            tokio::time::sleep_until(until.min(again)).await;
        }
    }

    /// Whether there were answers that the client did not take in time; others are looked at again then.
    fn let_go_untaken(&self, now: Instant, again: &mut Instant) -> bool {
        let answers = self.youth.ticket.use_.lock().answers.clone();
        let mut untaken = false;
        for answer in answers {
            match answer.look(now) {
                Due::Nothing => {}
                Due::Look(at) => *again = at.min(*again),
                Due::LetGo => untaken = true,
            }
        }
        untaken
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
        used.answers.retain(|answer| !answer.is_over());
    }
}

impl Busy {
    /// The request lasts as long as its answer.
    pub(super) fn until_end_of(self, body: Body, Patience(patience): Patience) -> Outgoing {
        let connection = Arc::clone(&self.0);
        let (outgoing, watch) = Outgoing::new(body, self, patience);
        connection.youth.ticket.use_.lock().answers.push(watch);
        outgoing
    }
}

#[cfg(test)]
mod tests;
