//! Create, replace and patch, with the real server's rules about what a request may change.

use serde_json::{Value, json};

use super::{
    delete, patch,
    resources::Target,
    status::Refusal,
    store::{Key, Store},
};

/// POST to a collection.
pub(super) fn create(store: &mut Store, target: &Target, mut object: Value) -> Result<Value, Refusal> {
    let served = target.served;
    check_type(target, &object)?;
    let metadata = &mut object["metadata"];
    for set_by_server in
        ["uid", "resourceVersion", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"]
    {
        if let Some(metadata) = metadata.as_object_mut() {
            metadata.remove(set_by_server);
        }
    }
    let name = match (metadata["name"].as_str(), metadata["generateName"].as_str()) {
        (Some(name), _) if !name.is_empty() => name.to_owned(),
        (_, Some(prefix)) if !prefix.is_empty() => format!("{prefix}{:05x}", store.revision() + 1),
        _ => {
            return Err(Refusal::invalid(
                served,
                "",
                "metadata.name: Required value: name or generateName is required",
            ));
        }
    };
    if metadata["namespace"].as_str().is_some_and(|namespace| namespace != target.namespace) {
        return Err(Refusal::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    if has_generation(served.plural) {
        metadata["generation"] = json!(1);
    }
    let key = Key { name: name.clone(), ..target.key() };
    if store.get(&key).is_some() {
        return Err(Refusal::already_exists(served, &name));
    }
    if served.plural == "pods" {
        // A pod begins without a status, whatever the client sends; its quality-of-service class is decided once.
        object["status"] = json!({ "phase": "Pending" });
    }
    check_shape(target, &object)?;
    Ok(store.put(key, object))
}

/// PUT an object or its status.
pub(super) fn replace(store: &mut Store, target: &Target, object: Value) -> Result<Value, Refusal> {
    check_type(target, &object)?;
    let plural = target.served.plural;
    if store.get(&target.key()).is_none() && matches!(plural, "leases" | "events" | "endpoints" | "services")
    {
        // These may be made by a PUT.
        return create(store, target, object);
    }
    let old = existing(store, target)?;
    if matches!(plural, "leases" | "csinodes")
        && object["metadata"]["resourceVersion"].as_str().is_none_or(str::is_empty)
    {
        let cause = "metadata.resourceVersion: Invalid value: 0: must be specified for an update";
        return Err(Refusal::invalid(target.served, &target.name, cause));
    }
    if object["metadata"]["name"] != *target.name {
        return Err(Refusal::bad_request(format!(
            "the name of the object ({}) does not match the name on the URL ({})",
            object["metadata"]["name"].as_str().unwrap_or_default(),
            target.name
        )));
    }
    store_changed(store, target, &old, object)
}

/// PATCH an object or its status.
pub(super) fn patch(
    store: &mut Store,
    target: &Target,
    content_type: &str,
    body: &[u8],
) -> Result<Value, Refusal> {
    let old = existing(store, target)?;
    let patched = patch::apply(target.served, content_type, &old, body)?;
    store_changed(store, target, &old, patched)
}

fn existing(store: &Store, target: &Target) -> Result<Value, Refusal> {
    store.get(&target.key()).cloned().ok_or_else(|| Refusal::not_found(target.served, &target.name))
}

/// Check the guards, keep what this path may not change, and store.
fn store_changed(store: &mut Store, target: &Target, old: &Value, mut new: Value) -> Result<Value, Refusal> {
    let given = |field: &str| new["metadata"][field].as_str().filter(|text| !text.is_empty());
    if let (Some(wanted), Some(is)) = (given("uid"), old["metadata"]["uid"].as_str())
        && wanted != is
    {
        let cause = format!("Precondition failed: UID in precondition: {wanted}, UID in object meta: {is}");
        return Err(Refusal::conflict(target.served, &target.name, &cause));
    }
    if given("resourceVersion").is_some_and(|version| old["metadata"]["resourceVersion"] != version) {
        let cause =
            "the object has been modified; please apply your changes to the latest version and try again";
        return Err(Refusal::conflict(target.served, &target.name, cause));
    }
    for fixed in [
        "uid",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "generation",
        "resourceVersion",
    ] {
        keep(&mut new["metadata"], &old["metadata"], fixed);
    }
    if target.subresource == "status" {
        keep(&mut new, old, "spec");
        keep(&mut new["metadata"], &old["metadata"], "ownerReferences");
    } else if has_status(target.served.plural) {
        keep(&mut new, old, "status");
    }
    if has_generation(target.served.plural) && new["spec"] != old["spec"] {
        new["metadata"]["generation"] = json!(old["metadata"]["generation"].as_i64().unwrap_or(0) + 1);
    }
    check_shape(target, &new)?;
    let key = target.key();
    if delete::is_finished(&new) {
        // The last finalizer of a deleted object went: so does the object.
        store.put(key.clone(), new.clone());
        store.remove(&key);
        return Ok(new);
    }
    Ok(store.put(key, new))
}

/// Resources whose status has a path of its own.
fn has_status(plural: &str) -> bool {
    matches!(
        plural,
        "pods"
            | "nodes"
            | "services"
            | "namespaces"
            | "persistentvolumes"
            | "persistentvolumeclaims"
            | "certificatesigningrequests"
            | "podcertificaterequests"
            | "resourceclaims"
            | "volumeattachments"
    )
}

/// Resources that count changes of their specification.
fn has_generation(plural: &str) -> bool {
    matches!(plural, "pods" | "resourceslices" | "podcertificaterequests")
}

fn keep(new: &mut Value, old: &Value, field: &str) {
    match (old.get(field), new.as_object_mut()) {
        (Some(value), Some(new)) => drop(new.insert(field.to_owned(), value.clone())),
        (None, Some(new)) => drop(new.remove(field)),
        (_, None) => {}
    }
}

fn check_type(target: &Target, object: &Value) -> Result<(), Refusal> {
    let served = target.served;
    let (kind, version) = (&object["kind"], &object["apiVersion"]);
    if *kind != served.kind || *version != served.api_version() {
        return Err(Refusal::bad_request(format!(
            "{version} {kind} in the body does not match {} {} of the path",
            served.api_version(),
            served.kind
        )));
    }
    Ok(())
}

/// What does not decode as the type is refused, as by the real server.
fn check_shape(target: &Target, object: &Value) -> Result<(), Refusal> {
    use k8s_openapi::api::{coordination::v1::Lease, core::v1 as core};
    fn decodes<T: serde::de::DeserializeOwned>(object: &Value) -> Result<(), serde_json::Error> {
        T::deserialize(object).map(drop)
    }
    let decoded = match (target.served.group, target.served.kind) {
        ("", "Pod") => decodes::<core::Pod>(object),
        ("", "Node") => decodes::<core::Node>(object),
        ("", "Event") => decodes::<core::Event>(object),
        ("", "ConfigMap") => decodes::<core::ConfigMap>(object),
        ("", "Secret") => decodes::<core::Secret>(object),
        (_, "Lease") => decodes::<Lease>(object),
        _ => Ok(()),
    };
    decoded.map_err(|error| {
        let served = target.served;
        Refusal::bad_request(format!(
            "{} in version \"{}\" cannot be handled as a {}: {error}",
            served.kind, served.version, served.kind
        ))
    })
}
