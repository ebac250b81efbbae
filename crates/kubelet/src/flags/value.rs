//! Flag values: text to typed value, repeated flags, and back to text as pflag prints it.
//!
//! Values are kept in the form that the mirrored configuration field has on the wire, so that a flag is applied by
//! writing its value to the field's path.

use std::net::IpAddr;

use node::quantity::{ParseError, Quantity};
use serde_json::{Map, Value, json};

use super::Kind;
use crate::{
    duration::{DurationError, GoDuration},
    labels::taints::{self, TaintError},
};

/// Why a text is no value of its type. Displays in upstream's words.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum ValueError {
    /// Not a bool.
    #[error("strconv.ParseBool: parsing {0:?}: invalid syntax")]
    Bool(String),
    /// Not a number.
    #[error("strconv.Parse{function}: parsing {text:?}: {reason}")]
    Int {
        /// `Int` or `Uint`.
        function: &'static str,
        /// The text.
        text: String,
        /// `invalid syntax` or `value out of range`.
        reason: &'static str,
    },
    /// Not a duration.
    #[error(transparent)]
    Duration(DurationError),
    /// Not an address.
    #[error("{0:?} is not a valid IP address")]
    Ip(String),
    /// An item of a map without its separator.
    #[error("malformed pair, expect {0}")]
    Pair(&'static str),
    /// A map item that is no bool.
    #[error("invalid value of {key}: {text}, err: strconv.ParseBool: parsing {text:?}: invalid syntax")]
    BoolItem {
        /// Key.
        key: String,
        /// Value.
        text: String,
    },
    /// Not `pattern=N`.
    #[error("{0:?} does not have the pattern=N format")]
    VModule(String),
    /// Not a quantity.
    #[error(transparent)]
    Quantity(ParseError),
    /// Not a taint.
    #[error(transparent)]
    Taint(TaintError),
    /// Not a memory reservation.
    #[error("{0}")]
    ReservedMemory(String),
    /// Unbalanced quotes in a list.
    #[error("parse error on line 1, column {0}: extraneous or missing \" in quoted-field")]
    Quotes(usize),
}

impl ValueError {
    /// What the operator can do.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Bool(_) => "write =true or =false, joined to the flag by an equal sign",
            Self::Int { .. } => "write a whole number",
            Self::Duration(_) => "write a number with its unit, such as 300ms, 10s or 1h30m",
            Self::Ip(_) => "write an IPv4 or IPv6 address without a port",
            Self::Pair(_) => "separate key and value as shown, items by commas",
            Self::BoolItem { .. } => "write Name=true or Name=false, items by commas",
            Self::VModule(_) => "write file=level, items by commas, such as worker=4,image*=2",
            Self::Quantity(_) => "write a number with an optional suffix, such as 500m, 10Mi or 1Gi",
            Self::Taint(_) => "write key=value:Effect with NoSchedule, PreferNoSchedule or NoExecute",
            Self::ReservedMemory(_) => "write NUMA node and amounts, such as 0:memory=1Gi,hugepages-2Mi=64Mi",
            Self::Quotes(_) => "quote a whole item or none of it",
        }
    }
}

/// Parses `text` and joins it to what the flag holds already. `None` leaves the flag as it was.
///
/// # Errors
/// [`ValueError`] when the text is not of the type.
pub fn accumulate(kind: Kind, held: Option<&Value>, text: &str) -> Result<Option<Value>, ValueError> {
    let object = || held.and_then(Value::as_object).cloned().unwrap_or_default();
    let list = || held.and_then(Value::as_array).cloned().unwrap_or_default();
    Ok(Some(match kind {
        Kind::Bool => parse_bool(text).ok_or_else(|| ValueError::Bool(text.to_owned()))?.into(),
        Kind::Int32 => parse_int(text, i64::from(i32::MIN), i64::from(i32::MAX))?.into(),
        Kind::Int64 => parse_int(text, i64::MIN, i64::MAX)?.into(),
        Kind::Level => parse_level(text)?.into(),
        Kind::Text => text.into(),
        Kind::Duration => text.parse::<GoDuration>().map_err(ValueError::Duration)?.to_string().into(),
        Kind::Quantity => text.parse::<Quantity>().map_err(ValueError::Quantity)?.to_string().into(),
        Kind::Ip if text.is_empty() => return Ok(None),
        Kind::Ip => match parse_ip(text) {
            Some(_) => text.into(),
            None => return Err(ValueError::Ip(text.to_owned())),
        },
        Kind::Texts => {
            let mut items = list();
            items.extend(split_csv(text)?.into_iter().map(Value::from));
            items.into()
        }
        Kind::TextMap => pairs(object(), text, '=', "string=string")?,
        Kind::AngleMap => pairs(object(), text, '<', "string<string")?,
        Kind::TextMapUnsplit => {
            let (key, value) = text.split_once('=').ok_or(ValueError::Pair("string=string"))?;
            let mut map = object();
            map.insert(key.trim().to_owned(), value.trim().into());
            map.into()
        }
        Kind::Labels => {
            let mut map = object();
            for item in text.split(',').filter(|item| !item.is_empty()) {
                let (key, value) = item.split_once('=').unwrap_or((item, ""));
                map.insert(key.trim().to_owned(), value.trim().into());
            }
            map.into()
        }
        Kind::BoolMap => {
            let mut map = object();
            for item in text.split(',').filter(|item| !item.is_empty()) {
                let (key, value) = item.split_once('=').ok_or(ValueError::Pair("string=bool"))?;
                let (key, value) = (key.trim().to_owned(), value.trim());
                match parse_bool(value) {
                    Some(on) => map.insert(key, on.into()),
                    None => return Err(ValueError::BoolItem { key, text: value.to_owned() }),
                };
            }
            map.into()
        }
        Kind::ColonMultimap => {
            let mut map = object();
            for item in text.split(',').filter(|item| !item.is_empty()) {
                let (key, value) = item.split_once(':').ok_or(ValueError::Pair("string:string"))?;
                let values = map.entry(key.trim().to_owned()).or_insert_with(|| json!([]));
                if let Value::Array(values) = values {
                    values.push(value.trim().into());
                }
            }
            map.into()
        }
        Kind::VModule => {
            let mut items = list();
            for item in text.split(',').filter(|item| !item.is_empty()) {
                let malformed = || ValueError::VModule(item.to_owned());
                let (pattern, level) = item.split_once('=').ok_or_else(malformed)?;
                if pattern.is_empty() || level.is_empty() || level.contains('=') {
                    return Err(malformed());
                }
                items.push(json!({ "filePattern": pattern, "verbosity": parse_level(level)? }));
            }
            items.into()
        }
        Kind::Version => match text {
            "raw" => text.into(),
            release if release.starts_with('v') => release.into(),
            _ => parse_bool(text).ok_or_else(|| ValueError::Bool(text.to_owned()))?.to_string().into(),
        },
        Kind::Taints => {
            let parsed = taints::parse_list(text).map_err(ValueError::Taint)?;
            parsed
                .into_iter()
                .map(|taint| {
                    let mut object = Map::new();
                    object.insert("effect".to_owned(), taint.effect.into());
                    object.insert("key".to_owned(), taint.key.into());
                    if let Some(value) = taint.value {
                        object.insert("value".to_owned(), value.into());
                    }
                    Value::Object(object)
                })
                .collect::<Vec<_>>()
                .into()
        }
        Kind::ReservedMemory if text.is_empty() => return Ok(None),
        Kind::ReservedMemory => {
            let mut items = list();
            for reservation in text.split(';') {
                items.push(parse_reservation(reservation).map_err(ValueError::ReservedMemory)?);
            }
            items.into()
        }
    }))
}

fn pairs(
    mut map: Map<String, Value>,
    text: &str,
    separator: char,
    form: &'static str,
) -> Result<Value, ValueError> {
    for item in text.split(',').filter(|item| !item.is_empty()) {
        let (key, value) = item.split_once(separator).ok_or(ValueError::Pair(form))?;
        map.insert(key.trim().to_owned(), value.trim().into());
    }
    Ok(map.into())
}

/// Go's `strconv.ParseBool`.
#[must_use]
pub fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

fn parse_level(text: &str) -> Result<u32, ValueError> {
    let error = |reason| ValueError::Int { function: "Uint", text: text.to_owned(), reason };
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(error("invalid syntax"));
    }
    text.parse()
        .ok()
        .filter(|level| *level <= i32::MAX.unsigned_abs())
        .ok_or_else(|| error("value out of range"))
}

/// Go's `strconv.ParseInt` with base 0: the prefix tells the base, `_` may separate digits where there is a prefix.
fn parse_int(text: &str, least: i64, most: i64) -> Result<i64, ValueError> {
    let error = |reason| ValueError::Int { function: "Int", text: text.to_owned(), reason };
    let invalid = || error("invalid syntax");
    let (negative, digits) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    let lower = digits.to_ascii_lowercase();
    let (base, digits) = match lower.as_bytes() {
        [b'0', b'x', ..] => (16, &lower[2..]),
        [b'0', b'o', ..] => (8, &lower[2..]),
        [b'0', b'b', ..] => (2, &lower[2..]),
        [b'0', _, ..] => (8, &lower[1..]),
        _ => (10, lower.as_str()),
    };
    let separated: String = match base {
        10 => digits.to_owned(),
        _ if digits.ends_with('_') || digits.contains("__") => return Err(invalid()),
        _ => digits.replace('_', ""),
    };
    if separated.is_empty() || !separated.chars().all(|c| c.is_digit(base)) {
        return Err(invalid());
    }
    let magnitude = i128::from_str_radix(&separated, base).unwrap_or(i128::MAX);
    let value = if negative { -magnitude } else { magnitude };
    i64::try_from(value)
        .ok()
        .filter(|value| (least..=most).contains(value))
        .ok_or_else(|| error("value out of range"))
}

/// An address; leading zeros in IPv4 parts are read as decimal, as upstream does for old configurations.
#[must_use]
pub fn parse_ip(text: &str) -> Option<IpAddr> {
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    let parts: Vec<&str> = text.split('.').collect();
    if parts.len() != 4
        || !parts.iter().all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()))
    {
        return None;
    }
    let plain: Vec<&str> = parts
        .iter()
        .map(|part| match part.trim_start_matches('0') {
            "" => "0",
            digits => digits,
        })
        .collect();
    plain.join(".").parse().ok()
}

/// One line of CSV, as pflag's lists are written.
fn split_csv(text: &str) -> Result<Vec<String>, ValueError> {
    let mut items = Vec::new();
    if text.is_empty() {
        return Ok(items);
    }
    let mut rest = text;
    loop {
        let column = text.len() - rest.len() + 1;
        let Some(quoted) = rest.strip_prefix('"') else {
            let (item, after) =
                rest.split_once(',').map_or((rest, None), |(item, after)| (item, Some(after)));
            if item.contains('"') {
                return Err(ValueError::Quotes(column));
            }
            items.push(item.to_owned());
            match after {
                Some(after) => rest = after,
                None => return Ok(items),
            }
            continue;
        };
        let mut item = String::new();
        let mut tail = quoted;
        loop {
            let (part, after) = tail.split_once('"').ok_or(ValueError::Quotes(column))?;
            item.push_str(part);
            match after.strip_prefix('"') {
                Some(more) => {
                    item.push('"');
                    tail = more;
                }
                None => {
                    tail = after;
                    break;
                }
            }
        }
        items.push(item);
        match tail.strip_prefix(',') {
            Some(after) => rest = after,
            None if tail.is_empty() => return Ok(items),
            None => return Err(ValueError::Quotes(column)),
        }
    }
}

fn parse_reservation(text: &str) -> Result<Value, String> {
    let malformed = || {
        format!(
            "the reserved memory has incorrect format, expected numaNodeID:type=quantity[,type=quantity...], got {text}"
        )
    };
    let (node, limits) = text.split_once(':').ok_or_else(malformed)?;
    if limits.contains(':') {
        return Err(malformed());
    }
    let number: i32 = node
        .parse()
        .map_err(|_| format!("failed to convert the NUMA node ID, expected integer, got {node}"))?;
    let mut map = Map::new();
    for limit in limits.split(',') {
        let (kind, amount) =
            limit.split_once('=').filter(|(_, amount)| !amount.contains('=')).ok_or_else(|| {
                format!("the reserved limit has incorrect value, expected type=quantity, got {limit}")
            })?;
        if kind != "memory" && !kind.starts_with("hugepages-") {
            return Err(format!("memory type conversion error, unknown type: {kind:?}"));
        }
        let quantity: Quantity =
            amount.parse().map_err(|_| format!("failed to parse the quantity: {amount}"))?;
        map.insert(kind.to_owned(), quantity.to_string().into());
    }
    Ok(json!({ "numaNode": number, "limits": map }))
}

/// The value as pflag prints it.
#[must_use]
pub fn print(kind: Kind, value: &Value) -> String {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let join = |separator: char| {
        let map = value.as_object();
        let items = map.into_iter().flatten().map(|(key, value)| format!("{key}{separator}{}", text(value)));
        items.collect::<Vec<_>>().join(",")
    };
    let field = |item: &Value, name: &str| item.get(name).map(text).unwrap_or_default();
    let list = value.as_array().map(Vec::as_slice).unwrap_or_default();
    match kind {
        Kind::Texts => format!("[{}]", list.iter().map(text).collect::<Vec<_>>().join(",")),
        Kind::TextMap | Kind::TextMapUnsplit | Kind::Labels | Kind::BoolMap => join('='),
        Kind::AngleMap => join('<'),
        Kind::ColonMultimap => {
            let map = value.as_object().into_iter().flatten();
            let items = map.flat_map(|(key, values)| {
                values.as_array().into_iter().flatten().map(move |value| format!("{key}:{}", text(value)))
            });
            items.collect::<Vec<_>>().join(",")
        }
        Kind::VModule => {
            let items = list
                .iter()
                .map(|item| format!("{}={}", field(item, "filePattern"), field(item, "verbosity")));
            items.collect::<Vec<_>>().join(",")
        }
        Kind::Taints => {
            let items = list.iter().map(|item| {
                format!("{}={}:{}", field(item, "key"), field(item, "value"), field(item, "effect"))
            });
            items.collect::<Vec<_>>().join(",")
        }
        Kind::ReservedMemory => {
            let mut items: Vec<String> = list
                .iter()
                .map(|item| {
                    let limits = item.get("limits").and_then(Value::as_object).into_iter().flatten();
                    let limits: Vec<_> =
                        limits.map(|(kind, amount)| format!("{kind}={}", text(amount))).collect();
                    format!("{}:{}", field(item, "numaNode"), limits.join(","))
                })
                .collect();
            items.sort();
            items.join(",")
        }
        _ => text(value),
    }
}
