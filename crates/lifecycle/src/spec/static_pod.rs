//! Static pods: one manifest to one pod, complete as the API server would have made it (contract §4).
//!
//! ```text
//!   JSON value ──► types checked ──► defaults ──► uid ──► name, namespace, node, annotations ──► checks ──► Pod
//! ```
//!
//! There is no API server in front of a manifest, so that everything it would default or refuse is done here. All
//! problems of a manifest are reported together, each with its field.

use std::fmt::Write;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, PodSpec, Toleration};
use serde_json::Value;

use crate::PodSource;

mod defaults;
mod locate;
mod references;
mod types;
mod uid;
mod validate;

/// Annotation with the pod's source: `file` or `http`.
pub const SOURCE_ANNOTATION: &str = "kubernetes.io/config.source";
/// Annotation with the time when this kubelet saw the pod first.
pub const SEEN_ANNOTATION: &str = "kubernetes.io/config.seen";
/// Annotation with the uid of the static pod; its mirror pod carries it too.
pub const HASH_ANNOTATION: &str = "kubernetes.io/config.hash";

/// Priority that critical static pods should carry (upstream's system-node-critical).
const NODE_CRITICAL: i32 = 2_000_001_000;

/// One thing that is wrong with a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Field path, as in `spec.containers[0].image`.
    pub field: String,
    /// What is wrong, in the API server's words.
    pub detail: String,
    /// What to do about it; empty where the detail says it all.
    pub hint: &'static str,
}

/// Why a manifest is no static pod. `Display` names neither file nor URL: the caller knows them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// `apiVersion` or `kind` is missing or not that of a pod.
    #[error(
        "not a pod: apiVersion {api_version:?}, kind {kind:?}\nhint: a static pod manifest begins with \
         \"apiVersion: v1\" and \"kind: Pod\""
    )]
    NotAPod {
        /// As written, or empty.
        api_version: String,
        /// As written, or empty.
        kind: String,
    },
    /// A field has the wrong type.
    #[error(
        "invalid pod: {field}: {message}\nhint: put text that looks like a number or a truth value in quotes"
    )]
    Type {
        /// Field path.
        field: String,
        /// What the reader expected and found.
        message: String,
    },
    /// `metadata.name` is missing.
    #[error(
        "invalid pod: name is needed for the pod\nhint: set metadata.name; the node's name is appended to it"
    )]
    NoName,
    /// The API would refuse it.
    #[error("{}", list(.0))]
    Invalid(Vec<Problem>),
    /// It needs an object from the API.
    #[error(
        "static pods may not reference {resource}\nhint: use files on the node (hostPath), or create the pod through \
         the API server"
    )]
    Reference {
        /// Resource, as upstream names it.
        resource: &'static str,
    },
    /// A volume of a kind that nobody knows.
    #[error("unknown {what} {volume:?}\nhint: check the spelling of the volume's type")]
    UnknownVolume {
        /// `volume type for volume ` or `source for projected volume`.
        what: &'static str,
        /// Volume name.
        volume: String,
    },
}

fn list(problems: &[Problem]) -> String {
    let mut text = "invalid pod:".to_owned();
    for problem in problems {
        let _ = write!(text, "\n  {}: {}", problem.field, problem.detail);
        if !problem.hint.is_empty() {
            let _ = write!(text, "\n    hint: {}", problem.hint);
        }
    }
    text
}

/// A manifest with everything filled in that the API server would fill in.
#[derive(Clone, Debug)]
pub struct Completed {
    written: Value,
    complete: Value,
}

impl Completed {
    /// Completes a manifest. What has the wrong type stays as it is.
    #[must_use]
    pub fn of(mut manifest: Value) -> Self {
        types::normalise(types::POD, &mut manifest);
        let mut complete = manifest.clone();
        if let Value::Object(pod) = &mut complete {
            defaults::fill(pod);
        }
        Self { written: manifest, complete }
    }

    /// The uid that the pod has if `metadata.uid` gives none: 32 hexadecimal digits, the ones that upstream's kubelet
    /// gives it. `origin` is the file's path or the URL as configured.
    #[must_use]
    pub fn uid(&self, origin: &str, source: PodSource, node_name: &str) -> String {
        uid::uid(&self.complete, origin, source, node_name)
    }

    fn into_pod(mut self) -> Result<Pod, ManifestError> {
        if let Value::Object(pod) = &mut self.complete {
            defaults::round_amounts(pod);
        }
        locate::pod(&self.complete).map_err(|error| {
            let (field, message) = locate::type_error(&self.written, &error);
            ManifestError::Type { field, message }
        })
    }
}

/// Makes the pod of one manifest.
///
/// `origin` is the file's path or the URL as configured (it is part of the uid), `source` is
/// [`PodSource::File`] or [`PodSource::Http`], `now` becomes the annotation [`SEEN_ANNOTATION`]: keep that of an
/// older version of the same pod.
///
/// # Errors
/// The manifest is not a pod, or the API would not have it as a static one.
pub fn from_manifest(
    value: Value,
    origin: &str,
    source: PodSource,
    node_name: &str,
    now: Timestamp,
) -> Result<Pod, ManifestError> {
    let text = |field: &str| value.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (api_version, kind) = (text("apiVersion"), text("kind"));
    if api_version != "v1" || kind != "Pod" {
        return Err(ManifestError::NotAPod { api_version, kind });
    }
    let completed = Completed::of(value);
    let uid = completed.uid(origin, source, node_name);
    let mut pod = completed.into_pod()?;
    let name = pod.metadata.name.clone().unwrap_or_default();
    if name.is_empty() {
        return Err(ManifestError::NoName);
    }
    if pod.metadata.uid.as_deref().unwrap_or_default().is_empty() {
        pod.metadata.uid = Some(uid);
    }
    let spec = pod.spec.get_or_insert_with(PodSpec::default);
    spec.node_name = Some(node_name.to_owned());
    if source == PodSource::File {
        tolerate_no_execute(spec);
    }
    pod.metadata.name = Some(format!("{name}-{}", node_name.to_lowercase()));
    if pod.metadata.namespace.as_deref().unwrap_or_default().is_empty() {
        pod.metadata.namespace = Some("default".to_owned());
    }
    pod.status.get_or_insert_default().phase = Some("Pending".to_owned());

    let problems = validate::problems(&pod);
    if !problems.is_empty() {
        return Err(ManifestError::Invalid(problems));
    }
    references::check(&pod)?;

    let uid = pod.metadata.uid.clone().unwrap_or_default();
    let annotations = pod.metadata.annotations.get_or_insert_default();
    let tag = if source == PodSource::Http { "http" } else { "file" };
    annotations.insert(SOURCE_ANNOTATION.to_owned(), tag.to_owned());
    annotations.insert(SEEN_ANNOTATION.to_owned(), now.to_string());
    annotations.insert(HASH_ANNOTATION.to_owned(), uid);
    Ok(pod)
}

/// Pods from files stay when their node has problems: a toleration of everything that would evict them.
fn tolerate_no_execute(spec: &mut PodSpec) {
    let wanted = Toleration {
        operator: Some("Exists".to_owned()),
        effect: Some("NoExecute".to_owned()),
        ..Toleration::default()
    };
    let tolerations = spec.tolerations.get_or_insert_default();
    let same_place = |known: &Toleration| {
        known.key.as_deref().unwrap_or_default().is_empty()
            && known.effect == wanted.effect
            && known.operator == wanted.operator
            && known.value.as_deref().unwrap_or_default().is_empty()
    };
    match tolerations.iter_mut().find(|known| same_place(known)) {
        Some(known) => *known = wanted,
        None => tolerations.push(wanted),
    }
}

/// What to log once about the priority of a static pod: it does not go through the API's admission, which would
/// resolve the class.
#[must_use]
pub fn priority_warning(pod: &Pod) -> Option<String> {
    let spec = pod.spec.as_ref()?;
    let class = spec.priority_class_name.as_deref().unwrap_or_default();
    match (spec.priority, class) {
        (None, "") => None,
        (None, _) => Some(
            "Static pod has priorityClassName and nil priority. Kubelet will not use priorityClassName, and mirror \
             pod creation may fail."
                .to_owned(),
        ),
        (Some(_), "") => Some(
            "Static pod has priority without priorityClassName. Mirror pod creation may fail if the default \
             priority class doesn't match the given priority."
                .to_owned(),
        ),
        (Some(NODE_CRITICAL), "system-node-critical") => None,
        (Some(_), _) => Some(format!(
            "Static pod has a priority other than {NODE_CRITICAL} or a priorityClassName other than \
             system-node-critical. Mirror pod may be attempted to be evicted from the node ineffectively."
        )),
    }
}

#[cfg(test)]
mod tests;
