//! What the API server would fill in (contract §4). Only what is absent changes; where upstream has no pointer, an empty
//! text or a zero counts as absent too.
//!
//! The rules work on the manifest itself, not on a typed pod: the uid of a static pod tells an empty list from an absent
//! one, and has to see every default.

use serde_json::{Map, Value, json};

use super::{
    types::{self, Field, Place, Type},
    uid::quantity::{Quantity, Rounding},
};
use crate::spec::image_reference;

type Object = Map<String, Value>;

/// Grace period of pods that name none, seconds.
const GRACE_SECONDS: i64 = 30;
/// Life of a projected token, seconds.
const TOKEN_SECONDS: i64 = 3600;
/// Mode of projected files: 0644.
const FILE_MODE: i32 = 0o644;

/// Completes a pod that went through [`types::normalise`].
pub(super) fn fill(pod: &mut Object) {
    visit(types::POD, pod, &rules);
}

/// Rounds amounts of resources up to thousandths.
pub(super) fn round_amounts(pod: &mut Object) {
    visit(types::POD, pod, &|ty, object| {
        if ty == types::AMOUNTS {
            object.values_mut().for_each(round);
        }
    });
}

fn round(amount: &mut Value) {
    let Some(mut quantity) = amount.as_str().and_then(Quantity::parse) else { return };
    if quantity.round_up_to_milli() == Rounding::Lossy
        && let Some(text) = quantity.milli_text()
    {
        *amount = Value::from(text);
    }
}

/// Shows every object to `rule` with its type, outer ones before inner ones. An object that upstream always has is made
/// when a rule has something to put into it.
fn visit(ty: &'static str, object: &mut Object, rule: &dyn Fn(&str, &mut Object)) {
    rule(ty, object);
    match types::resolve(ty) {
        Type::Struct(fields) => {
            for field in fields {
                match &field.place {
                    Place::Inline => visit(field.ty, object, rule),
                    Place::Member(name) => match object.get_mut(name) {
                        Some(value) => visit_value(field.ty, value, rule),
                        None if matches!(types::resolve(field.ty), Type::Struct(_)) => {
                            let mut made = Object::new();
                            visit(field.ty, &mut made, rule);
                            if !made.is_empty() {
                                object.insert(name.clone(), Value::Object(made));
                            }
                        }
                        None => {}
                    },
                    Place::Nowhere => {}
                }
            }
        }
        Type::Map(inner) => object.values_mut().for_each(|value| visit_value(inner, value, rule)),
        _ => {}
    }
}

fn visit_value(ty: &'static str, value: &mut Value, rule: &dyn Fn(&str, &mut Object)) {
    match (types::resolve(ty), value) {
        (Type::Pointer(inner), value) => visit_value(inner, value, rule),
        (Type::Slice(inner), Value::Array(items)) => {
            items.iter_mut().for_each(|item| visit_value(inner, item, rule));
        }
        (Type::Struct(_) | Type::Map(_), Value::Object(object)) => visit(ty, object, rule),
        _ => {}
    }
}

fn rules(ty: &str, object: &mut Object) {
    match ty {
        "core.Pod" => pod(object),
        "core.PodSpec" => pod_spec(object),
        "core.PodStatus" => addresses(object),
        "core.Volume" => volume(object),
        "core.Container" | "core.EphemeralContainerCommon" => {
            let image = member(object, "image").to_owned();
            pull_policy(object, "imagePullPolicy", &image);
            text(object, "terminationMessagePath", "/dev/termination-log");
            text(object, "terminationMessagePolicy", "File");
        }
        "core.ContainerPort" => text(object, "protocol", "TCP"),
        "core.Probe" => {
            for (field, value) in [
                ("timeoutSeconds", 1),
                ("periodSeconds", 10),
                ("successThreshold", 1),
                ("failureThreshold", 3),
            ] {
                number(object, field, value);
            }
        }
        "core.HTTPGetAction" => {
            text(object, "path", "/");
            text(object, "scheme", "HTTP");
        }
        "core.GRPCAction" => absent(object, "service", ""),
        "core.ObjectFieldSelector" => text(object, "apiVersion", "v1"),
        "core.FileKeySelector" => absent(object, "optional", false),
        "core.HostPathVolumeSource" => absent(object, "type", ""),
        "core.SecretVolumeSource"
        | "core.ConfigMapVolumeSource"
        | "core.DownwardAPIVolumeSource"
        | "core.ProjectedVolumeSource" => absent(object, "defaultMode", FILE_MODE),
        "core.ServiceAccountTokenProjection" => absent(object, "expirationSeconds", TOKEN_SECONDS),
        "core.PersistentVolumeClaimSpec" => absent(object, "volumeMode", "Filesystem"),
        "core.ISCSIVolumeSource" => text(object, "iscsiInterface", "default"),
        "core.RBDVolumeSource" => {
            text(object, "pool", "rbd");
            text(object, "user", "admin");
            text(object, "keyring", "/etc/ceph/keyring");
        }
        "core.AzureDiskVolumeSource" => {
            absent(object, "cachingMode", "ReadWrite");
            absent(object, "fsType", "ext4");
            absent(object, "readOnly", false);
            absent(object, "kind", "Shared");
        }
        "core.ScaleIOVolumeSource" => {
            text(object, "storageMode", "ThinProvisioned");
            text(object, "fsType", "xfs");
        }
        _ => {}
    }
}

fn member<'a>(object: &'a Object, field: &str) -> &'a str {
    object.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn absent(object: &mut Object, field: &str, value: impl Into<Value>) {
    object.entry(field).or_insert_with(|| value.into());
}

fn text(object: &mut Object, field: &str, value: &str) {
    if object.get(field).is_none_or(|known| known.as_str() == Some("")) {
        object.insert(field.to_owned(), Value::from(value));
    }
}

fn number(object: &mut Object, field: &str, value: i64) {
    if object.get(field).is_none_or(|known| known.as_i64() == Some(0)) {
        object.insert(field.to_owned(), Value::from(value));
    }
}

/// Whether an image's tag is `latest`, written or implied. A digest implies no tag, and what is no reference has none.
fn is_latest(image: &str) -> bool {
    image_reference::parse(image).is_ok_and(|reference| match reference.tag {
        Some(tag) => tag == "latest",
        None => reference.digest.is_none(),
    })
}

fn pull_policy(object: &mut Object, field: &str, image: &str) {
    text(object, field, if is_latest(image) { "Always" } else { "IfNotPresent" });
}

fn pod(pod: &mut Object) {
    let spec = pod.entry("spec").or_insert_with(|| json!({}));
    let Value::Object(spec) = spec else { return };
    // A negative grace period is taken as one second.
    if spec.get("terminationGracePeriodSeconds").and_then(Value::as_i64).is_some_and(|seconds| seconds < 0) {
        spec.insert("terminationGracePeriodSeconds".to_owned(), Value::from(1));
    }
    absent(spec, "enableServiceLinks", true);
    let host_network = spec.get("hostNetwork") == Some(&Value::Bool(true));
    for list in ["containers", "initContainers"] {
        let containers = spec.get_mut(list).and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten().filter_map(Value::as_object_mut) {
            requests_from_limits(container);
            if host_network {
                host_ports(container);
            }
        }
    }
}

fn requests_from_limits(container: &mut Object) {
    let Some(Value::Object(resources)) = container.get_mut("resources") else { return };
    let Some(Value::Object(limits)) = resources.get("limits").cloned() else { return };
    if let Value::Object(requests) = resources.entry("requests").or_insert_with(|| json!({})) {
        for (name, limit) in limits {
            requests.entry(name).or_insert(limit);
        }
    }
}

fn host_ports(container: &mut Object) {
    let ports = container.get_mut("ports").and_then(Value::as_array_mut);
    for port in ports.into_iter().flatten().filter_map(Value::as_object_mut) {
        if let Some(inner) = port.get("containerPort").and_then(Value::as_i64) {
            number(port, "hostPort", inner);
        }
    }
}

fn pod_spec(spec: &mut Object) {
    // The older name of the service account is kept in step with the newer one.
    if member(spec, "serviceAccountName").is_empty()
        && let Some(old) = spec.get("serviceAccount").cloned()
    {
        spec.insert("serviceAccountName".to_owned(), old);
    }
    match spec.get("serviceAccountName").cloned() {
        Some(name) => spec.insert("serviceAccount".to_owned(), name),
        None => None,
    };
    text(spec, "dnsPolicy", "ClusterFirst");
    text(spec, "restartPolicy", "Always");
    text(spec, "schedulerName", "default-scheduler");
    absent(spec, "securityContext", json!({}));
    absent(spec, "terminationGracePeriodSeconds", GRACE_SECONDS);
}

/// One address and the list of addresses say the same; the one wins.
fn addresses(status: &mut Object) {
    let one = member(status, "podIP").to_owned();
    let first = status.get("podIPs").and_then(Value::as_array).and_then(|all| all.first());
    let first = first.map(|first| first.get("ip").and_then(Value::as_str).unwrap_or_default().to_owned());
    match first {
        Some(first) if one.is_empty() => {
            status.insert("podIP".to_owned(), Value::from(first));
        }
        first if !one.is_empty() && first.as_ref() != Some(&one) => {
            status.insert("podIPs".to_owned(), json!([{"ip": one}]));
        }
        _ => {}
    }
}

fn volume(volume: &mut Object) {
    // A volume that names no source is an `emptyDir`.
    if !sources().any(|source| volume.contains_key(source)) {
        volume.insert("emptyDir".to_owned(), json!({}));
    }
    if let Some(Value::Object(image)) = volume.get_mut("image") {
        let reference = member(image, "reference").to_owned();
        pull_policy(image, "pullPolicy", &reference);
    }
}

/// Names of all kinds of volumes.
fn sources() -> impl Iterator<Item = &'static str> {
    let fields: &[Field] = match types::resolve("core.VolumeSource") {
        Type::Struct(fields) => fields,
        _ => &[],
    };
    fields.iter().filter_map(|field| match &field.place {
        Place::Member(name) => Some(name.as_str()),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags() {
        let digest = format!("sha256:{}", "0".repeat(64));
        for (image, expected) in [
            ("busybox", true),
            ("busybox:latest", true),
            ("busybox:1.36", false),
            ("localhost:5000/x", true),
            ("localhost:5000/x:1", false),
            ("a/b/c:latest", true),
            (&format!("busybox@{digest}"), false),
            (&format!("busybox:latest@{digest}"), true),
            ("busybox:latest@sha256:0123", false),
            ("No Image", false),
            ("", false),
        ] {
            assert_eq!(is_latest(image), expected, "{image}");
        }
    }
}
