//! Checks of a container's environment.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, EnvFromSource, EnvVar, FileKeySelector, PodSpec, Volume};

use super::{
    Checker, containers_of,
    selectors::{self, Place},
};
use crate::spec::names;

/// Checks `env` and `envFrom`.
pub(super) fn check(checker: &mut Checker, container: &Container, path: &str) {
    for (index, variable) in container.env.iter().flatten().enumerate() {
        self::variable(checker, variable, &format!("{path}.env[{index}]"));
    }
    for (index, source) in container.env_from.iter().flatten().enumerate() {
        from(checker, source, &format!("{path}.envFrom"), index);
    }
}

fn variable(checker: &mut Checker, variable: &EnvVar, path: &str) {
    if variable.name.is_empty() {
        checker.required(&format!("{path}.name"), "", "");
    } else {
        checker.names(&format!("{path}.name"), &variable.name, names::env_name_problems(&variable.name));
    }
    let Some(source) = &variable.value_from else { return };
    let field = format!("{path}.valueFrom");
    let mut count = 0;
    if let Some(selector) = &source.field_ref {
        count += 1;
        selectors::field(checker, selector, Place::Environment, &format!("{field}.fieldRef"));
    }
    if let Some(selector) = &source.resource_field_ref {
        count += 1;
        selectors::resource(checker, selector, Place::Environment, &format!("{field}.resourceFieldRef"));
    }
    if let Some(selector) = &source.config_map_key_ref {
        count += 1;
        key(checker, &selector.name, &selector.key, &format!("{field}.configMapKeyRef"));
    }
    if let Some(selector) = &source.secret_key_ref {
        count += 1;
        key(checker, &selector.name, &selector.key, &format!("{field}.secretKeyRef"));
    }
    if let Some(selector) = &source.file_key_ref {
        count += 1;
        file_key(checker, selector, &format!("{field}.fileKeyRef"));
    }
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

fn key(checker: &mut Checker, name: &str, key: &str, path: &str) {
    checker.names(&format!("{path}.name"), name, names::subdomain_problems(name));
    let field = format!("{path}.key");
    if key.is_empty() {
        checker.required(&field, "", "");
    } else {
        checker.names(&field, key, names::config_key_problems(key));
    }
}

fn file_key(checker: &mut Checker, selector: &FileKeySelector, path: &str) {
    let field = format!("{path}.key");
    if selector.key.is_empty() {
        checker.required(&field, "", "");
    } else {
        checker.names(&field, &selector.key, names::env_name_problems(&selector.key));
    }
    let field = format!("{path}.volumeName");
    if selector.volume_name.is_empty() {
        checker.required(&field, "", "");
    } else {
        checker.names(&field, &selector.volume_name, names::label_problems(&selector.volume_name));
    }
    let field = format!("{path}.path");
    if selector.path.is_empty() {
        checker.required(&field, "", "");
    } else {
        checker.no_backsteps(&field, &selector.path);
    }
}

fn from(checker: &mut Checker, source: &EnvFromSource, list: &str, index: usize) {
    let path = format!("{list}[{index}]");
    if let Some(prefix) = source.prefix.as_deref().filter(|prefix| !prefix.is_empty()) {
        checker.names(&format!("{path}.prefix"), prefix, names::env_name_problems(prefix));
    }
    let map = source.config_map_ref.as_ref().map(|source| ("configMapRef", &source.name));
    let secret = source.secret_ref.as_ref().map(|source| ("secretRef", &source.name));
    for (kind, name) in map.into_iter().chain(secret) {
        let field = format!("{path}.{kind}.name");
        if name.is_empty() {
            checker.required(&field, "", "");
        } else {
            checker.names(&field, name, names::subdomain_problems(name));
        }
    }
    match (map, secret) {
        (None, None) => checker.invalid(list, "", "must specify one of: `configMapRef` or `secretRef`"),
        (Some(_), Some(_)) => {
            checker.invalid(list, "", "may not have more than one field specified at a time");
        }
        _ => {}
    }
}

/// Checks that the volumes of environment files are empty directories of the pod.
pub(super) fn file_volumes(checker: &mut Checker, spec: &PodSpec) {
    let volumes: BTreeMap<&str, &Volume> =
        spec.volumes.iter().flatten().map(|volume| (volume.name.as_str(), volume)).collect();
    for (path, container) in containers_of(spec) {
        for (index, variable) in container.env.iter().flatten().enumerate() {
            let source = variable.value_from.as_ref().and_then(|source| source.file_key_ref.as_ref());
            let Some(FileKeySelector { volume_name, .. }) = source else { continue };
            let field = format!("{path}.env[{index}].valueFrom.fileKeyRef.volumeName");
            match volumes.get(volume_name.as_str()) {
                None => checker.not_found(&field, volume_name, "list the volume in spec.volumes"),
                Some(volume) if volume.empty_dir.is_none() => {
                    checker.invalid(&field, volume_name, "referenced volume must be of type emptyDir");
                }
                Some(_) => {}
            }
        }
    }
}
