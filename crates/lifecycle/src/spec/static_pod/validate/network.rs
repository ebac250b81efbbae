//! Checks of a pod's names and of its name resolution.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::{PodDNSConfig, PodSpec};

use super::Checker;
use crate::spec::names;

/// Name servers that the C library looks at.
const SERVERS_MAX: usize = 3;
/// Search domains.
const SEARCHES_MAX: usize = 32;
/// Bytes of all search domains with a blank between each two.
const SEARCH_LIST_MAX: usize = 2048;
/// Bytes of a host name on Linux.
const HOSTNAME_MAX: usize = 64;

fn address(checker: &mut Checker, field: &str, value: &str) {
    match value.parse::<IpAddr>() {
        Ok(IpAddr::V6(address)) if address.to_ipv4_mapped().is_some() => {
            checker.invalid(field, value, "must not be an IPv4-mapped IPv6 address");
        }
        Ok(_) => {}
        Err(_) if has_leading_zeros(value) => checker.invalid(field, value, "must not have leading 0s"),
        Err(_) => {
            checker.invalid(field, value, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)");
        }
    }
}

/// Whether zeros before its numbers are all that keeps a text from being an IPv4 address.
fn has_leading_zeros(value: &str) -> bool {
    let parts: Vec<&str> = value
        .split('.')
        .map(|part| match part.trim_start_matches('0') {
            "" if !part.is_empty() => "0",
            rest => rest,
        })
        .collect();
    parts.join(".").parse::<std::net::Ipv4Addr>().is_ok()
}

fn dns(checker: &mut Checker, config: &PodDNSConfig) {
    let servers = config.nameservers.as_deref().unwrap_or_default();
    let field = "spec.dnsConfig.nameservers";
    if servers.len() > SERVERS_MAX {
        checker.invalid_list(field, servers, &format!("must not have more than {SERVERS_MAX} nameservers"));
    }
    for (index, server) in servers.iter().enumerate() {
        address(checker, &format!("{field}[{index}]"), server);
    }
    let searches = config.searches.as_deref().unwrap_or_default();
    let field = "spec.dnsConfig.searches";
    if searches.len() > SEARCHES_MAX {
        let detail = format!("must not have more than {SEARCHES_MAX} search paths");
        checker.invalid_list(field, searches, &detail);
    }
    if searches.join(" ").len() > SEARCH_LIST_MAX {
        let detail = format!(
            "must not have more than {SEARCH_LIST_MAX} characters (including spaces) in the search list"
        );
        checker.invalid_list(field, searches, &detail);
    }
    for (index, search) in searches.iter().enumerate().filter(|(_, search)| *search != ".") {
        let search = search.strip_suffix('.').unwrap_or(search);
        checker.names(&format!("{field}[{index}]"), search, names::search_domain_problems(search));
    }
    for (index, option) in config.options.iter().flatten().enumerate() {
        if option.name.as_deref().unwrap_or_default().is_empty() {
            checker.required(&format!("spec.dnsConfig.options[{index}]"), "must not be empty", "");
        }
    }
}

fn dns_config(checker: &mut Checker, spec: &PodSpec) {
    let none = spec.dns_policy.as_deref() == Some("None");
    match &spec.dns_config {
        None if none => {
            checker.required("spec.dnsConfig", "must provide `dnsConfig` when `dnsPolicy` is None", "");
        }
        Some(config) if none && config.nameservers.as_deref().unwrap_or_default().is_empty() => {
            let detail = "must provide at least one DNS nameserver when `dnsPolicy` is None";
            checker.required("spec.dnsConfig.nameservers", detail, "");
        }
        Some(config) => dns(checker, config),
        None => {}
    }
}

fn hostname_override(checker: &mut Checker, spec: &PodSpec, value: &str) {
    let field = "spec.hostnameOverride";
    if spec.set_hostname_as_fqdn == Some(true) {
        checker.forbidden(field, "may not be specified when setHostnameAsFQDN is true");
    }
    if spec.host_network == Some(true) {
        checker.forbidden(field, "may not be specified when hostNetwork is true");
    }
    if value.len() > HOSTNAME_MAX {
        checker.too_long(field, HOSTNAME_MAX);
    }
    checker.names(field, value, names::subdomain_problems(value));
}

/// Checks host names, DNS and the additions to the hosts file.
pub(super) fn check(checker: &mut Checker, spec: &PodSpec) {
    for (field, value) in [("spec.hostname", &spec.hostname), ("spec.subdomain", &spec.subdomain)] {
        if let Some(value) = value.as_deref().filter(|value| !value.is_empty()) {
            checker.names(field, value, names::label_problems(value));
        }
    }
    if let Some(value) = spec.hostname_override.as_deref() {
        hostname_override(checker, spec, value);
    }
    checker.one_of(
        "spec.dnsPolicy",
        spec.dns_policy.as_deref(),
        &["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"],
    );
    dns_config(checker, spec);
    for (index, alias) in spec.host_aliases.iter().flatten().enumerate() {
        let path = format!("spec.hostAliases[{index}]");
        address(checker, &format!("{path}.ip"), &alias.ip);
        for (at, name) in alias.hostnames.iter().flatten().enumerate() {
            checker.names(&format!("{path}.hostnames[{at}]"), name, names::subdomain_problems(name));
        }
    }
}
