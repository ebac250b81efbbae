//! The file source: `staticPodPath`.
//!
//! inotify says when to look, a periodic re-read is the safety net; the truth is always the whole directory. A file
//! that cannot be read or understood is reported and skipped, and a pod that it described before stays. Of two files
//! that describe a pod of one name, the last in the order of names counts, whichever came first: upstream comes to the
//! same, and a restart of the kubelet must not let the other one win.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{DefaultHasher, Hash, Hasher},
    path::{Component, Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use futures::{FutureExt, StreamExt};
use inotify::{EventMask, Inotify, WatchMask};
use k8s_openapi::api::core::v1::Pod;
use lifecycle::PodSource;
use seams::Clock;

use super::{Closed, FileSource, SourceUpdate, Updates, manifest};

/// inotify events come in bursts (create, write, close): one look serves those within this time.
const SETTLE: Duration = Duration::from_millis(5);
/// First and longest delay before inotify is tried again.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(20));

/// Runs for ever.
pub async fn run(source: FileSource, clock: Arc<dyn Clock>, updates: Updates) {
    let mut reader = Reader::new(source, clock);
    let mut retry = RETRY.0;
    loop {
        if reader.deliver(&updates).await.is_err() {
            return;
        }
        let was_directory = reader.source.path.is_dir();
        match watch(&reader.source.path, was_directory) {
            Ok(mut events) => {
                retry = RETRY.0;
                // A change between the read above and the start of the watch would be missed: look once more.
                let mut again = true;
                loop {
                    let mut heard = Heard::Change;
                    if !again {
                        tokio::select! {
                            event = events.next() => {
                                heard = event.unwrap_or(Heard::End);
                                tokio::time::sleep(SETTLE).await;
                                // Those that came meanwhile, also during the last look, want one look together.
                                while heard == Heard::Change
                                    && let Some(event) = events.next().now_or_never()
                                {
                                    heard = event.unwrap_or(Heard::End);
                                }
                            }
                            () = tokio::time::sleep(reader.source.frequency) => {}
                        }
                    }
                    again = false;
                    if reader.deliver(&updates).await.is_err() {
                        return;
                    }
                    // What is watched is another thing than what is there: of a path that did not exist, the folder.
                    if heard == Heard::End || reader.source.path.is_dir() != was_directory {
                        break;
                    }
                }
            }
            Err(error) => {
                let path = reader.source.path.display();
                tracing::debug!(%path, %error, "Static pod path cannot be watched; reading it at intervals");
                tokio::time::sleep(retry.min(reader.source.frequency)).await;
                retry = (retry * 2).min(RETRY.1);
            }
        }
    }
}

/// What inotify says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Heard {
    Change,
    /// It will say no more: the directory is gone, or was moved, or its events cannot be read.
    End,
}

/// A stream with one item per change in the directory (of the file, where the path is none). The directory that holds a
/// single file is watched, because editors replace files, and that of a path that does not exist yet.
fn watch(path: &Path, is_directory: bool) -> std::io::Result<impl futures::Stream<Item = Heard> + use<>> {
    let (directory, only) = if is_directory {
        (path.to_owned(), None)
    } else {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        (parent.unwrap_or(Path::new(".")).to_owned(), path.file_name().map(ToOwned::to_owned))
    };
    let inotify = Inotify::init()?;
    let mask = WatchMask::CREATE
        | WatchMask::CLOSE_WRITE
        | WatchMask::MOVED_TO
        | WatchMask::MOVED_FROM
        | WatchMask::DELETE
        | WatchMask::DELETE_SELF
        | WatchMask::MOVE_SELF
        | WatchMask::ONLYDIR;
    inotify.watches().add(directory, mask)?;
    let events = inotify.into_event_stream(vec![0; 4096])?;
    let last = EventMask::DELETE_SELF | EventMask::MOVE_SELF | EventMask::IGNORED;
    Ok(Box::pin(events.filter_map(move |event| {
        let heard = match event {
            Ok(event) if event.mask.intersects(last) => Some(Heard::End),
            Ok(event) => {
                let ours = only.is_none() || event.name.is_none() || event.name == only;
                ours.then_some(Heard::Change)
            }
            Err(_) => Some(Heard::End),
        };
        std::future::ready(heard)
    })))
}

struct Reader {
    source: FileSource,
    clock: Arc<dyn Clock>,
    files: BTreeMap<PathBuf, Known>,
    /// Files whose pod has its name from a later file too: each is reported once.
    shadowed: BTreeSet<PathBuf>,
    /// The path did not exist when it was looked at last: reported once.
    is_missing: bool,
}

/// What a look at all files gave.
#[derive(Debug, Default)]
struct Look {
    /// What counts.
    pods: Vec<Arc<Pod>>,
    /// What does not, since the look before: pods whose name a later file uses too.
    refused: Vec<Arc<Pod>>,
}

/// What a file said when it was last read.
struct Known {
    /// Tells its content, or the reason why it could not be read, from another. The text itself may be large.
    digest: u64,
    pods: Vec<Arc<Pod>>,
}

fn digest(content: &Result<Vec<u8>, String>) -> u64 {
    let mut hasher = DefaultHasher::new();
    content.hash(&mut hasher);
    hasher.finish()
}

impl Reader {
    fn new(source: FileSource, clock: Arc<dyn Clock>) -> Self {
        Self { source, clock, files: BTreeMap::new(), shadowed: BTreeSet::new(), is_missing: false }
    }

    /// Looks, and hands over what there is.
    async fn deliver(&mut self, updates: &Updates) -> Result<(), Closed> {
        let Look { pods, refused } = self.read().await;
        updates.send(SourceUpdate::Set(PodSource::File, pods)).await?;
        for pod in refused {
            updates.send(SourceUpdate::Refused(PodSource::File, pod)).await?;
        }
        Ok(())
    }

    /// All pods, in the order of file names.
    async fn read(&mut self) -> Look {
        let path = self.source.path.clone();
        let listing = tokio::task::spawn_blocking(move || list(&path)).await;
        let files = match listing {
            Ok(Ok(files)) => {
                self.is_missing = false;
                files
            }
            Ok(Err(error)) if error.kind() == std::io::ErrorKind::NotFound => {
                if !std::mem::replace(&mut self.is_missing, true) {
                    let path = self.source.path.display();
                    tracing::warn!(%path, "The static pod path does not exist: there are no pods from it until it does");
                }
                Vec::new()
            }
            Ok(Err(error)) => {
                let path = self.source.path.display();
                tracing::error!(%path, %error, "Cannot read the static pod path; its pods stay as they are");
                return self.pods();
            }
            Err(_) => return self.pods(),
        };
        let present: BTreeSet<_> = files.iter().map(|(path, _)| path.clone()).collect();
        self.files.retain(|path, _| present.contains(path));
        for (path, content) in files {
            self.take(path, content);
        }
        self.pods()
    }

    fn take(&mut self, path: PathBuf, content: std::io::Result<Vec<u8>>) {
        let origin = path.display().to_string();
        let content = content.map_err(|error| error.to_string());
        let digest = digest(&content);
        if self.files.get(&path).is_some_and(|known| known.digest == digest) {
            return;
        }
        let now = self.clock.now().wall;
        let parsed =
            content.map(|text| manifest::parse(&text, &origin, PodSource::File, &self.source.node_name, now));
        match parsed {
            Ok(Ok(pods)) => {
                self.files.insert(path, Known { digest, pods });
                return;
            }
            Ok(Err(error)) => tracing::error!(file = origin, %error, "Skipping a static pod manifest"),
            Err(error) => {
                tracing::error!(file = origin, error, "Cannot read a static pod manifest; skipping it")
            }
        }
        // The content is remembered with the pods that were understood last, so that a broken file is reported once,
        // and what it described before keeps running.
        self.files.entry(path).or_insert_with(|| Known { digest, pods: Vec::new() }).digest = digest;
    }

    fn pods(&mut self) -> Look {
        let mut named: BTreeMap<_, (&PathBuf, &Arc<Pod>)> = BTreeMap::new();
        let mut refused = Vec::new();
        let mut shadowed = BTreeSet::new();
        for (path, pod) in
            self.files.iter().flat_map(|(path, known)| known.pods.iter().map(move |p| (path, p)))
        {
            let name = (pod.metadata.namespace.as_deref(), pod.metadata.name.as_deref());
            if let Some((before, other)) = named.insert(name, (path, pod)) {
                if !self.shadowed.contains(before) {
                    refused.push(Arc::clone(other));
                    tracing::error!(
                        file = %before.display(),
                        counts = %path.display(),
                        pod = name.1,
                        hint = "rename the pod in one of them, or remove one",
                        "Skipping a static pod manifest: another file describes a pod of the same name"
                    );
                }
                shadowed.insert(before.to_owned());
            }
        }
        let mut pods: Vec<_> = named.into_values().collect();
        pods.sort_by_key(|(path, _)| *path);
        let pods = pods.into_iter().map(|(_, pod)| Arc::clone(pod)).collect();
        self.shadowed = shadowed;
        Look { pods, refused }
    }
}

/// Files with their contents. Names that begin with a dot are not manifests (editors' swap files); directories are
/// not searched.
fn list(path: &Path) -> std::io::Result<Vec<(PathBuf, std::io::Result<Vec<u8>>)>> {
    if !std::fs::metadata(path)?.is_dir() {
        return Ok(vec![(path.to_owned(), read(path))]);
    }
    let folder = cleaned(path);
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        let file = folder.join(entry.file_name());
        let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        // Follows symlinks: manifests are often linked from elsewhere.
        if hidden || std::fs::metadata(&file).is_ok_and(|meta| !meta.is_file()) {
            continue;
        }
        files.push((file.clone(), read(&file)));
    }
    files.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(files)
}

/// A path without `.`, `..` and doubled slashes, by its text alone: the path of a manifest is part of its pod's uid, and
/// upstream writes it like that.
fn cleaned(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if matches!(clean.components().next_back(), Some(Component::Normal(_))) => {
                clean.pop();
            }
            Component::ParentDir if clean.has_root() => {}
            part => clean.push(part),
        }
    }
    clean
}

/// Reads at most one byte more than is allowed, so that a huge file costs nothing and is still told apart.
fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    use std::io::Read;
    let mut text = Vec::new();
    let limit = u64::try_from(manifest::MAX_BYTES).unwrap_or(u64::MAX).saturating_add(1);
    std::fs::File::open(path)?.take(limit).read_to_end(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_cleaned_as_upstream_does() {
        for (path, clean) in [
            ("/etc/kubernetes/manifests", "/etc/kubernetes/manifests"),
            ("/etc/kubernetes/manifests/", "/etc/kubernetes/manifests"),
            ("/etc//kubernetes/./manifests", "/etc/kubernetes/manifests"),
            ("/etc/x/../kubernetes", "/etc/kubernetes"),
            ("/../etc", "/etc"),
            ("./a/b", "a/b"),
            ("../a", "../a"),
            ("a/../../b", "../b"),
        ] {
            assert_eq!(cleaned(Path::new(path)), Path::new(clean), "{path}");
        }
    }

    #[tokio::test]
    async fn of_two_files_with_one_name_the_last_counts() {
        let folder = tempfile::tempdir().unwrap();
        let source = FileSource {
            path: folder.path().to_owned(),
            frequency: Duration::from_secs(20),
            node_name: "n".to_owned(),
        };
        let mut reader = Reader::new(source, Arc::new(seams::SystemClock::start()));
        let write = |file: &str, name: &str| {
            let text = format!(
                "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec: {{containers: [{{name: c, image: 'x:1'}}]}}"
            );
            std::fs::write(folder.path().join(file), text).unwrap();
        };
        let uids =
            |pods: &[Arc<Pod>]| -> Vec<_> { pods.iter().map(|pod| pod.metadata.uid.clone()).collect() };
        write("b.yaml", "one");
        let alone = reader.read().await.pods;
        write("a.yaml", "one");
        write("c.yaml", "two");
        let Look { pods: both, refused } = reader.read().await;
        assert_eq!(both.len(), 2);
        assert_eq!(uids(&both)[0], uids(&alone)[0], "a second file took the pod over");
        assert_eq!(refused.len(), 1);
        assert_eq!(reader.read().await.refused.len(), 0, "told once");
        std::fs::remove_file(folder.path().join("b.yaml")).unwrap();
        let Look { pods: other, refused: none } = reader.read().await;
        assert_eq!((other.len(), none.len()), (2, 0));
        assert_ne!(uids(&other)[0], uids(&alone)[0]);
        assert_eq!(uids(&other)[0], uids(&refused)[0], "the one that was left out");
    }

    #[tokio::test]
    async fn a_path_that_comes_goes_and_comes_again_is_looked_at_when_it_does() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("manifests");
        let source =
            FileSource { path: path.clone(), frequency: Duration::from_secs(600), node_name: "n".to_owned() };
        let clock: Arc<dyn Clock> = Arc::new(seams::SystemClock::start());
        let (updates, mut receiver) = Updates::channel(Arc::clone(&clock), 100);
        tokio::spawn(run(source, clock, updates));
        let mut looks = 0_u32;
        let mut seen = async |wanted: usize| loop {
            let update = tokio::time::timeout(Duration::from_secs(20), receiver.recv()).await;
            let SourceUpdate::Set(_, pods) = update.unwrap().unwrap().update else { panic!("refused") };
            looks += 1;
            if pods.len() == wanted {
                break;
            }
        };
        seen(0).await;
        for _ in 0..2 {
            tokio::time::sleep(Duration::from_millis(200)).await;
            std::fs::create_dir(&path).unwrap();
            let text = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: c, image: 'x:1'}]}";
            std::fs::write(path.join("a.yaml"), text).unwrap();
            seen(1).await;
            std::fs::remove_dir_all(&path).unwrap();
            seen(0).await;
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
        while receiver.try_recv().is_ok() {
            looks += 1;
        }
        assert!(looks < 40, "{looks} looks: it spins");
    }
}
