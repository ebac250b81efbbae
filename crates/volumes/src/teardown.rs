//! Taking down everything that a pod's volumes left, from what is on disk alone: the pod may have been removed while
//! no kubelet ran, and nobody knows its spec any more.
//!
//! Unmounts come first, the last mount first. Directories are removed by descriptor and never across a mount point:
//! a file system that could not be unmounted loses nothing.

use std::{
    io,
    path::{Path, PathBuf},
};

use linux::{
    mounts::{self, Unmount},
    safe_path::SafeRoot,
};
use rustix::fs::Dir;
use seams::VolumeError;

use crate::layout::PodPaths;

/// Kinds whose drivers have to be told before a volume goes: unmounting alone would leave a device attached or a
/// driver believing in a mount. Left by another kubelet; see docs/compat.md.
const FOREIGN: [(&str, &str); 4] = [
    ("kubernetes.io~csi", "csi"),
    ("kubernetes.io~iscsi", "iscsi"),
    ("kubernetes.io~fc", "fc"),
    ("flexvolume", "flexVolume"),
];
/// What directories of upstream's own plugins begin with.
const BUILT_IN: &str = "kubernetes.io~";
/// Directory of local volumes.
const LOCAL: &str = "kubernetes.io~local-volume";
/// Where an upstream kubelet mounts local volumes that are block devices with a file system, each in a directory of its
/// name. Below the root directory.
const STAGED: &str = "plugins/kubernetes.io/local-volume/mounts";

/// Volume that a path below the pod's directory belongs to; the pod's directory itself is `*`.
fn volume_of(below_pod: &Path) -> String {
    let mut parts = below_pod.iter().filter_map(|part| part.to_str());
    let name = match parts.next() {
        Some("volumes" | "volumeDevices") => parts.nth(1),
        Some("volume-subpaths") => parts.next(),
        _ => None,
    };
    name.unwrap_or("*").to_owned()
}

fn names(root: &SafeRoot, directory: &Path) -> Result<Vec<String>, VolumeError> {
    let failed = |message: String| VolumeError::TearDown { volume: "*".to_owned(), message };
    let fd = match root.open_dir(directory) {
        Ok(fd) => fd,
        Err(error) if error.is_not_found() => return Ok(Vec::new()),
        Err(error) => return Err(failed(error.to_string())),
    };
    let mut names = Vec::new();
    for entry in Dir::read_from(&fd).map_err(|errno| failed(errno.to_string()))? {
        let entry = entry.map_err(|errno| failed(errno.to_string()))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name != "." && name != ".." {
            names.push(name);
        }
    }
    Ok(names)
}

/// The API's name for a kind whose drivers have to be told, by its directory.
fn foreign_kind(plugin: &str) -> Option<&'static str> {
    let known = FOREIGN.iter().find(|(directory, _)| plugin == *directory);
    // Flexvolume plugins carry their vendor: `vendor~driver`.
    known.map(|(_, kind)| *kind).or((!plugin.starts_with(BUILT_IN)).then_some("flexVolume"))
}

/// Where the file system of a local volume is mounted for all pods, if it is: then the volume is a block device, and the
/// kubelet that mounted it there unmounts it behind the last pod. The pods' own mounts are binds of it.
fn staged(root_dir: &Path, volume: &str) -> Result<Option<PathBuf>, VolumeError> {
    let failed = |message: String| VolumeError::TearDown { volume: volume.to_owned(), message };
    let place = root_dir.join(STAGED);
    // Under its real path: the kernel's table, where that has to be read, is compared as text.
    let place = match place.canonicalize() {
        Ok(real) => real.join(volume),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(format!("cannot look at {}: {error}", place.display()))),
    };
    let mounted = mounts::is_mount_point(&place).map_err(|error| failed(error.to_string()))?;
    Ok(mounted.then_some(place))
}

/// Volumes that the kubelet which mounted them has to take down, and why.
fn foreign_volumes(
    pods: &SafeRoot,
    root_dir: &Path,
    pod: &PodPaths,
) -> Result<Vec<VolumeError>, VolumeError> {
    const UNTOLD: &str = "which this kubelet cannot take down without telling its driver";
    let foreign = |volume: String, why: String| VolumeError::TearDown {
        volume,
        message: format!(
            "{why}\nhint: start the kubelet that mounted it, let the pod end there, then come back"
        ),
    };
    let mut found = Vec::new();
    for plugin in names(pods, &pod.volumes())? {
        let directory = pod.volumes().join(&plugin);
        if let Some(kind) = foreign_kind(&plugin) {
            for volume in names(pods, &directory)? {
                found.push(foreign(volume, format!("it is of kind {kind}, {UNTOLD}")));
            }
        } else if plugin == LOCAL {
            for volume in names(pods, &directory)? {
                if let Some(place) = staged(root_dir, &volume)? {
                    let place = place.display();
                    let why = format!("it is mounted at {place} too, which this kubelet would leave behind");
                    found.push(foreign(volume, why));
                }
            }
        }
    }
    // Whatever the plugin: behind every link there is a device that was made ready for all pods.
    for plugin in names(pods, &pod.devices())? {
        let kind = foreign_kind(&plugin).or(plugin.strip_prefix(BUILT_IN)).unwrap_or_default();
        for volume in names(pods, &pod.devices().join(&plugin))? {
            found.push(foreign(volume, format!("it is a raw block volume of kind {kind}, {UNTOLD}")));
        }
    }
    Ok(found)
}

/// Unmounts and removes; idempotent. All failures, by volume. `root` is the directory of all pods.
pub(crate) fn tear_down(root: &SafeRoot, root_dir: &Path, pod: &PodPaths) -> Result<(), Vec<VolumeError>> {
    let foreign = foreign_volumes(root, root_dir, pod).map_err(|error| vec![error])?;
    if !foreign.is_empty() {
        return Err(foreign);
    }
    let pod_path = root.path().join(pod.pod());
    let tear_down = |path: &Path, message: String| {
        let below = path.strip_prefix(&pod_path).unwrap_or(Path::new(""));
        VolumeError::TearDown { volume: volume_of(below), message }
    };
    let mounted =
        mounts::mounts_below(&pod_path).map_err(|error| vec![tear_down(&pod_path, error.to_string())])?;
    let errors: Vec<VolumeError> = mounted
        .iter()
        // A sub path may lead into another volume of the pod: those come before it in any order, being on top.
        .filter_map(|target| {
            mounts::unmount(target, Unmount::Plain).err().map(|e| tear_down(target, e.to_string()))
        })
        .collect();
    if !errors.is_empty() {
        return Err(errors);
    }
    let leftovers: [PathBuf; 3] = [pod.sub_paths(), pod.volumes(), pod.pod().join("plugins")];
    let errors: Vec<VolumeError> = leftovers
        .iter()
        .filter_map(|path| {
            let error = root.remove_tree(path).err()?;
            Some(tear_down(&root.path().join(path), error.to_string()))
        })
        .collect();
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drivers_that_have_to_be_told_are_known_by_their_directory() {
        for (plugin, expected) in [
            ("kubernetes.io~csi", Some("csi")),
            ("flexvolume", Some("flexVolume")),
            ("vendor~driver", Some("flexVolume")),
            ("kubernetes.io~local-volume", None),
            ("kubernetes.io~nfs", None),
        ] {
            assert_eq!(foreign_kind(plugin), expected, "{plugin}");
        }
    }

    #[test]
    fn a_directory_where_nothing_is_mounted_stages_nothing() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(staged(root.path(), "pv-1").unwrap(), None);
        std::fs::create_dir_all(root.path().join(STAGED).join("pv-1")).unwrap();
        assert_eq!(staged(root.path(), "pv-1").unwrap(), None);
        assert_eq!(staged(root.path(), "pv-2").unwrap(), None);
    }

    #[test]
    fn paths_name_their_volume() {
        for (path, expected) in [
            ("volumes/kubernetes.io~secret/s", "s"),
            ("volumes/kubernetes.io~nfs/n/deeper", "n"),
            ("volumeDevices/kubernetes.io~csi/d", "d"),
            ("volume-subpaths/v/c/0", "v"),
            ("volumes", "*"),
            ("etc-hosts", "*"),
            ("", "*"),
        ] {
            assert_eq!(volume_of(Path::new(path)), expected, "{path}");
        }
    }
}
