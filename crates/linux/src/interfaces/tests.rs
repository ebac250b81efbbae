use super::*;

#[test]
fn v4_default_routes_by_metric() {
    let table = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
wlan0\t00000000\t0100A8C0\t0003\t0\t0\t600\t00000000\t0\t0\t0
eth0\t00000000\t010200C0\t0003\t0\t0\t100\t00000000\t0\t0\t0
down0\t00000000\t010200C0\t0002\t0\t0\t0\t00000000\t0\t0\t0
no0\t00000000\t00000000\t0201\t0\t0\t0\t00000000\t0\t0\t0
eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
half0\t00000000\t00000000\t0001\t0\t0\t0\t00000080\t0\t0\t0
";
    assert_eq!(v4_defaults(table), [(Family::V4, "eth0".to_owned()), (Family::V4, "wlan0".to_owned())]);
    assert!(v4_defaults("").is_empty());
}

#[test]
fn v6_default_routes_without_the_rejecting_ones() {
    let zero = "00000000000000000000000000000000";
    let hop = "fe800000000000000000000000000001";
    let table = format!(
        "{zero} 00 {zero} 00 {hop} 00000400 00000001 00000000 00000003     eth0
{zero} 00 {zero} 00 {hop} 00000100 00000001 00000000 00000003     eth1
{zero} 00 {zero} 00 {zero} ffffffff 00000001 00000000 00200200       lo
{zero} 01 {zero} 00 {hop} 00000001 00000001 00000000 00000003     eth2
20010db8000000000000000000000000 40 {zero} 00 {zero} 00000100 00000001 00000000 00000001     eth0
"
    );
    assert_eq!(v6_defaults(&table), [(Family::V6, "eth1".to_owned()), (Family::V6, "eth0".to_owned())]);
}

#[test]
fn this_machine_has_a_loopback_interface() {
    let network = host_network().unwrap();
    let lo = network.interfaces.iter().find(|interface| interface.name == "lo").unwrap();
    assert!(lo.loopback);
    let names: std::collections::BTreeSet<_> = network.interfaces.iter().map(|one| &one.name).collect();
    assert_eq!(names.len(), network.interfaces.len(), "each once");
    if lo.up {
        assert!(lo.addresses.contains(&IpAddr::V4(Ipv4Addr::LOCALHOST)), "{lo:?}");
    }
}
