use serde_json::json;

use super::*;

const FREQUENCY: Duration = Duration::from_mins(5);

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn reports_on_change_and_when_forced() {
    let clock = ReportClock::default();
    assert_eq!(clock.due(seconds(0), false, FREQUENCY), Some(ReportDue::First));
    let clock = clock.reported(seconds(0), ReportDue::First, 0.5);
    assert_eq!(clock.due(seconds(299), false, FREQUENCY), None);
    assert_eq!(clock.due(seconds(10), true, FREQUENCY), Some(ReportDue::Changed));
    assert_eq!(clock.due(seconds(300), false, FREQUENCY), Some(ReportDue::Forced));
    let clock = clock.reported(seconds(300), ReportDue::Forced, 0.9);
    assert_eq!(clock.due(seconds(599), false, FREQUENCY), None);
    assert_eq!(
        clock.due(seconds(600), false, FREQUENCY),
        Some(ReportDue::Forced),
        "no shift after a forced one"
    );
}

#[test]
fn a_change_shifts_the_next_forced_report_by_up_to_half() {
    let early = ReportClock::default().reported(seconds(1000), ReportDue::Changed, 0.0);
    assert_eq!(early.due(seconds(1149), false, FREQUENCY), None);
    assert_eq!(early.due(seconds(1150), false, FREQUENCY), Some(ReportDue::Forced));
    let late = ReportClock::default().reported(seconds(1000), ReportDue::Changed, 1.0);
    assert_eq!(late.due(seconds(1449), false, FREQUENCY), None);
    assert_eq!(late.due(seconds(1450), false, FREQUENCY), Some(ReportDue::Forced));
}

#[test]
fn the_lease_is_that_of_the_sample() {
    let now: Timestamp = "2026-11-23T18:04:53.539507Z".parse().unwrap();
    let made = lease(None, "peer-node", Some("82f29ae2"), 40, now);
    assert_eq!(
        serde_json::to_value(&made).unwrap(),
        json!({
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {
                "name": "peer-node",
                "namespace": "kube-node-lease",
                "ownerReferences": [{ "apiVersion": "v1", "kind": "Node", "name": "peer-node", "uid": "82f29ae2" }],
            },
            "spec": {
                "holderIdentity": "peer-node",
                "leaseDurationSeconds": 40,
                "renewTime": "2026-11-23T18:04:53.539507Z",
            },
        })
    );
}

#[test]
fn renewal_keeps_what_is_there_but_the_duration_and_adds_the_owner_late() {
    let first: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let mut made = lease(None, "n", None, 40, first);
    assert!(made.metadata.owner_references.is_none());
    made.metadata.resource_version = Some("7".to_owned());
    made.spec.as_mut().unwrap().lease_duration_seconds = Some(90);
    made.spec.as_mut().unwrap().lease_transitions = Some(3);
    let later: Timestamp = "2026-01-01T00:00:10Z".parse().unwrap();
    let renewed = lease(Some(&made), "n", Some("u"), 40, later);
    assert_eq!(renewed.metadata.resource_version.as_deref(), Some("7"));
    assert_eq!(renewed.metadata.owner_references.as_ref().unwrap()[0].uid, "u");
    let spec = renewed.spec.as_ref().unwrap();
    assert_eq!((spec.lease_duration_seconds, spec.renew_time.as_ref().unwrap().0), (Some(40), later));
    assert_eq!((spec.holder_identity.as_deref(), spec.lease_transitions), (Some("n"), Some(3)));
    let again = lease(Some(&renewed), "n", Some("other"), 40, later);
    assert_eq!(again.metadata.owner_references.unwrap()[0].uid, "u", "an owner is not replaced");
    let text = serde_json::to_string(&renewed).unwrap();
    assert!(text.contains("2026-01-01T00:00:10.000000Z"), "{text}");
}
