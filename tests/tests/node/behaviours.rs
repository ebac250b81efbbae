//! What node conformance asks of a kubelet (contract §33), where no other test shows it: some sixty pods, sixteen at a
//! time, each with what is done to it and what must come of it. The checks read the API, what containers print, what
//! they write into a journal on the node, and the node itself.
//!
//! Which rank is shown where stands in [`ranks`].

mod api;
mod environment;
mod files;
mod hooks;
mod mirrors;
mod pods;
mod probes;
mod ranks;
mod seen;
mod sockets;
mod stage;
mod users;
mod volumes;

use std::time::Duration;

use anyhow::Result;
use lab::{Mode, Runtime, Spec};
use node_tests::{Node, nothing_left};

use self::stage::Case;

/// Name of the node: names of mirrors end with it.
const NODE: &str = "node";

/// Longest for everything to be cleared away.
const BOUND: Duration = Duration::from_secs(120);

/// Every case.
fn cases() -> Vec<Case> {
    let themes = [
        pods::cases(),
        probes::cases(),
        hooks::cases(),
        environment::cases(),
        files::cases(),
        volumes::cases(),
        users::cases(),
        mirrors::cases(),
        sockets::cases(),
    ];
    themes.into_iter().flatten().collect()
}

fn behaviours(runtime: Runtime, name: &str) -> Result<()> {
    let mut spec = Spec::new(name, Mode::Cluster)?;
    spec.runtime = runtime;
    spec.node_name = Some(NODE.to_owned());
    let mut cases = cases();
    // A run that looks into something names the pods it wants.
    let wanted = std::env::var("BEHAVIOURS");
    if let Ok(wanted) = &wanted {
        cases.retain(|case| wanted.split(',').any(|name| name == case.name));
    }
    let mut node = Node::up(spec)?;
    node.apply(&[environment::OBJECTS, files::OBJECTS, volumes::OBJECTS].join("---"))?;
    stage::play(&node, cases)?;
    if wanted.map_or(true, |wanted| wanted.split(',').any(|name| name == "alone")) {
        mirrors::alone(&mut node)?;
    }
    node.eventually("nothing to be left", BOUND, nothing_left)?;
    node.down()
}

#[test]
#[ignore = "wants root, containerd and the control plane: make test"]
fn behaviours_on_containerd_2() {
    behaviours(Runtime::Containerd2, "t-behav2").unwrap();
}
