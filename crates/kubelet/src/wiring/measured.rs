//! What is measured of this program itself: its build, its gates, and what the kernel knows of its process.

use std::sync::Arc;

use ::node::cgroup::CgroupVersion;
use linux::{facts::Roots, process};
use metrics::{
    Metrics,
    family::Asked,
    node::{Build, Feature, Node, Provider},
};

use crate::settings::Settings;

/// A limit that there is not: all bits of the kernel's number.
const UNLIMITED: u64 = u64::MAX;

/// What is known before anything runs.
pub(super) fn process(metrics: &Metrics, settings: &Settings) {
    let own = &metrics.node;
    own.name.set(&Node { node: Arc::from(settings.node.name.as_str()) }, 1.0);
    own.provider.set(&Provider { provider: "cadvisor" }, 1.0);
    own.build.set(&build(&settings.reported_version), 1.0);
    let gates = settings.gates;
    own.features.answered_by(move |put| {
        for (spec, on) in gates.iter() {
            put(Feature { name: spec.name, stage: spec.stage.label() }, if on { 1.0 } else { 0.0 });
        }
    });
    let roots = Roots::default();
    own.set_started_at(process::started_at(&roots).unwrap_or_default().as_secs_f64());
    ask(&own.cpu_seconds, || process::usage(&Roots::default()).map(|usage| usage.cpu.as_secs_f64()));
    ask(&own.resident, || process::usage(&Roots::default()).map(|usage| number(usage.resident_bytes)));
    ask(&own.virtual_memory, || process::usage(&Roots::default()).map(|usage| number(usage.virtual_bytes)));
    ask(&own.open_fds, || process::open_files(&Roots::default()).map(|count| number(count as u64)));
    ask(&own.max_fds, || Some(number(process::most_files().unwrap_or(UNLIMITED))));
    ask(&own.virtual_memory_max, || Some(number(process::most_memory().unwrap_or(UNLIMITED))));
    ask(&own.network_received, || process::traffic(&Roots::default()).map(|bytes| number(bytes.received)));
    ask(&own.network_sent, || process::traffic(&Roots::default()).map(|bytes| number(bytes.sent)));
}

/// What is known when the machine was looked at.
pub(super) fn node(metrics: &Metrics, cgroups: CgroupVersion) {
    metrics.node.cgroup_version.set(match cgroups {
        CgroupVersion::V1 => 1.0,
        CgroupVersion::V2 => 2.0,
    });
}

/// What cannot be read is not shown.
fn ask(metric: &Asked<()>, answer: impl Fn() -> Option<f64> + Send + Sync + 'static) {
    metric.answered_by(move |put| {
        if let Some(value) = answer() {
            put((), value);
        }
    });
}

/// Bytes and counts, as the format tells them.
#[expect(clippy::cast_precision_loss, reason = "the format knows no other numbers")]
fn number(count: u64) -> f64 {
    count as f64
}

/// `v1.37.2`: the release that this program stands for.
fn build(version: &str) -> Build {
    let mut parts = version.trim_start_matches('v').split('.');
    let mut part = || Arc::from(parts.next().unwrap_or_default());
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "powerpc64" => "ppc64le",
        other => other,
    };
    Build {
        build_date: "",
        compiler: "rustc",
        git_commit: "",
        git_tree_state: "",
        git_version: Arc::from(version),
        go_version: "",
        major: part(),
        minor: part(),
        platform: Arc::from(format!("{}/{architecture}", std::env::consts::OS)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_tells_the_release_it_stands_for() {
        let build = build("v1.37.2");
        assert_eq!((&*build.major, &*build.minor, &*build.git_version), ("1", "37", "v1.37.2"));
    }
}
