//! Which addresses the node reports (contract §2.2).
//!
//! In this order: what `--node-ip` says, the node's name if it is an address itself, what the name resolves to, the
//! address of the interface that holds the default route. IPv4 is preferred, unless `--node-ip` asks for IPv6 (`::`).

use std::net::IpAddr;

use k8s_openapi::api::core::v1::NodeAddress;

/// Annotation that tells an external cloud provider which addresses were configured.
pub const PROVIDED_IP_ANNOTATION: &str = "alpha.kubernetes.io/provided-node-ip";

/// A network interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interface {
    /// Name.
    pub name: String,
    /// It is up.
    pub up: bool,
    /// It is the loopback interface.
    pub loopback: bool,
    /// Addresses, in the kernel's order.
    pub addresses: Vec<IpAddr>,
}

/// IP family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    fn of(ip: IpAddr) -> Self {
        if ip.is_ipv4() { Self::V4 } else { Self::V6 }
    }
}

/// Interfaces and default routes of the machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostNetwork {
    /// Interfaces.
    pub interfaces: Vec<Interface>,
    /// (family, interface) of every default route, best first.
    pub default_routes: Vec<(Family, String)>,
}

impl HostNetwork {
    fn owns(&self, ip: IpAddr) -> bool {
        self.interfaces.iter().any(|interface| interface.addresses.contains(&ip))
    }
}

/// Why a node has no address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// An address may not be used as a node address, or is not the machine's.
    #[error("failed to validate nodeIP: {0}")]
    Unusable(UnusableAddress),
    /// Nothing was found.
    #[error(
        "can't get ip address of node {node_name}. error: unable to select an IP from default routes.; hint: set \
         --node-ip"
    )]
    NotFound {
        /// Node name.
        node_name: String,
    },
}

/// What is wrong with one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnusableAddress {
    /// 127.0.0.0/8, ::1.
    #[error("nodeIP can't be loopback address")]
    Loopback,
    /// 224.0.0.0/4, ff00::/8.
    #[error("nodeIP can't be a multicast address")]
    Multicast,
    /// 169.254.0.0/16, fe80::/10.
    #[error("nodeIP can't be a link-local unicast address")]
    LinkLocal,
    /// 0.0.0.0, ::.
    #[error("nodeIP can't be an all zeros address")]
    Unspecified,
    /// Not on an interface.
    #[error("node IP: \"{0}\" not found in the host's network interfaces")]
    Foreign(IpAddr),
}

fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}

/// Checks an address for being the node's.
///
/// # Errors
/// [`UnusableAddress`].
pub fn validate(ip: IpAddr, network: &HostNetwork) -> Result<(), UnusableAddress> {
    // As upstream: an IPv4 address inside IPv6 is that IPv4 address.
    let ip = ip.to_canonical();
    if ip.is_loopback() {
        Err(UnusableAddress::Loopback)
    } else if ip.is_multicast() {
        Err(UnusableAddress::Multicast)
    } else if is_link_local(ip) {
        Err(UnusableAddress::LinkLocal)
    } else if ip.is_unspecified() {
        Err(UnusableAddress::Unspecified)
    } else if network.owns(ip) {
        Ok(())
    } else {
        Err(UnusableAddress::Foreign(ip))
    }
}

/// Who sets the node's addresses in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloudProvider {
    /// The kubelet alone.
    None,
    /// An external one (`--cloud-provider=external`): what it has set is kept.
    External,
}

/// Everything that the choice depends on.
#[derive(Clone, Debug)]
pub struct AddressInputs<'a> {
    /// Node name.
    pub node_name: &'a str,
    /// Hostname, or its override.
    pub hostname: &'a str,
    /// `--node-ip`: none, one, or one of each family.
    pub node_ips: &'a [IpAddr],
    /// What the node name resolves to, in the resolver's order.
    pub resolved: &'a [IpAddr],
    /// Interfaces and routes.
    pub network: &'a HostNetwork,
    /// Cloud provider.
    pub cloud: CloudProvider,
}

/// Addresses and annotation of the node.
#[derive(Clone, Debug, PartialEq)]
pub struct AddressChoice {
    /// New `status.addresses`; `None` keeps those that are there.
    pub addresses: Option<Vec<NodeAddress>>,
    /// Value of [`PROVIDED_IP_ANNOTATION`]; `None` removes it.
    pub provided_ip: Option<String>,
}

impl AddressChoice {
    /// As [`host_ips`].
    #[must_use]
    pub fn host_ips(&self) -> Vec<String> {
        host_ips(self.addresses.as_deref().unwrap_or_default())
    }
}

/// What pods show as `status.hostIPs`: the first `InternalIP`, or else the first `ExternalIP`, and the first of the other
/// family. The API takes no more than one of each.
#[must_use]
pub fn host_ips(addresses: &[NodeAddress]) -> Vec<String> {
    let of = |kind: &'static str| addresses.iter().filter(move |address| address.type_ == kind);
    let ips = of("InternalIP").chain(of("ExternalIP")).map(|address| &address.address);
    let ips: Vec<_> = ips.filter_map(|text| Some((text, text.parse::<IpAddr>().ok()?))).collect();
    let Some((first, primary)) = ips.first() else { return Vec::new() };
    let other = ips.iter().find(|(_, ip)| ip.is_ipv6() != primary.is_ipv6());
    std::iter::once(first).chain(other.map(|(text, _)| text)).map(|text| (*text).clone()).collect()
}

/// Chooses. `reported` are the addresses that the node object has now.
///
/// # Errors
/// [`AddressError`]; the node keeps the addresses it has.
pub fn choose(inputs: &AddressInputs<'_>, reported: &[NodeAddress]) -> Result<AddressChoice, AddressError> {
    let given: Vec<IpAddr> =
        inputs.node_ips.iter().take(2).copied().filter(|ip| !ip.is_unspecified()).collect();
    let specified = inputs.node_ips.first().filter(|ip| !ip.is_unspecified());
    for ip in &given {
        validate(*ip, inputs.network).map_err(AddressError::Unusable)?;
    }
    let external = inputs.cloud == CloudProvider::External;
    let provided_ip = (external && specified.is_some())
        .then(|| given.iter().map(ToString::to_string).collect::<Vec<_>>().join(","));
    if external && !reported.is_empty() {
        return Ok(AddressChoice { addresses: None, provided_ip });
    }
    let mut addresses: Vec<NodeAddress> = if external && inputs.node_ips.is_empty() {
        Vec::new()
    } else if given.len() == 2 {
        given.iter().map(|ip| internal(*ip)).collect()
    } else {
        vec![internal(primary(inputs, specified.copied())?)]
    };
    addresses.push(NodeAddress { type_: "Hostname".to_owned(), address: inputs.hostname.to_owned() });
    Ok(AddressChoice { addresses: Some(addresses), provided_ip })
}

fn internal(ip: IpAddr) -> NodeAddress {
    NodeAddress { type_: "InternalIP".to_owned(), address: ip.to_string() }
}

fn primary(inputs: &AddressInputs<'_>, specified: Option<IpAddr>) -> Result<IpAddr, AddressError> {
    if let Some(ip) = specified {
        return Ok(ip);
    }
    if let Ok(ip) = inputs.hostname.parse() {
        return Ok(ip);
    }
    let preferred = inputs.node_ips.first().map_or(Family::V4, |ip| Family::of(*ip));
    let mut usable = inputs.resolved.iter().copied().filter(|ip| validate(*ip, inputs.network).is_ok());
    let first = usable.clone().next();
    if let Some(ip) = usable.find(|ip| Family::of(*ip) == preferred).or(first) {
        return Ok(ip);
    }
    let other = if preferred == Family::V4 { Family::V6 } else { Family::V4 };
    [preferred, other]
        .into_iter()
        .find_map(|family| by_default_route(inputs.network, family))
        .ok_or_else(|| AddressError::NotFound { node_name: inputs.node_name.to_owned() })
}

/// Address of the interface with the default route; when that one has link-local addresses only, the address on
/// loopback (RFC 5549 setups).
fn by_default_route(network: &HostNetwork, family: Family) -> Option<IpAddr> {
    let global = |interface: &Interface| {
        let candidates = interface.addresses.iter().filter(|_| interface.up);
        candidates.copied().find(|ip| Family::of(*ip) == family && is_global_unicast(*ip))
    };
    network.default_routes.iter().filter(|(of, _)| *of == family).find_map(|(_, name)| {
        let by_name = network.interfaces.iter().find(|interface| interface.name == *name);
        by_name
            .and_then(global)
            .or_else(|| network.interfaces.iter().filter(|interface| interface.loopback).find_map(global))
    })
}

/// Go's notion: private addresses count, special ones do not.
fn is_global_unicast(ip: IpAddr) -> bool {
    let broadcast = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast());
    !(broadcast || ip.is_unspecified() || ip.is_loopback() || ip.is_multicast() || is_link_local(ip))
}

#[cfg(test)]
mod tests;
