//! Hints from events, over gaps, and without events.

use super::*;

/// Reads hints until one satisfies.
async fn hint(hints: &mut Receiver<RuntimeHint>, wanted: &RuntimeHint) {
    let read = async {
        loop {
            if hints.recv().await.expect("the edge goes on sending") == *wanted {
                break;
            }
        }
    };
    tokio::time::timeout(LIMIT, read).await.unwrap_or_else(|_| panic!("no {wanted:?}"));
}

fn object(pod: &str, id: &ContainerId, became: Became) -> RuntimeHint {
    RuntimeHint::Object(uid(pod), ObjectEvent { id: id.clone(), became })
}

/// Hints that are there now.
fn drain(hints: &mut Receiver<RuntimeHint>) -> Vec<RuntimeHint> {
    std::iter::from_fn(|| hints.try_recv().ok()).collect()
}

#[tokio::test]
async fn events_become_hints() {
    let world = World::new();
    let mut hints = world.runtime.hints();
    hint(&mut hints, &RuntimeHint::Everything).await;
    let (_, id) = world.started("u").await;
    hint(&mut hints, &object("u", &id, Became::Made)).await;
    hint(&mut hints, &object("u", &id, Became::Started)).await;
    world.core.exit_container(id.as_str(), 0);
    hint(&mut hints, &object("u", &id, Became::Stopped)).await;
    world.runtime.remove_container(&id, LogFate::Remove).await.unwrap();
    hint(&mut hints, &object("u", &id, Became::Gone)).await;
    // Nothing is polled while events flow.
    assert_eq!(world.core.count("ListContainers"), 0);
}

#[tokio::test]
async fn every_gap_in_the_events_ends_with_everything() {
    let mut world = World::new();
    let mut hints = world.runtime.hints();
    hint(&mut hints, &RuntimeHint::Everything).await;
    let (_, id) = world.started("u").await;
    hint(&mut hints, &object("u", &id, Became::Started)).await;
    world.core.break_event_streams();
    hint(&mut hints, &RuntimeHint::Everything).await;
    let again = |c: &Core| c.count("GetContainerEvents") >= 2;
    world.core.until("stream opened again", LIMIT, again).await.unwrap();

    drain(&mut hints);
    world.server.stop().await;
    hint(&mut hints, &RuntimeHint::Everything).await;
    world.server.resume().unwrap();
    let opened = world.core.count("GetContainerEvents");
    let again = |c: &Core| c.count("GetContainerEvents") > opened;
    world.core.until("stream opened after a restart", LIMIT, again).await.unwrap();
    hint(&mut hints, &RuntimeHint::Everything).await;
    let (_, id) = world.started("v").await;
    hint(&mut hints, &object("v", &id, Became::Started)).await;
}

#[tokio::test]
async fn without_events_lists_are_compared() {
    let mut world = World::new();
    world.core.events_supported(false);
    world.started("calm").await;
    let mut hints = world.runtime.hints();
    hint(&mut hints, &RuntimeHint::Everything).await;
    let (_, id) = world.started("u").await;
    hint(&mut hints, &RuntimeHint::Pod(uid("u"))).await;
    world.core.exit_container(id.as_str(), 0);
    hint(&mut hints, &RuntimeHint::Pod(uid("u"))).await;
    world.core.kill_sandbox(world.core.sandboxes()[1].id.as_str());
    hint(&mut hints, &RuntimeHint::Pod(uid("u"))).await;
    let rest: BTreeSet<String> = drain(&mut hints).iter().map(|h| format!("{h:?}")).collect();
    assert!(!rest.iter().any(|h| h.contains("calm")), "{rest:?}");

    // A runtime that comes back as a newer version is asked for events again.
    world.core.events_supported(true);
    world.server.stop().await;
    // Away for longer than the second between two looks: nothing but time tells that one has failed.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    drain(&mut hints);
    let asked = world.core.count("GetContainerEvents");
    world.server.resume().unwrap();
    hint(&mut hints, &RuntimeHint::Everything).await;
    world.core.until("asked again", LIMIT, |c| c.count("GetContainerEvents") > asked).await.unwrap();
}

#[tokio::test]
async fn one_list_that_fails_is_not_asked_for_without_a_pause() {
    let world = World::new();
    world.core.events_supported(false);
    world.core.plan("ListContainers", Fault::Fail(Code::Unknown, "broken".to_owned()), When::Before, None);
    let mut hints = world.runtime.hints();
    hint(&mut hints, &RuntimeHint::Everything).await;
    let before = world.core.count("ListContainers");
    tokio::time::sleep(Duration::from_secs(2)).await;
    let looks = world.core.count("ListContainers") - before;
    assert!(looks < 10, "{looks} looks in two seconds");
    world.core.heal("ListContainers");
    hint(&mut hints, &RuntimeHint::Listing).await;
    let (_, id) = world.started("u").await;
    world.core.exit_container(id.as_str(), 0);
    hint(&mut hints, &RuntimeHint::Pod(uid("u"))).await;
}

#[tokio::test]
async fn events_that_may_go_to_others_are_not_relied_upon() {
    let world = World::new();
    world.core.runtime_is("containerd", "v1.7.24");
    let mut hints = world.runtime.hints();
    hint(&mut hints, &RuntimeHint::Everything).await;
    let (_, id) = world.started("u").await;
    hint(&mut hints, &RuntimeHint::Pod(uid("u"))).await;
    world.core.lose_events(1);
    world.core.exit_container(id.as_str(), 0);
    hint(&mut hints, &RuntimeHint::Pod(uid("u"))).await;
    assert_eq!(world.core.count("GetContainerEvents"), 0);
}

#[tokio::test]
async fn a_slow_receiver_loses_hints_but_not_the_news() {
    let world = World::new();
    let mut hints = world.runtime.hints();
    hint(&mut hints, &RuntimeHint::Everything).await;
    for attempt in 0..300 {
        let id = world.runtime.run_sandbox(&world.sandbox("u", attempt)).await.unwrap();
        world.core.kill_sandbox(id.as_str());
    }
    hint(&mut hints, &RuntimeHint::Everything).await;
}

#[tokio::test]
async fn the_task_ends_with_its_receiver() {
    let world = World::new();
    world.core.events_supported(false);
    let mut hints = world.runtime.hints();
    hint(&mut hints, &RuntimeHint::Everything).await;
    drop(hints);
    // One look may be under way; after it there are no more.
    tokio::time::sleep(Duration::from_millis(1200)).await;
    let looks = world.core.count("ListContainers");
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(world.core.count("ListContainers"), looks);
}
