use fakes::{
    clock::TokioClock,
    pods,
    runtime::{Code, FakeRuntime, Fault, When, container_request, sandbox_request},
};

use super::*;

fn clock() -> Arc<dyn Clock> {
    Arc::new(TokioClock::at("2026-11-24T01:02:03Z".parse().unwrap()))
}

#[tokio::test(start_paused = true)]
async fn a_list_that_hangs_holds_up_no_hint_and_shows_as_unhealthy() {
    let runtime = FakeRuntime::new();
    let core = runtime.core.clone();
    let (bells, health) =
        (Arc::new(Bells::default()), Arc::new(Health::new(clock(), Duration::from_secs(60))));
    let (strangers, _strangers_seen) = mpsc::channel(8);
    let bell = Arc::new(Bell::default());
    bells.add(PodUid::from("u".to_owned()), Arc::clone(&bell));
    let (running, _running_seen) = watch::channel(BTreeSet::new());
    let metrics = Metrics::new();
    let counts = Relists::new(Arc::clone(&metrics), clock());
    tokio::spawn(watch_pods(
        Arc::new(runtime),
        Arc::clone(&bells),
        strangers,
        Arc::clone(&health),
        running,
        counts,
    ));
    core.until("a first list", Duration::from_secs(1), |core| core.count("ListPodSandbox") == 1)
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(health.relist_problem(), None);
    assert_eq!(metrics.pods.relist_seconds.count(), 1);
    assert!(metrics.pods.relisted_at.get() > 1e9);

    core.plan("ListPodSandbox", Fault::Hang, When::Before, None);
    tokio::time::sleep(trust::SELDOM * 2).await;
    assert_eq!(core.in_flight("ListPodSandbox"), 1, "one list at a time");
    // A ring that came before is none that counts.
    drop(tokio::time::timeout(Duration::from_secs(1), bell.rung()).await);
    core.break_event_streams();
    // A gap in the events rings all bells, though the list still hangs.
    tokio::time::timeout(Duration::from_secs(10), bell.rung()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert!(health.relist_problem().is_some());
}

#[tokio::test(start_paused = true)]
async fn health_keeps_the_last_answer_and_the_time_of_the_last_good_one() {
    let runtime = FakeRuntime::new();
    let core = runtime.core.clone();
    let (network, _network_seen) = watch::channel(Err(String::new()));
    let (published, mut seen) = watch::channel(RuntimeHealth::default());
    let reports = Reports { network, runtime: published };
    tokio::spawn(watch_status(Arc::new(runtime), clock(), reports));
    seen.wait_for(|health| health.status.is_some()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(12)).await;
    assert_eq!(seen.borrow().good_at.map(|at| at.as_secs()), Some(10));
    // Time alone wakes nobody.
    assert!(!seen.has_changed().unwrap());

    core.plan("Status", Fault::Fail(Code::Unavailable, "gone".to_owned()), When::Before, None);
    tokio::time::sleep(Duration::from_secs(60)).await;
    let known = seen.borrow_and_update().clone();
    assert!(known.status.is_some() && known.error.is_some());
    assert_eq!(known.good_at.map(|at| at.as_secs()), Some(10));

    core.heal("Status");
    seen.wait_for(|health| health.error.is_none()).await.unwrap();
    core.set_ready(Err(("R", "m")), Ok(()));
    seen.wait_for(|h| h.status.as_ref().is_some_and(|s| s.runtime_ready.as_ref().is_some_and(|c| !c.ready)))
        .await
        .unwrap();
    let bad_since = seen.borrow().good_at;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(seen.borrow().good_at, bad_since, "an answer that says no is no good one");
}

/// Starts the observer of a runtime in which one pod runs.
async fn observed() -> (fakes::runtime::Core, ContainerId, watch::Receiver<BTreeSet<ContainerId>>) {
    let runtime = FakeRuntime::new();
    let core = runtime.core.clone();
    core.add_image("img", None, "");
    let sandbox = sandbox_request(pods::pod("ns", "p", "u", &[("c", "img")]));
    let id = runtime.run_sandbox(&sandbox).await.unwrap();
    let container = runtime.create_container(&container_request(&sandbox, &id, "c", 0)).await.unwrap();
    runtime.start_container(&container).await.unwrap();
    let (strangers, strangers_seen) = mpsc::channel(8);
    let (running, running_seen) = watch::channel(BTreeSet::new());
    let counts = Relists::new(Metrics::new(), clock());
    let health = Arc::new(Health::new(clock(), Duration::from_secs(60)));
    tokio::spawn(async move {
        let _seen = strangers_seen;
        watch_pods(Arc::new(runtime), Arc::default(), strangers, health, running, counts).await;
    });
    (core, container, running_seen)
}

/// Lists that are made meanwhile.
async fn lists(core: &fakes::runtime::Core, seconds: u64) -> usize {
    let before = core.count("ListPodSandbox");
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    core.count("ListPodSandbox") - before
}

#[tokio::test(start_paused = true)]
async fn lists_are_frequent_in_the_first_minute_only() {
    let (core, container, _running) = observed().await;
    let young = lists(&core, 58).await;
    assert!((57..=59).contains(&young), "{young}");
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(lists(&core, 600).await <= 10);
    // What is announced is no reason for doubt.
    core.exit_container(container.as_str(), 0);
    assert!(lists(&core, 600).await <= 10);
}

#[tokio::test(start_paused = true)]
async fn an_end_that_nothing_announced_makes_lists_frequent_for_a_while() {
    let (core, container, mut running) = observed().await;
    tokio::time::sleep(Duration::from_secs(120)).await;
    core.lose_events(1);
    core.exit_container(container.as_str(), 0);
    let gone = running.wait_for(BTreeSet::is_empty);
    tokio::time::timeout(trust::SELDOM * 2, gone).await.unwrap().unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(lists(&core, 100).await >= 99);
    tokio::time::sleep(Duration::from_secs(200)).await;
    assert!(lists(&core, 600).await <= 10, "trusted again");
}

#[test]
fn a_list_rings_for_what_a_worker_does_not_know() {
    let uid = PodUid::from("u".to_owned());
    let (bells, bell) = (Bells::default(), Arc::new(Bell::default()));
    bells.add(uid.clone(), Arc::clone(&bell));
    let mut pod = ListedPod {
        uid: uid.clone(),
        namespace: "ns".to_owned(),
        name: "p".to_owned(),
        sandboxes: vec![("s".into(), true)],
        containers: vec![("c".into(), RuntimeState::Running)],
    };
    let listed = |pod: &ListedPod| BTreeMap::from([(pod.uid.clone(), pod.clone())]);
    let rings = |list: &BTreeMap<PodUid, ListedPod>| {
        assert_eq!(bells.compare(list), []);
        bell.take_runtime()
    };
    assert!(!rings(&BTreeMap::new()), "nothing known, nothing there");
    assert!(rings(&listed(&pod)));
    assert!(rings(&listed(&pod)), "until it has looked");
    bell.knows(Some(digest(&pod)));
    assert!(!rings(&listed(&pod)));
    // Two lists may show the same, and the account something else: what came and went between them.
    assert!(rings(&BTreeMap::new()));
    pod.containers[0].1 = RuntimeState::Exited;
    assert!(rings(&listed(&pod)));
    bell.knows(None);
    assert!(rings(&listed(&pod)), "the runtime did not tell when it was asked, and does now");
    let stranger = ListedPod { uid: "v".into(), ..pod };
    assert_eq!(bells.compare(&listed(&stranger)), [PodUid::from("v")]);
}
