//! Starting, restarting, failing.

use super::*;

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn prerequisites_run_side_by_side() {
    let mut scene = Scene::new("Always", vec![], vec![container("c"), container("d")]);
    let first = scene.look();
    assert_eq!(brief(&first.actions), ["PrepareDirs", "EnsureCgroup", "image c", "image d"]);
    assert_eq!(waiting(&first, "c"), ("ContainerCreating", ""));
    assert_eq!(phase(&first), "Pending");
    // Directories alone allow volumes, and no sandbox yet.
    scene.succeed(&first.actions[0]);
    assert_eq!(brief(&scene.look().actions), ["MountVolumes"]);
    scene.succeed(&first.actions[1]);
    let sandbox = scene.look();
    assert_eq!(brief(&sandbox.actions), ["sandbox 0"]);
    // Neither image nor sandbox alone makes a container.
    scene.succeed(&first.actions[2]);
    assert!(scene.look().actions.is_empty());
    scene.succeed(&sandbox.actions[0]);
    let ready = scene.look();
    assert!(ready.actions.is_empty(), "volumes are not mounted: {:?}", ready.actions);
    // To others a pod without its volumes has no sandbox yet, as upstream makes it after them.
    let sandbox = |decision: &Decision| {
        let conditions = decision.status.conditions.as_ref().unwrap();
        let condition = conditions.iter().find(|it| it.type_ == "PodReadyToStartContainers").unwrap();
        (condition.status.clone(), condition.message.clone().unwrap_or_default())
    };
    assert_eq!(sandbox(&ready), ("False".to_owned(), "no pod sandbox exists".to_owned()));
    scene.succeed(&Action::MountVolumes);
    let mounted = scene.look();
    assert_eq!(brief(&mounted.actions), ["create c 0"]);
    assert_eq!(sandbox(&mounted), ("True".to_owned(), String::new()));
}

#[test]
fn runs_and_rests() {
    let mut scene = Scene::new("Always", vec![], vec![container("c")]);
    let actions = scene.settle();
    assert_eq!(brief(&actions[actions.len() - 2..]), ["create c 0", "start c"]);
    let rest = scene.look();
    assert_eq!(phase(&rest), "Running");
    assert_eq!(rest.wake_at, None, "nothing polls");
    assert!(rest.why.is_empty());
    assert!(!rest.finished);
}

#[test]
fn created_container_is_taken_up_not_doubled() {
    let mut scene = Scene::new("Always", vec![], vec![container("c")]);
    scene.settle();
    scene.exit("c", 1);
    let mut created = None;
    while created.is_none() {
        let decision = scene.look();
        for action in &decision.actions {
            if matches!(action, Action::CreateContainer { .. }) {
                created = Some(action.clone());
            }
            scene.succeed(action);
        }
    }
    // Killed here: between create and start.
    scene.outcomes.clear();
    scene.state = PodState::default();
    let actions = scene.settle();
    assert!(!brief(&actions).iter().any(|a| a.starts_with("create")), "{actions:?}");
    assert!(brief(&actions).contains(&"start c".to_owned()));
    assert_eq!(scene.look().status.container_statuses.unwrap()[0].restart_count, 1);
}

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
fn image_failure_and_back_off() {
    let mut scene = Scene::new("Always", vec![], vec![container("c")]);
    let pull = scene.look().actions[2].clone();
    for wait in [10, 20, 40] {
        scene.fail(&pull, FailureStep::ImagePull, "no such host");
        let failed = scene.look();
        assert_eq!(waiting(&failed, "c"), ("ErrImagePull", "no such host"));
        assert_eq!(
            events(&failed),
            [
                ("Failed", "Failed to pull image \"image:1\": no such host".to_owned()),
                ("Failed", "Error: ErrImagePull".to_owned())
            ]
        );
        scene.pass(secs(2));
        let backed_off = scene.look();
        assert_eq!(
            waiting(&backed_off, "c"),
            ("ImagePullBackOff", "Back-off pulling image \"image:1\": ErrImagePull: no such host")
        );
        assert_eq!(
            events(&backed_off),
            [
                ("BackOff", "Back-off pulling image \"image:1\"".to_owned()),
                ("Failed", "Error: ImagePullBackOff".to_owned())
            ]
        );
        assert_eq!(backed_off.wake_at.unwrap().mono, scene.mono + secs(wait - 2));
        scene.pass(secs(wait - 2));
        let again = scene.look();
        assert_eq!(brief(&again.actions), ["image c"]);
    }
    // Another image starts without a past.
    scene.fail(&pull, FailureStep::ImagePull, "no such host");
    scene.look();
    scene.spec().containers[0].image = Some("image:2".to_owned());
    assert_eq!(brief(&scene.look().actions), ["image c"]);
}

#[test]
fn other_image_failures() {
    for (step, message, want, text, event) in [
        (
            FailureStep::ImageNeverPull,
            "Container image \"image:1\" is not present with pull policy of Never",
            "ErrImageNeverPull",
            "Container image \"image:1\" is not present with pull policy of Never",
            "ErrImageNeverPull",
        ),
        (FailureStep::ImageName, "bad", "InvalidImageName", "bad", "InspectFailed"),
        (
            FailureStep::ImageInspect,
            "bad",
            "ImageInspectError",
            "Failed to inspect image \"image:1\": bad",
            "InspectFailed",
        ),
        (
            FailureStep::RegistryUnavailable,
            "RegistryUnavailable: down",
            "RegistryUnavailable",
            "image pull failed for image:1 because the registry is unavailable: down",
            "Failed",
        ),
        (
            FailureStep::SignatureValidation,
            "SignatureValidationFailed: bad",
            "SignatureValidationFailed",
            "image pull failed for image:1 because the signature validation failed: bad",
            "Failed",
        ),
    ] {
        let mut scene = Scene::new("Always", vec![], vec![container("c")]);
        let pull = scene.look().actions[2].clone();
        scene.fail(&pull, step, message);
        let decision = scene.look();
        assert_eq!(waiting(&decision, "c"), (want, text));
        assert_eq!(events(&decision)[0].0, event);
        assert_eq!(events(&decision)[1], ("Failed", format!("Error: {want}")));
    }
}

#[test]
fn failures_of_prerequisites_are_named_and_retried() {
    let mut scene = Scene::new("Always", vec![], vec![container("c")]);
    let first = scene.look();
    scene.fail(&first.actions[1], FailureStep::Cgroup, "no cgroup");
    scene.succeed(&first.actions[0]);
    let decision = scene.look();
    assert_eq!(
        events(&decision),
        [("FailedCreatePodContainer", "unable to ensure pod container exists: no cgroup".to_owned())]
    );
    let wait = decision.wake_at.unwrap().mono - scene.mono;
    assert!((secs(10)..=secs(15)).contains(&wait), "{wait:?}");
    let mount = Action::MountVolumes;
    for millis in [500, 1000, 2000, 4000] {
        scene.fail(&mount, FailureStep::Volumes, "MountVolume.SetUp failed for volume \"v\" : x");
        let decision = scene.look();
        assert_eq!(
            events(&decision),
            [("FailedMount", "MountVolume.SetUp failed for volume \"v\" : x".to_owned())]
        );
        let wait = decision.wake_at.unwrap().mono - scene.mono;
        assert!(wait <= Duration::from_millis(millis));
        assert!(decision.actions.is_empty());
        scene.pass(Duration::from_millis(millis));
        assert!(brief(&scene.look().actions).contains(&"MountVolumes".to_owned()));
    }
}

#[test]
fn network_not_ready_holds_back_the_sandbox_only() {
    let mut scene = Scene::new("Always", vec![], vec![container("c")]);
    scene.network = Err("no CNI".to_owned());
    for action in scene.look().actions {
        scene.succeed(&action);
    }
    let held = scene.look();
    assert_eq!(
        events(&held).last().unwrap(),
        &("NetworkNotReady", "network is not ready: no CNI".to_owned())
    );
    assert_eq!(brief(&held.actions), ["MountVolumes"]);
    assert_eq!(held.wake_at.unwrap().mono, scene.mono + secs(1));
    assert!(events(&scene.look()).is_empty(), "told once a second at the most");
    scene.network = Ok(());
    assert_eq!(brief(&scene.look().actions), ["sandbox 0"]);
    // On the node's network nothing waits.
    let mut scene = Scene::new("Always", vec![], vec![container("c")]);
    scene.network = Err("no CNI".to_owned());
    scene.spec().host_network = Some(true);
    for action in scene.look().actions {
        scene.succeed(&action);
    }
    assert!(brief(&scene.look().actions).contains(&"sandbox 0".to_owned()));
}

#[test]
fn create_and_start_failures() {
    for (step, reason) in [
        (FailureStep::ContainerConfig, "CreateContainerConfigError"),
        (FailureStep::ContainerCreate, "CreateContainerError"),
    ] {
        let mut scene = Scene::new("Always", vec![], vec![container("c")]);
        let create = loop {
            let decision = scene.look();
            if let Some(create) =
                decision.actions.iter().find(|a| matches!(a, Action::CreateContainer { .. }))
            {
                break create.clone();
            }
            for action in &decision.actions {
                scene.succeed(action);
            }
        };
        scene.fail(&create, step, "bad");
        let decision = scene.look();
        assert_eq!(waiting(&decision, "c"), (reason, "bad"));
        assert_eq!(events(&decision), [("Failed", "Error: bad".to_owned())]);
        // The image is ensured again, the creation waits.
        assert_eq!(brief(&decision.actions), ["image c"]);
        scene.succeed(&decision.actions[0]);
        let wait = scene.look();
        assert!(wait.actions.is_empty() && wait.wake_at.is_some());
        assert_eq!(waiting(&wait, "c"), (reason, "bad"), "in sight until a creation goes well");
        scene.pass(secs(15));
        let again = scene.look();
        assert_eq!(brief(&again.actions), ["create c 0"]);
        // An annotation may be what was missing.
        scene.fail(&again.actions[0], step, "bad");
        let image = scene.look();
        scene.succeed(&image.actions[0]);
        assert!(scene.look().actions.is_empty());
        scene.pod.metadata.annotations = Some([("a".to_owned(), "b".to_owned())].into());
        assert!(brief(&scene.look().actions).contains(&"create c 0".to_owned()));
    }
}

#[test]
fn post_start_hook_holds_back_the_next_and_kills_on_failure() {
    let mut scene = Scene::new("Never", vec![], vec![with_hook("a"), container("b")]);
    let start = loop {
        let decision = scene.look();
        if let Some(start) = decision.actions.iter().find(|a| matches!(a, Action::StartContainer { .. })) {
            break start.clone();
        }
        for action in &decision.actions {
            scene.succeed(action);
        }
    };
    assert!(brief(std::slice::from_ref(&start)) == ["start a"]);
    scene.effect(&start);
    let running = scene.look();
    assert!(running.actions.is_empty(), "b waits for the hook of a: {:?}", running.actions);
    let a = &running.status.container_statuses.as_ref().unwrap()[0];
    assert_eq!((a.started, a.ready), (Some(false), false), "not started before the hook is done");
    scene.fail(&start, FailureStep::PostStartHook, "exit 1");
    let decision = scene.look();
    assert!(brief(&decision.actions).contains(&"stop a 30".to_owned()));
    assert!(brief(&decision.actions).contains(&"create b 0".to_owned()));
    let events = events(&decision);
    assert!(events.contains(&("FailedPostStartHook", "PostStartHook failed".to_owned())));
    assert!(events.contains(&("Killing", "FailedPostStartHook".to_owned())));
}

#[test]
fn a_failed_hook_is_named_also_when_no_other_container_runs() {
    let mut scene = Scene::new("Always", vec![], vec![with_hook("a")]);
    let start = loop {
        let decision = scene.look();
        if let Some(start) = decision.actions.iter().find(|a| matches!(a, Action::StartContainer { .. })) {
            break start.clone();
        }
        for action in &decision.actions {
            scene.succeed(action);
        }
    };
    scene.effect(&start);
    scene.look();
    scene.fail(&start, FailureStep::PostStartHook, "exit 1");
    let decision = scene.look();
    assert_eq!(brief(&decision.actions), ["stop a 30"]);
    assert!(events(&decision).contains(&("Killing", "FailedPostStartHook".to_owned())));
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
    let lost = scene.look();
    let status = &lost.status.container_statuses.as_ref().unwrap()[0];
    assert_eq!(status.restart_count, 3);
    let last = status.last_state.as_ref().unwrap().terminated.as_ref().unwrap();
    assert_eq!((last.exit_code, last.reason.as_deref()), (137, Some("ContainerStatusUnknown")));
    for action in &lost.actions {
        scene.succeed(action);
    }
    assert!(brief(&scene.settle()).contains(&"create c 3".to_owned()));
}

#[test]
fn restart_of_the_process_changes_nothing() {
    let mut scene = Scene::new(
        "Always",
        vec![sidecar("s")],
        vec![Container { readiness_probe: Some(probe(None)), ..container("c") }],
    );
    scene.settle();
    let id = scene.record("c").id.clone();
    let result = crate::observation::ProbeResult { id, started: Some(true), ready: Some(true) };
    scene.probes.containers.insert("c".into(), result);
    let before = scene.look().status;
    assert!(before.container_statuses.as_ref().unwrap()[0].ready);
    scene.restart();
    scene.probes = ProbeResults::default();
    scene.pass(secs(60));
    let actions = scene.settle();
    assert_eq!(brief(&actions), ["PrepareDirs", "EnsureCgroup", "MountVolumes"]);
    assert_eq!(scene.look().status, before);
}

#[test]
fn probe_without_result_is_not_ready() {
    let mut scene = Scene::new(
        "Always",
        vec![],
        vec![Container { readiness_probe: Some(probe(None)), ..container("c") }],
    );
    scene.settle();
    let decision = scene.look();
    let status = &decision.status.container_statuses.as_ref().unwrap()[0];
    assert_eq!((status.started, status.ready), (Some(true), false));
    // A result of another instance is none.
    let stale =
        crate::observation::ProbeResult { id: "other".into(), started: Some(true), ready: Some(true) };
    scene.probes.containers.insert("c".into(), stale);
    assert!(!scene.look().status.container_statuses.unwrap()[0].ready);
}

#[test]
fn runtime_error_concludes_nothing() {
    let mut scene = Scene::new("Always", vec![], vec![container("c")]);
    scene.settle();
    let before = scene.look().status;
    let known = std::mem::replace(&mut scene.runtime, Err("away".to_owned()));
    let decision = scene.look();
    assert_eq!(decision.status, before);
    assert!(decision.actions.is_empty());
    assert_eq!(events(&decision), [("FailedSync", "error determining status: away".to_owned())]);
    assert!(events(&scene.look()).is_empty());
    scene.runtime = known;
    assert!(scene.look().actions.is_empty());
}

#[test]
fn init_containers_in_order_and_failed_for_good() {
    let inits = || vec![container("i"), sidecar("s"), container("j")];
    let mut scene = Scene::new("Always", inits(), vec![container("c")]);
    assert_eq!(
        scene.settle_with_inits(),
        ["create i 0", "start i", "create s 0", "start s", "create j 0", "start j", "create c 0", "start c"]
    );
    let mut scene = Scene::new("Never", inits(), vec![container("c")]);
    let mut looks = 0;
    while !brief(&scene.settle_one()).contains(&"start i".to_owned()) {
        looks += 1;
        assert!(looks < 20, "i is never started");
    }
    scene.exit("i", 3);
    let decision = scene.look();
    assert_eq!(brief(&decision.actions), ["stop sandbox"]);
    scene.succeed(&decision.actions[0]);
    let ended = scene.look();
    assert_eq!(phase(&ended), "Failed");
    assert_eq!(waiting(&ended, "c"), ("PodInitializing", ""));
}

#[test]
fn sidecar_that_has_not_started_holds_back_the_rest() {
    let slow = Container { startup_probe: Some(probe(None)), ..sidecar("s") };
    let mut scene = Scene::new("Always", vec![slow], vec![container("c")]);
    scene.settle();
    let decision = scene.look();
    assert_eq!(phase(&decision), "Pending");
    assert!(scene.runtime.as_ref().unwrap().containers.iter().all(|c| c.name.as_str() == "s"));
    let id = scene.record("s").id.clone();
    let result = crate::observation::ProbeResult { id, started: Some(true), ready: None };
    scene.probes.containers.insert("s".into(), result);
    assert!(brief(&scene.settle()).contains(&"start c".to_owned()));
    assert_eq!(phase(&scene.look()), "Running");
}

#[test]
fn stale_volumes_are_brought_up_to_date_while_containers_run() {
    let mut scene = Scene::new("Always", vec![], vec![container("c")]);
    scene.settle();
    scene.volumes_stale = true;
    assert_eq!(brief(&scene.look().actions), ["MountVolumes"]);
    // A change during the update is fetched by the next one.
    scene.volumes_stale = true;
    assert!(scene.look().actions.is_empty());
    scene.succeed(&Action::MountVolumes);
    assert_eq!(brief(&scene.look().actions), ["MountVolumes"]);
    scene.succeed(&Action::MountVolumes);
    assert!(scene.look().actions.is_empty());
    scene.pod.metadata.annotations = Some([("a".to_owned(), "b".to_owned())].into());
    assert_eq!(brief(&scene.look().actions), ["MountVolumes"]);
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
