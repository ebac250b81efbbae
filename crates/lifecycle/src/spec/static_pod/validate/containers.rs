//! Checks of one container.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Container, PodSpec};

use super::{Checker, Volumes, amounts, env, handlers, mounts, restart, security};
use crate::spec::names;

/// In which list a container is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// `containers`.
    Regular,
    /// `initContainers`.
    Init,
}

/// Checks a container and everything in it.
pub(super) fn check(
    checker: &mut Checker,
    container: &Container,
    spec: &PodSpec,
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
    image(checker, container.image.as_deref().unwrap_or_default(), path);
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
    env::check(checker, container, path);
    mounts::check(checker, container, volumes, path);
    amounts::of_container(checker, container, spec, path);
    restart::resizes(checker, container, spec, path, place);
    security::of_container(checker, container, spec, path);
    restart::policies(checker, container, path, place);
    probes(checker, container, spec, path, place);
}

fn image(checker: &mut Checker, image: &str, path: &str) {
    let field = format!("{path}.image");
    if image.is_empty() {
        checker.required(&field, "", "name the image to run, such as registry.k8s.io/pause:3.10");
    } else if image.trim() != image {
        checker.invalid(&field, image, "must not have leading or trailing whitespace");
    }
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
            checker.port_number(&format!("{path}.containerPort"), port.container_port);
        }
        if let Some(host_port) = port.host_port.filter(|port| *port != 0) {
            checker.port_number(&format!("{path}.hostPort"), host_port);
        }
        checker.one_of(&format!("{path}.protocol"), port.protocol.as_deref(), &["SCTP", "TCP", "UDP"]);
    }
}

fn probes(checker: &mut Checker, container: &Container, spec: &PodSpec, path: &str, place: Place) {
    if place == Place::Init && container.restart_policy.as_deref() != Some("Always") {
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
    handlers::lifecycle(checker, container.lifecycle.as_ref(), spec, &format!("{path}.lifecycle"));
    for (field, probe, kind) in [
        ("livenessProbe", &container.liveness_probe, handlers::Kind::Liveness),
        ("readinessProbe", &container.readiness_probe, handlers::Kind::Readiness),
        ("startupProbe", &container.startup_probe, handlers::Kind::Startup),
    ] {
        handlers::probe(checker, probe.as_ref(), &format!("{path}.{field}"), kind);
    }
}
