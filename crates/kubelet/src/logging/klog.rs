//! klog's text: `I1123 17:08:09.123456   12345 file.rs:12] "msg" key="value"`.

use std::fmt::Write as _;

use jiff::{Timestamp, tz::TimeZone};

use super::{
    fields::{FieldValue, Fields},
    layer::Line,
};

/// Appends the line with its end.
pub(super) fn write(out: &mut String, line: &Line<'_>, fields: &Fields, now: Timestamp) {
    let time = now.to_zoned(TimeZone::system());
    let letter = match line.level {
        tracing::Level::ERROR => 'E',
        tracing::Level::WARN => 'W',
        _ => 'I',
    };
    let _ = write!(
        out,
        "{letter}{:02}{:02} {:02}:{:02}:{:02}.{:06} {:>7} {}:{}] ",
        time.month(),
        time.day(),
        time.hour(),
        time.minute(),
        time.second(),
        time.subsec_nanosecond() / 1000,
        std::process::id(),
        line.file.rsplit('/').next().unwrap_or(line.file),
        line.line,
    );
    quote(out, &fields.message);
    for (key, value) in &fields.pairs {
        out.push(' ');
        out.push_str(key);
        match value {
            FieldValue::Text(text) if text.contains('\n') => block(out, text),
            FieldValue::Text(text) => {
                out.push('=');
                quote(out, text);
            }
            FieldValue::Int(value) => drop(write!(out, "={value}")),
            FieldValue::Uint(value) => drop(write!(out, "={value}")),
            FieldValue::Float(value) => drop(write!(out, "={value}")),
            FieldValue::Bool(value) => drop(write!(out, "={value}")),
        }
    }
    out.push('\n');
}

/// Go's `strconv.Quote`.
fn quote(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if (c as u32) < 0x20 || c as u32 == 0x7f => drop(write!(out, "\\x{:02x}", c as u32)),
            c if c.is_control() => drop(write!(out, "\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
}

/// Several lines: indented by a tab between `=<` and `>`.
fn block(out: &mut String, text: &str) {
    out.push_str("=<\n");
    for line in text.strip_suffix('\n').unwrap_or(text).split('\n') {
        out.push('\t');
        out.push_str(line);
        out.push('\n');
    }
    out.push_str(" >");
}
