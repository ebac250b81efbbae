//! Feature gates: names to switches, resolved once.
//!
//! Rules (contract §32): an unknown name stops the start, so does a locked gate with its other value and a gate that is
//! on while one that it needs is off; `AllAlpha` and `AllBeta` set every gate of their stage that is not named itself.

use std::collections::BTreeMap;

pub mod support;
mod table;

pub use table::{GATES, Gate};

/// How far a feature has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Off unless asked for.
    Alpha,
    /// Mostly on.
    Beta,
    /// Done; the gate will go.
    Ga,
    /// The gate or the old behaviour will go.
    Deprecated,
}

impl Stage {
    /// As the label `stage` of `kubernetes_feature_enabled` has it.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Alpha => "ALPHA",
            Self::Beta => "BETA",
            Self::Ga => "",
            Self::Deprecated => "DEPRECATED",
        }
    }
}

/// Whose behaviour a gate switches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Area {
    /// The kubelet reads it.
    Kubelet,
    /// Only other components do: accepted without effect, as upstream.
    Other,
}

/// A registered gate.
#[derive(Debug)]
pub struct Spec {
    /// The gate.
    pub gate: Gate,
    /// Its name.
    pub name: &'static str,
    /// On or off when nobody says.
    pub default: bool,
    /// Stage.
    pub stage: Stage,
    /// Any other value than the default stops the start.
    pub locked: bool,
    /// Who reads it.
    pub area: Area,
    /// Gates that must be on when this one is.
    pub needs: &'static [Gate],
}

/// Why a set of gates is refused. Displays in upstream's words.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum GateError {
    /// No such gate in 1.37.
    #[error("unrecognized feature gate: {name}")]
    Unknown {
        /// The name given.
        name: String,
    },
    /// Locked to its default.
    #[error("cannot set feature gate {name} to {value}, feature is locked to {default}", default = !value)]
    Locked {
        /// The gate.
        name: &'static str,
        /// The value given.
        value: bool,
    },
    /// Needs gates that are off.
    #[error("{name} is enabled, but depends on features that are disabled: [{}]", needs.join(" "))]
    Needs {
        /// The gate.
        name: &'static str,
        /// Those it needs and lacks.
        needs: Vec<&'static str>,
    },
}

impl GateError {
    /// The gate's name.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Unknown { name } => name,
            Self::Locked { name, .. } | Self::Needs { name, .. } => name,
        }
    }

    /// What the operator can do.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Unknown { name } => match nearest(name) {
                Some(close) => format!("did you mean {close}? Gates of features that are final are removed: delete the entry"),
                None => "the gate does not exist in 1.37 (gates of features that are final are removed): delete the entry".to_owned(),
            },
            Self::Locked { name, .. } => format!("delete {name} from the feature gates"),
            Self::Needs { name, needs } => format!("enable {} as well, or disable {name}", needs.join(" and ")),
        }
    }
}

fn nearest(name: &str) -> Option<&'static str> {
    crate::flags::nearest(name, GATES.iter().map(|spec| spec.name))
}

/// The resolved value of every gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeatureGates {
    bits: [u64; 4],
}

impl Default for FeatureGates {
    fn default() -> Self {
        let mut gates = Self { bits: [0; 4] };
        for spec in GATES {
            gates.set(spec.gate, spec.default);
        }
        gates
    }
}

impl FeatureGates {
    /// Whether a gate is on.
    #[must_use]
    pub fn enabled(&self, gate: Gate) -> bool {
        let index = gate as usize;
        self.bits[index / 64] & (1 << (index % 64)) != 0
    }

    fn set(&mut self, gate: Gate, on: bool) {
        let index = gate as usize;
        if on {
            self.bits[index / 64] |= 1 << (index % 64);
        } else {
            self.bits[index / 64] &= !(1 << (index % 64));
        }
    }

    /// Every gate with its value, sorted by name: the series of `kubernetes_feature_enabled`.
    pub fn iter(&self) -> impl Iterator<Item = (&'static Spec, bool)> + '_ {
        GATES.iter().map(|spec| (spec, self.enabled(spec.gate)))
    }

    /// Applies what was asked for. On errors, the gates are those that the accepted part gives.
    #[must_use]
    pub fn resolve(asked: &BTreeMap<String, bool>) -> (Self, Vec<GateError>) {
        let mut gates = Self::default();
        let mut errors = Vec::new();
        for (group, stage) in [("AllAlpha", Stage::Alpha), ("AllBeta", Stage::Beta)] {
            if let Some(&on) = asked.get(group) {
                for spec in GATES.iter().filter(|spec| spec.stage == stage && !spec.locked) {
                    gates.set(spec.gate, on);
                }
            }
        }
        for (name, &value) in asked {
            match GATES.binary_search_by(|spec| spec.name.cmp(name)) {
                Err(_) => errors.push(GateError::Unknown { name: name.clone() }),
                Ok(index) if GATES[index].locked && GATES[index].default != value => {
                    errors.push(GateError::Locked { name: GATES[index].name, value });
                }
                Ok(index) => gates.set(GATES[index].gate, value),
            }
        }
        for spec in GATES.iter().filter(|spec| gates.enabled(spec.gate)) {
            let needs: Vec<_> =
                spec.needs.iter().filter(|need| !gates.enabled(**need)).map(|need| need.name()).collect();
            if !needs.is_empty() {
                errors.push(GateError::Needs { name: spec.name, needs });
            }
        }
        (gates, errors)
    }
}

impl Gate {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        GATES[self as usize].name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(pairs: &[(&str, bool)]) -> (FeatureGates, Vec<String>) {
        let asked = pairs.iter().map(|(name, on)| ((*name).to_owned(), *on)).collect();
        let (gates, errors) = FeatureGates::resolve(&asked);
        (gates, errors.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn the_table_is_sorted_and_indexed_by_the_gate() {
        assert_eq!(GATES.len(), 254, "upstream 1.37.2 registers 254 gates");
        for (index, spec) in GATES.iter().enumerate() {
            assert_eq!(spec.gate as usize, index);
        }
        assert!(GATES.windows(2).all(|pair| pair[0].name < pair[1].name));
    }

    #[test]
    fn defaults_satisfy_their_needs() {
        assert_eq!(resolve(&[]).1, Vec::<String>::new());
    }

    #[test]
    fn unknown_locked_and_needing_gates_are_all_reported() {
        let (_, errors) =
            resolve(&[("SidecarContainers", true), ("NodeSwap", false), ("GracefulNodeShutdown", false)]);
        assert_eq!(
            errors,
            [
                "cannot set feature gate NodeSwap to false, feature is locked to true",
                "unrecognized feature gate: SidecarContainers",
                "GracefulNodeShutdownBasedOnPodPriority is enabled, but depends on features that are disabled: [GracefulNodeShutdown]",
                "WindowsGracefulNodeShutdown is enabled, but depends on features that are disabled: [GracefulNodeShutdown]",
            ]
        );
    }

    #[test]
    fn groups_leave_named_gates_alone() {
        let (gates, errors) =
            resolve(&[("AllAlpha", true), ("EventedPLEG", false), ("GenericWorkload", true)]);
        assert_eq!(errors, Vec::<String>::new());
        assert!(!gates.enabled(Gate::EventedPLEG));
        assert!(gates.enabled(Gate::CRIListStreaming));
        assert!(gates.enabled(Gate::EnvFiles), "beta gates keep their default");
    }

    #[test]
    fn a_locked_gate_may_be_set_to_its_own_value() {
        assert_eq!(resolve(&[("SystemdWatchdog", true)]).1, Vec::<String>::new());
    }
}
