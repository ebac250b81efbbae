use super::*;
use crate::ContainerName;

#[test]
fn delays_of_failed_steps() {
    let secs = Duration::from_secs;
    let mount = |tries| retry_delay(&ActionKey::MountVolumes, tries, "u");
    assert_eq!(mount(1), Duration::from_millis(500));
    assert_eq!(mount(2), secs(1));
    assert_eq!(mount(8), secs(64));
    assert_eq!(mount(9), secs(122), "capped");
    assert_eq!(mount(u32::MAX), secs(122), "no overflow");
    let image = |tries| retry_delay(&ActionKey::EnsureImage(ContainerName::from("c")), tries, "u");
    assert_eq!([image(1), image(2), image(5), image(6)], [secs(10), secs(20), secs(160), secs(300)]);
    for tries in 1..200 {
        let delay = retry_delay(&ActionKey::CreateSandbox, tries, "some-uid");
        assert!((secs(10)..=secs(15)).contains(&delay), "{delay:?}");
    }
    let spread: std::collections::BTreeSet<_> =
        (0..50).map(|uid| retry_delay(&ActionKey::CreateSandbox, 1, &format!("uid-{uid}"))).collect();
    assert!(spread.len() > 30, "pods do not retry in step: {spread:?}");
}

#[test]
fn small_cap_is_also_the_first_delay() {
    let now = Tick { mono: Duration::from_secs(100), wall: jiff::Timestamp::UNIX_EPOCH };
    let dead = |id: &str| ContainerRecord {
        state: crate::observation::RuntimeState::Exited,
        started_at: Some(now.wall),
        finished_at: Some(now.wall),
        exit_code: 1,
        ..ContainerRecord::created(id, "c", 0, "s", now.wall)
    };
    let mut memo = CrashMemo::default();
    assert_eq!(memo.ask(&dead("a"), now), Restart::Now);
    memo.restarted(&dead("a"), Duration::from_secs(3), now);
    let want =
        Restart::At { until: now.mono + Duration::from_secs(3), delay: Duration::from_secs(3), fresh: true };
    assert_eq!(memo.ask(&dead("b"), now), want);
    assert!(matches!(memo.ask(&dead("b"), now), Restart::At { fresh: false, .. }), "told once");
    // A retry of the same restart is no crash.
    memo.restarted(&dead("b"), Duration::from_secs(300), now);
    let delay = memo.delay;
    memo.restarted(&dead("b"), Duration::from_secs(300), now);
    assert_eq!(memo.delay, delay);
}
