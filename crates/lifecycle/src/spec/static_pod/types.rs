//! The API types beneath a pod as upstream's process has them: names of types and fields, in order.
//!
//! Two things need them: completing a manifest walks over all its objects by their types, and the uid of a static pod
//! is a hash over a rendering that spells every type and field out. The table is `types.txt`; where its facts come from
//! stands at its head.

use std::{collections::BTreeMap, sync::OnceLock};

use serde_json::{Map, Value};

/// A field of a struct.
#[derive(Debug)]
pub(super) struct Field {
    /// Name in upstream's source.
    pub(super) name: &'static str,
    /// Its type, as in `[]core.Volume`.
    pub(super) ty: &'static str,
    /// Where its value is in a manifest.
    pub(super) place: Place,
}

/// Where a field's value is in a manifest.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Under this name.
    Member(String),
    /// Its own fields are members of the object around it.
    Inline,
    /// Nowhere: it always has its zero value.
    Nowhere,
}

/// What a named type is made of.
#[derive(Debug)]
pub(super) enum Named {
    Struct(Vec<Field>),
    /// Another name for this type.
    Alias(&'static str),
}

/// A type, one step resolved.
#[derive(Clone, Copy, Debug)]
pub(super) enum Type {
    Pointer(&'static str),
    Slice(&'static str),
    /// Type of the values; keys are always strings.
    Map(&'static str),
    Struct(&'static [Field]),
    Text,
    Number,
    Truth,
    Quantity,
    IntOrString,
    Time,
    /// A set of fields in JSON, kept as bytes.
    FieldSet,
}

/// The type of a pod.
pub(super) const POD: &str = "core.Pod";
/// The type of amounts of resources by their names.
pub(super) const AMOUNTS: &str = "core.ResourceList";

/// Resolves a type one step: what its name stands for.
pub(super) fn resolve(ty: &'static str) -> Type {
    if let Some(inner) = ty.strip_prefix('*') {
        return Type::Pointer(inner);
    }
    if let Some(inner) = ty.strip_prefix("[]") {
        return Type::Slice(inner);
    }
    if let Some(value) = ty.strip_prefix("map[").and_then(|rest| rest.split_once(']')) {
        return Type::Map(value.1);
    }
    match ty {
        "string" => Type::Text,
        "bool" => Type::Truth,
        "resource.Quantity" => Type::Quantity,
        "intstr.IntOrString" => Type::IntOrString,
        "v1.Time" => Type::Time,
        "v1.FieldsV1" => Type::FieldSet,
        _ => match table().get(ty) {
            Some(Named::Struct(fields)) => Type::Struct(fields),
            Some(Named::Alias(other)) => resolve(other),
            // `int32` and `int64`; a test sees to it that the table leaves no other name open.
            None => Type::Number,
        },
    }
}

fn table() -> &'static BTreeMap<&'static str, Named> {
    static TABLE: OnceLock<BTreeMap<&'static str, Named>> = OnceLock::new();
    TABLE.get_or_init(|| read(include_str!("types.txt")))
}

/// Reads the table. Lines of a struct's fields are indented; a field's name in a manifest is given where it is not its
/// own name with a small first letter.
fn read(text: &'static str) -> BTreeMap<&'static str, Named> {
    let mut types: BTreeMap<&'static str, Named> = BTreeMap::new();
    let mut current = "";
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let words: Vec<&'static str> = line.split_whitespace().collect();
        match words[..] {
            [name] => {
                current = name;
                types.insert(name, Named::Struct(Vec::new()));
            }
            [name, "=", other] => {
                types.insert(name, Named::Alias(other));
            }
            [name, ty, ref rest @ ..] => {
                let place = match rest {
                    [] => Place::Member(small_first(name)),
                    ["."] => Place::Inline,
                    ["-"] => Place::Nowhere,
                    [member, ..] => Place::Member((*member).to_owned()),
                };
                if let Some(Named::Struct(fields)) = types.get_mut(current) {
                    fields.push(Field { name, ty, place });
                }
            }
            [] => {}
        }
    }
    types
}

fn small_first(name: &str) -> String {
    let mut chars = name.chars();
    chars.next().map_or_else(String::new, |first| first.to_ascii_lowercase().to_string() + chars.as_str())
}

/// Brings a manifest into the form that reading it into typed memory gives: a `null` is what its absence is, an amount
/// is a text. What has the wrong type is left for the reader to complain about.
pub(super) fn normalise(ty: &'static str, value: &mut Value) {
    match (resolve(ty), value) {
        (Type::Pointer(inner), value) => normalise(inner, value),
        (Type::Slice(inner), Value::Array(items)) => {
            for item in items {
                or_zero(inner, item);
                normalise(inner, item);
            }
        }
        (Type::Map(inner), Value::Object(map)) => {
            for value in map.values_mut() {
                or_zero(inner, value);
                normalise(inner, value);
            }
        }
        (Type::Struct(fields), Value::Object(object)) => normalise_fields(fields, object),
        (Type::Quantity, value) => match value {
            Value::Number(number) => *value = Value::from(number_text(number)),
            Value::String(text) if text.trim().len() != text.len() => *text = text.trim().to_owned(),
            _ => {}
        },
        _ => {}
    }
}

fn normalise_fields(fields: &'static [Field], object: &mut Map<String, Value>) {
    for field in fields {
        match &field.place {
            Place::Member(name) => {
                if object.get(name).is_some_and(Value::is_null) {
                    object.remove(name);
                } else if let Some(value) = object.get_mut(name) {
                    normalise(field.ty, value);
                }
            }
            Place::Inline => {
                if let Type::Struct(fields) = resolve(field.ty) {
                    normalise_fields(fields, object);
                }
            }
            Place::Nowhere => {}
        }
    }
}

fn or_zero(ty: &'static str, value: &mut Value) {
    if value.is_null() {
        *value = match resolve(ty) {
            Type::Struct(_) => Value::Object(Map::new()),
            Type::Text => Value::from(""),
            Type::Number => Value::from(0),
            _ => return,
        };
    }
}

/// A number as Go's JSON writes it: plain digits up to 10^21, then with an exponent.
pub(super) fn number_text(number: &serde_json::Number) -> String {
    match number.as_f64() {
        Some(float) if number.is_f64() && float != 0.0 && !(1e-6..1e21).contains(&float.abs()) => {
            let text = format!("{float:e}");
            if text.contains("e-") { text } else { text.replace('e', "e+") }
        }
        Some(float) if number.is_f64() => float.to_string(),
        _ => number.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(ty: &'static str) -> Vec<&'static str> {
        match resolve_outer(ty) {
            Some(inner) => inner.into_iter().flat_map(named).collect(),
            None => vec![ty],
        }
    }

    fn resolve_outer(ty: &'static str) -> Option<Vec<&'static str>> {
        if let Some(rest) = ty.strip_prefix("map[") {
            return rest.split_once(']').map(|(key, value)| vec![key, value]);
        }
        ty.strip_prefix('*').or_else(|| ty.strip_prefix("[]")).map(|inner| vec![inner])
    }

    #[test]
    fn the_table_leaves_no_name_open() {
        const KNOWN: [&str; 8] = [
            "string",
            "bool",
            "int32",
            "int64",
            "resource.Quantity",
            "intstr.IntOrString",
            "v1.Time",
            "v1.FieldsV1",
        ];
        let mut fields = 0;
        for (name, what) in table() {
            let types: Vec<&'static str> = match what {
                Named::Struct(all) => all.iter().map(|field| field.ty).collect(),
                Named::Alias(other) => vec![*other],
            };
            fields += types.len();
            for ty in types.into_iter().flat_map(named) {
                assert!(KNOWN.contains(&ty) || table().contains_key(ty), "{name} has the unknown type {ty}");
            }
        }
        assert!(fields > 500, "{fields} fields are not all");
        // The rendering leaves out what upstream writes for pointers in lists: there are none.
        assert!(!include_str!("types.txt").contains("[]*"));
    }

    #[test]
    fn a_null_is_an_absence_and_an_amount_a_text() {
        let mut pod: Value = serde_json::from_str(
            r#"{"metadata": null, "spec": {"hostNetwork": null, "tolerations": [null], "nodeSelector": {"a": null},
                "overhead": {"cpu": 0.5, "memory": 1000000000000000000000000, "x": " 5 "}}}"#,
        )
        .unwrap();
        normalise(POD, &mut pod);
        assert_eq!(
            pod,
            serde_json::json!({"spec": {"tolerations": [{}], "nodeSelector": {"a": ""},
                "overhead": {"cpu": "0.5", "memory": "1e+24", "x": "5"}}})
        );
    }
}
