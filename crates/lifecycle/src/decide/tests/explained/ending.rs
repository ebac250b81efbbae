//! A pod that is to go, or may not come: what its end waits for.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;

use super::*;

const STOPS_THEN: &str = "the pod goes on to stop when this is done: what it makes has to go too";

/// A pod that is deleted while a call of its start hangs, two minutes after that began.
fn deleted_while(hangs: fn(&Action) -> bool, call: &'static str) -> (Scene, Action) {
    let mut scene = Scene::new("Always", vec![], vec![container("c")]);
    let mut hung = None;
    let mut rounds = |scene: &mut Scene| {
        for _ in 0..10 {
            for action in scene.look().actions {
                if hangs(&action) {
                    let now = now(scene);
                    scene.past.call_began(scene.steps[&action.key()], call, now);
                    hung = Some(action);
                } else {
                    scene.succeed(&action);
                }
            }
        }
    };
    rounds(&mut scene);
    scene.pass(secs(120));
    scene.intent = Intent::Delete { grace: secs(30) };
    rounds(&mut scene);
    (scene, hung.unwrap())
}

#[test]
fn a_deletion_names_the_call_that_it_waits_for() {
    for (hangs, call, step) in [
        (
            (|action: &Action| matches!(action, Action::CreateSandbox { .. })) as fn(&Action) -> bool,
            "RunPodSandbox",
            "the sandbox",
        ),
        (
            |action| matches!(action, Action::CreateContainer { .. }),
            "CreateContainer",
            "the creation of container c",
        ),
        (
            |action| matches!(action, Action::StartContainer { .. }),
            "StartContainer",
            "the start of container c",
        ),
    ] {
        let (mut scene, action) = deleted_while(hangs, call);
        let told = told(&scene);
        assert_eq!(told.standing.to_string(), "stopping: the pod is being deleted");
        let block = only(&told);
        let why = format!("it is under way: the runtime works on {call}");
        assert_eq!(read(block), [step, &why, "the container runtime; its log tells more", STOPS_THEN]);
        assert_eq!(times(&scene, block), (Some(120), None));
        // Its failure is no trouble any more, and is not tried again.
        scene.fail(&action, FailureStep::Sandbox, "no such network");
        scene.settle();
        let gone = Around { finished: true, ..Around::default() };
        assert_eq!(told_around(&scene, &gone).blocks, [], "{call}");
    }
}

#[test]
fn a_pull_that_was_given_up_does_not_hold_the_end() {
    let (mut scene, action) =
        deleted_while(|action| matches!(action, Action::EnsureImage { .. }), "PullImage");
    let told = told(&scene);
    assert_eq!(only(&told).step, BlockedStep::CleanUp);
    scene.fail(&action, FailureStep::ImagePull, "cancelled: the pod is being stopped");
    scene.look();
    assert_eq!(super::told(&scene).blocks.iter().find(|block| block.step == BlockedStep::CleanUp), None);
}

/// A pod that is deleted and of whose end the API server does not hold the last word.
fn untold() -> Scene {
    let mut scene = Scene::new("Always", vec![], vec![container("c")]);
    scene.settle();
    scene.answers = false;
    scene.intent = Intent::Delete { grace: secs(1) };
    scene.settle();
    scene.pass(secs(40));
    scene.look();
    scene
}

fn beside(report: ReportNote) -> Around {
    Around { beside: Beside { report: Some(report), ..Beside::default() }, ..Around::default() }
}

#[test]
fn an_end_that_the_api_server_does_not_take_says_why() {
    let scene = untold();
    let now = Stamp::from(now(&scene));
    let since = Stamp::from(Tick { mono: scene.mono - secs(40), wall: scene.wall - secs(40) });
    let failed = |what, obstacle, message: &str| {
        let failure = Some(ReportFailure { obstacle, message: message.to_owned(), tries: 6 });
        ReportNote { what, since, failure, next: Some(now.after(secs(7))) }
    };
    let admin =
        "whoever looks after the cluster: its API server, or a webhook, refuses what the kubelet tells";
    for (what, obstacle, message, step, why, who) in [
        (
            Report::Status,
            ReportObstacle::Unreachable,
            "cannot reach the API server at https://api: refused",
            "the report of the pod's status",
            "Unreachable: cannot reach the API server at https://api: refused",
            "the API server: it could not be asked",
        ),
        (
            Report::Status,
            ReportObstacle::Forbidden,
            "pods \"p\" is forbidden",
            "the report of the pod's status",
            "Forbidden: pods \"p\" is forbidden",
            admin,
        ),
        (
            Report::Deletion,
            ReportObstacle::Refused,
            "admission webhook \"w\" denied the request",
            "the deletion of the pod's object",
            "Refused: admission webhook \"w\" denied the request",
            admin,
        ),
    ] {
        let told = told_around(&scene, &beside(failed(what, obstacle, message)));
        assert_eq!(told.standing.to_string(), "ended: the pod is being deleted");
        let block = only(&told);
        assert_eq!(read(block), [step, why, who, "the kubelet tries again"]);
        assert_eq!(times(&scene, block), (Some(40), Some(7)));
        let BlockCause::Failed { tries: 6, .. } = block.cause else { panic!("{block:?}") };
    }
    // It is being tried.
    let again = ReportNote { next: None, ..failed(Report::Deletion, ReportObstacle::Refused, "no") };
    assert_eq!(only(&told_around(&scene, &beside(again))).next, (Next::Retrying, None));
    let first = ReportNote { what: Report::Status, since: now, failure: None, next: None };
    let told = told_around(&scene, &beside(first));
    let who = "the API server: its answer is awaited";
    let next = "the pod goes on when this is done";
    assert_eq!(read(only(&told)), ["the report of the pod's status", "it is under way", who, next]);
}

#[test]
fn an_end_that_the_api_server_does_not_show_waits_for_it() {
    let mut scene = untold();
    let told = told(&scene);
    let block = only(&told);
    let expected = [
        "the report of the pod's status",
        "the API server has taken it, and does not show it yet",
        "the API server: its answer is awaited",
        "what is kept of the pod is removed when it is shown",
    ];
    assert_eq!(read(block), expected);
    assert_eq!(times(&scene, block).0, Some(40));
    scene.answers = true;
    scene.look();
    scene.settle();
    let finished = Around { finished: true, ..Around::default() };
    assert_eq!(told_around(&scene, &finished).blocks, []);
    // Its object may have others to wait for.
    scene.pod.metadata.finalizers = Some(vec!["example.com/a".to_owned(), "example.com/b".to_owned()]);
    let told = told_around(&scene, &finished);
    let expected = [
        "the finalizers of the pod's object",
        "nothing of the pod is left on this node; its object has example.com/a, example.com/b",
        "the controllers that own the finalizers",
        "the object goes when they are removed",
    ];
    assert_eq!(read(only(&told)), expected);
}

#[test]
fn a_pod_that_runs_says_when_its_report_is_late() {
    let mut scene = Scene::new("Always", vec![], vec![container("c")]);
    scene.settle();
    let since = Stamp::from(now(&scene));
    let note = ReportNote { what: Report::Status, since, failure: None, next: None };
    let told = told_around(&scene, &beside(note.clone()));
    assert_eq!((told.standing, told.blocks), (Standing::Ready, vec![]));
    scene.pass(secs(2));
    let told = told_around(&scene, &beside(note));
    assert_eq!((&told.standing, &only(&told).step), (&Standing::Ready, &BlockedStep::Report));
}

#[test]
fn a_refused_pod_says_who_and_what_next() {
    let mut scene = Scene::new("Always", vec![], vec![container("c")]);
    scene.admission = Admission::Rejected { reason: "OutOfcpu".into(), message: "too little".into() };
    scene.settle();
    scene.pass(secs(9));
    let refused = told(&scene);
    assert_eq!(refused.standing.to_string(), "ended: rejected, OutOfcpu: too little");
    let block = only(&refused);
    let who =
        "whoever wrote the pod, or looks after the node: it asks for what the node does not have or allow";
    let next = "it is not tried again: another pod has to be made in its place";
    assert_eq!(read(block), ["the pod's admission to this node", "OutOfcpu: too little", who, next]);
    assert_eq!(times(&scene, block).0, Some(9));
    let next = |scene: &Scene| only(&told(scene)).next.0.to_string();
    let owner = OwnerReference { controller: Some(true), ..OwnerReference::default() };
    scene.pod.metadata.owner_references = Some(vec![owner]);
    assert_eq!(next(&scene), "it is not tried again: the controller that owns it makes another pod");
    scene.source = PodSource::File;
    assert_eq!(next(&scene), "it is judged again when its manifest changes, or the kubelet starts anew");
    // Once it goes, that is over.
    scene.source = PodSource::Api;
    scene.intent = Intent::Delete { grace: secs(1) };
    scene.settle();
    let gone = Around { finished: true, ..Around::default() };
    assert_eq!(told_around(&scene, &gone).blocks, []);
}
