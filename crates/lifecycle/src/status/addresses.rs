//! `hostIP(s)` and `podIP(s)`.

use k8s_openapi::api::core::v1::{HostIP, PodIP, PodStatus};

use super::Input;
use crate::state::Stage;

/// Pod addresses of the ready sandbox, the node's primary family first; kept when there is none any more, as a pod that
/// ended still shows where it was, and one whose sandbox was lost where it was last. An earlier process's word for a pod
/// that is to run is not kept: upstream's next process knows none.
pub(super) fn fill(input: &Input<'_>, status: &mut PodStatus) {
    let hosts = &input.seen.node.host_ips;
    let newest = input.view.newest_sandbox().filter(|sandbox| sandbox.ready);
    let mut ips = newest.map(|sandbox| sorted(&sandbox.ips, hosts.first())).unwrap_or_default();
    let sandboxes = input.view.sandboxes();
    let replaced = !sandboxes.is_empty() && !sandboxes.iter().any(|sandbox| sandbox.ready);
    let (host_network, syncing) =
        (input.spec.host_network.unwrap_or(false), matches!(input.state.stage, Stage::Syncing(_)));
    // A pod that runs on the node's network goes with the node when that gets another address.
    let moves = host_network && syncing && newest.is_some() && !hosts.is_empty();
    let may_keep = host_network && !moves || !syncing || replaced && input.state.reported.is_some();
    if ips.is_empty() && may_keep {
        ips = input.old.pod_ips.iter().flatten().map(|ip| ip.ip.clone()).collect();
    }
    // Without an API server nobody asked for host addresses, and upstream gives none.
    if let (true, Some(primary)) = (input.seen.node.has_api, hosts.first()) {
        status.host_ip = Some(primary.clone());
        status.host_ips = Some(hosts.iter().take(2).map(|ip| HostIP { ip: ip.clone() }).collect());
        if host_network {
            if ips.is_empty() {
                ips.push(primary.clone());
            }
            if let ([first], Some(second)) = (ips.as_slice(), hosts.get(1))
                && is_v6(first) != is_v6(second)
            {
                ips.push(second.clone());
            }
        }
    }
    status.pod_ip = ips.first().cloned();
    status.pod_ips = super::some(ips.into_iter().map(|ip| PodIP { ip }).collect());
}

/// The first of the primary family, then the first of the other.
fn sorted(ips: &[String], primary: Option<&String>) -> Vec<String> {
    let v6_first = match primary {
        Some(primary) => is_v6(primary),
        None => ips.first().is_some_and(|ip| is_v6(ip)),
    };
    let of = |v6: bool| ips.iter().find(|ip| is_v6(ip) == v6).cloned();
    of(v6_first).into_iter().chain(of(!v6_first)).collect()
}

fn is_v6(ip: &str) -> bool {
    ip.contains(':')
}
