//! The kubelet's own place in the kernel's order of killing.

use std::io;

use node::cgroup::KUBELET_OOM_SCORE_ADJ;
use seams::HostError;

use crate::{facts::Roots, files};

/// What became of the kubelet's own score.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnScore {
    /// It is set.
    Set,
    /// The kernel refused: lowering it needs `CAP_SYS_RESOURCE`. Worth a warning; the kubelet works, but is as likely
    /// a victim as any process.
    Refused,
}

/// Sets `oom_score_adj` of this process (upstream's is -999).
///
/// # Errors
/// [`HostError`] for anything but a refusal.
pub fn protect_self(roots: &Roots, score: i64) -> Result<OwnScore, HostError> {
    let path = roots.proc.join("self/oom_score_adj");
    match files::write(&path, &score.to_string()) {
        Ok(()) => Ok(OwnScore::Set),
        Err(HostError::Path { source, .. }) if source.kind() == io::ErrorKind::PermissionDenied => {
            Ok(OwnScore::Refused)
        }
        Err(error) => Err(error),
    }
}

/// The kubelet's default score.
pub const DEFAULT_SCORE: i64 = KUBELET_OOM_SCORE_ADJ;
