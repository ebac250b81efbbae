use std::{fs, path::Path, sync::atomic::AtomicU32, sync::atomic::Ordering};

use async_trait::async_trait;
use fakes::{
    clock::TokioClock,
    pods,
    runtime::{Code, Core, FakeRuntime, Fault, When, sandbox_request},
};
use node::log_rotation::compressed_name;
use seams::{
    logs::{GivenBack, LogFileError},
    runtime::SandboxRequest,
};

use super::*;

/// Longest wait for anything, on the paused clock.
const BOUND: Duration = Duration::from_secs(900);

/// Files on disk, moved plainly; compressing only takes the name.
#[derive(Default)]
struct Disk {
    looks: AtomicU32,
    /// How many listings panic.
    panics: AtomicU32,
}

fn sibling(log: &Path, name: &str) -> PathBuf {
    log.with_file_name(name)
}

fn failed(source: std::io::Error) -> LogFileError {
    LogFileError { operation: "move", path: PathBuf::new(), source }
}

#[async_trait]
impl LogFiles for Disk {
    async fn sizes(&self, logs: Vec<PathBuf>) -> Vec<Result<Option<u64>, LogFileError>> {
        self.looks.fetch_add(1, Ordering::SeqCst);
        logs.iter().map(|log| Ok(fs::metadata(log).ok().map(|found| found.len()))).collect()
    }

    async fn names(&self, log: &Path) -> Result<Vec<String>, LogFileError> {
        let left = self.panics.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        assert!(left.is_err(), "a defect");
        Ok(names(log.parent().unwrap()))
    }

    async fn delete(&self, log: &Path, name: &str) -> Result<(), LogFileError> {
        fs::remove_file(sibling(log, name)).map_err(failed)
    }

    async fn rename(&self, log: &Path, to: &str) -> Result<(), LogFileError> {
        assert!(!sibling(log, to).exists());
        fs::rename(log, sibling(log, to)).map_err(failed)
    }

    async fn give_back(&self, log: &Path, from: &str) -> Result<GivenBack, LogFileError> {
        if log.exists() {
            return Ok(GivenBack::Reopened);
        }
        fs::rename(sibling(log, from), log).map(|()| GivenBack::Undone).map_err(failed)
    }

    async fn compress(&self, log: &Path, name: &str) -> Result<(), LogFileError> {
        fs::rename(sibling(log, name), sibling(log, &compressed_name(name))).map_err(failed)
    }
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// The task beside a running container.
struct World {
    root: tempfile::TempDir,
    disk: Arc<Disk>,
    core: Core,
    notices: Notices,
    running: watch::Sender<BTreeSet<ContainerId>>,
    id: ContainerId,
}

impl World {
    async fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("c")).unwrap();
        let runtime = FakeRuntime::new();
        let core = runtime.core.clone();
        core.add_image("img", None, "");
        let id = container(&runtime, root.path()).await;
        let disk = Arc::new(Disk::default());
        let (notices, inbox) = notices();
        let (running, running_seen) = watch::channel(BTreeSet::new());
        let settings = LogRotation {
            policy: LogPolicy { max_size: 100, max_files: 3 },
            workers: 1,
            interval: Duration::from_secs(10),
            zone: TimeZone::UTC,
            files: Arc::clone(&disk) as Arc<dyn LogFiles>,
        };
        let clock = Arc::new(TokioClock::at("2026-01-02T03:04:00Z".parse().unwrap()));
        tokio::spawn(run(settings, Arc::new(runtime), clock, inbox, running_seen));
        Self { root, disk, core, notices, running, id }
    }

    fn log(&self) -> PathBuf {
        self.root.path().join("c/0.log")
    }

    fn write(&self, bytes: usize) {
        fs::write(self.log(), "x".repeat(bytes)).unwrap();
    }

    fn told(&self) {
        self.notices.created(self.id.clone(), self.log());
        self.notices.started(self.id.clone());
    }

    fn listed(&self) {
        self.running.send_replace(BTreeSet::from([self.id.clone()]));
    }

    fn names(&self) -> Vec<String> {
        names(&self.root.path().join("c"))
    }

    async fn until(&self, what: &str, done: impl Fn(&Self) -> bool) {
        let waited = tokio::time::timeout(BOUND, async {
            while !done(self) {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
        assert!(waited.await.is_ok(), "{what} does not come: {:?}", self.names());
    }

    /// Waits for some looks.
    async fn looks(&self, more: u32) {
        let before = self.disk.looks.load(Ordering::SeqCst);
        self.until("a look", |w| w.disk.looks.load(Ordering::SeqCst) >= before + more).await;
    }
}

/// A running container that logs into `<dir>/c/0.log`.
async fn container(runtime: &FakeRuntime, dir: &Path) -> ContainerId {
    let pod = pods::pod("ns", "p", "u", &[("c", "img")]);
    let sandbox = SandboxRequest { log_directory: dir.display().to_string(), ..sandbox_request(pod) };
    let (_, mut ids) = runtime.start_pod(&sandbox, &["c"]).await.unwrap();
    ids.remove(0)
}

#[tokio::test(start_paused = true)]
async fn a_log_that_grows_is_rotated_again_and_again() {
    let world = World::new().await;
    world.write(10);
    world.told();
    world.looks(3).await;
    assert_eq!(world.names(), ["0.log"], "small");
    for round in 1..5 {
        let before = world.names();
        world.write(100);
        world
            .until("a rotation", |w| w.names() != before && fs::metadata(w.log()).is_ok_and(|m| m.len() == 0))
            .await;
        assert_eq!(world.core.count("ReopenContainerLog"), round);
        world
            .until("the compression", |w| w.names().iter().filter(|name| !name.ends_with(".gz")).count() == 2)
            .await;
        assert!(world.names().len() <= 3, "{:?}", world.names());
    }
    assert_eq!(world.core.count("ContainerStatus"), 0, "the executor has told where the log is");
}

#[tokio::test(start_paused = true)]
async fn quiet_logs_are_looked_at_once_an_interval() {
    let world = World::new().await;
    world.write(10);
    world.told();
    world.looks(3).await;
    let before = world.disk.looks.load(Ordering::SeqCst);
    tokio::time::sleep(Duration::from_secs(100)).await;
    assert_eq!(world.disk.looks.load(Ordering::SeqCst) - before, 10);
}

#[tokio::test(start_paused = true)]
async fn what_an_earlier_process_left_is_put_in_order() {
    let world = World::new().await;
    world.write(10);
    for left in [".20260101-000000.tmp", ".20260101-000000", ".20260101-000001"] {
        fs::write(world.root.path().join(format!("c/0.log{left}")), "x").unwrap();
    }
    world.listed();
    let expected = ["0.log", "0.log.20260101-000000.gz", "0.log.20260101-000001"];
    world.until("order", |w| w.names() == expected).await;
    assert_eq!(world.core.count("ContainerStatus"), 1, "asked once where the log is");
    assert_eq!(world.core.count("ReopenContainerLog"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_log_that_is_missing_is_made_again() {
    let world = World::new().await;
    fs::remove_file(world.log()).unwrap();
    world.listed();
    world.until("the log", |w| w.log().exists()).await;
    assert_eq!(world.core.count("ReopenContainerLog"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_rename_is_taken_back_when_the_runtime_does_not_reopen() {
    let world = World::new().await;
    world.core.plan("ReopenContainerLog", Fault::Fail(Code::Unavailable, "away".into()), When::Before, None);
    world.write(100);
    world.told();
    world.until("two tries", |w| w.core.count("ReopenContainerLog") >= 2).await;
    assert_eq!(world.names(), ["0.log"]);
    world.core.heal("ReopenContainerLog");
    world.until("the rotation", |w| w.names().len() == 2).await;
}

#[tokio::test(start_paused = true)]
async fn a_reopening_whose_answer_was_lost_counts() {
    let world = World::new().await;
    let lost = Fault::Fail(Code::Unavailable, "lost".into());
    world.core.plan("ReopenContainerLog", lost, When::After, Some(1));
    world.write(100);
    world.told();
    world.until("the rotation", |w| w.names().len() == 2).await;
    world.looks(2).await;
    assert_eq!(fs::metadata(world.log()).unwrap().len(), 0, "the new log stays");
    assert_eq!(world.core.count("ReopenContainerLog"), 1);
}

#[tokio::test(start_paused = true)]
async fn what_runs_no_more_is_left_alone() {
    let world = World::new().await;
    world.write(10);
    world.told();
    world.looks(1).await;
    for _ in 0..MISSING {
        world.running.send_replace(BTreeSet::new());
        // Each list is one that the task has seen.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let before = world.disk.looks.load(Ordering::SeqCst);
    world.write(1000);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(world.disk.looks.load(Ordering::SeqCst), before, "looked at for ever");
    world.listed();
    world.until("the rotation", |w| w.names().len() == 2).await;
}

#[tokio::test(start_paused = true)]
async fn a_rotation_that_panics_is_tried_again() {
    let world = World::new().await;
    world.disk.panics.store(1, Ordering::SeqCst);
    world.write(100);
    world.told();
    world.until("the rotation", |w| w.names().len() == 2).await;
}
