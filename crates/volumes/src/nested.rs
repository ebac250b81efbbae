//! Mount points inside read-only volumes: a container mounts another volume below this one, and the runtime could not
//! make the directory for it.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Pod, VolumeMount};

use crate::error::SetUpError;

/// A mount path without doubled slashes, `.` and, where they can be resolved, `..`.
fn clean(path: &str) -> String {
    let absolute = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if absolute => {}
            other => parts.push(other),
        }
    }
    format!("{}{}", if absolute { "/" } else { "" }, parts.join("/"))
}

fn of_container(
    volume: &str,
    mounts: &[VolumeMount],
    found: &mut BTreeSet<String>,
) -> Result<(), SetUpError> {
    let all: BTreeSet<String> = mounts.iter().map(|mount| clean(&mount.mount_path)).collect();
    for mount in mounts.iter().filter(|mount| mount.name == volume) {
        let own = clean(&mount.mount_path);
        if own.starts_with("../") {
            return Err(SetUpError::MountPoint(own));
        }
        let below = format!("{}/", own.trim_end_matches('/'));
        let mut known: Vec<String> = Vec::new();
        for other in all.iter().filter(|other| other.len() > below.len() && other.starts_with(&below)) {
            // What is nested in a nested mount is that mount's own business.
            if !known.iter().any(|prefix| other.starts_with(prefix.as_str())) {
                known.push(format!("{other}/"));
                found.insert(other.get(below.len()..).unwrap_or_default().to_owned());
            }
        }
    }
    Ok(())
}

/// Directories to make in a volume, relative to its root.
pub(crate) fn mount_points(pod: &Pod, volume: &str) -> Result<BTreeSet<String>, SetUpError> {
    let mut found = BTreeSet::new();
    let Some(spec) = pod.spec.as_ref() else {
        return Ok(found);
    };
    let containers = spec.init_containers.iter().flatten().chain(&spec.containers);
    let ephemeral = spec.ephemeral_containers.iter().flatten().map(|container| &container.volume_mounts);
    for mounts in containers.map(|container| &container.volume_mounts).chain(ephemeral) {
        of_container(volume, mounts.as_deref().unwrap_or_default(), &mut found)?;
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn run(mounts: &[(&str, &str)]) -> Vec<String> {
        let mounts: Vec<_> =
            mounts.iter().map(|(name, path)| json!({"name": name, "mountPath": path})).collect();
        let pod: Pod =
            serde_json::from_value(json!({"spec": {"containers": [{"name": "c", "volumeMounts": mounts}]}}))
                .unwrap();
        mount_points(&pod, "v").ok().unwrap().into_iter().collect()
    }

    #[test]
    fn table() {
        assert!(run(&[("v", "/d"), ("o", "/e")]).is_empty());
        assert!(run(&[("v", "/d"), ("o", "/dx")]).is_empty());
        assert_eq!(run(&[("v", "/d"), ("o", "/d/n")]), ["n"]);
        assert_eq!(run(&[("v", "/d"), ("o", "/d/n"), ("p", "/d/n/m")]), ["n"]);
        assert_eq!(
            run(&[("v", "/d"), ("o", "/d/n"), ("p", "/d/n-x"), ("q", "/d/n/x"), ("r", "/d/n2/y")]),
            ["n", "n-x", "n2/y"]
        );
        assert_eq!(run(&[("v", "/"), ("o", "/a/b")]), ["a/b"]);
        assert_eq!(run(&[("v", "//d/./x/.."), ("o", "/d/../d/n/")]), ["n"]);
        assert_eq!(run(&[("o", "/d"), ("v", "/d/n")]), Vec::<String>::new());
    }

    #[test]
    fn a_mount_path_that_leads_up_is_refused() {
        let pod: Pod = serde_json::from_value(json!({"spec": {"containers": [
            {"name": "c", "volumeMounts": [{"name": "v", "mountPath": "../x"}]}
        ]}}))
        .unwrap();
        assert_eq!(mount_points(&pod, "v").err().unwrap().to_string(), "invalid container mount point ../x");
    }
}
