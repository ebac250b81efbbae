//! The file source: `staticPodPath`.
//!
//! inotify says when to look, a periodic re-read is the safety net; the truth is always the whole directory. A file
//! that cannot be read or understood is reported and skipped, and a pod that it described before stays. Of two files
//! that describe a pod of one name, the last in the order of names counts, whichever came first: upstream comes to the
//! same, and a restart of the kubelet must not let the other one win.
//!
//! Nothing is delivered before a look has succeeded. "No pods" would be the end of those that an earlier process started
//! from a path that cannot be read just now; and until every source has delivered, nothing is swept. A path that does not
//! exist is a look that succeeded; one file that cannot be read or understood, where the path is that file, is none.

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
/// First and longest delay before inotify is tried again, and before another look while none has succeeded.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(20));

/// Runs for ever.
pub async fn run(source: FileSource, clock: Arc<dyn Clock>, updates: Updates) {
    let mut reader = Reader::new(source, clock);
    let mut retry = RETRY.0;
    loop {
        if reader.deliver(&updates).await.is_err() {
            return;
        }
        let was_directory = reader.is_directory;
        match watch(reader.source.path.clone(), was_directory).await {
            Ok(mut events) => {
                retry = RETRY.0;
                // A change between the read above and the start of the watch would be missed: look once more.
                let mut again = true;
                loop {
                    let mut heard = Heard::Change;
                    if !again {
                        let frequency = reader.source.frequency;
                        let pause =
                            if reader.has_succeeded { frequency } else { next(&mut retry).min(frequency) };
                        // Cancel-safe: an event that is not taken stays, and the pause begins anew.
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
                            () = tokio::time::sleep(pause) => {}
                        }
                    }
                    again = false;
                    if reader.deliver(&updates).await.is_err() {
                        return;
                    }
                    // What is watched is another thing than what is there: of a path that did not exist, the folder.
                    if heard == Heard::End || reader.is_directory != was_directory {
                        break;
                    }
                }
            }
            Err(error) => {
                let path = reader.source.path.display();
                tracing::debug!(%path, %error, "Static pod path cannot be watched; reading it at intervals");
                tokio::time::sleep(next(&mut retry).min(reader.source.frequency)).await;
            }
        }
    }
}

/// The delay that is due; the one after it is twice as long.
fn next(retry: &mut Duration) -> Duration {
    let doubled = (*retry * 2).min(RETRY.1);
    std::mem::replace(retry, doubled)
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
async fn watch(path: PathBuf, is_directory: bool) -> std::io::Result<impl futures::Stream<Item = Heard>> {
    let (directory, only) = if is_directory {
        (path, None)
    } else {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        (parent.unwrap_or(Path::new(".")).to_owned(), path.file_name().map(ToOwned::to_owned))
    };
    let mask = WatchMask::CREATE
        | WatchMask::CLOSE_WRITE
        | WatchMask::MOVED_TO
        | WatchMask::MOVED_FROM
        | WatchMask::DELETE
        | WatchMask::DELETE_SELF
        | WatchMask::MOVE_SELF
        | WatchMask::ONLYDIR;
    // The directory may be on a file system that does not answer.
    let added = tokio::task::spawn_blocking(move || -> std::io::Result<Inotify> {
        let inotify = Inotify::init()?;
        inotify.watches().add(directory, mask)?;
        Ok(inotify)
    });
    let inotify = added.await.map_err(std::io::Error::other)??;
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
    /// Why the path could not be read when it was looked at last: reported once.
    trouble: Option<String>,
    /// The path was a directory when it was looked at last.
    is_directory: bool,
    /// A look has told what the source holds.
    has_succeeded: bool,
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
    /// Whether that was understood; else the pods are those of what it said before.
    is_understood: bool,
    pods: Vec<Arc<Pod>>,
}

fn digest(content: &Result<Vec<u8>, String>) -> u64 {
    let mut hasher = DefaultHasher::new();
    content.hash(&mut hasher);
    hasher.finish()
}

impl Reader {
    fn new(source: FileSource, clock: Arc<dyn Clock>) -> Self {
        Self {
            source,
            clock,
            files: BTreeMap::new(),
            shadowed: BTreeSet::new(),
            is_missing: false,
            trouble: None,
            is_directory: false,
            has_succeeded: false,
        }
    }

    /// Looks, and hands over what there is, if that is known.
    async fn deliver(&mut self, updates: &Updates) -> Result<(), Closed> {
        let Look { pods, refused } = self.read().await;
        if !self.has_succeeded {
            return Ok(());
        }
        updates.send(SourceUpdate::Set(PodSource::File, pods)).await?;
        for pod in refused {
            updates.send(SourceUpdate::Refused(PodSource::File, pod)).await?;
        }
        Ok(())
    }

    /// All pods, in the order of file names.
    async fn read(&mut self) -> Look {
        let path = self.source.path.clone();
        // One that died tells nothing.
        let Ok(found) = tokio::task::spawn_blocking(move || list(&path)).await else { return self.pods() };
        self.is_directory = found.is_directory;
        let files = match found.files {
            Ok(files) => {
                self.is_missing = false;
                files
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                if !std::mem::replace(&mut self.is_missing, true) {
                    let path = self.source.path.display();
                    tracing::warn!(%path, "The static pod path does not exist: there are no pods from it until it does");
                }
                Vec::new()
            }
            Err(error) => {
                self.report(error.to_string());
                return self.pods();
            }
        };
        let present: BTreeSet<_> = files.iter().map(|(path, _)| path.clone()).collect();
        for (path, content) in files {
            self.take(path, content);
        }
        let understood = |path: &PathBuf| self.files.get(path).is_some_and(|known| known.is_understood);
        if !found.is_directory && !present.iter().all(understood) {
            // Whatever was there before stays.
            if !self.has_succeeded {
                self.report("it is a file that describes no pod".to_owned());
            }
            return self.pods();
        }
        self.files.retain(|path, _| present.contains(path));
        (self.trouble, self.has_succeeded) = (None, true);
        self.pods()
    }

    /// The path cannot be read.
    fn report(&mut self, error: String) {
        if self.trouble.as_ref() == Some(&error) {
            return;
        }
        let path = self.source.path.display();
        let hint = if self.has_succeeded {
            "its pods stay as they are"
        } else {
            "until it can be read, what earlier pods left on the node is not removed"
        };
        tracing::error!(%path, error, hint, "Cannot read the static pod path; will try again");
        self.trouble = Some(error);
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
                self.files.insert(path, Known { digest, is_understood: true, pods });
                return;
            }
            Ok(Err(error)) => tracing::error!(file = origin, %error, "Skipping a static pod manifest"),
            Err(error) => {
                tracing::error!(file = origin, error, "Cannot read a static pod manifest; skipping it")
            }
        }
        // The content is remembered with the pods that were understood last, so that a broken file is reported once,
        // and what it described before keeps running.
        let nothing = Known { digest, is_understood: false, pods: Vec::new() };
        let known = self.files.entry(path).or_insert(nothing);
        (known.digest, known.is_understood) = (digest, false);
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

/// Files with their contents.
type Files = Vec<(PathBuf, std::io::Result<Vec<u8>>)>;

/// What there is at a path.
struct Found {
    is_directory: bool,
    /// Those in it, or itself.
    files: std::io::Result<Files>,
}

fn list(path: &Path) -> Found {
    let (is_directory, files) = match std::fs::metadata(path) {
        Ok(meta) if meta.is_dir() => (true, listed(path)),
        Ok(meta) if meta.is_file() => (false, Ok(vec![(path.to_owned(), read(path))])),
        // To open a pipe is to wait for its other end.
        Ok(_) => (false, Err(std::io::Error::other("neither a directory nor a file"))),
        Err(error) => (false, Err(error)),
    };
    Found { is_directory, files }
}

/// The manifests in a directory. Names that begin with a dot are none (editors' swap files); directories are not searched.
fn listed(path: &Path) -> std::io::Result<Files> {
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
mod tests;
