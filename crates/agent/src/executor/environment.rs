//! A container's environment: what has to be fetched is fetched, then one pure function builds it.

use std::{collections::BTreeMap, path::Path};

use k8s_openapi::api::core::v1::{Container, FileKeySelector};
use lifecycle::{
    Failure, FailureStep, PodSource,
    spec::{
        env::{self, EnvFile, EnvFileFailure, EnvInputs, Missing, ObjectKind, Services},
        field_ref::FieldContext,
    },
};
use rustix::fs::{Mode, OFlags, ResolveFlags};
use seams::ObjectError;

use super::{Executor, Scene, failed};

/// Largest file of variables that is read.
const MAX_ENV_FILE: u64 = 64 << 10;

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
        let read_file = |selector: &FileKeySelector| read_env_file(scene, selector);
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

/// Reads the file that `fileKeyRef` names: beneath its volume, through no symlink.
fn read_env_file(scene: &Scene, selector: &FileKeySelector) -> Result<EnvFile, EnvFileFailure> {
    let root = scene.session.mounted.lock().get(&selector.volume_name).map(|volume| volume.host_path.clone());
    let root = root.ok_or(EnvFileFailure::NoVolume)?;
    let text =
        read_beneath(&root, &selector.path).map_err(|error| EnvFileFailure::Unreadable(error.to_string()))?;
    Ok(EnvFile { path: root.join(&selector.path).display().to_string(), text })
}

fn read_beneath(root: &Path, path: &str) -> std::io::Result<String> {
    use std::io::Read;
    let dir = rustix::fs::open(root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let file = rustix::fs::openat2(
        dir,
        path,
        OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC,
        Mode::empty(),
        ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS,
    )?;
    let file = std::fs::File::from(file);
    if !file.metadata()?.is_file() {
        return Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, "not a regular file"));
    }
    let mut text = String::new();
    file.take(MAX_ENV_FILE).read_to_string(&mut text)?;
    Ok(text)
}
