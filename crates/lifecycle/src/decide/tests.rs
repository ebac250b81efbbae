//! Scenes: a pod, a scripted world, what is decided.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::{
    api::core::v1::{Container, Lifecycle, LifecycleHandler, Pod, PodSpec, PodStatus, Probe},
    apimachinery::pkg::apis::meta::v1::Time,
};

use super::*;
use crate::{
    Admission, ContainerName, Done, Failure, FailureStep, Intent, LogFate, Outcome, PodSource, ProbeResults,
    Record,
    observation::{
        ContainerRecord, FatalProbe, NodeFacts, ProbeFailure, ProbeResult, RuntimePod, RuntimeState,
        SandboxRecord,
    },
    record::StepId,
    spec::{containers::image_of, hash::container_hash},
};

mod ephemeral;
mod explained;
mod failing;
mod losing;
mod properties;
mod recall;
mod reset;
mod restarting;
mod sidecars;
mod starting;
mod termination;

/// A pod and its world.
pub(super) struct Scene {
    pub(super) pod: Pod,
    pub(super) state: PodState,
    pub(super) runtime: Result<RuntimePod, String>,
    pub(super) intent: Intent,
    pub(super) source: PodSource,
    pub(super) admission: Admission,
    pub(super) network: Result<(), String>,
    pub(super) probes: ProbeResults,
    pub(super) volumes_stale: bool,
    /// The API takes the last status at once.
    pub(super) answers: bool,
    pub(super) logged: BTreeMap<ContainerName, u32>,
    pub(super) mono: Duration,
    pub(super) wall: Timestamp,
    pub(super) past: Record,
    /// The newest step of each action that was asked for.
    pub(super) steps: BTreeMap<ActionKey, StepId>,
    outcomes: Vec<Outcome>,
    next: u32,
}

pub(super) fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(super) fn container(name: &str) -> Container {
    Container { name: name.to_owned(), image: Some("image:1".to_owned()), ..Container::default() }
}

/// One with another image than the others have.
pub(super) fn apart(name: &str) -> Container {
    Container { image: Some("image:2".to_owned()), ..container(name) }
}

pub(super) fn sidecar(name: &str) -> Container {
    Container { restart_policy: Some("Always".to_owned()), ..container(name) }
}

pub(super) fn with_hook(name: &str) -> Container {
    let handler = Some(LifecycleHandler::default());
    Container {
        lifecycle: Some(Lifecycle { post_start: handler, ..Lifecycle::default() }),
        ..container(name)
    }
}

impl Scene {
    pub(super) fn new(policy: &str, inits: Vec<Container>, containers: Vec<Container>) -> Self {
        let mut pod = Pod::default();
        pod.metadata.name = Some("p".to_owned());
        pod.metadata.namespace = Some("ns".to_owned());
        pod.metadata.uid = Some("u".to_owned());
        pod.metadata.generation = Some(1);
        pod.spec = Some(PodSpec {
            containers,
            init_containers: (!inits.is_empty()).then_some(inits),
            restart_policy: Some(policy.to_owned()),
            termination_grace_period_seconds: Some(30),
            ..PodSpec::default()
        });
        pod.status = Some(PodStatus { phase: Some("Pending".to_owned()), ..PodStatus::default() });
        Self {
            pod,
            state: PodState::default(),
            runtime: Ok(RuntimePod::default()),
            intent: Intent::Run,
            source: PodSource::Api,
            admission: Admission::Admitted,
            network: Ok(()),
            probes: ProbeResults::default(),
            volumes_stale: false,
            answers: true,
            logged: BTreeMap::new(),
            mono: Duration::from_secs(1),
            wall: Timestamp::from_second(1_800_000_000).unwrap(),
            past: Record::new(Tick {
                mono: Duration::from_secs(1),
                wall: Timestamp::from_second(1_800_000_000).unwrap(),
            }),
            steps: BTreeMap::new(),
            outcomes: Vec::new(),
            next: 0,
        }
    }

    pub(super) fn pass(&mut self, time: Duration) {
        self.mono += time;
        self.wall = self.wall.checked_add(SignedDuration::try_from(time).unwrap()).unwrap();
    }

    pub(super) fn look(&mut self) -> Decision {
        let seen = Observation {
            pod: Arc::new(self.pod.clone()),
            source: self.source,
            intent: self.intent.clone(),
            admission: self.admission.clone(),
            runtime: self.runtime.clone(),
            network: self.network.clone(),
            outcomes: std::mem::take(&mut self.outcomes),
            node: NodeFacts {
                name: "node".to_owned(),
                host_ips: vec!["192.0.2.2".to_owned()],
                runtime_name: "containerd".to_owned(),
                max_restart_backoff: Duration::from_secs(300),
                has_api: true,
                ..NodeFacts::default()
            },
            volumes_stale: std::mem::take(&mut self.volumes_stale),
            probes: self.probes.clone(),
            logged: Arc::new(self.logged.clone()),
        };
        let now = Tick { mono: self.mono, wall: self.wall };
        let inspection = self.past.inspecting(now);
        self.past.inspected(inspection, seen.runtime.as_ref().ok(), now);
        let decision = decide(&self.state, &seen, now);
        self.state = decision.next.clone();
        self.past.decided(&seen, &mut decision.clone(), now);
        if self.answers && decision.next.stage() == "terminated" {
            self.pod.status = Some(decision.status.clone());
        }
        for action in &decision.actions {
            self.steps.insert(action.key(), self.past.began(action, now));
        }
        decision
    }

    /// Answers an action with success, and makes it true.
    pub(super) fn succeed(&mut self, action: &Action) {
        let done = self.effect(action);
        self.answer(action, Ok(done));
    }

    pub(super) fn fail(&mut self, action: &Action, step: FailureStep, message: &str) {
        self.answer(action, Err(Failure::new(step, message)));
    }

    pub(super) fn answer(&mut self, action: &Action, result: Result<Done, Failure>) {
        let at = Tick { mono: self.mono, wall: self.wall };
        let outcome = Outcome { key: action.key(), at, result };
        self.past.answered(&outcome);
        self.outcomes.push(outcome);
    }

    fn effect(&mut self, action: &Action) -> Done {
        self.next += 1;
        let (now, next) = (self.wall, self.next);
        let Ok(runtime) = &mut self.runtime else { return Done::Plain };
        match action {
            Action::CreateSandbox { attempt } => {
                let id = crate::SandboxId::from(format!("s{next}"));
                let ips = vec![format!("10.0.0.{next}")];
                runtime.sandboxes.insert(
                    0,
                    SandboxRecord {
                        id: id.clone(),
                        attempt: *attempt,
                        ready: true,
                        created_at: now,
                        ips,
                        without_address: false,
                        host_network: false,
                    },
                );
                Done::Sandbox(id)
            }
            Action::StopSandbox { id } => {
                runtime.sandboxes.iter_mut().filter(|s| s.id == *id).for_each(|s| s.ready = false);
                Done::Plain
            }
            Action::RemoveSandbox { id } => {
                runtime.sandboxes.retain(|s| s.id != *id);
                Done::Plain
            }
            Action::EnsureImage { .. } => Done::Image { image_ref: "sha256:1".to_owned(), pulled: None },
            Action::CreateContainer { container, attempt, sandbox, .. } => {
                let id = crate::ContainerId::from(format!("k{next}"));
                let image = image_of(self.pod.spec.as_ref().unwrap(), container.as_str());
                let image = image.unwrap_or_default().to_owned();
                runtime.containers.insert(
                    0,
                    ContainerRecord {
                        hash: container_hash(container.as_str(), &image),
                        image,
                        image_ref: "sha256:1".to_owned(),
                        ..ContainerRecord::created(
                            id.clone(),
                            container.clone(),
                            *attempt,
                            sandbox.clone(),
                            now,
                        )
                    },
                );
                Done::Container(id)
            }
            Action::StartContainer { id, .. } => {
                let record = runtime.containers.iter_mut().find(|c| c.id == *id).unwrap();
                record.state = RuntimeState::Running;
                record.started_at = Some(now);
                Done::Plain
            }
            Action::StopContainer { id, .. } => {
                let id = id.clone();
                self.exit_id(&id, 143);
                Done::Plain
            }
            Action::RemoveContainer { id, .. } => {
                runtime.containers.retain(|c| c.id != *id);
                Done::Plain
            }
            _ => Done::Plain,
        }
    }

    fn exit_id(&mut self, id: &crate::ContainerId, code: i32) {
        let now = self.wall;
        let record = self.runtime.as_mut().unwrap().containers.iter_mut().find(|c| c.id == *id).unwrap();
        record.state = RuntimeState::Exited;
        record.exit_code = code;
        record.reason = if code == 0 { "Completed" } else { "Error" }.to_owned();
        record.finished_at = Some(now);
    }

    /// The newest container of this name ends.
    pub(super) fn exit(&mut self, name: &str, code: i32) {
        let id = self.record(name).id.clone();
        self.exit_id(&id, code);
    }

    pub(super) fn record(&self, name: &str) -> &ContainerRecord {
        let containers = &self.runtime.as_ref().unwrap().containers;
        containers.iter().filter(|c| c.name.as_str() == name).max_by_key(|c| c.attempt).unwrap()
    }

    /// Looks and makes everything succeed until nothing is asked for any more; returns all that was asked for.
    pub(super) fn settle(&mut self) -> Vec<Action> {
        let mut all = Vec::new();
        loop {
            let actions = self.look().actions;
            if actions.is_empty() {
                return all;
            }
            for action in &actions {
                self.succeed(action);
            }
            all.extend(actions);
            assert!(all.len() < 200, "does not settle: {all:?}");
        }
    }

    /// A new process looks at the same world; the API holds the last status.
    pub(super) fn restart(&mut self) {
        let decision = self.look();
        assert!(decision.actions.is_empty(), "{:?}", decision.actions);
        self.pod.status = Some(decision.status);
        self.state = PodState::default();
    }

    pub(super) fn spec(&mut self) -> &mut PodSpec {
        self.pod.spec.as_mut().unwrap()
    }
}

/// Name of what an action does, and to whom.
pub(super) fn brief(actions: &[Action]) -> Vec<String> {
    actions
        .iter()
        .map(|action| match action {
            Action::CreateSandbox { attempt } => format!("sandbox {attempt}"),
            Action::EnsureImage { container } => format!("image {container}"),
            Action::FindImage { container } => format!("find image {container}"),
            Action::CreateContainer { container, attempt, .. } => format!("create {container} {attempt}"),
            Action::StartContainer { container, .. } => format!("start {container}"),
            Action::StopContainer { container, grace, .. } => format!("stop {container} {}", grace.as_secs()),
            Action::HurryContainer { container, grace, .. } => {
                format!("hurry {container} {}", grace.as_secs())
            }
            Action::RunPreStop { container, grace, .. } => {
                format!("hook {container} {}", grace.as_secs())
            }
            Action::RemoveContainer { log: LogFate::Keep, .. } => "remove container, keep log".to_owned(),
            Action::RemoveContainer { .. } => "remove container".to_owned(),
            Action::StopSandbox { .. } => "stop sandbox".to_owned(),
            Action::RemoveSandbox { .. } => "remove sandbox".to_owned(),
            other => format!("{other:?}"),
        })
        .collect()
}

/// Events of a decision: reason and message.
pub(super) fn events(decision: &Decision) -> Vec<(&'static str, String)> {
    let events = decision.why.iter().filter_map(Reason::event);
    events
        .map(|event| match event.reason {
            Cow::Borrowed(reason) => (reason, event.message),
            Cow::Owned(reason) => (&*reason.leak(), event.message),
        })
        .collect()
}

pub(super) fn phase(decision: &Decision) -> &str {
    decision.status.phase.as_deref().unwrap_or_default()
}

pub(super) fn waiting<'d>(decision: &'d Decision, name: &str) -> (&'d str, &'d str) {
    let lists = [&decision.status.container_statuses, &decision.status.init_container_statuses];
    let status = lists.into_iter().flatten().flatten().find(|s| s.name == name).unwrap();
    let waiting = status.state.as_ref().unwrap().waiting.as_ref().unwrap();
    (waiting.reason.as_deref().unwrap_or_default(), waiting.message.as_deref().unwrap_or_default())
}

pub(super) fn time(at: Timestamp) -> Time {
    Time(at)
}

pub(super) fn probe(grace: Option<i64>) -> Probe {
    Probe { termination_grace_period_seconds: grace, ..Probe::default() }
}

pub(super) fn failing(record: &ContainerRecord, kind: FatalProbe) -> ProbeResults {
    let failure = ProbeFailure { container: record.name.clone(), id: record.id.clone(), kind };
    ProbeResults { failures: vec![failure], ..ProbeResults::default() }
}

impl Scene {
    /// One look; what it asks for succeeds.
    pub(super) fn settle_one(&mut self) -> Vec<Action> {
        let actions = self.look().actions;
        for action in &actions {
            self.succeed(action);
        }
        actions
    }

    /// As `settle`, with init containers that end well at once; returns what was done to sandbox and containers.
    pub(super) fn settle_with_inits(&mut self) -> Vec<String> {
        let mut all = Vec::new();
        for _ in 0..100 {
            let actions = self.settle_one();
            let plain: Vec<_> = self
                .spec()
                .init_containers
                .iter()
                .flatten()
                .filter(|c| c.restart_policy.is_none())
                .map(|c| c.name.clone())
                .collect();
            let mut ended = false;
            for name in plain {
                let runtime = self.runtime.as_ref().unwrap();
                if runtime
                    .containers
                    .iter()
                    .any(|c| c.name.as_str() == name && c.state == RuntimeState::Running)
                {
                    self.exit(&name, 0);
                    ended = true;
                }
            }
            if actions.is_empty() && !ended {
                break;
            }
            all.extend(actions);
        }
        let wanted = |text: &String| ["create", "start", "sandbox 1"].iter().any(|w| text.starts_with(w));
        brief(&all).into_iter().filter(wanted).collect()
    }

    /// Makes everything succeed until a container is to be started; returns that action, not yet carried out.
    pub(super) fn until_start(&mut self) -> Action {
        for _ in 0..50 {
            let actions = self.look().actions;
            if let Some(start) = actions.iter().find(|a| matches!(a, Action::StartContainer { .. })) {
                return start.clone();
            }
            actions.iter().for_each(|action| self.succeed(action));
        }
        panic!("nothing is ever started");
    }
}
