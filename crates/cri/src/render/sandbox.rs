//! A sandbox's configuration.

use node::admission::sysctls::normalized;
use proto::cri::{DnsConfig, LinuxPodSandboxConfig, PodSandboxConfig, PodSandboxMetadata};
use seams::runtime::{LinuxResources, SandboxRequest};

use super::{RenderError, labels, ports, resources, security};

/// Renders it. The same request always gives the same bytes: containers are created and images pulled with it again.
///
/// # Errors
/// What the pod asks for cannot be.
pub fn config(request: &SandboxRequest) -> Result<PodSandboxConfig, RenderError> {
    let pod = request.pod.as_ref();
    let spec = pod.spec.as_ref();
    let sysctls = spec.and_then(|s| s.security_context.as_ref()).and_then(|c| c.sysctls.as_ref());
    let unset = LinuxResources::default();
    Ok(PodSandboxConfig {
        metadata: Some(PodSandboxMetadata {
            name: pod.metadata.name.clone().unwrap_or_default(),
            uid: pod.metadata.uid.clone().unwrap_or_default(),
            namespace: pod.metadata.namespace.clone().unwrap_or_default(),
            attempt: request.attempt,
        }),
        hostname: request.hostname.clone(),
        log_directory: request.log_directory.clone(),
        dns_config: Some(DnsConfig {
            servers: request.dns.servers.clone(),
            searches: request.dns.searches.clone(),
            options: request.dns.options.clone(),
        }),
        port_mappings: ports::of_pod(pod),
        labels: labels::of_sandbox(pod),
        annotations: pod.metadata.annotations.clone().unwrap_or_default(),
        linux: Some(LinuxPodSandboxConfig {
            cgroup_parent: request.cgroup_parent.clone(),
            security_context: Some(security::of_sandbox(pod, request.user_namespace)?),
            sysctls: sysctls.into_iter().flatten().map(|s| (normalized(&s.name), s.value.clone())).collect(),
            overhead: Some(resources::to_wire(request.overhead.as_ref().unwrap_or(&unset))),
            resources: Some(resources::to_wire(request.resources.as_ref().unwrap_or(&unset))),
        }),
        windows: None,
    })
}
