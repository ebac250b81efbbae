//! Deletion: preconditions, the grace period of pods, finalizers.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{
    resources::Target,
    status::{Refusal, success},
    store::{Store, seconds},
};

/// Grace period of a pod that names none (`terminationGracePeriodSeconds` default), in seconds.
const DEFAULT_GRACE: i64 = 30;

/// DELETE an object. `options` is a DeleteOptions or `Null`, `grace` the query's.
pub(super) fn delete(
    store: &mut Store,
    target: &Target,
    options: &Value,
    grace: Option<i64>,
) -> Result<Value, Refusal> {
    let (served, key) = (target.served, target.key());
    let Some(mut object) = store.get(&key).cloned() else {
        return Err(Refusal::not_found(served, &target.name));
    };
    for (field, name) in [("uid", "UID"), ("resourceVersion", "ResourceVersion")] {
        if let (Some(wanted), Some(is)) =
            (options["preconditions"][field].as_str(), object["metadata"][field].as_str())
            && wanted != is
        {
            let cause =
                format!("Precondition failed: {name} in precondition: {wanted}, {name} in object meta: {is}");
            return Err(Refusal::conflict(served, &target.name, &cause));
        }
    }
    let asked = options["gracePeriodSeconds"].as_i64().or(grace);
    if asked.is_some_and(|asked| asked < 0) {
        return Err(Refusal::invalid(
            served,
            &target.name,
            "gracePeriodSeconds: Invalid value: must be greater than or equal to 0",
        ));
    }
    let grace = if served.plural == "pods" { pod_grace(&object, asked) } else { 0 };
    let has_finalizers = object["metadata"]["finalizers"].as_array().is_some_and(|list| !list.is_empty());
    if grace == 0 && !has_finalizers {
        let uid = object["metadata"]["uid"].clone();
        let last = store.remove(&key);
        // The real server gives back a pod, and a Status for the others.
        return Ok(match last {
            Some(pod) if served.plural == "pods" => pod,
            _ => success(served, &target.name, &uid),
        });
    }
    let pending = object["metadata"]["deletionGracePeriodSeconds"].as_i64();
    // A second deletion can only shorten the first.
    if pending.is_none_or(|pending| grace < pending) {
        let asked_at = first_deletion(&object["metadata"]).unwrap_or_else(Timestamp::now);
        let end = asked_at.checked_add(SignedDuration::from_secs(grace)).unwrap_or(asked_at);
        object["metadata"]["deletionTimestamp"] = json!(seconds(end));
        object["metadata"]["deletionGracePeriodSeconds"] = json!(grace);
        if let (None, Some(generation)) = (pending, object["metadata"]["generation"].as_i64()) {
            object["metadata"]["generation"] = json!(generation + 1);
        }
        object = store.put(key, object);
    }
    Ok(object)
}

/// When the deletion that is under way was asked for: its end less its grace.
fn first_deletion(metadata: &Value) -> Option<Timestamp> {
    let end: Timestamp = metadata["deletionTimestamp"].as_str()?.parse().ok()?;
    end.checked_sub(SignedDuration::from_secs(metadata["deletionGracePeriodSeconds"].as_i64()?)).ok()
}

/// What was asked, else the pod's own; at once for a pod that no node has, or that has ended.
fn pod_grace(pod: &Value, asked: Option<i64>) -> i64 {
    let unbound = pod["spec"]["nodeName"].as_str().is_none_or(str::is_empty);
    let ended = matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
    if unbound || ended {
        return 0;
    }
    asked.or(pod["spec"]["terminationGracePeriodSeconds"].as_i64()).unwrap_or(DEFAULT_GRACE)
}

/// Whether an object is deleted, its grace is over, and no finalizer holds it.
pub(super) fn is_finished(object: &Value) -> bool {
    let metadata = &object["metadata"];
    !metadata["deletionTimestamp"].is_null()
        && metadata["deletionGracePeriodSeconds"].as_i64().unwrap_or(0) == 0
        && metadata["finalizers"].as_array().is_none_or(Vec::is_empty)
}
