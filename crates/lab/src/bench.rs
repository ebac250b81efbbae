//! Measures a kubelet against another one, upstream's as a rule, in one run on one machine (`lab bench`, `make bench`).
//!
//! Absolute times say as much about the machine as about the kubelet, so figures are ratios: medians of one kubelet divided
//! by medians of the other, both from the same half hour.
//!
//! # Why one lab with two kubelets in turn
//!
//! Two labs side by side would give each kubelet an etcd, an API server and a containerd of its own, and all of them, idle
//! or not, would take processor time from the one that is being measured. In one lab everything but the kubelet is not the
//! same build with the same configuration but the very same processes, so whatever they have gathered by then (heap, page
//! cache, etcd's history) both kubelets meet alike. What two kubelets in one lab could leave for each other is kept apart:
//! each has its own root folder and certificates, no pod outlives a visit, and a visit ends only when the runtime has no
//! container left.
//!
//! ```text
//! round 1:  measured, reference     round 2:  reference, measured     …
//! visit:    start ─▶ Ready ─▶ idle ─▶ silent ─▶ a pod that is not counted ─▶ start, kill, delete ─▶ batch
//!           ─▶ fill, rest, scrape, restart ─▶ pods gone ─▶ runtime empty ─▶ stop
//! ```
//!
//! The order turns with each round, so that a machine that slowly gets faster or slower favours nobody. Each visit is a new
//! process.
//!
//! # What the figures mean
//!
//! * Pods have `nodeName` set: no scheduler takes part. All but those of `batch` come and go one by one.
//! * A moment is when a line of one watch of the API server has arrived, or just before a request is sent.
//! * CRI calls are containerd's own count of gRPC calls; processor time and memory are the kernel's.
//! * The parts of a start ([`parts`]) come from containerd's log and hold for any kubelet.
//! * A scrape is every page of metrics and the summary, over one kept connection, at longer intervals than any kubelet keeps
//!   figures; only processor time from the first question to the last answer counts. `silent` asks over new connections.
//! * `restart` lasts from the start of the process until the kubelet has acted on a change that was made in every pod while
//!   it was down (`status.observedGeneration`). A kubelet that has nothing to report says nothing, so without a change
//!   nobody could see when it has a pod in hand.

mod api;
mod figures;
mod measure;
mod node;
mod node_api;
mod options;
mod parts;
mod pod;
mod process;
mod quantity;
mod runtime_calls;
mod samples;
mod start_calls;
mod watch;

use std::{fs, path::PathBuf, process::Command};

use anyhow::Result;
use serde_json::{Value, json};

pub use options::{Measure, Options};

use crate::{
    Lab, artifacts,
    plan::{make_dir, write},
    run,
    spec::KubeletBinary,
    wait::{Since, time_of_day},
};
use figures::Figures;
use measure::Visit;
use node::{Node, Role};

/// Measure, print the table, and write the figures to a file, whose path is given back.
///
/// # Errors
/// The lab does not come up, a step of a measure fails, or the file cannot be written. The lab is taken down in any case.
pub fn run(options: &Options) -> Result<PathBuf> {
    options.check()?;
    let begun = (Since::now(), time_of_day(), load());
    let measured = measure_all(options);
    // Whatever is there of the lab goes, also one that did not come up.
    let down = take_down(options);
    let (figures, kubelets) = measured?;
    println!("{}", figures.table());
    let report = json!({
        "begun": begun.1.to_string(),
        "seconds": begun.0.elapsed().as_secs(),
        "machine": { "processors": processors(), "load_before": begun.2, "load_after": load() },
        "options": options,
        "kubelets": kubelets,
        "quantities": figures.json(),
    });
    let file = match &options.output {
        Some(file) => file.clone(),
        None => options.state.join("bench").join(format!("{}.json", begun.1.strftime("%Y%m%d-%H%M%S"))),
    };
    if let Some(folder) = file.parent() {
        make_dir(folder)?;
    }
    write(&file, &format!("{report:#}\n"))?;
    // Not before the figures are safe: they took long.
    down?;
    Ok(file)
}

fn take_down(options: &Options) -> Result<()> {
    if Lab::list(&options.state)?.contains(&options.name) {
        Lab::open(&options.state, &options.name)?.down()?;
    }
    Ok(())
}

fn measure_all(options: &Options) -> Result<(Figures, Value)> {
    let mut node = Node::up(options)?;
    let kubelets = json!({
        "measured": described(&node, &options.kubelet)?,
        "reference": described(&node, &options.against)?,
    });
    let mut figures = Figures::default();
    let mut number = 0;
    for round in 0..options.rounds {
        let mut turns = [(Role::Measured, &options.kubelet), (Role::Reference, &options.against)];
        if round % 2 == 1 {
            turns.reverse();
        }
        for (role, binary) in turns {
            number += 1;
            eprintln!("bench: visit {number} of {}: {role:?}", options.rounds * 2);
            Visit { node: &mut node, figures: &mut figures, options, role, number }.run(binary)?;
        }
    }
    Ok((figures, kubelets))
}

/// Path and version of a kubelet.
fn described(node: &Node, binary: &KubeletBinary) -> Result<Value> {
    let program = artifacts::kubelet(binary, &node.lab.plan().tools)?;
    let version = run::output(Command::new(&program).arg("--version"))?;
    Ok(json!({ "program": program, "version": version.trim() }))
}

/// Load averages of the last 1, 5 and 15 minutes: whether the machine had other work.
fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(0, usize::from)
}
