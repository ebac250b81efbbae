//! Which ids the pods with user namespaces of their own have, across restarts of the kubelet and swaps with upstream's.
//!
//! A pod keeps its ids for its life: its files belong to them, and its containers must agree. They stand in the pod's
//! directory, in upstream's form, from before the first sandbox until the directory is removed.
//!
//! ```text
//!   (none) ── free ids ──► reserved ── record written ──► kept ── directory removed ──► (none)
//!                             └── record cannot be written ──► (none)
//! ```
//!
//! Invariants: nobody is given what another pod has or has reserved; nothing is read or written under the lock, which every
//! pod's sandbox takes.

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
    given: Mutex<BTreeMap<PodUid, Given>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Given {
    first: u32,
    record: RecordState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RecordState {
    /// So many are about to write it. More than one when the first of them was given up and hangs yet.
    Reserved(u32),
    /// It is there.
    Kept,
}

impl Given {
    fn kept(first: u32) -> Self {
        Self { first, record: RecordState::Kept }
    }
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
                    given.insert(
                        PodUid::from(entry.file_name().to_string_lossy().into_owned()),
                        Given::kept(first),
                    );
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
        if let Some(known) = self.known(uid) {
            return Ok(known);
        }
        let path = self.pods.join(uid.as_str()).join(FILE);
        if let Some(first) = read(&path, &self.pool)? {
            self.given.lock().insert(uid.clone(), Given::kept(first));
            return Ok(self.namespace(first));
        }
        let first = self.reserve(uid)?;
        let written = write(&path, self.namespace(first));
        self.settle(uid, written.is_ok());
        written.map_err(|source| UserNamespaceError::Write { path, source })?;
        Ok(self.namespace(first))
    }

    fn namespace(&self, first: u32) -> UserNamespace {
        UserNamespace { first, length: self.pool.per_pod() }
    }

    /// Ids that nobody else gets while their record is written.
    fn reserve(&self, uid: &PodUid) -> Result<u32, UserNamespaceError> {
        let mut given = self.given.lock();
        if let Some(Given { first, record }) = given.get_mut(uid) {
            if let RecordState::Reserved(writers) = record {
                *writers += 1;
            }
            return Ok(*first);
        }
        let taken: BTreeSet<u32> = given.values().map(|given| given.first).collect();
        let first = self.pool.free(&taken).ok_or(UserNamespaceError::None)?;
        given.insert(uid.clone(), Given { first, record: RecordState::Reserved(1) });
        Ok(first)
    }

    /// A record was written, or could not be. A pod that is gone meanwhile has nothing any more.
    fn settle(&self, uid: &PodUid, written: bool) {
        let mut given = self.given.lock();
        let Some(mine) = given.get_mut(uid) else { return };
        mine.record = match mine.record {
            RecordState::Kept => return,
            RecordState::Reserved(_) if written => RecordState::Kept,
            RecordState::Reserved(writers) => RecordState::Reserved(writers.saturating_sub(1)),
        };
        if mine.record == RecordState::Reserved(0) {
            given.remove(uid);
        }
    }

    /// Those of a pod that has been given some.
    pub(crate) fn known(&self, uid: &PodUid) -> Option<UserNamespace> {
        let given = self.given.lock().get(uid).copied();
        given.filter(|given| given.record == RecordState::Kept).map(|given| self.namespace(given.first))
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

    #[test]
    fn a_record_that_cannot_be_written_now_holds_nobody_else_up() {
        use rustix::fs::{CWD, FileType, Mode, mknodat};
        let root = node(&["a", "b", "c"]);
        let all = load(&root);
        // Opening a pipe for writing hangs until somebody reads, as a disk does that is gone.
        let pipe = root.path().join("pods/a/userns.tmp");
        mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        std::thread::scope(|scope| {
            let hanging = scope.spawn(|| all.of(&uid("a")));
            while all.given.try_lock().is_none_or(|given| !given.contains_key(&uid("a"))) {
                assert!(!hanging.is_finished());
                std::thread::yield_now();
            }
            assert_eq!(all.known(&uid("a")), None, "its record is not there yet");
            assert_eq!(all.of(&uid("b")).unwrap().first, 131_072, "what is reserved is not free");
            // What is read lets it go on; that a pipe is no file for ever makes it fail.
            drop(std::fs::read(&pipe).unwrap());
            assert!(matches!(hanging.join().unwrap(), Err(UserNamespaceError::Write { .. })));
        });
        assert_eq!(all.of(&uid("c")).unwrap().first, 65_536, "what was reserved is free again");
    }
}
