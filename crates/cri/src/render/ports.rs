//! Port mappings of a sandbox: one for every declared port of the regular containers, host port or not, as upstream.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Container, ContainerPort, Pod};
use proto::cri::{PortMapping, Protocol};

/// Port mappings in the order of the spec. A second port of one container with the same name, or the same numbers
/// and address, is dropped.
#[must_use]
pub fn of_pod(pod: &Pod) -> Vec<PortMapping> {
    let containers = pod.spec.iter().flat_map(|s| &s.containers);
    containers.flat_map(of_container).collect()
}

fn of_container(container: &Container) -> Vec<PortMapping> {
    let mut seen = BTreeSet::new();
    let ports = container.ports.iter().flatten();
    ports.filter(|port| seen.insert(identity(port))).map(mapping).collect()
}

/// What makes two declarations the same port; address families are told apart.
fn identity(port: &ContainerPort) -> String {
    if let Some(name) = port.name.as_deref().filter(|n| !n.is_empty()) {
        return name.to_owned();
    }
    let host_ip = port.host_ip.as_deref().unwrap_or_default();
    let family = match host_ip {
        "" => "any",
        ip if ip.contains(':') => "v6",
        _ => "v4",
    };
    let protocol = port.protocol.as_deref().unwrap_or_default();
    format!("{family}-{protocol}-{host_ip}:{}:{}", port.container_port, port.host_port.unwrap_or(0))
}

fn mapping(port: &ContainerPort) -> PortMapping {
    let protocol = match port.protocol.as_deref() {
        Some("UDP") => Protocol::Udp,
        Some("SCTP") => Protocol::Sctp,
        _ => Protocol::Tcp,
    };
    PortMapping {
        protocol: protocol as i32,
        container_port: port.container_port,
        host_port: port.host_port.unwrap_or(0),
        host_ip: port.host_ip.clone().unwrap_or_default(),
    }
}
