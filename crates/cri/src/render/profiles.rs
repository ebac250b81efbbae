//! Seccomp and AppArmor (contract §15).

use k8s_openapi::api::core::v1::{AppArmorProfile, Container, Pod, SeccompProfile};
use proto::cri::{SecurityProfile, security_profile::ProfileType};

use super::RenderError;

/// Prefix of the pod annotation that named an AppArmor profile before the field existed; the container's name follows.
const APPARMOR_ANNOTATION: &str = "container.apparmor.security.beta.kubernetes.io/";

/// A profile without a reference.
#[must_use]
pub fn plain(kind: ProfileType) -> SecurityProfile {
    SecurityProfile { profile_type: kind as i32, localhost_ref: String::new() }
}

/// Seccomp of a container: its own field, the pod's, then the node's default.
///
/// # Errors
/// `Localhost` without a file, or with one outside of `root`.
pub fn seccomp(
    pod: &Pod,
    container: &Container,
    root: &str,
    runtime_default: bool,
) -> Result<SecurityProfile, RenderError> {
    let own = container.security_context.as_ref().and_then(|s| s.seccomp_profile.as_ref());
    let pods = || pod.spec.as_ref()?.security_context.as_ref()?.seccomp_profile.as_ref();
    match own.or_else(pods) {
        Some(profile) => seccomp_field(profile, root),
        None if runtime_default => Ok(plain(ProfileType::RuntimeDefault)),
        None => Ok(plain(ProfileType::Unconfined)),
    }
}

fn seccomp_field(profile: &SeccompProfile, root: &str) -> Result<SecurityProfile, RenderError> {
    match profile.type_.as_str() {
        "RuntimeDefault" => Ok(plain(ProfileType::RuntimeDefault)),
        "Localhost" => {
            let file = profile.localhost_profile.as_deref().filter(|f| !f.is_empty());
            let file = file.ok_or(RenderError::SeccompWithoutFile)?;
            // The API server refuses these; static pods come to us without it.
            if file.starts_with('/') || file.split('/').any(|part| part == "..") {
                return Err(RenderError::SeccompOutside(file.to_owned()));
            }
            Ok(SecurityProfile {
                profile_type: ProfileType::Localhost as i32,
                localhost_ref: format!("{}/{file}", root.trim_end_matches('/')),
            })
        }
        _ => Ok(plain(ProfileType::Unconfined)),
    }
}

/// AppArmor of a container, in the form of today and in the one that older runtimes read. Own field, then the pod's
/// annotation, then the pod's field.
///
/// # Errors
/// `Localhost` without a name, or an unknown type.
pub fn apparmor(pod: &Pod, container: &Container) -> Result<(Option<SecurityProfile>, String), RenderError> {
    let own = container.security_context.as_ref().and_then(|s| s.app_armor_profile.clone());
    let pods = || pod.spec.as_ref()?.security_context.as_ref()?.app_armor_profile.clone();
    let Some(profile) = own.or_else(|| annotated(pod, &container.name)).or_else(pods) else {
        return Ok((None, String::new()));
    };
    match profile.type_.as_str() {
        "RuntimeDefault" => Ok((Some(plain(ProfileType::RuntimeDefault)), "runtime/default".into())),
        "Unconfined" => Ok((Some(plain(ProfileType::Unconfined)), "unconfined".into())),
        "Localhost" => {
            let name = profile.localhost_profile.ok_or(RenderError::AppArmorWithoutName)?;
            let old = format!("localhost/{name}");
            let new = SecurityProfile { profile_type: ProfileType::Localhost as i32, localhost_ref: name };
            Ok((Some(new), old))
        }
        other => Err(RenderError::AppArmorType(other.to_owned())),
    }
}

fn annotated(pod: &Pod, container: &str) -> Option<AppArmorProfile> {
    let value = pod.metadata.annotations.as_ref()?.get(&format!("{APPARMOR_ANNOTATION}{container}"))?;
    let profile = |type_: &str, name: Option<&str>| AppArmorProfile {
        type_: type_.to_owned(),
        localhost_profile: name.map(str::to_owned),
    };
    match value.as_str() {
        "runtime/default" => Some(profile("RuntimeDefault", None)),
        "unconfined" => Some(profile("Unconfined", None)),
        other => other.strip_prefix("localhost/").map(|name| profile("Localhost", Some(name))),
    }
}
