//! Applying a patch, as the API server does it.

use serde_json::{Map, Value};

use super::schema::{ATOMIC, Field, Schema};

const ORDER: &str = "$setElementOrder/";
const DELETE_SCALARS: &str = "$deleteFromPrimitiveList/";
const RETAIN: &str = "$retainKeys";
const DIRECTIVE: &str = "$patch";

pub(super) fn apply(object: &mut Value, patch: &Value, schema: &Schema) {
    let Value::Object(patch) = patch else {
        *object = patch.clone();
        return;
    };
    if !object.is_object() {
        *object = Value::Object(Map::new());
    }
    let Value::Object(object) = object else { return };
    apply_map(object, patch, schema);
}

fn apply_map(object: &mut Map<String, Value>, patch: &Map<String, Value>, schema: &Schema) {
    if let Some(Value::Array(keep)) = patch.get(RETAIN) {
        object.retain(|key, _| keep.iter().any(|k| k.as_str() == Some(key)));
    }
    for (name, wanted) in patch {
        if name.starts_with('$') {
            continue;
        }
        match (schema.field(name), wanted) {
            (_, Value::Null) => {
                object.remove(name);
            }
            (Some(Field::Merge { key, .. }), Value::Array(changes)) => {
                let list = object.entry(name.clone()).or_insert_with(|| Value::Array(Vec::new()));
                if let Value::Array(list) = list {
                    apply_merged(list, changes, key);
                }
            }
            (Some(Field::MergeScalars), Value::Array(added)) => {
                let list = object.entry(name.clone()).or_insert_with(|| Value::Array(Vec::new()));
                if let Value::Array(list) = list {
                    for value in added {
                        if !list.contains(value) {
                            list.push(value.clone());
                        }
                    }
                }
            }
            (field, Value::Object(_)) => {
                let below = match field {
                    Some(Field::Object(below)) => below,
                    _ => &ATOMIC,
                };
                apply(object.entry(name.clone()).or_insert(Value::Null), wanted, below);
            }
            _ => {
                object.insert(name.clone(), wanted.clone());
            }
        }
    }
    for (name, value) in patch {
        let Value::Array(values) = value else { continue };
        if let Some(list) = name.strip_prefix(DELETE_SCALARS)
            && let Some(Value::Array(list)) = object.get_mut(list)
        {
            list.retain(|element| !values.contains(element));
        }
    }
    for (name, value) in patch {
        let Value::Array(order) = value else { continue };
        if let Some(name) = name.strip_prefix(ORDER)
            && let Some(Value::Array(list)) = object.get_mut(name)
        {
            let key = match schema.field(name) {
                Some(Field::Merge { key, .. }) => Some(*key),
                _ => None,
            };
            // Stable: elements that the patch does not know keep their place at the end.
            list.sort_by_key(|element| place(order, element, key));
        }
    }
}

fn place(order: &[Value], element: &Value, key: Option<&str>) -> usize {
    let same = |wanted: &Value| match key {
        Some(key) => wanted.get(key) == element.get(key),
        None => wanted == element,
    };
    order.iter().position(same).unwrap_or(order.len())
}

fn apply_merged(list: &mut Vec<Value>, changes: &[Value], key: &str) {
    if changes.iter().any(|change| directive(change) == Some("replace")) {
        *list = changes.iter().filter(|change| directive(change).is_none()).cloned().collect();
        return;
    }
    for change in changes {
        let id = change.get(key);
        let place = list.iter().position(|element| element.get(key) == id);
        match (directive(change), place) {
            (Some("delete"), Some(_)) => list.retain(|element| element.get(key) != id),
            (Some("delete"), None) => {}
            (_, Some(place)) => {
                if let Some(element) = list.get_mut(place) {
                    apply(element, change, &ATOMIC);
                }
            }
            (_, None) => {
                let mut element = Value::Null;
                apply(&mut element, change, &ATOMIC);
                list.push(element);
            }
        }
    }
}

fn directive(change: &Value) -> Option<&str> {
    change.get(DIRECTIVE).and_then(Value::as_str)
}
