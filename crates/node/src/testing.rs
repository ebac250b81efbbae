//! What tests of this crate share: objects from JSON.
#![allow(clippy::panic, reason = "a bad test object fails its test")]

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// An API object from its JSON form.
pub(crate) fn object<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap_or_else(|error| panic!("bad test object: {error}"))
}

/// A container with requests and limits.
pub(crate) fn container(name: &str, requests: Value, limits: Value) -> Value {
    json!({ "name": name, "resources": { "requests": requests, "limits": limits } })
}

/// A pod with these spec fields; containers are empty unless given.
pub(crate) fn pod(mut spec: Value) -> k8s_openapi::api::core::v1::Pod {
    if spec.get("containers").is_none() {
        spec["containers"] = json!([]);
    }
    object(json!({ "metadata": { "name": "p", "namespace": "n", "uid": "u" }, "spec": spec }))
}
