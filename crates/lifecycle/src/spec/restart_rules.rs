//! Restart policies and rules of containers where a feature gate switches them off (contract §32): what is not to count
//! is taken out of the spec before anybody reads it, so that no other code knows of gates.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Container, Pod};

/// Gates `ContainerRestartRules` and `RestartAllContainersOnContainerExits`; the second needs the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestartRules {
    /// Only the pod's policy counts, and `Always` of a sidecar.
    Off,
    /// A rule that would start all containers over falls back to the policy of its container.
    EachAlone,
    /// Everything counts.
    All,
}

/// The pod with what counts. The same one if nothing has to be taken out.
#[must_use]
pub fn counted(pod: &Arc<Pod>, rules: RestartRules) -> Arc<Pod> {
    let untouched = |container: &Container| {
        rules == RestartRules::All
            || container.restart_policy.is_none() && container.restart_policy_rules.is_none()
    };
    let Some(spec) = &pod.spec else { return Arc::clone(pod) };
    if spec.containers.iter().chain(spec.init_containers.iter().flatten()).all(untouched) {
        return Arc::clone(pod);
    }
    let mut counted = pod.as_ref().clone();
    if let Some(spec) = &mut counted.spec {
        spec.containers.iter_mut().for_each(|container| reduce(container, rules, false));
        let inits = spec.init_containers.iter_mut().flatten();
        inits.for_each(|container| reduce(container, rules, true));
    }
    Arc::new(counted)
}

fn reduce(container: &mut Container, rules: RestartRules, init: bool) {
    match rules {
        RestartRules::All => {}
        RestartRules::EachAlone => {
            for rule in container.restart_policy_rules.iter_mut().flatten() {
                if rule.action == "RestartAllContainers" {
                    // It still matches, before any later rule, and then asks for nothing.
                    rule.action.clear();
                }
            }
        }
        RestartRules::Off => {
            container.restart_policy_rules = None;
            let sidecar = init && container.restart_policy.as_deref() == Some("Always");
            if !sidecar {
                container.restart_policy = None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod() -> Arc<Pod> {
        let rules =
            |action: &str| json!([{"action": action, "exitCodes": {"operator": "In", "values": [42]}}]);
        let spec = json!({
            "initContainers": [
                {"name": "s", "restartPolicy": "Always"},
                {"name": "i", "restartPolicy": "OnFailure", "restartPolicyRules": rules("Restart")}
            ],
            "containers": [
                {"name": "c", "restartPolicy": "Never", "restartPolicyRules": rules("RestartAllContainers")},
                {"name": "d"}
            ]
        });
        Arc::new(serde_json::from_value(json!({"metadata": {"name": "p"}, "spec": spec})).unwrap())
    }

    #[test]
    fn what_is_off_does_not_count() {
        let shape = |rules| {
            let pod = counted(&pod(), rules);
            let spec = pod.spec.clone().unwrap();
            let all = spec.init_containers.into_iter().flatten().chain(spec.containers);
            let of = |c: Container| {
                let actions: Vec<_> =
                    c.restart_policy_rules.into_iter().flatten().map(|rule| rule.action).collect();
                format!("{} {} {}", c.name, c.restart_policy.unwrap_or_default(), actions.join(","))
            };
            all.map(of).collect::<Vec<_>>()
        };
        assert_eq!(
            shape(RestartRules::All),
            ["s Always ", "i OnFailure Restart", "c Never RestartAllContainers", "d  "]
        );
        assert_eq!(shape(RestartRules::EachAlone), ["s Always ", "i OnFailure Restart", "c Never ", "d  "]);
        assert_eq!(shape(RestartRules::Off), ["s Always ", "i  ", "c  ", "d  "]);
    }

    #[test]
    fn a_pod_without_rules_is_handed_through() {
        let plain = Arc::new(Pod::default());
        assert!(Arc::ptr_eq(&plain, &counted(&plain, RestartRules::Off)));
        let pod = pod();
        assert!(Arc::ptr_eq(&pod, &counted(&pod, RestartRules::All)));
    }
}
