//! What becomes of the devices of an upstream kubelet that ran here before: there are no device plugins in this one, so
//! there are no devices either, whatever the Node object still says.
//!
//! Upstream keeps the resources that plugins had registered in a checkpoint. It counts them as nothing until a plugin
//! registers again, and resets every extended resource of the node when the checkpoint is gone, since the machine may be
//! a new one (contract §2.1, §21.3).

use std::{collections::BTreeMap, path::Path};

use node::registration::ExtendedResources;
use serde::Deserialize;

/// Name of the checkpoint in the directory of device plugins.
const FILE: &str = "kubelet_internal_checkpoint";

/// What the checkpoint says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum DeviceCheckpoint {
    /// There is none, or none that can be read.
    #[default]
    Gone,
    /// These resources had plugins, in order of names.
    Listed(Vec<String>),
}

/// The file, as far as it is of use here.
#[derive(Deserialize)]
struct File {
    #[serde(rename = "Data")]
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    /// Ids of devices by resource.
    #[serde(rename = "RegisteredDevices", default)]
    registered: Option<BTreeMap<String, serde::de::IgnoredAny>>,
}

impl DeviceCheckpoint {
    /// Reads the checkpoint of a directory. One that cannot be read counts as gone: a pod that starts without its device is
    /// worse than one that does not start.
    #[must_use]
    pub fn read(directory: &Path) -> Self {
        let path = directory.join(FILE);
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Self::Gone,
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "Cannot read the checkpoint of the device plugins");
                return Self::Gone;
            }
        };
        match serde_json::from_slice::<File>(&text) {
            Ok(file) => Self::Listed(file.data.registered.unwrap_or_default().into_keys().collect()),
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "Cannot understand the checkpoint of the device plugins");
                Self::Gone
            }
        }
    }

    /// Resources whose plugins do not serve here.
    #[must_use]
    pub fn listed(&self) -> &[String] {
        match self {
            Self::Gone => &[],
            Self::Listed(names) => names,
        }
    }

    pub(super) fn extended(&self) -> ExtendedResources {
        match self {
            Self::Gone => ExtendedResources::Zero,
            Self::Listed(_) => ExtendedResources::Keep,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: Option<&str>) -> DeviceCheckpoint {
        let directory = tempfile::tempdir().unwrap();
        if let Some(text) = text {
            std::fs::write(directory.path().join(FILE), text).unwrap();
        }
        DeviceCheckpoint::read(directory.path())
    }

    #[test]
    fn upstreams_checkpoint_is_understood() {
        let text = r#"{"Data":{"PodDeviceEntries":[{"PodUID":"u","ContainerName":"c","ResourceName":"nvidia.com/gpu",
            "DeviceIDs":{"-1":["a"]},"AllocResp":""}],"RegisteredDevices":{"nvidia.com/gpu":["a","b"],
            "example.com/nic":["x"]}},"Checksum":1}"#;
        let listed = ["example.com/nic".to_owned(), "nvidia.com/gpu".to_owned()];
        assert_eq!(read(Some(text)), DeviceCheckpoint::Listed(listed.to_vec()));
        let none = r#"{"Data":{"PodDeviceEntries":null,"RegisteredDevices":{}},"Checksum":1}"#;
        assert_eq!(read(Some(none)), DeviceCheckpoint::Listed(Vec::new()));
        let null = r#"{"Data":{"RegisteredDevices":null},"Checksum":1}"#;
        assert_eq!(read(Some(null)), DeviceCheckpoint::Listed(Vec::new()));
    }

    #[test]
    fn what_cannot_be_read_is_gone() {
        assert_eq!(read(None), DeviceCheckpoint::Gone);
        assert_eq!(read(Some("")), DeviceCheckpoint::Gone);
        assert_eq!(read(Some("{\"Data\":")), DeviceCheckpoint::Gone);
    }
}
