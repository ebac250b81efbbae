//! What a new process takes up from the status that an earlier one reported.

use super::*;

/// Looks until the image of the container `c` is asked for, and lets that fail.
fn failed_pull() -> Scene {
    let mut scene = Scene::new("Always", Vec::new(), vec![container("c")]);
    for _ in 0..20 {
        let actions = scene.look().actions;
        for action in &actions {
            match action {
                Action::EnsureImage { .. } => scene.fail(action, FailureStep::ImagePull, "no such host"),
                other => scene.succeed(other),
            }
        }
        if actions.is_empty() {
            break;
        }
    }
    scene
}

#[test]
fn why_a_container_waits_survives_a_restart() {
    let mut scene = failed_pull();
    let decision = scene.look();
    assert_eq!(waiting(&decision, "c"), ("ErrImagePull", "no such host"));
    scene.pod.status = Some(decision.status);
    scene.state = PodState::default();

    let decision = scene.look();
    assert_eq!(waiting(&decision, "c"), ("ErrImagePull", "no such host"));
    assert!(events(&decision).iter().all(|(reason, _)| *reason != "Failed"), "it is no new failure");
    for action in &decision.actions {
        scene.succeed(action);
    }
    scene.settle();
    let status = scene.look().status;
    let states: Vec<_> = status.container_statuses.iter().flatten().map(|c| c.state.clone()).collect();
    assert!(states[0].as_ref().unwrap().running.is_some(), "{states:?}");
}

#[test]
fn a_crash_loop_is_not_recalled() {
    let mut scene = Scene::new("Always", Vec::new(), vec![container("c")]);
    scene.settle();
    for _ in 0..2 {
        scene.exit("c", 1);
        scene.settle();
    }
    scene.exit("c", 1);
    let decision = scene.look();
    assert_eq!(waiting(&decision, "c").0, "CrashLoopBackOff");
    scene.pod.status = Some(decision.status);
    scene.state = PodState::default();
    assert!(!scene.look().actions.is_empty(), "its delay is not known, so that it starts at once");
}

#[test]
fn a_static_pod_goes_on_from_a_mirror_that_turns_up_late() {
    let mut probed = container("c");
    probed.readiness_probe = Some(probe(None));
    let mut scene = Scene::new("Always", Vec::new(), vec![probed]);
    scene.source = PodSource::File;
    let manifest = scene.pod.clone();
    scene.settle();
    let id = scene.record("c").id.clone();
    let result = crate::observation::ProbeResult { id, started: None, ready: Some(true) };
    scene.probes.containers.insert("c".into(), result);
    let before = scene.look().status;
    let ready = |status: &PodStatus| status.container_statuses.as_ref().unwrap()[0].ready;
    assert!(ready(&before));

    // The next process knows nothing but the manifest at first.
    scene.pass(Duration::from_secs(60));
    scene.pod = manifest;
    scene.state = PodState::default();
    scene.probes = ProbeResults::default();
    assert!(!ready(&scene.look().status));
    scene.pod.status = Some(before.clone());
    scene.state.forget_report();
    assert_eq!(scene.look().status, before);
}
