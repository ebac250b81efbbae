//! Amounts of resources: what containers ask for together, and as texts in the API's canonical form.

use std::{collections::BTreeMap, fmt};

use k8s_openapi::{
    api::core::v1::{Container, PodSpec, ResourceRequirements},
    apimachinery::pkg::api::resource::Quantity,
};

use super::resource_ref::parse_nano;
use crate::decide::restart;

/// Nano-units of one.
pub(crate) const NANO: i128 = 1_000_000_000;
/// Suffixes of powers of 1024 with their nano-units.
const BINARY: [(i128, &str); 7] = [
    (NANO << 60, "Ei"),
    (NANO << 50, "Pi"),
    (NANO << 40, "Ti"),
    (NANO << 30, "Gi"),
    (NANO << 20, "Mi"),
    (NANO << 10, "Ki"),
    (NANO, ""),
];
/// Suffixes of powers of 1000.
const DECIMAL: [(i128, &str); 10] = [
    (NANO * 1_000_000_000_000_000_000, "E"),
    (NANO * 1_000_000_000_000_000, "P"),
    (NANO * 1_000_000_000_000, "T"),
    (NANO * 1_000_000_000, "G"),
    (NANO * 1_000_000, "M"),
    (NANO * 1_000, "k"),
    (NANO, ""),
    (NANO / 1_000, "m"),
    (NANO / 1_000_000, "u"),
    (1, "n"),
];

/// Requests or limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// What is set aside.
    Requests,
    /// What is not exceeded.
    Limits,
}

/// An amount that remembers how it was written.
#[derive(Clone, Debug, Default)]
pub(crate) struct Amount {
    nano: i128,
    /// The only part so far, verbatim.
    text: Option<String>,
    binary: bool,
}

impl Amount {
    /// `None`: not a quantity.
    pub(crate) fn of(quantity: &Quantity) -> Option<Self> {
        let nano = parse_nano(&quantity.0)?;
        Some(Self { nano, text: Some(quantity.0.clone()), binary: quantity.0.ends_with('i') })
    }

    /// In nano-units.
    pub(crate) fn nano(&self) -> i128 {
        self.nano
    }

    pub(crate) fn plus(self, other: Self) -> Self {
        match (self.nano, other.nano) {
            (0, _) => other,
            (_, 0) => self,
            (a, b) => Self { nano: a.saturating_add(b), text: None, binary: self.binary || other.binary },
        }
    }

    pub(crate) fn max(self, other: Self) -> Self {
        if other.nano > self.nano { other } else { self }
    }

    /// As it was written; what was added up is canonical.
    pub(crate) fn quantity(self) -> Quantity {
        let text = self.text.clone();
        Quantity(text.unwrap_or_else(|| self.to_string()))
    }
}

impl fmt::Display for Amount {
    /// Canonical: the largest suffix that leaves a whole number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nano == 0 {
            return f.write_str("0");
        }
        let large = self.nano.unsigned_abs() >= (NANO << 10).unsigned_abs();
        let binary = BINARY.iter().filter(|_| self.binary && large);
        match binary.chain(&DECIMAL).find(|(unit, _)| self.nano % unit == 0) {
            Some((unit, suffix)) => write!(f, "{}{suffix}", self.nano / unit),
            None => Ok(()),
        }
    }
}

/// One side of requirements.
pub(crate) fn list(
    resources: Option<&ResourceRequirements>,
    side: Side,
) -> Option<&BTreeMap<String, Quantity>> {
    let resources = resources?;
    match side {
        Side::Requests => resources.requests.as_ref(),
        Side::Limits => resources.limits.as_ref(),
    }
}

/// What all containers ask for together, by resource: regular containers and sidecars run together; each init container
/// runs beside the sidecars before it. A container without a value adds nothing.
pub(crate) fn of_containers(spec: &PodSpec, side: Side) -> BTreeMap<&str, Amount> {
    let inits = || spec.init_containers.iter().flatten();
    let containers = spec.containers.iter().chain(inits());
    let names =
        containers.flat_map(|container| list(container.resources.as_ref(), side).into_iter().flatten());
    let mut all: BTreeMap<&str, Amount> = names.map(|(name, _)| (name.as_str(), Amount::default())).collect();
    for (name, amount) in &mut all {
        let part =
            |container: &Container| list(container.resources.as_ref(), side)?.get(*name).and_then(Amount::of);
        let running = spec.containers.iter().chain(inits().filter(|c| restart::is_sidecar(c)));
        let together = running.filter_map(part).fold(Amount::default(), Amount::plus);
        let (mut before, mut highest) = (Amount::default(), Amount::default());
        for container in inits() {
            let own = part(container).unwrap_or_default();
            if restart::is_sidecar(container) {
                before = before.plus(own);
                highest = highest.max(before.clone());
            } else {
                highest = highest.max(before.clone().plus(own));
            }
        }
        *amount = together.max(highest);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn amount(text: &str) -> Amount {
        Amount::of(&Quantity(text.to_owned())).unwrap()
    }

    #[test]
    fn canonical_texts() {
        // Expected values are what apimachinery prints.
        for (text, expected) in [
            ("0", "0"),
            ("0Mi", "0"),
            ("1000m", "1"),
            ("1.5", "1500m"),
            ("1024Mi", "1Gi"),
            ("1.5Gi", "1536Mi"),
            ("0.5Ki", "512"),
            ("1000", "1k"),
            ("2500M", "2500M"),
            ("1000000G", "1P"),
            ("-1Gi", "-1Gi"),
            ("3u", "3u"),
        ] {
            assert_eq!(amount(text).to_string(), expected, "{text}");
        }
        assert_eq!(amount("1Gi").plus(amount("1024Mi")).quantity().0, "2Gi");
        assert_eq!(amount("1000m").plus(Amount::default()).quantity().0, "1000m");
    }
}
