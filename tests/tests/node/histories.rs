//! Some fifty pods, each with a way to go, on upstream's kubelet and ours at the same time. A recorder sees every status
//! and event; what it saw differs only where `docs/compat.md` says so.
//!
//! What is compared, and why that is sound, is in [`node_tests::history`].

mod hooks;
mod policies;
mod probes;
mod settings;
mod whole;

use std::{path::Path, time::Duration};

use anyhow::{Context as _, Result};
use lab::{Lab, Runtime};
use node_tests::{
    beside::Beside,
    history::{compare_steps, history},
    known::Known,
    normal::Normal,
    play::{Case, End, play},
    recorder::Past,
};
use serde_json::Value;

/// Bound of the whole play: the longest part takes some 30 s, and a busy machine many times that.
const BOUND: Duration = Duration::from_secs(400);

fn ready(past: &Past) -> bool {
    past.phase() == "Running" && past.holds("Ready")
}

fn phase_failed(past: &Past) -> bool {
    past.phase() == "Failed"
}

fn phase_succeeded(past: &Past) -> bool {
    past.phase() == "Succeeded"
}

fn gone(past: &Past) -> bool {
    past.gone
}

/// The container was restarted and waits for its next restart.
fn crash_loops(past: &Past, container: &str) -> bool {
    past.restarts(container) >= 1 && past.reason(container) == "CrashLoopBackOff"
}

fn delete(lab: &Lab, pod: &str) -> Result<()> {
    lab.kubectl(&["delete", "pod", pod, "--wait=false"]).map(drop)
}

fn static_pod() -> Case {
    Case::later("static-node", End::Rest(ready)).step(
        |_| true,
        |lab| {
            let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: static}\nspec:\n  containers:\n  \
                       - {name: main, image: registry.test/testbox:1, args: [sleep]}\n";
            lab.add_static_pod("static.yaml", pod).map(drop)
        },
    )
}

fn compare(runtime: Runtime, name: &str) -> Result<()> {
    let beside = Beside::up(name, runtime)?;
    let mut cases = policies::cases();
    cases.extend(probes::cases());
    cases.extend(hooks::cases());
    cases.extend(settings::cases());
    cases.push(static_pod());
    // A run that looks into something names the pods it wants.
    let wanted = std::env::var("HISTORIES").ok();
    if let Some(wanted) = &wanted {
        cases.retain(|case| wanted.split(',').any(|name| name == case.name));
    }
    let last = whole::case();
    let mut seen = beside.each(|lab| {
        let normal = Normal::of(lab)?;
        let mut played = play(lab, &cases, BOUND)?;
        // Alone, since its kubelet is killed.
        played.extend(play(lab, std::slice::from_ref(&last), BOUND)?);
        let objects = cases.iter().chain([&last]).zip(&played);
        Ok(objects
            .map(|(case, played)| (format!("Pod {}", case.name), history(played, &normal)))
            .collect::<Value>())
    })?;
    seen.keep(Path::new(env!("CARGO_TARGET_TMPDIR")), "histories")?;
    compare_steps(&mut seen);
    let mut known = Known::of("histories")?;
    if wanted.is_some() {
        known.only_some();
    }
    known.sort(&seen);
    beside.down().context("take the labs down")?;
    known.check()
}

#[test]
#[ignore = "wants root, containerd and the control plane: make test"]
fn histories_beside_upstream_on_containerd_2() {
    compare(Runtime::Containerd2, "t-history").unwrap();
}
