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
        "{origin} holds a {kind}, not a Pod\nhint: static pods are plain Pods; a Deployment needs an API server"
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
    let kind = value.get("kind").and_then(Value::as_str).unwrap_or_default().to_owned();
    let items = match (kind.as_str(), source) {
        ("Pod", _) => vec![value],
        ("PodList" | "List", PodSource::Http) => match value.get("items") {
            Some(Value::Array(items)) => items.clone(),
            _ => Vec::new(),
        },
        ("", _) => {
            let what = if text.trim().is_empty() { "is empty" } else { "has no kind" };
            return Err(ManifestError::NoKind { origin: origin.to_owned(), what });
        }
        _ => return Err(ManifestError::Kind { origin: origin.to_owned(), kind }),
    };
    items
        .into_iter()
        .map(|item| {
            static_pod::from_manifest(item, origin, source, node_name, now)
                .map(Arc::new)
                .map_err(|source| ManifestError::Pod { origin: origin.to_owned(), source })
        })
        .collect()
}
