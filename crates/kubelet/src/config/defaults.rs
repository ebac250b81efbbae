//! The two default sets, and the defaults that depend on other fields.
//!
//! Without a configuration file, upstream keeps the open defaults of its oldest flags (anonymous requests, always
//! allowed, read-only port); a configuration file brings the closed ones. Drop-ins alone do not: they are merged into
//! what the flags gave.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{
    schema::{Field, Kind, Unset},
    v1beta1::KubeletConfiguration,
};
use crate::{
    duration::GoDuration,
    gates::{FeatureGates, Gate},
};

/// Hard eviction thresholds of Linux when a configuration file names none.
pub const EVICTION_HARD: [(&str, &str); 5] = [
    ("imagefs.available", "15%"),
    ("imagefs.inodesFree", "5%"),
    ("memory.available", "100Mi"),
    ("nodefs.available", "10%"),
    ("nodefs.inodesFree", "5%"),
];

/// What the flags start from when there is no configuration file.
#[must_use]
pub fn flag_baseline(gates: &FeatureGates) -> Map<String, Value> {
    let mut document = Map::new();
    document.insert(
        "authentication".to_owned(),
        json!({ "anonymous": { "enabled": true }, "webhook": { "enabled": false } }),
    );
    document.insert("authorization".to_owned(), json!({ "mode": "AlwaysAllow" }));
    document.insert("readOnlyPort".to_owned(), 10255.into());
    apply(&mut document, gates);
    document
}

/// Fills what is not set.
pub fn apply(document: &mut Map<String, Value>, gates: &FeatureGates) {
    let text = |document: &Map<String, Value>, name: &str| {
        document
            .get(name)
            .and_then(Value::as_str)
            .filter(|text| !matches!(*text, "" | "0s"))
            .map(str::to_owned)
    };
    if text(document, "nodeStatusReportFrequency").is_none()
        && let Some(update) = text(document, "nodeStatusUpdateFrequency")
    {
        document.insert("nodeStatusReportFrequency".to_owned(), update.into());
    }
    if is_null(document.get("serializeImagePulls")) {
        let parallel = document.get("maxParallelImagePulls").and_then(Value::as_i64);
        document.insert("serializeImagePulls".to_owned(), parallel.is_none_or(|most| most < 2).into());
    }
    if document.get("podPidsLimit").and_then(Value::as_i64).is_some_and(|limit| limit < 0) {
        document.insert("podPidsLimit".to_owned(), (-1).into());
    }
    if gates.enabled(Gate::KubeletEnsureSecretPulledImages)
        && text(document, "imagePullCredentialsVerificationPolicy").is_none()
    {
        let policy = "NeverVerifyPreloadedImages";
        document.insert("imagePullCredentialsVerificationPolicy".to_owned(), policy.into());
    }
    fill(KubeletConfiguration::FIELDS, document);
    if gates.enabled(Gate::KubeletCrashLoopBackOffMax)
        && let Some(Value::Object(back_off)) = document.get_mut("crashLoopBackOff")
        && is_null(back_off.get("maxContainerRestartPeriod"))
    {
        back_off.insert("maxContainerRestartPeriod".to_owned(), "5m0s".into());
    }
}

/// Names the hard eviction thresholds that a configuration file leaves out: all, or with
/// `mergeDefaultEvictionSettings` single ones.
pub fn apply_eviction(document: &mut Map<String, Value>) {
    let merge = document.get("mergeDefaultEvictionSettings").and_then(Value::as_bool).unwrap_or(false);
    if is_null(document.get("evictionHard")) {
        let all: BTreeMap<_, _> = EVICTION_HARD.into();
        document.insert("evictionHard".to_owned(), json!(all));
    } else if let (true, Some(Value::Object(map))) = (merge, document.get_mut("evictionHard")) {
        for (signal, threshold) in EVICTION_HARD {
            map.entry(signal).or_insert_with(|| threshold.into());
        }
    }
}

fn fill(fields: &'static [Field], document: &mut Map<String, Value>) {
    for field in fields {
        if let Kind::Object(inner) = field.kind {
            let absent = is_null(document.get(field.name));
            if absent && field.unset == Unset::Null {
                continue;
            }
            if absent {
                document.insert(field.name.to_owned(), Value::Object(Map::new()));
            }
            if let Some(Value::Object(map)) = document.get_mut(field.name) {
                fill(inner, map);
            }
            continue;
        }
        if is_unset(field, document.get(field.name)) {
            match field.default.value() {
                Some(value) => document.insert(field.name.to_owned(), value),
                None if matches!(field.kind, Kind::Duration) && field.unset == Unset::Zero => {
                    document.insert(field.name.to_owned(), GoDuration::ZERO.to_string().into())
                }
                None => continue,
            };
        }
    }
}

fn is_null(value: Option<&Value>) -> bool {
    value.is_none_or(Value::is_null)
}

/// Lists and maps are unset only when absent: an explicit empty one is an answer.
fn is_unset(field: &Field, value: Option<&Value>) -> bool {
    match (field.unset, value) {
        (_, None | Some(Value::Null)) => true,
        (Unset::Null, _) => false,
        (Unset::Zero | Unset::Shown, Some(value)) => match value {
            Value::Bool(on) => !on,
            Value::Number(n) => n.as_f64() == Some(0.0),
            Value::String(text) => {
                text.is_empty()
                    || (matches!(field.kind, Kind::Duration | Kind::DurationOrNanos) && text == "0s")
            }
            _ => false,
        },
    }
}
