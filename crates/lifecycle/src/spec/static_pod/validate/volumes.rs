//! Checks of volumes, of those kinds that a static pod can have here or that name what it may not refer to.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{
    DownwardAPIVolumeFile, EmptyDirVolumeSource, HostPathVolumeSource, KeyToPath, PodSpec,
    ProjectedVolumeSource, ServiceAccountTokenProjection, Volume,
};

use super::{
    Checker, Volumes,
    selectors::{self, Place},
};
use crate::spec::{names, resource_ref};

/// Kinds of things on the node; none is checked with the first.
const HOST_PATH_TYPES: [&str; 8] =
    ["", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"];
/// Shortest life of a token in seconds.
const TOKEN_MIN: i64 = 10 * 60;
/// Longest life of a token in seconds.
const TOKEN_MAX: i64 = 1 << 32;

/// Checks all volumes; those without problems are returned.
pub(super) fn check<'a>(checker: &mut Checker, spec: &'a PodSpec) -> Volumes<'a> {
    let mut known = Volumes::new();
    for (index, volume) in spec.volumes.iter().flatten().enumerate() {
        let path = format!("spec.volumes[{index}]");
        let before = checker.count();
        let name_path = format!("{path}.name");
        if volume.name.is_empty() {
            checker.required(&name_path, "", "");
        } else {
            checker.names(&name_path, &volume.name, names::label_problems(&volume.name));
        }
        if known.contains_key(volume.name.as_str()) {
            checker.duplicate(&name_path, &volume.name, "give each volume of the pod a name of its own");
        }
        source(checker, volume, &path);
        if checker.count() == before {
            known.insert(&volume.name, volume);
        }
    }
    known
}

fn source(checker: &mut Checker, volume: &Volume, path: &str) {
    let kinds = serde_json::to_value(volume).ok();
    let kinds = kinds.as_ref().and_then(serde_json::Value::as_object);
    let extra = kinds.into_iter().flatten().map(|(kind, _)| kind).filter(|kind| *kind != "name").skip(1);
    for kind in extra {
        checker.forbidden(&format!("{path}.{kind}"), "may not specify more than 1 volume type");
    }
    if let Some(source) = &volume.empty_dir {
        empty_dir(checker, source, &format!("{path}.emptyDir"));
    }
    if let Some(source) = &volume.host_path {
        host_path(checker, source, &format!("{path}.hostPath"));
    }
    if let Some(source) = &volume.secret {
        let path = format!("{path}.secret");
        if source.secret_name.as_deref().unwrap_or_default().is_empty() {
            checker.required(&format!("{path}.secretName"), "", "");
        }
        defaults(checker, source.default_mode, source.default_user, &path);
        keys(checker, source.items.as_deref(), &path);
    }
    if let Some(source) = &volume.config_map {
        let path = format!("{path}.configMap");
        if source.name.is_empty() {
            checker.required(&format!("{path}.name"), "", "");
        }
        defaults(checker, source.default_mode, source.default_user, &path);
        keys(checker, source.items.as_deref(), &path);
    }
    if let Some(source) = &volume.downward_api {
        let path = format!("{path}.downwardAPI");
        defaults(checker, source.default_mode, source.default_user, &path);
        for file in source.items.iter().flatten() {
            downward_file(checker, file, &path);
        }
    }
    if let Some(source) = &volume.projected {
        projected(checker, source, &format!("{path}.projected"));
    }
    if let Some(source) = &volume.image {
        let path = format!("{path}.image");
        if source.reference.as_deref().unwrap_or_default().is_empty() {
            checker.required(&format!("{path}.reference"), "", "");
        }
        let policy = source.pull_policy.as_deref();
        checker.one_of(&format!("{path}.pullPolicy"), policy, &["Always", "IfNotPresent", "Never"]);
    }
}

fn empty_dir(checker: &mut Checker, source: &EmptyDirVolumeSource, path: &str) {
    if let Some(limit) = &source.size_limit
        && resource_ref::parse_nano(&limit.0).is_none_or(|nano| nano < 0)
    {
        let detail = "SizeLimit field must be a valid resource quantity";
        checker.forbidden(&format!("{path}.sizeLimit"), detail);
    }
    if let Some(mode) = source.mode.filter(|mode| !(0..=0o1777).contains(mode)) {
        let detail = "must be a number between 0 and 01777 (octal), both inclusive";
        checker.invalid_number(&format!("{path}.mode"), i64::from(mode), detail);
    }
}

fn host_path(checker: &mut Checker, source: &HostPathVolumeSource, path: &str) {
    let field = format!("{path}.path");
    if source.path.is_empty() {
        checker.required(&field, "", "");
        return;
    }
    checker.no_backsteps(&field, &source.path);
    if let Some(kind) = source.type_.as_deref() {
        checker.supported(&format!("{path}.type"), kind, &HOST_PATH_TYPES);
    }
}

/// Mode and owner of files that name none.
fn defaults(checker: &mut Checker, mode: Option<i32>, user: Option<i64>, path: &str) {
    checker.file_mode(&format!("{path}.defaultMode"), mode);
    checker.id(&format!("{path}.defaultUser"), user);
}

fn keys(checker: &mut Checker, items: Option<&[KeyToPath]>, path: &str) {
    for (index, item) in items.unwrap_or_default().iter().enumerate() {
        let path = format!("{path}.items[{index}]");
        if item.key.is_empty() {
            checker.required(&format!("{path}.key"), "", "");
        }
        checker.file_path(&format!("{path}.path"), &item.path);
        checker.file_mode(&format!("{path}.mode"), item.mode);
        checker.id(&format!("{path}.user"), item.user);
    }
}

/// `path` is that of the source: the API server names no item.
fn downward_file(checker: &mut Checker, file: &DownwardAPIVolumeFile, path: &str) {
    checker.file_path(&format!("{path}.path"), &file.path);
    match (&file.field_ref, &file.resource_field_ref) {
        (Some(field), resource) => {
            selectors::field(checker, field, Place::Volume, &format!("{path}.fieldRef"));
            if resource.is_some() {
                let detail = "fieldRef and resourceFieldRef can not be specified simultaneously";
                checker.invalid(path, "resource", detail);
            }
        }
        (None, Some(resource)) => {
            selectors::resource(checker, resource, Place::Volume, &format!("{path}.resourceFieldRef"));
        }
        (None, None) => checker.required(path, "one of fieldRef and resourceFieldRef is required", ""),
    }
    checker.file_mode(&format!("{path}.mode"), file.mode);
    checker.id(&format!("{path}.user"), file.user);
}

fn projected(checker: &mut Checker, projected: &ProjectedVolumeSource, path: &str) {
    defaults(checker, projected.default_mode, projected.default_user, path);
    let mut taken: BTreeSet<&str> = BTreeSet::new();
    for (index, source) in projected.sources.iter().flatten().enumerate() {
        let own = format!("{path}.sources[{index}]");
        let mut paths: Vec<(&str, &str)> = Vec::new();
        let secret = source.secret.as_ref().map(|source| ("secret", &source.name, &source.items));
        let map = source.config_map.as_ref().map(|source| ("configMap", &source.name, &source.items));
        for (kind, name, items) in secret.into_iter().chain(map) {
            let path = format!("{own}.{kind}");
            if name.is_empty() {
                checker.required(&format!("{path}.name"), "", "");
            }
            keys(checker, items.as_deref(), &path);
            paths.extend(items.iter().flatten().map(|item| (item.path.as_str(), name.as_str())));
        }
        for file in source.downward_api.iter().flat_map(|source| source.items.iter().flatten()) {
            downward_file(checker, file, &format!("{own}.downwardAPI"));
            paths.push((&file.path, &file.path));
        }
        if let Some(source) = &source.service_account_token {
            token(checker, source, path, &format!("{own}.serviceAccountToken"));
        }
        for (file, shown) in paths.into_iter().filter(|(file, _)| !file.is_empty()) {
            if !taken.insert(file) {
                checker.invalid(path, shown, "conflicting duplicate paths");
            }
        }
        let kinds = [
            source.secret.is_some(),
            source.config_map.is_some(),
            source.downward_api.is_some(),
            source.service_account_token.is_some(),
            source.cluster_trust_bundle.is_some(),
            source.pod_certificate.is_some(),
        ];
        if kinds.into_iter().filter(|is_some| *is_some).count() > 1 {
            checker.forbidden(&own, "may not specify more than 1 volume type per source");
        }
    }
}

fn token(checker: &mut Checker, source: &ServiceAccountTokenProjection, volume: &str, path: &str) {
    let field = format!("{path}.expirationSeconds");
    match source.expiration_seconds {
        None => checker.required(&field, "", ""),
        Some(seconds) if seconds < TOKEN_MIN => {
            checker.invalid_number(&field, seconds, "may not specify a duration less than 10 minutes");
        }
        Some(seconds) if seconds > TOKEN_MAX => {
            checker.invalid_number(&field, seconds, "may not specify a duration larger than 2^32 seconds");
        }
        Some(_) => {}
    }
    checker.file_path(&format!("{volume}.path"), &source.path);
    checker.id(&format!("{path}.user"), source.user);
}
