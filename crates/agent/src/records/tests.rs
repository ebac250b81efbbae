use std::time::Duration;

use fakes::{pods, runtime::FakeRuntime};
use jiff::Timestamp;
use lifecycle::{
    Outcome, Reason,
    explain::{Beside, ProbeKind, ProbeNote},
    reason::{ContainerKind, ContainerRef},
};
use seams::{
    Runtime,
    explain::{Explainer, Unknown, Wanted},
};

use super::{
    traced::{TracedRuntime, in_step},
    *,
};

/// Goes on by a millisecond at each reading.
#[derive(Default)]
struct Ticking(Mutex<u64>);

impl Clock for Ticking {
    fn now(&self) -> Tick {
        let mut millis = self.0.lock();
        *millis += 1;
        let wall = Timestamp::from_millisecond(i64::try_from(*millis).unwrap()).unwrap();
        Tick { mono: Duration::from_millis(*millis), wall }
    }
}

fn pod(namespace: &str, name: &str, uid: &str) -> Arc<Pod> {
    Arc::new(pods::pod(namespace, name, uid, &[("main", "image:1")]))
}

struct World {
    records: Arc<Records>,
    explainer: RecordsExplainer,
    clock: Arc<dyn Clock>,
}

fn world(probes: Vec<ProbeNote>) -> World {
    let clock: Arc<dyn Clock> = Arc::new(Ticking::default());
    let records = Arc::new(Records::new(Arc::clone(&clock)));
    let explainer = RecordsExplainer::new(
        Arc::clone(&records),
        Box::new(move |_, _| Beside { probes: probes.clone(), ..Beside::default() }),
        Arc::clone(&clock),
        "node-1".to_owned(),
    );
    World { records, explainer, clock }
}

fn wanted(text: &str) -> Wanted {
    match text.split_once('/') {
        Some((namespace, name)) => {
            Wanted { namespace: Some(namespace.to_owned()), name: name.to_owned(), uid: None }
        }
        None => Wanted { name: text.to_owned(), ..Wanted::default() },
    }
}

impl World {
    fn open(&self, pod: &Pod, source: PodSource) -> Arc<PodRecord> {
        self.records.open(&PodKey::of(pod), source, self.clock.now())
    }

    /// One look of a worker at a pod of which the runtime knows nothing.
    fn look(&self, record: &PodRecord, pod: &Arc<Pod>, state: &PodState) -> (Arc<PodState>, Vec<Action>) {
        let id = record.inspecting(self.clock.now());
        record.inspected(id, Some(&RuntimePod::default()), self.clock.now());
        let seen = Observation::of(Arc::clone(pod));
        let now = self.clock.now();
        let mut decision = lifecycle::decide(state, &seen, now);
        decision.why.push(Reason::ContainerCreated {
            container: ContainerRef { kind: ContainerKind::Regular, name: "main".into() },
        });
        let actions = decision.actions.clone();
        (record.decided(&seen, &mut decision, now), actions)
    }
}

#[test]
fn a_pod_is_told_of_from_its_first_sight_to_after_its_end() {
    let note = ProbeNote {
        container: "main".into(),
        kind: ProbeKind::Readiness,
        result: None,
        row: None,
        failure_threshold: 3,
        success_threshold: 1,
        next: None,
        last_failure: None,
    };
    let world = world(vec![note]);
    let pod = pod("default", "web", "u");
    let record = world.open(&pod, PodSource::Api);
    assert_eq!(world.explainer.explain(&wanted("web")).unwrap().decided, None);

    let (_, actions) = world.look(&record, &pod, &PodState::default());
    for action in &actions {
        record.began(action, world.clock.now());
    }
    let told = world.explainer.explain(&wanted("default/web")).unwrap();
    assert_eq!((told.phase.as_str(), told.standing.name.as_str()), ("Pending", "Starting"));
    assert_eq!(told.blocks[0].step.name, "Directories");
    assert_eq!(told.blocks[0].state, "under_way");
    assert_eq!(told.containers[0].waits_for.as_deref(), Some("the image"));
    assert_eq!(told.probes[0].text, "it has not run yet");
    assert_eq!(told.lately[0].event.as_deref(), Some("Created"));

    let done = Outcome { key: actions[0].key(), at: world.clock.now(), result: Ok(lifecycle::Done::Plain) };
    record.answered(&[done]);
    let timeline = world.explainer.timeline(&wanted("web")).unwrap();
    let first = &timeline.steps[0];
    assert_eq!((first.step.as_str(), first.state.as_str(), first.of_start), ("PrepareDirs", "done", true));
    assert!(first.span.duration_ms.is_some_and(|took| took > 0.0));
    assert_eq!(timeline.steps[1].state, "under_way");
    assert_eq!((timeline.inspections.len(), timeline.start), (1, None));

    world.records.ended(&"u".into());
    let told = world.explainer.explain(&wanted("web")).unwrap();
    assert!(told.ended.is_some());
    assert_eq!(told.phase, "Pending", "as it was last");
    let list = world.explainer.pods();
    assert_eq!((list.pods.len(), list.pods[0].ended.is_some()), (1, true));
}

#[test]
fn names_find_the_pod_that_is_meant() {
    let world = world(Vec::new());
    let found = |text: &str| world.explainer.explain(&wanted(text)).map(|told| told.pod.uid);
    assert_eq!(found("web"), Err(Unknown::NoSuchPod));
    world.open(&pod("a", "web", "1"), PodSource::Api);
    assert_eq!(found("web").unwrap(), "1");
    assert_eq!(found("b/web"), Err(Unknown::NoSuchPod));
    world.open(&pod("b", "web", "2"), PodSource::Api);
    assert!(matches!(found("web"), Err(Unknown::Several(pods)) if pods.len() == 2));
    assert_eq!(found("b/web").unwrap(), "2");
    let by_uid = Wanted { uid: Some("1".to_owned()), ..wanted("web") };
    assert_eq!(world.explainer.explain(&by_uid).unwrap().pod.uid, "1");
    // A static pod by its manifest's name; an API pod of such a name by that alone.
    world.open(&pod("default", "api-node-1", "3"), PodSource::File);
    assert_eq!(found("api").unwrap(), "3");
    assert_eq!(found("api-node-1").unwrap(), "3");
    world.open(&pod("default", "db-node-1", "4"), PodSource::Api);
    assert_eq!(found("db"), Err(Unknown::NoSuchPod));
    world.open(&pod("default", "api", "5"), PodSource::Api);
    assert_eq!(found("api").unwrap(), "5", "a name as written comes first");
    // What is there comes before what is gone; of that the newest counts.
    world.records.ended(&"2".into());
    assert_eq!(found("b/web").unwrap(), "2");
    world.open(&pod("b", "web", "6"), PodSource::Api);
    assert_eq!(found("b/web").unwrap(), "6");
    world.records.ended(&"6".into());
    assert_eq!(found("b/web").unwrap(), "6");
}

#[test]
fn pods_that_are_gone_are_forgotten_after_a_while() {
    let world = world(Vec::new());
    for n in 0..ENDED + 10 {
        let uid = format!("u{n}");
        world.open(&pod("default", &format!("job-{n}"), &uid), PodSource::Api);
        world.records.ended(&uid.as_str().into());
    }
    let list = world.explainer.pods();
    assert_eq!(list.pods.len(), ENDED);
    assert_eq!(list.pods[0].pod.name, format!("job-{}", ENDED + 9), "the newest first");
    assert!(world.explainer.explain(&wanted("job-0")).is_err());
    // One that never had a worker leaves nothing.
    world.open(&pod("default", "held", "h"), PodSource::File);
    let other = Hold::Namesake(PodKey::of(&pod("default", "held", "old")));
    assert!(world.records.held(&"h".into(), other.clone()));
    assert!(!world.records.held(&"h".into(), other), "once");
    assert_eq!(world.explainer.explain(&wanted("held")).unwrap().blocks[0].step.name, "Namesake");
    world.records.forget(&"h".into());
    assert!(world.explainer.explain(&wanted("held")).is_err());
}

#[tokio::test]
async fn calls_write_themselves_into_the_step_that_makes_them() {
    let world = world(Vec::new());
    let traced = TracedRuntime::new(Arc::new(FakeRuntime::new()), Arc::clone(&world.clock));
    let pod = pod("default", "web", "u");
    let record = world.open(&pod, PodSource::Api);
    // Outside of any step.
    traced.image_status("image:1", "").await.unwrap();
    let action = Action::EnsureImage { container: "main".into() };
    let id = record.began(&action, world.clock.now());
    in_step(Arc::clone(&record), id, async {
        traced.image_status("image:1", "").await.unwrap();
        // Given up: its end is recorded all the same.
        let mut given_up = Box::pin(traced.image_status("image:1", ""));
        assert!(futures::poll!(&mut given_up).is_ready() || futures::poll!(&mut given_up).is_pending());
        drop(given_up);
    })
    .await;
    let timeline = world.explainer.timeline(&wanted("web")).unwrap();
    let calls: Vec<_> = timeline.steps[0].calls.iter().map(|call| call.call.as_str()).collect();
    assert_eq!(calls, ["ImageStatus", "ImageStatus"]);
    assert!(timeline.steps[0].calls.iter().all(|call| call.span.duration_ms.is_some()));
}
