//! What was set and changes nothing: a promise that is not kept has to be said aloud, once, at the start. The facts are
//! those of docs/compat.md, so that both say the same.

use serde_json::Map;

use super::{
    KubeletConfiguration, Loaded, defaults,
    load::{Notice, read_at},
    schema::{self, Support},
};
use crate::{
    flags::{self, FLAGS, RawFlags, value},
    gates::{self, GATES},
};

/// Levels of `enforceNodeAllocatable` that are enforced, or ask for nothing.
const ENFORCED: [&str; 2] = ["pods", "none"];

/// Something that was set and that nothing acts on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idle {
    /// A field's path, a flag with its dashes, a gate's path.
    pub name: String,
    /// Why nothing does.
    pub why: &'static str,
}

impl Idle {
    /// For the log.
    #[must_use]
    pub fn notice(self) -> Notice {
        let Self { name, why } = self;
        Notice {
            message: format!("{name} is set but has no effect: {why}"),
            hint: "docs/compat.md lists what every flag, field and gate does".to_owned(),
        }
    }
}

/// Everything that was set to something else than its default and that nothing acts on.
#[must_use]
pub fn without_effect(loaded: &Loaded, flags: &RawFlags) -> Vec<Idle> {
    let mut found = fields(loaded);
    found.extend(levels(loaded));
    found.extend(own_flags(flags));
    found.extend(switches(loaded));
    found
}

fn fields(loaded: &Loaded) -> Vec<Idle> {
    let gates = &loaded.gates;
    let mut file = Map::new();
    defaults::apply(&mut file, gates);
    let flags = defaults::flag_baseline(gates);
    let mut found = Vec::new();
    schema::leaves(KubeletConfiguration::FIELDS, &mut |path, field| {
        let Support::AcceptedNoEffect { why } = field.support else { return };
        let Some(value) = read_at(&loaded.document, path) else { return };
        let is_default = |set: &Map<_, _>| read_at(set, path) == Some(value);
        if loaded.sources.is_set_within(path) && !is_default(&file) && !is_default(&flags) {
            found.push(Idle { name: path.to_owned(), why });
        }
    });
    found
}

/// The field does something, but not with each of its words.
fn levels(loaded: &Loaded) -> impl Iterator<Item = Idle> {
    let levels = loaded.config.enforce_node_allocatable.iter();
    levels.filter(|level| !ENFORCED.contains(&level.as_str())).map(|level| Idle {
        name: format!("enforceNodeAllocatable: {level}"),
        why: "limits on the cgroups of system daemons are not built yet",
    })
}

fn own_flags(flags: &RawFlags) -> impl Iterator<Item = Idle> {
    FLAGS.iter().filter(|flag| flag.field.is_none()).filter_map(|flag| {
        let Support::AcceptedNoEffect { why } = flags::support::of(flag.name) else { return None };
        let given = value::print(flag.kind, flags.values.get(flag.name)?);
        (given != flag.default).then(|| Idle { name: format!("--{}", flag.name), why })
    })
}

/// Gates that were named: those that `AllAlpha` or `AllBeta` switch are too many to be told.
fn switches(loaded: &Loaded) -> impl Iterator<Item = Idle> {
    let named = loaded.document.get("featureGates").and_then(|value| value.as_object());
    let named = move |name: &str| named.is_some_and(|gates| gates.contains_key(name));
    GATES
        .iter()
        .filter(|spec| gates::support::of(spec) == Some(gates::support::Here::Absent))
        .filter(move |spec| named(spec.name) && loaded.gates.enabled(spec.gate) != spec.default)
        .map(|spec| Idle {
            name: format!("featureGates.{}", spec.name),
            why: "what it switches is not built yet, or cannot be switched here",
        })
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::{
        config::{API_VERSION, KIND, load},
        flags::parse,
    };

    fn named(body: &str, args: &[&str]) -> Vec<String> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        write!(file, "apiVersion: {API_VERSION}\nkind: {KIND}\n{body}\n").unwrap();
        let config = format!("--config={}", file.path().display());
        let args = args.iter().map(|arg| (*arg).to_owned()).chain([config]);
        let flags = parse(args).unwrap();
        without_effect(&load(&flags).unwrap(), &flags).into_iter().map(|idle| idle.name).collect()
    }

    #[test]
    fn fields_are_named_only_when_changed() {
        assert_eq!(named("", &[]), Vec::<String>::new());
        let same = "cpuManagerPolicy: none\nmaxPods: 5\nauthorization: {mode: Webhook}\n";
        assert_eq!(named(same, &[]), Vec::<String>::new());
        let changed = "cpuManagerPolicy: static\nevictionSoft: {memory.available: 1Gi}\n";
        assert_eq!(named(changed, &[]), ["cpuManagerPolicy", "evictionSoft"]);
    }

    #[test]
    fn flags_without_a_field_are_named_when_changed() {
        let unchanged = [
            "--housekeeping-interval=10s",
            "--maximum-dead-containers=-1",
            "--maximum-dead-containers-per-container=1",
            "--minimum-container-ttl-duration=0s",
            "--root-dir=/somewhere",
        ];
        assert_eq!(named("", &unchanged), Vec::<String>::new());
        let changed = [
            "--image-credential-provider-config=/c",
            "--image-credential-provider-bin-dir=/b",
            "--experimental-mounter-path=/m",
            "--maximum-dead-containers=3",
            "--maximum-dead-containers-per-container=2",
            "--minimum-container-ttl-duration=1m",
            "--housekeeping-interval=1s",
        ];
        let names: Vec<_> = changed.iter().map(|flag| flag.split('=').next().unwrap()).collect();
        let mut found = named("", &changed);
        found.sort();
        let mut wanted = names;
        wanted.sort_unstable();
        assert_eq!(found, wanted);
    }

    #[test]
    fn gates_are_named_that_were_switched_and_switch_nothing() {
        let gates = "featureGates: {EventedPLEG: true, EnvFiles: true, PodLogsQuerySplitStreams: true, \
                     NodeLifecycleConditions: true, CRIListStreaming: false}";
        assert_eq!(named(gates, &[]), ["featureGates.EventedPLEG"]);
        assert_eq!(named("", &["--feature-gates=SELinuxMount=false"]), ["featureGates.SELinuxMount"]);
        assert_eq!(named("", &["--feature-gates=AllAlpha=true,GenericWorkload=true"]), Vec::<String>::new());
    }

    #[test]
    fn levels_are_named_that_are_not_enforced() {
        let body = "enforceNodeAllocatable: [pods, system-reserved]\nsystemReservedCgroup: /s";
        assert_eq!(named(body, &[]), ["systemReservedCgroup", "enforceNodeAllocatable: system-reserved"]);
        assert_eq!(named("enforceNodeAllocatable: [none]", &[]), Vec::<String>::new());
    }
}
