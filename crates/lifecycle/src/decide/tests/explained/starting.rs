//! A pod that does not get up: which step holds it, since when, and whose turn it is.

use super::*;

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
    let told = told_around(&scene, &Around { beside, ..Around::default() });
    let block = only(&told);
    assert_eq!(block.step, BlockedStep::StartupProbe);
    assert_eq!(block.cause.to_string(), "2 failures in a row (3 count), last: connection refused");
    assert_eq!(times(&scene, block).1, Some(4));
    assert!(told.containers[1].sidecar);
    assert_eq!(told.containers[2].waits_for, Some(Gate::Container("side".into())));
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
