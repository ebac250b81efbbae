//! The strategic merge patch from one version of the node object to the next.
//!
//! Only `status` and the labels and annotations of `metadata` are compared: the rest is not the kubelet's. Conditions
//! are merged by type, so that another owner's condition is never touched. Addresses are replaced as a whole: their
//! merge key is the type, and a node can have two addresses of one type.

use k8s_openapi::api::core::v1::Node;
use serde_json::{Map, Value, json};

/// Patch for `nodes/status`; `None` when there is nothing to say.
#[must_use]
pub fn patch(before: &Node, after: &Node) -> Option<Value> {
    let mut whole = Map::new();
    let meta =
        |node: &Node| json!({ "labels": node.metadata.labels, "annotations": node.metadata.annotations });
    put(&mut whole, "metadata", merge(&without_nulls(meta(before)), &without_nulls(meta(after))));
    let status = |node: &Node| serde_json::to_value(&node.status).unwrap_or(Value::Null);
    put(&mut whole, "status", status_patch(&status(before), &status(after)));
    (!whole.is_empty()).then_some(Value::Object(whole))
}

fn put(map: &mut Map<String, Value>, name: &str, value: Option<Value>) {
    if let Some(value) = value {
        map.insert(name.to_owned(), value);
    }
}

fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(map.into_iter().filter(|(_, value)| !value.is_null()).collect()),
        other => other,
    }
}

fn status_patch(before: &Value, after: &Value) -> Option<Value> {
    let empty = Map::new();
    let (before, after) = (before.as_object().unwrap_or(&empty), after.as_object().unwrap_or(&empty));
    let mut patch = Map::new();
    for name in before.keys().chain(after.keys().filter(|name| !before.contains_key(*name))) {
        let change = match (name.as_str(), before.get(name), after.get(name)) {
            ("conditions", old, Some(new)) => conditions(old, new),
            ("addresses", old, Some(new)) => (old != Some(new)).then(|| replaced(new)),
            (_, old, new) => merge(old.unwrap_or(&Value::Null), new.unwrap_or(&Value::Null)),
        };
        put(&mut patch, name, change);
    }
    (!patch.is_empty()).then_some(Value::Object(patch))
}

/// The whole list with the directive that makes it replace the old one.
fn replaced(list: &Value) -> Value {
    let mut items = list.as_array().cloned().unwrap_or_default();
    items.push(json!({ "$patch": "replace" }));
    Value::Array(items)
}

/// Changed fields of changed conditions, each with its merge key.
fn conditions(before: Option<&Value>, after: &Value) -> Option<Value> {
    let old = before.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let new = after.as_array().map(Vec::as_slice).unwrap_or_default();
    let known = |kind: &Value| old.iter().find(|condition| condition.get("type") == Some(kind));
    let changed = |condition: &Value| {
        let kind = condition.get("type")?;
        let mut change = merge(known(kind).unwrap_or(&Value::Null), condition)?;
        change.as_object_mut()?.insert("type".to_owned(), kind.clone());
        Some(change)
    };
    let list: Vec<_> = new.iter().filter_map(changed).collect();
    (!list.is_empty()).then_some(Value::Array(list))
}

/// JSON merge: changed fields of objects, `null` for those that went, everything else as a whole.
fn merge(before: &Value, after: &Value) -> Option<Value> {
    match (before, after) {
        (old, new) if old == new => None,
        (Value::Object(old), Value::Object(new)) => {
            let mut patch = Map::new();
            for name in old.keys().chain(new.keys().filter(|name| !old.contains_key(*name))) {
                let change = match (old.get(name), new.get(name)) {
                    (_, None) => Some(Value::Null),
                    (old, Some(new)) => merge(old.unwrap_or(&Value::Null), new),
                };
                put(&mut patch, name, change);
            }
            (!patch.is_empty()).then_some(Value::Object(patch))
        }
        (_, new) => Some(new.clone()),
    }
}
