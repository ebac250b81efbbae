//! What upstream checks before it starts, plus what it only finds out later: all of it at once.
//!
//! Causes keep upstream's words, because that is what operators search for; each gets a hint.

use std::path::Path;

use serde_json::{Map, Value};

use super::{
    KubeletConfiguration, Loaded,
    load::read_at,
    problem::{Problem, Stage},
    source::Sources,
};
use crate::{
    flags::{RawFlags, table},
    gates::{FeatureGates, Gate},
};

mod limits;
mod names;
mod node;
mod policies;
mod resources;

pub(crate) use node::node_ips;

/// What a check may look at, and where it reports.
struct Checks<'a> {
    config: &'a KubeletConfiguration,
    gates: &'a FeatureGates,
    document: &'a Map<String, Value>,
    sources: &'a Sources,
    flags: &'a RawFlags,
    problems: Vec<Problem>,
}

/// Checks flags and configuration. Does not look at the machine.
#[must_use]
pub fn validate(loaded: &Loaded, flags: &RawFlags) -> Vec<Problem> {
    let mut checks = Checks {
        config: &loaded.config,
        gates: &loaded.gates,
        document: &loaded.document,
        sources: &loaded.sources,
        flags,
        problems: Vec::new(),
    };
    node::flags(&mut checks);
    limits::check(&mut checks);
    policies::check(&mut checks);
    resources::check(&mut checks);
    names::check(&mut checks);
    checks.problems
}

/// Checks that need the machine: whether its cgroup version is one that the configuration accepts.
#[must_use]
pub fn validate_host(loaded: &Loaded, cgroup: CgroupVersion) -> Vec<Problem> {
    let mut problems = Vec::new();
    if cgroup == CgroupVersion::V2 {
        return problems;
    }
    let config = &loaded.config;
    if config.fail_cgroup_v1 {
        let cause = "kubelet is configured to not run on a host using cgroup v1. cgroup v1 support is unsupported and will be removed in a future release";
        let hint = "boot with systemd.unified_cgroup_hierarchy=1 (cgroup v2), or set failCgroupV1: false";
        problems.push(Problem::new(Stage::Validate, "failCgroupV1", cause, hint));
    }
    if config.single_process_oom_kill == Some(false) {
        let cause = "invalid configuration: singleProcessOOMKill must not be explicitly set to false when using cgroup v1";
        problems.push(Problem::new(Stage::Validate, "singleProcessOOMKill", cause, "delete the field"));
    }
    problems
}

/// Which cgroup hierarchy the machine has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CgroupVersion {
    /// One hierarchy per controller, or the hybrid form.
    V1,
    /// The unified hierarchy.
    V2,
}

impl CgroupVersion {
    /// What is mounted at `/sys/fs/cgroup`; anything but cgroup2 there is version 1, as upstream has it.
    #[must_use]
    pub fn of_this_machine() -> Self {
        /// `CGROUP2_SUPER_MAGIC` of `linux/magic.h`.
        const CGROUP2: u64 = 0x6367_7270;
        match rustix::fs::statfs(Path::new("/sys/fs/cgroup")) {
            Ok(fs) if u64::try_from(fs.f_type).is_ok_and(|magic| magic == CGROUP2) => Self::V2,
            _ => Self::V1,
        }
    }
}

impl Checks<'_> {
    fn on(&self, gate: Gate) -> bool {
        self.gates.enabled(gate)
    }

    /// `field (--flag)`, as upstream names fields that have a flag.
    fn called(path: &str) -> String {
        match table::writing(path) {
            Some(flag) => format!("{path} (--{})", flag.name),
            None => path.to_owned(),
        }
    }

    /// Reports a field; the cause is upstream's sentence.
    fn fail(&mut self, path: &str, cause: impl Into<String>, hint: impl Into<String>) {
        let value = read_at(self.document, path).map(|value| match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        });
        let origin = value.is_some().then(|| self.sources.of(path).to_string());
        let problem = Problem::new(Stage::Validate, path, cause, hint);
        self.problems.push(Problem { value, origin, ..problem });
    }

    /// `invalid configuration: field (--flag) value <must>`.
    fn must(&mut self, path: &str, value: impl std::fmt::Display, must: &str, hint: &str) {
        let cause = format!("invalid configuration: {} {value} {must}", Self::called(path));
        self.fail(path, cause, hint);
    }

    /// Reports a field whose value is none of `options`.
    fn one_of(&mut self, path: &str, value: &str, options: &[&str]) {
        if options.contains(&value) {
            return;
        }
        let list = options.iter().map(|option| format!("{option:?}")).collect::<Vec<_>>().join(", ");
        let cause = format!(
            "invalid configuration: option {value:?} specified for {}. Valid options are {list}",
            Self::called(path)
        );
        let hint = match crate::flags::nearest(value, options.iter().copied()) {
            Some(close) => format!("did you mean {close}?"),
            None => format!("write one of {list}"),
        };
        self.fail(path, cause, hint);
    }

    /// Reports a flag that has no field.
    fn fail_flag(&mut self, name: &str, cause: impl Into<String>, hint: impl Into<String>) {
        let value = self.flags.values.get(name).map(|value| match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        });
        let problem = Problem::new(Stage::Flags, format!("--{name}"), cause, hint);
        self.problems.push(Problem { value, ..problem });
    }
}

#[cfg(test)]
mod tests;
