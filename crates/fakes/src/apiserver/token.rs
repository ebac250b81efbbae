//! `serviceaccounts/NAME/token`: tokens that look like the real ones and are worth nothing.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{
    resources::{Target, target},
    status::Refusal,
    store::{Key, Store, seconds},
};

/// Lifetime when none is asked for (the API's default), in seconds.
const DEFAULT_LIFETIME: i64 = 3600;
/// The shortest and longest that may be asked for (`authentication.k8s.io/v1` validation), in seconds.
const LIFETIMES: std::ops::RangeInclusive<i64> = 600..=(1 << 32);

/// Answer a TokenRequest.
pub(super) fn issue(store: &Store, of: &Target, mut request: Value) -> Result<Value, Refusal> {
    let account = Key {
        group: String::new(),
        plural: "serviceaccounts".to_owned(),
        namespace: of.namespace.clone(),
        name: of.name.clone(),
    };
    let account_uid = store.get(&account).ok_or_else(|| Refusal::not_found(of.served, &of.name))?["metadata"]
        ["uid"]
        .clone();
    let lifetime = request["spec"]["expirationSeconds"].as_i64().unwrap_or(DEFAULT_LIFETIME);
    if !LIFETIMES.contains(&lifetime) {
        let cause = "spec.expirationSeconds: Invalid value: may not specify a duration less than 10 minutes";
        return Err(Refusal::invalid(of.served, &of.name, cause));
    }
    let bound = &request["spec"]["boundObjectRef"];
    let mut claims =
        json!({ "namespace": of.namespace, "serviceaccount": { "name": of.name, "uid": account_uid } });
    if let Some(kind) = bound["kind"].as_str() {
        bound_object(store, of, kind, bound)?;
        claims[kind.to_lowercase()] = json!({ "name": bound["name"], "uid": bound["uid"] });
    }
    let now = Timestamp::now();
    let expires = now.checked_add(SignedDuration::from_secs(lifetime)).unwrap_or(now);
    let audiences = match &request["spec"]["audiences"] {
        Value::Array(audiences) if !audiences.is_empty() => Value::Array(audiences.clone()),
        _ => json!(["https://kubernetes.default.svc"]),
    };
    let payload = json!({
        "aud": audiences,
        "exp": expires.as_second(),
        "iat": now.as_second(),
        "nbf": now.as_second(),
        "iss": "https://kubernetes.default.svc",
        // Two requests never give the same token.
        "jti": format!("{}-{}", store.revision(), now.as_nanosecond()),
        "sub": format!("system:serviceaccount:{}:{}", of.namespace, of.name),
        "kubernetes.io": claims,
    });
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let token = format!("{}.{}.{}", encode(&json!({ "alg": "none" })), encode(&payload), "ZmFrZQ");
    request["kind"] = json!("TokenRequest");
    request["apiVersion"] = json!("authentication.k8s.io/v1");
    request["spec"]["audiences"] = audiences;
    request["spec"]["expirationSeconds"] = json!(lifetime);
    request["status"] = json!({ "token": token, "expirationTimestamp": seconds(expires) });
    Ok(request)
}

/// The object that a token is bound to must be there, and be the one that is meant.
fn bound_object(store: &Store, of: &Target, kind: &str, bound: &Value) -> Result<(), Refusal> {
    let name = bound["name"].as_str().unwrap_or_default();
    let path = match kind {
        "Pod" => format!("/api/v1/namespaces/{}/pods/{name}", of.namespace),
        "Secret" => format!("/api/v1/namespaces/{}/secrets/{name}", of.namespace),
        "Node" => format!("/api/v1/nodes/{name}"),
        other => {
            return Err(Refusal::bad_request(format!(
                "cannot bind token for serviceaccount to object {other}"
            )));
        }
    };
    let Some(object) = target(&path) else { return Err(Refusal::bad_request("boundObjectRef wants a name")) };
    let key = object.key();
    let stored = store.get(&key).ok_or_else(|| Refusal::not_found(object.served, name))?;
    match bound["uid"].as_str() {
        Some(uid) if stored["metadata"]["uid"] != uid => {
            let cause = format!(
                "the UID in the bound object reference ({uid}) does not match the UID in record. The object might have been deleted and then recreated"
            );
            Err(Refusal::conflict(object.served, name, &cause))
        }
        _ => Ok(()),
    }
}
