//! What a running pod needs next: which sandbox, which containers to start, which to kill (contract §7).

use crate::{
    action::ActionKey,
    decide::{
        init::{self, Verdict},
        reset, restart,
        view::{Life, SandboxFault, View},
        work::Work,
    },
    delay::fnv,
    ids::{ContainerName, SandboxId},
    observation::{ContainerRecord, FatalProbe},
    reason::{Afterwards, ContainerKind, ContainerRef, KillCause},
    spec::hash::container_hash,
    state::{Reset, Stage},
};
use k8s_openapi::api::core::v1::{Container, ContainerStatus, EphemeralContainer, ResourceRequirements};

/// What is to be done.
pub(super) struct Plan<'a> {
    /// Whether all containers are being started over: then nothing else is done about them.
    pub(super) reset: Reset,
    pub(super) sandbox: SandboxPlan<'a>,
    /// In spec order: ephemeral, init, regular.
    pub(super) start: Vec<Target<'a>>,
    /// None where everything makes way for a new sandbox.
    pub(super) kill: Vec<Kill<'a>>,
    /// Containers of the sandbox that is kept whose turn comes when initialisation allows: what was made for them
    /// stays, though an earlier container died before it could start.
    pub(super) later: Vec<&'a str>,
}

/// What is to be done about the sandbox.
pub(super) enum SandboxPlan<'a> {
    /// It serves.
    Keep(&'a SandboxId),
    /// Everything in the old ones is stopped in the order of a pod's end, they are stopped, and a new one is made.
    Create { attempt: u32, fault: SandboxFault },
}

/// A container to start.
#[derive(Clone)]
pub(super) struct Target<'a> {
    pub(super) kind: ContainerKind,
    pub(super) name: ContainerName,
    pub(super) image: &'a str,
    /// Image and resources: the back-off starts afresh when it changes.
    pub(super) fingerprint: u64,
}

/// A container to kill.
pub(super) struct Kill<'a> {
    pub(super) record: &'a ContainerRecord,
    pub(super) container: Option<ContainerRef>,
    pub(super) cause: KillCause,
    pub(super) afterwards: Afterwards,
    /// `terminationGracePeriodSeconds` of the probe that failed, if it has one.
    pub(super) probe_grace: Option<i64>,
}

impl<'a> Plan<'a> {
    fn of(sandbox: SandboxPlan<'a>) -> Self {
        Self { reset: Reset::Idle, sandbox, start: Vec::new(), kill: Vec::new(), later: Vec::new() }
    }

    /// Whether a container that was made and not started is to start, now or in its turn.
    pub(super) fn starts(&self, made: &ContainerRecord) -> bool {
        let later = matches!(self.sandbox, SandboxPlan::Keep(sandbox) if made.sandbox == *sandbox)
            && self.later.contains(&made.name.as_str());
        later || self.start.iter().any(|target| target.name == made.name)
    }
}

impl<'a> Target<'a> {
    pub(super) fn of(kind: ContainerKind, container: &'a Container) -> Self {
        Self {
            kind,
            name: container.name.as_str().into(),
            image: container.image.as_deref().unwrap_or_default(),
            fingerprint: fingerprint(container.image.as_deref(), container.resources.as_ref()),
        }
    }

    fn ephemeral(container: &'a EphemeralContainer) -> Self {
        let image = container.image.as_deref();
        Self {
            kind: ContainerKind::Ephemeral,
            name: container.name.as_str().into(),
            image: image.unwrap_or_default(),
            fingerprint: fingerprint(image, container.resources.as_ref()),
        }
    }

    /// Hash that its containers carry.
    pub(super) fn hash(&self) -> u64 {
        container_hash(self.name.as_str(), self.image)
    }

    pub(super) fn reference(&self) -> ContainerRef {
        ContainerRef { kind: self.kind, name: self.name.clone() }
    }
}

impl<'a> Kill<'a> {
    pub(super) fn new(
        kind: ContainerKind,
        record: &'a ContainerRecord,
        cause: KillCause,
        afterwards: Afterwards,
    ) -> Self {
        let container = Some(ContainerRef { kind, name: record.name.clone() });
        Self { record, container, cause, afterwards, probe_grace: None }
    }
}

pub(super) fn hash_of(container: &Container) -> u64 {
    container_hash(&container.name, container.image.as_deref().unwrap_or_default())
}

fn fingerprint(image: Option<&str>, resources: Option<&ResourceRequirements>) -> u64 {
    let lists = resources.map(|r| [r.requests.as_ref(), r.limits.as_ref()]);
    let quantities = lists.into_iter().flatten().flat_map(|list| list.into_iter().flatten());
    let text = image.unwrap_or_default().bytes().chain([0]);
    fnv(text.chain(quantities.flat_map(|(name, q)| name.bytes().chain([b'=']).chain(q.0.bytes()).chain([0]))))
}

/// Makes the plan; `None`: nothing runs that is to be kept and nothing is to be started, the pod is over.
pub(super) fn make<'a>(work: &mut Work<'a>) -> Option<Plan<'a>> {
    let view = work.view?;
    let starting_over = reset::look(work, &view);
    match view.sandbox() {
        Ok(sandbox) if starting_over => {
            let sandbox = SandboxPlan::Keep(&sandbox.id);
            Some(Plan { reset: Reset::UnderWay, ..Plan::of(sandbox) })
        }
        Ok(sandbox) => inside(work, &view, &sandbox.id),
        Err(fault) => replace(work, &view, fault),
    }
}

fn starting_over(work: &Work<'_>) -> Reset {
    match &work.state.stage {
        Stage::Syncing(syncing) => syncing.reset,
        _ => Reset::Idle,
    }
}

/// No usable sandbox: everything is killed, and starts over in a new one, if anything is left to start.
fn replace<'a>(work: &Work<'a>, view: &View<'a>, fault: SandboxFault) -> Option<Plan<'a>> {
    let spec = work.spec;
    let attempt = view.newest_sandbox().map_or(0, |s| s.attempt.saturating_add(1));
    let never = spec.restart_policy.as_deref() == Some("Never");
    let reset = starting_over(work);
    if never && attempt != 0 && !view.containers().is_empty() && reset == Reset::Idle {
        return None;
    }
    let regular: Vec<_> =
        spec.containers.iter().filter(|container| !done_for_good(work, view, container)).collect();
    if regular.is_empty() && reset == Reset::Idle {
        return None;
    }
    let start = match spec.init_containers.as_deref().and_then(<[_]>::first) {
        _ if reset == Reset::UnderWay => Vec::new(),
        Some(first) => vec![Target::of(ContainerKind::Init, first)],
        None => regular.into_iter().map(|c| Target::of(ContainerKind::Regular, c)).collect(),
    };
    Some(Plan { reset, start, ..Plan::of(SandboxPlan::Create { attempt, fault }) })
}

/// Ended, and its policy lets that stand. Unlike upstream, which runs such a container once more in a new sandbox.
fn done_for_good(work: &Work<'_>, view: &View<'_>, container: &Container) -> bool {
    match view.newest(&container.name) {
        None => reported_final(work, container),
        Some(record) if is_outlived(work, container, record) => true,
        Some(record) => {
            view.life(record) == Life::Dead
                && !owed(work, view, &container.name)
                && !restart::wanted(container, work.pod, work.spec, view)
        }
    }
}

/// Whether a container runs, or has ended for good.
pub(super) fn is_settled(work: &Work<'_>, name: &ContainerName) -> bool {
    let Some(view) = work.view else { return false };
    let mut regular = work.spec.containers.iter();
    if let Some(container) = regular.find(|container| container.name == name.as_str()) {
        let runs = view.newest(name.as_str()).is_some_and(|record| view.life(record) == Life::Running);
        return runs || done_for_good(work, &view, container);
    }
    let mut inits = work.spec.init_containers.iter().flatten();
    let init = inits.find(|container| container.name == name.as_str());
    view.newest(name.as_str()).is_some_and(|record| match view.life(record) {
        Life::Running => true,
        Life::Dead => {
            init.is_none_or(|init| !restart::is_sidecar(init) && !init::starts_again(work, init, record))
        }
        Life::Created | Life::Lost => false,
    })
}

/// Whether its newest instance was killed with the promise of a restart.
fn owed(work: &Work<'_>, view: &View<'_>, name: &str) -> bool {
    let Some(memo) = work.state.containers.get(&ContainerName::from(name)) else { return false };
    view.newest(name).is_some_and(|record| memo.owes(&record.id))
}

fn inside<'a>(work: &Work<'a>, view: &View<'a>, sandbox: &'a SandboxId) -> Option<Plan<'a>> {
    let mut plan = Plan::of(SandboxPlan::Keep(sandbox));
    for container in work.spec.ephemeral_containers.iter().flatten() {
        if ephemeral_to_start(work, view, &container.name) {
            plan.start.push(Target::ephemeral(container));
        }
    }
    let init = init::look(work, view, sandbox);
    plan.kill.extend(init.kill);
    match init.verdict {
        Verdict::Failed => return None,
        Verdict::Unfinished => {
            plan.start.extend(init.start);
            plan.later.extend(init.made);
            plan.later.extend(work.spec.containers.iter().map(|container| container.name.as_str()));
            return Some(plan);
        }
        Verdict::Done => {}
    }
    plan.kill.extend(unnamed(work, view));
    let before = (plan.start.len(), plan.kill.len());
    let mut kept = 0;
    for container in &work.spec.containers {
        match regular(work, view, container, sandbox) {
            Next::Keep => kept += 1,
            Next::Leave => {}
            Next::Start => plan.start.push(Target::of(ContainerKind::Regular, container)),
            Next::Kill(kill) => plan.kill.push(kill),
        }
    }
    let (started, killed) = (plan.start.len() > before.0, &plan.kill[before.1..]);
    let restarted = killed.iter().any(|kill| kill.afterwards == Afterwards::Restart);
    if kept == 0 && !started && !restarted {
        // The pod is over with them: all end together, within its own grace period. Not where a hook of its own ended the
        // container already.
        let hooked = |kill: &Kill<'_>| kill.cause == KillCause::PostStartHook;
        return killed.iter().any(hooked).then_some(plan);
    }
    plan.start.splice(before.0..before.0, init.start);
    Some(plan)
}

/// What runs and is not in the spec any more: a manifest that names its own uid may be edited in place. (An object of
/// the API cannot; that it lacks a container may mean that an older version of it was served.)
fn unnamed<'a>(work: &Work<'a>, view: &View<'a>) -> Vec<Kill<'a>> {
    if !work.seen.source.is_static() {
        return Vec::new();
    }
    let unknown = view.alive().filter(|record| super::absorb::reference(work, &record.name).is_none());
    let (cause, afterwards) = (KillCause::PodStops, Afterwards::Stay);
    unknown.map(|record| Kill { record, container: None, cause, afterwards, probe_grace: None }).collect()
}

/// Ephemeral containers start once. Those that were created and not yet started are taken up, or made anew when their
/// sandbox is gone.
fn ephemeral_to_start(work: &Work<'_>, view: &View<'_>, name: &str) -> bool {
    match view.newest(name) {
        Some(record) => view.life(record) == Life::Created,
        None => !reported_ended(work, name),
    }
}

/// What is to be done with one regular container.
enum Next<'a> {
    Keep,
    Leave,
    Start,
    Kill(Kill<'a>),
}

fn regular<'a>(work: &Work<'a>, view: &View<'a>, container: &'a Container, sandbox: &SandboxId) -> Next<'a> {
    let kind = ContainerKind::Regular;
    let Some(record) = view.newest(&container.name) else {
        // A run that ended for good is not repeated because its record was removed.
        return if reported_final(work, container) { Next::Leave } else { Next::Start };
    };
    let wanted = restart::wanted(container, work.pod, work.spec, view) || owed(work, view, &container.name);
    match view.life(record) {
        // Made by a kubelet that died before it was told; the one after it has told of the former end for good.
        Life::Created if reported_final(work, container) => Next::Leave,
        Life::Dead if is_outlived(work, container, record) => Next::Leave,
        Life::Created | Life::Dead if wanted => Next::Start,
        Life::Created | Life::Dead => Next::Leave,
        Life::Lost => Next::Kill(Kill::new(kind, record, KillCause::Unknown, Afterwards::Restart)),
        Life::Running if &record.sandbox != sandbox => {
            Next::Kill(Kill::new(kind, record, KillCause::PodStops, Afterwards::Restart))
        }
        Life::Running => match cause_to_kill(work, container, record) {
            None => Next::Keep,
            Some(cause) => Next::Kill(kill_running(work, kind, container, record, cause)),
        },
    }
}

pub(super) fn kill_running<'a>(
    work: &Work<'a>,
    kind: ContainerKind,
    container: &Container,
    record: &'a ContainerRecord,
    cause: KillCause,
) -> Kill<'a> {
    let afterwards = match cause {
        KillCause::Liveness | KillCause::Startup if !restart::after_probe(container, work.spec) => {
            Afterwards::Stay
        }
        KillCause::PostStartHook => Afterwards::Stay,
        _ => Afterwards::Restart,
    };
    let probe = match cause {
        KillCause::Liveness => container.liveness_probe.as_ref(),
        KillCause::Startup => container.startup_probe.as_ref(),
        _ => None,
    };
    let probe_grace = probe.and_then(|p| p.termination_grace_period_seconds);
    Kill { probe_grace, ..Kill::new(kind, record, cause, afterwards) }
}

/// Why a running container is to be killed, if it is.
pub(super) fn cause_to_kill(
    work: &Work<'_>,
    container: &Container,
    record: &ContainerRecord,
) -> Option<KillCause> {
    if record.hash != hash_of(container) {
        return Some(KillCause::DefinitionChanged);
    }
    let before = cause_before_start(work, record);
    if before != Some(KillCause::PostStartHook) && failed(work, record, FatalProbe::Liveness) {
        return Some(KillCause::Liveness);
    }
    before
}

/// What ends a container that has not started yet, as far as its hook and its startup probe tell.
pub(super) fn cause_before_start(work: &Work<'_>, record: &ContainerRecord) -> Option<KillCause> {
    let memo = work.state.containers.get(&record.name);
    if memo.is_some_and(|memo| memo.condemned.as_ref() == Some(&record.id)) {
        return Some(KillCause::PostStartHook);
    }
    failed(work, record, FatalProbe::Startup).then_some(KillCause::Startup)
}

fn failed(work: &Work<'_>, record: &ContainerRecord, kind: FatalProbe) -> bool {
    let mut failures = work.seen.probes.failures.iter();
    failures.any(|f| f.kind == kind && f.id == record.id && f.container == record.name)
}

/// Whether the last reported status says that the container ended and its policy lets that stand.
fn reported_final(work: &Work<'_>, container: &Container) -> bool {
    final_status(work, container).is_some()
}

/// The last status of a container, if it says that.
fn final_status<'w>(work: &'w Work<'_>, container: &Container) -> Option<&'w ContainerStatus> {
    let last = last_status(work);
    if reset::announced(last) {
        return None;
    }
    let mut statuses = last?.container_statuses.iter().flatten();
    let status = statuses.find(|status| status.name == container.name)?;
    let ended = status.state.as_ref()?.terminated.as_ref()?;
    // A container that nobody located may never have ended by itself.
    let by_itself = ended.container_id.is_some();
    (by_itself && !restart::after_exit(container, work.spec, ended.exit_code)).then_some(status)
}

/// Whether a record is of an instance before the one that ended for good: that one's own is gone, as with its sandbox, while
/// an older one could not be removed. How the older one ended decides nothing any more.
fn is_outlived(work: &Work<'_>, container: &Container, record: &ContainerRecord) -> bool {
    final_status(work, container)
        .and_then(|status| u32::try_from(status.restart_count).ok())
        .is_some_and(|latest| record.attempt < latest)
}

fn reported_ended(work: &Work<'_>, name: &str) -> bool {
    let statuses = last_status(work).and_then(|s| s.ephemeral_container_statuses.as_ref());
    let status = statuses.into_iter().flatten().find(|s| s.name == name);
    status.and_then(|s| s.state.as_ref()).is_some_and(|s| s.terminated.is_some() || s.running.is_some())
}

/// Own last status, else what the API holds.
pub(super) fn last_status<'w>(work: &'w Work<'_>) -> Option<&'w k8s_openapi::api::core::v1::PodStatus> {
    work.state.reported.as_deref().or(work.pod.status.as_ref())
}

/// Whether a start of this instance is under way: its postStart hook may still run.
pub(super) fn starting(work: &Work<'_>, record: &ContainerRecord) -> bool {
    work.flying(&ActionKey::StartContainer(record.id.clone()))
}
