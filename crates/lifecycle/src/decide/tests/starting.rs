//! Starting: what waits for what, and what a pod that runs is left to.

use super::*;

#[test]
fn prerequisites_run_side_by_side() {
    let mut scene = Scene::new("Always", vec![], vec![container("c"), apart("d")]);
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
fn a_post_start_hook_that_fails_with_the_runtime_is_not_forgotten() {
    let mut scene = Scene::new("Always", vec![], vec![with_hook("a")]);
    let start = loop {
        let actions = scene.look().actions;
        match actions.iter().find(|action| matches!(action, Action::StartContainer { .. })) {
            Some(start) => break start.clone(),
            None => actions.iter().for_each(|action| scene.succeed(action)),
        }
    };
    scene.effect(&start);
    scene.look();
    let runtime = std::mem::replace(&mut scene.runtime, Err("no answer".to_owned()));
    scene.fail(&start, FailureStep::PostStartHook, "exec: connection refused");
    let blind = scene.look();
    assert!(events(&blind).contains(&("FailedPostStartHook", "PostStartHook failed".to_owned())));
    scene.runtime = runtime;
    assert!(brief(&scene.look().actions).contains(&"stop a 30".to_owned()));
}

#[test]
fn what_probes_find_counts_while_the_runtime_tells_nothing() {
    let probed = |name| Container { readiness_probe: Some(probe(None)), ..container(name) };
    let mut scene = Scene::new("Always", vec![], vec![probed("a"), probed("b")]);
    scene.settle();
    let found = |scene: &Scene, b: bool| {
        let result = |name: &str, ready| {
            let id = scene.record(name).id.clone();
            (ContainerName::from(name), ProbeResult { id, started: None, ready: Some(ready) })
        };
        ProbeResults { containers: [result("a", true), result("b", b)].into(), ..ProbeResults::default() }
    };
    let condition = |decision: &Decision, kind: &str| {
        let mut all = decision.status.conditions.iter().flatten();
        let condition = all.find(|condition| condition.type_ == kind).unwrap();
        (condition.status.clone(), condition.message.clone().unwrap_or_default())
    };
    scene.probes = found(&scene, true);
    let well = scene.look();
    assert_eq!(condition(&well, "Ready"), ("True".to_owned(), String::new()));
    let (hung, runtime) = (found(&scene, false), scene.runtime.clone());
    scene.runtime = Err("no answer".to_owned());
    let blind = scene.look();
    assert_eq!(blind.status, well.status, "nothing new was found");
    scene.probes = hung;
    let ill = scene.look();
    let unready = ("False".to_owned(), "containers with unready status: [b]".to_owned());
    assert_eq!((condition(&ill, "Ready"), condition(&ill, "ContainersReady")), (unready.clone(), unready));
    let statuses = ill.status.container_statuses.as_ref().unwrap();
    assert_eq!((statuses[0].ready, statuses[1].ready), (true, false));
    assert_eq!(condition(&ill, "Initialized"), condition(&well, "Initialized"));
    // Results of another instance are not of this one.
    scene.probes.containers.values_mut().for_each(|result| result.id = "another".into());
    assert_eq!(scene.look().status, ill.status);
    scene.runtime = runtime;
    scene.probes = ProbeResults::default();
    assert_eq!(scene.look().status, ill.status);
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
fn regular_containers_start_in_spec_order_and_one_that_fails_holds_nobody_back() {
    let mut scene = Scene::new("Always", vec![], vec![container("a"), container("b"), container("c")]);
    let all = brief(&scene.settle());
    let images: Vec<_> = all.iter().filter(|a| a.starts_with("image")).collect();
    assert_eq!(images, ["image a", "image b", "image c"]);
    let starts: Vec<_> = all.iter().filter(|a| a.starts_with("create") || a.starts_with("start")).collect();
    assert_eq!(starts, ["create a 0", "start a", "create b 0", "start b", "create c 0", "start c"]);
    // The first pull is waited for, as long as it goes on; a failed one is not, nor is its next try.
    let mut scene = Scene::new("Always", vec![], vec![container("a"), apart("b")]);
    let pull = Action::EnsureImage { container: "a".into() };
    for _ in 0..6 {
        let actions = scene.look().actions;
        assert!(!brief(&actions).contains(&"create b 0".to_owned()));
        actions.iter().filter(|action| **action != pull).for_each(|action| scene.succeed(action));
    }
    scene.fail(&pull, FailureStep::ImagePull, "no such image");
    assert!(brief(&scene.look().actions).contains(&"create b 0".to_owned()));
    // So it is with one that backs off after a crash.
    let mut scene = Scene::new("Always", vec![], vec![container("a"), container("b")]);
    scene.settle();
    scene.exit("a", 1);
    scene.settle();
    scene.exit("a", 1);
    scene.exit("b", 1);
    let starts = brief(&scene.settle());
    assert!(starts.contains(&"start b".to_owned()) && !starts.contains(&"start a".to_owned()), "{starts:?}");
}

#[test]
fn a_creation_that_failed_lets_the_next_one_through_until_it_is_tried_again() {
    let mut scene = Scene::new("Always", vec![], vec![container("a"), container("b")]);
    let create = loop {
        let actions = scene.look().actions;
        if let Some(create) = actions.iter().find(|a| matches!(a, Action::CreateContainer { .. })) {
            break create.clone();
        }
        actions.iter().for_each(|action| scene.succeed(action));
    };
    assert_eq!(brief(std::slice::from_ref(&create)), ["create a 0"]);
    assert!(scene.look().actions.is_empty(), "b waits for a");
    scene.fail(&create, FailureStep::ContainerConfig, "no such configmap");
    assert!(brief(&scene.look().actions).contains(&"create b 0".to_owned()));
}

#[test]
fn what_is_reported_between_sandbox_and_container_passes() {
    let mut scene = Scene::new("Always", vec![], vec![container("a"), container("b")]);
    let mut told = Vec::new();
    loop {
        let decision = scene.look();
        told.push((phase(&decision).to_owned(), decision.outlook));
        if decision.actions.is_empty() {
            break;
        }
        decision.actions.iter().for_each(|action| scene.succeed(action));
    }
    assert_eq!(told.first(), Some(&("Pending".to_owned(), Outlook::Lasting)), "that it was taken up is news");
    assert_eq!(told.last(), Some(&("Running".to_owned(), Outlook::Lasting)));
    assert!(told.contains(&("Pending".to_owned(), Outlook::Passing)));
    assert!(!told.contains(&("Running".to_owned(), Outlook::Passing)));
    // A deletion goes on until nothing runs; nobody waits for what is told in between.
    scene.intent = Intent::Delete { grace: secs(30) };
    scene.pod.metadata.deletion_timestamp = Some(time(scene.wall));
    let stops = scene.look();
    assert_eq!(stops.outlook, Outlook::Passing);
    stops.actions.iter().for_each(|action| scene.succeed(action));
    let dead = scene.look();
    assert_eq!((brief(&dead.actions), dead.outlook), (vec!["stop sandbox".to_owned()], Outlook::Passing));
    scene.succeed(&dead.actions[0]);
    assert_eq!(scene.look().outlook, Outlook::Lasting, "its phase");
    let mut scene = Scene::new("Never", vec![], vec![container("a")]);
    scene.settle();
    scene.exit("a", 1);
    let dead = scene.look();
    assert_eq!((brief(&dead.actions), dead.outlook), (vec!["stop sandbox".to_owned()], Outlook::Lasting));
}
