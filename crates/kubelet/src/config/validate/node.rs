//! Flags that have no field: who the node is and where it keeps its things.

use std::net::IpAddr;

use serde_json::Value;

use super::Checks;
use crate::{
    flags::value::parse_ip,
    labels::{ALLOWED, ALLOWED_NAMESPACES, is_dns_subdomain, is_reserved, name_problem, value_problem},
};

pub(super) fn flags(checks: &mut Checks<'_>) {
    labels(checks);
    let flags = checks.flags;
    if let Some(provider) = flags.text("cloud-provider").filter(|provider| *provider != "external") {
        let cause = format!(
            "unknown cloud provider {provider:?}: the value of --cloud-provider must be \"\" or \"external\""
        );
        checks.fail_flag(
            "cloud-provider",
            cause,
            "run the provider's cloud controller manager and write external",
        );
    }
    if flags.is_on("exit-on-lock-contention") && flags.text("lock-file").is_none() {
        let cause = "cannot exit on lock file contention: no lock file specified";
        checks.fail_flag("exit-on-lock-contention", cause, "give --lock-file as well");
    }
    if flags.values.get("root-dir").and_then(Value::as_str) == Some("") {
        checks.fail_flag(
            "root-dir",
            "invalid root directory \"\"",
            "delete the flag to get /var/lib/kubelet",
        );
    }
    if let Some(text) = flags.text("node-ip")
        && let Err(cause) = node_ips(text)
    {
        let cause = format!("bad --node-ip {text:?}: {cause}");
        let hint = "write one address, or one IPv4 and one IPv6 address with a comma between";
        checks.fail_flag("node-ip", cause, hint);
    }
    if let Some(name) = flags.text("hostname-override") {
        let name = name.trim().to_lowercase();
        if name.is_empty() {
            let cause = "empty hostname is invalid";
            checks.fail_flag("hostname-override", cause, "delete the flag to get the machine's own name");
        } else if !is_dns_subdomain(&name) {
            let cause = format!(
                "--hostname-override {name:?} is no node name: a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character"
            );
            checks.fail_flag("hostname-override", cause, "use letters, digits, '-' and '.'");
        }
    }
    let providers = ["image-credential-provider-config", "image-credential-provider-bin-dir"];
    let given = providers.map(|name| flags.text(name).is_some());
    if given[0] != given[1] {
        let (has, lacks) = if given[0] { (providers[0], providers[1]) } else { (providers[1], providers[0]) };
        let cause = format!("--{has} and --{lacks} must be given together");
        checks.fail_flag(has, cause, format!("give --{lacks} as well"));
    }
}

/// The addresses of `--node-ip`. What is no address is left out, as upstream does.
///
/// # Errors
/// What is wrong with the combination.
pub(crate) fn node_ips(text: &str) -> Result<Vec<IpAddr>, &'static str> {
    let addresses: Vec<IpAddr> = text.split(',').filter_map(|part| parse_ip(part.trim())).collect();
    match addresses.as_slice() {
        [] | [_] => Ok(addresses),
        [first, second] if first.is_ipv4() == second.is_ipv4() => {
            Err("must contain either a single IP or a dual-stack pair of IPs")
        }
        [first, second] if first.is_unspecified() || second.is_unspecified() => {
            Err("dual-stack node IP cannot include '0.0.0.0' or '::'")
        }
        [_, _] => Ok(addresses),
        _ => Err("must contain either a single IP or a dual-stack pair of IPs"),
    }
}

fn labels(checks: &mut Checks<'_>) {
    let Some(labels) = checks.flags.values.get("node-labels").and_then(Value::as_object) else { return };
    let unknown: Vec<&str> = labels.keys().map(String::as_str).filter(|key| is_reserved(key)).collect();
    if !unknown.is_empty() {
        let cause = format!(
            "unknown 'kubernetes.io' or 'k8s.io' labels specified with --node-labels: [{}]; --node-labels in the 'kubernetes.io' namespace must begin with an allowed prefix ({}) or be in the specifically allowed set ({})",
            unknown.join(" "),
            ALLOWED_NAMESPACES.join(", "),
            ALLOWED.join(", "),
        );
        let hint = "use a prefix of your own, or set the label with kubectl label node (a node must not give itself a role)";
        checks.fail_flag("node-labels", cause, hint);
    }
    for (key, value) in labels {
        let value = value.as_str().unwrap_or_default();
        for problem in [
            name_problem(key).map(|problem| (key.as_str(), problem)),
            value_problem(value).map(|problem| (value, problem)),
        ]
        .into_iter()
        .flatten()
        {
            let cause = format!("invalid node labels: '{}' - {}", problem.0, problem.1);
            checks.fail_flag("node-labels", cause, "write key=value, items separated by commas");
        }
    }
}
