//! Applying patches: strategic merge, JSON merge (RFC 7386), JSON patch (RFC 6902).
//!
//! Strategic merge is written here on its own, not taken from `seams`, whose differ it judges: the same author's applier would
//! share its mistakes. Unlike there, what the real server refuses is refused: a merged element without its key, an unknown
//! directive.

use serde_json::{Map, Value};

use super::{resources::Served, status::Refusal};

/// Lists that are merged, by kind and path, with their key; an empty key: a set of scalars. Every other list is replaced.
/// From the `x-kubernetes-patch-strategy` and `-merge-key` of the API's OpenAPI document, 1.37. `*` stands for any kind.
const MERGED: &[(&str, &str, &str)] = &[
    ("*", "metadata.ownerReferences", "uid"),
    ("*", "metadata.finalizers", ""),
    ("Pod", "spec.volumes", "name"),
    ("Pod", "spec.containers", "name"),
    ("Pod", "spec.initContainers", "name"),
    ("Pod", "spec.ephemeralContainers", "name"),
    ("Pod", "spec.imagePullSecrets", "name"),
    ("Pod", "spec.hostAliases", "ip"),
    ("Pod", "spec.topologySpreadConstraints", "topologyKey"),
    ("Pod", "spec.schedulingGates", "name"),
    ("Pod", "spec.resourceClaims", "name"),
    ("Pod", "spec.evictionResponders", "name"),
    ("Pod", "spec.containers.ports", "containerPort"),
    ("Pod", "spec.containers.env", "name"),
    ("Pod", "spec.containers.volumeMounts", "mountPath"),
    ("Pod", "spec.containers.volumeDevices", "devicePath"),
    ("Pod", "spec.initContainers.ports", "containerPort"),
    ("Pod", "spec.initContainers.env", "name"),
    ("Pod", "spec.initContainers.volumeMounts", "mountPath"),
    ("Pod", "spec.initContainers.volumeDevices", "devicePath"),
    ("Pod", "spec.ephemeralContainers.ports", "containerPort"),
    ("Pod", "spec.ephemeralContainers.env", "name"),
    ("Pod", "spec.ephemeralContainers.volumeMounts", "mountPath"),
    ("Pod", "spec.ephemeralContainers.volumeDevices", "devicePath"),
    ("Pod", "status.conditions", "type"),
    ("Pod", "status.podIPs", "ip"),
    ("Pod", "status.hostIPs", "ip"),
    ("Pod", "status.resourceClaimStatuses", "name"),
    ("Pod", "status.nodeAllocatableResourceClaimStatuses", "resourceClaimName"),
    ("Node", "spec.podCIDRs", ""),
    ("Node", "status.conditions", "type"),
    ("Node", "status.addresses", "type"),
    ("Service", "spec.ports", "port"),
    ("Service", "status.conditions", "type"),
    ("ServiceAccount", "secrets", "name"),
    ("Namespace", "status.conditions", "type"),
    ("PersistentVolumeClaim", "status.conditions", "type"),
    ("CSINode", "spec.drivers", "name"),
    ("ResourceClaim", "status.reservedFor", "uid"),
];

/// Key of a merged list; `None`: it is replaced.
fn merge_key(kind: &str, path: &str) -> Option<&'static str> {
    MERGED.iter().find(|(of, at, _)| (*of == "*" || *of == kind) && *at == path).map(|(_, _, key)| *key)
}

/// Apply a patch of that content type.
pub(super) fn apply(
    served: &Served,
    content_type: &str,
    object: &Value,
    body: &[u8],
) -> Result<Value, Refusal> {
    let malformed =
        |error: &dyn std::fmt::Display| Refusal::bad_request(format!("error decoding patch: {error}"));
    let mut patched = object.clone();
    match content_type.split(';').next().unwrap_or_default().trim() {
        "application/strategic-merge-patch+json" => {
            let patch: Value = serde_json::from_slice(body).map_err(|error| malformed(&error))?;
            let (Value::Object(target), Value::Object(patch)) = (&mut patched, &patch) else {
                return Err(malformed(&"not an object"));
            };
            merge(served.kind, "", target, patch)?;
        }
        "application/merge-patch+json" => {
            let patch: Value = serde_json::from_slice(body).map_err(|error| malformed(&error))?;
            json_patch::merge(&mut patched, &patch);
        }
        "application/json-patch+json" => {
            let patch: json_patch::Patch = serde_json::from_slice(body).map_err(|error| malformed(&error))?;
            json_patch::patch(&mut patched, &patch).map_err(|error| {
                Refusal::invalid(served, "", &format!("the server rejected our request: {error}"))
            })?;
        }
        other => return Err(Refusal::unsupported_patch(other)),
    }
    Ok(patched)
}

/// One level of a strategic merge. `path` is the dotted path of `target`, without list elements; empty for the object.
fn merge(
    kind: &str,
    path: &str,
    target: &mut Map<String, Value>,
    patch: &Map<String, Value>,
) -> Result<(), Refusal> {
    match patch.get("$patch").and_then(Value::as_str) {
        None | Some("merge") => {}
        Some("replace" | "delete") => target.clear(),
        Some(other) => return Err(Refusal::bad_request(format!("unknown $patch type {other}"))),
    }
    if patch.get("$patch").and_then(Value::as_str) == Some("delete") {
        return Ok(());
    }
    if let Some(Value::Array(keep)) = patch.get("$retainKeys") {
        target.retain(|name, _| keep.iter().any(|kept| kept == name));
    }
    for (name, values) in patch {
        if let (Some(list), Some(values)) =
            (name.strip_prefix("$deleteFromPrimitiveList/"), values.as_array())
            && let Some(Value::Array(list)) = target.get_mut(list)
        {
            list.retain(|value| !values.contains(value));
        }
    }
    for (name, value) in patch.iter().filter(|(name, _)| !name.starts_with('$')) {
        let below = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        match value {
            Value::Null => drop(target.remove(name)),
            Value::Object(inner) if inner.get("$patch").and_then(Value::as_str) == Some("delete") => {
                target.remove(name);
            }
            Value::Object(inner) => {
                let mut object = match target.remove(name) {
                    Some(Value::Object(object)) => object,
                    _ => Map::new(),
                };
                merge(kind, &below, &mut object, inner)?;
                target.insert(name.clone(), Value::Object(object));
            }
            Value::Array(changes) => {
                let old = match target.remove(name) {
                    Some(Value::Array(list)) => list,
                    _ => Vec::new(),
                };
                let order = patch.get(&format!("$setElementOrder/{name}")).and_then(Value::as_array);
                let list = match merge_key(kind, &below) {
                    None => changes.clone(),
                    Some("") => in_order(merge_set(old, changes), order, ""),
                    Some(key) => in_order(merge_list(kind, &below, old, changes, key)?, order, key),
                };
                target.insert(name.clone(), Value::Array(list));
            }
            scalar => drop(target.insert(name.clone(), scalar.clone())),
        }
    }
    // An order can come without a change of the list: something was removed, or only moved.
    for (name, order) in patch {
        if let (Some(list), Some(order)) = (name.strip_prefix("$setElementOrder/"), order.as_array())
            && !patch.contains_key(list)
            && let Some(Value::Array(old)) = target.get_mut(list)
        {
            let below = if path.is_empty() { list.to_owned() } else { format!("{path}.{list}") };
            *old = in_order(std::mem::take(old), Some(order), merge_key(kind, &below).unwrap_or_default());
        }
    }
    Ok(())
}

fn merge_set(mut list: Vec<Value>, added: &[Value]) -> Vec<Value> {
    for value in added {
        if !list.contains(value) {
            list.push(value.clone());
        }
    }
    list
}

fn merge_list(
    kind: &str,
    path: &str,
    mut list: Vec<Value>,
    changes: &[Value],
    key: &str,
) -> Result<Vec<Value>, Refusal> {
    let directive = |change: &Value| change.get("$patch").and_then(Value::as_str).map(str::to_owned);
    if changes.iter().any(|change| directive(change).as_deref() == Some("replace")) {
        return Ok(changes.iter().filter(|change| directive(change).is_none()).cloned().collect());
    }
    for change in changes {
        let Some(id) = change.get(key) else {
            return Err(Refusal::bad_request(format!(
                "map: {change} does not contain declared merge key: {key}"
            )));
        };
        let place = list.iter().position(|element| element.get(key) == Some(id));
        if directive(change).as_deref() == Some("delete") {
            list.retain(|element| element.get(key) != Some(id));
            continue;
        }
        let Value::Object(patch) = change else { continue };
        let mut element = match place {
            Some(place) => list[place].as_object().cloned().unwrap_or_default(),
            None => Map::new(),
        };
        merge(kind, path, &mut element, patch)?;
        match place {
            Some(place) => list[place] = Value::Object(element),
            None => list.push(Value::Object(element)),
        }
    }
    Ok(list)
}

/// Put what the order names into that order; what it does not name stays behind its old neighbour.
fn in_order(list: Vec<Value>, order: Option<&Vec<Value>>, key: &str) -> Vec<Value> {
    let Some(order) = order else { return list };
    let id = |element: &Value| if key.is_empty() { element.clone() } else { element[key].clone() };
    let place = |element: &Value| order.iter().position(|wanted| id(wanted) == id(element));
    let mut named: Vec<(usize, Vec<Value>)> = Vec::new();
    let mut head = Vec::new();
    for element in list {
        match (place(&element), named.last_mut()) {
            (Some(at), _) => named.push((at, vec![element])),
            (None, Some((_, followers))) => followers.push(element),
            (None, None) => head.push(element),
        }
    }
    named.sort_by_key(|(at, _)| *at);
    head.into_iter().chain(named.into_iter().flat_map(|(_, elements)| elements)).collect()
}
