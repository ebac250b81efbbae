//! Checks of when a container starts again: after it has ended, and when its resources change.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Container, ContainerRestartRule, PodSpec};

use super::{Checker, containers::Place};

/// Rules of one container.
const RULES_MAX: usize = 20;
/// Exit codes of one rule.
const CODES_MAX: usize = 255;

/// Checks `restartPolicy` and `restartPolicyRules`.
pub(super) fn policies(checker: &mut Checker, container: &Container, path: &str, place: Place) {
    let field = format!("{path}.restartPolicy");
    let rules = container.restart_policy_rules.as_deref().unwrap_or_default();
    match container.restart_policy.as_deref() {
        Some(policy) => checker.supported(&field, policy, &["Always", "Never", "OnFailure"]),
        None if !rules.is_empty() => {
            checker.required(&field, "must specify restartPolicy when restart rules are used", "");
            if place == Place::Init {
                return;
            }
        }
        None => {}
    }
    checker.at_most(&format!("{path}.restartPolicyRules"), rules.len(), RULES_MAX);
    for (index, rule) in rules.iter().enumerate() {
        self::rule(checker, rule, &format!("{path}.restartPolicyRules[{index}]"));
    }
}

fn rule(checker: &mut Checker, rule: &ContainerRestartRule, path: &str) {
    checker.supported(&format!("{path}.action"), &rule.action, &["Restart", "RestartAllContainers"]);
    let field = format!("{path}.exitCodes");
    match &rule.exit_codes {
        None => checker.required(&field, "must be specified", ""),
        Some(codes) => {
            checker.supported(&format!("{field}.operator"), &codes.operator, &["In", "NotIn"]);
            let count = codes.values.as_deref().unwrap_or_default().len();
            checker.at_most(&format!("{field}.values"), count, CODES_MAX);
        }
    }
}

/// Checks `resizePolicy`.
pub(super) fn resizes(
    checker: &mut Checker,
    container: &Container,
    spec: &PodSpec,
    path: &str,
    place: Place,
) {
    let list = format!("{path}.resizePolicy");
    let is_sidecar = container.restart_policy.as_deref() == Some("Always");
    let mut seen = BTreeSet::new();
    for (index, policy) in container.resize_policy.iter().flatten().enumerate() {
        if !seen.insert(&policy.resource_name) {
            checker.duplicate(&format!("{list}[{index}]"), &policy.resource_name, "");
        }
        checker.one_of(&list, Some(&policy.resource_name), &["cpu", "memory"]);
        checker.one_of(&list, Some(&policy.restart_policy), &["NotRequired", "RestartContainer"]);
        if spec.restart_policy.as_deref() == Some("Never") && policy.restart_policy != "NotRequired" {
            let detail = "must be 'NotRequired' when pod `restartPolicy` is 'Never'";
            checker.invalid(&list, &policy.restart_policy, detail);
        }
        if place == Place::Init && !is_sidecar && policy.restart_policy == "RestartContainer" {
            let detail = "must not be set to 'RestartContainer' for non-sidecar initContainers";
            checker.invalid(&format!("{list}[{index}].restartPolicy"), &policy.restart_policy, detail);
        }
    }
}
