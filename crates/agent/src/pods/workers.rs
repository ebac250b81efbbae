//! The workers that run: their mailboxes and their tasks, kept together.
//!
//! A worker is known until the end of its task was taken note of by [`Workers::ended`], never a moment less: were a
//! closed mailbox enough, the end would later be laid to whoever has the uid by then.
//!
//! ```text
//!   spawn ──► runs ──done──► gone
//!              │ ▲
//!      panics  ▼ │ revive, 1 s to 60 s later
//!            has died, mailbox open
//! ```
//! A worker that died is one that will be back: its pod is as it was, and counts as having one. What killed it is likely to
//! kill the next one too, so that one waits, longer each time.

use std::{collections::BTreeMap, future::Future, time::Duration};

use lifecycle::PodUid;
use tokio::{
    sync::watch,
    task::{JoinError, JoinSet},
    time::Instant,
};

use crate::worker::Mail;

/// First and longest pause before a worker that died is started again. One that has lived for longer than the longest of
/// them died of something new.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// Every worker, by the uid of its pod.
#[derive(Debug, Default)]
pub(super) struct Workers {
    by_uid: BTreeMap<PodUid, Worker>,
    tasks: JoinSet<()>,
}

#[derive(Debug)]
struct Worker {
    mail: watch::Sender<Mail>,
    life: Life,
    /// The pause after its next death.
    pause: Duration,
}

#[derive(Debug)]
enum Life {
    /// Its task, and since when.
    Runs(tokio::task::Id, Instant),
    /// It is started again then.
    Died(Instant),
}

/// A worker whose task is over.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) uid: PodUid,
    /// What it was last told.
    pub(super) mail: Mail,
    pub(super) how: End,
}

/// How a task came to its end.
#[derive(Debug)]
pub(super) enum End {
    /// It was done: nothing is left of the pod.
    Done,
    /// It panicked: the pod is as it was. It may be started again when the pause is over.
    Died(JoinError, Duration),
}

impl Workers {
    /// Starts the worker of a pod that has none.
    pub(super) fn spawn<F>(&mut self, uid: PodUid, mail: Mail, run: impl FnOnce(watch::Receiver<Mail>) -> F)
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        let (sender, receiver) = watch::channel(mail);
        let life = self.begin(run(receiver));
        self.by_uid.insert(uid, Worker { mail: sender, life, pause: PAUSE.0 });
    }

    fn begin(&mut self, run: impl Future<Output: Send + 'static> + Send + 'static) -> Life {
        Life::Runs(self.tasks.spawn(async move { drop(run.await) }).id(), Instant::now())
    }

    /// When the next worker that died is due.
    pub(super) fn next_revival(&self) -> Option<Instant> {
        self.by_uid.values().filter_map(Worker::due).min()
    }

    /// Starts those that died, and are due, again, over the mailboxes that they had.
    pub(super) fn revive<F>(&mut self, mut run: impl FnMut(&PodUid, watch::Receiver<Mail>) -> F)
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        let now = Instant::now();
        let due = |worker: &Worker| worker.due().is_some_and(|at| at <= now);
        let due: Vec<_> =
            self.by_uid.iter().filter(|(_, worker)| due(worker)).map(|(uid, _)| uid.clone()).collect();
        for uid in due {
            let Some(receiver) = self.mail(&uid).map(watch::Sender::subscribe) else { continue };
            let life = self.begin(run(&uid, receiver));
            if let Some(worker) = self.by_uid.get_mut(&uid) {
                worker.life = life;
            }
        }
    }

    /// The mailbox of a pod's worker.
    pub(super) fn mail(&self, uid: &PodUid) -> Option<&watch::Sender<Mail>> {
        self.by_uid.get(uid).map(|worker| &worker.mail)
    }

    /// All mailboxes.
    pub(super) fn mails(&self) -> impl Iterator<Item = (&PodUid, &watch::Sender<Mail>)> {
        self.by_uid.iter().map(|(uid, worker)| (uid, &worker.mail))
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.by_uid.len()
    }

    /// Waits for the next end; `None` while there is no worker. Cancel-safe, as `join_next_with_id` is: nothing is
    /// awaited after it.
    pub(super) async fn ended(&mut self) -> Option<Ended> {
        let (task, died) = match self.tasks.join_next_with_id().await? {
            Ok((task, ())) => (task, None),
            Err(error) => (error.id(), Some(error)),
        };
        let (uid, worker) = self.by_uid.iter_mut().find(|(_, worker)| worker.runs_as(task))?;
        let (uid, mail) = (uid.clone(), worker.mail.borrow().clone());
        let how = if let Some(error) = died {
            End::Died(error, worker.died())
        } else {
            self.by_uid.remove(&uid);
            End::Done
        };
        Some(Ended { uid, mail, how })
    }
}

impl Worker {
    fn runs_as(&self, id: tokio::task::Id) -> bool {
        matches!(self.life, Life::Runs(task, _) if task == id)
    }

    fn due(&self) -> Option<Instant> {
        match self.life {
            Life::Runs(..) => None,
            Life::Died(due) => Some(due),
        }
    }

    /// Returns how long it is to wait.
    fn died(&mut self) -> Duration {
        let lived = match self.life {
            Life::Runs(_, since) => since.elapsed(),
            Life::Died(_) => Duration::ZERO,
        };
        let pause = if lived > PAUSE.1 { PAUSE.0 } else { self.pause };
        self.pause = (pause * 2).min(PAUSE.1);
        self.life = Life::Died(Instant::now() + pause);
        pause
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use k8s_openapi::api::core::v1::Pod;
    use lifecycle::{Admission, Intent, PodSource};

    use super::*;

    fn mail() -> Mail {
        Mail {
            pod: Arc::new(Pod::default()),
            source: PodSource::File,
            intent: Intent::Run,
            admission: Admission::Admitted,
            again: false,
        }
    }

    #[tokio::test]
    async fn a_worker_is_known_until_its_end_is_taken_note_of() {
        let mut workers = Workers::default();
        let uid = PodUid::from("a".to_owned());
        workers.spawn(uid.clone(), mail(), |mail| async move { drop(mail) });
        let sender = workers.mail(&uid).unwrap().clone();
        sender.closed().await;
        assert!(workers.mail(&uid).is_some(), "its task is over, but nobody has heard of it");

        let ended = workers.ended().await.unwrap();
        assert_eq!(ended.uid, uid);
        assert!(matches!(ended.how, End::Done), "{ended:?}");
        assert!(workers.mail(&uid).is_none());
    }

    #[tokio::test]
    async fn a_worker_that_dies_leaves_what_it_was_told() {
        let mut workers = Workers::default();
        let told = Mail { source: PodSource::Http, ..mail() };
        workers.spawn(PodUid::from("a".to_owned()), told, |_| async { panic!("a bug") });
        let ended = workers.ended().await.unwrap();
        assert!(matches!(ended.how, End::Died(..)), "{ended:?}");
        assert_eq!(ended.mail.source, PodSource::Http);
        assert!(workers.ended().await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_worker_that_goes_on_dying_comes_back_later_each_time() {
        let mut workers = Workers::default();
        let uid = PodUid::from("a".to_owned());
        workers.spawn(uid.clone(), mail(), |_| async { panic!("a bug") });
        let mut pauses = Vec::new();
        for _ in 0..8 {
            assert!(matches!(workers.ended().await.unwrap().how, End::Died(..)));
            assert!(workers.mail(&uid).is_some(), "the pod is as it was, and is not taken for a stranger");
            let died = Instant::now();
            workers.revive(|_, _| async { panic!("too soon") });
            tokio::time::sleep_until(workers.next_revival().unwrap()).await;
            pauses.push(died.elapsed().as_secs());
            workers.revive(|_, _| async { panic!("the same bug") });
            assert!(workers.next_revival().is_none());
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
        workers.ended().await.unwrap();

        // What was told meanwhile is what it begins with.
        workers.mail(&uid).unwrap().send_modify(|mail| mail.source = PodSource::Http);
        tokio::time::sleep_until(workers.next_revival().unwrap()).await;
        workers.revive(|_, mail| async move {
            assert_eq!(mail.borrow().source, PodSource::Http);
            tokio::time::sleep(PAUSE.1 * 2).await;
            panic!("another bug")
        });
        let how = workers.ended().await.unwrap().how;
        assert!(matches!(how, End::Died(_, pause) if pause == PAUSE.0), "{how:?}");
    }
}
