//! DNS of a pod (contract §12): from the node's resolver file, the cluster's servers and the pod's own wishes to what
//! CRI gets. Upstream merges options through an unordered map; ours keep the order in which names first appear.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Pod, PodDNSConfigOption};

use super::names;
use crate::ids::PodKey;

/// Name servers that a resolver reads (`resolv.conf(5)`: MAXNS).
const MAX_SERVERS: usize = 3;
/// Search domains a pod may have.
const MAX_SEARCHES: usize = 32;
/// Characters of all search domains, joined by spaces.
const MAX_SEARCH_CHARS: usize = 2048;
/// Search domains that `ClusterFirst` adds by itself.
const CLUSTER_SEARCHES: usize = 3;

/// What goes into CRI `dns_config`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DnsConfig {
    /// Name servers, at most 3.
    pub servers: Vec<String>,
    /// Search domains, at most 32.
    pub searches: Vec<String>,
    /// Options, `name` or `name:value`.
    pub options: Vec<String>,
}

/// The node's resolver settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResolvConf {
    /// Contents of the file that `resolvConf` names.
    File(DnsConfig),
    /// `resolvConf: ""`: pods with policy `Default` look at their own loopback address, which disables lookups.
    Unset,
}

/// Why a resolver file cannot be used; pods cannot start then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DnsError {
    /// A `nameserver` line without an address. Upstream reports several of them once.
    #[error("nameserver list is empty ")]
    EmptyNameserver,
}

/// The cluster's DNS, from the kubelet's configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterDns {
    /// `clusterDNS` addresses.
    pub servers: Vec<String>,
    /// `clusterDomain`, may be empty.
    pub domain: String,
}

/// Settings of one pod, and what to warn about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DnsOutcome {
    /// For CRI.
    pub config: DnsConfig,
    /// Warning events on the pod: reason and message.
    pub events: Vec<(&'static str, String)>,
    /// Warning events on the node: reason and message.
    pub node_events: Vec<(&'static str, String)>,
}

fn option_name(option: &str) -> &str {
    option.split(':').next().unwrap_or_default()
}

/// Puts an option in the place of its namesake, or at the end.
fn put_option(options: &mut Vec<String>, option: String) {
    match options.iter_mut().find(|known| option_name(known) == option_name(&option)) {
        Some(known) => *known = option,
        None => options.push(option),
    }
}

fn without_duplicates(values: Vec<String>) -> Vec<String> {
    let mut seen = BTreeSet::new();
    values.into_iter().filter(|value| seen.insert(value.clone())).collect()
}

/// Reads a resolver file's text as upstream does: `#` comments only, `nameserver` lines add up, the last `search`
/// line wins, options merge by name.
///
/// # Errors
/// A `nameserver` line without an address.
pub fn parse_resolv_conf(text: &str) -> Result<ResolvConf, DnsError> {
    let mut config = DnsConfig::default();
    let mut bare_server = false;
    for line in text.split('\n') {
        let line = line.trim();
        if line.starts_with('#') {
            continue;
        }
        let mut words = line.split_whitespace();
        match words.next() {
            Some("nameserver") => match words.next() {
                Some(server) => config.servers.push(server.to_owned()),
                None => bare_server = true,
            },
            Some("search") => {
                config.searches = words
                    .filter(|word| *word != ".")
                    .map(|word| word.strip_suffix('.').unwrap_or(word).to_owned())
                    .collect();
            }
            Some("options") => {
                for option in words {
                    put_option(&mut config.options, option.to_owned());
                }
            }
            _ => {}
        }
    }
    if bare_server { Err(DnsError::EmptyNameserver) } else { Ok(ResolvConf::File(config)) }
}

enum Base {
    Cluster,
    Host,
    Nothing,
}

fn base_of(pod: &Pod) -> Base {
    let spec = pod.spec.as_ref();
    let host_network = spec.and_then(|spec| spec.host_network).unwrap_or(false);
    match spec.and_then(|spec| spec.dns_policy.as_deref()) {
        Some("None") => Base::Nothing,
        Some("Default") => Base::Host,
        Some("ClusterFirst") if host_network => Base::Host,
        // ClusterFirst, ClusterFirstWithHostNet, and values that the API would not let through.
        _ => Base::Cluster,
    }
}

fn merge_pod_options(options: &mut Vec<String>, wanted: &[PodDNSConfigOption]) {
    for option in wanted {
        let name = option.name.clone().unwrap_or_default();
        let text = match option.value.as_deref() {
            Some(value) if !value.is_empty() => format!("{name}:{value}"),
            _ => name,
        };
        put_option(options, text);
    }
}

fn fit_searches(searches: Vec<String>) -> (Vec<String>, bool) {
    let mut exceeded = searches.len() > MAX_SEARCHES;
    let mut kept: Vec<String> = Vec::new();
    for search in searches.into_iter().take(MAX_SEARCHES) {
        if search.len() > names::SUBDOMAIN_MAX {
            exceeded = true;
        } else {
            kept.push(search);
        }
    }
    while kept.join(" ").len() > MAX_SEARCH_CHARS {
        kept.pop();
        exceeded = true;
    }
    (kept, exceeded)
}

/// The DNS settings of a pod. `host_ips` are the node's addresses: with [`ResolvConf::Unset`] each gives a loopback
/// server of its family.
#[must_use]
pub fn resolve(pod: &Pod, node: &ResolvConf, cluster: &ClusterDns, host_ips: &[String]) -> DnsOutcome {
    let mut events = Vec::new();
    let mut node_events = Vec::new();
    let mut config = match node {
        ResolvConf::File(config) => config.clone(),
        ResolvConf::Unset => DnsConfig::default(),
    };
    let mut base = base_of(pod);
    if matches!(base, Base::Cluster) && cluster.servers.is_empty() {
        let text = "kubelet does not have ClusterDNS IP configured and cannot create Pod using \"ClusterFirst\" \
                    policy. Falling back to \"Default\" policy.";
        node_events.push(("MissingClusterDNS", text.to_owned()));
        events.push(("MissingClusterDNS", format!("pod: \"{}\". {text}", PodKey::of(pod))));
        base = Base::Host;
    }
    match base {
        Base::Nothing => config = DnsConfig::default(),
        Base::Cluster => {
            config.servers = cluster.servers.clone();
            config.options = vec!["ndots:5".to_owned()];
            if !cluster.domain.is_empty() {
                let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
                let domain = &cluster.domain;
                let mut searches =
                    vec![format!("{namespace}.svc.{domain}"), format!("svc.{domain}"), domain.clone()];
                searches.append(&mut config.searches);
                config.searches = without_duplicates(searches);
            }
        }
        Base::Host => {
            if matches!(node, ResolvConf::Unset) {
                config.servers = host_ips
                    .iter()
                    .map(|ip| if ip.contains(':') { "::1" } else { "127.0.0.1" }.to_owned())
                    .collect();
                if config.servers.is_empty() {
                    config.servers.push("127.0.0.1".to_owned());
                }
                config.searches = vec![".".to_owned()];
            }
        }
    }

    if let Some(wanted) = pod.spec.as_ref().and_then(|spec| spec.dns_config.as_ref()) {
        config.servers.extend(wanted.nameservers.iter().flatten().cloned());
        config.servers = without_duplicates(config.servers);
        config.searches.extend(wanted.searches.iter().flatten().cloned());
        config.searches = without_duplicates(config.searches);
        merge_pod_options(&mut config.options, wanted.options.as_deref().unwrap_or_default());
    }

    if config.servers.len() > MAX_SERVERS {
        config.servers.truncate(MAX_SERVERS);
        events.push(("DNSConfigForming", format!(
            "Nameserver limits were exceeded, some nameservers have been omitted, the applied nameserver line is: {}",
            config.servers.join(" ")
        )));
    }
    let (searches, exceeded) = fit_searches(config.searches);
    config.searches = searches;
    if exceeded {
        events.push(("DNSConfigForming", format!(
            "Search Line limits were exceeded, some search paths have been omitted, the applied search line is: {}",
            config.searches.join(" ")
        )));
    }
    DnsOutcome { config, events, node_events }
}

/// The node's own check of its resolver file, once at start: message of a Warning `CheckLimitsForResolvConf` on the
/// node, if a pod with policy `ClusterFirst` could not take over all its search domains.
#[must_use]
pub fn check_limits(path: &str, config: &DnsConfig, cluster: &ClusterDns) -> Option<String> {
    let limit = MAX_SEARCHES - if cluster.domain.is_empty() { 0 } else { CLUSTER_SEARCHES };
    if config.searches.len() > limit {
        return Some(format!(
            "Resolv.conf file '{path}' contains search line consisting of more than {limit} domains!"
        ));
    }
    if config.searches.iter().any(|search| search.len() > names::SUBDOMAIN_MAX) {
        return Some(format!(
            "Resolv.conf file {path:?} contains a search path which length is more than allowed {} chars!",
            names::SUBDOMAIN_MAX
        ));
    }
    if config.searches.join(" ").len() > MAX_SEARCH_CHARS {
        return Some(format!(
            "Resolv.conf file '{path}' contains search line which length is more than allowed {MAX_SEARCH_CHARS} chars!"
        ));
    }
    None
}

#[cfg(test)]
mod tests;
