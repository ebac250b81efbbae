//! Which ids the pods with user namespaces of their own have, across restarts of the kubelet and swaps with upstream's.
//!
//! A pod keeps its ids for its life: its files belong to them, and its containers must agree. They stand in the pod's
//! directory, in upstream's form, from before the first sandbox until the directory is removed.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
};

use lifecycle::PodUid;
use node::user_namespaces::IdPool;
use parking_lot::Mutex;
use seams::runtime::UserNamespace;
use serde::{Deserialize, Serialize};

use crate::whole_file::{self, Lasting};

/// Name of the file in a pod's directory (contract §30).
const FILE: &str = "userns";

/// Why a pod gets no ids. Displays for the event of its sandbox.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UserNamespaceError {
    /// The record is there and cannot be read.
    #[error("failed to read {}: {cause}\nhint: delete the pod and, when it is gone, the file", path.display())]
    Record {
        /// Which.
        path: PathBuf,
        /// Why.
        cause: String,
    },
    /// The record cannot be kept.
    #[error("failed to write {}: {source}", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Cause.
        source: io::Error,
    },
    /// All are taken.
    #[error(
        "all ranges of user ids that pods may have are taken\nhint: give the user kubelet more in /etc/subuid and /etc/subgid, or lower userNamespaces.idsPerPod"
    )]
    None,
}

/// Upstream's record. Fields that it may have one day are of no use here.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    uid_mappings: Vec<Mapping>,
    gid_mappings: Vec<Mapping>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Mapping {
    host_id: u32,
    container_id: u32,
    length: u32,
}

/// Who has what.
#[derive(Debug)]
pub struct UserNamespaces {
    pool: IdPool,
    pods: PathBuf,
    given: Mutex<BTreeMap<PodUid, u32>>,
}

impl UserNamespaces {
    /// With what the directories of pods below the root directory say is given. Blocks on files.
    #[must_use]
    pub(crate) fn load(pool: IdPool, root: &Path) -> Self {
        let pods = root.join("pods");
        let entries = std::fs::read_dir(&pods).into_iter().flatten().filter_map(Result::ok);
        let mut given = BTreeMap::new();
        for entry in entries {
            let path = entry.path().join(FILE);
            match read(&path, &pool) {
                Ok(None) => {}
                Ok(Some(first)) => {
                    given.insert(PodUid::from(entry.file_name().to_string_lossy().into_owned()), first);
                }
                Err(error) => tracing::warn!(%error, "The user namespace of a pod is not known"),
            }
        }
        Self { pool, pods, given: Mutex::new(given) }
    }

    /// The ids of a pod whose directory exists; its own, if it has any. Blocks on a file.
    ///
    /// # Errors
    /// [`UserNamespaceError`].
    pub(crate) fn of(&self, uid: &PodUid) -> Result<UserNamespace, UserNamespaceError> {
        // Held while the file is written: nobody else may be given the same.
        let mut given = self.given.lock();
        let namespace = |first| UserNamespace { first, length: self.pool.per_pod() };
        if let Some(first) = given.get(uid) {
            return Ok(namespace(*first));
        }
        let path = self.pods.join(uid.as_str()).join(FILE);
        if let Some(first) = read(&path, &self.pool)? {
            given.insert(uid.clone(), first);
            return Ok(namespace(first));
        }
        let taken: BTreeSet<u32> = given.values().copied().collect();
        let first = self.pool.free(&taken).ok_or(UserNamespaceError::None)?;
        write(&path, namespace(first)).map_err(|source| UserNamespaceError::Write { path, source })?;
        given.insert(uid.clone(), first);
        Ok(namespace(first))
    }

    /// Those of a pod that has been given some.
    pub(crate) fn known(&self, uid: &PodUid) -> Option<UserNamespace> {
        let first = *self.given.lock().get(uid)?;
        Some(UserNamespace { first, length: self.pool.per_pod() })
    }

    /// The pod and its directory are gone.
    pub(crate) fn release(&self, uid: &PodUid) {
        self.given.lock().remove(uid);
    }
}

/// First id of a record; `None` when there is none.
fn read(path: &Path, pool: &IdPool) -> Result<Option<u32>, UserNamespaceError> {
    let failed = |cause: String| UserNamespaceError::Record { path: path.to_owned(), cause };
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error.to_string())),
    };
    let record: Record = serde_json::from_slice(&text).map_err(|error| failed(error.to_string()))?;
    let (&[users], &[groups]) = (record.uid_mappings.as_slice(), record.gid_mappings.as_slice()) else {
        return Err(failed("there has to be one mapping for users and one for groups".to_owned()));
    };
    let whole = users == groups && users.container_id == 0 && users.length == pool.per_pod();
    if whole && pool.has(users.host_id) {
        Ok(Some(users.host_id))
    } else {
        let per_pod = pool.per_pod();
        Err(failed(format!("it is no range of {per_pod} ids that pods may have (userNamespaces.idsPerPod)")))
    }
}

/// A record that is there is whole.
fn write(path: &Path, given: UserNamespace) -> io::Result<()> {
    let ids = vec![Mapping { host_id: given.first, container_id: 0, length: given.length }];
    let text = serde_json::to_vec(&Record { uid_mappings: ids.clone(), gid_mappings: ids })?;
    whole_file::write(path, &text, 0o644, Lasting::Yes)
}

#[cfg(test)]
mod tests {
    use node::user_namespaces::IDS_PER_POD;

    use super::*;

    fn uid(name: &str) -> PodUid {
        PodUid::from(name.to_owned())
    }

    fn node(pods: &[&str]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for pod in pods {
            std::fs::create_dir_all(root.path().join("pods").join(pod)).unwrap();
        }
        root
    }

    fn load(root: &tempfile::TempDir) -> UserNamespaces {
        UserNamespaces::load(IdPool::whole(IDS_PER_POD), root.path())
    }

    #[test]
    fn a_pod_keeps_its_ids_over_restarts_and_they_are_nobody_elses() {
        let root = node(&["a", "b", "c"]);
        let first = load(&root);
        let (a, b) = (first.of(&uid("a")).unwrap(), first.of(&uid("b")).unwrap());
        assert_eq!((a.first, b.first, a.length), (65_536, 131_072, 65_536));
        assert_eq!(first.of(&uid("a")).unwrap(), a);
        std::fs::remove_dir_all(root.path().join("pods/a")).unwrap();
        let second = load(&root);
        assert_eq!(second.known(&uid("a")), None);
        assert_eq!(second.of(&uid("b")).unwrap(), b);
        assert_eq!(second.of(&uid("c")).unwrap().first, 65_536);
        second.release(&uid("c"));
        assert_eq!(second.known(&uid("c")), None);
    }

    #[test]
    fn the_record_is_upstreams() {
        let root = node(&["a", "b"]);
        load(&root).of(&uid("a")).unwrap();
        let text = std::fs::read_to_string(root.path().join("pods/a/userns")).unwrap();
        let ids = r#"[{"hostId":65536,"containerId":0,"length":65536}]"#;
        assert_eq!(text, format!(r#"{{"uidMappings":{ids},"gidMappings":{ids}}}"#));
    }

    #[test]
    fn a_record_that_makes_no_sense_stops_its_pod_only() {
        let root = node(&["a", "b"]);
        let ids = |host| format!(r#"[{{"hostId":{host},"containerId":0,"length":65536}}]"#);
        let bad = [
            "{".to_owned(),
            format!(r#"{{"uidMappings":{},"gidMappings":[]}}"#, ids(65536)),
            format!(r#"{{"uidMappings":{},"gidMappings":{}}}"#, ids(65536), ids(131_072)),
            format!(r#"{{"uidMappings":{0},"gidMappings":{0}}}"#, ids(0)),
        ];
        for text in bad {
            std::fs::write(root.path().join("pods/a/userns"), text).unwrap();
            let all = load(&root);
            assert!(matches!(all.of(&uid("a")), Err(UserNamespaceError::Record { .. })));
            assert!(all.of(&uid("b")).is_ok());
            std::fs::remove_file(root.path().join("pods/b/userns")).unwrap();
        }
    }

    #[test]
    fn without_a_directory_nothing_is_given() {
        let all = load(&node(&[]));
        assert!(matches!(all.of(&uid("a")), Err(UserNamespaceError::Write { .. })));
        assert_eq!(all.known(&uid("a")), None);
    }
}
