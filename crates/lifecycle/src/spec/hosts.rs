//! `/etc/hosts` of a pod, byte for byte as upstream writes it (contract §12).

use std::fmt::Write;

use k8s_openapi::api::core::v1::HostAlias;

const HEAD: &str = "# Kubernetes-managed hosts file.\n\
127.0.0.1\tlocalhost\n\
::1\tlocalhost ip6-localhost ip6-loopback\n\
fe00::0\tip6-localnet\n\
fe00::0\tip6-mcastprefix\n\
fe00::1\tip6-allnodes\n\
fe00::2\tip6-allrouters\n";

const HOST_NETWORK_HEAD: &str = "# Kubernetes-managed hosts file (host network).\n";

fn push_aliases(file: &mut String, aliases: &[HostAlias]) {
    if aliases.is_empty() {
        return;
    }
    file.push_str("\n# Entries added by HostAliases.\n");
    for alias in aliases {
        let names = alias.hostnames.as_deref().unwrap_or_default().join("\t");
        let _ = writeln!(file, "{}\t{names}", alias.ip);
    }
}

/// The file of a pod with a network of its own: one line per pod address, with the short name last.
#[must_use]
pub fn pod_file(ips: &[String], hostname: &str, domain: Option<&str>, aliases: &[HostAlias]) -> String {
    let mut file = HEAD.to_owned();
    for ip in ips {
        let _ = match domain.filter(|domain| !domain.is_empty()) {
            Some(domain) => writeln!(file, "{ip}\t{hostname}.{domain}\t{hostname}"),
            None => writeln!(file, "{ip}\t{hostname}"),
        };
    }
    push_aliases(&mut file, aliases);
    file
}

/// The file of a pod on the host network: the node's own file, unchanged, between our header and the aliases. Bytes, since
/// the comments of the node's file may be in any encoding.
#[must_use]
pub fn host_network_file(node_file: &[u8], aliases: &[HostAlias]) -> Vec<u8> {
    let mut tail = String::new();
    push_aliases(&mut tail, aliases);
    [HOST_NETWORK_HEAD.as_bytes(), node_file, tail.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn aliases() -> Vec<HostAlias> {
        vec![
            HostAlias { ip: "10.0.0.1".into(), hostnames: Some(vec!["a".into(), "b.c".into()]) },
            HostAlias { ip: "fd00::1".into(), hostnames: Some(vec!["d".into()]) },
        ]
    }

    const BASE: &str = "# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::0\tip6-localnet\nfe00::0\tip6-mcastprefix\nfe00::1\tip6-allnodes\nfe00::2\tip6-allrouters\n";

    #[test]
    fn pod_network() {
        assert_eq!(pod_file(&[], "web", None, &[]), BASE);
        assert_eq!(
            pod_file(&["10.88.0.2".into(), "fd00::2".into()], "web", None, &[]),
            format!("{BASE}10.88.0.2\tweb\nfd00::2\tweb\n")
        );
        assert_eq!(
            pod_file(&["10.88.0.2".into()], "web", Some("sub.ns.svc.cluster.local"), &aliases()),
            format!(
                "{BASE}10.88.0.2\tweb.sub.ns.svc.cluster.local\tweb\n\n# Entries added by HostAliases.\n10.0.0.1\ta\tb.c\nfd00::1\td\n"
            )
        );
    }

    #[test]
    fn host_network() {
        assert_eq!(
            host_network_file(b"127.0.0.1 localhost # K\xf6ln", &[]),
            b"# Kubernetes-managed hosts file (host network).\n127.0.0.1 localhost # K\xf6ln"
        );
        assert_eq!(
            host_network_file(b"x\n", &aliases()),
            b"# Kubernetes-managed hosts file (host network).\nx\n\n# Entries added by HostAliases.\n10.0.0.1\ta\tb.c\nfd00::1\td\n"
        );
    }
}
