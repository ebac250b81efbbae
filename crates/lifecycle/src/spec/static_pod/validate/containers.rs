//! Checks of one container.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Container, EnvVar, VolumeMount};

use super::{Checker, Volumes, amounts, handlers};
use crate::spec::names;

/// In which list a container is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// `containers`.
    Regular,
    /// `initContainers`.
    Init,
}

/// A user or group id.
pub(super) fn id(checker: &mut Checker, field: &str, id: Option<i64>) {
    if let Some(id) = id
        && !(0..=i64::from(i32::MAX)).contains(&id)
    {
        checker.invalid_number(field, id, "must be between 0 and 2147483647, inclusive");
    }
}

/// Checks a container and everything in it.
pub(super) fn check(
    checker: &mut Checker,
    container: &Container,
    volumes: &Volumes<'_>,
    path: &str,
    place: Place,
) {
    let name_path = format!("{path}.name");
    if container.name.is_empty() {
        checker.required(&name_path, "", "");
    } else {
        checker.names(&name_path, &container.name, names::label_problems(&container.name));
    }
    if container.image.as_deref().unwrap_or_default().is_empty() {
        checker.required(
            &format!("{path}.image"),
            "",
            "name the image to run, such as registry.k8s.io/pause:3.10",
        );
    }
    checker.one_of(
        &format!("{path}.terminationMessagePolicy"),
        container.termination_message_policy.as_deref(),
        &["File", "FallbackToLogsOnError"],
    );
    checker.one_of(
        &format!("{path}.imagePullPolicy"),
        container.image_pull_policy.as_deref(),
        &["Always", "IfNotPresent", "Never"],
    );
    ports(checker, container, path);
    for (index, variable) in container.env.iter().flatten().enumerate() {
        env(checker, variable, &format!("{path}.env[{index}]"));
    }
    mounts(checker, container, volumes, path);
    amounts::requirements(checker, container.resources.as_ref(), &format!("{path}.resources"));
    security(checker, container, path);
    restart_and_probes(checker, container, path, place);
}

fn ports(checker: &mut Checker, container: &Container, path: &str) {
    let mut seen = BTreeSet::new();
    for (index, port) in container.ports.iter().flatten().enumerate() {
        let path = format!("{path}.ports[{index}]");
        if let Some(name) = port.name.as_deref().filter(|name| !name.is_empty()) {
            let problems = names::port_name_problems(name);
            let fine = problems.is_empty();
            checker.names(&format!("{path}.name"), name, problems);
            if fine && !seen.insert(name) {
                checker.duplicate(&format!("{path}.name"), name, "");
            }
        }
        if port.container_port == 0 {
            checker.required(&format!("{path}.containerPort"), "", "");
        } else {
            for problem in names::port_problems(port.container_port) {
                checker.invalid_number(
                    &format!("{path}.containerPort"),
                    i64::from(port.container_port),
                    &problem,
                );
            }
        }
        if let Some(host_port) = port.host_port.filter(|port| *port != 0) {
            for problem in names::port_problems(host_port) {
                checker.invalid_number(&format!("{path}.hostPort"), i64::from(host_port), &problem);
            }
        }
        checker.one_of(&format!("{path}.protocol"), port.protocol.as_deref(), &["SCTP", "TCP", "UDP"]);
    }
}

fn env(checker: &mut Checker, variable: &EnvVar, path: &str) {
    if variable.name.is_empty() {
        checker.required(&format!("{path}.name"), "", "");
    } else {
        checker.names(&format!("{path}.name"), &variable.name, names::env_name_problems(&variable.name));
    }
    let Some(source) = &variable.value_from else {
        return;
    };
    let field = format!("{path}.valueFrom");
    let sources = [
        source.field_ref.is_some(),
        source.resource_field_ref.is_some(),
        source.config_map_key_ref.is_some(),
        source.secret_key_ref.is_some(),
        source.file_key_ref.is_some(),
    ];
    let count = sources.into_iter().filter(|is_some| *is_some).count();
    if count == 0 {
        checker.invalid(
            &field,
            "",
            "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`",
        );
    } else if !variable.value.as_deref().unwrap_or_default().is_empty() {
        checker.invalid(&field, "", "may not be specified when `value` is not empty");
    } else if count > 1 {
        checker.invalid(&field, "", "may not have more than one field specified at a time");
    }
}

fn mounts(checker: &mut Checker, container: &Container, volumes: &Volumes<'_>, path: &str) {
    let mut points = BTreeSet::new();
    for (index, mount) in container.volume_mounts.iter().flatten().enumerate() {
        let path = format!("{path}.volumeMounts[{index}]");
        if mount.name.is_empty() {
            checker.required(&format!("{path}.name"), "", "");
        }
        if !volumes.contains_key(mount.name.as_str()) {
            checker.not_found(&format!("{path}.name"), &mount.name, "list the volume in spec.volumes");
        }
        if mount.mount_path.is_empty() {
            checker.required(&format!("{path}.mountPath"), "", "");
        }
        if !points.insert(mount.mount_path.as_str()) {
            checker.invalid(&format!("{path}.mountPath"), &mount.mount_path, "must be unique");
        }
        sub_paths(checker, mount, &path);
        propagation(checker, mount, container, &path);
    }
    for (index, device) in container.volume_devices.iter().flatten().enumerate() {
        let path = format!("{path}.volumeDevices[{index}]");
        if !volumes.contains_key(device.name.as_str()) {
            checker.not_found(&format!("{path}.name"), &device.name, "list the volume in spec.volumes");
        }
    }
}

fn sub_paths(checker: &mut Checker, mount: &VolumeMount, path: &str) {
    let sub_path = mount.sub_path.as_deref().unwrap_or_default();
    let expression = mount.sub_path_expr.as_deref().unwrap_or_default();
    checker.descending_path(&format!("{path}.subPath"), sub_path);
    if !expression.is_empty() {
        let field = format!("{path}.subPathExpr");
        if !sub_path.is_empty() {
            checker.invalid(&field, expression, "subPathExpr and subPath are mutually exclusive");
        }
        checker.descending_path(&field, expression);
    }
}

fn propagation(checker: &mut Checker, mount: &VolumeMount, container: &Container, path: &str) {
    if let Some(mode) = mount.mount_propagation.as_deref() {
        let field = format!("{path}.mountPropagation");
        checker.one_of(&field, Some(mode), &["Bidirectional", "HostToContainer", "None"]);
        let privileged = container.security_context.as_ref().and_then(|context| context.privileged);
        if mode == "Bidirectional" && privileged != Some(true) {
            checker.forbidden(
                &field,
                "Bidirectional mount propagation is available only to privileged containers",
            );
        }
    }
    if let Some(mode) = mount.recursive_read_only.as_deref() {
        let field = format!("{path}.recursiveReadOnly");
        checker.one_of(&field, Some(mode), &["Disabled", "Enabled", "IfPossible"]);
        if mode != "Disabled" && mount.read_only != Some(true) {
            checker.forbidden(&field, "may only be specified when readOnly is true");
        }
    }
}

fn security(checker: &mut Checker, container: &Container, path: &str) {
    let Some(context) = &container.security_context else {
        return;
    };
    let path = format!("{path}.securityContext");
    id(checker, &format!("{path}.runAsUser"), context.run_as_user);
    id(checker, &format!("{path}.runAsGroup"), context.run_as_group);
    if context.allow_privilege_escalation == Some(false) && context.privileged == Some(true) {
        checker.invalid(&path, "", "cannot set `allowPrivilegeEscalation` to false and `privileged` to true");
    }
    if context.proc_mount.as_deref().is_some_and(|mode| !mode.is_empty()) {
        checker.one_of(&format!("{path}.procMount"), context.proc_mount.as_deref(), &["Default", "Unmasked"]);
    }
}

fn restart_and_probes(checker: &mut Checker, container: &Container, path: &str, place: Place) {
    let policy = container.restart_policy.as_deref();
    if let Some(policy) = policy {
        checker.one_of(&format!("{path}.restartPolicy"), Some(policy), &["Always", "Never", "OnFailure"]);
    }
    if container.restart_policy_rules.iter().flatten().next().is_some() && policy.is_none() {
        checker.required(
            &format!("{path}.restartPolicy"),
            "must specify restartPolicy when restart rules are used",
            "",
        );
    }
    if place == Place::Init && policy != Some("Always") {
        for (field, present) in [
            ("lifecycle", container.lifecycle.is_some()),
            ("livenessProbe", container.liveness_probe.is_some()),
            ("readinessProbe", container.readiness_probe.is_some()),
            ("startupProbe", container.startup_probe.is_some()),
        ] {
            if present {
                checker.forbidden(
                    &format!("{path}.{field}"),
                    "may not be set for init containers without restartPolicy=Always",
                );
            }
        }
        return;
    }
    handlers::lifecycle(checker, container.lifecycle.as_ref(), &format!("{path}.lifecycle"));
    handlers::probe(
        checker,
        container.liveness_probe.as_ref(),
        &format!("{path}.livenessProbe"),
        handlers::Kind::Liveness,
    );
    handlers::probe(
        checker,
        container.readiness_probe.as_ref(),
        &format!("{path}.readinessProbe"),
        handlers::Kind::Readiness,
    );
    handlers::probe(
        checker,
        container.startup_probe.as_ref(),
        &format!("{path}.startupProbe"),
        handlers::Kind::Startup,
    );
}
