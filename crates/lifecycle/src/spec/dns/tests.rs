use k8s_openapi::api::core::v1::{PodDNSConfig, PodSpec};

use super::*;

fn pod(policy: &str, host_network: bool, wanted: Option<PodDNSConfig>) -> Pod {
    let mut pod = Pod {
        spec: Some(PodSpec {
            dns_policy: Some(policy.to_owned()),
            host_network: Some(host_network),
            dns_config: wanted,
            ..PodSpec::default()
        }),
        ..Pod::default()
    };
    pod.metadata.name = Some("web".into());
    pod.metadata.namespace = Some("ns".into());
    pod.metadata.uid = Some("u1".into());
    pod
}

fn strings(values: &[&str]) -> Vec<String> {
    values.iter().map(|value| (*value).to_owned()).collect()
}

fn config(servers: &[&str], searches: &[&str], options: &[&str]) -> DnsConfig {
    DnsConfig { servers: strings(servers), searches: strings(searches), options: strings(options) }
}

fn node() -> ResolvConf {
    ResolvConf::File(config(&["192.0.2.1"], &["corp.example", "svc.cluster.local"], &["timeout:2"]))
}

fn cluster() -> ClusterDns {
    ClusterDns { servers: strings(&["10.96.0.10"]), domain: "cluster.local".into() }
}

#[test]
fn reading_a_file() {
    let text = "# c\n nameserver 1.1.1.1 junk\n;nameserver 9.9.9.9\nnameserver\t2.2.2.2\nsearch a b\nsearch x. . y\n\
                options ndots:1 rotate\noptions ndots:7\nsortlist 1\n";
    assert_eq!(
        parse_resolv_conf(text),
        Ok(ResolvConf::File(config(&["1.1.1.1", "2.2.2.2"], &["x", "y"], &["ndots:7", "rotate"])))
    );
    assert_eq!(parse_resolv_conf(""), Ok(ResolvConf::File(DnsConfig::default())));
    assert_eq!(
        parse_resolv_conf("nameserver\nnameserver 1.1.1.1").unwrap_err().to_string(),
        "nameserver list is empty "
    );
}

#[test]
fn policies() {
    let cluster_first = config(
        &["10.96.0.10"],
        &["ns.svc.cluster.local", "svc.cluster.local", "cluster.local", "corp.example"],
        &["ndots:5"],
    );
    let host = config(&["192.0.2.1"], &["corp.example", "svc.cluster.local"], &["timeout:2"]);
    for (policy, host_network, expected) in [
        ("ClusterFirst", false, &cluster_first),
        ("ClusterFirst", true, &host),
        ("ClusterFirstWithHostNet", true, &cluster_first),
        ("Default", false, &host),
        ("None", false, &DnsConfig::default()),
        ("Nonsense", false, &cluster_first),
    ] {
        let outcome = resolve(&pod(policy, host_network, None), &node(), &cluster(), &[]);
        assert_eq!(&outcome.config, expected, "{policy} {host_network}");
        assert!(outcome.events.is_empty());
    }
}

#[test]
fn without_a_cluster_domain_only_node_searches_remain() {
    let cluster = ClusterDns { domain: String::new(), ..cluster() };
    assert_eq!(
        resolve(&pod("ClusterFirst", false, None), &node(), &cluster, &[]).config.searches,
        ["corp.example", "svc.cluster.local"]
    );
}

#[test]
fn without_cluster_servers_falls_back_and_warns() {
    let outcome = resolve(&pod("ClusterFirst", false, None), &node(), &ClusterDns::default(), &[]);
    assert_eq!(outcome.config.servers, ["192.0.2.1"]);
    let text = "kubelet does not have ClusterDNS IP configured and cannot create Pod using \"ClusterFirst\" policy. Falling back to \"Default\" policy.";
    assert_eq!(outcome.node_events, [("MissingClusterDNS", text.to_owned())]);
    assert_eq!(outcome.events, [("MissingClusterDNS", format!("pod: \"web_ns(u1)\". {text}"))]);
}

#[test]
fn unset_resolver_file() {
    let pod = pod("Default", false, None);
    let run = |ips: &[&str]| resolve(&pod, &ResolvConf::Unset, &cluster(), &strings(ips)).config;
    assert_eq!(run(&[]), config(&["127.0.0.1"], &["."], &[]));
    assert_eq!(run(&["192.0.2.7", "fd00::7"]), config(&["127.0.0.1", "::1"], &["."], &[]));
}

#[test]
fn the_pods_own_settings_are_added() {
    let option = |name: &str, value: Option<&str>| PodDNSConfigOption {
        name: Some(name.into()),
        value: value.map(str::to_owned),
    };
    let wanted = PodDNSConfig {
        nameservers: Some(strings(&["10.96.0.10", "8.8.8.8"])),
        searches: Some(strings(&["cluster.local", "mine"])),
        options: Some(vec![option("ndots", Some("2")), option("edns0", None), option("use-vc", Some(""))]),
    };
    let outcome = resolve(&pod("ClusterFirst", false, Some(wanted)), &node(), &cluster(), &[]);
    assert_eq!(
        outcome.config,
        config(
            &["10.96.0.10", "8.8.8.8"],
            &["ns.svc.cluster.local", "svc.cluster.local", "cluster.local", "corp.example", "mine"],
            &["ndots:2", "edns0", "use-vc"]
        )
    );
}

#[test]
fn limits() {
    let wanted = PodDNSConfig {
        nameservers: Some(strings(&["1.1.1.1", "2.2.2.2", "3.3.3.3", "4.4.4.4"])),
        searches: Some((0..40).map(|n| format!("d{n}")).collect()),
        options: None,
    };
    let outcome = resolve(&pod("None", false, Some(wanted)), &node(), &cluster(), &[]);
    assert_eq!(outcome.config.servers, ["1.1.1.1", "2.2.2.2", "3.3.3.3"]);
    assert_eq!(outcome.config.searches.len(), 32);
    assert_eq!(
        outcome.events[0].1,
        "Nameserver limits were exceeded, some nameservers have been omitted, the applied nameserver line is: 1.1.1.1 2.2.2.2 3.3.3.3"
    );
    assert!(outcome.events[1].1.starts_with(
        "Search Line limits were exceeded, some search paths have been omitted, the applied search line is: d0 d1"
    ));
    assert!(outcome.events.iter().all(|(reason, _)| *reason == "DNSConfigForming"));

    let long = PodDNSConfig {
        searches: Some(
            (0..20).map(|n| format!("{n:03}{}", "a".repeat(125))).chain(["x".repeat(254)]).collect(),
        ),
        ..PodDNSConfig::default()
    };
    let searches = resolve(&pod("None", false, Some(long)), &node(), &cluster(), &[]).config.searches;
    // 15 × 128 + 14 spaces = 1934; one more would be 2063.
    assert_eq!(searches.len(), 15);
    assert!(searches.iter().all(|search| search.len() == 128));
}

#[test]
fn node_check() {
    let many = config(&[], &["d"; 30], &[]);
    assert_eq!(
        check_limits("/etc/resolv.conf", &many, &cluster()).unwrap(),
        "Resolv.conf file '/etc/resolv.conf' contains search line consisting of more than 29 domains!"
    );
    assert_eq!(check_limits("/etc/resolv.conf", &many, &ClusterDns::default()), None);
    let long = DnsConfig { searches: vec!["x".repeat(254)], ..DnsConfig::default() };
    assert!(
        check_limits("/r", &long, &cluster()).unwrap().contains("\"/r\" contains a search path which length")
    );
}
