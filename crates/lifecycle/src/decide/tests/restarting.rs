//! Restarting: when, with which attempt, and what is kept of the instances before.

use super::*;
use crate::status::keep_ends;

#[test]
fn crash_loop_doubles_from_the_end_of_the_run() {
    let mut scene = Scene::new("Always", vec![], vec![container("c")]);
    scene.settle();
    scene.pass(secs(5));
    scene.exit("c", 1);
    assert!(brief(&scene.settle()).contains(&"create c 1".to_owned()), "the first restart is immediate");
    for (attempt, (delay, text)) in
        [(10, "10s"), (20, "20s"), (40, "40s"), (80, "1m20s"), (160, "2m40s"), (300, "5m0s"), (300, "5m0s")]
            .into_iter()
            .enumerate()
    {
        scene.pass(secs(5));
        scene.exit("c", 1);
        scene.pass(secs(3));
        let decision = scene.look();
        assert!(!brief(&decision.actions).iter().any(|a| a.starts_with("image")), "{:?}", decision.actions);
        let message = format!("back-off {text} restarting failed container=c pod=p_ns(u)");
        assert_eq!(waiting(&decision, "c"), ("CrashLoopBackOff", message.as_str()));
        assert_eq!(
            events(&decision),
            [("BackOff", "Back-off restarting failed container c in pod p_ns(u)".to_owned())]
        );
        let last = decision.status.container_statuses.as_ref().unwrap()[0].last_state.as_ref().unwrap();
        assert_eq!(last.terminated.as_ref().unwrap().exit_code, 1);
        assert_eq!(phase(&decision), "Running");
        let wake = decision.wake_at.unwrap().mono;
        assert_eq!(wake, scene.mono + secs(delay - 3), "measured from the end of the run");
        for action in &decision.actions {
            scene.succeed(action);
        }
        // Nothing new before that instant.
        scene.pass(wake - scene.mono - Duration::from_millis(1));
        let early = scene.look();
        assert!(early.actions.is_empty());
        // A long wait is told again, no more often than once a minute.
        assert_eq!(events(&early).len(), usize::from(delay - 3 > 60));
        assert!(events(&scene.look()).is_empty());
        scene.pass(Duration::from_millis(1));
        assert!(brief(&scene.settle()).contains(&format!("create c {}", attempt + 2)));
    }
    // Ten minutes of work forget the past.
    scene.pass(secs(601));
    scene.exit("c", 1);
    assert!(brief(&scene.settle()).iter().any(|a| a.starts_with("create c")));
}

#[test]
fn clock_jumps_neither_wedge_nor_storm() {
    let mut scene = Scene::new("Always", vec![], vec![container("c")]);
    scene.settle();
    scene.exit("c", 1);
    scene.settle();
    // Back by a year, then an exit: the wait is what it would have been.
    scene.wall = scene.wall.checked_sub(SignedDuration::from_hours(24 * 365)).unwrap();
    scene.exit("c", 1);
    let decision = scene.look();
    assert_eq!(decision.wake_at.unwrap().mono, scene.mono + secs(10));
    scene.pass(secs(10));
    scene.settle();
    // Forward by a year between end and look: the wait is not skipped.
    scene.pass(secs(1));
    scene.exit("c", 1);
    scene.wall = scene.wall.checked_add(SignedDuration::from_hours(24 * 365)).unwrap();
    scene.pass(secs(1));
    let decision = scene.look();
    assert_eq!(decision.wake_at.unwrap().mono, scene.mono + secs(18));
}

#[test]
fn changed_definition_restarts_whatever_the_policy() {
    let mut scene = Scene::new("Never", vec![], vec![container("c"), container("d")]);
    scene.settle();
    scene.spec().containers[0].image = Some("image:2".to_owned());
    let decision = scene.look();
    assert_eq!(brief(&decision.actions), ["stop c 30"]);
    assert_eq!(
        events(&decision),
        [("Killing", "Container c definition changed, will be restarted".to_owned())]
    );
    scene.succeed(&decision.actions[0]);
    let rest = scene.settle();
    assert!(brief(&rest).contains(&"create c 1".to_owned()), "{rest:?}");
    assert_eq!(scene.look().status.container_statuses.unwrap()[0].restart_count, 1);
}

#[test]
fn what_was_made_after_an_end_that_stands_does_not_start() {
    let mut scene = Scene::new("Never", vec![], vec![container("c"), container("d")]);
    scene.settle();
    scene.spec().containers[0].image = Some("image:2".to_owned());
    let kill = scene.look().actions[0].clone();
    scene.succeed(&kill);
    let creation = loop {
        let actions = scene.look().actions;
        match actions.iter().find(|action| matches!(action, Action::CreateContainer { .. })) {
            Some(creation) => break creation.clone(),
            None => actions.iter().for_each(|action| scene.succeed(action)),
        }
    };
    // The kubelet dies in the middle of it, and the next one looks before the runtime is done.
    scene.restart();
    scene.settle();
    let status = |scene: &mut Scene| scene.look().status.container_statuses.unwrap()[0].clone();
    let told = status(&mut scene);
    assert!(told.state.as_ref().unwrap().terminated.is_some(), "{told:?}");
    scene.succeed(&creation);
    let rest = brief(&scene.settle());
    assert!(!rest.iter().any(|action| action.starts_with("start c")), "{rest:?}");
    assert!(rest.contains(&"remove container".to_owned()), "{rest:?}");
    assert_eq!(status(&mut scene), told);
}

#[test]
fn failed_liveness_probe_kills_with_its_own_grace() {
    let mut scene = Scene::new(
        "OnFailure",
        vec![],
        vec![Container { liveness_probe: Some(probe(Some(7))), ..container("c") }],
    );
    scene.settle();
    scene.probes = failing(&scene.record("c").clone(), FatalProbe::Liveness);
    let decision = scene.look();
    assert_eq!(brief(&decision.actions), ["stop c 7"]);
    assert_eq!(
        events(&decision),
        [("Killing", "Container c failed liveness probe, will be restarted".to_owned())]
    );
    // It ends with 0, which OnFailure would let stand: the promise counts.
    scene.exit("c", 0);
    scene.answer(&decision.actions[0], Ok(Done::Plain));
    assert!(brief(&scene.settle()).contains(&"create c 1".to_owned()));
}

#[test]
fn an_end_that_would_be_for_good_is_not_told_of_one_that_is_made_anew() {
    // The API server takes no container back that ended for good.
    let probed = Container { liveness_probe: Some(probe(Some(7))), ..container("c") };
    let mut scene = Scene::new("OnFailure", vec![], vec![probed]);
    scene.settle();
    scene.probes = failing(&scene.record("c").clone(), FatalProbe::Liveness);
    let kill = scene.look().actions[0].clone();
    scene.exit("c", 0);
    scene.answer(&kill, Ok(Done::Plain));
    scene.probes = ProbeResults::default();
    loop {
        let decision = scene.look();
        let status = &decision.status.container_statuses.as_ref().unwrap()[0];
        let state = status.state.as_ref().unwrap();
        assert!(state.running.is_some(), "{state:?}");
        assert_eq!(phase(&decision), "Running");
        if status.restart_count == 1 && status.ready {
            let last = status.last_state.as_ref().unwrap().terminated.as_ref().unwrap();
            assert_eq!((last.exit_code, last.reason.as_deref()), (0, Some("Completed")));
            break;
        }
        assert!(!status.ready);
        let ready = decision.status.conditions.as_ref().unwrap().iter().find(|c| c.type_ == "Ready").unwrap();
        assert_eq!((ready.status.as_str(), ready.reason.as_deref()), ("False", Some("ContainersNotReady")));
        decision.actions.iter().for_each(|action| scene.succeed(action));
    }
}

#[test]
fn an_init_container_that_runs_once_more_is_told_of_when_it_has_ended_again() {
    let mut scene = Scene::new("OnFailure", vec![container("i")], vec![container("c")]);
    scene.settle();
    scene.exit("i", 0);
    scene.settle_one();
    // The sandbox is lost, and the API would not have it that `i` runs again.
    scene.runtime.as_mut().unwrap().sandboxes[0].ready = false;
    let end = |decision: &Decision| {
        let status = decision.status.init_container_statuses.as_ref().unwrap()[0].clone();
        status.state.unwrap().terminated.map(|ended| ended.exit_code)
    };
    scene.settle();
    assert_eq!((scene.record("i").state, scene.record("i").attempt), (RuntimeState::Running, 1));
    assert_eq!(end(&scene.look()), Some(0));
    scene.exit("i", 3);
    let failed = scene.look();
    assert_eq!(end(&failed), Some(3));
    failed.actions.iter().for_each(|action| scene.succeed(action));
    // What follows an end that is not for good may be told.
    scene.settle_one();
    scene.pass(secs(60));
    scene.settle();
    let again = scene.look();
    assert_eq!((scene.record("i").state, end(&again)), (RuntimeState::Running, None));
    // The API may have missed what was in between.
    let mut late = again.status;
    keep_ends(scene.pod.spec.as_ref().unwrap(), &failed.status, &mut late);
    assert!(late.init_container_statuses.as_ref().unwrap()[0].state.as_ref().unwrap().running.is_some());
    let mut before = failed.status.clone();
    let known = &mut before.init_container_statuses.as_mut().unwrap()[0];
    known.state.as_mut().unwrap().terminated.as_mut().unwrap().exit_code = 0;
    keep_ends(scene.pod.spec.as_ref().unwrap(), &before, &mut late);
    assert_eq!(late.init_container_statuses, before.init_container_statuses);
}

#[test]
fn a_probe_that_fails_the_last_container_for_good_ends_the_pod_in_the_pods_own_time() {
    let probed = Container { liveness_probe: Some(probe(Some(7))), ..container("c") };
    let mut scene = Scene::new("Never", vec![sidecar("s")], vec![probed]);
    scene.spec().termination_grace_period_seconds = Some(60);
    scene.settle_with_inits();
    scene.probes = failing(&scene.record("c").clone(), FatalProbe::Liveness);
    let decision = scene.look();
    let stops: Vec<_> = brief(&decision.actions).into_iter().filter(|a| a.starts_with("stop")).collect();
    assert_eq!(stops, ["stop c 60"]);
    // Its end takes from the time that the sidecar has.
    scene.pass(secs(20));
    scene.exit("c", 137);
    scene.answer(&decision.actions[0], Ok(Done::Plain));
    assert!(brief(&scene.look().actions).contains(&"stop s 40".to_owned()));
}

#[test]
fn lost_sandbox_is_replaced_and_everything_starts_over() {
    let mut scene = Scene::new("Always", vec![container("i")], vec![container("c")]);
    let started = scene.settle_with_inits();
    assert_eq!(started, ["create i 0", "start i", "create c 0", "start c"]);
    scene.runtime.as_mut().unwrap().sandboxes[0].ready = false;
    scene.exit("c", 137);
    let decision = scene.look();
    assert_eq!(
        events(&decision),
        [("SandboxChanged", "Pod sandbox changed, it will be killed and re-created.".to_owned())]
    );
    assert!(brief(&decision.actions).contains(&"stop sandbox".to_owned()));
    for action in &decision.actions {
        scene.succeed(action);
    }
    assert_eq!(scene.settle_with_inits(), ["sandbox 1", "create i 1", "start i", "create c 1", "start c"]);
}

#[test]
fn without_records_the_last_report_bounds_the_attempt() {
    let mut scene = Scene::new("Always", vec![], vec![container("c")]);
    scene.settle();
    for _ in 0..2 {
        scene.exit("c", 1);
        scene.pass(secs(400));
        scene.settle();
        scene.pass(secs(400));
    }
    scene.restart();
    scene.runtime = Ok(RuntimePod::default());
    scene.logged.insert(ContainerName::from("c"), 2);
    let lost = scene.look();
    let status = &lost.status.container_statuses.as_ref().unwrap()[0];
    assert_eq!(status.restart_count, 2);
    let last = status.last_state.as_ref().unwrap().terminated.as_ref().unwrap();
    assert_eq!(last.exit_code, 1, "the end that is known stands");
    for action in &lost.actions {
        scene.succeed(action);
    }
    assert!(brief(&scene.settle()).contains(&"create c 3".to_owned()));
    assert_eq!(scene.look().status.container_statuses.unwrap()[0].restart_count, 3);
    // The first that is lost has no end but the unknown one.
    let mut scene = Scene::new("Always", vec![], vec![container("c")]);
    scene.settle();
    scene.restart();
    scene.runtime = Ok(RuntimePod::default());
    let status = scene.look().status.container_statuses.unwrap().remove(0);
    let last = status.last_state.as_ref().unwrap().terminated.as_ref().unwrap();
    assert_eq!((last.exit_code, last.reason.as_deref()), (137, Some("ContainerStatusUnknown")));
    assert_eq!(status.restart_count, 1);
    // One that waited for its restart was counted when it ended, or will be when it is made.
    let mut scene = Scene::new("Always", vec![], vec![container("c")]);
    scene.settle();
    for _ in 0..2 {
        scene.exit("c", 1);
        scene.settle();
    }
    let waits = scene.look();
    assert_eq!(waiting(&waits, "c").0, "CrashLoopBackOff");
    scene.runtime.as_mut().unwrap().containers.clear();
    assert_eq!(scene.look().status.container_statuses.unwrap()[0].restart_count, 1);
}

#[test]
fn a_pod_keeps_its_addresses_until_its_new_sandbox_has_others() {
    let mut scene = Scene::new("Always", vec![], vec![container("c")]);
    scene.settle();
    let first = scene.look().status.pod_ip;
    assert!(first.is_some());
    scene.runtime.as_mut().unwrap().sandboxes[0].ready = false;
    scene.exit("c", 137);
    let lost = scene.look();
    assert_eq!(lost.status.pod_ip, first);
    lost.actions.iter().for_each(|action| scene.succeed(action));
    scene.settle();
    let second = scene.look().status.pod_ip;
    assert!(second.is_some() && second != first);
    // The next process does not vouch for what the last one said.
    scene.restart();
    scene.runtime.as_mut().unwrap().sandboxes[0].ready = false;
    assert_eq!(scene.look().status.pod_ip, None);
}

#[test]
fn one_dead_container_is_kept() {
    let mut scene = Scene::new("Always", vec![], vec![container("c")]);
    scene.settle();
    for _ in 0..4 {
        scene.exit("c", 1);
        scene.pass(secs(700));
        scene.settle();
    }
    let runtime = scene.runtime.as_ref().unwrap();
    assert_eq!(runtime.containers.len(), 2, "one runs, one is kept for its log");
    let attempts: Vec<_> = runtime.containers.iter().map(|c| c.attempt).collect();
    assert_eq!(attempts, [4, 3]);
}

#[test]
fn an_attempt_is_not_made_again_when_its_record_was_removed() {
    let mut scene = Scene::new("Always", vec![], vec![container("c")]);
    scene.settle();
    scene.exit("c", 1);
    scene.pass(Duration::from_secs(60));
    scene.settle();
    scene.restart();
    // The newest record goes behind our back, an older one stays.
    let newest = scene.record("c").clone();
    let containers = &mut scene.runtime.as_mut().unwrap().containers;
    containers.retain(|c| c.id != newest.id);
    let older = crate::ContainerId::from("older");
    containers.push(ContainerRecord { id: older, attempt: 0, state: RuntimeState::Exited, ..newest });
    assert!(brief(&scene.settle()).contains(&"create c 2".to_owned()));
    // Nor when a creation takes effect so late that its attempt was made, run and removed meanwhile.
    let mut late = scene.record("c").clone();
    (late.id, late.attempt, late.state) = ("late".into(), 1, RuntimeState::Created);
    scene.runtime.as_mut().unwrap().containers = vec![late];
    let actions = brief(&scene.settle());
    assert_eq!(actions.first().unwrap(), "remove container");
    assert!(actions.contains(&"create c 3".to_owned()), "{actions:?}");
    // Nor when its log alone tells of it.
    let mut scene = Scene::new("Always", vec![], vec![container("c")]);
    scene.logged.insert(ContainerName::from("c"), 4);
    assert!(brief(&scene.settle()).contains(&"create c 5".to_owned()));
    // That is so for a creation of a former process that took effect late, too.
    let mut late = scene.record("c").clone();
    (late.id, late.state) = ("late".into(), RuntimeState::Created);
    let mut scene = Scene::new("Always", vec![], vec![container("c")]);
    scene.settle();
    scene.runtime.as_mut().unwrap().containers = vec![ContainerRecord { attempt: 4, ..late }];
    let sandbox = scene.runtime.as_ref().unwrap().sandboxes[0].id.clone();
    scene.runtime.as_mut().unwrap().containers[0].sandbox = sandbox;
    (scene.state, scene.pod.status) = (PodState::default(), None);
    scene.logged.insert(ContainerName::from("c"), 4);
    let actions = brief(&scene.settle());
    assert!(actions.contains(&"create c 5".to_owned()) && !actions.contains(&"create c 4".to_owned()));
}

#[test]
fn an_instance_whose_state_was_lost_for_a_while_counts_once() {
    for remembered in [true, false] {
        let mut scene = Scene::new("Always", vec![], vec![container("c")]);
        scene.settle();
        scene.runtime.as_mut().unwrap().containers[0].state = RuntimeState::Unknown;
        let lost = scene.look();
        assert_eq!(lost.status.container_statuses.as_ref().unwrap()[0].restart_count, 1);
        if !remembered {
            scene.pod.status = Some(lost.status.clone());
            scene.state = PodState::default();
        } else {
            lost.actions.iter().for_each(|action| scene.succeed(action));
        }
        assert!(brief(&scene.settle()).contains(&"create c 1".to_owned()));
        assert_eq!(scene.look().status.container_statuses.unwrap()[0].restart_count, 1);
    }
}

#[test]
fn why_a_container_waits_stays_in_sight_while_its_sandbox_is_replaced() {
    let mut scene = Scene::new("Always", vec![container("i")], vec![container("c"), container("d")]);
    scene.settle_with_inits();
    for _ in 0..2 {
        scene.exit("c", 1);
        scene.settle_with_inits();
    }
    let image = Container { image: Some("image:2".to_owned()), ..container("d") };
    scene.spec().containers[1] = image;
    scene.settle_one();
    let pull = Action::EnsureImage { container: "d".into() };
    assert!(scene.look().actions.contains(&pull));
    scene.fail(&pull, FailureStep::ImagePull, "no such host");
    let told = |decision: &Decision| ["c", "d"].map(|name| waiting(decision, name).0.to_owned());
    let before = told(&scene.look());
    assert_eq!(before, ["CrashLoopBackOff", "ErrImagePull"]);
    scene.runtime.as_mut().unwrap().sandboxes[0].ready = false;
    let mut initialised = false;
    for _ in 0..12 {
        let decision = scene.look();
        assert_eq!(told(&decision), before);
        decision.actions.iter().for_each(|action| scene.succeed(action));
        if scene.record("i").attempt == 1 && scene.record("i").state == RuntimeState::Running {
            scene.exit("i", 0);
            initialised = true;
        }
    }
    assert!(initialised);
    // What is in sight is the same wait: it ends when it would have ended.
    scene.pass(secs(10));
    assert!(brief(&scene.settle()).contains(&"start c".to_owned()));
    let status = scene.look().status.container_statuses.unwrap().remove(0);
    assert!(status.state.unwrap().running.is_some());
}
