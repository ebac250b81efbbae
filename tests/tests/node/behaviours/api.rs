//! Requests to the API server as the administrator.

use anyhow::Result;
use lab::Lab;
use serde_json::Value;

/// Makes a pod from YAML. A field that is not known is an error.
pub(super) fn create(lab: &Lab, pod: &str) -> Result<()> {
    lab.api()?.send("POST", "pods?fieldValidation=Strict", "yaml", pod).map(drop)
}

/// Deletes a pod with its own grace period, or another.
pub(super) fn delete(lab: &Lab, pod: &str, grace: Option<u32>) -> Result<()> {
    let grace = grace.map(|seconds| format!("?gracePeriodSeconds={seconds}")).unwrap_or_default();
    lab.api()?.send("DELETE", &format!("pods/{pod}{grace}"), "json", "").map(drop)
}

/// Deletes all pods of a label in one request.
pub(super) fn delete_all(lab: &Lab, label: &str) -> Result<()> {
    let path = format!("pods?labelSelector={label}&gracePeriodSeconds=1");
    lab.api()?.send("DELETE", &path, "json", "").map(drop)
}

/// Changes a pod by a strategic merge patch.
pub(super) fn patch(lab: &Lab, pod: &str, patch: &Value) -> Result<()> {
    patch_at(lab, &format!("pods/{pod}"), patch)
}

/// Changes the status of a pod.
pub(super) fn patch_status(lab: &Lab, pod: &str, patch: &Value) -> Result<()> {
    patch_at(lab, &format!("pods/{pod}/status"), patch)
}

/// Changes any object.
pub(super) fn patch_at(lab: &Lab, path: &str, patch: &Value) -> Result<()> {
    lab.api()?.send("PATCH", path, "strategic-merge-patch+json", &patch.to_string()).map(drop)
}
