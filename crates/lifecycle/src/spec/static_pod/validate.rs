//! What the API server would refuse (contract §4). Covers what a manifest author gets wrong and what would hurt the
//! node; a few rules about scheduling, which mean nothing for a pod that is on its node already, are left out.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::{
    api::core::v1::{Container, Pod, PodSpec, Volume},
    apimachinery::pkg::util::intstr::IntOrString,
};

use super::Problem;
use crate::spec::{names, quote::go_quote, resource_ref};

mod amounts;
mod containers;
mod handlers;

/// Collects problems under field paths.
#[derive(Default)]
pub(super) struct Checker {
    problems: Vec<Problem>,
}

impl Checker {
    pub(super) fn add(&mut self, field: &str, detail: String, hint: &'static str) {
        self.problems.push(Problem { field: field.to_owned(), detail, hint });
    }

    pub(super) fn required(&mut self, field: &str, detail: &str, hint: &'static str) {
        let detail =
            if detail.is_empty() { "Required value".to_owned() } else { format!("Required value: {detail}") };
        self.add(field, detail, hint);
    }

    pub(super) fn invalid(&mut self, field: &str, value: &str, detail: &str) {
        self.add(field, format!("Invalid value: {}: {detail}", go_quote(value)), "");
    }

    pub(super) fn invalid_number(&mut self, field: &str, value: i64, detail: &str) {
        self.add(field, format!("Invalid value: {value}: {detail}"), "");
    }

    pub(super) fn forbidden(&mut self, field: &str, detail: &str) {
        self.add(field, format!("Forbidden: {detail}"), "");
    }

    pub(super) fn duplicate(&mut self, field: &str, value: &str, hint: &'static str) {
        self.add(field, format!("Duplicate value: {}", go_quote(value)), hint);
    }

    pub(super) fn not_found(&mut self, field: &str, value: &str, hint: &'static str) {
        self.add(field, format!("Not found: {}", go_quote(value)), hint);
    }

    pub(super) fn names(&mut self, field: &str, value: &str, problems: Vec<String>) {
        for problem in problems {
            self.invalid(field, value, &problem);
        }
    }

    /// One of a few words. `allowed` in the order in which they are listed to the user.
    pub(super) fn one_of(&mut self, field: &str, value: Option<&str>, allowed: &[&str]) {
        match value.unwrap_or_default() {
            "" => self.required(field, "", ""),
            value if allowed.contains(&value) => {}
            value => {
                let allowed: Vec<String> = allowed.iter().map(|word| go_quote(word)).collect();
                self.add(
                    field,
                    format!(
                        "Unsupported value: {}: supported values: {}",
                        go_quote(value),
                        allowed.join(", ")
                    ),
                    "",
                );
            }
        }
    }

    pub(super) fn not_negative(&mut self, field: &str, value: i64) {
        if value < 0 {
            self.invalid_number(field, value, "must be greater than or equal to 0");
        }
    }

    pub(super) fn port(&mut self, field: &str, port: &IntOrString) {
        match port {
            IntOrString::Int(number) => {
                for problem in names::port_problems(*number) {
                    self.invalid_number(field, i64::from(*number), &problem);
                }
            }
            IntOrString::String(name) => self.names(field, name, names::port_name_problems(name)),
        }
    }

    /// A path below a volume: relative and without `..`.
    pub(super) fn descending_path(&mut self, field: &str, path: &str) {
        if path.starts_with('/') {
            self.invalid(field, path, "must be a relative path");
        }
        if path.split('/').any(|part| part == "..") {
            self.invalid(field, path, "must not contain '..'");
        }
    }
}

/// Volumes of the pod by name, those without problems.
pub(super) type Volumes<'a> = BTreeMap<&'a str, &'a Volume>;

fn metadata(checker: &mut Checker, pod: &Pod) {
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    checker.names("metadata.name", name, names::subdomain_problems(name));
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    checker.names("metadata.namespace", namespace, names::label_problems(namespace));
    for (key, value) in pod.metadata.labels.iter().flatten() {
        checker.names("metadata.labels", key, names::label_key_problems(key));
        checker.names("metadata.labels", value, names::label_value_problems(value));
    }
    for key in pod.metadata.annotations.iter().flatten().map(|(key, _)| key) {
        checker.names("metadata.annotations", key, names::label_key_problems(&key.to_lowercase()));
    }
}

fn volumes<'a>(checker: &mut Checker, spec: &'a PodSpec) -> Volumes<'a> {
    let mut known = Volumes::new();
    for (index, volume) in spec.volumes.iter().flatten().enumerate() {
        let path = format!("spec.volumes[{index}]");
        let before = checker.problems.len();
        let name_path = format!("{path}.name");
        if volume.name.is_empty() {
            checker.required(&name_path, "", "");
        } else {
            checker.names(&name_path, &volume.name, names::label_problems(&volume.name));
        }
        if known.contains_key(volume.name.as_str()) {
            checker.duplicate(&name_path, &volume.name, "give each volume of the pod a name of its own");
        }
        volume_source(checker, volume, &path);
        if checker.problems.len() == before {
            known.insert(&volume.name, volume);
        }
    }
    known
}

fn volume_source(checker: &mut Checker, volume: &Volume, path: &str) {
    let kinds = serde_json::to_value(volume).ok();
    let kinds = kinds.as_ref().and_then(serde_json::Value::as_object);
    let extra = kinds.into_iter().flatten().map(|(kind, _)| kind).filter(|kind| *kind != "name").skip(1);
    for kind in extra {
        checker.forbidden(&format!("{path}.{kind}"), "may not specify more than 1 volume type");
    }
    if let Some(host_path) = &volume.host_path {
        let field = format!("{path}.hostPath");
        if host_path.path.is_empty() {
            checker.required(&format!("{field}.path"), "", "");
        } else {
            if host_path.path.split('/').any(|part| part == "..") {
                checker.invalid(&format!("{field}.path"), &host_path.path, "must not contain '..'");
            }
            let allowed = [
                "BlockDevice",
                "CharDevice",
                "Directory",
                "DirectoryOrCreate",
                "File",
                "FileOrCreate",
                "Socket",
            ];
            if let Some(kind) = host_path.type_.as_deref().filter(|kind| !kind.is_empty()) {
                checker.one_of(&format!("{field}.type"), Some(kind), &allowed);
            }
        }
    }
    if let Some(limit) = volume.empty_dir.as_ref().and_then(|source| source.size_limit.as_ref())
        && resource_ref::parse_nano(&limit.0).is_none_or(|nano| nano < 0)
    {
        checker.forbidden(
            &format!("{path}.emptyDir.sizeLimit"),
            "SizeLimit field must be a valid resource quantity",
        );
    }
    let downward = volume.downward_api.iter().flat_map(|source| source.items.iter().flatten());
    let projected = volume.projected.iter().flat_map(|source| source.sources.iter().flatten());
    let projected = projected.filter_map(|source| source.downward_api.as_ref());
    for item in downward.chain(projected.flat_map(|source| source.items.iter().flatten())) {
        let field = format!("{path}.downwardAPI.path");
        if item.path.is_empty() {
            checker.required(&field, "", "");
        }
        checker.descending_path(&field, &item.path);
        if item.path.starts_with("..") && item.path.split('/').next() != Some("..") {
            checker.invalid(&field, &item.path, "must not start with '..'");
        }
    }
}

fn network(checker: &mut Checker, spec: &PodSpec) {
    for (field, value) in [("spec.hostname", &spec.hostname), ("spec.subdomain", &spec.subdomain)] {
        if let Some(value) = value.as_deref().filter(|value| !value.is_empty()) {
            checker.names(field, value, names::label_problems(value));
        }
    }
    if let Some(value) = spec.hostname_override.as_deref() {
        let field = "spec.hostnameOverride";
        if spec.set_hostname_as_fqdn == Some(true) {
            checker.forbidden(field, "may not be specified when setHostnameAsFQDN is true");
        }
        if spec.host_network == Some(true) {
            checker.forbidden(field, "may not be specified when hostNetwork is true");
        }
        if value.len() > 64 {
            checker.add(field, "Too long: may not be more than 64 bytes".to_owned(), "");
        }
        checker.names(field, value, names::subdomain_problems(value));
    }
    checker.one_of(
        "spec.dnsPolicy",
        spec.dns_policy.as_deref(),
        &["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"],
    );
    let servers =
        spec.dns_config.as_ref().and_then(|config| config.nameservers.as_deref()).unwrap_or_default();
    if spec.dns_policy.as_deref() == Some("None") {
        if spec.dns_config.is_none() {
            checker.required("spec.dnsConfig", "must provide `dnsConfig` when `dnsPolicy` is None", "");
        } else if servers.is_empty() {
            checker.required(
                "spec.dnsConfig.nameservers",
                "must provide at least one DNS nameserver when `dnsPolicy` is None",
                "",
            );
        }
    }
    if servers.len() > 3 {
        checker.invalid(
            "spec.dnsConfig.nameservers",
            &servers.join(" "),
            "must not have more than 3 nameservers",
        );
    }
    let mut address = |field: String, value: &str| {
        if value.parse::<std::net::IpAddr>().is_err() {
            checker.invalid(&field, value, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)");
        }
    };
    for (index, server) in servers.iter().enumerate() {
        address(format!("spec.dnsConfig.nameservers[{index}]"), server);
    }
    for (index, alias) in spec.host_aliases.iter().flatten().enumerate() {
        address(format!("spec.hostAliases[{index}].ip"), &alias.ip);
    }
    for (index, alias) in spec.host_aliases.iter().flatten().enumerate() {
        for (at, name) in alias.hostnames.iter().flatten().enumerate() {
            let field = format!("spec.hostAliases[{index}].hostnames[{at}]");
            checker.names(&field, name, names::subdomain_problems(name));
        }
    }
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
        checker.invalid(
            "spec.shareProcessNamespace",
            "true",
            "ShareProcessNamespace and HostPID cannot both be enabled",
        );
    }
    let context = spec.security_context.as_ref();
    for (field, id) in [
        ("fsGroup", context.and_then(|context| context.fs_group)),
        ("runAsUser", context.and_then(|context| context.run_as_user)),
        ("runAsGroup", context.and_then(|context| context.run_as_group)),
    ] {
        containers::id(checker, &format!("spec.securityContext.{field}"), id);
    }
    if spec.service_account_name.is_none() {
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
        containers::check(checker, container, volumes, &path, containers::Place::Regular);
        if !seen.insert(&container.name) {
            checker.duplicate(&format!("{path}.name"), &container.name, TWICE);
        }
        host_ports(checker, container, &path, spec.host_network == Some(true), &mut ports);
    }
    for (index, container) in spec.init_containers.iter().flatten().enumerate() {
        let path = format!("spec.initContainers[{index}]");
        containers::check(checker, container, volumes, &path, containers::Place::Init);
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
    metadata(&mut checker, pod);
    if let Some(spec) = &pod.spec {
        let volumes = volumes(&mut checker, spec);
        container_lists(&mut checker, spec, &volumes);
        amounts::of_pod(&mut checker, spec);
        network(&mut checker, spec);
        whole_pod(&mut checker, spec);
    }
    checker.problems
}
