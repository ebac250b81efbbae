//! Whether a container is to run again after it ended (contract §7 "Restart decision").

use k8s_openapi::api::core::v1::{Container, ContainerRestartRule, Pod, PodSpec};

use crate::{decide::view::View, observation::RuntimeState};

/// Whether an ended container with this exit code starts again: rules first, then its own policy, then the pod's.
pub(crate) fn after_exit(container: &Container, spec: &PodSpec, exit_code: i32) -> bool {
    if let Some(policy) = container.restart_policy.as_deref() {
        if rule(container, exit_code).is_some() {
            return true;
        }
        match policy {
            "Always" => return true,
            "OnFailure" => return exit_code != 0,
            "Never" => return false,
            _ => {}
        }
    }
    match spec.restart_policy.as_deref() {
        Some("OnFailure") => exit_code != 0,
        Some("Never") => false,
        _ => true,
    }
}

/// Whether an ended container with this exit code has all containers of its pod started over.
pub(crate) fn starts_all_over(container: &Container, exit_code: i32) -> bool {
    rule(container, exit_code) == Some(RuleAction::RestartAll)
}

/// Whether any container of the pod may have all of them started over.
pub(crate) fn may_start_all_over(spec: &PodSpec) -> bool {
    let all = spec.containers.iter().chain(spec.init_containers.iter().flatten());
    all.flat_map(|container| container.restart_policy_rules.iter().flatten())
        .any(|rule| action(rule) == Some(RuleAction::RestartAll))
}

/// What the first matching rule asks for. A rule whose action is not known stands for none: the policy decides.
fn rule(container: &Container, exit_code: i32) -> Option<RuleAction> {
    let mut rules = container.restart_policy_rules.iter().flatten();
    rules.find(|rule| matches(rule, exit_code)).and_then(action)
}

/// What a rule asks for; both have the container itself start again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RuleAction {
    Restart,
    RestartAll,
}

fn action(rule: &ContainerRestartRule) -> Option<RuleAction> {
    match rule.action.as_str() {
        "Restart" => Some(RuleAction::Restart),
        "RestartAllContainers" => Some(RuleAction::RestartAll),
        _ => None,
    }
}

fn matches(rule: &ContainerRestartRule, exit_code: i32) -> bool {
    let Some(codes) = &rule.exit_codes else { return false };
    let listed = codes.values.iter().flatten().any(|code| *code == exit_code);
    match codes.operator.as_str() {
        "In" => listed,
        "NotIn" => !listed,
        _ => false,
    }
}

/// Whether a container that is killed for a probe comes back: policies only, there is no exit code yet.
pub(crate) fn after_probe(container: &Container, spec: &PodSpec) -> bool {
    let policy = container.restart_policy.as_deref().or(spec.restart_policy.as_deref());
    policy != Some("Never")
}

/// Whether the container should be started (again) by the next look: upstream's `ShouldContainerBeRestarted`.
pub(crate) fn wanted(container: &Container, pod: &Pod, spec: &PodSpec, view: &View<'_>) -> bool {
    if pod.metadata.deletion_timestamp.is_some() {
        return false;
    }
    match view.newest(&container.name) {
        None => true,
        Some(record) => match record.state {
            RuntimeState::Running => false,
            RuntimeState::Created | RuntimeState::Unknown => true,
            RuntimeState::Exited => after_exit(container, spec, record.exit_code),
        },
    }
}

/// Whether an init container is a sidecar.
pub(crate) fn is_sidecar(container: &Container) -> bool {
    container.restart_policy.as_deref() == Some("Always")
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ContainerRestartRuleOnExitCodes;

    use super::*;

    fn container(policy: Option<&str>, rules: &[(&str, &[i32])]) -> Container {
        Container {
            restart_policy: policy.map(str::to_owned),
            restart_policy_rules: Some(
                rules
                    .iter()
                    .map(|(operator, values)| ContainerRestartRule {
                        action: "Restart".to_owned(),
                        exit_codes: Some(ContainerRestartRuleOnExitCodes {
                            operator: (*operator).to_owned(),
                            values: Some(values.to_vec()),
                        }),
                    })
                    .collect(),
            ),
            ..Container::default()
        }
    }

    #[test]
    fn policies_and_rules() {
        for (pod, own, rules, code, want) in [
            (Some("Always"), None, &[][..], 0, true),
            (None, None, &[][..], 0, true),
            (Some("OnFailure"), None, &[][..], 0, false),
            (Some("OnFailure"), None, &[][..], 1, true),
            (Some("Never"), None, &[][..], 1, false),
            (Some("Never"), Some("Always"), &[][..], 0, true),
            (Some("Always"), Some("Never"), &[][..], 1, false),
            (Some("Always"), Some("OnFailure"), &[][..], 0, false),
            (Some("Never"), Some("Never"), &[("In", &[42][..])][..], 42, true),
            (Some("Never"), Some("Never"), &[("In", &[42][..])][..], 41, false),
            (Some("Never"), Some("Never"), &[("NotIn", &[42][..])][..], 41, true),
            // Rules count only together with a policy of the container itself.
            (Some("Never"), None, &[("In", &[42][..])][..], 42, false),
        ] {
            let spec = PodSpec { restart_policy: pod.map(str::to_owned), ..PodSpec::default() };
            assert_eq!(
                after_exit(&container(own, rules), &spec, code),
                want,
                "{pod:?} {own:?} {rules:?} {code}"
            );
        }
    }
}
