//! Environment of a container (contract §13).
//!
//! Building is in two steps, so that this room stays pure: [`references`] says what a container refers to, the caller
//! fetches it, [`build`] puts the variables together. A failure here is a `CreateContainerConfigError` with upstream's
//! words.
//!
//! Invariants: each name appears once; `envFrom` before `env` before services, where a later one of the first two
//! takes the value of an earlier one but keeps its place, and a service never changes a value; only literal values
//! are expanded, and they see `envFrom`, the `env` entries before them, and services.

use std::{collections::BTreeMap, sync::Arc};

use k8s_openapi::api::core::v1::{ConfigMap, Container, EnvVarSource, FileKeySelector, Pod, Secret};

use super::{
    env_file, expansion,
    field_ref::{self, FieldContext, FieldError},
    quote::go_quote,
    resource_ref::{self, Allocatable, ResourceError},
    service_env::{self, ServiceMap},
};

/// Kinds of object that an environment may refer to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObjectKind {
    /// A config map.
    ConfigMap,
    /// A secret.
    Secret,
}

/// An object in the pod's namespace that a container's environment refers to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObjectRef {
    /// Kind.
    pub kind: ObjectKind,
    /// The pod's namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// True when every reference to it is optional: it may be missing.
    pub optional: bool,
}

/// Why a referenced object is not there. Displays as the API does.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Missing {
    /// The API server says there is none: `configmap "x" not found`.
    #[error("{0}")]
    NotFound(String),
    /// It could not be asked.
    #[error("{0}")]
    Unavailable(String),
    /// There is no API server to ask.
    #[error("no kubeClient defined")]
    NoClient,
}

/// What is known about services.
#[derive(Clone, Copy, Debug)]
pub enum Services<'a> {
    /// No API server: no variables.
    NoApi,
    /// Not listed yet: pods from the API have to wait.
    NotListed,
    /// All of them.
    Listed(&'a ServiceMap),
}

/// Contents of a file that `fileKeyRef` names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnvFile {
    /// Where it is on the host, for messages.
    pub path: String,
    /// What it holds.
    pub text: String,
}

/// Why a file that `fileKeyRef` names cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EnvFileFailure {
    /// The pod has no such volume, or it is not mounted.
    NoVolume,
    /// The file is not there, is no file, or leads out of the volume.
    Unreadable(String),
}

/// Reads the file that a selector names, beneath its volume.
pub type ReadEnvFile<'a> = &'a dyn Fn(&FileKeySelector) -> Result<EnvFile, EnvFileFailure>;

/// Everything that [`build`] needs beside the pod.
#[derive(Clone, Copy)]
pub struct EnvInputs<'a> {
    /// For `fieldRef`.
    pub fields: &'a FieldContext,
    /// Config maps of the pod's namespace by name: one entry for each of [`references`].
    pub config_maps: &'a BTreeMap<String, Result<Arc<ConfigMap>, Missing>>,
    /// Secrets, likewise.
    pub secrets: &'a BTreeMap<String, Result<Arc<Secret>, Missing>>,
    /// Services.
    pub services: Services<'a>,
    /// For `resourceFieldRef`.
    pub allocatable: &'a Allocatable,
    /// For `fileKeyRef`.
    pub read_file: ReadEnvFile<'a>,
}

/// Why an environment cannot be built: the message of `CreateContainerConfigError`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvError {
    /// The API always sets `enableServiceLinks`.
    #[error("nil pod.spec.enableServiceLinks encountered, cannot construct envvars")]
    NoServiceLinks,
    /// Services are not known yet.
    #[error("services have not yet been read at least once, cannot construct envvars")]
    ServicesNotRead,
    /// No API server, and a config map is wanted.
    #[error("couldn't get configMap {namespace}/{name}, no kubeClient defined")]
    ConfigMapWithoutApi {
        /// Namespace.
        namespace: String,
        /// Name.
        name: String,
    },
    /// No API server, and a secret is wanted.
    #[error("couldn't get secret {namespace}/{name}, no kubeClient defined")]
    SecretWithoutApi {
        /// Namespace.
        namespace: String,
        /// Name.
        name: String,
    },
    /// A config map or secret is missing or could not be had.
    #[error("{0}")]
    Object(Missing),
    /// A config map lacks a key.
    #[error("couldn't find key {key} in ConfigMap {namespace}/{name}")]
    ConfigMapKey {
        /// Key.
        key: String,
        /// Namespace.
        namespace: String,
        /// Name.
        name: String,
    },
    /// A secret lacks a key.
    #[error("couldn't find key {key} in Secret {namespace}/{name}")]
    SecretKey {
        /// Key.
        key: String,
        /// Namespace.
        namespace: String,
        /// Name.
        name: String,
    },
    /// `fieldRef`.
    #[error("{0}")]
    Field(FieldError),
    /// `resourceFieldRef`.
    #[error("{0}")]
    Resource(ResourceError),
    /// `fileKeyRef` names a volume that is not mounted.
    #[error("cannot find the volume {} referenced by FileKeyRef", go_quote(.0))]
    FileVolume(String),
    /// The file is unreadable or malformed. The cause is kept from users, it may show the host's files.
    #[error("couldn't parse env file")]
    File {
        /// For the log.
        cause: String,
    },
    /// The file has no such key, or an empty value.
    #[error("environment variable key {} not found in file {}", go_quote(.key), go_quote(.path))]
    FileKey {
        /// Key.
        key: String,
        /// Host path of the file.
        path: String,
    },
}

/// Variables in order of first appearance, each name once.
#[derive(Default)]
struct Variables {
    list: Vec<(String, Vec<u8>)>,
    index: BTreeMap<String, usize>,
}

impl Variables {
    fn set(&mut self, name: &str, value: Vec<u8>) {
        match self.index.get(name).and_then(|&at| self.list.get_mut(at)) {
            Some(known) => known.1 = value,
            None => {
                self.index.insert(name.to_owned(), self.list.len());
                self.list.push((name.to_owned(), value));
            }
        }
    }

    fn get(&self, name: &str) -> Option<&Vec<u8>> {
        self.index.get(name).and_then(|&at| self.list.get(at)).map(|(_, value)| value)
    }
}

/// `kubernetes.io/config.source` says that the pod did not come from the API server.
fn is_static(pod: &Pod) -> bool {
    let annotations = pod.metadata.annotations.as_ref();
    annotations.and_then(|map| map.get("kubernetes.io/config.source")).is_some_and(|source| source != "api")
}

/// Config maps and secrets that a container's environment refers to, each once, in order of appearance.
#[must_use]
pub fn references(pod: &Pod, container: &Container) -> Vec<ObjectRef> {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let mut found: Vec<ObjectRef> = Vec::new();
    let mut note = |kind: ObjectKind, name: &str, optional: Option<bool>| {
        let optional = optional.unwrap_or(false);
        match found.iter_mut().find(|known| known.kind == kind && known.name == name) {
            Some(known) => known.optional &= optional,
            None => found.push(ObjectRef {
                kind,
                namespace: namespace.to_owned(),
                name: name.to_owned(),
                optional,
            }),
        }
    };
    for source in container.env_from.iter().flatten() {
        if let Some(reference) = &source.config_map_ref {
            note(ObjectKind::ConfigMap, &reference.name, reference.optional);
        }
        if let Some(reference) = &source.secret_ref {
            note(ObjectKind::Secret, &reference.name, reference.optional);
        }
    }
    for source in container.env.iter().flatten().filter_map(|variable| variable.value_from.as_ref()) {
        if let Some(reference) = &source.config_map_key_ref {
            note(ObjectKind::ConfigMap, &reference.name, reference.optional);
        }
        if let Some(reference) = &source.secret_key_ref {
            note(ObjectKind::Secret, &reference.name, reference.optional);
        }
    }
    found
}

struct Builder<'a> {
    pod: &'a Pod,
    container: &'a Container,
    namespace: &'a str,
    inputs: &'a EnvInputs<'a>,
}

impl<'a> Builder<'a> {
    /// `Ok(None)`: missing, and that is fine.
    fn config_map(&self, name: &str, optional: Option<bool>) -> Result<Option<&'a ConfigMap>, EnvError> {
        match self.inputs.config_maps.get(name) {
            Some(Ok(found)) => Ok(Some(found)),
            Some(Err(Missing::NoClient)) | None => Err(EnvError::ConfigMapWithoutApi {
                namespace: self.namespace.to_owned(),
                name: name.to_owned(),
            }),
            Some(Err(Missing::NotFound(_))) if optional == Some(true) => Ok(None),
            Some(Err(missing)) => Err(EnvError::Object(missing.clone())),
        }
    }

    fn secret(&self, name: &str, optional: Option<bool>) -> Result<Option<&'a Secret>, EnvError> {
        match self.inputs.secrets.get(name) {
            Some(Ok(found)) => Ok(Some(found)),
            Some(Err(Missing::NoClient)) | None => Err(EnvError::SecretWithoutApi {
                namespace: self.namespace.to_owned(),
                name: name.to_owned(),
            }),
            Some(Err(Missing::NotFound(_))) if optional == Some(true) => Ok(None),
            Some(Err(missing)) => Err(EnvError::Object(missing.clone())),
        }
    }

    fn env_from(&self, variables: &mut Variables) -> Result<(), EnvError> {
        for source in self.container.env_from.iter().flatten() {
            let prefix = source.prefix.as_deref().unwrap_or_default();
            if let Some(reference) = &source.config_map_ref {
                let found = self.config_map(&reference.name, reference.optional)?;
                for (key, value) in found.and_then(|found| found.data.as_ref()).into_iter().flatten() {
                    variables.set(&format!("{prefix}{key}"), value.clone().into_bytes());
                }
            } else if let Some(reference) = &source.secret_ref {
                let found = self.secret(&reference.name, reference.optional)?;
                for (key, value) in found.and_then(|found| found.data.as_ref()).into_iter().flatten() {
                    variables.set(&format!("{prefix}{key}"), value.0.clone());
                }
            }
        }
        Ok(())
    }

    /// `Ok(None)`: an optional value that is missing; the variable is left out.
    fn value_from(&self, source: &EnvVarSource) -> Result<Option<Vec<u8>>, EnvError> {
        if let Some(selector) = &source.field_ref {
            let version = selector.api_version.as_deref().unwrap_or("v1");
            let value = field_ref::value(self.pod, version, &selector.field_path, self.inputs.fields);
            return value.map(|value| Some(value.into_bytes())).map_err(EnvError::Field);
        }
        if let Some(selector) = &source.resource_field_ref {
            let value = resource_ref::value(self.pod, self.container, selector, self.inputs.allocatable);
            return value.map(|value| Some(value.into_bytes())).map_err(EnvError::Resource);
        }
        if let Some(selector) = &source.config_map_key_ref {
            let Some(found) = self.config_map(&selector.name, selector.optional)? else {
                return Ok(None);
            };
            return match found.data.as_ref().and_then(|data| data.get(&selector.key)) {
                Some(value) => Ok(Some(value.clone().into_bytes())),
                None if selector.optional == Some(true) => Ok(None),
                None => Err(EnvError::ConfigMapKey {
                    key: selector.key.clone(),
                    namespace: self.namespace.to_owned(),
                    name: selector.name.clone(),
                }),
            };
        }
        if let Some(selector) = &source.secret_key_ref {
            let Some(found) = self.secret(&selector.name, selector.optional)? else {
                return Ok(None);
            };
            return match found.data.as_ref().and_then(|data| data.get(&selector.key)) {
                Some(value) => Ok(Some(value.0.clone())),
                None if selector.optional == Some(true) => Ok(None),
                None => Err(EnvError::SecretKey {
                    key: selector.key.clone(),
                    namespace: self.namespace.to_owned(),
                    name: selector.name.clone(),
                }),
            };
        }
        match &source.file_key_ref {
            Some(selector) => self.file_value(selector),
            None => Ok(Some(Vec::new())),
        }
    }

    fn file_value(&self, selector: &FileKeySelector) -> Result<Option<Vec<u8>>, EnvError> {
        let file = (self.inputs.read_file)(selector).map_err(|failure| match failure {
            EnvFileFailure::NoVolume => EnvError::FileVolume(selector.volume_name.clone()),
            EnvFileFailure::Unreadable(cause) => EnvError::File { cause },
        })?;
        let value = env_file::parse(&file.text, &selector.key)
            .map_err(|error| EnvError::File { cause: error.to_string() })?;
        if !value.is_empty() {
            Ok(Some(value.into_bytes()))
        } else if selector.optional == Some(true) {
            Ok(None)
        } else {
            Err(EnvError::FileKey { key: selector.key.clone(), path: file.path })
        }
    }
}

/// The container's environment, in order.
///
/// # Errors
/// See [`EnvError`]; each is final until the pod or what it refers to changes.
pub fn build(
    pod: &Pod,
    container: &Container,
    inputs: &EnvInputs<'_>,
) -> Result<Vec<(String, Vec<u8>)>, EnvError> {
    let links =
        pod.spec.as_ref().and_then(|spec| spec.enable_service_links).ok_or(EnvError::NoServiceLinks)?;
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let services = match inputs.services {
        Services::NotListed if !is_static(pod) => return Err(EnvError::ServicesNotRead),
        Services::NotListed | Services::NoApi => Vec::new(),
        Services::Listed(all) => service_env::variables_for(all, namespace, links),
    };
    let builder = Builder { pod, container, namespace, inputs };
    let mut variables = Variables::default();
    builder.env_from(&mut variables)?;
    for variable in container.env.iter().flatten() {
        let literal = variable.value.as_deref().unwrap_or_default();
        let value = if literal.is_empty() {
            match &variable.value_from {
                Some(source) => builder.value_from(source)?,
                None => Some(Vec::new()),
            }
        } else {
            Some(expansion::expand_bytes(literal.as_bytes(), |name| {
                variables.get(name).cloned().or_else(|| {
                    services
                        .iter()
                        .find(|(known, _)| known == name)
                        .map(|(_, value)| value.clone().into_bytes())
                })
            }))
        };
        if let Some(value) = value {
            variables.set(&variable.name, value);
        }
    }
    for (name, value) in services {
        if variables.get(&name).is_none() {
            variables.set(&name, value.into_bytes());
        }
    }
    Ok(variables.list)
}

#[cfg(test)]
mod tests;
