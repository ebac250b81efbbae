use std::time::Duration;

use jiff::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::{
    Done, Failure, FailureStep, Outlook,
    reason::{ContainerKind, ContainerRef},
    testing::sandbox,
};

fn tick(millis: u64) -> Tick {
    let wall = Timestamp::from_millisecond(1_800_000_000_000 + i64::try_from(millis).unwrap()).unwrap();
    Tick { mono: Duration::from_millis(millis), wall }
}

fn failed(message: &str) -> Reason {
    Reason::VolumesFailed { message: message.to_owned() }
}

fn decide(record: &mut Record, why: Vec<Reason>, phase: &str, millis: u64) {
    let seen = Observation::of(k8s_openapi::api::core::v1::Pod::default());
    let mut decision = Decision {
        next: Default::default(),
        actions: Vec::new(),
        status: Default::default(),
        wake_at: None,
        why,
        outlook: Outlook::Lasting,
        finished: false,
    };
    decision.status.phase = Some(phase.to_owned());
    record.decided(&seen, &mut decision, tick(millis));
    assert!(decision.why.is_empty(), "the reasons are taken, not copied");
}

fn outcome(action: &Action, millis: u64, ok: bool) -> Outcome {
    let result = if ok { Ok(Done::Plain) } else { Err(Failure::new(FailureStep::Volumes, "no")) };
    Outcome { key: action.key(), at: tick(millis), result }
}

#[test]
fn a_start_is_remembered_step_by_step() {
    let mut record = Record::new(tick(1_000));
    let id = record.inspecting(tick(1_001));
    record.call_began(id, "ListPodSandbox", tick(1_001));
    assert_eq!(record.under_way().next().unwrap().call().unwrap().name, "ListPodSandbox");
    record.call_ended(id, "ListPodSandbox", tick(1_003));
    record.inspected(id, Some(&RuntimePod::default()), tick(1_003));
    assert_eq!(record.origin(), Origin::Started);
    let (mount, sandbox) = (Action::MountVolumes, Action::CreateSandbox { attempt: 0 });
    record.began(&mount, tick(1_004));
    let id = record.began(&sandbox, tick(1_004));
    record.call_began(id, "RunPodSandbox", tick(1_010));
    record.answered(&outcome(&mount, 1_050, true));
    record.call_ended(id, "RunPodSandbox", tick(1_150));
    record.answered(&outcome(&sandbox, 1_151, true));
    assert_eq!(record.start(), None);
    decide(&mut record, vec![], "Running", 1_160);
    record.status_sent(tick(1_165));
    let start = record.start().unwrap();
    assert_eq!((start.total, start.calls), (Duration::from_millis(165), Duration::from_millis(142)));
    assert_eq!((start.added, start.made), (Duration::from_millis(23), 2));
    let steps: Vec<_> = record.first().collect();
    let [Item::Step(mounted), Item::Step(made)] = steps[..] else { panic!("{steps:?}") };
    assert_eq!((mounted.kind, mounted.ended.unwrap().0), (StepKind::MountVolumes, Duration::from_millis(46)));
    assert_eq!(made.calls[0].when.after(), Duration::from_millis(6));
    assert_eq!(made.calls[0].when.took(), Some(Duration::from_millis(140)));
    assert_eq!(record.looks()[0].took(), Some(Duration::from_millis(2)));
}

#[test]
fn a_pod_that_was_there_before_has_no_start() {
    let mut record = Record::new(tick(0));
    let id = record.inspecting(tick(1));
    let sandboxes = vec![sandbox("s", Timestamp::UNIX_EPOCH)];
    record.inspected(id, Some(&RuntimePod { sandboxes, containers: vec![] }), tick(2));
    decide(&mut record, vec![], "Running", 3);
    record.status_sent(tick(4));
    assert_eq!((record.origin(), record.start()), (Origin::TakenUp, None));
}

#[test]
fn what_comes_again_is_one_item() {
    let mut record = Record::new(tick(0));
    for round in 0..5u64 {
        record.began(&Action::MountVolumes, tick(round * 10));
        record.answered(&outcome(&Action::MountVolumes, round * 10 + 5, false));
        decide(&mut record, vec![failed("no such volume")], "Pending", round * 10 + 6);
    }
    let items: Vec<_> = record.first().collect();
    let [Item::Step(step), Item::Decided { at, last, times, .. }] = items[..] else { panic!("{items:?}") };
    assert_eq!((step.failed_before, step.began), (4, Stamp::from(tick(40))));
    assert_eq!((*at, *last, *times), (Stamp::from(tick(6)), Stamp::from(tick(46)), 5));
    assert_eq!(record.since(|why| matches!(why, Reason::VolumesFailed { .. })), Some(Stamp::from(tick(6))));
    assert_eq!(record.since(|why| matches!(why, Reason::Gone)), None);
}

#[test]
fn the_start_outlives_what_comes_later() {
    let mut record = Record::new(tick(0));
    decide(&mut record, vec![failed("first")], "Pending", 1);
    decide(&mut record, vec![], "Running", 2);
    for round in 0..500u64 {
        decide(&mut record, vec![failed(&format!("failure {round}"))], "Running", 10 + round);
    }
    assert_eq!(record.first().count(), 1);
    assert_eq!(record.recent().count(), RECENT);
    assert_eq!(record.forgotten(), 500 - u32::try_from(RECENT).unwrap());
    let Some(Item::Decided { why, .. }) = record.recent().last() else { panic!() };
    assert_eq!(**why, failed("failure 499"));
}

/// What the bounds of the parts add up to.
fn ceiling() -> usize {
    let item = size_of::<Item>() + size_of::<Reason>().max(step::CALLS * size_of::<Call>());
    size_of::<Record>()
        + (FIRST + RECENT) * item
        + LOOKS.next_power_of_two() * size_of::<Within>()
        + UNDER_WAY * size_of::<UnderWay>()
        + TEXT
}

#[test]
fn a_node_of_many_pods_can_bear_the_ceiling() {
    assert!(ceiling() <= 24 << 10, "{} bytes", ceiling());
}

proptest! {
    /// Whatever happens, and however long the runtime's errors are.
    #[test]
    fn memory_is_bounded(
        steps in proptest::collection::vec((0u8..8, 0usize..3_000, any::<bool>()), 0..400),
    ) {
        let mut record = Record::new(tick(0));
        let mut now = 0;
        for (what, size, running) in steps {
            now += 7;
            let name = format!("container-{}", size % 5);
            match what {
                0..=2 => {
                    let container = ContainerRef { kind: ContainerKind::Regular, name: name.as_str().into() };
                    let message = "ä".repeat(size);
                    let why = vec![Reason::ContainerFailed { container, message }];
                    decide(&mut record, why, if running { "Running" } else { "Pending" }, now);
                }
                3 => {
                    let id = record.inspecting(tick(now));
                    record.inspected(id, None, tick(now + 1));
                }
                _ => {
                    let action = Action::EnsureImage { container: name.as_str().into() };
                    let id = record.began(&action, tick(now));
                    for call in 0..size % 12 {
                        record.call_began(id, if call % 2 == 0 { "ImageStatus" } else { "PullImage" }, tick(now));
                        record.call_ended(id, if call % 2 == 0 { "ImageStatus" } else { "PullImage" }, tick(now));
                    }
                    record.answered(&outcome(&action, now + 2, running));
                }
            }
            prop_assert!(record.first().count() + record.recent().count() <= 64);
            prop_assert!(record.bytes() <= ceiling(), "{} bytes", record.bytes());
        }
    }
}
