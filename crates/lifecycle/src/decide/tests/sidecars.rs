//! Sidecars: order of start and stop, hooks, grace.

use k8s_openapi::api::core::v1::SleepAction;

use super::*;

fn with_pre_stop(container: Container) -> Container {
    let handler = LifecycleHandler { sleep: Some(SleepAction { seconds: 5 }), ..LifecycleHandler::default() };
    Container { lifecycle: Some(Lifecycle { pre_stop: Some(handler), ..Lifecycle::default() }), ..container }
}

fn delete(scene: &mut Scene, grace: u64) {
    scene.intent = Intent::Delete { grace: secs(grace) };
    scene.pod.metadata.deletion_timestamp = Some(time(scene.wall));
}

#[test]
fn hooks_of_sidecars_do_not_wait_for_their_turn() {
    let inits = vec![with_pre_stop(sidecar("s")), sidecar("t")];
    let mut scene = Scene::new("Always", inits, vec![with_pre_stop(container("c"))]);
    scene.settle();
    delete(&mut scene, 30);
    let first = scene.look();
    assert_eq!(brief(&first.actions), ["stop c 30", "hook s 30"]);
    let mut told = events(&first);
    told.sort();
    assert_eq!(told, ["c", "s", "t"].map(|name| ("Killing", format!("Stopping container {name}"))));
    assert!(matches!(&first.actions[0], Action::StopContainer { run_pre_stop: true, .. }));
    scene.pass(secs(5));
    scene.succeed(&first.actions[1]);
    assert!(scene.look().actions.is_empty(), "s waits for c and t");
    scene.pass(secs(3));
    scene.succeed(&first.actions[0]);
    let second = scene.look();
    assert_eq!(brief(&second.actions), ["stop t 22"]);
    assert!(events(&second).is_empty(), "told before");
    scene.succeed(&second.actions[0]);
    let third = scene.look();
    assert_eq!(brief(&third.actions), ["stop s 22"]);
    assert!(matches!(&third.actions[0], Action::StopContainer { run_pre_stop: false, .. }), "ran before");
}

#[test]
fn a_turn_waits_for_the_own_hook_but_not_beyond_the_grace() {
    let mut scene = Scene::new("Always", vec![with_pre_stop(sidecar("s"))], vec![container("c")]);
    scene.settle();
    delete(&mut scene, 10);
    let first = scene.look();
    scene.succeed(&first.actions[0]);
    let waits = scene.look();
    assert!(waits.actions.is_empty());
    assert_eq!(waits.wake_at.unwrap().mono, scene.mono + secs(10));
    scene.pass(secs(10));
    assert_eq!(brief(&scene.look().actions), ["stop s 0"]);
    // A hook that fails is told of, and no reason not to stop.
    let mut scene = Scene::new("Always", vec![with_pre_stop(sidecar("s"))], vec![container("c")]);
    scene.settle();
    delete(&mut scene, 10);
    let first = scene.look();
    scene.fail(&first.actions[1], FailureStep::PreStopHook, "exit 1");
    scene.succeed(&first.actions[0]);
    let second = scene.look();
    assert_eq!(events(&second), [("FailedPreStopHook", "PreStopHook failed".to_owned())]);
    assert_eq!(brief(&second.actions), ["stop s 10"]);
}

#[test]
fn sidecars_wait_for_regular_containers_and_later_sidecars_only() {
    // An init container still runs: the sidecar before it does not wait for it.
    let mut scene = Scene::new("Always", vec![sidecar("s"), container("i")], vec![container("c")]);
    scene.settle();
    assert_eq!(scene.record("i").state, RuntimeState::Running);
    delete(&mut scene, 30);
    let mut stops = brief(&scene.look().actions);
    stops.sort();
    assert_eq!(stops, ["stop i 30", "stop s 30"]);
}

#[test]
fn a_hook_runs_once_however_often_the_stop_is_tried() {
    let mut scene = Scene::new("Always", vec![], vec![with_pre_stop(container("c"))]);
    scene.settle();
    delete(&mut scene, 30);
    let stop = scene.look().actions[0].clone();
    assert!(matches!(stop, Action::StopContainer { run_pre_stop: true, .. }));
    scene.fail(&stop, FailureStep::Teardown, "hung");
    scene.look();
    scene.pass(secs(1));
    let again = scene.look().actions;
    assert!(matches!(&again[0], Action::StopContainer { run_pre_stop: false, .. }), "{again:?}");
}

#[test]
fn the_grace_period_does_not_run_while_nobody_can_be_told() {
    let mut scene = Scene::new("Always", vec![], vec![with_pre_stop(container("c"))]);
    scene.settle();
    let runtime = std::mem::replace(&mut scene.runtime, Err("no answer".to_owned()));
    delete(&mut scene, 30);
    assert!(scene.look().actions.is_empty());
    scene.pass(secs(60));
    assert!(scene.look().actions.is_empty());
    scene.runtime = runtime;
    let whole = |actions: &[Action]| {
        assert_eq!(brief(actions), ["stop c 30"]);
        assert!(matches!(actions[0], Action::StopContainer { run_pre_stop: true, .. }), "{actions:?}");
        actions[0].clone()
    };
    let stop = whole(&scene.look().actions);
    // The runtime goes away again: how far the hook came, and whether the container was told, nobody knows.
    scene.pass(secs(20));
    let away = Failure::new(FailureStep::Teardown, "connection refused").because_of(Some(Obstacle::Runtime));
    scene.answer(&stop, Err(away));
    assert!(scene.look().actions.is_empty());
    scene.pass(secs(1));
    let stop = whole(&scene.look().actions);
    // What it says itself is an answer, and the time goes on.
    scene.fail(&stop, FailureStep::Teardown, "device is busy");
    scene.look();
    scene.pass(secs(10));
    let actions = scene.look().actions;
    assert_eq!(brief(&actions), ["stop c 20"]);
    assert!(matches!(actions[0], Action::StopContainer { run_pre_stop: false, .. }), "{actions:?}");
}

#[test]
fn a_shorter_grace_period_counts_before_it_has_begun() {
    let mut scene = Scene::new("Always", vec![], vec![container("c")]);
    scene.settle();
    let runtime = std::mem::replace(&mut scene.runtime, Err("no answer".to_owned()));
    delete(&mut scene, 30);
    scene.look();
    delete(&mut scene, 5);
    scene.look();
    scene.pass(secs(60));
    scene.runtime = runtime;
    assert_eq!(brief(&scene.look().actions), ["stop c 5"]);
}

#[test]
fn a_sidecar_that_died_is_restarted_while_the_rest_runs_and_not_once_it_is_over() {
    let mut scene = Scene::new("Never", vec![sidecar("s")], vec![container("c")]);
    scene.settle();
    scene.exit("s", 1);
    let decision = scene.look();
    assert_eq!(phase(&decision), "Running");
    for action in &decision.actions {
        scene.succeed(action);
    }
    assert!(brief(&scene.settle()).contains(&"create s 1".to_owned()));
    scene.exit("c", 0);
    let actions = brief(&scene.settle());
    assert_eq!(actions[0], "stop s 30");
    let ended = scene.look();
    assert_eq!(phase(&ended), "Succeeded", "the sidecar's end does not count");
    // Restarted, it backs off like any other container.
    let mut scene = Scene::new("Never", vec![sidecar("s")], vec![container("c")]);
    scene.settle();
    for _ in 0..2 {
        scene.exit("s", 1);
        scene.settle();
    }
    let decision = scene.look();
    assert_eq!(waiting(&decision, "s").0, "CrashLoopBackOff");
    assert_eq!(phase(&decision), "Running");
    let ready = decision.status.conditions.iter().flatten().find(|c| c.type_ == "Ready").unwrap();
    assert_eq!(ready.message.as_deref(), Some("containers with unready status: [s]"));
}

#[test]
fn definition_and_probes_of_sidecars() {
    let probed = || Container { liveness_probe: Some(probe(Some(4))), ..sidecar("s") };
    let mut scene = Scene::new("Never", vec![probed()], vec![container("c")]);
    scene.settle();
    scene.probes = failing(&scene.record("s").clone(), FatalProbe::Liveness);
    let decision = scene.look();
    assert_eq!(brief(&decision.actions), ["stop s 4"]);
    assert_eq!(events(&decision), [("Killing", "Init container s failed liveness probe".to_owned())]);
    scene.succeed(&decision.actions[0]);
    scene.probes = ProbeResults::default();
    assert!(brief(&scene.settle()).contains(&"create s 1".to_owned()));
    scene.spec().init_containers.as_mut().unwrap()[0].image = Some("image:2".to_owned());
    let decision = scene.look();
    assert_eq!(events(&decision), [("Killing", "Init container s definition changed".to_owned())]);
    // A startup probe that failed for good.
    let slow = Container { startup_probe: Some(probe(Some(3))), ..sidecar("s") };
    let mut scene = Scene::new("Never", vec![slow], vec![container("c")]);
    scene.settle();
    scene.probes = failing(&scene.record("s").clone(), FatalProbe::Startup);
    let decision = scene.look();
    assert_eq!(brief(&decision.actions), ["stop s 3"]);
    assert_eq!(events(&decision), [("Killing", "Init container s failed startup probe".to_owned())]);
}

#[test]
fn the_hook_of_a_sidecar_holds_back_the_next() {
    let hooked = Container { lifecycle: with_hook("s").lifecycle, ..sidecar("s") };
    let mut scene = Scene::new("Always", vec![hooked, container("i")], vec![container("c")]);
    let start = scene.until_start();
    scene.effect(&start);
    let held = scene.look();
    assert!(held.actions.is_empty(), "{:?}", held.actions);
    assert_eq!(waiting(&held, "s"), ("PodInitializing", ""), "not shown before its hook is done");
    scene.answer(&start, Ok(Done::Plain));
    assert_eq!(brief(&scene.look().actions), ["image i"]);
}

#[test]
fn a_startup_probe_that_failed_ends_it_even_when_its_image_was_changed_meanwhile() {
    let slow = Container { startup_probe: Some(probe(None)), ..sidecar("s") };
    let mut scene = Scene::new("Always", vec![slow], vec![container("c")]);
    scene.settle();
    scene.spec().init_containers.as_mut().unwrap()[0].image = Some("image:2".to_owned());
    assert!(scene.look().actions.is_empty(), "it has not started yet");
    scene.probes = failing(&scene.record("s").clone(), FatalProbe::Startup);
    assert_eq!(brief(&scene.look().actions), ["stop s 30"]);
}

#[test]
fn they_make_way_for_a_new_sandbox_in_the_order_of_an_end() {
    let inits = vec![with_pre_stop(sidecar("s")), sidecar("t")];
    let mut scene = Scene::new("OnFailure", inits, vec![container("c")]);
    scene.settle();
    scene.runtime.as_mut().unwrap().sandboxes[0].without_address = true;
    let first = scene.look();
    let stops: Vec<_> = brief(&first.actions)
        .into_iter()
        .filter(|a| a.starts_with("stop") || a.starts_with("hook"))
        .collect();
    assert_eq!(stops, ["stop c 30", "hook s 30"]);
    let mut told = events(&first);
    told.retain(|(reason, _)| *reason == "Killing");
    told.sort();
    assert_eq!(told, ["c", "s", "t"].map(|name| ("Killing", format!("Stopping container {name}"))));
    first
        .actions
        .iter()
        .filter(|a| !brief(&[(*a).clone()])[0].starts_with("stop"))
        .for_each(|a| scene.succeed(a));
    scene.pass(secs(8));
    assert!(!brief(&scene.look().actions).iter().any(|a| a.starts_with("stop")), "they wait for c");
    let stop = first.actions.iter().find(|a| brief(&[(*a).clone()])[0] == "stop c 30").unwrap();
    scene.succeed(stop);
    scene.exit("c", 0);
    let second = scene.look();
    assert_eq!(brief(&second.actions), ["stop t 22"], "they share the grace period");
    scene.succeed(&second.actions[0]);
    let third = scene.look();
    assert_eq!(brief(&third.actions), ["stop s 22"]);
    scene.succeed(&third.actions[0]);
    let rest = brief(&scene.settle());
    assert!(
        ["sandbox 1", "create s 1", "create t 1"].iter().all(|a| rest.contains(&(*a).to_owned())),
        "{rest:?}"
    );
    assert!(rest.contains(&"create c 1".to_owned()), "it was promised, though it ended well: {rest:?}");
    assert!(events(&scene.look()).is_empty());
}

#[test]
fn a_sidecar_that_its_probe_killed_starts_at_once_as_a_regular_container_does() {
    let probed = |container: Container| Container { liveness_probe: Some(probe(None)), ..container };
    for name in ["s", "c"] {
        let mut scene = Scene::new("Always", vec![probed(sidecar("s"))], vec![probed(container("c"))]);
        scene.settle();
        for attempt in 1..=4 {
            scene.pass(secs(30));
            scene.probes = failing(&scene.record(name).clone(), FatalProbe::Liveness);
            scene.settle_one();
            scene.probes = ProbeResults::default();
            let actions = brief(&scene.settle());
            assert!(actions.contains(&format!("create {name} {attempt}")), "{name} {attempt}: {actions:?}");
        }
        // The run before it is not as long ago as the back-off is long by now.
        scene.pass(secs(30));
        scene.probes = failing(&scene.record(name).clone(), FatalProbe::Liveness);
        scene.settle_one();
        scene.probes = ProbeResults::default();
        assert!(!brief(&scene.settle()).contains(&format!("create {name} 5")));
        let waits = scene.look();
        assert_eq!(waiting(&waits, name).0, "CrashLoopBackOff");
        assert_eq!(waits.wake_at.unwrap().mono, scene.mono + secs(40), "from the end of the killed one");
    }
}

#[test]
fn what_was_made_stays_while_an_earlier_sidecar_starts_again() {
    for later in ["t", "c"] {
        let mut scene = Scene::new("Always", vec![sidecar("s"), sidecar("t")], vec![container("c")]);
        loop {
            let actions = scene.look().actions;
            let (start, others): (Vec<_>, Vec<_>) = actions.into_iter().partition(
                |a| matches!(a, Action::StartContainer { container, .. } if container.as_str() == later),
            );
            others.iter().for_each(|action| scene.succeed(action));
            if let Some(start) = start.first() {
                // The start is lost with the process that asked for it.
                scene.state = PodState::default();
                assert_eq!(start.key(), ActionKey::StartContainer(scene.record(later).id.clone()));
                break;
            }
        }
        let made = scene.record(later).id.clone();
        scene.exit("s", 1);
        let all = brief(&scene.settle());
        assert!(!all.iter().any(|action| action.starts_with("remove")), "{all:?}");
        assert_eq!(scene.record(later).id, made);
        assert_eq!(scene.record(later).state, RuntimeState::Running);
        let order: Vec<_> = all.iter().filter(|action| action.starts_with("start ")).take(2).collect();
        // For a regular container it is enough that all sidecars have started once.
        assert!(later == "c" || order == ["start s", "start t"], "{order:?}");
    }
}
