//! One task owns one pod.
//!
//! ```text
//!   mailbox (latest wins) ─┐
//!   runtime hint ──────────┤      inspect       decide        spawn
//!   outcome of an action ──┼──► RuntimePod ──► Decision ──► executor ──► outcomes ─┐
//!   wake_at, resync ───────┘                      │                                │
//!        ▲                                        └──► status queue, events        │
//!        └─────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! Invariants:
//! * outcomes are handed to `decide` together with an inspection that was made after the last of them that can have changed
//!   what the runtime holds, or with one that they complete ([`Account`]);
//! * each emitted action yields exactly one outcome, even if its task panics or is aborted;
//! * nothing else changes the pod: the dispatcher only writes the mailbox and rings the bell.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use k8s_openapi::api::core::v1::{Pod, PodStatus};
use lifecycle::{
    ActionKey, Admission, ContainerId, ContainerName, Decision, Intent, Observation, Outcome, Outlook,
    PodKey, PodSource, PodState, Reason, Tick,
    account::{self, Account, Digest},
    observation::{NodeFacts, ProbeResults, RuntimePod},
    spec::static_pod,
    state::StageKind,
};
use seams::RuntimeError;
use tokio::{sync::watch, time::Instant};

use crate::{
    edges::Edges,
    events::EventSink,
    executor::{Executor, PodSession},
    mirror,
    observer::Bells,
    pods::released::Released,
    prober::{self, Prober},
    records::{PodRecord, Records, traced},
    starts::Starts,
    status::StatusQueue,
    worker::{
        bell::Bell,
        counting::{Cause, Counting},
        naming::Waited,
        running::Running,
    },
};

pub mod bell;
mod counting;
mod logged;
mod naming;
pub mod running;

/// What the dispatcher wants of a worker; the newest replaces all before it.
#[derive(Clone, Debug)]
pub struct Mail {
    /// Newest version of the pod.
    pub pod: Arc<Pod>,
    /// Where it came from.
    pub source: PodSource,
    /// What to do with it.
    pub intent: Intent,
    /// Whether it may run here.
    pub admission: Admission,
    /// It left its source and is there again: its next worker begins when nothing of this life is in the way of another.
    pub again: bool,
}

/// What every worker shares.
#[derive(Clone, Debug)]
pub struct WorkerContext {
    /// The world.
    pub edges: Edges,
    /// Runs actions.
    pub executor: Arc<Executor>,
    /// Runs probes.
    pub prober: Arc<Prober>,
    /// Takes statuses.
    pub statuses: Arc<StatusQueue>,
    /// Takes events.
    pub events: EventSink,
    /// Takes what is decided and done.
    pub records: Arc<Records>,
    /// Takes how pods start.
    pub starts: Arc<Starts>,
    /// Takes which static pods make way for the next of their name.
    pub(crate) released: Arc<Released>,
    /// Knows which pods the runtime has shown.
    pub(crate) bells: Arc<Bells>,
    /// CRI `NetworkReady`, kept by the observer.
    pub network: watch::Receiver<Result<(), String>>,
    /// Facts about the node, kept by the node tasks.
    pub node: watch::Receiver<NodeFacts>,
    /// Resync period; each wait is jittered to 1–1.5 times this (contract §6).
    pub sync_frequency: Duration,
}

/// How long a runtime's word of a change waits for the answer to the call that may have made it. containerd sends its
/// events some milliseconds before it answers.
const ECHO: Duration = Duration::from_millis(50);

/// Runs until nothing of the pod is left on the node and no source holds it. Returns whose worker ended.
pub async fn run(context: WorkerContext, mut mail: watch::Receiver<Mail>, bell: Arc<Bell>) -> PodKey {
    let key = PodKey::of(&mail.borrow().pod);
    let resync = jittered(context.sync_frequency, &key);
    if let Some(warning) = priority_warning(&mail.borrow()) {
        tracing::warn!(pod = %key, "{warning}");
    }
    let record = context.records.open(&key, mail.borrow().source, context.edges.clock.now());
    record.taken_up();
    let logged = logged::attempts(context.executor.config.pod_log_dir(&key)).await;
    let seen = is_new(&context, &mail.borrow()).then(RuntimePod::default);
    if seen.is_some() {
        record.is_new();
    }
    let mut worker = Worker {
        logged: Arc::new(logged),
        session: Arc::new(PodSession::new(key.clone())),
        key,
        record,
        state: Arc::default(),
        running: Running::default(),
        account: Account::default(),
        outcomes: Vec::new(),
        seen,
        released: false,
        unsettled: None,
        reported: None,
        recalled: false,
        counting: Counting::default(),
        began: Instant::now(),
        context,
    };
    worker.count_start(worker.context.edges.clock.now());
    loop {
        let cause = if mail.has_changed().unwrap_or(false) { Cause::Mail } else { Cause::Other };
        let letter = mail.borrow_and_update().clone();
        let began = Instant::now();
        let finished = worker.look(&letter, &mail, &bell).await;
        worker.count_look(&letter, cause, finished.is_none(), began.elapsed());
        // Dead containers may be hard to remove, and the next life does not wait for that: it finds them as its past.
        let gives_way = letter.again && worker.released && worker.running.keys().next().is_none();
        if (finished.is_none() || gives_way) && matches!(letter.intent, Intent::Removed { .. }) {
            return worker.key;
        }
        let wake = finished.flatten().and_then(|tick| worker.instant_of(tick));
        worker.wait(&mut mail, &bell, wake, resync).await;
    }
}

/// Whether nothing of a pod can be in the runtime: no kubelet has ever reported it, and the runtime has shown nothing of it.
fn is_new(context: &WorkerContext, mail: &Mail) -> bool {
    let reported = mail.pod.status.as_ref().is_some_and(|status| status.start_time.is_some());
    mail.source == PodSource::Api && !reported && context.bells.is_absent(&PodKey::of(&mail.pod).uid)
}

/// What is worth a warning about a static pod, once.
fn priority_warning(mail: &Mail) -> Option<String> {
    mail.source.is_static().then(|| static_pod::priority_warning(&mail.pod)).flatten()
}

/// 1 to 1.5 times the period, spread by uid so that pods of one node do not resync in step.
fn jittered(period: Duration, key: &PodKey) -> Duration {
    let sum = key.uid.as_str().bytes().fold(0u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
    period + period.mul_f64(f64::from(sum % 1000) / 2000.0)
}

struct Worker {
    key: PodKey,
    logged: Arc<BTreeMap<ContainerName, u32>>,
    session: Arc<PodSession>,
    record: Arc<PodRecord>,
    /// Shared with the record, never written.
    state: Arc<PodState>,
    running: Running,
    account: Account,
    /// Arrived, not yet shown to `decide`.
    outcomes: Vec<Outcome>,
    /// Last inspection; `None` when it may be out of date.
    seen: Option<RuntimePod>,
    /// When that is to be made again, because an end in it may turn out to have been another.
    unsettled: Option<Instant>,
    reported: Option<PodStatus>,
    /// Whether nothing of the pod runs or holds anything that another would need.
    released: bool,
    /// Whether the pod object has carried a status that an earlier process reported.
    recalled: bool,
    counting: Counting,
    began: Instant,
    context: WorkerContext,
}

impl Worker {
    /// One look at the pod: inspect, decide, act, report. `None` when nothing of it is left on the node; else when
    /// to look again.
    async fn look(
        &mut self,
        letter: &Mail,
        mail: &watch::Receiver<Mail>,
        bell: &Arc<Bell>,
    ) -> Option<Option<Tick>> {
        if !matches!(letter.intent, Intent::Run) {
            self.running.abort_pulls();
        }
        self.outcomes.extend(self.running.drain(&*self.context.edges.clock));
        let settled = self.unsettled.take_if(|at| *at <= Instant::now()).is_some();
        if bell.take_runtime() || settled {
            self.seen = None;
        }
        self.seen =
            self.account.update(self.seen.take(), &self.outcomes, bell.take_events(), self.running.keys());
        let outcomes = std::mem::take(&mut self.outcomes);
        self.record.answered(&outcomes);
        let runtime = match self.seen.take() {
            Some(known) => Ok(known),
            None => self.inspect().await,
        };
        bell.knows(runtime.as_ref().ok().map(Digest::from));
        if let Ok(known) = &runtime {
            self.session.seen(known);
        }
        if runtime.is_ok() && self.await_name(&letter.intent, mail).await == Waited::NewMail {
            // Nothing is lost: the wait that follows ends at once, and the next look finds it all.
            (self.seen, self.outcomes) = (runtime.ok(), outcomes);
            return Some(None);
        }
        self.count_outcomes(&outcomes);
        let away = matches!(runtime, Err(RuntimeError::Unreachable { .. }));
        let runtime = runtime.map_err(|error| error.rpc());
        self.recall(letter);
        let probes = self.probes(letter, &runtime, bell);
        let observation = Observation {
            pod: Arc::clone(&letter.pod),
            source: letter.source,
            intent: letter.intent.clone(),
            admission: letter.admission.clone(),
            runtime,
            network: self.context.network.borrow_and_update().clone(),
            outcomes,
            node: self.context.node.borrow_and_update().clone(),
            volumes_stale: bell.take_volumes(),
            probes,
            logged: Arc::clone(&self.logged),
        };
        let now = self.context.edges.clock.now();
        let decision = lifecycle::decide(&self.state, &observation, now);
        self.act(decision, now, letter, observation, away)
    }

    async fn inspect(&mut self) -> Result<RuntimePod, RuntimeError> {
        let clock = &self.context.edges.clock;
        let id = self.record.inspecting(clock.now());
        let question = self.context.edges.runtime.inspect_pod(&self.key.uid);
        let began = Instant::now();
        let answer = traced::in_step(Arc::clone(&self.record), id, question).await;
        self.count_inspection(began.elapsed());
        self.record.inspected(id, answer.as_ref().ok(), clock.now());
        let unsettled = answer.as_ref().is_ok_and(|pod| account::is_unsettled(pod, clock.now().wall));
        self.unsettled = unsettled.then(|| Instant::now() + account::SETTLE);
        answer
    }

    /// The mirror of a static pod may turn up after the first look: what was decided until then is decided anew, on top
    /// of what the mirror says was reported before.
    fn recall(&mut self, letter: &Mail) {
        if letter.source.is_static() && !self.recalled && mirror::is_reported(&letter.pod) {
            self.recalled = true;
            self.reported = None;
            Arc::make_mut(&mut self.state).forget_report();
        }
    }

    fn probes(&self, letter: &Mail, runtime: &Result<RuntimePod, String>, bell: &Arc<Bell>) -> ProbeResults {
        // Without an account of the containers nothing is begun or given up; those that ran are probed on.
        let Ok(runtime) = runtime else { return self.context.prober.known(&self.key.uid) };
        let sandbox = runtime.sandboxes.iter().find(|sandbox| sandbox.ready);
        let pod_ip = match sandbox {
            Some(sandbox) if sandbox.host_network => self.context.node.borrow().host_ips.first().cloned(),
            Some(sandbox) => sandbox.ips.first().cloned(),
            None => None,
        };
        // A pod may stop by itself too, as when its deadline is over.
        let stopping = !matches!(letter.intent, Intent::Run) || self.state.stage_kind() != StageKind::Syncing;
        // Until its postStart hook is done a container is not probed, as it is not shown as running.
        let starting = |id: &ContainerId| self.running.holds(&ActionKey::StartContainer(id.clone()));
        let seen = prober::Seen { pod: &letter.pod, runtime, pod_ip, bell, stopping, starting: &starting };
        self.context.prober.observe(&self.key.uid, &seen)
    }

    /// `away`: there is no runtime to ask. That is the node's condition, not an event of each of its pods.
    fn act(
        &mut self,
        mut decision: Decision,
        now: Tick,
        letter: &Mail,
        seen: Observation,
        away: bool,
    ) -> Option<Option<Tick>> {
        for reason in &decision.why {
            tracing::info!(pod = %self.key, why = %reason, "Decided");
            if away && matches!(reason, Reason::StatusUnknown { .. }) {
                continue;
            }
            if let Some(event) = reason.event() {
                self.context.events.record_pod(&letter.pod, event);
            }
        }
        self.count_decision(letter, seen.runtime.as_ref().ok(), &decision.status, now);
        // Before the status can leave: what was decided comes before what is sent.
        let before = self.state.stage_kind();
        self.state = self.record.decided(&seen, &mut decision, now);
        match self.state.stage_kind() {
            now if now == before => {}
            StageKind::Syncing => {}
            StageKind::Terminating => self.context.prober.stopping(&self.key.uid),
            // Nothing of it is probed again, and what was counted goes, though its object may stay for long.
            StageKind::Terminated => self.context.prober.forget(&self.key.uid),
        }
        let released = decision.outlook == Outlook::Released;
        self.released = released;
        if self.reported.as_ref() != Some(&decision.status) || released {
            self.context.statuses.set(&letter.pod, letter.source, &decision.status, decision.outlook);
            self.reported = Some(decision.status);
        }
        if released && letter.source.is_static() {
            self.context.released.tell(&self.key.uid);
        }
        for action in decision.actions {
            tracing::debug!(pod = %self.key, ?action, "Acting");
            let key = action.key();
            self.account.asked(&action, &letter.pod);
            self.count_action(&action, now);
            let id = self.record.began(&action, self.context.edges.clock.now());
            let job = Arc::clone(&self.context.executor).job(
                action,
                Arc::clone(&self.session),
                Arc::clone(&letter.pod),
                letter.source,
                &seen,
            );
            let job = traced::in_step(Arc::clone(&self.record), id, job);
            self.running.spawn(key, Arc::clone(&self.context.edges.clock), job);
        }
        self.seen = seen.runtime.ok();
        if decision.finished { None } else { Some(decision.wake_at) }
    }

    /// The runtime tells of what this worker has it do, just before the call returns. To look at once would keep the answer
    /// waiting for that look, and want another one after it. Every arm is cancel-safe, as in [`Self::wait`].
    async fn await_echo(&mut self, mail: &mut watch::Receiver<Mail>) {
        tokio::select! {
            outcome = self.running.next(&*self.context.edges.clock) => self.outcomes.push(outcome),
            // A closed channel is seen by the next wait.
            _ = mail.changed() => {}
            () = tokio::time::sleep(ECHO) => {}
        }
    }

    /// `None`: so far ahead that no clock tells it.
    fn instant_of(&self, tick: Tick) -> Option<Instant> {
        let now = self.context.edges.clock.now();
        Instant::now().checked_add(tick.mono.saturating_sub(now.mono))
    }

    /// Waits for anything worth a look. Every arm is cancel-safe: `watch::changed`, the bell and `join_next` lose
    /// nothing when dropped, and what they announce is read from its owner afterwards.
    async fn wait(
        &mut self,
        mail: &mut watch::Receiver<Mail>,
        bell: &Bell,
        wake: Option<Instant>,
        resync: Duration,
    ) {
        let resync = Instant::now() + resync;
        let refresh = self.context.edges.volumes.refresh_after(&self.key.uid).map(|d| Instant::now() + d);
        let at = wake.into_iter().chain(refresh).chain(self.unsettled).fold(resync, std::cmp::min);
        tokio::select! {
            changed = mail.changed() => if changed.is_err() {
                // The dispatcher is gone: the process is ending, and so does this task with it.
                std::future::pending::<()>().await;
            },
            () = bell.rung() => if bell.is_about_runtime() && self.running.changes_runtime() {
                self.await_echo(mail).await;
            },
            outcome = self.running.next(&*self.context.edges.clock) => self.outcomes.push(outcome),
            _ = self.context.network.changed() => {}
            _ = self.context.node.changed() => {}
            () = tokio::time::sleep_until(at) => if refresh == Some(at) { bell.volumes_changed() },
        }
    }
}

#[cfg(test)]
mod tests;
