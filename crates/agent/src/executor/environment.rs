//! A container's environment: what has to be fetched is fetched, then one pure function builds it.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, FileKeySelector};
use lifecycle::{
    Failure, FailureStep, PodSource,
    spec::{
        env::{self, EnvFile, EnvFileFailure, EnvInputs, Missing, ObjectKind, Services},
        field_ref::FieldContext,
    },
};
use seams::ObjectError;

use super::{Executor, Scene, failed};

impl Executor {
    pub(super) async fn environment(
        &self,
        scene: &Scene,
        container: &Container,
    ) -> Result<Vec<(String, Vec<u8>)>, Failure> {
        let namespace = &*scene.session.key.namespace;
        let mut config_maps = BTreeMap::new();
        let mut secrets = BTreeMap::new();
        for reference in env::references(&scene.pod, container) {
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
        let services = self.edges.objects.as_ref().map(|objects| objects.services().borrow().clone());
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
        env::build(&scene.pod, container, &inputs)
            .map_err(|error| failed(FailureStep::ContainerConfig, error.to_string()))
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
