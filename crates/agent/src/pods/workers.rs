//! The workers that run: their mailboxes and their tasks, kept together.
//!
//! A worker is known until the end of its task was taken note of by [`Workers::ended`], never a moment less: were a
//! closed mailbox enough, the end would later be laid to whoever has the uid by then.

use std::{collections::BTreeMap, future::Future};

use lifecycle::PodUid;
use tokio::{
    sync::watch,
    task::{JoinError, JoinSet},
};

use crate::worker::Mail;

/// Every worker, by the uid of its pod.
#[derive(Debug, Default)]
pub(super) struct Workers {
    by_uid: BTreeMap<PodUid, Worker>,
    tasks: JoinSet<()>,
}

#[derive(Debug)]
struct Worker {
    mail: watch::Sender<Mail>,
    task: tokio::task::Id,
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
    /// It panicked: the pod is as it was.
    Died(JoinError),
}

impl Workers {
    /// Starts the worker of a pod that has none.
    pub(super) fn spawn<F>(&mut self, uid: PodUid, mail: Mail, run: impl FnOnce(watch::Receiver<Mail>) -> F)
    where
        F: Future + Send + 'static,
    {
        let (sender, receiver) = watch::channel(mail);
        let run = run(receiver);
        let task = self.tasks.spawn(async move { drop(run.await) }).id();
        self.by_uid.insert(uid, Worker { mail: sender, task });
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
        let (task, how) = match self.tasks.join_next_with_id().await? {
            Ok((task, ())) => (task, End::Done),
            Err(error) => (error.id(), End::Died(error)),
        };
        let uid = self.by_uid.iter().find(|(_, worker)| worker.task == task).map(|(uid, _)| uid.clone())?;
        let worker = self.by_uid.remove(&uid)?;
        let mail = worker.mail.borrow().clone();
        Some(Ended { uid, mail, how })
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
        assert!(matches!(ended.how, End::Died(_)), "{ended:?}");
        assert_eq!(ended.mail.source, PodSource::Http);
        assert_eq!(workers.count(), 0);
        assert!(workers.ended().await.is_none());
    }
}
