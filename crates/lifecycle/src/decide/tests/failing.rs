//! Steps that fail: what is said of them, and when they are tried again.

use super::*;

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
