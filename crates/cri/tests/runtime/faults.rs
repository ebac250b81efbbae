//! A runtime that hangs, fails, is away, or says too much; endpoints that are none.

use super::*;

#[tokio::test]
async fn a_hung_runtime_costs_its_deadline_and_only_its_own_pod() {
    let world = World::with_timeout(Duration::from_millis(300));
    let (_, id) = world.started("u").await;
    world.core.plan("StartContainer", Fault::Hang, When::Before, Some(1));
    let error = world.runtime.start_container(&id).await.unwrap_err();
    let RuntimeError::Deadline { call, after } = &error else { panic!("{error}") };
    assert_eq!((*call, *after), ("StartContainer", Duration::from_millis(300)));
    world.runtime.inspect_pod(&uid("u")).await.unwrap();

    // A stop may take its grace on top, a sandbox twice the time, a pull as long as it likes.
    let on_term = OnTerm::Exit(Duration::from_millis(700), 0);
    world.core.script_container("c", ContainerScript { on_term, ..ContainerScript::default() });
    world.runtime.stop_container(&id, Duration::from_secs(1)).await.unwrap();
    let slow = Fault::Delay(Duration::from_millis(450));
    world.core.plan("RunPodSandbox", slow.clone(), When::Before, Some(1));
    world.runtime.run_sandbox(&world.sandbox("v", 0)).await.unwrap();
    world.core.script_image("slow", ImageScript::Pulls(Duration::from_millis(700)));
    world.runtime.pull_image("slow", None, &world.sandbox("u", 0)).await.unwrap();
    world.core.plan("Version", slow, When::Before, Some(1));
    assert!(matches!(world.runtime.version().await, Err(RuntimeError::Deadline { .. })));
}

#[tokio::test]
async fn dropping_a_pull_ends_it_at_the_runtime() {
    let world = World::new();
    world.core.script_image("forever", ImageScript::Hangs);
    let pull = tokio::spawn({
        let (runtime, sandbox) = (world.runtime.clone(), world.sandbox("u", 0));
        async move { runtime.pull_image("forever", None, &sandbox).await }
    });
    world.core.until("pulling", LIMIT, |c| c.in_flight("PullImage") == 1).await.unwrap();
    pull.abort();
    world.core.until("ended", LIMIT, |c| c.in_flight("PullImage") == 0).await.unwrap();
}

#[tokio::test]
async fn commands_end_at_their_timeout() {
    let world = World::new();
    let exec = (Duration::from_secs(30), 0, String::new());
    world.core.script_container("c", ContainerScript { exec, ..ContainerScript::default() });
    let (_, id) = world.started("u").await;
    let error = world.runtime.exec(&id, &["sleep".into()], Duration::from_secs(1)).await.unwrap_err();
    assert_eq!(error, RuntimeError::Deadline { call: "ExecSync", after: Duration::from_secs(1) });
}

#[tokio::test]
async fn errors_are_typed() {
    let world = World::new();
    let gone = ContainerId::from("gone");
    let error = world.runtime.stop_container(&gone, Duration::ZERO).await.unwrap_err();
    assert!(matches!(error, RuntimeError::NotFound { call: "StopContainer", .. }), "{error}");
    world.core.plan("RunPodSandbox", Fault::Fail(Code::Unknown, "no network".into()), When::Before, Some(1));
    let error = world.runtime.run_sandbox(&world.sandbox("u", 0)).await.unwrap_err();
    assert_eq!(error.to_string(), "rpc error: code = Unknown desc = no network");
}

#[tokio::test]
async fn a_runtime_that_is_away_is_named_and_found_again() {
    let mut world = World::new();
    world.runtime.version().await.unwrap();
    world.server.stop().await;
    let missing = async {
        loop {
            // The connection that breaks under a call and the one that cannot be made are both "unreachable".
            let error = world.runtime.version().await.unwrap_err();
            assert!(matches!(error, RuntimeError::Unreachable { .. }), "{error}");
            let text = error.to_string();
            if text.contains("there is no socket") {
                break text;
            }
            tokio::task::yield_now().await;
        }
    };
    let text = tokio::time::timeout(LIMIT, missing).await.unwrap();
    assert!(text.contains(&world.path("cri.sock")) && text.contains("hint:"), "{text}");

    world.server.resume().unwrap();
    let back = async {
        while world.runtime.version().await.is_err() {
            tokio::task::yield_now().await
        }
    };
    tokio::time::timeout(LIMIT, back).await.unwrap();
}

#[tokio::test]
async fn answers_up_to_16_mib() {
    let world = World::new();
    for n in 0..60 {
        world.core.add_image(&format!("{n}-{}", "x".repeat(100_000)), None, "");
    }
    assert_eq!(world.runtime.list_images().await.unwrap().len(), 61, "12 MB in one answer");
}

#[test]
fn endpoints_are_checked_at_once() {
    let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _inside = tokio.enter();
    assert!(CriRuntime::connect(&CriConfig::new("tcp://1.2.3.4:5")).is_err());
    let bare = CriRuntime::connect(&CriConfig::new("/run/x.sock")).unwrap();
    assert!(bare.warnings()[0].contains("unix:///run/x.sock"), "{:?}", bare.warnings());
    let image = CriConfig { image_endpoint: "http://x".into(), ..CriConfig::new("unix:///run/x.sock") };
    assert!(CriRuntime::connect(&image).is_err());
}
