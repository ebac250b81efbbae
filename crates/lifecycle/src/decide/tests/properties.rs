//! Whatever happens in whatever order: the rules hold.

use proptest::prelude::*;

use super::*;

/// One thing that happens.
#[derive(Clone, Debug)]
enum Step {
    /// The n-th action in flight succeeds, truly.
    Succeed(usize),
    /// It says that it succeeded, and nothing happened.
    Claim(usize),
    /// It fails.
    Fail(usize),
    /// A container ends.
    Exit(usize, i32),
    /// A container's record vanishes.
    Vanish(usize),
    /// The runtime loses track of a container.
    Lose(usize),
    /// The sandbox dies.
    SandboxDies,
    /// The machine starts anew, and the runtime knows nothing any more.
    Forget,
    /// Time passes, in seconds.
    Pass(u64),
    /// The wall clock jumps, in hours.
    Jump(i64),
    /// The process is killed; its actions in flight may have happened or not.
    Restart(bool),
    /// An image changes.
    Update,
    /// The pod is deleted.
    Delete(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (0..6usize).prop_map(Step::Succeed),
        1 => (0..6usize).prop_map(Step::Claim),
        2 => (0..6usize).prop_map(Step::Fail),
        2 => ((0..4usize), prop_oneof![Just(0), Just(1)]).prop_map(|(n, code)| Step::Exit(n, code)),
        1 => (0..4usize).prop_map(Step::Vanish),
        1 => (0..4usize).prop_map(Step::Lose),
        1 => Just(Step::SandboxDies),
        1 => Just(Step::Forget),
        3 => (0..400u64).prop_map(Step::Pass),
        1 => (-100..100i64).prop_map(Step::Jump),
        1 => any::<bool>().prop_map(Step::Restart),
        1 => Just(Step::Update),
        1 => (1..60u64).prop_map(Step::Delete),
    ]
}

fn scene() -> impl Strategy<Value = Scene> {
    let policy = prop_oneof![Just("Always"), Just("OnFailure"), Just("Never")];
    (policy, 0..3usize, any::<bool>(), 1..3usize).prop_map(|(policy, inits, sidecars, regular)| {
        let init = |i: usize| {
            let name = format!("i{i}");
            if sidecars && i.is_multiple_of(2) { sidecar(&name) } else { container(&name) }
        };
        let regular =
            (0..regular).map(|i| if i == 0 { with_hook("c0") } else { container(&format!("c{i}")) });
        Scene::new(policy, (0..inits).map(init).collect(), regular.collect())
    })
}

/// The world and what is in flight in it.
struct Run {
    scene: Scene,
    flying: Vec<Action>,
    last: Option<PodStatus>,
    /// A container was to be changed, which starts it again whatever the policy.
    changed: bool,
}

impl Run {
    /// Whether the only container was reported to run, and is not to run again.
    fn has_had_its_run(&self) -> bool {
        let Some(spec) = self.scene.pod.spec.as_ref() else { return false };
        let sidecars = spec.init_containers.iter().flatten().any(|c| c.restart_policy.is_some());
        let once = spec.restart_policy.as_deref() == Some("Never") && !sidecars && !self.changed;
        let last = self.last.iter().flat_map(|status| status.container_statuses.iter().flatten());
        let ran = last.filter_map(|status| status.state.as_ref()).any(|state| state.waiting.is_none());
        once && spec.containers.len() == 1 && ran
    }

    fn look(&mut self) -> Result<Decision, TestCaseError> {
        let before = self.scene.state.clone();
        let answered: Vec<_> = self.scene.outcomes.iter().map(|o| o.key.clone()).collect();
        let decision = self.scene.look();
        for action in &decision.actions {
            let key = action.key();
            prop_assert!(
                answered.contains(&key) || !before.in_flight().any(|known| *known == key),
                "{key:?} is in flight already"
            );
            if let Action::CreateContainer { container, attempt, .. } = action {
                prop_assert!(!self.has_had_its_run(), "{container} runs a second time");
                let runtime = self.scene.runtime.as_ref().unwrap();
                prop_assert!(
                    !runtime.containers.iter().any(|c| c.name == *container && c.attempt == *attempt),
                    "{container} {attempt} exists"
                );
            }
        }
        let rank = |state: &PodState| {
            ["syncing", "terminating", "terminated"].iter().position(|s| *s == state.stage())
        };
        prop_assert!(rank(&before) <= rank(&decision.next));
        let terminal = |status: &PodStatus| matches!(status.phase.as_deref(), Some("Succeeded" | "Failed"));
        if let Some(last) = self.last.as_ref().filter(|last| terminal(last)) {
            prop_assert_eq!(&last.phase, &decision.status.phase);
        }
        let runs =
            self.scene.runtime.as_ref().unwrap().containers.iter().any(|c| c.state == RuntimeState::Running);
        prop_assert!(!(terminal(&decision.status) && runs && !self.last.as_ref().is_some_and(terminal)));
        prop_assert!(decision.next.weight() < 60, "{}", decision.next.weight());
        self.last = Some(decision.status.clone());
        self.flying.extend(decision.actions.iter().cloned());
        Ok(decision)
    }

    fn take(&mut self, index: usize) -> Option<Action> {
        (!self.flying.is_empty()).then(|| self.flying.remove(index % self.flying.len()))
    }

    fn container(&mut self, index: usize) -> Option<&mut ContainerRecord> {
        let containers = &mut self.scene.runtime.as_mut().unwrap().containers;
        let count = containers.len();
        if count == 0 { None } else { containers.get_mut(index % count) }
    }

    /// Takes effect if the world lets it.
    fn succeed(&mut self, action: &Action) {
        let runtime = self.scene.runtime.as_ref().unwrap();
        let sandbox_ready = |id: &crate::SandboxId| runtime.sandboxes.iter().any(|s| s.id == *id && s.ready);
        let possible = match action {
            Action::CreateSandbox { attempt } => !runtime.sandboxes.iter().any(|s| s.attempt == *attempt),
            Action::CreateContainer { container, attempt, sandbox, .. } => {
                sandbox_ready(sandbox)
                    && !runtime.containers.iter().any(|c| c.name == *container && c.attempt == *attempt)
            }
            Action::StartContainer { id, .. } => runtime
                .containers
                .iter()
                .any(|c| c.id == *id && c.state == RuntimeState::Created && sandbox_ready(&c.sandbox)),
            Action::StopContainer { id, .. } => runtime
                .containers
                .iter()
                .any(|c| c.id == *id && matches!(c.state, RuntimeState::Running | RuntimeState::Unknown)),
            _ => true,
        };
        match (possible, action) {
            (true, Action::StopSandbox { id }) => {
                let inside: Vec<_> =
                    runtime.containers.iter().filter(|c| c.sandbox == *id).map(|c| c.id.clone()).collect();
                for container in inside {
                    self.exit(&container, 137);
                }
                self.scene.succeed(action);
            }
            (true, _) => self.scene.succeed(action),
            (false, Action::StopContainer { .. }) => self.scene.answer(action, Ok(Done::Plain)),
            (false, _) => self.scene.fail(action, FailureStep::Teardown, "impossible"),
        }
    }

    fn exit(&mut self, id: &crate::ContainerId, code: i32) {
        let runs = self
            .scene
            .runtime
            .as_ref()
            .unwrap()
            .containers
            .iter()
            .any(|c| c.id == *id && matches!(c.state, RuntimeState::Running | RuntimeState::Unknown));
        if runs {
            self.scene.exit_id(id, code);
        }
    }

    fn happen(&mut self, step: Step) {
        match step {
            Step::Succeed(n) => {
                if let Some(action) = self.take(n) {
                    self.succeed(&action);
                }
            }
            Step::Claim(n) => {
                let lies =
                    |a: &Action| matches!(a, Action::StopContainer { .. } | Action::StopSandbox { .. });
                if self.flying.get(n).is_some_and(lies) {
                    let action = self.flying.remove(n);
                    self.scene.answer(&action, Ok(Done::Plain));
                }
            }
            Step::Fail(n) => {
                if let Some(action) = self.take(n) {
                    self.scene.fail(&action, FailureStep::Teardown, "no");
                }
            }
            Step::Exit(n, code) => {
                if let Some(id) = self.container(n).map(|c| c.id.clone()) {
                    self.exit(&id, code);
                }
            }
            Step::Vanish(n) => {
                if let Some(id) = self.container(n).map(|c| c.id.clone()) {
                    self.scene.runtime.as_mut().unwrap().containers.retain(|c| c.id != id);
                }
            }
            Step::Lose(n) => {
                if let Some(record) = self.container(n).filter(|c| c.state == RuntimeState::Running) {
                    record.state = RuntimeState::Unknown;
                }
            }
            Step::SandboxDies => {
                let newest = self.scene.runtime.as_ref().unwrap().sandboxes.first().map(|s| s.id.clone());
                if let Some(id) = newest {
                    self.scene.effect(&Action::StopSandbox { id: id.clone() });
                    let inside: Vec<_> = self
                        .scene
                        .runtime
                        .as_ref()
                        .unwrap()
                        .containers
                        .iter()
                        .filter(|c| c.sandbox == id)
                        .map(|c| c.id.clone())
                        .collect();
                    for container in inside {
                        self.exit(&container, 137);
                    }
                }
            }
            Step::Pass(seconds) => self.scene.pass(Duration::from_secs(seconds)),
            Step::Jump(hours) => {
                self.scene.wall = self.scene.wall.checked_add(SignedDuration::from_hours(hours)).unwrap();
            }
            Step::Forget => {
                self.restart(false);
                self.scene.runtime = Ok(RuntimePod::default());
            }
            Step::Restart(happened) => self.restart(happened),
            Step::Update => {
                self.scene.spec().containers[0].image = Some("image:2".to_owned());
                self.changed = true;
            }
            Step::Delete(grace) => {
                self.scene.intent = Intent::Delete { grace: Duration::from_secs(grace) };
                self.scene.pod.metadata.deletion_timestamp = Some(time(self.scene.wall));
            }
        }
    }

    /// The process ends and begins anew.
    fn restart(&mut self, happened: bool) {
        for action in std::mem::take(&mut self.flying) {
            if happened {
                self.succeed(&action);
            }
        }
        self.scene.outcomes.clear();
        self.scene.state = PodState::default();
        self.scene.pod.status = self.last.clone().or(self.scene.pod.status.take());
    }

    /// Everything works from here on: the pod comes to rest.
    fn converge(&mut self) -> Result<(), TestCaseError> {
        for _ in 0..2000 {
            let decision = self.look()?;
            while let Some(action) = self.take(0) {
                self.succeed(&action);
            }
            let inits: Vec<_> = self
                .scene
                .runtime
                .as_ref()
                .unwrap()
                .containers
                .iter()
                .filter(|c| c.name.as_str().starts_with('i') && c.state == RuntimeState::Running)
                .map(|c| (c.id.clone(), c.name.clone()))
                .collect();
            let mut ended = false;
            for (id, name) in inits {
                let spec = self.scene.spec();
                let plain = spec
                    .init_containers
                    .iter()
                    .flatten()
                    .any(|c| name.as_str() == c.name && c.restart_policy.is_none());
                if plain {
                    self.exit(&id, 0);
                    ended = true;
                }
            }
            if !decision.actions.is_empty() || !self.scene.outcomes.is_empty() || ended {
                continue;
            }
            match decision.wake_at {
                Some(at) => self.scene.pass(at.mono.saturating_sub(self.scene.mono)),
                None => return self.at_rest(&decision),
            }
        }
        Err(TestCaseError::fail("never comes to rest"))
    }

    fn at_rest(&self, decision: &Decision) -> Result<(), TestCaseError> {
        let phase = phase(decision);
        prop_assert!(decision.next.in_flight().next().is_none());
        if self.scene.intent == Intent::Run {
            prop_assert!(matches!(phase, "Running" | "Succeeded" | "Failed"), "{phase}");
        } else {
            prop_assert!(decision.finished, "deleted and not finished");
            prop_assert_eq!(self.scene.runtime.as_ref().unwrap(), &RuntimePod::default());
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn rules_hold_and_it_comes_to_rest(scene in scene(), steps in prop::collection::vec(step(), 0..120)) {
        let mut run = Run { scene, flying: Vec::new(), last: None, changed: false };
        run.look()?;
        for step in steps {
            run.happen(step);
            run.look()?;
        }
        run.converge()?;
    }
}

impl std::fmt::Debug for Scene {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let spec = self.pod.spec.as_ref();
        let names = |list: &[Container]| list.iter().map(|c| c.name.clone()).collect::<Vec<_>>();
        f.debug_struct("Scene")
            .field("policy", &spec.and_then(|s| s.restart_policy.as_deref()))
            .field("inits", &spec.and_then(|s| s.init_containers.as_deref()).map(names))
            .field("containers", &spec.map(|s| names(&s.containers)))
            .finish()
    }
}
