//! The agent's requests as messages of CRI: as much of the edge's rendering as tests look at.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod;
use lifecycle::spec::hash::{container_hash, container_hash_text};
use proto::cri::{
    ContainerConfig, ContainerMetadata, ImageSpec, KeyValue, LinuxPodSandboxConfig,
    LinuxSandboxSecurityContext, Mount, NamespaceMode, NamespaceOption, PodSandboxConfig, PodSandboxMetadata,
};
use seams::runtime::{ContainerRequest, SandboxRequest};

use super::{GRACE, HASH, UID};

const POD: &str = "io.kubernetes.pod.name";
const NAMESPACE: &str = "io.kubernetes.pod.namespace";

fn labels(pod: &Pod) -> BTreeMap<String, String> {
    let meta = &pod.metadata;
    BTreeMap::from([
        (UID.to_owned(), meta.uid.clone().unwrap_or_default()),
        (POD.to_owned(), meta.name.clone().unwrap_or_default()),
        (NAMESPACE.to_owned(), meta.namespace.clone().unwrap_or_default()),
    ])
}

pub(super) fn sandbox_config(request: &SandboxRequest) -> PodSandboxConfig {
    let pod = &request.pod;
    let host = pod.spec.as_ref().and_then(|s| s.host_network) == Some(true);
    let network = if host { NamespaceMode::Node } else { NamespaceMode::Pod };
    PodSandboxConfig {
        metadata: Some(PodSandboxMetadata {
            name: pod.metadata.name.clone().unwrap_or_default(),
            uid: pod.metadata.uid.clone().unwrap_or_default(),
            namespace: pod.metadata.namespace.clone().unwrap_or_default(),
            attempt: request.attempt,
        }),
        hostname: request.hostname.clone(),
        log_directory: request.log_directory.clone(),
        labels: labels(pod),
        annotations: pod.metadata.annotations.clone().unwrap_or_default(),
        linux: Some(LinuxPodSandboxConfig {
            cgroup_parent: request.cgroup_parent.clone(),
            security_context: Some(LinuxSandboxSecurityContext {
                namespace_options: Some(NamespaceOption { network: network as i32, ..Default::default() }),
                ..Default::default()
            }),
            ..Default::default()
        }),
        ..Default::default()
    }
}

pub(super) fn container_config(request: &ContainerRequest, image: &str) -> ContainerConfig {
    let pod = &request.sandbox.pod;
    let name = request.name.as_str();
    let mut annotations =
        BTreeMap::from([(HASH.to_owned(), container_hash_text(container_hash(name, image)))]);
    if let Some(grace) = pod.spec.as_ref().and_then(|s| s.termination_grace_period_seconds) {
        annotations.insert(GRACE.to_owned(), grace.to_string());
    }
    ContainerConfig {
        metadata: Some(ContainerMetadata { name: name.to_owned(), attempt: request.attempt }),
        image: Some(ImageSpec {
            image: request.image_ref.clone(),
            user_specified_image: image.to_owned(),
            ..Default::default()
        }),
        command: request.command.clone(),
        args: request.args.clone(),
        envs: request
            .env
            .iter()
            .map(|(key, value)| KeyValue { key: key.clone(), value: value.clone() })
            .collect(),
        mounts: request
            .mounts
            .iter()
            .map(|m| Mount {
                container_path: m.container_path.clone(),
                host_path: m.host_path.clone(),
                readonly: m.read_only,
                ..Default::default()
            })
            .collect(),
        labels: labels(pod),
        annotations,
        log_path: request.log_path.clone(),
        ..Default::default()
    }
}
