//! The network of a lab: a namespace of its own, tied to the machine by a veth pair.
//!
//! Everything of a lab runs inside, so labs share no port, bridge or packet filter rule. The machine's end has an
//! address too, so that `kubectl` on the machine reaches the API server.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Result;

use crate::{
    plan::{Plan, Slot},
    run,
};

/// A program in the lab's network. `nsenter` and not `ip netns exec`: the latter mounts a fresh `/sys`, without cgroups.
#[must_use]
pub fn enter(plan: &Plan, program: &Path) -> Command {
    let mut command = Command::new("nsenter");
    command.arg(format!("--net={}", plan.netns_path().display())).arg("--").arg(program);
    command
}

fn ip(words: &[&str]) -> Result<String> {
    run::output(Command::new("ip").args(words))
}

/// Routes and addresses of the machine, as text for [`is_free`].
///
/// # Errors
/// `ip` fails.
pub fn routes() -> Result<String> {
    Ok(format!("{}\n{}", ip(&["-4", "route", "show", "table", "all"])?, ip(&["-4", "-o", "addr"])?))
}

/// Whether nothing of the machine uses a slot's addresses.
#[must_use]
pub fn is_free(slot: Slot, routes: &str) -> bool {
    let prefix = slot.prefix();
    !routes.split_whitespace().any(|word| word.starts_with(&prefix))
}

/// Whether the machine has an interface of this name.
#[must_use]
pub fn link_exists(name: &str) -> bool {
    Path::new("/sys/class/net").join(name).exists()
}

/// Make the namespace and the pair, and let packets be forwarded inside.
///
/// # Errors
/// A step fails.
pub fn up(plan: &Plan) -> Result<()> {
    let inside = |words: &[&str]| {
        let mut all = vec!["-n", plan.netns.as_str()];
        all.extend_from_slice(words);
        ip(&all)
    };
    // A /24 at both ends: pods and services of the lab are routed inside only.
    let (host, node) = (format!("{}/24", plan.addresses.host), format!("{}/24", plan.addresses.node));
    ip(&["netns", "add", &plan.netns])?;
    ip(&["link", "add", &plan.veth, "type", "veth", "peer", "name", "eth0", "netns", &plan.netns])?;
    ip(&["addr", "add", &host, "dev", &plan.veth])?;
    ip(&["link", "set", &plan.veth, "up"])?;
    inside(&["link", "set", "lo", "up"])?;
    inside(&["addr", "add", &node, "dev", "eth0"])?;
    inside(&["link", "set", "eth0", "up"])?;
    inside(&["route", "add", "default", "via", &plan.addresses.host.to_string()])?;
    run::output(enter(plan, Path::new("sh")).args(["-c", "echo 1 >/proc/sys/net/ipv4/ip_forward"]))?;
    Ok(())
}

/// Name of the virtual machine's cable, inside the namespace.
pub(crate) const TAP: &str = "tap0";

/// Lay the cable to which a virtual machine is tied; it goes with the namespace.
///
/// # Errors
/// A step fails.
pub(crate) fn tap_up(plan: &Plan) -> Result<()> {
    let gateway = format!("{}/24", plan.addresses.machine_gateway());
    ip(&["-n", &plan.netns, "tuntap", "add", "dev", TAP, "mode", "tap"])?;
    ip(&["-n", &plan.netns, "addr", "add", &gateway, "dev", TAP])?;
    ip(&["-n", &plan.netns, "link", "set", TAP, "up"]).map(drop)
}

/// Remove both; what is not there is no error.
///
/// # Errors
/// A step fails.
pub fn down(plan: &Plan) -> Result<()> {
    if link_exists(&plan.veth) {
        ip(&["link", "del", &plan.veth])?;
    }
    let namespace: PathBuf = plan.netns_path();
    if namespace.exists() {
        ip(&["netns", "del", &plan.netns])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_taken_by_any_address_of_its_range() {
        let routes = "default via 192.0.2.1 dev eth0\n10.103.0.0/24 dev klab3 proto kernel src 10.103.0.1";
        assert!(!is_free(Slot(3), routes));
        assert!(is_free(Slot(1), routes));
    }
}
