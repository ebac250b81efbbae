//! Where the volumes of a pod are, for those who measure them, and how each is to be measured.
//!
//! A directory on the node's disk is walked; a tmpfs of the pod's own tells by itself; what a `hostPath` leads to is not
//! the pod's. What a container does not use was never set up.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use k8s_openapi::api::core::v1::{Pod, Volume};
use lifecycle::spec::mounts;
use seams::stats::{Target, VolumePlace, VolumePlaces};

use crate::layout::{PODS, Plugin, PodPaths};

/// Volumes below the root directory.
#[derive(Clone, Debug)]
pub struct Places {
    root_dir: PathBuf,
}

impl Places {
    /// `root_dir` is that of [`crate::Config`].
    #[must_use]
    pub fn new(root_dir: PathBuf) -> Self {
        Self { root_dir }
    }
}

/// A way to measure a path.
type Way = fn(Arc<Path>) -> Target;

/// The plugin of a volume, how it is measured, and whether it counts as ephemeral storage of the pod. Secrets and the like are walked although they are in memory: their
/// tmpfs has no size that says anything (upstream does so too).
fn measured(volume: &Volume) -> Option<(Plugin, Way, bool)> {
    if let Some(source) = &volume.empty_dir {
        return match source.medium.as_deref().unwrap_or_default() {
            "" => Some((Plugin::EmptyDir, Target::Tree, true)),
            _ => Some((Plugin::EmptyDir, Target::Mount, false)),
        };
    }
    let kinds = [
        (volume.config_map.is_some(), Plugin::ConfigMap, true),
        (volume.secret.is_some(), Plugin::Secret, false),
        (volume.downward_api.is_some(), Plugin::DownwardApi, false),
        (volume.projected.is_some(), Plugin::Projected, false),
    ];
    let (_, plugin, ephemeral) = kinds.into_iter().find(|(is_it, ..)| *is_it)?;
    Some((plugin, Target::Tree, ephemeral))
}

impl VolumePlaces for Places {
    fn places(&self, pod: &Pod) -> Vec<VolumePlace> {
        let Ok(paths) = PodPaths::new(pod.metadata.uid.as_deref().unwrap_or_default()) else {
            return Vec::new();
        };
        let used = mounts::used_volumes(pod);
        let volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
        let places = volumes.filter(|volume| used.contains(volume.name.as_str())).filter_map(|volume| {
            let (plugin, target, ephemeral) = measured(volume)?;
            let path = self.root_dir.join(PODS).join(paths.volume(plugin, &volume.name).ok()?);
            Some(VolumePlace { name: volume.name.clone(), target: target(path.into()), ephemeral })
        });
        places.collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn volumes_that_are_used_have_a_place_and_a_way() {
        let mounts: Vec<_> = ["disk", "memory", "config", "token", "host"]
            .iter()
            .map(|name| json!({"name": name, "mountPath": format!("/{name}")}))
            .collect();
        let pod = serde_json::from_value(json!({
            "metadata": {"uid": "u"},
            "spec": {
                "containers": [{"name": "c", "volumeMounts": mounts}],
                "volumes": [
                    {"name": "disk", "emptyDir": {}},
                    {"name": "unused", "emptyDir": {}},
                    {"name": "memory", "emptyDir": {"medium": "Memory"}},
                    {"name": "config", "configMap": {"name": "m"}},
                    {"name": "token", "projected": {"sources": []}},
                    {"name": "host", "hostPath": {"path": "/"}},
                ],
            },
        }))
        .unwrap();
        let seen = Places::new("/root".into()).places(&pod);
        let shown: Vec<_> = seen.iter().map(|place| (place.name.as_str(), place.ephemeral)).collect();
        assert_eq!(shown, [("disk", true), ("memory", false), ("config", true), ("token", false)]);
        assert_eq!(
            seen[0].target,
            Target::Tree(Path::new("/root/pods/u/volumes/kubernetes.io~empty-dir/disk").into())
        );
        assert!(matches!(seen[1].target, Target::Mount(_)));
        assert!(matches!(seen[3].target, Target::Tree(_)));
    }

    #[test]
    fn a_pod_without_a_name_for_its_directory_has_none() {
        let pod =
            serde_json::from_value(json!({"metadata": {"uid": "../x"}, "spec": {"containers": []}})).unwrap();
        assert!(Places::new("/root".into()).places(&pod).is_empty());
    }
}
