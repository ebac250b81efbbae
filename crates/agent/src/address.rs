//! Addresses inside a pod, as probes and hooks name them.

use std::net::IpAddr;

use k8s_openapi::{api::core::v1::ContainerPort, apimachinery::pkg::util::intstr::IntOrString};

/// A port number, or the number of the container's port of that name; `None` when it is neither.
pub(crate) fn port(port: &IntOrString, ports: &[ContainerPort]) -> Option<u16> {
    let number = match port {
        IntOrString::Int(number) => Some(*number),
        IntOrString::String(name) => {
            let named = ports.iter().find(|port| port.name.as_deref() == Some(name));
            named.map(|port| port.container_port).or_else(|| name.parse().ok())
        }
    };
    number.and_then(|number| u16::try_from(number).ok()).filter(|number| *number > 0)
}

/// Upstream's error about a port that is neither.
pub(crate) fn no_port(port: &IntOrString) -> String {
    let shown = match port {
        IntOrString::Int(number) => number.to_string(),
        IntOrString::String(name) => name.clone(),
    };
    format!("invalid port number: {shown}")
}

/// A host as it stands in a URL: IPv6 addresses in brackets.
pub(crate) fn bracketed(host: &str) -> String {
    match host.parse::<IpAddr>() {
        Ok(IpAddr::V6(_)) => format!("[{host}]"),
        _ => host.to_owned(),
    }
}
