use super::*;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn network() -> HostNetwork {
    let interface = |name: &str, up, loopback, addresses: &[&str]| Interface {
        name: name.to_owned(),
        up,
        loopback,
        addresses: addresses.iter().map(|text| ip(text)).collect(),
    };
    HostNetwork {
        interfaces: vec![
            interface("lo", true, true, &["127.0.0.1", "::1", "10.9.9.9"]),
            interface("eth0", true, false, &["169.254.1.1", "192.0.2.2", "fe80::1", "2001:db8::2"]),
            interface("eth1", false, false, &["198.51.100.1"]),
        ],
        default_routes: vec![(Family::V4, "eth0".to_owned()), (Family::V6, "eth0".to_owned())],
    }
}

struct Case {
    hostname: &'static str,
    node_ips: Vec<IpAddr>,
    resolved: Vec<IpAddr>,
    network: HostNetwork,
    cloud: CloudProvider,
}

impl Default for Case {
    fn default() -> Self {
        Self {
            hostname: "node",
            node_ips: vec![],
            resolved: vec![],
            network: network(),
            cloud: CloudProvider::None,
        }
    }
}

impl Case {
    fn choose(&self, reported: &[NodeAddress]) -> Result<AddressChoice, AddressError> {
        let inputs = AddressInputs {
            node_name: "node",
            hostname: self.hostname,
            node_ips: &self.node_ips,
            resolved: &self.resolved,
            network: &self.network,
            cloud: self.cloud,
        };
        choose(&inputs, reported)
    }

    fn shown(&self) -> String {
        let chosen = self.choose(&[]).unwrap().addresses.unwrap();
        let all: Vec<_> = chosen.iter().map(|one| format!("{}={}", one.type_, one.address)).collect();
        all.join(" ")
    }
}

#[test]
fn each_source_in_its_turn() {
    assert_eq!(
        Case::default().shown(),
        "InternalIP=192.0.2.2 Hostname=node",
        "default route, not link-local"
    );
    let v6 = Case { node_ips: vec![ip("::")], ..Case::default() };
    assert_eq!(v6.shown(), "InternalIP=2001:db8::2 Hostname=node");
    let named = Case { hostname: "203.0.113.7", resolved: vec![ip("192.0.2.2")], ..Case::default() };
    assert_eq!(named.shown(), "InternalIP=203.0.113.7 Hostname=203.0.113.7");
    let given = Case { node_ips: vec![ip("10.9.9.9")], ..Case::default() };
    assert_eq!(given.shown(), "InternalIP=10.9.9.9 Hostname=node");
    let dual = Case { node_ips: vec![ip("2001:db8::2"), ip("192.0.2.2")], ..Case::default() };
    assert_eq!(dual.shown(), "InternalIP=2001:db8::2 InternalIP=192.0.2.2 Hostname=node");
}

#[test]
fn names_resolve_to_local_addresses_of_the_wanted_family() {
    let resolved = vec![ip("127.0.0.1"), ip("203.0.113.1"), ip("2001:db8::2"), ip("10.9.9.9")];
    let v4 = Case { resolved: resolved.clone(), ..Case::default() };
    assert_eq!(v4.shown(), "InternalIP=10.9.9.9 Hostname=node");
    let v6 = Case { resolved: resolved.clone(), node_ips: vec![ip("::")], ..Case::default() };
    assert_eq!(v6.shown(), "InternalIP=2001:db8::2 Hostname=node");
    let only_v6 = Case { resolved: vec![ip("2001:db8::2")], ..Case::default() };
    assert_eq!(only_v6.shown(), "InternalIP=2001:db8::2 Hostname=node");
}

#[test]
fn unusable_addresses_say_why() {
    let why = |text: &str| validate(ip(text), &network());
    assert_eq!(why("192.0.2.2"), Ok(()));
    assert_eq!(why("::ffff:192.0.2.2"), Ok(()));
    assert_eq!(why("127.0.0.1"), Err(UnusableAddress::Loopback));
    assert_eq!(why("::1"), Err(UnusableAddress::Loopback));
    assert_eq!(why("224.0.0.1"), Err(UnusableAddress::Multicast));
    assert_eq!(why("169.254.1.1"), Err(UnusableAddress::LinkLocal));
    assert_eq!(why("fe80::1"), Err(UnusableAddress::LinkLocal));
    assert_eq!(why("0.0.0.0"), Err(UnusableAddress::Unspecified));
    let foreign = Case { node_ips: vec![ip("203.0.113.9")], ..Case::default() };
    assert_eq!(
        foreign.choose(&[]).unwrap_err().to_string(),
        "failed to validate nodeIP: node IP: \"203.0.113.9\" not found in the host's network interfaces"
    );
}

#[test]
fn loopback_stands_in_for_a_route_over_link_local_addresses() {
    let mut bgp = network();
    bgp.interfaces[1].addresses = vec![ip("fe80::1")];
    let case = Case { network: bgp.clone(), ..Case::default() };
    assert_eq!(case.shown(), "InternalIP=10.9.9.9 Hostname=node");
    bgp.interfaces[0].addresses.clear();
    assert!(matches!(
        Case { network: bgp, ..Case::default() }.choose(&[]),
        Err(AddressError::NotFound { .. })
    ));
    let mut down = network();
    down.default_routes = vec![(Family::V4, "eth1".to_owned())];
    down.interfaces[0].addresses.pop();
    assert!(Case { network: down, ..Case::default() }.choose(&[]).is_err(), "an interface that is down");
}

#[test]
fn pods_are_shown_one_address_of_each_family() {
    let shown = |addresses: &[(&str, &str)]| {
        let addresses: Vec<_> = addresses
            .iter()
            .map(|(kind, text)| NodeAddress { type_: (*kind).to_owned(), address: (*text).to_owned() })
            .collect();
        host_ips(&addresses).join(" ")
    };
    let (internal, external) = ("InternalIP", "ExternalIP");
    assert_eq!(shown(&[(internal, "192.0.2.1"), (internal, "192.0.2.2")]), "192.0.2.1");
    let three = [(internal, "192.0.2.1"), (internal, "192.0.2.2"), (internal, "2001:db8::1")];
    assert_eq!(shown(&three), "192.0.2.1 2001:db8::1");
    assert_eq!(shown(&[(external, "203.0.113.1"), ("Hostname", "n")]), "203.0.113.1");
    assert_eq!(shown(&[(external, "203.0.113.1"), (internal, "2001:db8::1")]), "2001:db8::1 203.0.113.1");
    assert_eq!(shown(&[("Hostname", "192.0.2.1"), (internal, "not an address")]), "");
}

#[test]
fn an_external_cloud_has_the_last_word() {
    let external = Case { cloud: CloudProvider::External, ..Case::default() };
    assert_eq!(external.shown(), "Hostname=node");
    let given = Case {
        node_ips: vec![ip("192.0.2.2"), ip("2001:db8::2")],
        cloud: CloudProvider::External,
        ..Case::default()
    };
    let first = given.choose(&[]).unwrap();
    assert_eq!(first.provided_ip.as_deref(), Some("192.0.2.2,2001:db8::2"));
    assert_eq!(first.host_ips(), ["192.0.2.2", "2001:db8::2"]);
    let reported = first.addresses.unwrap();
    assert_eq!(given.choose(&reported).unwrap().addresses, None, "kept");
    assert_eq!(Case::default().choose(&reported).unwrap().provided_ip, None);
}
