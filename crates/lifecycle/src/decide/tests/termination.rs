//! Stopping and clearing away.

use super::*;

fn delete(scene: &mut Scene, grace: u64) {
    scene.intent = Intent::Delete { grace: secs(grace) };
    scene.pod.metadata.deletion_timestamp = Some(time(scene.wall));
}

#[test]
fn regular_containers_first_then_sidecars_backwards() {
    let mut scene =
        Scene::new("Always", vec![sidecar("s"), sidecar("t")], vec![container("c"), container("d")]);
    scene.settle();
    delete(&mut scene, 30);
    let first = scene.look();
    assert_eq!(brief(&first.actions), ["stop d 30", "stop c 30"]);
    assert_eq!(
        events(&first),
        ["d", "c", "t", "s"].map(|name| ("Killing", format!("Stopping container {name}"))),
        "all are told at once, as upstream begins with all at once"
    );
    assert_eq!(first.wake_at.unwrap().mono, scene.mono + secs(30));
    scene.pass(secs(4));
    scene.succeed(&first.actions[0]);
    assert!(scene.look().actions.is_empty());
    scene.pass(secs(6));
    scene.succeed(&first.actions[1]);
    let second = scene.look();
    assert_eq!(brief(&second.actions), ["stop t 20"], "they share the grace period");
    scene.succeed(&second.actions[0]);
    let third = scene.look();
    assert_eq!(brief(&third.actions), ["stop s 20"]);
    scene.succeed(&third.actions[0]);
    let fourth = scene.look();
    assert_eq!(brief(&fourth.actions), ["stop sandbox"]);
    assert_eq!(phase(&fourth), "Running", "terminal only when nothing can run");
    scene.succeed(&fourth.actions[0]);
    let ended = scene.look();
    assert_eq!(phase(&ended), "Failed");
    assert!(!ended.finished);
    for action in &ended.actions {
        scene.succeed(action);
    }
    let mut names = brief(&ended.actions);
    names.extend(brief(&scene.settle()));
    scene.pass(secs(1));
    names.extend(brief(&scene.settle()));
    let at = |name: &str| names.iter().position(|n| n == name).unwrap();
    assert!(at("RemoveCgroup") < at("RemoveDirs") && at("remove sandbox") < at("RemoveDirs"));
    assert!(scene.look().finished);
    assert!(events(&scene.look()).is_empty());
}

#[test]
fn a_grace_without_end_is_one_of_ten_years() {
    let probe = Probe { termination_grace_period_seconds: Some(i64::MAX), ..Probe::default() };
    let own = Container { liveness_probe: Some(probe), ..container("d") };
    let mut scene = Scene::new("Always", vec![], vec![container("c"), own]);
    scene.settle();
    scene.pod.spec.as_mut().unwrap().termination_grace_period_seconds = Some(i64::MAX);
    let failed = |name: &str, scene: &Scene| {
        let records = &scene.runtime.as_ref().unwrap().containers;
        let record = records.iter().find(|record| record.name.as_str() == name).unwrap();
        ProbeFailure { container: record.name.clone(), id: record.id.clone(), kind: FatalProbe::Liveness }
    };
    scene.probes.failures = ["c", "d"].map(|name| failed(name, &scene)).into();
    let decades = crate::grace::LONGEST.as_secs();
    assert_eq!(brief(&scene.look().actions), [format!("stop c {decades}"), format!("stop d {decades}")]);
    scene.probes.failures.clear();
    scene.admission = Admission::Rejected { reason: "r".to_owned(), message: "m".to_owned() };
    let decision = scene.look();
    assert!(
        decision.wake_at.is_none_or(|tick| tick.mono <= scene.mono + crate::grace::LONGEST),
        "{decision:?}"
    );
}

#[test]
fn records_stay_until_the_api_knows_how_the_containers_ended() {
    let mut scene = Scene::new("Always", vec![], vec![container("c")]);
    scene.settle();
    scene.answers = false;
    delete(&mut scene, 5);
    let names = brief(&scene.settle());
    assert!(names.contains(&"RemoveCgroup".to_owned()) && !names.contains(&"remove container".to_owned()));
    let last = scene.look();
    assert!(last.outlook == Outlook::Released && !last.finished && phase(&last) == "Failed");
    scene.pod.status = Some(last.status);
    scene.settle();
    scene.pass(secs(1));
    assert_eq!(brief(&scene.settle()), ["remove container", "remove sandbox", "RemoveDirs"]);
    assert!(scene.look().finished);
    // Nobody can be told of a pod whose object is gone.
    let mut scene = Scene::new("Always", vec![], vec![container("c")]);
    scene.settle();
    scene.answers = false;
    scene.intent = Intent::Removed { grace: secs(1) };
    scene.settle();
    assert!(scene.look().finished);
}

#[test]
fn past_the_deadline_sidecars_no_longer_wait() {
    let mut scene = Scene::new("Always", vec![sidecar("s")], vec![container("c")]);
    scene.settle();
    delete(&mut scene, 5);
    assert_eq!(brief(&scene.look().actions), ["stop c 5"]);
    scene.pass(secs(5));
    assert_eq!(brief(&scene.look().actions), ["stop s 0"]);
}

#[test]
fn shortened_grace_hurries() {
    let mut scene = Scene::new("Always", vec![], vec![container("c")]);
    scene.settle();
    delete(&mut scene, 60);
    let stop = scene.look().actions[0].clone();
    scene.pass(secs(10));
    delete(&mut scene, 90);
    assert!(scene.look().actions.is_empty(), "never lengthened");
    delete(&mut scene, 3);
    assert_eq!(brief(&scene.look().actions), ["hurry c 3"]);
    assert!(scene.look().actions.is_empty());
    scene.succeed(&stop);
    assert_eq!(brief(&scene.look().actions), ["stop sandbox"]);
}

#[test]
fn failed_stop_is_named_and_retried() {
    let mut scene = Scene::new("Always", vec![], vec![container("c")]);
    scene.settle();
    delete(&mut scene, 30);
    let stop = scene.look().actions[0].clone();
    scene.fail(&stop, FailureStep::Teardown, "hung");
    let decision = scene.look();
    assert_eq!(events(&decision), [("FailedKillPod", "error killing pod: hung".to_owned())]);
    assert_eq!(decision.next.setbacks().map(|(_, message)| message).collect::<Vec<_>>(), ["hung"]);
    assert_eq!(decision.wake_at.unwrap().mono, scene.mono + secs(1));
    scene.pass(secs(1));
    let again = scene.look();
    assert_eq!(brief(&again.actions), ["stop c 29"]);
    assert!(events(&again).is_empty());
    // A runtime that says "stopped" while it runs is not believed.
    scene.answer(&again.actions[0], Ok(Done::Plain));
    let lied = scene.look();
    assert_eq!(events(&lied)[0].0, "FailedKillPod");
    assert!(lied.actions.is_empty());
}

#[test]
fn completed_pod_keeps_its_dead_until_it_is_deleted() {
    let mut scene = Scene::new("Never", vec![], vec![container("c")]);
    scene.settle();
    scene.exit("c", 0);
    let actions = scene.settle();
    assert_eq!(brief(&actions), ["stop sandbox", "UnmountVolumes", "RemoveCgroup"]);
    let decision = scene.look();
    assert_eq!(phase(&decision), "Succeeded");
    assert!(!decision.finished);
    assert_eq!(decision.status.pod_ip.as_deref(), Some("10.0.0.5"), "addresses are kept");
    let reasons: Vec<_> = decision
        .status
        .conditions
        .iter()
        .flatten()
        .map(|c| (c.type_.as_str(), c.reason.as_deref()))
        .collect();
    assert!(reasons.contains(&("Ready", Some("PodCompleted"))));
    // After a restart of the process it is still over.
    scene.restart();
    scene.settle();
    assert_eq!(phase(&scene.look()), "Succeeded");
    delete(&mut scene, 30);
    let waits = scene.look();
    assert!(waits.actions.is_empty(), "its object goes first");
    assert_eq!(waits.outlook, Outlook::Released);
    assert_eq!(waits.wake_at.unwrap().mono, scene.mono + secs(1));
    scene.pass(secs(1));
    let actions = scene.settle();
    assert_eq!(brief(&actions), ["remove container", "remove sandbox", "RemoveDirs"]);
    assert!(scene.look().finished);
}

#[test]
fn pending_pod_that_is_deleted_fails() {
    let mut scene = Scene::new("Always", vec![], vec![container("c")]);
    scene.look();
    delete(&mut scene, 30);
    for action in [Action::PrepareDirs, Action::EnsureCgroup, Action::EnsureImage { container: "c".into() }] {
        scene.succeed(&action);
    }
    let decision = scene.look();
    assert_eq!(phase(&decision), "Failed");
    let state = decision.status.container_statuses.as_ref().unwrap()[0].state.as_ref().unwrap();
    let ended = state.terminated.as_ref().unwrap();
    assert_eq!((ended.exit_code, ended.reason.as_deref()), (137, Some("ContainerStatusUnknown")));
    assert_eq!(
        ended.message.as_deref(),
        Some("The container could not be located when the pod was terminated")
    );
}

#[test]
fn deadline_fails_the_pod() {
    let mut scene = Scene::new("Always", vec![], vec![container("c")]);
    scene.spec().active_deadline_seconds = Some(100);
    scene.settle();
    let decision = scene.look();
    assert_eq!(decision.wake_at.unwrap().mono, scene.mono + secs(100));
    scene.pass(secs(100));
    let decision = scene.look();
    assert_eq!(brief(&decision.actions), ["stop c 30"]);
    let text = "Pod was active on the node longer than the specified deadline";
    assert_eq!(events(&decision)[0], ("DeadlineExceeded", text.to_owned()));
    assert_eq!(phase(&decision), "Running");
    scene.succeed(&decision.actions[0]);
    scene.settle();
    let status = scene.look().status;
    assert_eq!(status.phase.as_deref(), Some("Failed"));
    assert_eq!(status.reason.as_deref(), Some("DeadlineExceeded"));
    assert_eq!(status.message.as_deref(), Some(text));
}

#[test]
fn eviction_carries_its_reason_and_the_disruption_condition() {
    let mut scene = Scene::new("Always", vec![], vec![container("c")]);
    scene.settle();
    let (reason, message) = ("Evicted".to_owned(), "The node was low on resource: memory. ".to_owned());
    scene.intent = Intent::Kill { grace: secs(1), reason: reason.clone(), message: message.clone() };
    let first = scene.look();
    assert!(first.status.conditions.iter().flatten().all(|c| c.type_ != "DisruptionTarget"));
    for action in &first.actions {
        scene.succeed(action);
    }
    scene.settle();
    let status = scene.look().status;
    assert_eq!((status.phase.as_deref(), status.reason.as_ref()), (Some("Failed"), Some(&reason)));
    assert_eq!(status.message.as_ref(), Some(&message));
    let condition = status.conditions.iter().flatten().find(|c| c.type_ == "DisruptionTarget").unwrap();
    assert_eq!(
        (condition.reason.as_deref(), condition.message.as_ref()),
        (Some("TerminationByKubelet"), Some(&message))
    );
    scene.pod.status = Some(status.clone());
    let again = scene.look().status;
    assert_eq!(again, status, "nothing changes any more");
}

#[test]
fn rejected_pod_never_starts() {
    let mut scene = Scene::new("Always", vec![], vec![container("c")]);
    scene.admission = Admission::Rejected { reason: "OutOfcpu".to_owned(), message: "no room".to_owned() };
    let decision = scene.look();
    assert_eq!(phase(&decision), "Failed");
    assert_eq!(decision.status.reason.as_deref(), Some("OutOfcpu"));
    assert_eq!(decision.status.message.as_deref(), Some("Pod was rejected: no room"));
    assert_eq!(decision.status.container_statuses, None);
    assert_eq!(brief(&decision.actions), ["UnmountVolumes"]);
}

#[test]
fn leftovers_of_an_unknown_pod_are_swept() {
    let mut scene = Scene::new("Always", vec![sidecar("s")], vec![container("c")]);
    scene.settle();
    scene.state = PodState::default();
    scene.source = PodSource::RuntimeOnly;
    scene.intent = Intent::Removed { grace: secs(1) };
    scene.pod.spec = Some(PodSpec::default());
    scene.pod.status = None;
    let decision = scene.look();
    let stops: Vec<_> = decision
        .actions
        .iter()
        .filter(|a| matches!(a, Action::StopContainer { run_pre_stop: false, .. }))
        .collect();
    assert_eq!(stops.len(), 2, "{:?}", decision.actions);
    for action in &decision.actions {
        scene.succeed(action);
    }
    scene.settle();
    assert!(scene.look().finished);
    assert_eq!(scene.runtime, Ok(RuntimePod::default()));
}

#[test]
fn the_hook_that_a_container_carries_is_run_though_its_pod_is_unknown() {
    let hooks = Lifecycle { pre_stop: Some(LifecycleHandler::default()), ..Lifecycle::default() };
    let hooked = Container { lifecycle: Some(hooks), ..container("c") };
    let mut scene = Scene::new("Always", vec![], vec![hooked, container("d")]);
    scene.settle();
    scene.state = PodState::default();
    scene.source = PodSource::RuntimeOnly;
    scene.intent = Intent::Removed { grace: secs(1) };
    scene.pod.status = None;
    let stops: Vec<_> = scene
        .look()
        .actions
        .into_iter()
        .filter_map(|action| match action {
            Action::StopContainer { container, run_pre_stop, .. } => {
                Some((container.to_string(), run_pre_stop))
            }
            _ => None,
        })
        .collect();
    assert_eq!(stops, [("d".to_owned(), false), ("c".to_owned(), true)]);
}

#[test]
fn static_pod_does_not_become_terminal_by_removal() {
    let mut scene = Scene::new("Always", vec![], vec![container("c")]);
    scene.source = PodSource::File;
    scene.settle();
    scene.intent = Intent::Removed { grace: secs(5) };
    scene.settle();
    let decision = scene.look();
    assert!(decision.finished);
    assert_eq!(phase(&decision), "Running");
}

#[test]
fn the_end_of_the_newest_stays_told_when_an_older_record_outlives_it() {
    let mut scene = Scene::new("Always", vec![], vec![container("c")]);
    scene.settle();
    let old = scene.record("c").clone();
    scene.exit("c", 3);
    scene.settle();
    assert_eq!(scene.record("c").attempt, 1);
    delete(&mut scene, 5);
    scene.settle();
    scene.runtime.as_mut().unwrap().containers.push(crate::observation::ContainerRecord {
        state: RuntimeState::Exited,
        exit_code: 3,
        ..old
    });
    let last = scene.look();
    let status = last.status.container_statuses.as_ref().unwrap()[0].clone();
    assert_eq!(status.state.unwrap().terminated.unwrap().exit_code, 143);
}

#[test]
fn one_that_was_only_created_hides_no_end() {
    let mut scene = Scene::new("OnFailure", vec![], vec![container("c")]);
    scene.settle();
    scene.exit("c", 3);
    scene.pass(secs(60));
    scene.until_start();
    delete(&mut scene, 5);
    scene.settle();
    let status = scene.look().status.container_statuses.unwrap()[0].clone();
    assert_eq!(status.state.unwrap().terminated.unwrap().exit_code, 3);
}

#[test]
fn who_ends_a_pod_from_outside_is_not_contradicted() {
    for looks in [0, 1] {
        let mut scene = Scene::new("Always", vec![], vec![container("c")]);
        scene.settle();
        if looks > 0 {
            scene.pod.status = Some(scene.look().status);
        }
        let status = scene.pod.status.get_or_insert_default();
        status.phase = Some("Failed".to_owned());
        status.reason = Some("NodeLost".to_owned());
        let ended = scene.look();
        assert_eq!(brief(&ended.actions), ["stop c 30"]);
        let told = |decision: &Decision| {
            let status = &decision.status;
            let ready = status.conditions.iter().flatten().find(|c| c.type_ == "Ready").unwrap();
            (status.phase.clone().unwrap(), status.reason.clone(), ready.status.clone())
        };
        let want = ("Failed".to_owned(), Some("NodeLost".to_owned()), "False".to_owned());
        assert_eq!(told(&ended), want);
        // Whatever its containers come to.
        scene.exit("c", 0);
        scene.answer(&ended.actions[0], Ok(Done::Plain));
        scene.settle();
        assert_eq!(told(&scene.look()), want);
    }
}

#[test]
fn a_deadline_that_passes_while_the_pod_is_deleted_is_told() {
    let mut scene = Scene::new("Always", vec![], vec![container("c")]);
    scene.spec().active_deadline_seconds = Some(100);
    scene.settle();
    scene.pod.metadata.deletion_timestamp = Some(time(scene.wall));
    scene.intent = Intent::Delete { grace: secs(200) };
    let stop = scene.look().actions[0].clone();
    scene.pass(secs(101));
    assert_eq!(phase(&scene.look()), "Running", "it still runs");
    scene.exit("c", 0);
    scene.answer(&stop, Ok(Done::Plain));
    scene.settle();
    let last = scene.look();
    assert_eq!((phase(&last), last.status.reason.as_deref()), ("Failed", Some("DeadlineExceeded")));
}
