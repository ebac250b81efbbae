//! A pod that waits for what is not its own, and one that waits for nothing.

use super::*;

#[test]
fn a_pod_that_may_not_begin_says_what_holds_it() {
    let mut scene = Scene::new("Always", vec![], vec![container("c")]);
    let since = Stamp::from(now(&scene));
    scene.pass(secs(8));
    let held = |hold, unnamed: Option<&str>| {
        let beside = Beside { unnamed: unnamed.map(str::to_owned), ..Beside::default() };
        let told = told_around(&scene, &Around { beside, hold: Some((hold, since)), finished: false });
        assert_eq!(times(&scene, only(&told)).0, Some(8));
        read(only(&told))
    };
    let other = PodKey { namespace: "ns".into(), name: "p".into(), uid: "old".into() };
    let expected = [
        "an older static pod of the same name",
        "p_ns(old) has not gone yet",
        "nobody else: the kubelet is at it",
        "the pod begins when the other one is gone",
    ];
    assert_eq!(held(Hold::Namesake(other), None), expected);
    let [what, runtime, next] = [
        "the runtime's name",
        "the container runtime; its log tells more",
        "the pod goes on when this is done",
    ];
    assert_eq!(
        held(Hold::RuntimeName, None),
        [what, "it is under way: the runtime works on Version", runtime, next]
    );
    let why = "KubeletNotReady: no answer to Version within 10s";
    assert_eq!(held(Hold::RuntimeName, Some("no answer to Version within 10s")), [what, why, runtime, next]);
    let expected = [
        "the pod's admission to this node",
        "only the node's labels speak against the pod: the API server is asked for them once more",
        "the API server: its answer is awaited",
        next,
    ];
    assert_eq!(held(Hold::NodeLabels, None), expected);
}

#[test]
fn a_removal_that_fails_is_told_of_a_pod_that_runs() {
    let mut scene = Scene::new("Always", vec![], vec![container("c")]);
    scene.settle();
    let busy = |action: &Action| {
        matches!(action, Action::RemoveContainer { .. })
            .then(|| Failure::new(FailureStep::Teardown, "device is busy"))
    };
    for _ in 0..2 {
        scene.pass(secs(12));
        scene.exit("c", 1);
        stuck(&mut scene, busy);
        scene.pass(secs(12));
        stuck(&mut scene, busy);
    }
    let told = told(&scene);
    assert_eq!(told.standing, Standing::Ready);
    let expected = [
        "the removal of what has ended",
        "FailedKillPod: device is busy",
        "the container runtime; its log tells more",
        "the kubelet tries again",
    ];
    assert_eq!(read(only(&told)), expected);
    assert_eq!(told.containers[0].waits_for, None);
}

/// A pod whose pull has been waiting for three seconds, told beside these pulls.
fn in_line(pulls: Option<PullsNote>) -> (Explanation, Scene) {
    let mut scene = Scene::new("Always", vec![], vec![container("c"), apart("d")]);
    let ensure = |action: &Action| matches!(action, Action::EnsureImage { .. });
    let actions = scene.look().actions;
    scene.pass(secs(1));
    let now = now(&scene);
    scene.past.wait_began(scene.steps[&ActionKey::EnsureImage("c".into())], now);
    actions.iter().filter(|action| !ensure(action)).for_each(|action| scene.succeed(action));
    for _ in 0..5 {
        let actions = scene.look().actions;
        actions.iter().for_each(|action| scene.succeed(action));
    }
    scene.pass(secs(3));
    let beside = Beside { pulls, ..Beside::default() };
    (told_around(&scene, &Around { beside, ..Around::default() }), scene)
}

#[test]
fn a_pull_in_line_tells_which_pulls_are_before_it() {
    let began = Stamp::from(now(&Scene::new("Always", vec![], vec![])));
    let oldest = Some(("r.test/big:1".to_owned(), began));
    let next = "its pull begins when one of the others is over";
    let who = "the registry of \"r.test/big:1\", or the container runtime, which pulls it";
    let (told, scene) = in_line(Some(PullsNote { places: 5, under_way: 5, oldest: oldest.clone() }));
    let block = &told.blocks[0];
    let why = "its pull has not begun: it waits for a place; 5 of at most 5 pulls are under way, the oldest for 4s: image \"r.test/big:1\"";
    assert_eq!(read(block), ["the image of container c", why, who, next]);
    assert_eq!(times(&scene, block), (Some(3), None));
    assert_eq!(told.containers[1].waits_for, Some(Gate::Step(BlockedStep::Image)), "it has its own pull");

    let (told, _) = in_line(Some(PullsNote { places: 1, under_way: 1, oldest }));
    let why = "its pull has not begun: it waits for a place; images are pulled one at a time, and that of \"r.test/big:1\" has been for 4s";
    assert_eq!(read(&told.blocks[0])[1], why);
    // They may be over at this very moment.
    let (told, _) = in_line(None);
    assert_eq!(read(&told.blocks[0])[1], "its pull has not begun: it waits for a place");
}

#[test]
fn a_sandbox_in_line_tells_how_many_wait_for_the_runtime() {
    let mut scene = Scene::new("Always", vec![], vec![container("c")]);
    let key = ActionKey::CreateSandbox;
    while !scene.steps.contains_key(&key) {
        let actions = scene.look().actions;
        actions.iter().filter(|action| action.key() != key).for_each(|action| scene.succeed(action));
    }
    scene.pass(secs(1));
    let now = now(&scene);
    scene.past.wait_began(scene.steps[&key], now);
    scene.pass(secs(3));
    let told = |turns| {
        let beside = Beside { turns, ..Beside::default() };
        told_around(&scene, &Around { beside, ..Around::default() })
    };
    let next = "it goes on when one of the others is over, or has taken longer than three seconds";
    let waits = "it waits for its turn at the container runtime";
    for (places, waiting, more) in [
        (3, 8, ", which is given 3 things to make or start at a time; 8 wait"),
        (1, 2, ", which is given one thing to make or start at a time; 2 wait"),
        (3, 0, ""),
    ] {
        let told = told(TurnsNote { places, waiting });
        let [_, why, who, then] = read(&told.blocks[0]);
        assert_eq!((why, then), (format!("{waits}{more}"), next.to_owned()));
        assert!(who.starts_with("the container runtime"), "{who}");
        assert_eq!(times(&scene, &told.blocks[0]), (Some(3), None));
    }
}

#[test]
fn who_is_neither_blocked_nor_at_rest_waits_for_a_look() {
    let scene = Scene::new("Always", vec![], vec![container("c")]);
    let expected = [
        "the next look at the pod",
        "no step has failed, and none is under way",
        "nobody else: the kubelet is at it",
        "the kubelet looks again when something changes, or after the resync period",
    ];
    assert_eq!(read(only(&told(&scene))), expected);
}

#[test]
fn a_pod_that_runs_as_far_as_it_can_is_not_blocked() {
    let mut scene = Scene::new("Never", vec![], vec![container("a"), container("b")]);
    scene.settle();
    scene.exit("a", 0);
    scene.settle();
    let told = told(&scene);
    assert_eq!((told.standing, told.blocks), (Standing::NotReady, vec![]));
}
