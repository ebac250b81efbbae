//! A container's environment: what has to be fetched is fetched, then one pure function builds it.

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::api::core::v1::{Container, FileKeySelector};
use lifecycle::{
    Failure, FailureStep, Obstacle, PodSource,
    action::MissingObject,
    spec::{
        env::{self, EnvError, EnvFile, EnvFileFailure, EnvInputs, Missing, ObjectKind, ObjectRef, Services},
        field_ref::FieldContext,
    },
};
use seams::ObjectError;

use super::{Executor, Scene, failed};

/// How long a container waits for the first list of services before it says so.
const SERVICES_WAIT: Duration = Duration::from_secs(5);

impl Executor {
    pub(super) async fn environment(
        &self,
        scene: &Scene,
        container: &Container,
    ) -> Result<Vec<(String, Vec<u8>)>, Failure> {
        let namespace = &*scene.session.key.namespace;
        let mut config_maps = BTreeMap::new();
        let mut secrets = BTreeMap::new();
        let references = env::references(&scene.pod, container);
        for reference in &references {
            match reference.kind {
                ObjectKind::ConfigMap => {
                    let found = match &self.edges.objects {
                        Some(objects) => {
                            objects.config_map(namespace, &reference.name).await.map_err(missing)
                        }
                        None => Err(Missing::NoClient),
                    };
                    config_maps.insert(reference.name.clone(), found);
                }
                ObjectKind::Secret => {
                    let found = match &self.edges.objects {
                        Some(objects) => objects.secret(namespace, &reference.name).await.map_err(missing),
                        None => Err(Missing::NoClient),
                    };
                    secrets.insert(reference.name.clone(), found);
                }
            }
        }
        let services = match &self.edges.objects {
            None => None,
            Some(objects) => {
                let mut services = objects.services();
                if scene.source == PodSource::Api {
                    // Right after the start they are on their way; a failure would cost the pod ten seconds.
                    let listed = services.wait_for(Option::is_some);
                    drop(tokio::time::timeout(SERVICES_WAIT, listed).await);
                }
                let known = services.borrow().clone();
                Some(known)
            }
        };
        let services = match &services {
            None => Services::NoApi,
            // Static pods do not wait for services: the API server itself may be one (contract §13).
            Some(None) if scene.source != PodSource::Api => Services::NoApi,
            Some(None) => Services::NotListed,
            Some(Some(listed)) => Services::Listed(listed),
        };
        let fields = FieldContext {
            node_name: scene.node.name.clone(),
            host_ips: scene.node.host_ips.clone(),
            pod_ips: scene.pod_ips.clone(),
        };
        let allocatable = self.allocatable.borrow().clone();
        let files = self.env_files(scene, container).await;
        let read_file = |selector: &FileKeySelector| {
            files.get(&file_name(selector)).cloned().unwrap_or(Err(EnvFileFailure::NoVolume))
        };
        let inputs = EnvInputs {
            fields: &fields,
            config_maps: &config_maps,
            secrets: &secrets,
            services,
            allocatable: &allocatable,
            read_file: &read_file,
        };
        env::build(&scene.pod, container, &inputs).map_err(|error| {
            let obstacle = obstacle(&error, &references, &inputs);
            failed(FailureStep::ContainerConfig, error.to_string()).because_of(Some(obstacle))
        })
    }
}

/// What stands in the way of an environment: of the objects that are missing, all are named, not only the first.
fn obstacle(error: &EnvError, references: &[ObjectRef], inputs: &EnvInputs<'_>) -> Obstacle {
    let object = |kind, name: &str, key: Option<&String>| MissingObject {
        kind: kind_name(kind),
        name: name.to_owned(),
        key: key.cloned(),
    };
    match error {
        EnvError::Object(Missing::NotFound(_)) => {
            let missing = references.iter().filter(|reference| !reference.optional).filter(|reference| {
                let found = match reference.kind {
                    ObjectKind::ConfigMap => {
                        inputs.config_maps.get(&reference.name).map(|f| f.as_ref().err())
                    }
                    ObjectKind::Secret => inputs.secrets.get(&reference.name).map(|f| f.as_ref().err()),
                };
                matches!(found, Some(Some(Missing::NotFound(_))))
            });
            let missing = missing.map(|reference| object(reference.kind, &reference.name, None));
            Obstacle::Objects(missing.collect())
        }
        EnvError::ConfigMapKey { key, name, .. } => {
            Obstacle::Objects(vec![object(ObjectKind::ConfigMap, name, Some(key))])
        }
        EnvError::SecretKey { key, name, .. } => {
            Obstacle::Objects(vec![object(ObjectKind::Secret, name, Some(key))])
        }
        EnvError::Object(Missing::Unavailable(_)) | EnvError::ServicesNotRead => Obstacle::ApiServer,
        EnvError::Object(Missing::NoClient)
        | EnvError::NoServiceLinks
        | EnvError::ConfigMapWithoutApi { .. }
        | EnvError::SecretWithoutApi { .. }
        | EnvError::Field(_)
        | EnvError::Resource(_)
        | EnvError::FileVolume(_)
        | EnvError::File { .. }
        | EnvError::FileKey { .. } => Obstacle::Spec,
    }
}

/// As the API prints it.
fn kind_name(kind: ObjectKind) -> &'static str {
    match kind {
        ObjectKind::ConfigMap => "configmap",
        ObjectKind::Secret => "secret",
    }
}

fn missing(error: ObjectError) -> Missing {
    match error {
        ObjectError::NotFound { .. } => Missing::NotFound(error.to_string()),
        ObjectError::Unavailable(text) => Missing::Unavailable(text),
    }
}

/// Volume and path of a file of variables.
type FileName = (String, String);

impl Executor {
    /// The files that the container's `fileKeyRef`s name, each read once.
    async fn env_files(
        &self,
        scene: &Scene,
        container: &Container,
    ) -> BTreeMap<FileName, Result<EnvFile, EnvFileFailure>> {
        let sources = container.env.iter().flatten().filter_map(|variable| variable.value_from.as_ref());
        let mut files = BTreeMap::new();
        for selector in sources.filter_map(|source| source.file_key_ref.as_ref()) {
            let name = file_name(selector);
            if files.contains_key(&name) {
                continue;
            }
            let root = scene.session.mounted.lock().get(&name.0).map(|volume| volume.host_path.clone());
            let read = match root {
                Some(root) => self.edges.volumes.env_file(&scene.session.key.uid, &root, &name.1).await,
                None => Err(EnvFileFailure::NoVolume),
            };
            files.insert(name, read);
        }
        files
    }
}

fn file_name(selector: &FileKeySelector) -> FileName {
    (selector.volume_name.clone(), selector.path.clone())
}
