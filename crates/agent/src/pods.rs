//! The dispatcher: one worker per pod, and nothing else.
//!
//! It merges sources, asks admission once per pod, writes mailboxes and notices when a worker ends. It never looks at
//! containers. What the runtime, the disk or the cgroup tree holds without a source is handed to a worker that removes
//! it, but only after every source has delivered: before that, a pod not yet seen looks just like one that is gone
//! (contract §4 "Sources ready").

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use k8s_openapi::api::core::v1::Pod;
use lifecycle::{
    Admission, Intent, PodKey, PodSource, PodUid, Tick,
    explain::Hold,
    reason::PodEvent,
    spec::{resize, restart_rules},
    status::is_terminal,
};
use tokio::{sync::mpsc, task::JoinSet, time::Instant};

use crate::{
    admission::Admitter,
    alarm::sleep_until,
    health::Health,
    mirror::{self, Mirrors},
    observer::Bells,
    sources::{
        SourceUpdate, Stamped,
        merge::{Change, Merger},
    },
    worker::{self, Mail, WorkerContext, bell::Bell},
};

/// How often the dispatcher comes round when nothing happens: far below the age at which it counts as stuck.
const BEAT: Duration = Duration::from_secs(60);

mod admitting;
mod counting;
mod gate;
mod intents;
mod logs;
pub(crate) mod released;
mod second_looks;
mod strangers;
mod usage;
pub(crate) mod wanted;
mod workers;

use gate::Gate;
use intents::{intent_of, removal_grace};
use second_looks::SecondLooks;
use strangers::Stranger;
use wanted::Wanted;
use workers::{End, Ended, Workers};

/// The dispatcher's state.
pub struct Pods {
    context: WorkerContext,
    admitter: Admitter,
    /// Pods that only labels speak against.
    second_looks: SecondLooks,
    bells: Arc<Bells>,
    mirrors: Option<Arc<Mirrors>>,
    expected: Vec<PodSource>,
    merger: Merger,
    /// The newest version of each pod that a source holds.
    wanted: Wanted,
    workers: Workers,
    health: Arc<Health>,
    /// Seen in the runtime without a source, and not looked at yet.
    strangers: BTreeSet<PodUid>,
    /// Strangers for which the runtime gave no answer: looked at again at the next beat.
    unanswered: BTreeSet<PodUid>,
    /// What strangers are, asked of the runtime beside everything else.
    looks: JoinSet<Vec<Stranger>>,
    /// When everything was looked through last.
    swept: Option<Instant>,
}

impl std::fmt::Debug for Pods {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pods").field("workers", &self.workers.count()).finish_non_exhaustive()
    }
}

/// What the dispatcher listens to.
#[derive(Debug)]
pub struct Inbox {
    /// Sources.
    pub updates: mpsc::Receiver<Stamped>,
    /// Pods in the runtime that have no worker.
    pub strangers: mpsc::Receiver<PodUid>,
    /// Uids of pods whose config maps or secrets changed; `None` in standalone mode.
    pub changes: Option<mpsc::Receiver<String>>,
}

impl Pods {
    /// `expected` are the sources that are configured.
    #[must_use]
    pub fn new(
        context: WorkerContext,
        admitter: Admitter,
        bells: Arc<Bells>,
        mirrors: Option<Arc<Mirrors>>,
        expected: Vec<PodSource>,
        health: Arc<Health>,
        wanted: Wanted,
    ) -> Self {
        Self {
            context,
            admitter,
            second_looks: SecondLooks::default(),
            bells,
            mirrors,
            expected,
            merger: Merger::default(),
            wanted,
            workers: Workers::default(),
            health,
            strangers: BTreeSet::new(),
            unanswered: BTreeSet::new(),
            looks: JoinSet::new(),
            swept: None,
        }
    }

    /// Runs for ever.
    pub async fn run(mut self, mut inbox: Inbox) {
        let mut beat = tokio::time::interval(BEAT);
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut gate = Gate::new(self.admitter.node());
        loop {
            self.health.dispatched();
            let revival = self.workers.next_revival();
            // Every arm is cancel-safe: `recv`, `join_next`, `ended`, `answered` and `another` lose nothing when dropped,
            // and the sleep is made anew.
            tokio::select! {
                Some(stamped) = gate.recv(&mut inbox.updates) => self.take(stamped.update, stamped.at),
                Some(uid) = inbox.strangers.recv() => { self.strangers.insert(uid); }
                Some(uid) = receive(&mut inbox.changes) => {
                    if let Some(bell) = self.bells.of(&PodUid::from(uid)) {
                        bell.volumes_changed();
                    }
                }
                Some(ended) = self.workers.ended() => self.ended(ended),
                // Taken up below, like everything that is wanted and has no worker.
                Some(uid) = self.second_looks.answered() => if !self.wanted.contains(&uid) {
                    self.second_looks.forget(&uid);
                },
                Some(looked) = self.looks.join_next() => match looked {
                    Ok(strangers) => self.remove_strangers(strangers),
                    Err(error) => tracing::error!(%error, "A look for left pods died; the next one sees them again"),
                },
                // Taken up below.
                () = self.context.released.another() => {}
                _ = beat.tick() => {
                    self.strangers.append(&mut self.unanswered);
                    // Others may have written there; not before the pods are known by which the values go.
                    if self.swept.is_some() {
                        self.update_qos_groups();
                    }
                }
                () = sleep_until(revival) => {}
            }
            self.revive();
            if self.expected.iter().all(|source| self.merger.has_delivered(*source)) {
                self.sweep();
            }
        }
    }

    fn take(&mut self, update: SourceUpdate, seen: Tick) {
        let update = self.without_mirrors(update);
        self.recall();
        let Some(update) = update else { return };
        for change in self.merger.take(update, seen.wall) {
            match change {
                Change::Applied(source, pod) => self.applied(source, pod, seen),
                Change::Removed(uid) => self.removed(&uid),
                Change::Refused(pod, message) => {
                    tracing::error!("{message}");
                    let event = PodEvent {
                        warning: true,
                        reason: "FailedValidation".into(),
                        message,
                        field_path: None,
                    };
                    self.context.events.record_pod(&pod, event);
                }
            }
        }
    }

    /// Mirrors come through the API source but are no pods of ours.
    fn without_mirrors(&self, update: SourceUpdate) -> Option<SourceUpdate> {
        match update {
            SourceUpdate::Set(PodSource::Api, pods) => {
                let (mirrors, pods): (Vec<_>, Vec<_>) =
                    pods.into_iter().partition(|pod| mirror::is_mirror(pod));
                if let Some(keeper) = &self.mirrors {
                    keeper.listed(mirrors);
                }
                Some(SourceUpdate::Set(PodSource::Api, pods))
            }
            SourceUpdate::Applied(PodSource::Api, pod) if mirror::is_mirror(&pod) => {
                self.mirrors.as_ref()?.mirror_applied(&pod);
                None
            }
            SourceUpdate::Deleted(PodSource::Api, pod) if mirror::is_mirror(&pod) => {
                self.mirrors.as_ref()?.mirror_deleted(&pod);
                None
            }
            other => Some(other),
        }
    }

    fn applied(&mut self, source: PodSource, pod: Arc<Pod>, seen: Tick) {
        let key = PodKey::of(&pod);
        self.context.records.open(&key, source, seen);
        let uid = key.uid;
        self.wanted.insert(uid.clone(), source, Arc::clone(&pod));
        if source == PodSource::Api {
            self.context.starts.shown(&pod, self.context.edges.clock.now().wall);
            self.context.statuses.observed(&pod);
        }
        match self.workers.mail(&uid) {
            // It left its source and came back. A pod that stops never turns around: it starts anew when its worker
            // has ended.
            Some(mail) if matches!(mail.borrow().intent, Intent::Removed { .. }) => {
                mail.send_if_modified(|mail| !std::mem::replace(&mut mail.again, true));
            }
            Some(mail) => {
                self.follow_objects(source, &pod);
                self.mirror(source, &pod);
                let counted = self.counted(&pod);
                mail.send_modify(|mail| {
                    mail.intent = intent_of(&pod);
                    mail.pod = resize::as_before(&counted, &mail.pod);
                    mail.source = source;
                });
            }
            None => self.start(source, pod),
        }
    }

    /// Config maps and secrets of a pod are followed while it may still need them: thousands that have ended must not hold
    /// a watch each, nor open them anew when the kubelet starts.
    fn follow_objects(&self, source: PodSource, pod: &Arc<Pod>) {
        let Some(objects) = self.context.edges.objects.as_ref().filter(|_| source == PodSource::Api) else {
            return;
        };
        if is_terminal(pod.status.as_ref().and_then(|status| status.phase.as_deref())) {
            objects.unregister(PodKey::of(pod).uid.as_str());
        } else {
            objects.register(pod);
        }
    }

    /// A static pod that runs is to have a mirror; one that waits for a namesake is not: the mirror is the other's.
    fn mirror(&self, source: PodSource, pod: &Arc<Pod>) {
        if source.is_static()
            && let Some(mirrors) = &self.mirrors
        {
            mirrors.static_applied(pod);
        }
    }

    /// Hands the status that an earlier process reported to static pods whose mirror has turned up: their worker goes
    /// on from there, as that of a pod of the API does from its object.
    fn recall(&self) {
        let Some(mirrors) = &self.mirrors else { return };
        for (uid, mail) in self.workers.mails() {
            let recalled = {
                let mail = mail.borrow();
                let awaited = mail.source.is_static() && self.context.statuses.is_recall_awaited(uid);
                if awaited { mirrors.with_status(&mail.pod) } else { None }
            };
            if let Some(pod) = recalled {
                mail.send_modify(|mail| mail.pod = pod);
            }
        }
    }

    fn removed(&mut self, uid: &PodUid) {
        let Some((source, pod)) = self.wanted.remove(uid) else { return };
        if source == PodSource::Api {
            self.context.statuses.deleted(uid);
        }
        let mail = self.workers.mail(uid);
        if source.is_static()
            && let Some(mirrors) = &self.mirrors
        {
            mirrors.static_stopping(&pod);
            if mail.is_none() {
                mirrors.static_gone(&pod);
            }
        }
        if let Some(mail) = mail {
            let grace = removal_grace(&pod);
            mail.send_modify(|mail| (mail.intent, mail.again) = (Intent::Removed { grace }, false));
        } else {
            self.context.records.forget(uid);
            self.context.starts.forget(uid);
        }
    }

    /// Starts a worker, unless an older static pod of the same name still has to go, or the API is being asked about the
    /// node.
    fn start(&mut self, source: PodSource, pod: Arc<Pod>) {
        let key = PodKey::of(&pod);
        let Some(look) = self.second_looks.look(&key.uid) else { return };
        if source.is_static()
            && let Some(other) = self.namesake(&key)
        {
            if self.context.records.held(&key.uid, Hold::Namesake(other)) {
                tracing::info!(pod = %key, "Waiting for the previous static pod of this name to stop");
            }
            return;
        }
        let recalled = match &self.mirrors {
            Some(mirrors) if source.is_static() => mirrors.with_status(&pod),
            _ => None,
        };
        let pod = recalled.unwrap_or(pod);
        let counted = resize::as_reported(&self.counted(&pod));
        let Some(admission) = self.admit(source, &counted, &look) else { return };
        self.follow_objects(source, &pod);
        self.mirror(source, &pod);
        let intent = intent_of(&pod);
        if admission == Admission::Admitted {
            counting::came(&self.context.edges.metrics, &pod);
        }
        self.spawn(key, Mail { pod: counted, source, intent, admission, again: false });
    }

    /// What workers decide on; mirrors show the manifest as it was written.
    fn counted(&self, pod: &Arc<Pod>) -> Arc<Pod> {
        restart_rules::counted(pod, self.context.executor.config.restart_rules)
    }

    /// Another static pod of this name that still holds what this one needs.
    fn namesake(&self, key: &PodKey) -> Option<PodKey> {
        self.workers.mails().find_map(|(_, mail)| {
            let mail = mail.borrow();
            let other = PodKey::of(&mail.pod);
            let same = other.uid != key.uid && other.name == key.name && other.namespace == key.namespace;
            let holds = mail.source.is_static() && same && !self.context.released.contains(&other.uid);
            holds.then_some(other)
        })
    }

    fn spawn(&mut self, key: PodKey, mail: Mail) {
        let bell = Arc::new(Bell::default());
        self.bells.add(key.uid.clone(), Arc::clone(&bell));
        let context = self.context.clone();
        self.workers.spawn(key.uid, mail, |mail| worker::run(context, mail, bell));
        self.update_qos_groups();
    }

    fn ended(&mut self, Ended { uid, mail, how }: Ended) {
        let key = PodKey::of(&mail.pod);
        if let End::Died(error, pause) = how {
            let hint = "this is a bug of the kubelet, please report it; other pods are not concerned";
            tracing::error!(pod = %key, %error, ?pause, hint, "A pod worker died; its pod is taken up again after a pause");
            let recalled = self.mirrors.as_ref().filter(|_| mail.source.is_static());
            if let (Some(pod), Some(told)) =
                (recalled.and_then(|mirrors| mirrors.with_status(&mail.pod)), self.workers.mail(&uid))
            {
                told.send_modify(|mail| mail.pod = pod);
            }
            return;
        }
        tracing::debug!(pod = %key, "Nothing is left of the pod");
        if self.wanted.contains(&uid) {
            counting::came_back(&self.context.edges.metrics, mail.source);
        }
        if mail.source.is_static()
            && let Some(mirrors) = &self.mirrors
        {
            mirrors.static_gone(&mail.pod);
        }
        self.bells.remove(&uid);
        self.context.statuses.forget(&uid);
        self.context.released.forget(&uid);
        self.context.records.ended(&uid);
        self.context.prober.forget(&uid);
        self.context.starts.forget(&uid);
        if let Some(objects) = &self.context.edges.objects {
            objects.unregister(uid.as_str());
        }
        self.update_qos_groups();
    }

    /// Starts what is wanted and has no worker: static pods that waited for a namesake, pods whose uid came back. And
    /// workers that died, when their time has come.
    fn revive(&mut self) {
        let (context, bells) = (&self.context, &self.bells);
        self.workers.revive(|uid, mail| {
            let bell = Arc::new(Bell::default());
            bells.add(uid.clone(), Arc::clone(&bell));
            worker::run(context.clone(), mail, bell)
        });
        for (source, pod) in self.wanted.strange(|uid| self.workers.mail(uid).is_some()) {
            self.start(source, pod);
        }
    }
}

async fn receive(changes: &mut Option<mpsc::Receiver<String>>) -> Option<String> {
    match changes {
        Some(changes) => changes.recv().await,
        None => None,
    }
}
