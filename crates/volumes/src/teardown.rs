//! Taking down everything that a pod's volumes left, from what is on disk alone: the pod may have been removed while
//! no kubelet ran, and nobody knows its spec any more.
//!
//! Unmounts come first, the last mount first. Directories are removed by descriptor and never across a mount point:
//! a file system that could not be unmounted loses nothing.

use std::path::{Path, PathBuf};

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

/// Volume that a path below the pod's directory belongs to; the pod's directory itself is `*`.
fn volume_of(below_pod: &Path) -> String {
    let mut parts = below_pod.iter().filter_map(|part| part.to_str());
    let name = match parts.next() {
        Some("volumes") => parts.nth(1),
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

fn foreign_volumes(root: &SafeRoot, pod: &PodPaths) -> Result<Vec<VolumeError>, VolumeError> {
    let mut found = Vec::new();
    for plugin in names(root, &pod.volumes())? {
        let known = FOREIGN.iter().find(|(directory, _)| plugin == *directory);
        // Flexvolume plugins carry their vendor: `vendor~driver`.
        let kind =
            known.map(|(_, kind)| *kind).or((!plugin.starts_with("kubernetes.io~")).then_some("flexVolume"));
        if let Some(kind) = kind {
            for volume in names(root, &pod.volumes().join(&plugin))? {
                found.push(VolumeError::TearDown {
                    volume,
                    message: format!(
                        "it is of kind {kind}, which this kubelet cannot take down without telling its driver\n\
                         hint: start the kubelet that mounted it, let the pod end there, then come back"
                    ),
                });
            }
        }
    }
    Ok(found)
}

/// Unmounts and removes; idempotent. All failures, by volume.
pub(crate) fn tear_down(root: &SafeRoot, pod: &PodPaths) -> Result<(), Vec<VolumeError>> {
    let foreign = foreign_volumes(root, pod).map_err(|error| vec![error])?;
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
    fn paths_name_their_volume() {
        for (path, expected) in [
            ("volumes/kubernetes.io~secret/s", "s"),
            ("volumes/kubernetes.io~nfs/n/deeper", "n"),
            ("volume-subpaths/v/c/0", "v"),
            ("volumes", "*"),
            ("etc-hosts", "*"),
            ("", "*"),
        ] {
            assert_eq!(volume_of(Path::new(path)), expected, "{path}");
        }
    }
}
