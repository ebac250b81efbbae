//! Strategic merge patches for statuses of pods: computed here, sent by `cluster`, applied by the fake API server. That of
//! the node is computed by [`node::status::patch`], and applied the same way.
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

use k8s_openapi::api::core::v1::PodStatus;
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
