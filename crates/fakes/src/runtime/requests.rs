//! Requests as tests want them: of a pod, with everything empty that no test looks at.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use lifecycle::{SandboxId, spec::containers::image_of};
use seams::runtime::{ContainerRequest, ImageInfo, LinuxResources, SandboxRequest};

/// For the first sandbox of a pod.
pub fn sandbox_request(pod: impl Into<Arc<Pod>>) -> SandboxRequest {
    SandboxRequest {
        pod: pod.into(),
        attempt: 0,
        runtime_handler: String::new(),
        hostname: String::new(),
        dns: lifecycle::spec::dns::DnsConfig::default(),
        log_directory: String::new(),
        cgroup_parent: String::new(),
        overhead: None,
        resources: None,
        seccomp_default: false,
        seccomp_root: String::new(),
        user_namespace: None,
    }
}

/// For a container of that sandbox's pod. The runtime knows its image by the name that the spec has; it logs into
/// `<name>/<attempt>.log`.
#[must_use]
pub fn container_request(
    sandbox: &SandboxRequest,
    sandbox_id: &SandboxId,
    name: &str,
    attempt: u32,
) -> ContainerRequest {
    let image = sandbox.pod.spec.as_ref().and_then(|spec| image_of(spec, name));
    ContainerRequest {
        sandbox: sandbox.clone(),
        sandbox_id: sandbox_id.clone(),
        name: name.into(),
        attempt,
        image_ref: image.unwrap_or_default().to_owned(),
        image: ImageInfo::default(),
        command: Vec::new(),
        args: Vec::new(),
        env: Vec::new(),
        mounts: Vec::new(),
        resources: LinuxResources::default(),
        log_path: format!("{name}/{attempt}.log"),
    }
}
