//! Which room may depend on which: the design's direction, checked over `cargo metadata` (`lab check-deps`).
//!
//! ```text
//! lifecycle, node ◀─ seams ◀─ cri, cluster, linux, volumes, server      (edges never see each other's insides)
//!         metrics ◀───────── the edges and the agent
//!       all of these ◀─ agent (but no edge) ◀─ kubelet
//! ```
//!
//! Rooms for development (fakes, sim, lab, testbox, node-tests) are never in what ships: a product room may name `fakes` in
//! `[dev-dependencies]` only. Only dependencies inside the workspace count here; cargo-deny looks after the others.

use std::process::Command;

use anyhow::{Context as _, Result};
use serde::Deserialize;

use crate::{run, spec::checkout};

/// The rooms that a room may depend on.
const RULES: [(&str, &[&str]); 18] = [
    ("lifecycle", &[]),
    ("node", &[]),
    ("metrics", &[]),
    ("proto", &[]),
    ("unverified", &[]),
    ("seams", &["lifecycle", "node"]),
    ("cri", &["lifecycle", "node", "metrics", "seams", "proto"]),
    ("cluster", &["lifecycle", "node", "metrics", "seams", "proto", "unverified"]),
    ("linux", &["lifecycle", "node", "metrics", "seams", "proto"]),
    ("server", &["lifecycle", "node", "metrics", "seams", "proto", "unverified"]),
    ("volumes", &["lifecycle", "node", "metrics", "seams", "proto", "linux"]),
    ("agent", &["lifecycle", "node", "metrics", "seams", "unverified"]),
    (
        "kubelet",
        &[
            "lifecycle",
            "node",
            "metrics",
            "seams",
            "proto",
            "cri",
            "cluster",
            "linux",
            "server",
            "volumes",
            "agent",
        ],
    ),
    ("fakes", &["lifecycle", "node", "seams", "proto"]),
    ("sim", &["lifecycle", "node", "metrics", "seams", "agent", "fakes"]),
    ("lab", &["proto", "unverified"]),
    ("testbox", &["proto"]),
    (
        "node-tests",
        &[
            "lifecycle",
            "node",
            "metrics",
            "seams",
            "proto",
            "cri",
            "cluster",
            "fakes",
            "sim",
            "lab",
            "kubelet",
        ],
    ),
];

/// Rooms that tests of any room may use besides those of [`RULES`].
const FOR_TESTS: [&str; 1] = ["fakes"];

/// What `cargo metadata --no-deps` prints, as far as it matters.
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    /// `null` for a normal one, else `dev` or `build`.
    kind: Option<String>,
    /// `null` for one of a path.
    source: Option<String>,
}

/// Breaches of the direction, one line each.
fn breaches(metadata: &Metadata) -> Vec<String> {
    let mut found = Vec::new();
    for package in &metadata.packages {
        let Some((_, allowed)) = RULES.iter().find(|(room, _)| *room == package.name) else {
            found.push(format!(
                "{} is a new room: give it a rule in crates/lab/src/direction.rs",
                package.name
            ));
            continue;
        };
        for dependency in package.dependencies.iter().filter(|dependency| dependency.source.is_none()) {
            let name = dependency.name.as_str();
            let is_test = dependency.kind.as_deref() == Some("dev");
            if allowed.contains(&name) || is_test && FOR_TESTS.contains(&name) {
                continue;
            }
            let how = if is_test { "tests of " } else { "" };
            let may = if allowed.is_empty() { "no room".to_owned() } else { allowed.join(", ") };
            found.push(format!("{how}{} must not depend on {name}; it may on {may}", package.name));
        }
    }
    found
}

/// Check the workspace of this checkout.
///
/// # Errors
/// cargo fails, or a room depends on one that it must not; the error lists the breaches.
pub fn check() -> Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let text = run::output(
        Command::new(cargo)
            .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
            .current_dir(checkout()?),
    )?;
    let metadata: Metadata =
        serde_json::from_str(&text).context("cargo metadata printed something else than expected")?;
    let found = breaches(&metadata);
    anyhow::ensure!(
        found.is_empty(),
        "dependencies point the wrong way:\n  {}\nhint: docs/ARCHITECTURE.md says which room may know which",
        found.join("\n  ")
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(package: &str, dependency: &str, kind: Option<&str>) -> Vec<String> {
        let kind = kind.map_or("null".to_owned(), |kind| format!("{kind:?}"));
        let text = format!(
            r#"{{"packages":[{{"name":"{package}","dependencies":[
                {{"name":"{dependency}","kind":{kind},"source":null}},
                {{"name":"serde","kind":null,"source":"registry+https://example.org"}}]}}]}}"#
        );
        breaches(&serde_json::from_str(&text).unwrap())
    }

    #[test]
    fn allowed() {
        for (package, dependency, kind) in [
            ("seams", "lifecycle", None),
            ("cri", "proto", None),
            ("volumes", "linux", None),
            ("agent", "seams", None),
            ("kubelet", "server", None),
            ("cri", "fakes", Some("dev")),
            ("node-tests", "lab", None),
        ] {
            assert_eq!(of(package, dependency, kind), [""; 0], "{package} -> {dependency}");
        }
    }

    #[test]
    fn forbidden() {
        for (package, dependency, kind) in [
            ("lifecycle", "node", None),
            ("lifecycle", "seams", Some("dev")),
            ("metrics", "seams", None),
            ("lifecycle", "metrics", None),
            ("cri", "cluster", None),
            ("linux", "volumes", None),
            ("agent", "cri", None),
            ("agent", "linux", Some("dev")),
            ("seams", "agent", None),
            ("kubelet", "fakes", None),
            ("kubelet", "fakes", Some("build")),
            ("kubelet", "lab", Some("dev")),
        ] {
            assert_eq!(of(package, dependency, kind).len(), 1, "{package} -> {dependency}");
        }
    }

    #[test]
    fn a_room_without_a_rule_is_a_breach() {
        assert_eq!(of("util", "serde_json", None).len(), 2 - 1);
    }

    #[test]
    fn rules_name_known_rooms_and_make_no_circle() {
        for (room, allowed) in RULES {
            for other in allowed {
                let (_, back) = RULES.iter().find(|(name, _)| name == other).unwrap();
                assert!(!back.contains(&room), "{room} and {other} may know each other");
            }
        }
    }
}
