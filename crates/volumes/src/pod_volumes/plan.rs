//! What to set up for one volume: everything that has to be asked of somebody, before anything is done.

use std::{io::Read as _, path::Path};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{EmptyDirVolumeSource, Pod, Volume};
use lifecycle::spec::resource_ref::Allocatable;
use seams::{ObjectError, Objects};

use super::{Medium, PodPaths, SetUpError, Tokens, pods_dir};
use crate::{
    atomic_writer::AtomicWriter, config_map, downward_api, layout::Plugin, memory_size, payload::Payload,
    projected::Sources, secret, tokens::recall,
};

/// A volume, ready to be set up.
pub(super) enum Plan {
    /// An empty directory for the pod.
    Empty {
        /// Of what.
        medium: Medium,
    },
    /// A path of the node.
    Host {
        /// Path.
        path: String,
        /// Type, as in the API; empty is not checked.
        kind: String,
    },
    /// Files that the kubelet writes.
    Files {
        /// Kind.
        plugin: Plugin,
        /// Of what the directory is.
        medium: Medium,
        /// The files.
        payload: Payload,
    },
}

/// A volume that cannot be set up now.
pub(super) enum Failed {
    /// Its kind is not supported; named as in the API.
    Kind(String),
    /// Its contents could not be had: an older set may still serve.
    Contents {
        /// Kind.
        plugin: Plugin,
        /// Why.
        error: SetUpError,
    },
    /// Anything else.
    Other(SetUpError),
}

/// Asks.
pub(super) struct Planner<'a> {
    /// The kubelet's root directory.
    pub(super) root_dir: &'a Path,
    /// The pod.
    pub(super) pod: &'a Pod,
    /// `None` without an API server.
    pub(super) objects: Option<&'a dyn Objects>,
    /// Tokens in use.
    pub(super) tokens: &'a Tokens,
    /// Of the node.
    pub(super) allocatable: &'a Allocatable,
    /// Wall clock.
    pub(super) now: Timestamp,
}

/// What the API calls the volume's kind: the one field beside its name.
fn kind_of(volume: &Volume) -> String {
    let value = serde_json::to_value(volume).unwrap_or_default();
    let mut fields = value.as_object().into_iter().flatten().map(|(field, _)| field);
    fields.find(|field| *field != "name").cloned().unwrap_or_else(|| "(none)".to_owned())
}

impl Planner<'_> {
    fn namespace(&self) -> &str {
        self.pod.metadata.namespace.as_deref().unwrap_or_default()
    }

    fn api(&self, kind: &'static str, name: &str) -> Result<&dyn Objects, SetUpError> {
        self.objects.ok_or_else(|| SetUpError::NoApi {
            kind,
            namespace: self.namespace().to_owned(),
            name: name.to_owned(),
        })
    }

    /// A memory-backed directory of the kubelet's own files; none of these has a limit of its own.
    fn memory(&self) -> Result<Medium, Failed> {
        let size = memory_size::limit(self.pod, None, self.allocatable).map_err(Failed::Other)?;
        Ok(Medium::Memory { size })
    }

    fn empty_dir(&self, source: &EmptyDirVolumeSource) -> Result<Plan, Failed> {
        let medium = match source.medium.as_deref().unwrap_or_default() {
            "" => Medium::Disk,
            "Memory" => {
                let size = memory_size::limit(self.pod, source.size_limit.as_ref(), self.allocatable);
                Medium::Memory { size: size.map_err(Failed::Other)? }
            }
            medium if medium.starts_with("HugePages") => {
                return Err(Failed::Kind(format!("emptyDir with medium {medium}")));
            }
            medium => return Err(Failed::Other(SetUpError::Medium { medium: medium.to_owned() })),
        };
        Ok(Plan::Empty { medium })
    }

    async fn config_map(&self, volume: &Volume) -> Option<Result<Payload, SetUpError>> {
        let source = volume.config_map.as_ref()?;
        let optional = source.optional == Some(true);
        let items = source.items.as_deref().unwrap_or_default();
        let objects = match self.api("configMap", &source.name) {
            Ok(objects) => objects,
            Err(error) => return Some(Err(error)),
        };
        Some(match objects.config_map(self.namespace(), &source.name).await {
            Ok(found) => config_map::payload(items, &found, source.default_mode, optional),
            Err(ObjectError::NotFound { .. }) if optional => {
                config_map::payload(items, &Default::default(), source.default_mode, optional)
            }
            Err(error) => Err(SetUpError::Object(error)),
        })
    }

    async fn secret(&self, volume: &Volume) -> Option<Result<Payload, SetUpError>> {
        let source = volume.secret.as_ref()?;
        let name = source.secret_name.as_deref().unwrap_or_default();
        let optional = source.optional == Some(true);
        let items = source.items.as_deref().unwrap_or_default();
        let objects = match self.api("secret", name) {
            Ok(objects) => objects,
            Err(error) => return Some(Err(error)),
        };
        Some(match objects.secret(self.namespace(), name).await {
            Ok(found) => secret::payload(items, &found, source.default_mode, optional),
            Err(ObjectError::NotFound { .. }) if optional => {
                secret::payload(items, &Default::default(), source.default_mode, optional)
            }
            Err(error) => Err(SetUpError::Object(error)),
        })
    }

    /// A text of a projected volume that an earlier process has set up.
    fn held(&self, volume: &str, path: &str) -> Option<String> {
        let uid = self.pod.metadata.uid.as_deref().unwrap_or_default();
        let directory = PodPaths::new(uid).ok()?.volume(Plugin::Projected, volume).ok()?;
        let volume = pods_dir::find(self.root_dir).ok()??.descend(&directory).ok()?;
        let mut file = AtomicWriter::new(&volume, self.now).open(path)?.take(recall::MOST);
        let mut text = String::new();
        file.read_to_string(&mut text).ok()?;
        Some(text)
    }

    fn files(&self, plugin: Plugin, contents: Result<Payload, SetUpError>) -> Result<Plan, Failed> {
        let payload = contents.map_err(|error| Failed::Contents { plugin, error })?;
        let medium = if plugin == Plugin::ConfigMap { Medium::Disk } else { self.memory()? };
        Ok(Plan::Files { plugin, medium, payload })
    }

    /// Finds out what to set up for a volume.
    pub(super) async fn plan(&self, volume: &Volume) -> Result<Plan, Failed> {
        if let Some(source) = &volume.empty_dir {
            return self.empty_dir(source);
        }
        if let Some(source) = &volume.host_path {
            let kind = source.type_.clone().unwrap_or_default();
            return Ok(Plan::Host { path: source.path.clone(), kind });
        }
        if let Some(contents) = self.config_map(volume).await {
            return self.files(Plugin::ConfigMap, contents);
        }
        if let Some(contents) = self.secret(volume).await {
            return self.files(Plugin::Secret, contents);
        }
        if let Some(source) = &volume.downward_api {
            let items = source.items.as_deref().unwrap_or_default();
            let contents = downward_api::payload(items, self.pod, self.allocatable, source.default_mode);
            return self.files(Plugin::DownwardApi, contents);
        }
        if let Some(source) = &volume.projected {
            let held = |path: &str| self.held(&volume.name, path);
            let sources = Sources {
                held: &held,
                pod: self.pod,
                volume: &volume.name,
                objects: self.objects,
                tokens: self.tokens,
                allocatable: self.allocatable,
                now: self.now,
            };
            return self.files(Plugin::Projected, sources.collect(source).await);
        }
        Err(Failed::Kind(kind_of(volume)))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn kinds_are_named_as_in_the_api() {
        let kind = |volume: serde_json::Value| kind_of(&serde_json::from_value(volume).unwrap());
        assert_eq!(kind(json!({"name": "v", "nfs": {"server": "s", "path": "/"}})), "nfs");
        assert_eq!(
            kind(json!({"name": "v", "persistentVolumeClaim": {"claimName": "c"}})),
            "persistentVolumeClaim"
        );
        assert_eq!(kind(json!({"name": "v"})), "(none)");
    }
}
