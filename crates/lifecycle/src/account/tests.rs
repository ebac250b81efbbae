use super::*;
use crate::{
    action::{Failure, FailureStep},
    ids::Tick,
    observation::SandboxRecord,
};

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

/// Nothing is under way.
fn rests() -> std::iter::Empty<&'static ActionKey> {
    std::iter::empty()
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
    let seen = account.update(empty, &[made("k")], told("k", Became::Made), rests()).unwrap();
    let record = &seen.containers[0];
    assert_eq!((record.id.as_str(), record.attempt, record.sandbox.as_str()), ("k", 3, "s"));
    assert_eq!(record.hash, container_hash("c", "image:1"));
    assert_eq!(record.image, "image:1");
    assert_eq!(record.created_at, made("k").at.wall);
    // Word of it may come later, or of another one, which nobody asked for.
    let seen = account.update(Some(seen), &[], told("k", Became::Made), rests());
    assert!(seen.is_some());
    assert_eq!(account.update(seen, &[], told("other", Became::Made), rests()), None);
}

#[test]
fn a_creation_that_a_look_has_found_is_entered_once() {
    let mut account = Account::default();
    account.asked(&creation(), &pod());
    let before = seen(RuntimeState::Running);
    assert_eq!(account.update(before.clone(), &[made("k")], nothing(), rests()), before);
}

#[test]
fn word_of_what_is_under_way_waits_for_the_answer() {
    let mut account = Account::default();
    account.asked(&creation(), &pod());
    let making = [creation().key()];
    let empty = || Some(RuntimePod::default());
    assert!(account.update(empty(), &[], told("k", Became::Made), making.iter()).is_some());
    assert!(account.update(empty(), &[made("k")], nothing(), rests()).is_some());
    account.asked(&creation(), &pod());
    let waits = account.update(empty(), &[], told("late", Became::Made), making.iter());
    assert!(waits.is_some());
    assert_eq!(account.update(empty(), &[made("k")], nothing(), rests()), None, "two were made");
    let stopping = [ActionKey::StopSandbox("s".into())];
    let dead = || seen(RuntimeState::Exited);
    assert!(account.update(dead(), &[], told("s", Became::Stopped), stopping.iter()).is_some());
    assert_eq!(account.update(dead(), &[], told("s", Became::Stopped), rests()), None, "by itself");
    let removing = [ActionKey::RemoveContainer("k".into())];
    assert!(account.update(dead(), &[], told("k", Became::Gone), removing.iter()).is_some());
    assert_eq!(account.update(dead(), &[], told("k", Became::Gone), rests()), None, "by somebody else");
}

#[test]
fn the_end_of_a_sandbox_and_removals_are_known_by_their_answers() {
    let mut account = Account::default();
    let stopped = did(ActionKey::StopSandbox("s".into()));
    let running = seen(RuntimeState::Running);
    assert_eq!(
        account.update(running, std::slice::from_ref(&stopped), nothing(), rests()),
        None,
        "how did c end?"
    );
    let seen = seen(RuntimeState::Exited);
    let seen = account.update(seen, &[stopped], told("s", Became::Stopped), rests()).unwrap();
    assert!(!seen.sandboxes[0].ready);
    let removed = did(ActionKey::RemoveContainer("k".into()));
    let seen = account.update(Some(seen), &[removed], told("k", Became::Gone), rests()).unwrap();
    assert!(seen.containers.is_empty());
    let removed = did(ActionKey::RemoveSandbox("s".into()));
    let seen = account.update(Some(seen), &[removed], told("s", Became::Gone), rests());
    assert_eq!(seen, Some(RuntimePod::default()));
}

#[test]
fn everything_else_wants_a_look() {
    let mut account = Account::default();
    let empty = || Some(RuntimePod::default());
    assert!(account.update(empty(), &[], nothing(), rests()).is_some());
    assert_eq!(account.update(None, &[], nothing(), rests()), None);
    assert_eq!(account.update(empty(), &[made("k")], nothing(), rests()), None, "nobody asked");
    account.asked(&creation(), &pod());
    let failed = outcome(creation().key(), Err(Failure::new(FailureStep::ContainerCreate, "no")));
    assert_eq!(account.update(empty(), &[failed], nothing(), rests()), None);
    account.asked(&creation(), &pod());
    let started = did(ActionKey::StartContainer("k".into()));
    assert_eq!(account.update(empty(), &[made("k"), started], nothing(), rests()), None);
    assert!(account.update(empty(), &[did(ActionKey::MountVolumes)], nothing(), rests()).is_some());
    for (state, became) in
        [(RuntimeState::Created, Became::Started), (RuntimeState::Running, Became::Stopped)]
    {
        assert_eq!(account.update(seen(state), &[], told("k", became), rests()), None);
    }
    assert!(account.update(seen(RuntimeState::Running), &[], told("k", Became::Started), rests()).is_some());
    assert!(account.update(seen(RuntimeState::Exited), &[], told("k", Became::Stopped), rests()).is_some());
}

#[test]
fn a_list_shows_whether_an_account_is_up_to_date() {
    let known = seen(RuntimeState::Running).unwrap();
    let listed = |ready, state| Digest::of([(&"s".into(), ready)], [(&"k".into(), state)]);
    assert_eq!(Digest::from(&known), listed(true, RuntimeState::Running));
    for other in [listed(false, RuntimeState::Running), listed(true, RuntimeState::Exited), Digest::default()]
    {
        assert_ne!(Digest::from(&known), other);
    }
    assert_eq!(Digest::from(&RuntimePod::default()), Digest::default());
    let two: [ContainerId; 2] = ["k".into(), "l".into()];
    let state = RuntimeState::Exited;
    let order = |at: [usize; 2]| Digest::of([], at.map(|at| (&two[at], state)));
    assert_eq!(order([0, 1]), order([1, 0]), "a runtime's order may change from list to list");
    // All states of two containers are told apart.
    let states = [RuntimeState::Created, RuntimeState::Running, RuntimeState::Exited, RuntimeState::Unknown];
    let pairs =
        states.into_iter().flat_map(|first| states.map(|second| [(&two[0], first), (&two[1], second)]));
    let digests: Vec<_> = pairs.map(|pair| Digest::of([], pair).0).collect();
    assert_eq!(digests.iter().collect::<BTreeSet<_>>().len(), 16);
}

#[test]
fn an_end_by_sigkill_is_read_again_when_it_has_settled() {
    let wall = Timestamp::from_second(1_800_000_000).unwrap();
    let ended = |seconds: i64, exit_code, reason: &str| {
        let mut pod = seen(RuntimeState::Exited).unwrap();
        let record = &mut pod.containers[0];
        (record.exit_code, record.reason) = (exit_code, reason.to_owned());
        record.finished_at = Some(wall - jiff::SignedDuration::from_secs(seconds));
        is_unsettled(&pod, wall)
    };
    assert!(ended(0, 137, "Error"));
    assert!(ended(-1, 137, "Error"), "clocks are not always read in order");
    assert!(!ended(3, 137, "Error"), "it has settled");
    assert!(!ended(0, 137, "OOMKilled"));
    assert!(!ended(0, 1, "Error"));
    assert!(!is_unsettled(&seen(RuntimeState::Running).unwrap(), wall));
}
