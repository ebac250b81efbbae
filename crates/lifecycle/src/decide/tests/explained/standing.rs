//! A pod that is up, or on its way down: what is missing, and for whom it waits.

use super::*;

#[test]
fn a_pod_that_runs_has_nothing_to_say() {
    let mut scene = Scene::new("Always", vec![], vec![container("c")]);
    scene.settle();
    let told = told(&scene);
    assert_eq!(told.standing, Standing::Ready);
    assert_eq!(told.blocks, []);
    assert_eq!(told.containers[0].state.to_string(), "running");
    assert_eq!(told.containers[0].waits_for, None);
}

#[test]
fn an_unready_pod_names_probe_and_gate() {
    let mut scene = Scene::new(
        "Always",
        vec![],
        vec![Container { readiness_probe: Some(probe(None)), ..container("c") }],
    );
    scene.spec().readiness_gates = Some(vec![PodReadinessGate { condition_type: "example/lb".to_owned() }]);
    scene.settle();
    let told = told(&scene);
    assert_eq!(told.standing, Standing::NotReady);
    let steps: Vec<_> =
        told.blocks.iter().map(|block| (block.step.clone(), block.cause.to_string())).collect();
    assert_eq!(
        steps,
        [
            (BlockedStep::ReadinessProbe, "it has not run yet".to_owned()),
            (BlockedStep::ReadinessGate, "condition example/lb of the pod is not True".to_owned()),
        ]
    );
    // Both are passed.
    let id = scene.record("c").id.clone();
    let result = ProbeResult { id, started: None, ready: Some(true) };
    scene.probes.containers.insert("c".into(), result);
    scene.pod.status.as_mut().unwrap().conditions = Some(vec![PodCondition {
        type_: "example/lb".to_owned(),
        status: "True".to_owned(),
        ..PodCondition::default()
    }]);
    scene.look();
    let told = super::explained::told(&scene);
    assert_eq!((told.standing, told.blocks), (Standing::Ready, vec![]));
}

#[test]
fn a_silent_runtime_comes_first() {
    let mut scene = Scene::new("Always", vec![], vec![container("c")]);
    scene.settle();
    scene.runtime = Err("no answer".to_owned());
    scene.look();
    scene.pass(secs(2));
    scene.look();
    let told = told(&scene);
    let block = only(&told);
    assert_eq!(block.step, BlockedStep::Inspection);
    assert_eq!(block.cause.to_string(), "FailedSync: no answer");
    assert_eq!(block.actor, Actor::Runtime);
    assert_eq!(times(&scene, block), (Some(2), Some(2)));
    // A look that does not come back is told from its age on.
    let id = scene.past.inspecting(now(&scene));
    scene.past.call_began(id, "ListContainers", now(&scene));
    scene.pass(secs(40));
    let told = super::explained::told(&scene);
    let block = only(&told);
    assert_eq!(block.cause, BlockCause::UnderWay { call: Some("ListContainers") });
    assert_eq!(times(&scene, block).0, Some(40));
}

#[test]
fn a_pod_that_stops_names_whose_grace_it_is() {
    let mut scene = Scene::new("Always", vec![sidecar("side")], vec![container("c")]);
    scene.settle();
    scene.intent = Intent::Delete { grace: secs(30) };
    let stop = scene.look().actions;
    assert_eq!(brief(&stop), ["stop c 30"]);
    scene.pass(secs(10));
    let told = told(&scene);
    assert_eq!(told.standing.to_string(), "stopping: the pod is being deleted");
    let block = only(&told);
    assert_eq!(block.step, BlockedStep::Stop);
    assert_eq!(block.actor, Actor::Container("c".into()));
    assert_eq!((block.next.0, times(&scene, block)), (Next::Kill, (Some(10), Some(20))));
    assert_eq!(told.containers[0].waits_for, Some(Gate::Others));
    // Long after the end of the grace period it is no longer the program's fault.
    scene.pass(secs(60));
    assert_eq!(only(&super::explained::told(&scene)).actor, Actor::Runtime);
    // A stop that fails says so, also for which container.
    scene.answer(&stop[0], Err(Failure::new(FailureStep::Teardown, "shim is gone")));
    scene.look();
    let told = super::explained::told(&scene);
    let failed = told.blocks.iter().find(|block| matches!(block.cause, BlockCause::Failed { .. })).unwrap();
    assert_eq!(failed.cause.to_string(), "FailedKillPod: shim is gone");
    assert_eq!(failed.container.as_ref().map(|c| c.name.as_str()), Some("c"));
}

#[test]
fn ends_and_leftovers() {
    let mut scene = Scene::new("Never", vec![], vec![container("c")]);
    scene.settle();
    scene.exit("c", 0);
    scene.settle();
    let ended = told(&scene);
    assert_eq!(ended.standing.to_string(), "ended: nothing of the pod is left to run");
    assert_eq!(ended.blocks, []);
    assert_eq!(ended.containers[0].state.to_string(), "ended: 0 Completed");
    // Its removal hangs on a mount.
    let mut scene = Scene::new("Always", vec![], vec![container("c")]);
    scene.settle();
    scene.intent = Intent::Delete { grace: secs(1) };
    stuck(&mut scene, |action| {
        matches!(action, Action::UnmountVolumes).then(|| Failure::new(FailureStep::Teardown, "busy"))
    });
    let told = super::explained::told(&scene);
    let block = only(&told);
    assert_eq!(
        (block.step.clone(), block.cause.to_string()),
        (BlockedStep::Volumes, "FailedKillPod: busy".to_owned())
    );
    let gone = Around { finished: true, ..Around::default() };
    assert_eq!(told_around(&scene, &gone).standing, Standing::Gone);
}
