//! Checks of seccomp and AppArmor profiles: the fields, the annotations that came before them, and that both agree. A
//! profile that is misspelt would leave a container without any.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{AppArmorProfile, PodSpec, SeccompProfile},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};

use super::{Checker, checker::json_text, containers_of};
use crate::spec::quote::go_quote;

/// Annotation with the seccomp profile of all containers.
const SECCOMP_POD: &str = "seccomp.security.alpha.kubernetes.io/pod";
/// Prefix of an annotation with the seccomp profile of one container, whose name follows.
const SECCOMP_CONTAINER: &str = "container.seccomp.security.alpha.kubernetes.io/";
/// The same for AppArmor.
const APPARMOR_CONTAINER: &str = "container.apparmor.security.beta.kubernetes.io/";
/// What begins the name of a profile of the node in an annotation.
const LOCALHOST: &str = "localhost/";
/// Kinds of profiles, as fields name them.
const TYPES: [&str; 3] = ["Localhost", "RuntimeDefault", "Unconfined"];
/// Longest name of an AppArmor profile in bytes: that of a path on Linux.
const APPARMOR_NAME_MAX: usize = 4095;

/// Checks the field of a security context.
pub(super) fn seccomp(checker: &mut Checker, profile: Option<&SeccompProfile>, path: &str) {
    let Some(profile) = profile else { return };
    let kind = profile.type_.as_str();
    match kind {
        "" => {
            checker.required(&format!("{path}.type"), "type is required when seccompProfile is set", "");
        }
        kind => checker.supported(&format!("{path}.type"), kind, &TYPES),
    }
    let field = format!("{path}.localhostProfile");
    match &profile.localhost_profile {
        None if kind == "Localhost" => {
            checker.required(&field, "must be set when seccomp type is Localhost", "");
        }
        Some(file) if kind == "Localhost" => checker.descending_path(&field, file),
        Some(file) => {
            let shown = format!("{{\"Type\":{},\"LocalhostProfile\":{}}}", json_text(kind), json_text(file));
            checker.invalid_json(&field, &shown, "can only be set when seccomp type is Localhost");
        }
        None => {}
    }
}

/// Checks the field of a security context.
pub(super) fn apparmor(checker: &mut Checker, profile: Option<&AppArmorProfile>, path: &str) {
    let Some(profile) = profile else { return };
    let field = format!("{path}.localhostProfile");
    let missing = "must be set when AppArmor type is Localhost";
    match (profile.type_.as_str(), profile.localhost_profile.as_deref()) {
        ("Localhost", None | Some("")) => checker.required(&field, missing, ""),
        ("Localhost", Some(name)) => {
            if name.trim() != name {
                checker.invalid(&field, name, "must not be padded with whitespace");
            }
            if name.len() > APPARMOR_NAME_MAX {
                checker.too_long(&field, APPARMOR_NAME_MAX);
            }
        }
        ("RuntimeDefault" | "Unconfined", Some(name)) => {
            checker.invalid(&field, name, "can only be set when AppArmor type is Localhost");
        }
        ("", _) => {
            checker.required(&format!("{path}.type"), "type is required when appArmorProfile is set", "");
        }
        (kind, _) => checker.supported(&format!("{path}.type"), kind, &TYPES),
    }
}

fn seccomp_annotation(checker: &mut Checker, key: &str, value: &str) {
    let field = format!("metadata.annotations.{key}");
    match value {
        "runtime/default" | "docker/default" | "unconfined" => {}
        value => match value.strip_prefix(LOCALHOST) {
            Some(file) => checker.descending_path(&field, file),
            None => checker.invalid(&field, value, "must be a valid seccomp profile"),
        },
    }
}

fn apparmor_annotation(checker: &mut Checker, spec: &PodSpec, container: &str, value: &str) {
    let field = format!("metadata.annotations[{APPARMOR_CONTAINER}{container}]");
    if !containers_of(spec).any(|(_, known)| known.name == container) {
        checker.invalid(&field, container, "container not found");
    }
    if !matches!(value, "" | "runtime/default" | "unconfined") && !value.starts_with(LOCALHOST) {
        checker.invalid(&field, value, &format!("invalid AppArmor profile name: {}", go_quote(value)));
    }
}

/// What a field and an annotation have to say alike: kind and profile of the node.
struct Field<'a> {
    kind: &'a str,
    profile: Option<&'a str>,
}

impl Field<'_> {
    /// Compares with an annotation. `defaults` are its words for the runtime's default.
    fn agrees(&self, checker: &mut Checker, path: &str, what: &str, annotation: &str, defaults: &[&str]) {
        let kind_agrees = match self.kind {
            "Unconfined" => annotation == "unconfined",
            "RuntimeDefault" => defaults.contains(&annotation),
            "Localhost" => annotation.starts_with(LOCALHOST),
            _ => true,
        };
        if !kind_agrees {
            let detail = format!("{what} type in annotation and field must match");
            checker.forbidden(&format!("{path}.type"), &detail);
        } else if self.kind == "Localhost" && annotation.strip_prefix(LOCALHOST) != self.profile {
            let detail = format!("{what} profile in annotation and field must match");
            checker.forbidden(&format!("{path}.localhostProfile"), &detail);
        }
    }
}

impl<'a> From<&'a SeccompProfile> for Field<'a> {
    fn from(profile: &'a SeccompProfile) -> Self {
        Self { kind: &profile.type_, profile: profile.localhost_profile.as_deref() }
    }
}

impl<'a> From<&'a AppArmorProfile> for Field<'a> {
    fn from(profile: &'a AppArmorProfile) -> Self {
        Self { kind: &profile.type_, profile: profile.localhost_profile.as_deref() }
    }
}

fn agreement(checker: &mut Checker, annotations: &BTreeMap<String, String>, spec: &PodSpec) {
    let seccomp = ["runtime/default", "docker/default"];
    let apparmor = ["runtime/default"];
    let pods = spec.security_context.as_ref();
    let field = pods.and_then(|context| context.seccomp_profile.as_ref());
    if let (Some(field), Some(annotation)) = (field, annotations.get(SECCOMP_POD)) {
        let path = "spec.securityContext.seccompProfile";
        Field::from(field).agrees(checker, path, "seccomp", annotation, &seccomp);
    }
    for (path, container) in containers_of(spec) {
        let own = container.security_context.as_ref();
        let annotation = |prefix: &str| annotations.get(&format!("{prefix}{}", container.name));
        let field = own.and_then(|context| context.seccomp_profile.as_ref());
        if let (Some(field), Some(annotation)) = (field, annotation(SECCOMP_CONTAINER)) {
            let path = format!("{path}.securityContext.seccompProfile");
            Field::from(field).agrees(checker, &path, "seccomp", annotation, &seccomp);
        }
        let field = own.and_then(|context| context.app_armor_profile.as_ref());
        let field = field.or_else(|| pods.and_then(|context| context.app_armor_profile.as_ref()));
        if let (Some(field), Some(annotation)) = (field, annotation(APPARMOR_CONTAINER)) {
            let path = format!("{path}.securityContext.appArmorProfile");
            Field::from(field).agrees(checker, &path, "apparmor", annotation, &apparmor);
        }
    }
}

/// Checks annotations with profiles, and that they say what the fields say.
pub(super) fn annotations(checker: &mut Checker, metadata: &ObjectMeta, spec: &PodSpec) {
    let Some(annotations) = &metadata.annotations else { return };
    for (key, value) in annotations {
        if key == SECCOMP_POD || key.starts_with(SECCOMP_CONTAINER) {
            seccomp_annotation(checker, key, value);
        } else if let Some(container) = key.strip_prefix(APPARMOR_CONTAINER) {
            apparmor_annotation(checker, spec, container, value);
        }
    }
    agreement(checker, annotations, spec);
}
