//! `resourceFieldRef`: a container's requests and limits as numbers (contract §13).
//!
//! The arithmetic is upstream's: amounts are read to nano units, rounded up to whole units (cpu: to thousandths) and
//! divided, rounding up. The parser is private to this room's needs; `node` has the full quantity.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{Container, Pod, ResourceFieldSelector, ResourceRequirements},
    apimachinery::pkg::api::resource::Quantity,
};

/// Node allocatable by resource name, as canonical quantities.
pub type Allocatable = BTreeMap<String, String>;

/// Why a resource has no number.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResourceError {
    /// Neither cpu, memory, ephemeral storage nor huge pages, of requests or limits.
    #[error("unsupported container resource : {0}")]
    Unsupported(String),
    /// `containerName` names none of the pod's containers.
    #[error("container {0} not found")]
    NoContainer(String),
    /// A quantity does not parse.
    #[error(
        "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$' (value {0:?})"
    )]
    Quantity(String),
}

const NANO: i128 = 1_000_000_000;

/// Reads a quantity as nano units, rounding up what is finer. `None` when it is malformed or beyond all reason.
#[must_use]
pub fn parse_nano(text: &str) -> Option<i128> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let negative = text.starts_with('-');
    let end = unsigned.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(unsigned.len());
    let (number, suffix) = unsigned.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return None;
    }
    let digits: i128 = format!("0{whole}{fraction}").parse().ok()?;
    // value = digits × multiplier × 10^exponent nano units
    let mut exponent: i32 = 9 - i32::try_from(fraction.len()).ok()?;
    let mut multiplier: i128 = 1;
    match suffix {
        "" => {}
        "n" => exponent -= 9,
        "u" => exponent -= 6,
        "m" => exponent -= 3,
        "k" => exponent += 3,
        "M" => exponent += 6,
        "G" => exponent += 9,
        "T" => exponent += 12,
        "P" => exponent += 15,
        "E" => exponent += 18,
        "Ki" => multiplier = 1 << 10,
        "Mi" => multiplier = 1 << 20,
        "Gi" => multiplier = 1 << 30,
        "Ti" => multiplier = 1 << 40,
        "Pi" => multiplier = 1 << 50,
        "Ei" => multiplier = 1 << 60,
        _ => exponent += suffix.strip_prefix(['e', 'E'])?.parse::<i32>().ok()?,
    }
    let scaled = digits.checked_mul(multiplier)?;
    let nano = if exponent >= 0 {
        let power = 10_i128.checked_pow(exponent.unsigned_abs());
        if scaled == 0 { 0 } else { scaled.checked_mul(power?)? }
    } else {
        match 10_i128.checked_pow(exponent.unsigned_abs()) {
            Some(power) => ceil(scaled, power),
            None => i128::from(scaled > 0),
        }
    };
    Some(if negative { -nano } else { nano })
}

fn ceil(value: i128, by: i128) -> i128 {
    value.div_euclid(by) + i128::from(value.rem_euclid(by) != 0)
}

fn parse(text: &str) -> Result<i128, ResourceError> {
    parse_nano(text).ok_or_else(|| ResourceError::Quantity(text.to_owned()))
}

/// Whole units of a quantity, rounded up. Bytes for memory.
///
/// # Errors
/// A malformed quantity.
pub fn units(quantity: &str) -> Result<i128, ResourceError> {
    Ok(ceil(parse(quantity)?, NANO))
}

type Amounts = BTreeMap<String, Quantity>;

fn amount<'a>(amounts: Option<&'a Amounts>, name: &str) -> Option<&'a str> {
    amounts.and_then(|amounts| amounts.get(name)).map(|quantity| quantity.0.as_str())
}

/// What `limits.*` of a container shows: its own limit, else the default for it.
#[derive(Clone, Copy)]
enum Defaults<'a> {
    /// None: an unset limit reads as 0.
    Nothing,
    /// The node's allocatable.
    Node(&'a Allocatable),
    /// The pod's own limit where it has one, else the node's allocatable.
    PodThenNode(&'a Amounts, &'a Allocatable),
}

impl<'a> Defaults<'a> {
    fn get(self, name: &str) -> Option<&'a str> {
        match self {
            Self::Nothing => None,
            Self::Node(allocatable) => allocatable.get(name).map(String::as_str),
            Self::PodThenNode(pod, allocatable) => {
                let node = allocatable.get(name).map(String::as_str)?;
                let own = amount(Some(pod), name).filter(|own| parse_nano(own).is_some_and(|nano| nano != 0));
                // Pods have no limit of their own for ephemeral storage.
                Some(own.filter(|_| matches!(name, "cpu" | "memory")).unwrap_or(node))
            }
        }
    }
}

fn read(
    resources: Option<&ResourceRequirements>,
    selector: &ResourceFieldSelector,
    defaults: Defaults<'_>,
) -> Result<String, ResourceError> {
    let unsupported = || ResourceError::Unsupported(selector.resource.clone());
    let (kind, name) = selector.resource.split_once('.').ok_or_else(unsupported)?;
    let ordinary = matches!(name, "cpu" | "memory" | "ephemeral-storage");
    if !ordinary && !name.starts_with("hugepages-") {
        return Err(unsupported());
    }
    let found = match kind {
        "requests" => amount(resources.and_then(|r| r.requests.as_ref()), name),
        "limits" => {
            let own = amount(resources.and_then(|r| r.limits.as_ref()), name);
            let unset = own.is_none_or(|own| parse_nano(own) == Some(0));
            if ordinary && unset { defaults.get(name).or(own) } else { own }
        }
        _ => return Err(unsupported()),
    };
    let divisor = match selector.divisor.as_ref().map(|divisor| divisor.0.as_str()) {
        None | Some("") => NANO,
        Some(text) => match parse(text)? {
            0 => NANO,
            nano => nano,
        },
    };
    // cpu is counted in thousandths, everything else in whole units, each rounded up before the division.
    let unit = if name == "cpu" { NANO / 1000 } else { NANO };
    let value = ceil(parse(found.unwrap_or("0"))?, unit);
    Ok(ceil(value, ceil(divisor, unit).max(1)).to_string())
}

fn find<'a>(containers: &'a [Container], name: &str) -> Option<&'a Container> {
    containers.iter().find(|container| container.name == name)
}

/// A resource for an environment variable of `container`.
///
/// An unset limit shows the pod's limit, else the node's allocatable; of another init container named by
/// `containerName` it shows 0, as upstream does.
///
/// # Errors
/// An unsupported resource, an unknown container, a malformed quantity.
pub fn value(
    pod: &Pod,
    container: &Container,
    selector: &ResourceFieldSelector,
    allocatable: &Allocatable,
) -> Result<String, ResourceError> {
    let spec = pod.spec.as_ref();
    let pod_limits =
        spec.and_then(|spec| spec.resources.as_ref()).and_then(|own| own.limits.as_ref()).filter(|limits| {
            limits
                .keys()
                .any(|name| matches!(name.as_str(), "cpu" | "memory") || name.starts_with("hugepages-"))
        });
    let defaults = match pod_limits {
        Some(limits) => Defaults::PodThenNode(limits, allocatable),
        None => Defaults::Node(allocatable),
    };
    let name = selector.container_name.as_deref().unwrap_or_default();
    if name.is_empty() {
        return read(container.resources.as_ref(), selector, defaults);
    }
    if let Some(found) = spec.and_then(|spec| find(&spec.containers, name)) {
        return read(found.resources.as_ref(), selector, defaults);
    }
    let init = spec.and_then(|spec| find(spec.init_containers.as_deref().unwrap_or_default(), name));
    match init {
        Some(found) => read(found.resources.as_ref(), selector, Defaults::Nothing),
        None => Err(ResourceError::NoContainer(name.to_owned())),
    }
}

/// A resource for a downward API file: the container is named by the selector, defaults are the node's only.
///
/// # Errors
/// An unsupported resource, an unknown container, a malformed quantity.
pub fn volume_value(
    pod: &Pod,
    selector: &ResourceFieldSelector,
    allocatable: &Allocatable,
) -> Result<String, ResourceError> {
    let name = selector.container_name.as_deref().unwrap_or_default();
    let found = pod.spec.as_ref().and_then(|spec| {
        find(&spec.containers, name)
            .or_else(|| find(spec.init_containers.as_deref().unwrap_or_default(), name))
    });
    match found {
        Some(found) => read(found.resources.as_ref(), selector, Defaults::Node(allocatable)),
        None => Err(ResourceError::NoContainer(name.to_owned())),
    }
}

#[cfg(test)]
mod tests;
