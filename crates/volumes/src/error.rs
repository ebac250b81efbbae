//! Why a volume cannot be set up: the text after `MountVolume.SetUp failed for volume "v" : `.

use std::{io, path::PathBuf};

use lifecycle::{
    Obstacle,
    reason::go_error::go_error,
    spec::{field_ref::FieldError, resource_ref::ResourceError},
};
use linux::{mounts::MountError, safe_path::SafePathError};
use seams::ObjectError;

use crate::{layout::LayoutError, payload::PathError};

/// A failed step of setting a volume up, with what it was about.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SetUpError {
    /// The pod or volume has a name that is no file name.
    #[error("{0}")]
    Layout(LayoutError),
    /// A directory or file of the volume.
    #[error("{0}")]
    Path(SafePathError),
    /// A directory inside the volume that a container mounts and that is not there yet.
    #[error("{0}")]
    SubPath(SafePathError),
    /// A mount.
    #[error("{0}")]
    Mount(MountError),
    /// A plain operation on a file.
    #[error("{operation} {path}: {}", go_error(.cause))]
    File {
        /// As a verb: `mkdir`, `write`.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// System's answer.
        cause: io::Error,
    },
    /// The root of a volume that a part of is wanted from.
    #[error("stat {path}: {}", go_error(.cause))]
    NoVolume {
        /// Where it should be.
        path: PathBuf,
        /// System's answer.
        cause: io::Error,
    },
    /// Group ownership of files about to be published.
    #[error("{0}")]
    Publish(String),
    /// A path inside the volume.
    #[error("{0}")]
    Payload(PathError),
    /// A config map, secret or token that could not be had.
    #[error("{0}")]
    Object(ObjectError),
    /// No API server, and the volume wants something from it.
    #[error("couldn't get {kind} {namespace}/{name}, no kubeClient defined")]
    NoApi {
        /// `configMap`, `secret`.
        kind: &'static str,
        /// Namespace.
        namespace: String,
        /// Name.
        name: String,
    },
    /// No API server, and the volume is projected from it.
    #[error("cannot setup projected volume {volume} because kube client is not configured")]
    ProjectedNoApi {
        /// Volume.
        volume: String,
    },
    /// A key that is not in the config map.
    #[error("configmap references non-existent config key: {0}")]
    ConfigMapKey(String),
    /// A key that is not in the secret.
    #[error("references non-existent secret key: {0}")]
    SecretKey(String),
    /// The API always sets a default mode.
    #[error("no defaultMode used, not even the default value for it")]
    NoDefaultMode,
    /// A field for a downward API file.
    #[error("{0}")]
    Field(FieldError),
    /// A resource for a downward API file.
    #[error("{0}")]
    Resource(ResourceError),
    /// A token that could not be had for the first time.
    #[error("failed to fetch token: {0}")]
    Token(ObjectError),
    /// A token that ran out and could not be replaced.
    #[error("token of service account {namespace}/{service_account} expired and refresh failed: {cause}")]
    TokenExpired {
        /// Namespace.
        namespace: String,
        /// Service account.
        service_account: String,
        /// Why.
        cause: ObjectError,
    },
    /// `emptyDir.medium`.
    #[error("unknown storage medium {medium:?}")]
    Medium {
        /// As written.
        medium: String,
    },
    /// A quantity that does not parse.
    #[error("size limit {0:?} is not a quantity")]
    Size(String),
    /// `..` in a `hostPath`.
    #[error("invalid HostPath `{0}`: must not contain '..'")]
    HostPathBackstep(String),
    /// A `hostPath` of another type.
    #[error("hostPath type check failed: {path} is not a {expected}, it's a {found}")]
    HostPathType {
        /// Path.
        path: String,
        /// Wanted.
        expected: &'static str,
        /// Found, as the API names it.
        found: &'static str,
    },
    /// A `hostPath` that cannot be looked at.
    #[error("hostPath type check failed, {path} is not a {expected}, unable to determine its type: {cause}")]
    HostPathUnknown {
        /// Path.
        path: String,
        /// Wanted.
        expected: &'static str,
        /// Why.
        cause: String,
    },
    /// A `hostPath.type` that does not exist.
    #[error("{0} is an invalid volume type")]
    HostPathKind(String),
    /// A mount path that begins with `..`.
    #[error("invalid container mount point {0}")]
    MountPoint(String),
    /// A kind of volume, or of projection, that this kubelet does not have.
    #[error("{0}")]
    Unsupported(String),
    /// Several of the above: a projected volume reports all of its sources.
    #[error("[{}]", texts(.0))]
    Several(Vec<SetUpError>),
}

impl SetUpError {
    /// What stands in the way, for explanations.
    pub(crate) fn obstacle(&self) -> Option<Obstacle> {
        match self {
            Self::Object(error) | Self::Token(error) | Self::TokenExpired { cause: error, .. } => {
                Some(error.obstacle())
            }
            Self::HostPathType { .. } | Self::HostPathUnknown { .. } | Self::NoVolume { .. } => {
                Some(Obstacle::Node)
            }
            Self::NoApi { .. }
            | Self::ProjectedNoApi { .. }
            | Self::ConfigMapKey(_)
            | Self::SecretKey(_)
            | Self::NoDefaultMode
            | Self::Field(_)
            | Self::Resource(_)
            | Self::Medium { .. }
            | Self::Size(_)
            | Self::HostPathBackstep(_)
            | Self::HostPathKind(_)
            | Self::MountPoint(_)
            | Self::Payload(_)
            | Self::Unsupported(_) => Some(Obstacle::Spec),
            Self::Several(errors) => Obstacle::of_several(errors.iter().filter_map(Self::obstacle)),
            Self::Layout(_)
            | Self::Path(_)
            | Self::SubPath(_)
            | Self::Mount(_)
            | Self::File { .. }
            | Self::Publish(_) => None,
        }
    }
}

fn texts(errors: &[SetUpError]) -> String {
    let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
    texts.join(", ")
}

/// One error of several: each text once, brackets only around more than one. Those of parts are taken apart.
pub(crate) fn aggregate(errors: Vec<SetUpError>) -> Option<SetUpError> {
    let mut seen = std::collections::BTreeSet::new();
    let flat = errors.into_iter().flat_map(|error| match error {
        SetUpError::Several(parts) => parts,
        other => vec![other],
    });
    let mut distinct: Vec<SetUpError> = flat.filter(|error| seen.insert(error.to_string())).collect();
    match distinct.len() {
        0 | 1 => distinct.pop(),
        _ => Some(SetUpError::Several(distinct)),
    }
}

impl From<SafePathError> for SetUpError {
    fn from(error: SafePathError) -> Self {
        Self::Path(error)
    }
}

impl From<MountError> for SetUpError {
    fn from(error: MountError) -> Self {
        Self::Mount(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_errors_are_listed_once_each() {
        let key = |name: &str| SetUpError::SecretKey(name.into());
        assert!(aggregate(vec![]).is_none());
        let text = |errors| aggregate(errors).unwrap().to_string();
        assert_eq!(text(vec![key("a"), key("a")]), "references non-existent secret key: a");
        assert_eq!(
            text(vec![key("a"), key("b")]),
            "[references non-existent secret key: a, references non-existent secret key: b]"
        );
    }

    #[test]
    fn errors_of_parts_stand_beside_the_others() {
        let key = |key: &str| SetUpError::SecretKey(key.into());
        let part = aggregate(vec![key("a"), key("b")]).unwrap();
        let whole = aggregate(vec![part, key("b"), key("c")]).unwrap();
        let each = ["a", "b", "c"].map(|name| key(name).to_string()).join(", ");
        assert_eq!(whole.to_string(), format!("[{each}]"));
    }

    #[test]
    fn missing_objects_are_named_together() {
        let missing =
            |kind, name: &str| SetUpError::Object(ObjectError::NotFound { kind, name: name.to_owned() });
        let error = SetUpError::Several(vec![
            SetUpError::SecretKey("k".into()),
            missing("secret", "b"),
            missing("configmap", "a"),
            missing("secret", "b"),
        ]);
        let Some(Obstacle::Objects(objects)) = error.obstacle() else { panic!("{error}") };
        let names: Vec<_> = objects.iter().map(|object| (object.kind, object.name.as_str())).collect();
        assert_eq!(names, [("configmap", "a"), ("secret", "b")]);
        assert_eq!(SetUpError::SecretKey("k".into()).obstacle(), Some(Obstacle::Spec));
    }
}
