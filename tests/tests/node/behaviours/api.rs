//! Requests to the API server as the administrator. By curl: a request costs a tenth of what kubectl costs, and there
//! are some two hundred.

use anyhow::{Context as _, Result};
use lab::{Lab, run};
use serde_json::Value;

/// Where the pods of this test are.
const PODS: &str = "/api/v1/namespaces/default/pods";

/// A request with a body, of the content type `application/TYPE`.
///
/// # Errors
/// The server refuses; the error has its answer.
pub(super) fn send(lab: &Lab, method: &str, path: &str, kind: &str, body: &str) -> Result<Value> {
    let pki = |file: &str| lab.plan().paths.pki_file(file);
    let mut curl = lab.command("curl");
    curl.args(["--silent", "--show-error", "--fail-with-body", "--max-time", "30", "--request", method]);
    curl.arg("--cacert").arg(pki("ca.crt")).arg("--cert").arg(pki("admin.crt"));
    curl.arg("--key").arg(pki("admin.key"));
    if !body.is_empty() {
        curl.args(["--header", &format!("Content-Type: application/{kind}"), "--data-binary", "@-"]);
    }
    curl.arg(format!("{}{path}", lab.plan().api_server()));
    let answer = run::output_with_input(&mut curl, body).with_context(|| format!("{method} {path}"))?;
    serde_json::from_str(&answer).with_context(|| format!("{method} {path} got no JSON: {answer}"))
}

/// An object.
pub(super) fn get(lab: &Lab, path: &str) -> Result<Value> {
    send(lab, "GET", path, "json", "")
}

/// Makes a pod from YAML. A field that is not known is an error.
pub(super) fn create(lab: &Lab, pod: &str) -> Result<()> {
    send(lab, "POST", &format!("{PODS}?fieldValidation=Strict"), "yaml", pod).map(drop)
}

/// Deletes a pod with its own grace period, or another.
pub(super) fn delete(lab: &Lab, pod: &str, grace: Option<u32>) -> Result<()> {
    let grace = grace.map(|seconds| format!("?gracePeriodSeconds={seconds}")).unwrap_or_default();
    send(lab, "DELETE", &format!("{PODS}/{pod}{grace}"), "json", "").map(drop)
}

/// Deletes all pods of a label in one request.
pub(super) fn delete_all(lab: &Lab, label: &str) -> Result<()> {
    let path = format!("{PODS}?labelSelector={label}&gracePeriodSeconds=1");
    send(lab, "DELETE", &path, "json", "").map(drop)
}

/// Changes a pod by a strategic merge patch.
pub(super) fn patch(lab: &Lab, pod: &str, patch: &Value) -> Result<()> {
    patch_at(lab, &format!("{PODS}/{pod}"), patch)
}

/// Changes the status of a pod.
pub(super) fn patch_status(lab: &Lab, pod: &str, patch: &Value) -> Result<()> {
    patch_at(lab, &format!("{PODS}/{pod}/status"), patch)
}

/// Changes any object.
pub(super) fn patch_at(lab: &Lab, path: &str, patch: &Value) -> Result<()> {
    send(lab, "PATCH", path, "strategic-merge-patch+json", &patch.to_string()).map(drop)
}
