//! What the API server would refuse (contract §4), with the options that upstream's kubelet gives its checks: those of its
//! default feature gates. What is not checked stands in docs/compat.md: it means nothing for a pod that is on its node
//! already, or is of a kind that is refused here anyway.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec, Volume};

use super::Problem;
use crate::spec::names;

mod amounts;
mod checker;
mod containers;
mod env;
mod handlers;
mod metadata;
mod mounts;
mod network;
mod profiles;
mod restart;
mod security;
mod selectors;
mod volumes;

use checker::Checker;

/// Volumes of the pod by name, those without problems.
type Volumes<'a> = BTreeMap<&'a str, &'a Volume>;

/// All containers with their paths, init containers first.
fn containers_of(spec: &PodSpec) -> impl Iterator<Item = (String, &Container)> {
    let inits = spec.init_containers.iter().flatten().enumerate();
    let inits = inits.map(|(index, container)| (format!("spec.initContainers[{index}]"), container));
    let regular = spec.containers.iter().enumerate();
    inits.chain(regular.map(|(index, container)| (format!("spec.containers[{index}]"), container)))
}

fn whole_pod(checker: &mut Checker, spec: &PodSpec) {
    checker.one_of("spec.restartPolicy", spec.restart_policy.as_deref(), &["Always", "OnFailure", "Never"]);
    let node = spec.node_name.as_deref().unwrap_or_default();
    checker.names("spec.nodeName", node, names::subdomain_problems(node));
    if let Some(seconds) = spec.active_deadline_seconds
        && !(1..=i64::from(i32::MAX)).contains(&seconds)
    {
        checker.invalid_number(
            "spec.activeDeadlineSeconds",
            seconds,
            "must be between 1 and 2147483647, inclusive",
        );
    }
    metadata::labels(checker, spec.node_selector.as_ref(), "spec.nodeSelector");
    for (index, gate) in spec.readiness_gates.iter().flatten().enumerate() {
        let field = format!("spec.readinessGates[{index}].conditionType");
        let condition = &gate.condition_type;
        checker.names(&field, condition, names::label_key_problems(condition));
    }
    if let Some(class) = spec.priority_class_name.as_deref().filter(|class| !class.is_empty()) {
        checker.names("spec.priorityClassName", class, names::subdomain_problems(class));
    }
    if let Some(policy) = spec.preemption_policy.as_deref() {
        checker.one_of("spec.preemptionPolicy", Some(policy), &["PreemptLowerPriority", "Never"]);
    }
    if let Some(os) = &spec.os {
        match os.name.as_str() {
            "" => checker.required("spec.os.name", "", ""),
            name => checker.supported("spec.os", name, &["linux", "windows"]),
        }
    }
    if spec.ephemeral_containers.iter().flatten().next().is_some() {
        checker.forbidden("spec.ephemeralContainers", "cannot be set on create");
    }
    if spec.scheduling_gates.iter().flatten().next().is_some() {
        checker.forbidden("spec.nodeName", "cannot be set until all schedulingGates have been cleared");
    }
    if let Some(class) = spec.runtime_class_name.as_deref() {
        checker.names("spec.runtimeClassName", class, names::subdomain_problems(class));
    }
    if spec.share_process_namespace == Some(true) && spec.host_pid == Some(true) {
        checker.invalid_json(
            "spec.shareProcessNamespace",
            "true",
            "ShareProcessNamespace and HostPID cannot both be enabled",
        );
    }
    if spec.service_account_name.as_deref().unwrap_or_default().is_empty() {
        for (index, volume) in spec.volumes.iter().flatten().enumerate() {
            for (at, source) in volume.projected.iter().flat_map(|p| p.sources.iter().flatten()).enumerate() {
                if source.service_account_token.is_some() {
                    checker.forbidden(
                        &format!("spec.volumes[{index}].projected.sources[{at}].serviceAccountToken"),
                        "must not be specified when serviceAccountName is not set",
                    );
                }
            }
        }
    }
}

fn container_lists(checker: &mut Checker, spec: &PodSpec, volumes: &Volumes<'_>) {
    const TWICE: &str = "give each container of the pod a name of its own";
    if spec.containers.is_empty() {
        checker.required("spec.containers", "", "a pod has at least one container");
    }
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    let mut ports = BTreeSet::new();
    for (index, container) in spec.containers.iter().enumerate() {
        let path = format!("spec.containers[{index}]");
        containers::check(checker, container, spec, volumes, &path, containers::Place::Regular);
        if !seen.insert(&container.name) {
            checker.duplicate(&format!("{path}.name"), &container.name, TWICE);
        }
        host_ports(checker, container, &path, spec.host_network == Some(true), &mut ports);
    }
    for (index, container) in spec.init_containers.iter().flatten().enumerate() {
        let path = format!("spec.initContainers[{index}]");
        containers::check(checker, container, spec, volumes, &path, containers::Place::Init);
        if !seen.insert(&container.name) {
            checker.duplicate(&format!("{path}.name"), &container.name, TWICE);
        }
        // Init containers run one by one: their ports clash among themselves only.
        host_ports(checker, container, &path, false, &mut BTreeSet::new());
    }
}

fn host_ports(
    checker: &mut Checker,
    container: &Container,
    path: &str,
    host_network: bool,
    taken: &mut BTreeSet<String>,
) {
    for (index, port) in container.ports.iter().flatten().enumerate() {
        let field = format!("{path}.ports[{index}].hostPort");
        let host_port = port.host_port.unwrap_or(0);
        if host_network && host_port != port.container_port {
            checker.invalid_number(
                &field,
                i64::from(host_port),
                "must match `containerPort` when `hostNetwork` is true",
            );
        }
        if host_port != 0 {
            let text = format!(
                "{}/{}/{host_port}",
                port.protocol.as_deref().unwrap_or_default(),
                port.host_ip.as_deref().unwrap_or_default()
            );
            if !taken.insert(text.clone()) {
                checker.duplicate(
                    &field,
                    &text,
                    "two containers of a pod cannot have the same port of the node",
                );
            }
        }
    }
}

/// Everything that is wrong with a pod that went through the defaults.
pub(super) fn problems(pod: &Pod) -> Vec<Problem> {
    let mut checker = Checker::default();
    metadata::check(&mut checker, pod);
    if let Some(spec) = &pod.spec {
        let volumes = volumes::check(&mut checker, spec);
        container_lists(&mut checker, spec, &volumes);
        amounts::of_pod(&mut checker, spec);
        network::check(&mut checker, spec);
        whole_pod(&mut checker, spec);
        security::of_pod(&mut checker, spec);
        profiles::annotations(&mut checker, &pod.metadata, spec);
        env::file_volumes(&mut checker, spec);
    }
    checker.into_problems()
}

#[cfg(test)]
mod tests;
