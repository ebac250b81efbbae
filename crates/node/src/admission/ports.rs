//! Host ports: one protocol, address and port is one pod's.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{ContainerPort, Pod};

use crate::resources;

/// Address that stands for all.
const ANY: &str = "0.0.0.0";

type HostPort<'a> = (&'a str, i32, &'a str);

/// Whether a host port of the pod is taken by another pod.
pub(super) fn conflict(pod: &Pod, others: &[&Pod]) -> bool {
    let wanted: Vec<_> = host_ports(pod).collect();
    if wanted.is_empty() {
        return false;
    }
    let used: BTreeSet<HostPort<'_>> = others.iter().flat_map(|other| host_ports(other)).collect();
    wanted.iter().any(|(protocol, port, ip)| {
        used.iter().any(|(used_protocol, used_port, used_ip)| {
            used_protocol == protocol && used_port == port && (*ip == ANY || *used_ip == ANY || ip == used_ip)
        })
    })
}

/// Ports of containers that run as long as the pod: sidecars and regular ones.
fn host_ports(pod: &Pod) -> impl Iterator<Item = HostPort<'_>> {
    let spec = pod.spec.as_ref();
    let init = spec.and_then(|spec| spec.init_containers.as_deref()).unwrap_or_default();
    let regular = spec.map(|spec| spec.containers.as_slice()).unwrap_or_default();
    let lasting = init.iter().filter(|container| resources::is_sidecar(container)).chain(regular);
    lasting.flat_map(|container| container.ports.iter().flatten()).filter_map(host_port)
}

fn host_port(port: &ContainerPort) -> Option<HostPort<'_>> {
    let number = port.host_port.filter(|number| *number > 0)?;
    let protocol = port.protocol.as_deref().filter(|text| !text.is_empty()).unwrap_or("TCP");
    let ip = port.host_ip.as_deref().filter(|text| !text.is_empty()).unwrap_or(ANY);
    Some((protocol, number, ip))
}
