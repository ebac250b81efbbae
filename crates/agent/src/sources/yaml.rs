//! YAML as upstream reads manifests: by the rules of YAML 1.1 that Go's library has kept.
//!
//! People's manifests lean on them: `defaultMode: 0644` is octal, `yes` and `off` are truth values, `<<` merges an
//! anchored mapping. Of several documents only the first counts, and of two fields of one name the last. A pod's identity
//! hangs on the result, so scalars are resolved here and not by the parser's own rules.

use std::collections::BTreeMap;

use granit_parser::{Event, Options, Parser, ScalarStyle, StrInput, Tag};
use serde_json::{Map, Number, Value};

/// Most values of a document, aliases written out: a few lines of aliases to aliases could fill the memory.
const MOST_VALUES: usize = 1_000_000;

/// Why a text is no YAML that a manifest may be. Displays with line and column where they are known.
#[derive(Debug, thiserror::Error)]
pub enum YamlError {
    /// The parser's text.
    #[error("{0}")]
    Syntax(#[from] granit_parser::ScanError),
    /// A mapping's key is a list, a mapping or nothing.
    #[error("line {line}: the key of a mapping is no plain text")]
    Key {
        /// Counted from one.
        line: usize,
    },
    /// What follows `<<` is no mapping.
    #[error("line {line}: only a mapping, or a list of mappings, can be merged with \"<<\"")]
    Merge {
        /// Counted from one.
        line: usize,
    },
    /// A number that JSON has no notation for, or a tag that its value does not fit.
    #[error("line {line}: {text:?} cannot be a value here")]
    Value {
        /// Counted from one.
        line: usize,
        /// As written.
        text: String,
    },
    /// See [`MOST_VALUES`].
    #[error("more than {MOST_VALUES} values, with all aliases written out")]
    TooMany,
}

/// Reads the first document.
///
/// # Errors
/// It is no YAML, or has no equivalent in JSON.
pub fn read(text: &str) -> Result<Value, YamlError> {
    let mut options = Options::default();
    options.set_emit_comments(false);
    let mut reader = Reader {
        events: Parser::new_from_str_with_options(text, options),
        anchors: BTreeMap::new(),
        values: 0,
    };
    loop {
        match reader.next()? {
            (Event::StreamStart | Event::DocumentStart(..), _) => {}
            (Event::StreamEnd | Event::DocumentEnd, _) => return Ok(Value::Null),
            (event, line) => return reader.value(event, line),
        }
    }
}

struct Reader<'a> {
    events: Parser<'a, StrInput<'a>>,
    /// Anchored values, each with the number of values in it.
    anchors: BTreeMap<usize, (Value, usize)>,
    values: usize,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<(Event<'a>, usize), YamlError> {
        match self.events.next() {
            Some(event) => {
                let (event, span) = event?;
                Ok((event, span.start.line()))
            }
            None => Ok((Event::StreamEnd, 0)),
        }
    }

    fn count(&mut self, more: usize) -> Result<(), YamlError> {
        self.values = self.values.saturating_add(more);
        if self.values > MOST_VALUES { Err(YamlError::TooMany) } else { Ok(()) }
    }

    fn value(&mut self, event: Event<'a>, line: usize) -> Result<Value, YamlError> {
        let before = self.values;
        self.count(1)?;
        let (value, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => (scalar(&text, style, tag.as_deref(), line)?, anchor),
            Event::SequenceStart(_, anchor, _) => (self.list()?, anchor),
            Event::MappingStart(_, anchor, _) => (Value::Object(self.mapping()?), anchor),
            Event::Alias(anchor) => {
                let (value, size) = self.anchors.get(&anchor).cloned().unwrap_or((Value::Null, 1));
                self.count(size)?;
                (value, 0)
            }
            _ => (Value::Null, 0),
        };
        if anchor != 0 {
            self.anchors.insert(anchor, (value.clone(), self.values - before));
        }
        Ok(value)
    }

    fn list(&mut self) -> Result<Value, YamlError> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd | Event::StreamEnd, _) => return Ok(Value::Array(items)),
                (event, line) => items.push(self.value(event, line)?),
            }
        }
    }

    /// Fields in their order: what comes later wins, merged fields as well.
    fn mapping(&mut self) -> Result<Map<String, Value>, YamlError> {
        let mut fields = Map::new();
        loop {
            let (event, line) = self.next()?;
            if matches!(event, Event::MappingEnd | Event::StreamEnd) {
                return Ok(fields);
            }
            let merges = matches!(&event, Event::Scalar(text, ScalarStyle::Plain, _, None) if text == "<<");
            let float = match &event {
                Event::Scalar(text, ScalarStyle::Plain, _, None) => match resolve(text) {
                    Plain::Float(float) => Some(short_float(float)),
                    _ => None,
                },
                _ => None,
            };
            let key = self.value(event, line)?;
            let (event, value_line) = self.next()?;
            let value = self.value(event, value_line)?;
            if merges {
                merge(&mut fields, value, line)?;
            } else {
                let key = float.or_else(|| key_text(key)).ok_or(YamlError::Key { line })?;
                fields.insert(key, value);
            }
        }
    }
}

/// Of a list of mappings the first has the last word.
fn merge(fields: &mut Map<String, Value>, merged: Value, line: usize) -> Result<(), YamlError> {
    let mappings = match merged {
        Value::Array(items) => items,
        other => vec![other],
    };
    for mapping in mappings.into_iter().rev() {
        let Value::Object(mapping) = mapping else { return Err(YamlError::Merge { line }) };
        fields.extend(mapping);
    }
    Ok(())
}

fn key_text(key: Value) -> Option<String> {
    match key {
        Value::String(text) => Some(text),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// A float as a key: in single precision, from a million on and below a ten-thousandth with an exponent.
fn short_float(float: f64) -> String {
    #[allow(clippy::cast_possible_truncation, reason = "single precision is what a key has")]
    let float = float as f32;
    if float.is_infinite() {
        return if float > 0.0 { ".inf" } else { "-.inf" }.to_owned();
    }
    if float == 0.0 || float.is_nan() || (1e-4..1e6).contains(&float.abs()) {
        return float.to_string();
    }
    let text = format!("{float:e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, digits) = exponent.strip_prefix('-').map_or(('+', exponent), |digits| ('-', digits));
    format!("{mantissa}e{sign}{digits:0>2}")
}

fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>, line: usize) -> Result<Value, YamlError> {
    let tag = match tag {
        Some(tag) => Some(tag.core_suffix()),
        None if style == ScalarStyle::Plain => None,
        None => return Ok(Value::from(text)),
    };
    let value = match (tag, resolve(text)) {
        (None | Some(Some("null")), Plain::Null) => Some(Value::Null),
        (None | Some(Some("bool")), Plain::Truth(truth)) => Some(Value::Bool(truth)),
        (None | Some(Some("int" | "float")), Plain::Integer(number)) => Some(Value::Number(number)),
        (None | Some(Some("float")), Plain::Float(float)) => number(float).map(Value::Number),
        (Some(Some("null" | "bool" | "int" | "float")), _) => None,
        _ => Some(Value::from(text)),
    };
    value.ok_or_else(|| YamlError::Value { line, text: text.to_owned() })
}

/// What a scalar without quotes means.
enum Plain {
    Null,
    Truth(bool),
    Integer(Number),
    Float(f64),
    Text,
}

fn resolve(text: &str) -> Plain {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Plain::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            return Plain::Truth(true);
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            return Plain::Truth(false);
        }
        ".nan" | ".NaN" | ".NAN" => return Plain::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => return Plain::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => return Plain::Float(f64::NEG_INFINITY),
        _ => {}
    }
    let float = |text: &str| text.parse().ok().filter(|float: &f64| float.is_finite());
    let float = match text.as_bytes().first() {
        Some(b'.') => float(text),
        Some(b'+' | b'-' | b'0'..=b'9') => {
            let digits = text.replace('_', "");
            match integer(&digits) {
                Some(number) => return Plain::Integer(number),
                None => is_float(&digits).then(|| float(&digits)).flatten(),
            }
        }
        _ => None,
    };
    float.map_or(Plain::Text, Plain::Float)
}

/// Decimal, `0x`, `0o`, `0b`, or octal with a leading zero.
fn integer(text: &str) -> Option<Number> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, text.get(1..)?),
        b'+' => (false, text.get(1..)?),
        _ => (false, text),
    };
    let lower = digits.to_ascii_lowercase();
    let (radix, digits) = match lower.as_bytes() {
        [b'0', b'x', ..] => (16, lower.get(2..)?),
        [b'0', b'o', ..] => (8, lower.get(2..)?),
        [b'0', b'b', ..] => (2, lower.get(2..)?),
        [b'0', _, ..] => (8, lower.get(1..)?),
        _ => (10, lower.as_str()),
    };
    if !digits.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return None;
    }
    let value = u64::from_str_radix(digits, radix).ok()?;
    if negative {
        return 0_i64.checked_sub_unsigned(value).map(Number::from);
    }
    // A sign is read in signed numbers only.
    (!text.starts_with('+') || i64::try_from(value).is_ok()).then(|| Number::from(value))
}

/// Digits, point, digits, exponent; each of them may be missing, not all digits.
fn is_float(text: &str) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let exponent = exponent.map(|exponent| exponent.strip_prefix(['-', '+']).unwrap_or(exponent));
    digits(whole)
        && digits(fraction)
        && !(whole.is_empty() && fraction.is_empty())
        && exponent.is_none_or(|exponent| !exponent.is_empty() && digits(exponent))
}

/// A float as JSON has it: a whole number is an integer there. `None` where it has no notation.
fn number(float: f64) -> Option<Number> {
    // 2^53: all whole numbers up to there are exact.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if float.fract() == 0.0 && float.abs() <= EXACT {
        return float.to_string().parse().ok();
    }
    Number::from_f64(float)
}

#[cfg(test)]
mod tests;
