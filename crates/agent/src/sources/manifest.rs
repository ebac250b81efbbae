//! Text of a manifest to static pods.

use std::{error::Error, sync::Arc};

use k8s_openapi::api::core::v1::Pod;
use lifecycle::{PodSource, spec::static_pod};
use serde_json::Value;

use super::yaml;

/// Largest manifest that is read, as upstream's (contract §4).
pub const MAX_BYTES: usize = 10 << 20;

/// Why a manifest yields no pod.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Larger than [`MAX_BYTES`].
    #[error(
        "{origin} has more than {MAX_BYTES} bytes\nhint: a manifest describes one pod; move data into a volume"
    )]
    TooLarge {
        /// File or URL.
        origin: String,
    },
    /// Neither YAML nor JSON.
    #[error(
        "{origin} is neither YAML nor JSON: {message}\nhint: `kubectl create --dry-run=client -f FILE` reads it as we do"
    )]
    Syntax {
        /// File or URL.
        origin: String,
        /// Parser's text with line and column.
        message: String,
    },
    /// Not a pod, or not one that can be a static pod.
    #[error("{origin}: {source}")]
    Pod {
        /// File or URL.
        origin: String,
        /// What is wrong.
        source: static_pod::ManifestError,
    },
    /// Nothing in it, or nothing that says what it is.
    #[error("{origin} {what}\nhint: a static pod manifest begins with \"apiVersion: v1\" and \"kind: Pod\"")]
    NoKind {
        /// File or URL.
        origin: String,
        /// What it is instead.
        what: &'static str,
    },
    /// A `kind` that this source does not take.
    #[error(
        "{origin} holds a {kind}, not a Pod\nhint: static pods are plain Pods, or a PodList of them from a URL; a Deployment \
         needs an API server"
    )]
    Kind {
        /// File or URL.
        origin: String,
        /// The kind found.
        kind: String,
    },
}

/// The document in a text: JSON if it begins like an object of JSON, else YAML.
///
/// # Errors
/// It is neither.
pub fn value(text: &str) -> Result<Value, Box<dyn Error + Send + Sync>> {
    if text.trim_start().starts_with('{') { Ok(serde_json::from_str(text)?) } else { Ok(yaml::read(text)?) }
}

/// Reads one document. A `PodList` yields several pods and is taken from a URL only.
pub fn parse(
    text: &[u8],
    origin: &str,
    source: PodSource,
    node_name: &str,
    now: jiff::Timestamp,
) -> Result<Vec<Arc<Pod>>, ManifestError> {
    if text.len() > MAX_BYTES {
        return Err(ManifestError::TooLarge { origin: origin.to_owned() });
    }
    let syntax = |message: String| ManifestError::Syntax { origin: origin.to_owned(), message };
    let text = std::str::from_utf8(text).map_err(|error| syntax(error.to_string()))?;
    let value = value(text).map_err(|error| syntax(error.to_string()))?;
    let kind = word(&value, "kind").to_owned();
    let pod = |item: Value, place: String| {
        static_pod::from_manifest(item, origin, source, node_name, now)
            .map(Arc::new)
            .map_err(|source| ManifestError::Pod { origin: place, source })
    };
    match (kind.as_str(), source) {
        ("Pod", _) => Ok(vec![pod(value, origin.to_owned())?]),
        ("PodList", PodSource::Http) => {
            let items =
                items(value).map_err(|source| ManifestError::Pod { origin: origin.to_owned(), source })?;
            let pods = items.into_iter().enumerate();
            pods.map(|(index, item)| pod(item, format!("{origin}, items[{index}]"))).collect()
        }
        ("", _) => {
            let what = if text.trim().is_empty() { "is empty" } else { "has no kind" };
            Err(ManifestError::NoKind { origin: origin.to_owned(), what })
        }
        _ => Err(ManifestError::Kind { origin: origin.to_owned(), kind }),
    }
}

fn word<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

/// The pods of a list. Their type is that of the list, so that they mostly do not say it again.
fn items(mut list: Value) -> Result<Vec<Value>, static_pod::ManifestError> {
    let api_version = word(&list, "apiVersion");
    if api_version != "v1" {
        let (api_version, kind) = (api_version.to_owned(), word(&list, "kind").to_owned());
        return Err(static_pod::ManifestError::NotAPod { api_version, kind });
    }
    let mut items = match list.get_mut("items").map(Value::take) {
        Some(Value::Array(items)) => items,
        // A list that is not there is an empty one, as in Go.
        None | Some(Value::Null) => Vec::new(),
        // Taken for no pods it would stop them all.
        Some(_) => {
            let message = "expected a list of pods".to_owned();
            return Err(static_pod::ManifestError::Type { field: "items".to_owned(), message });
        }
    };
    for item in &mut items {
        for (field, own) in [("apiVersion", "v1"), ("kind", "Pod")] {
            if let Value::Object(pod) = item
                && pod.get(field).is_none_or(|known| known.is_null() || known == "")
            {
                pod.insert(field.to_owned(), Value::from(own));
            }
        }
    }
    Ok(items)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, source: PodSource) -> Result<Vec<Arc<Pod>>, String> {
        let now = "2026-01-02T03:04:05Z".parse().unwrap();
        parse(text.as_bytes(), "http://h/pods", source, "node-1", now).map_err(|error| error.to_string())
    }

    fn names(pods: &[Arc<Pod>]) -> Vec<&str> {
        pods.iter().filter_map(|pod| pod.metadata.name.as_deref()).collect()
    }

    const SPEC: &str = r#""spec": {"containers": [{"name": "c", "image": "i:1"}]}"#;

    #[test]
    fn pods_of_a_list_need_not_say_what_they_are() {
        let list = format!(
            r#"{{"apiVersion": "v1", "kind": "PodList", "items": [
                {{"metadata": {{"name": "a"}}, {SPEC}}},
                {{"apiVersion": "v1", "kind": "Pod", "metadata": {{"name": "b"}}, {SPEC}}},
                {{"apiVersion": "", "kind": null, "metadata": {{"name": "c"}}, {SPEC}}}]}}"#
        );
        let pods = read(&list, PodSource::Http).unwrap();
        assert_eq!(names(&pods), ["a-node-1", "b-node-1", "c-node-1"]);
        let alone = format!(r#"{{"apiVersion": "v1", "kind": "Pod", "metadata": {{"name": "a"}}, {SPEC}}}"#);
        // What a pod says of its type is no part of its uid.
        let uid = |pods: &[Arc<Pod>]| pods.first().and_then(|pod| pod.metadata.uid.clone());
        assert_eq!(uid(&pods), uid(&read(&alone, PodSource::Http).unwrap()));
        let yaml = "apiVersion: v1\nkind: PodList\nitems:\n- metadata: {name: listed}\n  spec:\n    containers:\n    \
                    - {name: c, image: i}\n";
        assert_eq!(names(&read(yaml, PodSource::Http).unwrap()), ["listed-node-1"]);
        assert!(
            read(&list, PodSource::File).unwrap_err().starts_with("http://h/pods holds a PodList, not a Pod")
        );
    }

    #[test]
    fn lists_of_anything_are_refused() {
        let list = format!(
            r#"{{"apiVersion": "v1", "kind": "List", "items": [
                {{"apiVersion": "v1", "kind": "Pod", "metadata": {{"name": "a"}}, {SPEC}}}]}}"#
        );
        assert!(
            read(&list, PodSource::Http).unwrap_err().starts_with("http://h/pods holds a List, not a Pod")
        );
    }

    #[test]
    fn a_list_is_taken_as_a_whole_or_not_at_all() {
        let of = |items: &str| {
            read(&format!(r#"{{"apiVersion": "v1", "kind": "PodList"{items}}}"#), PodSource::Http)
        };
        assert_eq!(of("").unwrap(), Vec::new());
        assert_eq!(of(r#", "items": null"#).unwrap(), Vec::new());
        assert_eq!(
            of(r#", "items": {"a": 1}"#).unwrap_err().lines().next(),
            Some("http://h/pods: invalid pod: items: expected a list of pods")
        );
        let second = format!(r#", "items": [{{"metadata": {{"name": "a"}}, {SPEC}}}, {{"kind": "Job"}}]"#);
        assert_eq!(
            of(&second).unwrap_err().lines().next(),
            Some("http://h/pods, items[1]: not a pod: apiVersion \"v1\", kind \"Job\"")
        );
        let old = read(r#"{"kind": "PodList", "items": []}"#, PodSource::Http).unwrap_err();
        assert!(old.starts_with("http://h/pods: not a pod: apiVersion \"\", kind \"PodList\""), "{old}");
    }
}
