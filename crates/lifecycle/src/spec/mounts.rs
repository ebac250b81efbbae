//! Which volume goes where in a container, and how (contract §14.2). Host paths are the caller's business.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Container, Pod, VolumeMount};

use super::{expansion, quote::go_quote};

/// How mounts spread between container and host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MountPropagation {
    /// `None` or unset.
    #[default]
    Private,
    /// Host mounts appear in the container.
    HostToContainer,
    /// And the other way round.
    Bidirectional,
}

/// One entry of `volumeMounts`, decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountPlan {
    /// Volume name.
    pub volume: String,
    /// Position in `volumeMounts`: last part of the host path of a `subPath`.
    pub index: usize,
    /// Absolute path in the container.
    pub container_path: String,
    /// Path below the volume's root, expanded; never absolute, never with `..`.
    pub sub_path: Option<String>,
    /// As wanted by the mount; the volume itself may be read only beside.
    pub read_only: bool,
    /// Ask the runtime for a recursively read-only mount.
    pub recursive_read_only: bool,
    /// Propagation.
    pub propagation: MountPropagation,
}

/// Why a mount cannot be made: the message of `CreateContainerConfigError`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MountError {
    /// The volume is not there, or not mounted.
    #[error("cannot find volume {} to mount into container {}", go_quote(.volume), go_quote(.container))]
    NoVolume {
        /// Volume.
        volume: String,
        /// Container.
        container: String,
    },
    /// `subPathExpr` uses variables that are unset or empty.
    #[error("missing value for {0}")]
    MissingVariables(String),
    /// `subPathExpr` uses a variable with a binary value.
    #[error("subPathExpr {} is not valid UTF-8 after expansion of its variables", go_quote(.0))]
    NotText(String),
    /// Absolute.
    #[error("error SubPath `{0}` must not be an absolute path")]
    AbsoluteSubPath(String),
    /// With `..`.
    #[error("unable to provision SubPath `{0}`: must not contain '..'")]
    Backstep(String),
    /// Unknown propagation.
    #[error("invalid MountPropagation mode: {}", go_quote(.0))]
    Propagation(String),
    /// Recursively read only, but not read only.
    #[error(
        "failed to resolve recursive read-only mode: volume {} requested recursive read-only mode, but it is not \
         read-only",
        go_quote(.0)
    )]
    NotReadOnly(String),
    /// Recursively read only together with propagation.
    #[error(
        "failed to resolve recursive read-only mode: volume {} requested recursive read-only mode, but it is not \
         compatible with propagation {}",
        go_quote(.volume),
        go_quote(.propagation)
    )]
    RecursiveWithPropagation {
        /// Volume.
        volume: String,
        /// Propagation.
        propagation: String,
    },
    /// The runtime cannot.
    #[error(
        "failed to resolve recursive read-only mode: volume {} requested recursive read-only mode, but it is not \
         supported by the runtime",
        go_quote(.0)
    )]
    RecursiveUnsupported(String),
    /// Unknown mode.
    #[error("failed to resolve recursive read-only mode: unknown recursive read-only mode {}", go_quote(.0))]
    RecursiveMode(String),
}

fn expand_sub_path(expression: &str, env: &[(String, Vec<u8>)]) -> Result<String, MountError> {
    let mut missing = BTreeSet::new();
    let bytes = expansion::expand_bytes(expression.as_bytes(), |name| {
        let value = env.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.clone());
        if value.as_ref().is_none_or(Vec::is_empty) {
            missing.insert(name.to_owned());
        }
        Some(value.unwrap_or_default())
    });
    if !missing.is_empty() {
        let names: Vec<String> = missing.into_iter().collect();
        return Err(MountError::MissingVariables(names.join(", ")));
    }
    String::from_utf8(bytes).map_err(|_| MountError::NotText(expression.to_owned()))
}

fn sub_path(mount: &VolumeMount, env: &[(String, Vec<u8>)]) -> Result<Option<String>, MountError> {
    let path = match mount.sub_path_expr.as_deref().filter(|text| !text.is_empty()) {
        Some(expression) => expand_sub_path(expression, env)?,
        None => mount.sub_path.clone().unwrap_or_default(),
    };
    if path.is_empty() {
        return Ok(None);
    }
    if path.starts_with('/') {
        return Err(MountError::AbsoluteSubPath(path));
    }
    if path.split('/').any(|part| part == "..") {
        return Err(MountError::Backstep(path));
    }
    Ok(Some(path))
}

fn propagation(mount: &VolumeMount) -> Result<MountPropagation, MountError> {
    match mount.mount_propagation.as_deref() {
        None | Some("None") => Ok(MountPropagation::Private),
        Some("HostToContainer") => Ok(MountPropagation::HostToContainer),
        Some("Bidirectional") => Ok(MountPropagation::Bidirectional),
        Some(other) => Err(MountError::Propagation(other.to_owned())),
    }
}

/// Whether a mount is to be recursively read-only on a handler that can, or cannot, do so.
pub(crate) fn recursive_read_only(mount: &VolumeMount, supported: bool) -> Result<bool, MountError> {
    let mode = match mount.recursive_read_only.as_deref() {
        None | Some("Disabled") => return Ok(false),
        Some(mode) => mode,
    };
    if mount.read_only != Some(true) {
        return Err(MountError::NotReadOnly(mount.name.clone()));
    }
    if let Some(propagation) = mount.mount_propagation.as_deref().filter(|mode| *mode != "None") {
        return Err(MountError::RecursiveWithPropagation {
            volume: mount.name.clone(),
            propagation: propagation.to_owned(),
        });
    }
    match mode {
        "IfPossible" => Ok(supported),
        "Enabled" if supported => Ok(true),
        "Enabled" => Err(MountError::RecursiveUnsupported(mount.name.clone())),
        other => Err(MountError::RecursiveMode(other.to_owned())),
    }
}

/// Names of the volumes that a container uses. The others are left alone, as upstream does: a pod may list a config
/// map that does not exist as long as nobody mounts it.
#[must_use]
pub fn used_volumes(pod: &Pod) -> BTreeSet<&str> {
    let Some(spec) = pod.spec.as_ref() else {
        return BTreeSet::new();
    };
    let mut names = BTreeSet::new();
    for container in spec.init_containers.iter().flatten().chain(&spec.containers) {
        names.extend(container.volume_mounts.iter().flatten().map(|mount| mount.name.as_str()));
        names.extend(container.volume_devices.iter().flatten().map(|device| device.name.as_str()));
        // A file of variables is read by the kubelet: its volume need not be mounted by this very container.
        let sources = container.env.iter().flatten().filter_map(|variable| variable.value_from.as_ref());
        names.extend(sources.filter_map(|s| s.file_key_ref.as_ref()).map(|file| file.volume_name.as_str()));
    }
    for container in spec.ephemeral_containers.iter().flatten() {
        names.extend(container.volume_mounts.iter().flatten().map(|mount| mount.name.as_str()));
    }
    names
}

/// A path as it is in a container: from its root, without `.`, `..` and doubled slashes, by its text alone.
#[must_use]
pub fn absolute(path: &str) -> String {
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

/// Decides every mount of a container, in the order of `volumeMounts`.
///
/// `env` is its finished environment; `mounted` says whether a volume is there; `recursive_supported` whether the
/// pod's runtime handler can mount recursively read only.
///
/// # Errors
/// The first mount that cannot be made.
pub fn plan(
    container: &Container,
    env: &[(String, Vec<u8>)],
    mounted: &dyn Fn(&str) -> bool,
    recursive_supported: bool,
) -> Result<Vec<MountPlan>, MountError> {
    let mut plans = Vec::new();
    for (index, mount) in container.volume_mounts.iter().flatten().enumerate() {
        if !mounted(&mount.name) {
            return Err(MountError::NoVolume {
                volume: mount.name.clone(),
                container: container.name.clone(),
            });
        }
        let container_path = if mount.mount_path.starts_with('/') {
            mount.mount_path.clone()
        } else {
            format!("/{}", mount.mount_path)
        };
        plans.push(MountPlan {
            volume: mount.name.clone(),
            index,
            container_path,
            sub_path: sub_path(mount, env)?,
            propagation: propagation(mount)?,
            read_only: mount.read_only == Some(true),
            recursive_read_only: recursive_read_only(mount, recursive_supported)?,
        });
    }
    Ok(plans)
}

/// Whether the kubelet's own `/etc/hosts` is mounted: not over a mount of exactly that path, and with a pod network
/// not before the pod has an address.
#[must_use]
pub fn wants_hosts_file(pod: &Pod, container: &Container, pod_ips: &[String]) -> bool {
    let host_network = pod.spec.as_ref().and_then(|spec| spec.host_network).unwrap_or(false);
    let taken = container.volume_mounts.iter().flatten().any(|mount| mount.mount_path == "/etc/hosts");
    !taken && (host_network || !pod_ips.is_empty())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn run(mount: serde_json::Value, supported: bool) -> Result<MountPlan, String> {
        let mut mount = mount;
        mount["name"] = json!("v");
        if mount.get("mountPath").is_none() {
            mount["mountPath"] = json!("/m");
        }
        let container: Container =
            serde_json::from_value(json!({"name": "c", "volumeMounts": [mount]})).unwrap();
        let env = vec![
            ("A".to_owned(), b"x/y".to_vec()),
            ("UP".to_owned(), b"..".to_vec()),
            ("ROOT".to_owned(), b"/etc".to_vec()),
            ("EMPTY".to_owned(), vec![]),
        ];
        plan(&container, &env, &|name| name == "v", supported)
            .map(|mut plans| plans.remove(0))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn paths() {
        let plain = run(json!({}), false).unwrap();
        assert_eq!(
            plain,
            MountPlan {
                volume: "v".into(),
                index: 0,
                container_path: "/m".into(),
                sub_path: None,
                read_only: false,
                recursive_read_only: false,
                propagation: MountPropagation::Private,
            }
        );
        assert_eq!(run(json!({"mountPath": "rel/x"}), false).unwrap().container_path, "/rel/x");
        assert_eq!(run(json!({"subPath": "a/b"}), false).unwrap().sub_path.as_deref(), Some("a/b"));
        assert_eq!(run(json!({"subPathExpr": "p/$(A)"}), false).unwrap().sub_path.as_deref(), Some("p/x/y"));
        for (mount, expected) in [
            (json!({"subPath": "/etc"}), "error SubPath `/etc` must not be an absolute path"),
            (json!({"subPath": "a/../.."}), "unable to provision SubPath `a/../..`: must not contain '..'"),
            (json!({"subPathExpr": "$(ROOT)"}), "error SubPath `/etc` must not be an absolute path"),
            (json!({"subPathExpr": "a/$(UP)"}), "unable to provision SubPath `a/..`: must not contain '..'"),
            (json!({"subPathExpr": "$(Z)$(EMPTY)$(A)"}), "missing value for EMPTY, Z"),
        ] {
            assert_eq!(run(mount, false).unwrap_err(), expected);
        }
    }

    #[test]
    fn recursive_read_only_modes() {
        let mount = |mode: &str, read_only: bool, propagation: &str| json!({"recursiveReadOnly": mode, "readOnly": read_only, "mountPropagation": propagation});
        assert!(!run(mount("Disabled", false, "Bidirectional"), true).unwrap().recursive_read_only);
        assert!(run(mount("IfPossible", true, "None"), true).unwrap().recursive_read_only);
        assert!(!run(mount("IfPossible", true, "None"), false).unwrap().recursive_read_only);
        assert!(run(mount("Enabled", true, "None"), true).unwrap().recursive_read_only);
        let prefix = "failed to resolve recursive read-only mode: ";
        for (mount, supported, expected) in [
            (
                mount("Enabled", true, "None"),
                false,
                "volume \"v\" requested recursive read-only mode, but it is not supported by the runtime",
            ),
            (
                mount("Enabled", false, "None"),
                true,
                "volume \"v\" requested recursive read-only mode, but it is not read-only",
            ),
            (
                mount("Enabled", true, "HostToContainer"),
                true,
                "volume \"v\" requested recursive read-only mode, but it is not compatible with propagation \"HostToContainer\"",
            ),
            (mount("Maybe", true, "None"), true, "unknown recursive read-only mode \"Maybe\""),
        ] {
            assert_eq!(run(mount, supported).unwrap_err(), format!("{prefix}{expected}"));
        }
        assert_eq!(
            run(json!({"mountPropagation": "Sideways"}), true).unwrap_err(),
            "invalid MountPropagation mode: \"Sideways\""
        );
    }

    #[test]
    fn missing_volume() {
        let container: Container =
            serde_json::from_value(json!({"name": "c", "volumeMounts": [{"name": "w", "mountPath": "/m"}]}))
                .unwrap();
        assert_eq!(
            plan(&container, &[], &|_| false, false).unwrap_err().to_string(),
            "cannot find volume \"w\" to mount into container \"c\""
        );
    }

    #[test]
    fn hosts_file() {
        let pod = |host_network: bool| -> Pod {
            serde_json::from_value(json!({"spec": {"hostNetwork": host_network, "containers": []}})).unwrap()
        };
        let container = |path: &str| -> Container {
            serde_json::from_value(json!({"name": "c", "volumeMounts": [{"name": "w", "mountPath": path}]}))
                .unwrap()
        };
        let ips = ["10.0.0.1".to_owned()];
        assert!(wants_hosts_file(&pod(false), &container("/m"), &ips));
        assert!(!wants_hosts_file(&pod(false), &container("/m"), &[]));
        assert!(wants_hosts_file(&pod(true), &container("/etc"), &[]));
        assert!(!wants_hosts_file(&pod(true), &container("/etc/hosts"), &ips));
    }

    #[test]
    fn paths_begin_at_the_root() {
        for (path, expected) in [
            ("/dev/termination-log", "/dev/termination-log"),
            ("tmp/msg", "/tmp/msg"),
            ("/a//b/./c/../d/", "/a/b/d"),
            ("../x", "/x"),
            ("", "/"),
        ] {
            assert_eq!(absolute(path), expected, "{path}");
        }
    }
}
