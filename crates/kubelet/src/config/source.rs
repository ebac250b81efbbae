//! Where each effective value came from.

use std::{collections::BTreeMap, fmt, path::PathBuf};

use serde_json::{Map, Value};

use super::schema::{Field, Kind, join};

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Built in.
    Default,
    /// The file of `--config`.
    File(PathBuf),
    /// A drop-in of `--config-dir`.
    DropIn(PathBuf),
    /// A flag, by name.
    Flag(&'static str),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::DropIn(path) => write!(f, "drop-in {}", path.display()),
            Self::Flag(name) => write!(f, "flag --{name}"),
        }
    }
}

/// Source by dotted path: of every field that was set, and of every key of maps that were set.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    by_path: BTreeMap<String, Source>,
}

impl Sources {
    /// Source of a field or of a key in a map.
    #[must_use]
    pub fn of(&self, path: &str) -> Source {
        let exact = self.by_path.get(path);
        let above = || path.rsplit_once('.').and_then(|(above, _)| self.by_path.get(above));
        exact.or_else(above).cloned().unwrap_or(Source::Default)
    }

    /// Whether somebody set it.
    #[must_use]
    pub fn is_set(&self, path: &str) -> bool {
        self.of(path) != Source::Default
    }

    /// Whether it, or anything below it, was set.
    #[must_use]
    pub fn is_set_within(&self, path: &str) -> bool {
        let below = format!("{path}.");
        self.is_set(path)
            || self.by_path.range(below.clone()..).next().is_some_and(|(key, _)| key.starts_with(&below))
    }

    /// Notes that one value was set.
    pub fn set(&mut self, path: &str, source: Source) {
        self.by_path.insert(path.to_owned(), source);
    }

    /// Notes a whole document: what it holds came from `source`, what it sets to null is the default again.
    pub fn record(&mut self, fields: &'static [Field], document: &Map<String, Value>, source: &Source) {
        self.walk("", fields, document, source);
    }

    fn walk(
        &mut self,
        prefix: &str,
        fields: &'static [Field],
        document: &Map<String, Value>,
        source: &Source,
    ) {
        for field in fields {
            let path = join(prefix, field.name);
            match (document.get(field.name), field.kind) {
                (None, _) => {}
                (Some(Value::Null), _) => self.forget(&path),
                (Some(Value::Object(inner)), Kind::Object(fields)) => self.walk(&path, fields, inner, source),
                (Some(Value::Object(entries)), _) => {
                    self.set(&path, source.clone());
                    for (key, value) in entries {
                        let entry = join(&path, key);
                        if value.is_null() {
                            self.forget(&entry);
                        } else {
                            self.set(&entry, source.clone());
                        }
                    }
                }
                (Some(_), _) => self.set(&path, source.clone()),
            }
        }
    }

    fn forget(&mut self, path: &str) {
        let below = format!("{path}.");
        self.by_path.retain(|key, _| key != path && !key.starts_with(&below));
    }
}
