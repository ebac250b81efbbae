//! Environment variables that point at services (contract §13): the `{NAME}_SERVICE_HOST` kind and the older links.

use std::{collections::BTreeMap, sync::Arc};

use k8s_openapi::api::core::v1::Service;

/// All services by (namespace, name).
pub type ServiceMap = BTreeMap<(String, String), Arc<Service>>;

fn variable_name(name: &str) -> String {
    name.replace('-', "_").to_uppercase()
}

fn cluster_ip(service: &Service) -> Option<&str> {
    let ip = service.spec.as_ref().and_then(|spec| spec.cluster_ip.as_deref())?;
    (!ip.is_empty() && ip != "None").then_some(ip)
}

/// Variables of one service, in upstream's order; empty for a headless one.
fn variables(service: &Service) -> Vec<(String, String)> {
    let Some(ip) = cluster_ip(service) else {
        return Vec::new();
    };
    let name = variable_name(service.metadata.name.as_deref().unwrap_or_default());
    let ports = service.spec.as_ref().and_then(|spec| spec.ports.as_deref()).unwrap_or_default();
    let mut out = vec![(format!("{name}_SERVICE_HOST"), ip.to_owned())];
    if let Some(first) = ports.first() {
        out.push((format!("{name}_SERVICE_PORT"), first.port.to_string()));
    }
    for port in ports {
        if let Some(port_name) = port.name.as_deref().filter(|text| !text.is_empty()) {
            out.push((format!("{name}_SERVICE_PORT_{}", variable_name(port_name)), port.port.to_string()));
        }
    }
    let host = if ip.contains(':') { format!("[{ip}]") } else { ip.to_owned() };
    for (index, port) in ports.iter().enumerate() {
        let protocol = port.protocol.as_deref().filter(|text| !text.is_empty()).unwrap_or("TCP");
        let scheme = protocol.to_lowercase();
        let url = format!("{scheme}://{host}:{}", port.port);
        if index == 0 {
            out.push((format!("{name}_PORT"), url.clone()));
        }
        let prefix = format!("{name}_PORT_{}_{}", port.port, protocol.to_uppercase());
        out.push((prefix.clone(), url));
        out.push((format!("{prefix}_PROTO"), scheme));
        out.push((format!("{prefix}_PORT"), port.port.to_string()));
        out.push((format!("{prefix}_ADDR"), ip.to_owned()));
    }
    out
}

/// Variables for a pod of `namespace`: of `default/kubernetes` always, of its own namespace's services with `links`.
/// Services come by name; a name that two services give has the later one's value.
#[must_use]
pub fn variables_for(services: &ServiceMap, namespace: &str, links: bool) -> Vec<(String, String)> {
    let mut chosen: BTreeMap<&str, &Arc<Service>> = BTreeMap::new();
    for ((service_namespace, name), service) in services {
        if cluster_ip(service).is_none() {
            continue;
        }
        if service_namespace == "default" && name == "kubernetes" {
            chosen.entry(name).or_insert(service);
        } else if links && service_namespace == namespace {
            chosen.insert(name, service);
        }
    }
    let mut out: Vec<(String, String)> = Vec::new();
    for (name, value) in chosen.into_values().flat_map(|service| variables(service)) {
        match out.iter_mut().find(|(known, _)| *known == name) {
            Some(known) => known.1 = value,
            None => out.push((name, value)),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::{ServicePort, ServiceSpec};

    use super::*;

    fn add(map: &mut ServiceMap, namespace: &str, name: &str, ip: &str, ports: &[(&str, i32, Option<&str>)]) {
        let mut service = Service {
            spec: Some(ServiceSpec {
                cluster_ip: Some(ip.into()),
                ports: Some(
                    ports
                        .iter()
                        .map(|(port_name, port, protocol)| ServicePort {
                            name: Some((*port_name).into()),
                            port: *port,
                            protocol: protocol.map(str::to_owned),
                            ..ServicePort::default()
                        })
                        .collect(),
                ),
                ..ServiceSpec::default()
            }),
            ..Service::default()
        };
        service.metadata.name = Some(name.into());
        map.insert((namespace.into(), name.into()), Arc::new(service));
    }

    fn services() -> ServiceMap {
        let mut map = ServiceMap::new();
        add(&mut map, "default", "kubernetes", "10.0.0.1", &[("https", 443, None)]);
        add(&mut map, "ns", "my-db", "10.0.0.2", &[("p-1", 80, Some("TCP")), ("", 53, Some("UDP"))]);
        add(&mut map, "ns", "headless", "None", &[("x", 1, None)]);
        add(&mut map, "ns", "external", "", &[]);
        add(&mut map, "ns", "six", "fd00::1", &[("", 8, None)]);
        add(&mut map, "other", "hidden", "10.0.0.3", &[("x", 1, None)]);
        map
    }

    fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
        list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    const KUBERNETES: [(&str, &str); 8] = [
        ("KUBERNETES_SERVICE_HOST", "10.0.0.1"),
        ("KUBERNETES_SERVICE_PORT", "443"),
        ("KUBERNETES_SERVICE_PORT_HTTPS", "443"),
        ("KUBERNETES_PORT", "tcp://10.0.0.1:443"),
        ("KUBERNETES_PORT_443_TCP", "tcp://10.0.0.1:443"),
        ("KUBERNETES_PORT_443_TCP_PROTO", "tcp"),
        ("KUBERNETES_PORT_443_TCP_PORT", "443"),
        ("KUBERNETES_PORT_443_TCP_ADDR", "10.0.0.1"),
    ];

    #[test]
    fn without_links_only_the_api_server() {
        assert_eq!(variables_for(&services(), "ns", false), pairs(&KUBERNETES));
        assert_eq!(variables_for(&services(), "default", false), pairs(&KUBERNETES));
    }

    #[test]
    fn with_links() {
        let found = variables_for(&services(), "ns", true);
        let mut expected = pairs(&KUBERNETES);
        expected.extend(pairs(&[
            ("MY_DB_SERVICE_HOST", "10.0.0.2"),
            ("MY_DB_SERVICE_PORT", "80"),
            ("MY_DB_SERVICE_PORT_P_1", "80"),
            ("MY_DB_PORT", "tcp://10.0.0.2:80"),
            ("MY_DB_PORT_80_TCP", "tcp://10.0.0.2:80"),
            ("MY_DB_PORT_80_TCP_PROTO", "tcp"),
            ("MY_DB_PORT_80_TCP_PORT", "80"),
            ("MY_DB_PORT_80_TCP_ADDR", "10.0.0.2"),
            ("MY_DB_PORT_53_UDP", "udp://10.0.0.2:53"),
            ("MY_DB_PORT_53_UDP_PROTO", "udp"),
            ("MY_DB_PORT_53_UDP_PORT", "53"),
            ("MY_DB_PORT_53_UDP_ADDR", "10.0.0.2"),
            ("SIX_SERVICE_HOST", "fd00::1"),
            ("SIX_SERVICE_PORT", "8"),
            ("SIX_PORT", "tcp://[fd00::1]:8"),
            ("SIX_PORT_8_TCP", "tcp://[fd00::1]:8"),
            ("SIX_PORT_8_TCP_PROTO", "tcp"),
            ("SIX_PORT_8_TCP_PORT", "8"),
            ("SIX_PORT_8_TCP_ADDR", "fd00::1"),
        ]));
        assert_eq!(found, expected);
    }

    #[test]
    fn an_own_service_named_kubernetes_takes_the_place() {
        let mut map = services();
        add(&mut map, "ns", "kubernetes", "10.9.9.9", &[("", 1, None)]);
        assert_eq!(variables_for(&map, "ns", true)[0].1, "10.9.9.9");
        assert_eq!(variables_for(&map, "ns", false)[0].1, "10.0.0.1");
    }
}
