//! The key-value pairs of an event or a span.

use std::fmt;

use tracing::field::{Field, Visit};

/// A value as it was recorded.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum FieldValue {
    Text(String),
    Int(i64),
    Uint(u64),
    Float(f64),
    Bool(bool),
}

/// Pairs in order, without the message and the level.
#[derive(Debug, Default)]
pub(super) struct Fields {
    pub(super) message: String,
    pub(super) v: Option<u32>,
    pub(super) pairs: Vec<(&'static str, FieldValue)>,
}

impl Fields {
    fn add(&mut self, field: &Field, value: FieldValue) {
        match (field.name(), value) {
            ("message", FieldValue::Text(text)) => self.message = text,
            ("v", FieldValue::Int(level)) => self.v = u32::try_from(level).ok(),
            ("v", FieldValue::Uint(level)) => self.v = u32::try_from(level).ok(),
            (name, value) => self.set(name, value),
        }
    }

    /// Adds a pair; a later one of the same name takes the place of the former.
    pub(super) fn set(&mut self, name: &'static str, value: FieldValue) {
        // Raw identifiers keep their prefix in `Field::name`.
        let name = name.strip_prefix("r#").unwrap_or(name);
        match self.pairs.iter_mut().find(|(known, _)| *known == name) {
            Some(pair) => pair.1 = value,
            None => self.pairs.push((name, value)),
        }
    }
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, FieldValue::Float(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, FieldValue::Int(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, FieldValue::Uint(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, FieldValue::Bool(value));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, FieldValue::Text(value.to_owned()));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        // Our errors do not print their sources: the chain is put together here.
        let mut text = value.to_string();
        let mut source = value.source();
        while let Some(cause) = source {
            let told = cause.to_string();
            // Some texts go to pods as they are, and tell their cause themselves.
            if !text.ends_with(&told) {
                text.push_str(": ");
                text.push_str(&told);
            }
            source = cause.source();
        }
        self.add(field, FieldValue::Text(text));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, FieldValue::Text(format!("{value:?}")));
    }
}
