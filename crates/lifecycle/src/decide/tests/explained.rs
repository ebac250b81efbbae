//! What is said of a pod that is stuck, on its way, or well.

use k8s_openapi::api::core::v1::{PodCondition, PodReadinessGate};

use super::*;
use crate::{
    Obstacle, PodKey,
    action::MissingObject,
    explain::{
        Actor, Block, BlockCause, BlockedStep, Explanation, Facts, Gate, Next, ProbeKind, ProbeNote,
        Standing, explain,
    },
    observation::ProbeResult,
    record::Stamp,
};

/// Beside the pod: what only some tests want to set.
#[derive(Default)]
struct Beside {
    probes: Vec<ProbeNote>,
    held_by: Option<PodKey>,
    finished: bool,
}

fn told(scene: &Scene) -> Explanation {
    told_beside(scene, &Beside::default())
}

fn told_beside(scene: &Scene, beside: &Beside) -> Explanation {
    let facts = Facts {
        pod: &scene.pod,
        source: scene.source,
        intent: &scene.intent,
        state: &scene.state,
        record: &scene.past,
        network: scene.network.as_ref().err().map(String::as_str),
        probes: &beside.probes,
        held_by: beside.held_by.as_ref(),
        finished: beside.finished,
    };
    explain(&facts, now(scene))
}

fn now(scene: &Scene) -> Tick {
    Tick { mono: scene.mono, wall: scene.wall }
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// How long ago, and in how long, in whole seconds.
fn times(scene: &Scene, block: &Block) -> (Option<u64>, Option<u64>) {
    let now = Stamp::from(now(scene));
    let next = block.next.1.map(|at| at.since(now).as_secs_f64().round() as u64);
    (block.since.map(|at| now.since(at).as_secs()), next)
}

fn only(told: &Explanation) -> &Block {
    assert_eq!(told.blocks.len(), 1, "{:#?}", told.blocks);
    &told.blocks[0]
}

/// Looks once, and answers every action but those that `fails` names with success.
fn round(scene: &mut Scene, fails: impl Fn(&Action) -> Option<Failure>) {
    let decision = scene.look();
    for action in &decision.actions {
        match fails(action) {
            Some(failure) => scene.answer(action, Err(failure)),
            None => scene.succeed(action),
        }
    }
}

/// Rounds until nothing is asked for any more.
fn stuck(scene: &mut Scene, fails: impl Fn(&Action) -> Option<Failure>) {
    for _ in 0..20 {
        round(scene, &fails);
    }
    scene.look();
}

#[test]
fn a_pod_that_runs_has_nothing_to_say() {
    let mut scene = Scene::new("Always", vec![], vec![container("c")]);
    scene.settle();
    let told = told(&scene);
    assert_eq!(told.standing, Standing::Ready);
    assert_eq!(told.blocks, []);
    assert_eq!(told.containers[0].state.to_string(), "running");
    assert_eq!(told.containers[0].waits_for, None);
}

#[test]
fn failed_steps_name_cause_actor_and_next_try() {
    let missing = |kind, name: &str, key: Option<&str>| {
        Obstacle::Objects(vec![MissingObject { kind, name: name.into(), key: key.map(str::to_owned) }])
    };
    type Fails = fn(&Action) -> bool;
    let image: Fails = |action| matches!(action, Action::EnsureImage { .. });
    let volumes: Fails = |action| matches!(action, Action::MountVolumes);
    let create: Fails = |action| matches!(action, Action::CreateContainer { .. });
    let start: Fails = |action| matches!(action, Action::StartContainer { .. });
    let sandbox: Fails = |action| matches!(action, Action::CreateSandbox { .. });
    let cgroup: Fails = |action| matches!(action, Action::EnsureCgroup);
    for (fails, step, obstacle, want_step, want_reason, want_actor) in [
        (
            image,
            FailureStep::ImagePull,
            Some(Obstacle::NoSuchImage),
            BlockedStep::Image,
            "ErrImagePull",
            "whoever owns the image: push \"image:1\", or correct its name in the pod",
        ),
        (
            image,
            FailureStep::ImagePull,
            None,
            BlockedStep::Image,
            "ErrImagePull",
            "the registry, or whoever can mend the way to it, its name or its credentials",
        ),
        (
            image,
            FailureStep::ImagePull,
            Some(Obstacle::ImageDenied),
            BlockedStep::Image,
            "ErrImagePull",
            "whoever owns the pull secrets: the registry refuses them",
        ),
        (
            image,
            FailureStep::ImagePull,
            Some(Obstacle::Runtime),
            BlockedStep::Image,
            "ErrImagePull",
            "the container runtime; its log tells more",
        ),
        (
            image,
            FailureStep::ImageName,
            Some(Obstacle::Spec),
            BlockedStep::Image,
            "InvalidImageName",
            "whoever wrote the pod: its spec, or what it refers to, has to change",
        ),
        (
            image,
            FailureStep::ImageNeverPull,
            None,
            BlockedStep::Image,
            "ErrImageNeverPull",
            "whoever owns the pod: load \"image:1\" onto the node, or let imagePullPolicy pull it",
        ),
        (
            image,
            FailureStep::RegistryUnavailable,
            None,
            BlockedStep::Image,
            "RegistryUnavailable",
            "the registry, or whoever can mend the way to it, its name or its credentials",
        ),
        (
            volumes,
            FailureStep::Volumes,
            Some(missing("configmap", "settings", None)),
            BlockedStep::Volumes,
            "FailedMount",
            "whoever owns the pod: create configmap \"settings\"",
        ),
        (
            volumes,
            FailureStep::Volumes,
            Some(Obstacle::ApiServer),
            BlockedStep::Volumes,
            "FailedMount",
            "the API server: it could not be asked",
        ),
        (
            volumes,
            FailureStep::Volumes,
            Some(Obstacle::Node),
            BlockedStep::Volumes,
            "FailedMount",
            "whoever looks after the node",
        ),
        (
            create,
            FailureStep::ContainerConfig,
            Some(missing("secret", "login", Some("password"))),
            BlockedStep::Creation,
            "CreateContainerConfigError",
            "whoever owns the pod: add key \"password\" to secret \"login\"",
        ),
        (
            create,
            FailureStep::ContainerCreate,
            None,
            BlockedStep::Creation,
            "CreateContainerError",
            "whoever wrote the pod, or the container runtime: the error tells which",
        ),
        (
            start,
            FailureStep::ContainerStart,
            None,
            BlockedStep::Start,
            "RunContainerError",
            "whoever wrote the pod, or the container runtime: the error tells which",
        ),
        (
            sandbox,
            FailureStep::Sandbox,
            None,
            BlockedStep::Sandbox,
            "FailedCreatePodSandBox",
            "the container runtime; its log tells more",
        ),
        (
            cgroup,
            FailureStep::Cgroup,
            None,
            BlockedStep::Cgroup,
            "FailedCreatePodContainer",
            "whoever looks after the node",
        ),
    ] {
        let mut scene = Scene::new("Always", vec![], vec![container("c")]);
        let failure = Failure::new(step, "these words").because_of(obstacle);
        stuck(&mut scene, |action| fails(action).then(|| failure.clone()));
        scene.pass(Duration::from_millis(300));
        scene.look();
        let told = told(&scene);
        let block = told
            .blocks
            .iter()
            .find(|block| block.step == want_step)
            .unwrap_or_else(|| panic!("{want_step:?}: {told:#?}"));
        assert_eq!(told.blocks[0].step, want_step);
        assert_eq!(block.cause.to_string(), format!("{want_reason}: these words"), "{want_step:?}");
        assert_eq!(block.actor.to_string(), want_actor, "{want_step:?}");
        assert_eq!(block.next.0, Next::Retry, "{want_step:?}");
        assert!(block.next.1.is_some_and(|at| at > Stamp::from(now(&scene))), "{want_step:?}");
        assert_eq!(times(&scene, block).0, Some(0));
        assert_eq!(told.containers[0].waits_for, Some(Gate::Step(want_step)));
        assert_eq!(told.standing, Standing::Starting);
    }
}

#[test]
fn a_failure_keeps_its_beginning_and_counts_its_tries() {
    let mut scene = Scene::new("Always", vec![], vec![container("c")]);
    let fails = |action: &Action| {
        matches!(action, Action::EnsureImage { .. })
            .then(|| Failure::new(FailureStep::ImagePull, "no").because_of(Some(Obstacle::NoSuchImage)))
    };
    stuck(&mut scene, fails);
    scene.pass(secs(10));
    // Due again: for a moment the second try is under way.
    let decision = scene.look();
    assert_eq!(brief(&decision.actions), ["image c"]);
    assert_eq!(only(&told(&scene)).next, (Next::Retrying, None));
    scene.answer(&decision.actions[0], Err(Failure::new(FailureStep::ImagePull, "still no")));
    scene.look();
    scene.pass(secs(5));
    let told = told(&scene);
    let block = only(&told);
    assert_eq!(times(&scene, block), (Some(15), Some(15)));
    let BlockCause::Failed { message, tries, .. } = &block.cause else { panic!("{block:?}") };
    assert_eq!((message.as_str(), *tries), ("still no", 2));
}

#[test]
fn steps_under_way_say_since_when_and_who_works() {
    let mut scene = Scene::new("Always", vec![], vec![container("c")]);
    scene.look();
    scene.pass(secs(3));
    let told = told(&scene);
    let steps: Vec<_> = told.blocks.iter().map(|block| block.step.clone()).collect();
    assert_eq!(steps, [BlockedStep::Directories, BlockedStep::Cgroup, BlockedStep::Image]);
    for block in &told.blocks {
        assert_eq!(block.cause, BlockCause::UnderWay { call: None });
        assert_eq!(block.actor, Actor::Kubelet);
        assert_eq!(times(&scene, block), (Some(3), None));
    }
    // A pull that the runtime has begun is the registry's turn.
    let id = scene.past.began(&Action::EnsureImage { container: "d".into() }, now(&scene));
    scene.past.call_began(id, "PullImage", now(&scene));
    scene.spec().containers.push(container("d"));
    scene.state.in_flight.insert(ActionKey::EnsureImage("d".into()));
    let told = super::explained::told(&scene);
    let pull =
        told.blocks.iter().find(|b| b.container.as_ref().is_some_and(|c| c.name.as_str() == "d")).unwrap();
    assert_eq!(pull.actor, Actor::Registry);
    assert_eq!(pull.cause.to_string(), "it is under way: the runtime works on PullImage");
}

#[test]
fn the_network_is_the_plugins_turn() {
    let mut scene = Scene::new("Always", vec![], vec![container("c")]);
    scene.network = Err("cni plugin not initialized".to_owned());
    stuck(&mut scene, |_| None);
    scene.pass(Duration::from_millis(2_500));
    scene.look();
    let told = told(&scene);
    let block = only(&told);
    assert_eq!(block.step, BlockedStep::Network);
    assert_eq!(block.actor, Actor::NetworkPlugin);
    assert_eq!(times(&scene, block), (Some(2), Some(1)), "since the first report, not the last");
    assert!(block.cause.to_string().contains("cni plugin not initialized"));
}

#[test]
fn a_crash_loop_is_the_programs_turn() {
    let mut scene = Scene::new("Always", vec![], vec![container("c")]);
    scene.settle();
    for _ in 0..2 {
        scene.pass(secs(2));
        scene.exit("c", 3);
        scene.settle();
    }
    scene.pass(secs(4));
    let told = told(&scene);
    let block = only(&told);
    assert_eq!(block.step, BlockedStep::Restart);
    assert_eq!(block.cause.to_string(), "CrashLoopBackOff: it ended with exit code 3 (Error); back-off 10s");
    assert_eq!(block.actor, Actor::Container("c".into()));
    assert_eq!(times(&scene, block), (Some(4), Some(6)));
    assert_eq!(told.containers[0].state.to_string(), "waiting: CrashLoopBackOff");
    assert_eq!(told.containers[0].restarts, 1);
}

#[test]
fn containers_wait_for_those_before_them() {
    let mut scene = Scene::new(
        "Always",
        vec![container("first"), Container { startup_probe: Some(probe(None)), ..sidecar("side") }],
        vec![container("c")],
    );
    scene.settle();
    scene.pass(secs(7));
    let told = told(&scene);
    let block = only(&told);
    assert_eq!(block.step, BlockedStep::InitContainer);
    assert_eq!(block.actor, Actor::Container("first".into()));
    assert_eq!(times(&scene, block), (Some(7), None));
    let waits: Vec<_> = told.containers.iter().map(|row| row.waits_for.clone()).collect();
    let init = Some(Gate::Container("first".into()));
    assert_eq!(waits, [Some(Gate::Step(BlockedStep::InitContainer)), init.clone(), init]);
    // Then for the sidecar, whose startup probe has to succeed.
    scene.exit("first", 0);
    scene.settle();
    let note = ProbeNote {
        container: "side".into(),
        kind: ProbeKind::Startup,
        result: None,
        row: Some((false, 2)),
        failure_threshold: 3,
        success_threshold: 1,
        next: Some(Stamp::from(now(&scene)).after(secs(4))),
        last_failure: Some((Stamp::from(now(&scene)), "connection refused".to_owned())),
    };
    let beside = Beside { probes: vec![note], ..Beside::default() };
    let told = told_beside(&scene, &beside);
    let block = only(&told);
    assert_eq!(block.step, BlockedStep::StartupProbe);
    assert_eq!(block.cause.to_string(), "2 failures in a row (3 count), last: connection refused");
    assert_eq!(times(&scene, block).1, Some(4));
    assert!(told.containers[1].sidecar);
    assert_eq!(told.containers[2].waits_for, Some(Gate::Container("side".into())));
}

#[test]
fn an_unready_pod_names_probe_and_gate() {
    let mut scene = Scene::new(
        "Always",
        vec![],
        vec![Container { readiness_probe: Some(probe(None)), ..container("c") }],
    );
    scene.spec().readiness_gates = Some(vec![PodReadinessGate { condition_type: "example/lb".to_owned() }]);
    scene.settle();
    let told = told(&scene);
    assert_eq!(told.standing, Standing::NotReady);
    let steps: Vec<_> =
        told.blocks.iter().map(|block| (block.step.clone(), block.cause.to_string())).collect();
    assert_eq!(
        steps,
        [
            (BlockedStep::ReadinessProbe, "it has not run yet".to_owned()),
            (BlockedStep::ReadinessGate, "condition example/lb of the pod is not True".to_owned()),
        ]
    );
    // Both are passed.
    let id = scene.record("c").id.clone();
    let result = ProbeResult { id, started: None, ready: Some(true) };
    scene.probes.containers.insert("c".into(), result);
    scene.pod.status.as_mut().unwrap().conditions = Some(vec![PodCondition {
        type_: "example/lb".to_owned(),
        status: "True".to_owned(),
        ..PodCondition::default()
    }]);
    scene.look();
    let told = super::explained::told(&scene);
    assert_eq!((told.standing, told.blocks), (Standing::Ready, vec![]));
}

#[test]
fn a_post_start_hook_is_the_containers_turn_and_holds_back_the_next() {
    let mut scene = Scene::new("Always", vec![], vec![with_hook("a"), container("b")]);
    // Everything but the hook is answered; the start itself has taken effect.
    for _ in 0..10 {
        let decision = scene.look();
        for action in &decision.actions {
            if let Action::StartContainer { .. } = action {
                let done = scene.effect(action);
                assert_eq!(done, Done::Plain);
            } else {
                scene.succeed(action);
            }
        }
    }
    let told = told(&scene);
    let block = only(&told);
    assert_eq!(block.step, BlockedStep::Hook);
    assert_eq!(told.containers[1].waits_for, Some(Gate::Container("a".into())));
}

#[test]
fn a_silent_runtime_comes_first() {
    let mut scene = Scene::new("Always", vec![], vec![container("c")]);
    scene.settle();
    scene.runtime = Err("no answer".to_owned());
    scene.look();
    scene.pass(secs(2));
    scene.look();
    let told = told(&scene);
    let block = only(&told);
    assert_eq!(block.step, BlockedStep::Inspection);
    assert_eq!(block.cause.to_string(), "FailedSync: no answer");
    assert_eq!(block.actor, Actor::Runtime);
    assert_eq!(times(&scene, block), (Some(2), Some(2)));
    // A look that does not come back is told from its age on.
    let id = scene.past.inspecting(now(&scene));
    scene.past.call_began(id, "ListContainers", now(&scene));
    scene.pass(secs(40));
    let told = super::explained::told(&scene);
    let block = only(&told);
    assert_eq!(block.cause, BlockCause::UnderWay { call: Some("ListContainers") });
    assert_eq!(times(&scene, block).0, Some(40));
}

#[test]
fn a_pod_that_stops_names_whose_grace_it_is() {
    let mut scene = Scene::new("Always", vec![sidecar("side")], vec![container("c")]);
    scene.settle();
    scene.intent = Intent::Delete { grace: secs(30) };
    let stop = scene.look().actions;
    assert_eq!(brief(&stop), ["stop c 30"]);
    scene.pass(secs(10));
    let told = told(&scene);
    assert_eq!(told.standing.to_string(), "stopping: the pod is being deleted");
    let block = only(&told);
    assert_eq!(block.step, BlockedStep::Stop);
    assert_eq!(block.actor, Actor::Container("c".into()));
    assert_eq!((block.next.0, times(&scene, block)), (Next::Kill, (Some(10), Some(20))));
    assert_eq!(told.containers[0].waits_for, Some(Gate::Others));
    // Long after the end of the grace period it is no longer the program's fault.
    scene.pass(secs(60));
    assert_eq!(only(&super::explained::told(&scene)).actor, Actor::Runtime);
    // A stop that fails says so, also for which container.
    scene.answer(&stop[0], Err(Failure::new(FailureStep::Teardown, "shim is gone")));
    scene.look();
    let told = super::explained::told(&scene);
    let failed = told.blocks.iter().find(|block| matches!(block.cause, BlockCause::Failed { .. })).unwrap();
    assert_eq!(failed.cause.to_string(), "FailedKillPod: shim is gone");
    assert_eq!(failed.container.as_ref().map(|c| c.name.as_str()), Some("c"));
}

#[test]
fn ends_and_leftovers() {
    let mut scene = Scene::new("Never", vec![], vec![container("c")]);
    scene.settle();
    scene.exit("c", 0);
    scene.settle();
    let ended = told(&scene);
    assert_eq!(ended.standing.to_string(), "ended: nothing of the pod is left to run");
    assert_eq!(ended.blocks, []);
    assert_eq!(ended.containers[0].state.to_string(), "ended: 0 Completed");
    // Its removal hangs on a mount.
    let mut scene = Scene::new("Always", vec![], vec![container("c")]);
    scene.settle();
    scene.intent = Intent::Delete { grace: secs(1) };
    stuck(&mut scene, |action| {
        matches!(action, Action::UnmountVolumes).then(|| Failure::new(FailureStep::Teardown, "busy"))
    });
    let told = super::explained::told(&scene);
    let block = only(&told);
    assert_eq!(
        (block.step.clone(), block.cause.to_string()),
        (BlockedStep::Volumes, "FailedKillPod: busy".to_owned())
    );
    let gone = Beside { finished: true, ..Beside::default() };
    assert_eq!(told_beside(&scene, &gone).standing, Standing::Gone);
}

#[test]
fn rejected_and_held_pods() {
    let mut scene = Scene::new("Always", vec![], vec![container("c")]);
    scene.admission = Admission::Rejected { reason: "OutOfcpu".into(), message: "too little".into() };
    scene.settle();
    assert_eq!(told(&scene).standing.to_string(), "ended: rejected, OutOfcpu: too little");
    let scene = Scene::new("Always", vec![], vec![container("c")]);
    let other = PodKey { namespace: "ns".into(), name: "p".into(), uid: "old".into() };
    let held = told_beside(&scene, &Beside { held_by: Some(other), ..Beside::default() });
    assert_eq!(only(&held).cause.to_string(), "p_ns(old) has not gone yet");
}
