//! The kubelet's own place in the kernel's order of killing.

use std::io;

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

#[cfg(test)]
mod tests {
    use std::fs;

    use node::cgroup::KUBELET_OOM_SCORE_ADJ;

    use super::*;

    #[test]
    fn a_refusal_is_told_from_a_failure() {
        let dir = tempfile::tempdir().unwrap();
        let roots = Roots { proc: dir.path().into(), ..Roots::default() };
        let file = dir.path().join("self/oom_score_adj");
        assert!(protect_self(&roots, KUBELET_OOM_SCORE_ADJ).is_err(), "no such file");
        fs::create_dir(dir.path().join("self")).unwrap();
        fs::write(&file, "0000").unwrap();
        assert_eq!(protect_self(&roots, KUBELET_OOM_SCORE_ADJ).unwrap(), OwnScore::Set);
        assert_eq!(fs::read_to_string(&file).unwrap(), "-999");
        fs::remove_file(&file).unwrap();
        // A file that the kernel lets nobody write.
        std::os::unix::fs::symlink("/proc/sys/kernel/random/entropy_avail", &file).unwrap();
        assert_eq!(protect_self(&roots, KUBELET_OOM_SCORE_ADJ).unwrap(), OwnScore::Refused);
    }

    #[test]
    fn raising_the_own_score_is_always_allowed() {
        let now = files::read(std::path::Path::new("/proc/self/oom_score_adj")).unwrap();
        assert_eq!(protect_self(&Roots::default(), now.parse().unwrap()).unwrap(), OwnScore::Set);
    }
}
