//! Logs of pods that nobody else remembers: `<podLogsDir>/<namespace>_<name>_<uid>` tells whose they were.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use k8s_openapi::api::core::v1::Pod;
use lifecycle::PodUid;

use crate::edges::Edges;

/// What a pod was called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name {
    namespace: String,
    name: String,
}

/// Whose logs there are, known pods among them; and removes links to logs that are gone. What cannot be read is not there.
pub(super) async fn left_behind(edges: &Edges, pod_logs: PathBuf) -> BTreeMap<PodUid, Name> {
    if let Err(error) = edges.runtime.unlink_lost_logs().await {
        tracing::warn!(%error, "Could not remove links to logs that are gone; will try again in an hour");
    }
    tokio::task::spawn_blocking(move || directories(&pod_logs)).await.unwrap_or_default()
}

fn directories(pod_logs: &Path) -> BTreeMap<PodUid, Name> {
    let Ok(entries) = std::fs::read_dir(pod_logs) else { return BTreeMap::new() };
    // A link is nobody's logs: `file_type` does not follow it.
    let directories = entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    directories.filter_map(|entry| owner(entry.file_name().to_str()?)).collect()
}

/// Whose logs are in a directory of this name; `None`: it is not one of ours. A uid becomes the name of directories that are
/// removed, so it may be nothing but a plain word.
fn owner(directory: &str) -> Option<(PodUid, Name)> {
    let mut parts = directory.split('_');
    let (namespace, name, uid) = (parts.next()?, parts.next()?, parts.next()?);
    let is_plain = uid.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') && !uid.is_empty();
    if parts.next().is_some() || !is_plain || namespace.is_empty() || name.is_empty() {
        return None;
    }
    let name = Name { namespace: namespace.to_owned(), name: name.to_owned() };
    Some((PodUid::from(uid.to_owned()), name))
}

/// All that is known of a pod that the runtime knows nothing of.
pub(super) fn pod_of(uid: &PodUid, name: Option<Name>) -> Pod {
    let mut pod = Pod::default();
    pod.metadata.uid = Some(uid.to_string());
    if let Some(Name { namespace, name }) = name {
        (pod.metadata.namespace, pod.metadata.name) = (Some(namespace), Some(name));
    }
    pod
}

#[cfg(test)]
mod tests {
    use lifecycle::PodKey;

    use super::*;
    use crate::config::log_dir;

    #[test]
    fn directories_tell_whose_logs_they_hold() {
        let dir = tempfile::tempdir().unwrap();
        for name in
            ["ns_web.1_0f-1", "kube-system_a_b", "ns_web_.._x", "ns_web_..", "ns__u", "notes", "_a_u", "a_b_"]
        {
            std::fs::create_dir(dir.path().join(name)).unwrap();
        }
        std::fs::write(dir.path().join("ns_file_u1"), "").unwrap();
        std::os::unix::fs::symlink("/etc", dir.path().join("ns_link_u2")).unwrap();
        let found = directories(dir.path());
        let uids: Vec<_> = found.keys().map(PodUid::as_str).collect();
        assert_eq!(uids, ["0f-1", "b"]);
        for (uid, name) in found {
            let key = PodKey::of(&pod_of(&uid, Some(name)));
            assert!(log_dir(dir.path(), &key).is_dir(), "{key}: what is removed is what was found");
        }
        assert!(directories(&dir.path().join("none")).is_empty());
    }
}
