//! Where a pod's volumes are below the directory of all pods (contract §30): names that every kubelet has to agree on.

use std::path::{Component, Path, PathBuf};

/// Directory of all pods, below the root directory.
pub(crate) const PODS: &str = "pods";
/// Directories of pods and of what holds their volumes: 0750.
pub(crate) const PRIVATE_MODE: u32 = 0o750;
/// Directories of plugins, below `volumes`: upstream makes them with 0777 and a umask of 022.
pub(crate) const PLUGIN_MODE: u32 = 0o755;

/// Kinds of volume that have a directory of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plugin {
    /// `emptyDir`.
    EmptyDir,
    /// `configMap`.
    ConfigMap,
    /// `secret`.
    Secret,
    /// `downwardAPI`.
    DownwardApi,
    /// `projected`.
    Projected,
}

impl Plugin {
    /// Name of its directory: the plugin's name with `~` for `/`.
    pub(crate) fn directory(self) -> &'static str {
        match self {
            Self::EmptyDir => "kubernetes.io~empty-dir",
            Self::ConfigMap => "kubernetes.io~configmap",
            Self::Secret => "kubernetes.io~secret",
            Self::DownwardApi => "kubernetes.io~downward-api",
            Self::Projected => "kubernetes.io~projected",
        }
    }
}

/// A uid, volume or container name that would lead somewhere else.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} {name:?} cannot be used as a file name")]
pub(crate) struct LayoutError {
    what: &'static str,
    name: String,
}

/// Checks that a name from the API is one single file name.
pub(crate) fn file_name<'a>(what: &'static str, name: &'a str) -> Result<&'a str, LayoutError> {
    let mut components = Path::new(name).components();
    match (components.next(), components.next()) {
        (Some(Component::Normal(only)), None) if only == name && name.len() <= 255 => Ok(name),
        _ => Err(LayoutError { what, name: name.to_owned() }),
    }
}

/// Paths of one pod, relative to the directory of all pods.
#[derive(Clone, Debug)]
pub(crate) struct PodPaths {
    pod: PathBuf,
}

impl PodPaths {
    /// Fails when the uid is no file name: a static pod's manifest may set it to anything.
    pub(crate) fn new(uid: &str) -> Result<Self, LayoutError> {
        Ok(Self { pod: PathBuf::from(file_name("pod uid", uid)?) })
    }

    /// `<uid>`.
    pub(crate) fn pod(&self) -> &Path {
        &self.pod
    }

    /// `<uid>/volumes`.
    pub(crate) fn volumes(&self) -> PathBuf {
        self.pod.join("volumes")
    }

    /// `<uid>/volumeDevices`: raw block volumes, by plugin and volume. This kubelet makes none.
    pub(crate) fn devices(&self) -> PathBuf {
        self.pod.join("volumeDevices")
    }

    /// `<uid>/volumes/<plugin>/<volume>`.
    pub(crate) fn volume(&self, plugin: Plugin, volume: &str) -> Result<PathBuf, LayoutError> {
        Ok(self.volumes().join(plugin.directory()).join(file_name("volume name", volume)?))
    }

    /// `<uid>/plugins/kubernetes.io~empty-dir/<entry>`: holds the file `ready` once the directory is set up.
    pub(crate) fn ready(&self, entry: &str) -> Result<PathBuf, LayoutError> {
        Ok(self.pod.join("plugins").join(Plugin::EmptyDir.directory()).join(file_name("volume name", entry)?))
    }

    /// `<uid>/volume-subpaths`.
    pub(crate) fn sub_paths(&self) -> PathBuf {
        self.pod.join("volume-subpaths")
    }

    /// `<uid>/volume-subpaths/<volume>/<container>`.
    pub(crate) fn sub_path_parent(&self, volume: &str, container: &str) -> Result<PathBuf, LayoutError> {
        let volume = file_name("volume name", volume)?;
        Ok(self.sub_paths().join(volume).join(file_name("container name", container)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        let pod = PodPaths::new("u-1").unwrap();
        assert_eq!(
            pod.volume(Plugin::EmptyDir, "v").unwrap(),
            Path::new("u-1/volumes/kubernetes.io~empty-dir/v")
        );
        assert_eq!(
            pod.ready("wrapped_v").unwrap(),
            Path::new("u-1/plugins/kubernetes.io~empty-dir/wrapped_v")
        );
        assert_eq!(pod.sub_path_parent("v", "c").unwrap(), Path::new("u-1/volume-subpaths/v/c"));
    }

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        for bad in ["", ".", "..", "a/b", "/", "/etc", "a/", "../x", &"x".repeat(256)] {
            assert!(PodPaths::new(bad).is_err(), "{bad}");
            assert!(PodPaths::new("u").unwrap().volume(Plugin::Secret, bad).is_err(), "{bad}");
        }
        assert_eq!(
            PodPaths::new("..").unwrap_err().to_string(),
            "pod uid \"..\" cannot be used as a file name"
        );
    }
}
