//! What can be wrong with a kubeconfig, in words for the operator.

use std::path::{Path, PathBuf};

use jiff::Timestamp;

/// Why a kubeconfig cannot be used: which file, which field. The cause is its source, [`KubeconfigError::hint`] says
/// what to do.
#[derive(Debug, thiserror::Error)]
pub enum KubeconfigError {
    /// The kubeconfig itself cannot be read.
    #[error("cannot read the kubeconfig {}", path.display())]
    Read {
        /// Its path.
        path: PathBuf,
        /// System's answer.
        source: std::io::Error,
    },
    /// It is not YAML, or not of the right shape.
    #[error("the kubeconfig {} is not valid: {message}", path.display())]
    Parse {
        /// Its path.
        path: PathBuf,
        /// Parser's text with line and column.
        message: String,
    },
    /// A name leads nowhere.
    #[error("the kubeconfig {}: {field} names the {kind} {name:?}, which is not there", path.display())]
    Missing {
        /// Its path.
        path: PathBuf,
        /// `context`, `cluster` or `user`.
        kind: &'static str,
        /// Field that holds the name.
        field: &'static str,
        /// The name; may be empty.
        name: String,
        /// What there is.
        available: Vec<String>,
    },
    /// A field holds something that cannot be used.
    #[error("the kubeconfig {}: {field}: {problem}", kubeconfig.display())]
    Field {
        /// Path of the kubeconfig.
        kubeconfig: PathBuf,
        /// Field.
        field: &'static str,
        /// What is wrong with it.
        problem: String,
        /// Next step.
        hint: &'static str,
    },
    /// A file that a field names cannot be read.
    #[error("the kubeconfig {}: {field}: cannot read {}", kubeconfig.display(), file.display())]
    File {
        /// Path of the kubeconfig.
        kubeconfig: PathBuf,
        /// Field.
        field: &'static str,
        /// The file.
        file: PathBuf,
        /// System's answer.
        source: std::io::Error,
    },
    /// The client certificate has ended.
    #[error(
        "the kubeconfig {}: {field}: the client certificate{} expired at {at}",
        kubeconfig.display(),
        in_file(file.as_deref())
    )]
    Expired {
        /// Path of the kubeconfig.
        kubeconfig: PathBuf,
        /// Field.
        field: &'static str,
        /// File with the certificate, unless it is inline.
        file: Option<PathBuf>,
        /// End of its validity.
        at: Timestamp,
    },
}

impl KubeconfigError {
    /// All of it as one text: what, why, and the next step.
    #[must_use]
    pub fn told(&self) -> String {
        let cause = std::error::Error::source(self).map(|cause| format!(": {cause}")).unwrap_or_default();
        format!("{self}{cause}; hint: {}", self.hint())
    }

    /// The next step for the operator.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Read { source, .. } | Self::File { source, .. } => read_hint(source).to_owned(),
            Self::Parse { path, .. } => {
                format!("check it with `kubectl --kubeconfig {} config view`", path.display())
            }
            Self::Missing { kind, available, .. } => available_hint(kind, available),
            Self::Field { hint, .. } => (*hint).to_owned(),
            Self::Expired { .. } => {
                "renew it (kubeadm: `kubeadm certs renew`), or join the node again".to_owned()
            }
        }
    }
}

fn read_hint(error: &std::io::Error) -> &'static str {
    match error.kind() {
        std::io::ErrorKind::NotFound => {
            "check the path; a node that was never joined has none: run `kubeadm join`, or leave --kubeconfig out for standalone mode"
        }
        std::io::ErrorKind::PermissionDenied => {
            "the kubelet runs as root: check mode, owner and mount of the file"
        }
        std::io::ErrorKind::InvalidData => "the file must be UTF-8 text",
        _ => "check the file system that holds it",
    }
}

fn available_hint(kind: &str, available: &[String]) -> String {
    if available.is_empty() {
        format!("the file has no {kind} at all")
    } else {
        format!("the file has: {}", available.join(", "))
    }
}

fn in_file(file: Option<&Path>) -> String {
    file.map(|f| format!(" in {}", f.display())).unwrap_or_default()
}
