use fakes::{
    clock::TokioClock,
    runtime::{Code, FakeRuntime, Fault, When},
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
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(health.relist_problem(), None);
    assert_eq!(metrics.pods.relist_seconds.count(), 1);
    assert!(metrics.pods.relisted_at.get() > 1e9);

    core.plan("ListPodSandbox", Fault::Hang, When::Before, None);
    tokio::time::sleep(RELIST_PERIOD * 2).await;
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
