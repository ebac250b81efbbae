//! The JSON format of upstream: `ts` in milliseconds, `caller`, `msg`, `v` for what is not an error, then the pairs.

use std::fmt::Write as _;

use jiff::Timestamp;

use super::{
    fields::{FieldValue, Fields},
    layer::Line,
};

/// Appends the line with its end.
pub(super) fn write(out: &mut String, line: &Line<'_>, fields: &Fields, now: Timestamp) {
    let micros = now.as_microsecond();
    let _ = write!(out, "{{\"ts\":{}.{:03},\"caller\":", micros.div_euclid(1000), micros.rem_euclid(1000));
    // Directory and file, as upstream's encoder shortens it.
    let start = line.file.rmatch_indices('/').nth(1).map_or(0, |(at, _)| at + 1);
    text(out, &format!("{}:{}", &line.file[start..], line.line));
    out.push_str(",\"msg\":");
    text(out, &fields.message);
    if line.level > tracing::Level::WARN {
        let _ = write!(out, ",\"v\":{}", line.v);
    }
    for (key, value) in &fields.pairs {
        out.push(',');
        text(out, key);
        out.push(':');
        match value {
            FieldValue::Text(value) => text(out, value),
            FieldValue::Int(value) => drop(write!(out, "{value}")),
            FieldValue::Uint(value) => drop(write!(out, "{value}")),
            FieldValue::Float(value) if value.is_finite() => drop(write!(out, "{value}")),
            FieldValue::Float(value) => text(out, &value.to_string()),
            FieldValue::Bool(value) => drop(write!(out, "{value}")),
        }
    }
    out.push_str("}\n");
}

fn text(out: &mut String, value: &str) {
    // Strings always serialise.
    out.push_str(&serde_json::to_string(value).unwrap_or_default());
}
