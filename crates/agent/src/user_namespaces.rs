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
//! A record may be one that no pod could get here: of another length, or no block at all, from before the configuration was
//! changed or by somebody's hand. Its pod may run all the same, with what is written there: that is nobody else's, and the
//! pod itself gets no new sandbox with it. Of a record that cannot be read nobody knows which ids it means: as long as there
//! is one, no new ones are given out.
//!
//! Invariants: nobody is given what another pod has or has reserved; nothing is read or written under the lock, which every
//! pod's sandbox takes.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

use lifecycle::PodUid;
use node::user_namespaces::{IdPool, IdRange};
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
    /// That of another pod cannot be read, so that what is free is not known.
    #[error(
        "no user ids can be given out, since {} cannot be read: {cause}\nhint: put the file right, or delete its pod and, when it is gone, the file",
        path.display()
    )]
    Unknown {
        /// Which, or the directory of them all.
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
    /// The directory of pods could not be looked through.
    unlisted: AtomicBool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Given {
    /// The block that begins there; so many are about to write its record. More than one when the first of them was given up
    /// and hangs yet.
    Reserved { first: u32, writers: u32 },
    /// The block that begins there, and its record is there.
    Kept { first: u32 },
    /// What its record says, which is no block.
    Odd(Vec<IdRange>),
    /// Its record is there and does not say.
    Unread(String),
}

impl Given {
    /// Ids that nobody else may have.
    fn ranges(&self, pool: &IdPool) -> Vec<IdRange> {
        match self {
            Self::Reserved { first, .. } | Self::Kept { first } => {
                vec![IdRange { first: *first, count: pool.per_pod() }]
            }
            Self::Odd(ranges) => ranges.clone(),
            Self::Unread(_) => Vec::new(),
        }
    }
}

/// What a record says.
#[derive(Debug, PartialEq, Eq)]
enum Recorded {
    /// A block of the pool, by its beginning.
    Block(u32),
    /// Something else: all that users and groups have.
    Odd(Vec<IdRange>),
}

impl From<Recorded> for Given {
    fn from(recorded: Recorded) -> Self {
        match recorded {
            Recorded::Block(first) => Self::Kept { first },
            Recorded::Odd(ranges) => Self::Odd(ranges),
        }
    }
}

impl UserNamespaces {
    /// With what the directories of pods below the root directory say is given. Blocks on files.
    #[must_use]
    pub(crate) fn load(pool: IdPool, root: &Path) -> Self {
        let pods = root.join("pods");
        let (given, unlisted) = match survey(&pods, &pool) {
            Ok(given) => (given, false),
            Err(error) => {
                let hint = "no pod with a user namespace can start until it can be read";
                tracing::error!(path = %pods.display(), %error, hint, "The user namespaces of pods are not known");
                (BTreeMap::new(), true)
            }
        };
        tell_overlaps(&given, &pods, &pool);
        Self { pool, pods, given: Mutex::new(given), unlisted: AtomicBool::new(unlisted) }
    }

    /// The ids of a pod whose directory exists; its own, if it has any. Blocks on files.
    ///
    /// # Errors
    /// [`UserNamespaceError`].
    pub(crate) fn of(&self, uid: &PodUid) -> Result<UserNamespace, UserNamespaceError> {
        if let Some(known) = self.known(uid) {
            return Ok(known);
        }
        let path = self.record(uid);
        let failed = |cause: String| UserNamespaceError::Record { path: path.clone(), cause };
        match read(&path, &self.pool) {
            Ok(None) => {}
            Ok(Some(recorded)) => {
                self.given.lock().insert(uid.clone(), recorded.into());
                return self.known(uid).ok_or_else(|| {
                    let pool = "ids that pods may have (userNamespaces.idsPerPod)";
                    failed(format!("it is not one range of {} {pool}", self.pool.per_pod()))
                });
            }
            Err(cause) => {
                self.given.lock().insert(uid.clone(), Given::Unread(cause.clone()));
                return Err(failed(cause));
            }
        }
        self.look_again(uid)?;
        let first = self.reserve(uid)?;
        let written = write(&path, self.namespace(first));
        self.settle(uid, written.is_ok());
        written.map_err(|source| UserNamespaceError::Write { path, source })?;
        Ok(self.namespace(first))
    }

    fn namespace(&self, first: u32) -> UserNamespace {
        UserNamespace { first, length: self.pool.per_pod() }
    }

    fn record(&self, uid: &PodUid) -> PathBuf {
        self.pods.join(uid.as_str()).join(FILE)
    }

    /// Reads what could not be read before, but for this pod's: it may have been put right, or be gone.
    fn look_again(&self, but: &PodUid) -> Result<(), UserNamespaceError> {
        if self.unlisted.load(Ordering::Acquire) {
            let unknown = |error: io::Error| UserNamespaceError::Unknown {
                path: self.pods.clone(),
                cause: error.to_string(),
            };
            let found = survey(&self.pods, &self.pool).map_err(unknown)?;
            let mut given = self.given.lock();
            for (uid, of_pod) in found {
                given.entry(uid).or_insert(of_pod);
            }
            self.unlisted.store(false, Ordering::Release);
        }
        let unread: Vec<PodUid> = {
            let given = self.given.lock();
            let unread = given.iter().filter(|(_, of_pod)| matches!(of_pod, Given::Unread(_)));
            unread.map(|(uid, _)| uid.clone()).filter(|uid| uid != but).collect()
        };
        for uid in unread {
            let path = self.record(&uid);
            let found = read(&path, &self.pool);
            let mut given = self.given.lock();
            // The pod may have been let go meanwhile.
            if !matches!(given.get(&uid), Some(Given::Unread(_))) {
                continue;
            }
            match found {
                Ok(None) => drop(given.remove(&uid)),
                Ok(Some(recorded)) => drop(given.insert(uid, recorded.into())),
                Err(cause) => return Err(UserNamespaceError::Unknown { path, cause }),
            }
        }
        Ok(())
    }

    /// Ids that nobody else gets while their record is written. There was none before.
    fn reserve(&self, uid: &PodUid) -> Result<u32, UserNamespaceError> {
        let mut given = self.given.lock();
        match given.get_mut(uid) {
            Some(Given::Kept { first }) => return Ok(*first),
            Some(Given::Reserved { first, writers }) => {
                *writers += 1;
                return Ok(*first);
            }
            Some(Given::Odd(_) | Given::Unread(_)) => drop(given.remove(uid)),
            None => {}
        }
        let mut taken = BTreeSet::new();
        for (other, of_pod) in given.iter() {
            // Found since the last look.
            if let Given::Unread(cause) = of_pod {
                return Err(UserNamespaceError::Unknown { path: self.record(other), cause: cause.clone() });
            }
            taken.extend(of_pod.ranges(&self.pool).into_iter().flat_map(|range| blocks(range, &self.pool)));
        }
        let first = self.pool.free(&taken).ok_or(UserNamespaceError::None)?;
        given.insert(uid.clone(), Given::Reserved { first, writers: 1 });
        Ok(first)
    }

    /// A record was written, or could not be. A pod that is gone meanwhile has nothing any more.
    fn settle(&self, uid: &PodUid, written: bool) {
        let mut given = self.given.lock();
        let Some(mine) = given.get_mut(uid) else { return };
        let Given::Reserved { first, writers } = mine else { return };
        if written {
            *mine = Given::Kept { first: *first };
        } else {
            *writers = writers.saturating_sub(1);
            if *writers == 0 {
                given.remove(uid);
            }
        }
    }

    /// Those of a pod that has been given some.
    pub(crate) fn known(&self, uid: &PodUid) -> Option<UserNamespace> {
        match self.given.lock().get(uid) {
            Some(Given::Kept { first }) => Some(self.namespace(*first)),
            _ => None,
        }
    }

    /// The pod and its directory are gone.
    pub(crate) fn release(&self, uid: &PodUid) {
        self.given.lock().remove(uid);
    }
}

/// What the records of all pods say.
fn survey(pods: &Path, pool: &IdPool) -> io::Result<BTreeMap<PodUid, Given>> {
    let mut given = BTreeMap::new();
    let entries = match std::fs::read_dir(pods) {
        Ok(entries) => entries,
        // The first start on this disk.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(given),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        let path = entry.path().join(FILE);
        let of_pod = match read(&path, pool) {
            Ok(None) => continue,
            Ok(Some(recorded)) => {
                if let Recorded::Odd(ranges) = &recorded {
                    let hint = "they are kept for it until it is gone; delete the pod to have it made anew";
                    tracing::warn!(path = %path.display(), ?ranges, hint, "A pod has user ids that no pod would get");
                }
                Given::from(recorded)
            }
            Err(cause) => {
                let hint = "no other pod gets new ids; put the file right, or delete the pod and, when it is gone, the file";
                tracing::error!(path = %path.display(), cause, hint, "The user ids of a pod are not known");
                Given::Unread(cause)
            }
        };
        given.insert(PodUid::from(entry.file_name().to_string_lossy().into_owned()), of_pod);
    }
    Ok(given)
}

/// Whoever has ids in common can reach each other's files.
fn tell_overlaps(given: &BTreeMap<PodUid, Given>, pods: &Path, pool: &IdPool) {
    let all: Vec<_> = given.iter().map(|(uid, of_pod)| (uid, of_pod.ranges(pool))).collect();
    for (at, (uid, ranges)) in all.iter().enumerate() {
        for (other, theirs) in &all[at + 1..] {
            let common = ranges.iter().find(|range| theirs.iter().any(|their| overlap(**range, *their)));
            if let Some(range) = common {
                let hint = "delete one of the two, so that it is made anew with ids of its own";
                let path = pods.join(uid.as_str()).join(FILE);
                tracing::error!(path = %path.display(), %other, ?range, hint, "Two pods have user ids in common");
            }
        }
    }
}

fn end(range: IdRange) -> u64 {
    u64::from(range.first) + u64::from(range.count)
}

fn overlap(one: IdRange, other: IdRange) -> bool {
    let begin = u64::from(one.first.max(other.first));
    begin < end(one).min(end(other))
}

/// Beginnings of the blocks that have ids in common with a range.
fn blocks(range: IdRange, pool: &IdPool) -> impl Iterator<Item = u32> + use<> {
    let length = pool.per_pod();
    let first = range.first - range.first % length;
    let blocks = std::iter::successors(Some(first), move |first| first.checked_add(length));
    blocks.take_while(move |first| range.count > 0 && u64::from(*first) < end(range))
}

/// What a record says; `None` when there is none, or why it does not.
fn read(path: &Path, pool: &IdPool) -> Result<Option<Recorded>, String> {
    let text = match std::fs::read(path) {
        Ok(text) => text,
        // Beside the pods' directories there may be files.
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(error.to_string()),
    };
    let record: Record = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
    if let (&[users], &[groups]) = (record.uid_mappings.as_slice(), record.gid_mappings.as_slice())
        && users == groups
        && users.container_id == 0
        && users.length == pool.per_pod()
        && pool.has(users.host_id)
    {
        return Ok(Some(Recorded::Block(users.host_id)));
    }
    let all = record.uid_mappings.iter().chain(&record.gid_mappings);
    let ranges = all.map(|mapping| IdRange { first: mapping.host_id, count: mapping.length });
    Ok(Some(Recorded::Odd(ranges.collect())))
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

    fn record(ids: &[(u32, u32)]) -> String {
        let mapping = |(host, length)| format!(r#"{{"hostId":{host},"containerId":0,"length":{length}}}"#);
        let mappings = ids.iter().copied().map(mapping).collect::<Vec<_>>().join(",");
        format!(r#"{{"uidMappings":[{mappings}],"gidMappings":[{mappings}]}}"#)
    }

    #[test]
    fn ids_of_another_length_stay_those_of_their_pod() {
        for (ids, free) in [
            // From before userNamespaces.idsPerPod was raised.
            (&[(131_072, 65_536)][..], 2 * 131_072),
            (&[(131_072 + 65_536, 65_536)], 2 * 131_072),
            // From before it was lowered, and of several ranges.
            (&[(131_072, 262_144)], 3 * 131_072),
            (&[(200_000, 1), (300_000, 100_000)], 4 * 131_072),
            (&[(7, 0)], 131_072),
        ] {
            let root = node(&["a", "b"]);
            std::fs::write(root.path().join("pods/a/userns"), record(ids)).unwrap();
            let all = UserNamespaces::load(IdPool::whole(131_072), root.path());
            assert_eq!(all.of(&uid("b")).unwrap(), UserNamespace { first: free, length: 131_072 }, "{ids:?}");
            assert!(matches!(all.of(&uid("a")), Err(UserNamespaceError::Record { .. })));
            assert_eq!(all.known(&uid("a")), None);
        }
        // The last ids there are.
        let root = node(&["a", "b"]);
        std::fs::write(root.path().join("pods/a/userns"), record(&[(u32::MAX - 9, 10)])).unwrap();
        assert_eq!(load(&root).of(&uid("b")).unwrap().first, 65_536);
    }

    #[test]
    fn nothing_new_is_given_out_while_a_record_cannot_be_read() {
        let root = node(&["a", "b", "c"]);
        std::fs::write(root.path().join("pods/lost+found"), "").unwrap();
        load(&root).of(&uid("c")).unwrap();
        let bad = root.path().join("pods/a/userns");
        for found in ["load", "later"] {
            std::fs::remove_file(&bad).ok();
            let before = load(&root);
            std::fs::write(&bad, "{").unwrap();
            let all = if found == "load" { load(&root) } else { before };
            assert!(matches!(all.of(&uid("a")), Err(UserNamespaceError::Record { .. })));
            let error = all.of(&uid("b")).unwrap_err().to_string();
            assert!(error.contains("pods/a/userns cannot be read: EOF"), "{error}");
            assert!(error.contains("\nhint: put the file right"), "{error}");
            assert_eq!(all.of(&uid("c")).unwrap().first, 65_536, "who has some keeps them");
            // Put right, it counts.
            std::fs::write(&bad, record(&[(131_072, 65_536)])).unwrap();
            assert_eq!(all.of(&uid("b")).unwrap().first, 3 * 65_536);
            assert_eq!(all.of(&uid("a")).unwrap().first, 131_072);
            all.release(&uid("b"));
            std::fs::remove_file(root.path().join("pods/b/userns")).unwrap();
        }
        // Its pod is gone.
        std::fs::write(&bad, "{").unwrap();
        let all = load(&root);
        assert!(matches!(all.of(&uid("b")), Err(UserNamespaceError::Unknown { .. })));
        std::fs::remove_dir_all(root.path().join("pods/a")).unwrap();
        all.release(&uid("a"));
        assert_eq!(all.of(&uid("b")).unwrap().first, 131_072);
    }

    #[test]
    fn pods_with_ids_in_common_keep_what_they_have() {
        let root = node(&["a", "b", "c"]);
        for pod in ["a", "b"] {
            std::fs::write(root.path().join("pods").join(pod).join("userns"), record(&[(65_536, 65_536)]))
                .unwrap();
        }
        let all = load(&root);
        assert_eq!(all.of(&uid("a")).unwrap(), all.of(&uid("b")).unwrap());
        assert_eq!(all.of(&uid("c")).unwrap().first, 131_072);
        let range = |first, count| IdRange { first, count };
        assert!(overlap(range(0, 10), range(9, 1)) && overlap(range(5, 1), range(0, 10)));
        assert!(!overlap(range(0, 10), range(10, 5)) && !overlap(range(3, 0), range(0, 10)));
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
