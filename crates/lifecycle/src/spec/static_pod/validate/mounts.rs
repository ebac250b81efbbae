//! Checks of what a container mounts: volumes as directories, and volumes as devices.
//!
//! The API server leaves the number of the mount out of some paths; here it is in all of them.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Container, Volume, VolumeMount};

use super::{Checker, Volumes};

/// What to do about a volume that is not there.
const LIST_IT: &str = "list the volume in spec.volumes";

/// Checks `volumeMounts` and `volumeDevices`.
pub(super) fn check(checker: &mut Checker, container: &Container, volumes: &Volumes<'_>, path: &str) {
    mounts(checker, container, volumes, path);
    devices(checker, container, volumes, path);
}

fn mounts(checker: &mut Checker, container: &Container, volumes: &Volumes<'_>, path: &str) {
    let devices = || container.volume_devices.iter().flatten();
    let mut points = BTreeSet::new();
    for (index, mount) in container.volume_mounts.iter().flatten().enumerate() {
        let path = format!("{path}.volumeMounts[{index}]");
        let name = format!("{path}.name");
        let point = format!("{path}.mountPath");
        if mount.name.is_empty() {
            checker.required(&name, "", "");
        }
        let volume = volumes.get(mount.name.as_str()).copied();
        if volume.is_none() {
            checker.not_found(&name, &mount.name, LIST_IT);
        }
        if mount.mount_path.is_empty() {
            checker.required(&point, "", "");
        }
        if !points.insert(mount.mount_path.as_str()) {
            checker.invalid(&point, &mount.mount_path, "must be unique");
        }
        if devices().any(|device| device.name == mount.name) {
            checker.invalid(&name, &mount.name, "must not already exist in volumeDevices");
        }
        if devices().any(|device| device.device_path == mount.mount_path) {
            let detail = "must not already exist as a path in volumeDevices";
            checker.invalid(&point, &mount.mount_path, detail);
        }
        sub_paths(checker, mount, &path);
        propagation(checker, mount, container, &path);
        options(checker, mount, volume, &path);
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
        checker.supported(&field, mode, &["Bidirectional", "HostToContainer", "None"]);
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
        checker.supported(&field, mode, &["Disabled", "Enabled", "IfPossible"]);
        if !matches!(mode, "Enabled" | "IfPossible") {
            return;
        }
        if mount.read_only != Some(true) {
            checker.forbidden(&field, "may only be specified when readOnly is true");
        }
        if mount.mount_propagation.as_deref().is_some_and(|mode| mode != "None") {
            let detail = "may only be specified when mountPropagation is None or not specified";
            checker.forbidden(&field, detail);
        }
    }
}

fn options(checker: &mut Checker, mount: &VolumeMount, volume: Option<&Volume>, path: &str) {
    let options = mount.bind_mount_options.as_deref().unwrap_or_default();
    let list = format!("{path}.bindMountOptions");
    let mut seen = BTreeSet::new();
    for (index, option) in options.iter().enumerate() {
        let field = format!("{list}[{index}]");
        checker.supported(&field, option, &["nodev", "noexec", "nosuid"]);
        if !seen.insert(option) {
            checker.duplicate(&field, option, "");
        }
    }
    if !options.is_empty() && volume.is_some_and(|volume| volume.image.is_some()) {
        checker.invalid_list(&list, options, "bindMountOptions may not be used with image volumes");
    }
}

fn devices(checker: &mut Checker, container: &Container, volumes: &Volumes<'_>, path: &str) {
    let mounts = || container.volume_mounts.iter().flatten();
    let (mut names, mut paths) = (BTreeSet::new(), BTreeSet::new());
    for (index, device) in container.volume_devices.iter().flatten().enumerate() {
        let (name, point) = (device.name.as_str(), device.device_path.as_str());
        let name_field = format!("{path}.volumeDevices[{index}].name");
        let point_field = format!("{path}.volumeDevices[{index}].devicePath");
        if name.is_empty() {
            checker.required(&name_field, "", "");
        } else if !names.insert(name) {
            checker.invalid(&name_field, name, "must be unique");
        }
        match volumes.get(name) {
            None => checker.not_found(&name_field, name, LIST_IT),
            Some(volume) if volume.persistent_volume_claim.is_none() && volume.ephemeral.is_none() => {
                let detail =
                    "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode";
                checker.invalid(&name_field, name, detail);
            }
            Some(_) => {}
        }
        if point.is_empty() {
            checker.required(&point_field, "", "");
        }
        if paths.contains(point) {
            checker.invalid(&point_field, point, "must be unique");
        }
        if point.split('/').any(|part| part == "..") {
            checker.invalid(&point_field, point, "can not contain backsteps ('..')");
        } else {
            paths.insert(point);
        }
        if mounts().any(|mount| mount.name == name) {
            checker.invalid(&name_field, name, "must not already exist in volumeMounts");
        }
        if mounts().any(|mount| mount.mount_path == point) {
            checker.invalid(&point_field, point, "must not already exist as a path in volumeMounts");
        }
    }
}
