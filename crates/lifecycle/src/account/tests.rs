use lifecycle::{Failure, FailureStep, Tick, observation::SandboxRecord};
use tokio::time::Duration;

use super::*;

fn pod() -> Pod {
    let pod = serde_json::json!({"spec": {"containers": [{"name": "c", "image": "image:1"}]}});
    serde_json::from_value(pod).unwrap()
}

fn creation() -> Action {
    Action::CreateContainer {
        container: "c".into(),
        attempt: 3,
        sandbox: "s".into(),
        image_ref: "sha256:1".to_owned(),
    }
}

fn outcome(key: ActionKey, result: Result<Done, Failure>) -> Outcome {
    let wall = jiff::Timestamp::from_second(1_800_000_000).unwrap();
    Outcome { key, at: Tick { mono: Duration::from_secs(1), wall }, result }
}

fn made(id: &str) -> Outcome {
    outcome(creation().key(), Ok(Done::Container(id.into())))
}

fn did(key: ActionKey) -> Outcome {
    outcome(key, Ok(Done::Plain))
}

fn told(id: &str, became: Became) -> BTreeSet<ObjectEvent> {
    [ObjectEvent { id: id.into(), became }].into()
}

fn nothing() -> BTreeSet<ObjectEvent> {
    BTreeSet::new()
}

fn rests() -> Running {
    Running::default()
}

struct Still;

impl seams::Clock for Still {
    fn now(&self) -> Tick {
        Tick { mono: Duration::ZERO, wall: jiff::Timestamp::UNIX_EPOCH }
    }
}

fn does(key: ActionKey) -> Running {
    let mut running = Running::default();
    running.spawn(key, std::sync::Arc::new(Still), std::future::pending());
    running
}

/// A sandbox, and a container in it.
fn seen(state: RuntimeState) -> Option<RuntimePod> {
    let then = jiff::Timestamp::UNIX_EPOCH;
    let sandbox = SandboxRecord {
        id: "s".into(),
        attempt: 0,
        ready: true,
        created_at: then,
        ips: Vec::new(),
        without_address: false,
        host_network: false,
    };
    let container = ContainerRecord { state, ..ContainerRecord::created("k", "c", 0, "s", then) };
    Some(RuntimePod { sandboxes: vec![sandbox], containers: vec![container] })
}

#[test]
fn a_creation_is_taken_at_its_word() {
    let mut account = Account::default();
    account.asked(&creation(), &pod());
    let empty = Some(RuntimePod::default());
    let seen = account.update(empty, &[made("k")], told("k", Became::Made), &rests()).unwrap();
    let record = &seen.containers[0];
    assert_eq!((record.id.as_str(), record.attempt, record.sandbox.as_str()), ("k", 3, "s"));
    assert_eq!(record.hash, container_hash("c", "image:1"));
    assert_eq!(record.image, "image:1");
    assert_eq!(record.created_at, made("k").at.wall);
    // Word of it may come later, or of another one, which nobody asked for.
    let seen = account.update(Some(seen), &[], told("k", Became::Made), &rests());
    assert!(seen.is_some());
    assert_eq!(account.update(seen, &[], told("other", Became::Made), &rests()), None);
}

#[test]
fn a_creation_that_a_look_has_found_is_entered_once() {
    let mut account = Account::default();
    account.asked(&creation(), &pod());
    let before = seen(RuntimeState::Running);
    assert_eq!(account.update(before.clone(), &[made("k")], nothing(), &rests()), before);
}

#[tokio::test]
async fn word_of_what_is_under_way_waits_for_the_answer() {
    let mut account = Account::default();
    account.asked(&creation(), &pod());
    let making = does(creation().key());
    let empty = || Some(RuntimePod::default());
    assert!(account.update(empty(), &[], told("k", Became::Made), &making).is_some());
    assert!(account.update(empty(), &[made("k")], nothing(), &rests()).is_some());
    account.asked(&creation(), &pod());
    account.update(empty(), &[], told("late", Became::Made), &making);
    assert_eq!(account.update(empty(), &[made("k")], nothing(), &rests()), None, "two were made");
    let stopping = does(ActionKey::StopSandbox("s".into()));
    let dead = || seen(RuntimeState::Exited);
    assert!(account.update(dead(), &[], told("s", Became::Stopped), &stopping).is_some());
    assert_eq!(account.update(dead(), &[], told("s", Became::Stopped), &rests()), None, "by itself");
    let removing = does(ActionKey::RemoveContainer("k".into()));
    assert!(account.update(dead(), &[], told("k", Became::Gone), &removing).is_some());
    assert_eq!(account.update(dead(), &[], told("k", Became::Gone), &rests()), None, "by somebody else");
}

#[test]
fn the_end_of_a_sandbox_and_removals_are_known_by_their_answers() {
    let mut account = Account::default();
    let stopped = did(ActionKey::StopSandbox("s".into()));
    let running = seen(RuntimeState::Running);
    assert_eq!(
        account.update(running, std::slice::from_ref(&stopped), nothing(), &rests()),
        None,
        "how did c end?"
    );
    let seen = seen(RuntimeState::Exited);
    let seen = account.update(seen, &[stopped], told("s", Became::Stopped), &rests()).unwrap();
    assert!(!seen.sandboxes[0].ready);
    let removed = did(ActionKey::RemoveContainer("k".into()));
    let seen = account.update(Some(seen), &[removed], told("k", Became::Gone), &rests()).unwrap();
    assert!(seen.containers.is_empty());
    let removed = did(ActionKey::RemoveSandbox("s".into()));
    let seen = account.update(Some(seen), &[removed], told("s", Became::Gone), &rests());
    assert_eq!(seen, Some(RuntimePod::default()));
}

#[test]
fn everything_else_wants_a_look() {
    let mut account = Account::default();
    let empty = || Some(RuntimePod::default());
    assert!(account.update(empty(), &[], nothing(), &rests()).is_some());
    assert_eq!(account.update(None, &[], nothing(), &rests()), None);
    assert_eq!(account.update(empty(), &[made("k")], nothing(), &rests()), None, "nobody asked");
    account.asked(&creation(), &pod());
    let failed = outcome(creation().key(), Err(Failure::new(FailureStep::ContainerCreate, "no")));
    assert_eq!(account.update(empty(), &[failed], nothing(), &rests()), None);
    account.asked(&creation(), &pod());
    let started = did(ActionKey::StartContainer("k".into()));
    assert_eq!(account.update(empty(), &[made("k"), started], nothing(), &rests()), None);
    assert!(account.update(empty(), &[did(ActionKey::MountVolumes)], nothing(), &rests()).is_some());
    for (state, became) in
        [(RuntimeState::Created, Became::Started), (RuntimeState::Running, Became::Stopped)]
    {
        assert_eq!(account.update(seen(state), &[], told("k", became), &rests()), None);
    }
    assert!(account.update(seen(RuntimeState::Running), &[], told("k", Became::Started), &rests()).is_some());
    assert!(account.update(seen(RuntimeState::Exited), &[], told("k", Became::Stopped), &rests()).is_some());
}
