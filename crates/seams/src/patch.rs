//! Strategic merge patches for statuses: computed here, sent by `cluster`, applied by the fake API server.
//!
//! Why own code: the API server merges some lists by a key (`conditions` by `type`) and replaces the others, and a
//! reporter must send only what it changed, or it would overwrite what others wrote (readiness gates, the attach
//! controller's `volumesAttached`). The result is what client-go's two-way diff computes for the same objects:
//! changed keys, `null` for removed ones, `$patch: delete` for removed list elements, `$setElementOrder/<list>` when
//! a merged list changed, `$retainKeys` where the API asks for it. The goldens beside the tests come from upstream's
//! implementation.
//!
//! Invariants:
//! * a patch applied to the object it was computed from gives the wanted object ([`apply`] and a property test);
//! * nothing is sent for fields that are equal, and nothing at all (`None`) when there is no difference;
//! * absent, `null`, `""` and `[]` are one and the same, as they are to the API server.

mod merge;
mod schema;
mod strategic;

use k8s_openapi::api::core::v1::{Node, NodeAddress, NodeStatus, PodStatus};
use serde::Serialize;
use serde_json::{Map, Value, json};

/// What is patched: decides which lists are merged, and by which key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatchKind {
    /// A core/v1 `Pod` (metadata and status).
    Pod,
    /// A core/v1 `Node` (metadata and status).
    Node,
    /// Anything whose lists are all replaced, for example a core/v1 `Event`.
    Plain,
}

/// Patch for `pods/status` that turns `old` into `new`; `None` when they are equal.
///
/// The body is `{"metadata":{"uid":…},"status":{…}}`: the uid makes the server refuse (422, `field is immutable`)
/// when the name meanwhile belongs to another pod.
#[must_use]
pub fn status_patch_pod(old: &PodStatus, new: &PodStatus, uid: &str) -> Option<Value> {
    let status = strategic::diff(&to_map(old), &to_map(new), &schema::POD_STATUS);
    if status.is_empty() {
        return None;
    }
    Some(json!({ "metadata": { "uid": uid }, "status": status }))
}

/// Patch for `nodes/status` that turns the status, labels and annotations of `old` into those of `new`; `None` when
/// they are equal. The spec and the rest of the metadata are never part of it.
///
/// `status.addresses` is declared as merged by `type`, which cannot hold the two `InternalIP`s of a dual-stack node;
/// like upstream, a changed list is therefore sent whole with a `$patch: replace` element.
#[must_use]
pub fn status_patch_node(old: &Node, new: &Node) -> Option<Value> {
    let mut body = Map::new();
    let metadata = strategic::diff(&node_metadata(old), &node_metadata(new), &schema::ATOMIC);
    if !metadata.is_empty() {
        body.insert("metadata".to_owned(), Value::Object(metadata));
    }
    let empty = NodeStatus::default();
    let old_status = old.status.as_ref().unwrap_or(&empty);
    let new_status = new.status.as_ref().unwrap_or(&empty);
    let mut before = to_map(old_status);
    let mut after = to_map(new_status);
    let old_addresses = before.remove("addresses");
    let new_addresses = after.remove("addresses");
    let mut status = strategic::diff(&before, &after, &schema::NODE_STATUS);
    if old_addresses != new_addresses {
        let addresses = new_status.addresses.as_deref().unwrap_or_default();
        status.insert("addresses".to_owned(), replaced_addresses(addresses, old_addresses.is_some()));
    }
    if !status.is_empty() {
        body.insert("status".to_owned(), Value::Object(status));
    }
    if body.is_empty() { None } else { Some(Value::Object(body)) }
}

/// Applies a strategic merge patch as the API server does. Meant for fakes and for tests of the differ; the server's
/// own validation is not done.
pub fn apply(kind: PatchKind, object: &mut Value, patch: &Value) {
    let schema = match kind {
        PatchKind::Pod => &schema::POD,
        PatchKind::Node => &schema::NODE,
        PatchKind::Plain => &schema::ATOMIC,
    };
    merge::apply(object, patch, schema);
}

fn replaced_addresses(addresses: &[NodeAddress], had_some: bool) -> Value {
    let mut list: Vec<Value> =
        addresses.iter().map(|a| json!({ "type": a.type_, "address": a.address })).collect();
    if had_some {
        list.push(json!({ "$patch": "replace" }));
    }
    Value::Array(list)
}

fn node_metadata(node: &Node) -> Map<String, Value> {
    let mut map = Map::new();
    for (key, entries) in [("labels", &node.metadata.labels), ("annotations", &node.metadata.annotations)] {
        let entries: Map<String, Value> =
            entries.iter().flatten().map(|(k, v)| (k.clone(), Value::String(v.clone()))).collect();
        if !entries.is_empty() {
            map.insert(key.to_owned(), Value::Object(entries));
        }
    }
    map
}

/// JSON of a status without what the API treats as absent.
fn to_map<T: Serialize>(status: &T) -> Map<String, Value> {
    let mut map = match serde_json::to_value(status) {
        Ok(Value::Object(map)) => map,
        // A status type always serialises to an object; an empty one sends nothing rather than something wrong.
        Ok(_) | Err(_) => Map::new(),
    };
    strategic::prune(&mut map);
    // An empty map is absent; `resources` is none, but a structure, of which empty says something.
    map.retain(|name, value| name == "resources" || value.as_object().is_none_or(|m| !m.is_empty()));
    map
}

#[cfg(test)]
mod tests;
