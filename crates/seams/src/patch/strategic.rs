//! The two-way diff.

use serde_json::{Map, Value, json};

use super::schema::{ATOMIC, Field, Schema};

/// Patch that turns `old` into `new`; empty when they are equal.
pub(super) fn diff(
    old: &Map<String, Value>,
    new: &Map<String, Value>,
    schema: &Schema,
) -> Map<String, Value> {
    let mut patch = Map::new();
    for (name, wanted) in new {
        let Some(present) = old.get(name) else {
            patch.insert(name.clone(), wanted.clone());
            continue;
        };
        match (present, wanted) {
            (Value::Object(present), Value::Object(wanted)) => {
                let below = match schema.field(name) {
                    Some(Field::Object(below)) => below,
                    _ => &ATOMIC,
                };
                let nested = diff(present, wanted, below);
                if !nested.is_empty() {
                    patch.insert(name.clone(), Value::Object(nested));
                }
            }
            (Value::Array(present), Value::Array(wanted)) => match schema.field(name) {
                Some(Field::Merge { key, retain_keys }) => {
                    diff_merged(&mut patch, name, present, wanted, key, *retain_keys);
                }
                Some(Field::MergeScalars) => diff_scalars(&mut patch, name, present, wanted),
                _ if present == wanted => {}
                _ => {
                    patch.insert(name.clone(), Value::Array(wanted.clone()));
                }
            },
            _ if present == wanted => {}
            _ => {
                patch.insert(name.clone(), wanted.clone());
            }
        }
    }
    for name in old.keys().filter(|name| !new.contains_key(*name)) {
        patch.insert(name.clone(), Value::Null);
    }
    patch
}

/// List of objects identified by `key`. Changed and new elements come in the wanted order, then the deletions in the
/// order of their keys.
fn diff_merged(
    patch: &mut Map<String, Value>,
    name: &str,
    old: &[Value],
    new: &[Value],
    key: &str,
    retain_keys: bool,
) {
    let mut elements = Vec::new();
    for wanted in new {
        let id = wanted.get(key);
        let present = old.iter().find(|element| element.get(key) == id);
        match (present, wanted) {
            (Some(Value::Object(present)), Value::Object(wanted)) => {
                let mut element = diff(present, wanted, &ATOMIC);
                if element.is_empty() {
                    continue;
                }
                if retain_keys {
                    let mut keys: Vec<&String> = wanted.keys().collect();
                    keys.sort();
                    element.insert("$retainKeys".to_owned(), json!(keys));
                }
                if let Some(id) = id {
                    element.insert(key.to_owned(), id.clone());
                }
                elements.push(Value::Object(element));
            }
            _ => elements.push(wanted.clone()),
        }
    }
    let mut gone: Vec<&Value> = old
        .iter()
        .filter_map(|element| element.get(key))
        .filter(|id| !new.iter().any(|element| element.get(key) == Some(id)))
        .collect();
    gone.sort_by_key(|id| id.to_string());
    elements.extend(gone.into_iter().map(|id| json!({ "$patch": "delete", key: id })));

    let same_order = old.len() == new.len()
        && old.iter().zip(new).all(|(before, after)| before.get(key) == after.get(key));
    if elements.is_empty() && same_order {
        return;
    }
    if !old.is_empty() && !new.is_empty() {
        let order: Vec<Value> =
            new.iter().filter_map(|element| element.get(key)).map(|id| json!({ key: id })).collect();
        patch.insert(format!("$setElementOrder/{name}"), Value::Array(order));
    }
    if !elements.is_empty() {
        patch.insert(name.to_owned(), Value::Array(elements));
    }
}

/// List of scalars treated as a set.
fn diff_scalars(patch: &mut Map<String, Value>, name: &str, old: &[Value], new: &[Value]) {
    if old == new {
        return;
    }
    let added: Vec<Value> = new.iter().filter(|value| !old.contains(value)).cloned().collect();
    let gone: Vec<Value> = old.iter().filter(|value| !new.contains(value)).cloned().collect();
    if !added.is_empty() {
        patch.insert(name.to_owned(), Value::Array(added));
    }
    if !gone.is_empty() {
        patch.insert(format!("$deleteFromPrimitiveList/{name}"), Value::Array(gone));
    }
    if !new.is_empty() {
        patch.insert(format!("$setElementOrder/{name}"), Value::Array(new.to_vec()));
    }
}

/// Drops map entries that the API does not tell from absent ones. An empty object stays: `running: {}` says something.
pub(super) fn prune(map: &mut Map<String, Value>) {
    map.retain(|_, value| match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => {
            for element in list.iter_mut() {
                if let Value::Object(element) = element {
                    prune(element);
                }
            }
            !list.is_empty()
        }
        Value::Object(below) => {
            prune(below);
            true
        }
        Value::Bool(_) | Value::Number(_) => true,
    });
}
