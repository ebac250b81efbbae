//! What a source's version of a pod asks of its worker.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use lifecycle::{Intent, grace};

/// Least grace of a pod that is deleted or removed (contract §9).
const LEAST: Duration = Duration::from_secs(1);

/// What an object asks for.
pub(super) fn intent_of(pod: &Pod) -> Intent {
    if pod.metadata.deletion_timestamp.is_some() {
        Intent::Delete { grace: in_force(pod.metadata.deletion_grace_period_seconds) }
    } else {
        Intent::Run
    }
}

/// Grace for a pod that left its source: what its deletion said, else what its spec says; at least a second.
pub(super) fn removal_grace(pod: &Pod) -> Duration {
    let deleted = pod.metadata.deletion_timestamp.as_ref().and(pod.metadata.deletion_grace_period_seconds);
    let spec = || pod.spec.as_ref().and_then(|spec| spec.termination_grace_period_seconds);
    in_force(deleted.or_else(spec))
}

fn in_force(seconds: Option<i64>) -> Duration {
    seconds.map_or(grace::DEFAULT, grace::of).max(LEAST)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(metadata: &Value, spec: Option<i64>) -> Pod {
        let spec = json!({"containers": [], "terminationGracePeriodSeconds": spec});
        serde_json::from_value(json!({"metadata": metadata, "spec": spec})).unwrap()
    }

    fn deleted(seconds: i64) -> Value {
        json!({"deletionTimestamp": "2026-11-24T01:00:00Z", "deletionGracePeriodSeconds": seconds})
    }

    #[test]
    fn graces_stay_between_a_second_and_what_clocks_can_carry() {
        for (seconds, grace) in
            [(-1, LEAST), (0, LEAST), (7, Duration::from_secs(7)), (i64::MAX, grace::LONGEST)]
        {
            assert_eq!(intent_of(&pod(&deleted(seconds), None)), Intent::Delete { grace }, "{seconds}");
            assert_eq!(removal_grace(&pod(&deleted(seconds), Some(9))), grace, "{seconds}");
            assert_eq!(removal_grace(&pod(&json!({}), Some(seconds))), grace, "{seconds}");
        }
        assert_eq!(removal_grace(&pod(&json!({}), None)), grace::DEFAULT);
        assert_eq!(intent_of(&pod(&json!({}), Some(9))), Intent::Run);
    }
}
