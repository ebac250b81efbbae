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
        // Meanwhile the image is looked for, in vain and without a word.
        let due = scene.mono + secs(wait - 2);
        let mut looks = 0;
        loop {
            let wake = scene.look().wake_at.unwrap().mono;
            if wake == due {
                break;
            }
            scene.pass(wake - scene.mono);
            let look = scene.look();
            assert_eq!((brief(&look.actions), events(&look)), (vec!["find image c".to_owned()], vec![]));
            if looks == 0 {
                scene.answer(&look.actions[0], Ok(Done::Plain));
            } else {
                scene.fail(&look.actions[0], FailureStep::ImageInspect, "no answer");
            }
            looks += 1;
            let next = scene.look();
            assert_eq!((events(&next), waiting(&next, "c").0), (vec![], "ImagePullBackOff"));
        }
        // At 10 to 15 s after what was before it.
        assert!((wait / 15).saturating_sub(1) <= looks && looks <= (wait - 1) / 10, "{looks} in {wait} s");
        scene.pass(due - scene.mono);
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
fn an_image_that_comes_by_another_way_ends_the_back_off() {
    let mut scene = Scene::new("Always", vec![], vec![container("c"), apart("d")]);
    scene.spec().containers[1].image_pull_policy = Some("Always".to_owned());
    for _ in 0..2 {
        let pulls: Vec<_> = scene
            .look()
            .actions
            .into_iter()
            .filter(|a| brief(std::slice::from_ref(a))[0].starts_with("image"))
            .collect();
        assert_eq!(brief(&pulls), ["image c", "image d"]);
        pulls.iter().for_each(|pull| scene.fail(pull, FailureStep::ImagePull, "no such host"));
        scene.look();
        scene.pass(secs(10));
    }
    // The second back-off takes 20 s.
    scene.pass(secs(5));
    let look = scene.look().actions;
    assert!(brief(&look).contains(&"find image c".to_owned()));
    // With Always only the registry counts.
    assert!(!brief(&look).contains(&"find image d".to_owned()));
    let found = look.iter().find(|action| matches!(action, Action::FindImage { .. })).unwrap();
    scene.pass(secs(5));
    // The pull is due, and waits for the answer.
    assert_eq!(brief(&scene.look().actions), ["image d"]);
    scene.answer(found, Ok(Done::Image { image_ref: "sha256:1".to_owned(), pulled: None }));
    let ready = scene.look();
    assert!(brief(&ready.actions).iter().all(|action| action != "image c"));
    let trouble =
        |scene: &Scene| scene.state.containers.get(&"c".into()).and_then(|memo| memo.trouble.clone());
    assert_eq!(trouble(&scene), None);
    let key = ActionKey::EnsureImage("c".into());
    assert!(!scene.state.setbacks.contains_key(&key));
}

#[test]
fn containers_with_one_image_want_one_pull() {
    let mut scene = Scene::new("Always", vec![], vec![container("c"), container("d"), container("e")]);
    scene.spec().containers[2].image_pull_policy = Some("Never".to_owned());
    let images = |decision: &Decision| {
        let all = brief(&decision.actions).into_iter();
        all.filter(|a| a.starts_with("image") || a.starts_with("find")).collect::<Vec<_>>()
    };
    let first = scene.look();
    assert_eq!(images(&first), ["image c"]);
    let pull = Action::EnsureImage { container: "c".into() };
    scene.fail(&pull, FailureStep::ImagePull, "no such host");
    let failed = scene.look();
    // The second backs off at once, without asking the registry; the third wants no pull at all.
    assert_eq!(images(&failed), ["image e"]);
    let never = Action::EnsureImage { container: "e".into() };
    scene.fail(&never, FailureStep::ImageNeverPull, "not present");
    let shown = scene.look();
    assert_eq!(waiting(&shown, "c"), ("ErrImagePull", "no such host"));
    let text = "Back-off pulling image \"image:1\": ErrImagePull: no such host";
    assert_eq!(waiting(&shown, "d"), ("ImagePullBackOff", text));
    assert_eq!(waiting(&shown, "e").0, "ErrImageNeverPull");
    // One try for both, and what it met is the other's too.
    scene.pass(secs(10));
    assert_eq!(images(&scene.look())[0], "image c");
    scene.fail(&pull, FailureStep::ImagePull, "no route");
    scene.look();
    let text = "Back-off pulling image \"image:1\": ErrImagePull: no route";
    assert_eq!(waiting(&scene.look(), "d"), ("ImagePullBackOff", text));
    // Once it is there each is asked for, one after the other.
    scene.pass(secs(20));
    assert_eq!(images(&scene.look())[0], "image c");
    scene.succeed(&pull);
    assert_eq!(images(&scene.look()), ["image d"]);
}

#[test]
fn an_answer_about_the_old_image_is_not_taken_for_one_about_the_new() {
    for found in [true, false] {
        let mut scene = Scene::new("Always", vec![], vec![container("c")]);
        let pull = Action::EnsureImage { container: "c".into() };
        for _ in 0..2 {
            scene.look();
            scene.fail(&pull, FailureStep::ImagePull, "no such host");
            scene.look();
            scene.pass(secs(10));
        }
        let asked = if found {
            scene.pass(secs(5));
            Action::FindImage { container: "c".into() }
        } else {
            scene.pass(secs(10));
            pull.clone()
        };
        assert!(scene.look().actions.contains(&asked));
        scene.spec().containers[0].image = Some("image:2".to_owned());
        scene.look();
        let pulled =
            (!found).then(|| crate::action::Pulled { took: secs(1), including_wait: secs(1), size: 1 });
        scene.answer(&asked, Ok(Done::Image { image_ref: "sha256:old".to_owned(), pulled }));
        let next = scene.look();
        // Told of the one that was pulled, and the new one is asked for.
        assert_eq!(events(&next).iter().filter(|(_, text)| text.contains("image:2")).count(), 0);
        assert_eq!(events(&next).iter().any(|(_, text)| text.contains("image:1")), !found);
        assert!(next.actions.contains(&pull));
        assert!(!brief(&next.actions).iter().any(|action| action.starts_with("create c")));
    }
}

#[test]
fn an_event_about_a_start_names_the_container_in_place_of_its_id() {
    let mut scene = Scene::new("Always", vec![], vec![container("c")]);
    let start = scene.until_start();
    let Action::StartContainer { id, .. } = &start else { panic!("{start:?}") };
    scene.fail(&start, FailureStep::ContainerStart, &format!("no cgroup /kubepods/{id}"));
    let failed = scene.look();
    assert_eq!(events(&failed), [("Failed", "Error: no cgroup /kubepods/c".to_owned())]);
    assert_eq!(waiting(&failed, "c"), ("RunContainerError", format!("no cgroup /kubepods/{id}").as_str()));
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
