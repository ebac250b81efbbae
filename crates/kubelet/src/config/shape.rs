//! Does a document have the fields and types of the format? Values are brought to canonical form on the way.

use node::quantity::Quantity;
use serde_json::{Map, Value};

use super::{
    problem::{Problem, Stage},
    schema::{Field, Kind, Unset, join},
};
use crate::{duration::GoDuration, flags::nearest};

/// What a look at a document found.
#[derive(Debug, Default)]
pub struct Findings {
    /// Dotted paths of fields that the format does not have, with the nearest that it does.
    pub unknown: Vec<(String, Option<&'static str>)>,
    /// Values of the wrong type.
    pub problems: Vec<Problem>,
}

/// Brings a document to canonical form: unknown fields are left out, durations and quantities are rewritten.
/// Null is kept where `keep_null`, because a drop-in deletes with it.
pub fn check(
    fields: &'static [Field],
    document: Map<String, Value>,
    stage: &Stage,
    keep_null: bool,
) -> (Map<String, Value>, Findings) {
    let mut look = Look { stage, keep_null, findings: Findings::default() };
    let root = look.object("", fields, document);
    (root, look.findings)
}

struct Look<'a> {
    stage: &'a Stage,
    keep_null: bool,
    findings: Findings,
}

impl Look<'_> {
    fn object(
        &mut self,
        path: &str,
        fields: &'static [Field],
        document: Map<String, Value>,
    ) -> Map<String, Value> {
        let mut known = Map::new();
        for (name, value) in document {
            let at = join(path, &name);
            let Some(field) = fields.iter().find(|field| field.name == name) else {
                if !(path.is_empty() && (name == "apiVersion" || name == "kind")) {
                    self.findings.unknown.push((at, nearest(&name, fields.iter().map(|field| field.name))));
                }
                continue;
            };
            if value.is_null() {
                if self.keep_null {
                    known.insert(name, value);
                }
                continue;
            }
            if let Some(value) = self.value(&at, field.kind, value) {
                known.insert(name, value);
            }
        }
        known
    }

    fn value(&mut self, path: &str, kind: Kind, value: Value) -> Option<Value> {
        let list = |look: &mut Self, items: Vec<Value>, kind: Kind| {
            let each = |(index, item): (usize, Value)| look.value(&format!("{path}[{index}]"), kind, item);
            Some(Value::Array(items.into_iter().enumerate().filter_map(each).collect()))
        };
        match (kind, value) {
            (Kind::Bool, value @ Value::Bool(_)) | (Kind::Text, value @ Value::String(_)) => Some(value),
            (Kind::Int32, Value::Number(n)) => {
                self.whole(path, kind, &n, i64::from(i32::MIN), i64::from(i32::MAX))
            }
            (Kind::Uint32, Value::Number(n)) => self.whole(path, kind, &n, 0, i64::from(u32::MAX)),
            (Kind::Int64, Value::Number(n)) => self.whole(path, kind, &n, i64::MIN, i64::MAX),
            (Kind::Float, Value::Number(n)) => n.as_f64().map(Value::from),
            (Kind::Duration | Kind::DurationOrNanos, Value::String(text)) => match text.parse::<GoDuration>()
            {
                Ok(duration) => Some(duration.to_string().into()),
                Err(error) => {
                    let hint = "write a number with its unit, such as 300ms, 10s or 1h30m";
                    self.bad(path, &text, format!("{path}: {error}"), hint)
                }
            },
            (Kind::DurationOrNanos, Value::Number(n)) if n.is_i64() => {
                n.as_i64().map(|nanos| GoDuration::from_nanos(nanos).to_string().into())
            }
            (Kind::Quantity, Value::Number(n)) => self.quantity(path, &n.to_string()),
            (Kind::Quantity, Value::String(text)) => self.quantity(path, &text),
            (Kind::Texts, Value::Array(items)) => list(self, items, Kind::Text),
            (Kind::Ints, Value::Array(items)) => list(self, items, Kind::Int32),
            (Kind::TextMap, Value::Object(map)) => Some(self.map(path, map, Kind::Text)),
            (Kind::BoolMap, Value::Object(map)) => Some(self.map(path, map, Kind::Bool)),
            (Kind::TextsMap, Value::Object(map)) => Some(self.map(path, map, Kind::Texts)),
            (Kind::QuantityMap, Value::Object(map)) => Some(self.map(path, map, Kind::Quantity)),
            (Kind::Object(fields), Value::Object(map)) => Some(self.object(path, fields, map).into()),
            (Kind::Objects(fields), Value::Array(items)) => {
                let mut objects = Vec::new();
                for (index, item) in items.into_iter().enumerate() {
                    objects.extend(self.value(&format!("{path}[{index}]"), Kind::Object(fields), item));
                }
                Some(objects.into())
            }
            (kind, value) => self.mismatch(path, kind, &value),
        }
    }

    fn map(&mut self, path: &str, map: Map<String, Value>, kind: Kind) -> Value {
        let mut checked = Map::new();
        for (key, value) in map {
            if value.is_null() {
                if self.keep_null {
                    checked.insert(key, value);
                }
                continue;
            }
            if let Some(value) = self.value(&join(path, &key), kind, value) {
                checked.insert(key, value);
            }
        }
        checked.into()
    }

    fn whole(
        &mut self,
        path: &str,
        kind: Kind,
        n: &serde_json::Number,
        least: i64,
        most: i64,
    ) -> Option<Value> {
        match n.as_i64().filter(|value| (least..=most).contains(value)) {
            Some(value) => Some(value.into()),
            None => self.mismatch(path, kind, &Value::Number(n.clone())),
        }
    }

    fn quantity(&mut self, path: &str, text: &str) -> Option<Value> {
        match text.parse::<Quantity>() {
            Ok(quantity) => Some(quantity.to_string().into()),
            Err(error) => {
                let hint = "write a number with an optional suffix, such as 500m, 10Mi or 1Gi";
                self.bad(path, text, format!("{path}: {error}"), hint)
            }
        }
    }

    fn mismatch(&mut self, path: &str, kind: Kind, value: &Value) -> Option<Value> {
        let found = match value {
            Value::Null => "null",
            Value::Bool(_) => "bool",
            Value::Number(_) => "number",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        };
        let detail = if found == "number" { format!("number {value}") } else { found.to_owned() };
        let cause = format!(
            "json: cannot unmarshal {detail} into Go struct field KubeletConfiguration.{path} of type {}",
            kind.name()
        );
        let hint = match (found, kind) {
            ("number" | "bool", Kind::Text) => "put the value in quotes".to_owned(),
            ("string", Kind::Bool) => "write true or false without quotes".to_owned(),
            ("string", Kind::Int32 | Kind::Int64 | Kind::Uint32) => {
                "write a whole number without quotes".to_owned()
            }
            ("number", Kind::Duration) => {
                "write the unit as well and put the value in quotes, such as \"10s\"".to_owned()
            }
            _ => format!("write a value of type {}", kind.name()),
        };
        self.bad(path, &value.to_string(), cause, &hint)
    }

    fn bad(&mut self, path: &str, value: &str, cause: String, hint: &str) -> Option<Value> {
        let problem = Problem::new(self.stage.clone(), path, cause, hint);
        self.findings.problems.push(Problem { value: Some(value.to_owned()), ..problem });
        None
    }
}

/// Leaves out what upstream's printed form leaves out: plain fields that hold their zero value.
pub fn prune(fields: &'static [Field], document: &mut Map<String, Value>) {
    for field in fields {
        let Some(value) = document.get_mut(field.name) else { continue };
        match (field.kind, &mut *value) {
            (Kind::Object(inner), Value::Object(map)) => prune(inner, map),
            (Kind::Objects(inner), Value::Array(items)) => {
                items.iter_mut().filter_map(Value::as_object_mut).for_each(|item| prune(inner, item));
            }
            _ => {}
        }
        let left_out = match (field.unset, &*value) {
            (_, Value::Null) => true,
            (Unset::Zero, value) => is_empty(field.kind, value),
            (Unset::Null | Unset::Shown, _) => false,
        };
        if left_out {
            document.remove(field.name);
        }
    }
}

/// Whether a value is what upstream's encoder calls empty. Durations, quantities and nested objects never are.
fn is_empty(kind: Kind, value: &Value) -> bool {
    match (kind, value) {
        (Kind::Duration | Kind::DurationOrNanos | Kind::Quantity | Kind::Object(_), _) => false,
        (_, Value::Bool(on)) => !on,
        (_, Value::Number(n)) => n.as_f64() == Some(0.0),
        (_, Value::String(text)) => text.is_empty(),
        (_, Value::Array(items)) => items.is_empty(),
        (_, Value::Object(map)) => map.is_empty(),
        (_, Value::Null) => true,
    }
}
