//! Eviction thresholds: `memory.available: 100Mi`, `nodefs.available: 10%` (contract §19).

use std::{collections::BTreeMap, fmt, time::Duration};

use node::quantity::Quantity;

use crate::duration::GoDuration;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Signal {
    /// Capacity minus working set, bytes.
    MemoryAvailable,
    /// Bytes free on the filesystem of volumes and logs.
    NodeFsAvailable,
    /// Inodes free there.
    NodeFsInodesFree,
    /// Bytes free on the runtime's image filesystem.
    ImageFsAvailable,
    /// Inodes free there.
    ImageFsInodesFree,
    /// Bytes free on the filesystem of writable layers.
    ContainerFsAvailable,
    /// Inodes free there.
    ContainerFsInodesFree,
    /// Allocatable minus the pods' working set, bytes.
    AllocatableMemoryAvailable,
    /// Process ids free.
    PidAvailable,
}

const NAMES: [(Signal, &str); 9] = [
    (Signal::MemoryAvailable, "memory.available"),
    (Signal::NodeFsAvailable, "nodefs.available"),
    (Signal::NodeFsInodesFree, "nodefs.inodesFree"),
    (Signal::ImageFsAvailable, "imagefs.available"),
    (Signal::ImageFsInodesFree, "imagefs.inodesFree"),
    (Signal::ContainerFsAvailable, "containerfs.available"),
    (Signal::ContainerFsInodesFree, "containerfs.inodesFree"),
    (Signal::AllocatableMemoryAvailable, "allocatableMemory.available"),
    (Signal::PidAvailable, "pid.available"),
];

impl Signal {
    /// Its name in the configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        NAMES.iter().find(|(signal, _)| *signal == self).map_or("", |(_, name)| name)
    }

    /// By its name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        NAMES.iter().find(|(_, known)| *known == name).map(|(signal, _)| *signal)
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// An amount.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Amount {
    /// Bytes, inodes or processes.
    Units(i64),
    /// Part of the capacity, 0 to 1.
    Share(f32),
}

impl Amount {
    /// In units, of a capacity.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        reason = "upstream computes it in floating point, and the node object shows the result"
    )]
    pub fn of(self, capacity: i64) -> i64 {
        match self {
            Self::Units(units) => units,
            Self::Share(share) => (capacity as f64 * f64::from(share)) as i64,
        }
    }
}

/// When to act.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Threshold {
    /// What is measured.
    pub signal: Signal,
    /// Below this.
    pub value: Amount,
    /// For this long; `None` is a hard threshold.
    pub grace: Option<Duration>,
    /// How much to free at least.
    pub min_reclaim: Option<Amount>,
}

/// A bad entry: the field it is in, its key, and what is wrong in upstream's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bad {
    /// `evictionHard` and so on.
    pub field: &'static str,
    /// Key in it.
    pub key: String,
    /// Cause.
    pub cause: String,
}

/// The four maps of the configuration.
#[derive(Clone, Copy, Debug)]
pub struct Statements<'a> {
    /// `evictionHard`.
    pub hard: &'a BTreeMap<String, String>,
    /// `evictionSoft`.
    pub soft: &'a BTreeMap<String, String>,
    /// `evictionSoftGracePeriod`.
    pub grace: &'a BTreeMap<String, String>,
    /// `evictionMinimumReclaim`.
    pub reclaim: &'a BTreeMap<String, String>,
}

/// Parses all four maps.
///
/// # Errors
/// Every bad entry.
pub fn parse(statements: Statements<'_>) -> Result<Vec<Threshold>, Vec<Bad>> {
    let mut bad = Vec::new();
    let grace = entries("evictionSoftGracePeriod", statements.grace, &mut bad, |_, text| {
        let duration: GoDuration = text.parse().map_err(|error| format!("{error}"))?;
        if duration < GoDuration::ZERO {
            return Err(format!("invalid eviction grace period specified: {text}, must be a positive value"));
        }
        Ok(Some(duration.to_std()))
    });
    let reclaim = entries("evictionMinimumReclaim", statements.reclaim, &mut bad, |signal, text| {
        if text.ends_with('%') {
            let share = percentage(text)?;
            if share <= 0.0 {
                return Err(format!("eviction percentage minimum reclaim {signal} must be positive: {text}"));
            }
            return Ok(Some(Amount::Share(share)));
        }
        let quantity: Quantity = text.parse().map_err(|error| format!("{error}"))?;
        if quantity.is_negative() {
            return Err(format!("negative eviction minimum reclaim specified for {signal}"));
        }
        Ok(Some(Amount::Units(quantity.value())))
    });
    let hard = entries("evictionHard", statements.hard, &mut bad, threshold);
    let soft = entries("evictionSoft", statements.soft, &mut bad, threshold);
    let mut thresholds: Vec<Threshold> = hard
        .into_iter()
        .map(|(signal, value)| Threshold { signal, value, grace: None, min_reclaim: None })
        .collect();
    for (signal, value) in soft {
        match grace.get(&signal) {
            Some(grace) => {
                thresholds.push(Threshold { signal, value, grace: Some(*grace), min_reclaim: None })
            }
            None if statements.grace.contains_key(signal.name()) => {}
            None => bad.push(Bad {
                field: "evictionSoft",
                key: signal.name().to_owned(),
                cause: format!("grace period must be specified for the soft eviction threshold {signal}"),
            }),
        }
    }
    for threshold in &mut thresholds {
        threshold.min_reclaim = reclaim.get(&threshold.signal).copied();
    }
    if bad.is_empty() { Ok(thresholds) } else { Err(bad) }
}

fn entries<T>(
    field: &'static str,
    map: &BTreeMap<String, String>,
    bad: &mut Vec<Bad>,
    parse: impl Fn(Signal, &str) -> Result<Option<T>, String>,
) -> BTreeMap<Signal, T> {
    let mut parsed = BTreeMap::new();
    for (key, text) in map {
        let result = Signal::named(key)
            .ok_or_else(|| format!("unsupported eviction signal {key}"))
            .and_then(|signal| Ok(parse(signal, text)?.map(|value| (signal, value))));
        match result {
            Ok(Some((signal, value))) => {
                parsed.insert(signal, value);
            }
            Ok(None) => {}
            Err(cause) => bad.push(Bad { field, key: key.clone(), cause }),
        }
    }
    parsed
}

/// `None` for `0%` and `100%`, which switch a threshold off.
fn threshold(signal: Signal, text: &str) -> Result<Option<Amount>, String> {
    if text.ends_with('%') {
        if text == "0%" || text == "100%" {
            return Ok(None);
        }
        let share = percentage(text)?;
        if share < 0.0 {
            return Err(format!("eviction percentage threshold {signal} must be >= 0%: {text}"));
        }
        if share > 1.0 {
            return Err(format!("eviction percentage threshold {signal} must be <= 100%: {text}"));
        }
        return Ok(Some(Amount::Share(share)));
    }
    let quantity: Quantity = text.parse().map_err(|error| format!("{error}"))?;
    if quantity.is_negative() || quantity.is_zero() {
        return Err(format!("eviction threshold {signal} must be positive: {text}"));
    }
    Ok(Some(Amount::Units(quantity.value())))
}

fn percentage(text: &str) -> Result<f32, String> {
    let digits = text.trim_end_matches('%');
    match digits.parse::<f32>() {
        Ok(value) if value.is_finite() => Ok(value / 100.0),
        _ => Err(format!("strconv.ParseFloat: parsing {digits:?}: invalid syntax")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn hard_soft_and_reclaim_come_together() {
        let (hard, soft) = (
            map(&[("memory.available", "100Mi"), ("nodefs.available", "10%"), ("imagefs.available", "0%")]),
            map(&[("nodefs.inodesFree", "5%")]),
        );
        let (grace, reclaim) = (map(&[("nodefs.inodesFree", "1m30s")]), map(&[("memory.available", "1Gi")]));
        let parsed =
            parse(Statements { hard: &hard, soft: &soft, grace: &grace, reclaim: &reclaim }).unwrap();
        assert_eq!(parsed.len(), 3, "0% switches off: {parsed:?}");
        assert_eq!(parsed[0].value, Amount::Units(100 << 20));
        assert_eq!(parsed[0].min_reclaim, Some(Amount::Units(1 << 30)));
        assert_eq!(parsed[1].value.of(1000), 100);
        assert_eq!(parsed[2].grace, Some(Duration::from_secs(90)));
    }

    #[test]
    fn every_bad_entry_is_reported() {
        let (hard, soft) = (
            map(&[("memory", "1"), ("memory.available", "-1"), ("nodefs.available", "110%")]),
            map(&[("pid.available", "5")]),
        );
        let (grace, reclaim) = (map(&[("memory.available", "-1s")]), map(&[("memory.available", "x")]));
        let bad =
            parse(Statements { hard: &hard, soft: &soft, grace: &grace, reclaim: &reclaim }).unwrap_err();
        let causes: Vec<_> = bad.iter().map(|bad| bad.cause.as_str()).collect();
        assert_eq!(
            causes,
            [
                "invalid eviction grace period specified: -1s, must be a positive value",
                "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
                "unsupported eviction signal memory",
                "eviction threshold memory.available must be positive: -1",
                "eviction percentage threshold nodefs.available must be <= 100%: 110%",
                "grace period must be specified for the soft eviction threshold pid.available",
            ]
        );
    }
}
