use std::{
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
};

use parking_lot::Condvar;
use seams::{
    HostError, SystemClock,
    host::FsUsage,
    stats::{Depth, Filesystem, TreeReading},
};

use super::*;

/// Disks of which some hang until they are let go.
#[derive(Default)]
struct Disks {
    released: Mutex<bool>,
    bell: Condvar,
    measured: AtomicUsize,
    running: AtomicUsize,
    most: AtomicUsize,
}

impl Disks {
    fn release(&self) {
        *self.released.lock() = true;
        self.bell.notify_all();
    }
}

impl Meters for Disks {
    fn read(&self, _: Depth) -> Result<TreeReading, HostError> {
        Ok(TreeReading::default())
    }

    fn measure(&self, target: &Target) -> Result<Figure, HostError> {
        self.measured.fetch_add(1, Ordering::SeqCst);
        let running = self.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(running, Ordering::SeqCst);
        let name = target.path().to_string_lossy();
        if name.contains("hangs") {
            let mut released = self.released.lock();
            while !*released {
                self.bell.wait(&mut released);
            }
        }
        self.running.fetch_sub(1, Ordering::SeqCst);
        if name.contains("fails") {
            return Err(HostError::Unsupported("no such disk".to_owned()));
        }
        Ok(Figure::Space(FsUsage::default()))
    }

    fn filesystems(&self) -> Vec<Filesystem> {
        Vec::new()
    }

    fn processors(&self) -> (u64, u64) {
        (0, 0)
    }
}

fn setup() -> (Arc<Disks>, Measures) {
    let disks = Arc::new(Disks::default());
    (Arc::clone(&disks), Measures::new(disks, Arc::new(SystemClock::start()), Metrics::new()))
}

fn space(name: &str) -> Target {
    Target::Space(Path::new(name).into())
}

/// As if what is under way had been so for long.
fn take_long(measures: &Measures) {
    measures.0.state.lock().give_up(GIVEN_UP + AGE);
    measures.advance();
}

const AGE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn figures_are_kept_until_they_are_old() {
    let (disks, measures) = setup();
    for _ in 0..3 {
        let figures = measures.of(&[(space("/a"), AGE)]).await;
        assert!(figures.contains_key(&space("/a")));
        assert_eq!(disks.measured.load(Ordering::SeqCst), 1);
    }
    // Not at once, since disks get their rest, but soon.
    while disks.measured.load(Ordering::SeqCst) < 2 {
        measures.of(&[(space("/a"), Duration::ZERO)]).await;
    }
    let figures = measures.of(&[(space("/fails"), AGE), (space("/a"), AGE)]).await;
    assert_eq!(figures.len(), 1, "what cannot be measured has no figure");
    measures.of(&[(space("/fails"), AGE)]).await;
    assert_eq!(disks.measured.load(Ordering::SeqCst), 3, "and is not tried at once again");
}

#[tokio::test]
async fn what_belongs_to_pods_is_timed_by_the_way_it_is_measured() {
    let (_, measures) = setup();
    let path: Arc<Path> = Path::new("/x").into();
    let ways: [fn(Arc<Path>) -> Target; 5] =
        [Target::Space, Target::Mount, Target::Tree, Target::Logs, Target::File];
    measures.of(&ways.map(|way| (way(Arc::clone(&path)), AGE))).await;
    let seconds = &measures.0.metrics.volumes.measuring_seconds;
    let count = |source| seconds.known(&source).map_or(0, |seconds| seconds.count());
    assert_eq!((count(MetricSource::Walk), count(MetricSource::Statfs)), (3, 1));
}

#[tokio::test]
async fn a_disk_that_hangs_harms_only_itself() {
    let (disks, measures) = setup();
    let hanging: Vec<_> = (0..5).map(|at| (space(&format!("/hangs/{at}")), AGE)).collect();
    let sound: Vec<_> = (0..40).map(|at| (space(&format!("/sound/{at}")), AGE)).collect();
    let all = [hanging, sound].concat();
    let mut figures = measures.of(&all).await;
    if figures.len() < 40 {
        // With so many that hang the first look may end before all are known to.
        figures = measures.of(&all).await;
    }
    assert_eq!(figures.len(), 40, "the others are told");
    let clock = SystemClock::start();
    assert_eq!(measures.of(&all).await.len(), 40);
    assert!(clock.now().mono < GIVEN_UP, "nobody waits for what was given up");
    assert_eq!(disks.measured.load(Ordering::SeqCst), 45, "each is tried once");
    disks.release();
    while measures.0.state.lock().lost > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(measures.of(&all).await.len(), 45, "they came back");
}

#[tokio::test]
async fn threads_are_bounded_whatever_hangs() {
    let (disks, measures) = setup();
    let hanging: Vec<_> = (0..100).map(|at| (space(&format!("/hangs/{at}")), AGE)).collect();
    for _ in 0..20 {
        measures.ask(&hanging);
        take_long(&measures);
        tokio::task::yield_now().await;
    }
    let running = || disks.running.load(Ordering::SeqCst);
    while running() < LOST + WORKERS {
        take_long(&measures);
        tokio::task::yield_now().await;
    }
    assert_eq!(measures.0.state.lock().lost, LOST);
    disks.release();
    while disks.measured.load(Ordering::SeqCst) < 100 || running() > 0 {
        measures.advance();
        tokio::task::yield_now().await;
    }
    assert!(disks.most.load(Ordering::SeqCst) <= LOST + WORKERS);
}
