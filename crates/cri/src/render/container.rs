//! A container's configuration.

use std::borrow::Cow;

use k8s_openapi::api::core::v1::{Container, Pod};
use lifecycle::spec::ephemeral;
use proto::cri::{
    ContainerConfig, ContainerMetadata, IdMapping, ImageSpec, KeyValue, LinuxContainerConfig, Mount,
    MountPropagation,
};
use seams::runtime::{ContainerMount, ContainerRequest, Propagation};

use super::{
    HostFacts, RenderError, annotations, labels, resources, security,
    user::{self, ImageUser},
};

/// A container of any kind, with the container whose processes it wants to see.
#[derive(Clone, Debug)]
pub struct Found<'a> {
    /// The fields that all kinds share.
    pub container: Cow<'a, Container>,
    /// `targetContainerName` of an ephemeral container; empty means none.
    pub target: Option<String>,
}

/// Finds a container by name among regular, init and ephemeral ones.
#[must_use]
pub fn find<'a>(pod: &'a Pod, name: &str) -> Option<Found<'a>> {
    let spec = pod.spec.as_ref()?;
    let mut plain = spec.containers.iter().chain(spec.init_containers.iter().flatten());
    if let Some(container) = plain.find(|c| c.name == name) {
        return Some(Found { container: Cow::Borrowed(container), target: None });
    }
    let found = spec.ephemeral_containers.iter().flatten().find(|c| c.name == name)?;
    let container = ephemeral::as_container(found);
    let target = found.target_container_name.clone().filter(|t| !t.is_empty());
    Some(Found { container: Cow::Owned(container), target })
}

/// Renders it. `target` is the runtime's id of the container named by [`Found::target`].
///
/// # Errors
/// What the container asks for cannot be (contract §15): the caller reports `CreateContainerConfigError`.
pub fn config(
    request: &ContainerRequest,
    found: &Found<'_>,
    target: Option<&str>,
    host: &HostFacts,
) -> Result<ContainerConfig, RenderError> {
    let pod = request.sandbox.pod.as_ref();
    let container = found.container.as_ref();
    let image = ImageUser::of(&request.image);
    user::verify_non_root(pod, container, &security::Effective::of(pod, container), &image)?;
    security::verify_user_namespace(&request.sandbox)?;
    let security_context = security::of_container(&request.sandbox, container, &image, target, host)?;
    let ids: Vec<_> = request.sandbox.user_namespace.map(security::id_mapping).into_iter().collect();
    Ok(ContainerConfig {
        metadata: Some(ContainerMetadata { name: container.name.clone(), attempt: request.attempt }),
        image: Some(ImageSpec {
            image: request.image_ref.clone(),
            user_specified_image: container.image.clone().unwrap_or_default(),
            ..Default::default()
        }),
        command: request.command.clone(),
        args: request.args.clone(),
        working_dir: container.working_dir.clone().unwrap_or_default(),
        envs: request
            .env
            .iter()
            .map(|(key, value)| KeyValue { key: key.clone(), value: value.clone() })
            .collect(),
        mounts: request.mounts.iter().map(|m| mount(m, &ids, host)).collect(),
        labels: labels::of_container(pod, &container.name),
        annotations: annotations::of_container(pod, container, request.attempt),
        log_path: request.log_path.clone(),
        stdin: container.stdin.unwrap_or(false),
        stdin_once: container.stdin_once.unwrap_or(false),
        tty: container.tty.unwrap_or(false),
        linux: Some(LinuxContainerConfig {
            resources: Some(resources::to_wire(&request.resources)),
            security_context: Some(security_context),
        }),
        ..Default::default()
    })
}

/// With a user namespace, files belong in the container to whom they belong on the node: the runtime maps the ids of
/// each mount.
fn mount(mount: &ContainerMount, ids: &[IdMapping], host: &HostFacts) -> Mount {
    let propagation = match mount.propagation {
        Propagation::Private => MountPropagation::PropagationPrivate,
        Propagation::HostToContainer => MountPropagation::PropagationHostToContainer,
        Propagation::Bidirectional => MountPropagation::PropagationBidirectional,
    };
    Mount {
        container_path: mount.container_path.clone(),
        host_path: mount.host_path.clone(),
        readonly: mount.read_only,
        selinux_relabel: mount.selinux_relabel && host.selinux,
        propagation: propagation as i32,
        uid_mappings: ids.to_vec(),
        gid_mappings: ids.to_vec(),
        recursive_read_only: mount.recursive_read_only,
        ..Default::default()
    }
}
