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
    of_host: Mutex<HashMap<IpAddr, usize>>,
}

impl Default for Places {
    fn default() -> Self {
        Self { all: Arc::new(Semaphore::new(ALL)), young: Arc::default() }
    }
}

impl Places {
    /// A place for a new connection; `None` when there are too many.
    pub(super) fn take(&self, host: IpAddr) -> Option<Arc<Connection>> {
        let all = Arc::clone(&self.all).try_acquire_owned().ok()?;
        let mut of_host = self.young.of_host.lock();
        let young: usize = of_host.values().sum();
        let here = of_host.get(&host).copied().unwrap_or_default();
        if young >= YOUNG || here >= YOUNG_OF_HOST {
            return None;
        }
        of_host.insert(host, here + 1);
        drop(of_host);
        Some(Arc::new(Connection {
            _all: all,
            youth: Youth { young: Arc::clone(&self.young), host, over: AtomicBool::new(false) },
            since: Instant::now(),
            use_: Mutex::new(Use { busy: 0, last: Instant::now() }),
        }))
    }
}

/// A place among the young; given back once.
#[derive(Debug)]
struct Youth {
    young: Arc<Young>,
    host: IpAddr,
    over: AtomicBool,
}

impl Youth {
    fn end(&self) {
        if self.over.swap(true, Ordering::Relaxed) {
            return;
        }
        let mut of_host = self.young.of_host.lock();
        if let Some(here) = of_host.get_mut(&self.host) {
            *here -= 1;
            if *here == 0 {
                of_host.remove(&self.host);
            }
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
    use_: Mutex<Use>,
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
        self.use_.lock().busy += 1;
        Busy(Arc::clone(self))
    }

    /// Ends when the connection has been young or idle for too long.
    pub(super) async fn outlived(&self) {
        loop {
            let until = {
                let used = self.use_.lock();
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
        let mut used = self.0.use_.lock();
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
