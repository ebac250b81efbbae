//! Where blocking work on disks and mounts happens: one thread per pod at a time, and a bound on all of them, so that
//! a mount that hangs holds up its own pod and nothing else.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;
use tokio::sync::Semaphore;

/// Threads at work at once, of all pods. Far above the pods that start together on two cores, far below the number of
/// threads that would hurt (each has a stack of 2 MiB of address space, little of it used).
const MAX_THREADS: usize = 64;

/// Work did not end in an ordinary way: the process is shutting down, or the work panicked.
#[derive(Debug, thiserror::Error)]
#[error("the work on the volumes of pod {uid} was cut short: {cause}")]
pub(crate) struct LaneError {
    uid: String,
    cause: String,
}

/// The lanes.
pub(crate) struct Lanes {
    threads: Arc<Semaphore>,
    pods: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

impl Default for Lanes {
    fn default() -> Self {
        Self { threads: Arc::new(Semaphore::new(MAX_THREADS)), pods: Mutex::default() }
    }
}

impl Lanes {
    fn lane(&self, uid: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut pods = self.pods.lock();
        // A lane that nobody holds is only in the map.
        pods.retain(|_, lane| Arc::strong_count(lane) > 1);
        Arc::clone(pods.entry(uid.to_owned()).or_default())
    }

    /// Runs work in a pod's lane, after what is in it already. A caller that gives up leaves the work running; the
    /// lane stays taken until it ends.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        uid: &str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, LaneError> {
        let failed = |cause: String| LaneError { uid: uid.to_owned(), cause };
        let place = self.lane(uid).lock_owned().await;
        let thread = Arc::clone(&self.threads).acquire_owned().await;
        let thread = thread.map_err(|error| failed(error.to_string()))?;
        let job = tokio::task::spawn_blocking(move || {
            let result = work();
            drop((place, thread));
            result
        });
        job.await.map_err(|error| failed(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn a_hung_pod_holds_up_nobody_else_and_keeps_its_order() {
        let lanes = Arc::new(Lanes::default());
        let (release, hang) = mpsc::channel::<()>();
        let (log, seen) = mpsc::channel();
        let spawn = |name: &'static str, wait: Option<mpsc::Receiver<()>>| {
            let (lanes, log) = (Arc::clone(&lanes), log.clone());
            tokio::spawn(async move {
                lanes
                    .run("hung", move || {
                        if let Some(wait) = wait {
                            let _ = wait.recv();
                        }
                        log.send(name).unwrap();
                    })
                    .await
                    .unwrap();
            })
        };
        let first = spawn("first", Some(hang));
        while lanes.threads.available_permits() == MAX_THREADS {
            tokio::task::yield_now().await;
        }
        let second = spawn("second", None);
        for _ in 0..2 * MAX_THREADS {
            assert_eq!(lanes.run("other", || 1).await.unwrap(), 1);
        }
        assert!(seen.try_recv().is_err());
        // The one who waits gives up; the work does not.
        first.abort();
        release.send(()).unwrap();
        second.await.unwrap();
        assert_eq!((seen.recv().unwrap(), seen.recv().unwrap()), ("first", "second"));
    }
}
