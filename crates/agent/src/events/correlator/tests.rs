use k8s_openapi::api::core::v1::ObjectReference;

use super::*;

fn event(object: &str, reason: &str, message: &str, sequence: u32) -> Event {
    let time = jiff::Timestamp::from_second(1_800_000_000 + i64::from(sequence)).unwrap();
    Event {
        metadata: k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta {
            name: Some(format!("{object}.{sequence}")),
            ..Default::default()
        },
        involved_object: ObjectReference { name: Some(object.into()), ..ObjectReference::default() },
        reason: Some(reason.into()),
        message: Some(message.into()),
        type_: Some("Warning".into()),
        count: Some(1),
        first_timestamp: Some(Time(time)),
        last_timestamp: Some(Time(time)),
        ..Event::default()
    }
}

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

#[test]
fn the_same_event_is_counted() {
    let mut correlator = Correlator::default();
    assert!(matches!(correlator.observe(event("p", "R", "m", 0), seconds(0)), Verdict::Create(_)));
    let Verdict::Patch { event, patch } = correlator.observe(event("p", "R", "m", 7), seconds(7)) else {
        unreachable!("not a patch");
    };
    assert_eq!(event.metadata.name.as_deref(), Some("p.0"));
    assert_eq!(event.count, Some(2));
    assert_eq!(patch, json!({"count": 2, "lastTimestamp": "2027-01-15T08:00:07Z", "message": "m"}));
    assert_ne!(event.first_timestamp, event.last_timestamp);
    let Verdict::Patch { patch, .. } = correlator.observe(self::event("p", "R", "m", 8), seconds(8)) else {
        unreachable!("not a patch");
    };
    assert_eq!(patch["count"], 3);
}

#[test]
fn events_about_different_parts_of_a_pod_are_told_apart() {
    let mut correlator = Correlator::default();
    let mut second = event("p", "R", "m", 1);
    second.involved_object.field_path = Some("spec.containers{b}".into());
    correlator.observe(event("p", "R", "m", 0), seconds(0));
    assert!(matches!(correlator.observe(second, seconds(0)), Verdict::Create(_)));
    assert!(matches!(correlator.observe(event("p", "S", "m", 2), seconds(0)), Verdict::Create(_)));
    assert!(matches!(correlator.observe(event("q", "R", "m", 3), seconds(0)), Verdict::Create(_)));
}

#[test]
fn similar_events_are_combined_from_the_tenth_on() {
    let mut correlator = Correlator::default();
    for i in 0..9 {
        let verdict = correlator.observe(event("p", "R", &format!("m{i}"), i), seconds(0));
        assert!(matches!(verdict, Verdict::Create(_)), "{i}");
    }
    let Verdict::Create(combined) = correlator.observe(event("p", "R", "m9", 9), seconds(1)) else {
        unreachable!("the first combined event is created");
    };
    assert_eq!(combined.message.as_deref(), Some("(combined from similar events): m9"));
    let Verdict::Patch { event: combined, patch } =
        correlator.observe(event("p", "R", "m10", 10), seconds(2))
    else {
        unreachable!("the next one is counted");
    };
    assert_eq!(combined.metadata.name.as_deref(), Some("p.9"));
    assert_eq!(patch["message"], "(combined from similar events): m10");
    // After a long silence messages are told apart again.
    let verdict = correlator.observe(event("p", "R", "m11", 11), seconds(2 + 601));
    assert!(matches!(verdict, Verdict::Create(e) if e.message.as_deref() == Some("m11")));
}

#[test]
fn a_noisy_object_is_cut_off_and_others_are_not() {
    let mut correlator = Correlator::default();
    let noise = |correlator: &mut Correlator, at: u64| {
        !matches!(correlator.observe(event("p", "R", "m", 0), seconds(at)), Verdict::Drop)
    };
    let passed = (0..100).filter(|_| noise(&mut correlator, 10)).count();
    assert_eq!(passed, 25);
    assert!(!matches!(correlator.observe(event("q", "R", "m", 0), seconds(10)), Verdict::Drop));
    assert!(!noise(&mut correlator, 10 + 299));
    assert!(noise(&mut correlator, 10 + 300));
    assert!(!noise(&mut correlator, 10 + 301));
    let passed = (0..100).filter(|_| noise(&mut correlator, 100_000)).count();
    assert_eq!(passed, 25);
}

#[test]
fn memory_is_bounded_and_the_newest_stay() {
    let mut recent = Recent::default();
    for i in 0..20_000_u64 {
        recent.put(i, i);
        assert!(recent.records.len() <= RECORDS);
        // The first one is used all the time.
        assert_eq!(recent.get(0), Some(&0));
    }
    assert_eq!(recent.get(19_999), Some(&19_999));
    assert_eq!(recent.get(1), None);
}
