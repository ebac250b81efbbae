//! Texts with a form: paths, addresses, taints, sysctls, endpoints.

use std::{collections::BTreeSet, path::Path};

use super::Checks;
use crate::{
    config::load::clean,
    flags::value::parse_ip,
    gates::Gate,
    labels::{name_problem, taints::EFFECTS, value_problem},
};

pub(super) fn check(checks: &mut Checks<'_>) {
    log_directory(checks);
    taints(checks);
    sysctls(checks);
    let config = checks.config;
    if config.container_runtime_endpoint.is_empty() {
        let cause = "invalid configuration: the containerRuntimeEndpoint was not specified or empty";
        checks.fail(
            "containerRuntimeEndpoint",
            cause,
            "write the runtime's socket, such as unix:///run/containerd/containerd.sock",
        );
    }
    for (path, endpoint) in [
        ("containerRuntimeEndpoint", &config.container_runtime_endpoint),
        ("imageServiceEndpoint", &config.image_service_endpoint),
    ] {
        if let Some((scheme, _)) = endpoint.split_once("://").filter(|(scheme, _)| *scheme != "unix") {
            let cause = format!("invalid configuration: {path}: protocol {scheme:?} not supported");
            checks.fail(path, cause, "write unix:// and the path of the socket");
        }
    }
    for (path, address) in
        [("address", &config.address), ("healthzBindAddress", &config.healthz_bind_address)]
    {
        if parse_ip(address).is_none() {
            let cause = format!(
                "invalid configuration: {} {address:?} is not a valid IP address",
                Checks::called(path)
            );
            checks.fail(path, cause, "write an IP address; 0.0.0.0 or :: for all interfaces");
        }
    }
}

fn log_directory(checks: &mut Checks<'_>) {
    let directory = &checks.config.pod_logs_dir;
    let mut problems = Vec::new();
    if directory.is_empty() {
        problems.push("invalid configuration: podLogsDir was not specified".to_owned());
    }
    if !directory.starts_with('/') {
        problems.push(format!("invalid configuration: pod logs path {directory:?} must be absolute path"));
    }
    if clean(Path::new(directory)) != Path::new(directory)
        || (directory.len() > 1 && directory.ends_with('/'))
        || directory.contains("//")
    {
        problems.push(format!("invalid configuration: pod logs path {directory:?} must be normalized"));
    }
    if !directory.is_ascii() {
        problems.push(format!(
            "invalid configuration: pod logs path {directory:?} mut contains ASCII characters only"
        ));
    }
    for cause in problems {
        checks.fail(
            "podLogsDir",
            cause,
            "write an absolute path without `..`, doubled and trailing slashes, such as /var/log/pods",
        );
    }
}

fn taints(checks: &mut Checks<'_>) {
    for taint in &checks.config.register_with_taints {
        let value = (!taint.value.is_empty()).then_some(taint.value.as_str());
        let text = format!("{}={}:{}", taint.key, taint.value, taint.effect);
        if name_problem(&taint.key).is_some()
            || value.and_then(value_problem).is_some()
            || !EFFECTS.contains(&taint.effect.as_str())
        {
            let hint = "write a label-like key and value, and NoSchedule, PreferNoSchedule or NoExecute";
            checks.fail("registerWithTaints", format!("invalid taint: {text}"), hint);
        }
        if taint.time_added.is_some() {
            let cause = "invalid configuration: taint.TimeAdded is not nil";
            checks.fail("registerWithTaints", cause, "delete timeAdded; the API server sets it");
        }
    }
}

fn sysctls(checks: &mut Checks<'_>) {
    let path = "defaultPodSysctls";
    let names = &checks.config.default_pod_sysctls;
    if names.is_empty() {
        return;
    }
    if !checks.on(Gate::DefaultPodSysctls) {
        let cause = "invalid configuration: DefaultPodSysctls feature gate is required for Kubelet configuration option defaultPodSysctls";
        checks.fail(path, cause, "enable the gate, or delete the field");
        return;
    }
    let mut seen = BTreeSet::new();
    for name in names.keys() {
        if !is_sysctl(name) {
            let cause =
                format!("invalid configuration: {name:?} is not a valid sysctl name for defaultPodSysctls");
            checks.fail(path, cause, "write lower-case parts joined by dots, such as net.core.somaxconn");
            continue;
        }
        let normal = normalize(name);
        if !is_namespaced(&normal) {
            let cause = format!(
                "invalid configuration: {name:?} is not known to be namespaced for defaultPodSysctls"
            );
            checks.fail(path, cause, "set sysctls of the whole machine in /etc/sysctl.d");
        }
        if !seen.insert(normal.clone()) {
            let cause =
                format!("invalid configuration: duplicate sysctl {normal:?} found in defaultPodSysctls");
            checks.fail(path, cause, "keep one spelling");
        }
    }
}

/// Parts `[a-z0-9]([-_a-z0-9]*[a-z0-9])?` joined by `.` or `/`, at most 253 bytes.
fn is_sysctl(name: &str) -> bool {
    let edge = |byte: Option<&u8>| byte.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    name.len() <= 253
        && name.split(['.', '/']).all(|part| {
            let bytes = part.as_bytes();
            edge(bytes.first())
                && edge(bytes.last())
                && bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_".contains(b))
        })
}

/// When the first separator is a slash, slashes separate and dots belong to names: swap the two.
fn normalize(name: &str) -> String {
    match name.find(['.', '/']) {
        Some(at) if name.as_bytes().get(at) == Some(&b'/') => name
            .chars()
            .map(|c| {
                if c == '/' {
                    '.'
                } else if c == '.' {
                    '/'
                } else {
                    c
                }
            })
            .collect(),
        _ => name.to_owned(),
    }
}

fn is_namespaced(name: &str) -> bool {
    const EXACT: [&str; 9] = [
        "kernel.domainname",
        "kernel.sem",
        "kernel.shmall",
        "kernel.shmmax",
        "kernel.shmmni",
        "kernel.shm_rmid_forced",
        "kernel.msgmax",
        "kernel.msgmnb",
        "kernel.msgmni",
    ];
    const BELOW: [&str; 5] = ["net.", "fs.mqueue.", "user.", "kernel.shm.", "kernel.msg."];
    EXACT.contains(&name) || BELOW.iter().any(|prefix| name.starts_with(prefix))
}
