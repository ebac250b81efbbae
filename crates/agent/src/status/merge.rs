//! What of an API status is ours to write.
//!
//! Conditions of types that the kubelet does not own, and fields that other components write, are carried over from
//! the API's version, so that a difference never removes them (contract §10 "Patch", "Conditions owned by kubelet").

use k8s_openapi::api::core::v1::{Pod, PodStatus};
use lifecycle::status::{OWNED_CONDITIONS, keep_ends};

/// `ours` with everything foreign taken from what the API's `object` has, and with what that may not lose.
#[must_use]
pub fn onto(object: &Pod, ours: &PodStatus) -> PodStatus {
    let nothing = PodStatus::default();
    let api = object.status.as_ref().unwrap_or(&nothing);
    let mut merged = ours.clone();
    if let Some(spec) = &object.spec {
        keep_ends(spec, api, &mut merged);
    }
    let mut conditions: Vec<_> =
        api.conditions.iter().flatten().filter(|c| is_foreign(&c.type_)).cloned().collect();
    for condition in ours.conditions.iter().flatten() {
        let known = conditions.iter().any(|known| known.type_ == condition.type_);
        if !is_foreign(&condition.type_) || is_disruption(&condition.type_) && !known {
            conditions.push(condition.clone());
        }
    }
    merged.conditions = Some(conditions);
    merged.nominated_node_name.clone_from(&api.nominated_node_name);
    merged.resource_claim_statuses.clone_from(&api.resource_claim_statuses);
    merged.extended_resource_claim_status.clone_from(&api.extended_resource_claim_status);
    merged.node_allocatable_resource_claim_statuses.clone_from(&api.node_allocatable_resource_claim_statuses);
    merged
}

fn is_foreign(kind: &str) -> bool {
    !OWNED_CONDITIONS.contains(&kind)
}

/// Written by whoever disrupts first: the kubelet adds it but never overwrites another's.
fn is_disruption(kind: &str) -> bool {
    kind == "DisruptionTarget"
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::PodCondition;

    use super::*;

    fn condition(kind: &str, status: &str) -> PodCondition {
        PodCondition { type_: kind.to_owned(), status: status.to_owned(), ..PodCondition::default() }
    }

    #[test]
    fn foreign_conditions_stay_and_own_ones_are_replaced() {
        let api = PodStatus {
            conditions: Some(vec![condition("example.com/gate", "True"), condition("Ready", "False")]),
            nominated_node_name: Some("n".to_owned()),
            ..PodStatus::default()
        };
        let ours = PodStatus {
            conditions: Some(vec![condition("example.com/gate", "False"), condition("Ready", "True")]),
            ..PodStatus::default()
        };
        let merged = onto(&Pod { status: Some(api), ..Pod::default() }, &ours);
        assert_eq!(
            merged.conditions.unwrap(),
            [condition("example.com/gate", "True"), condition("Ready", "True")]
        );
        assert_eq!(merged.nominated_node_name.as_deref(), Some("n"));
    }
}
