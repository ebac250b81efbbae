use std::{
    path::Path,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
};

use fakes::{clock::TokioClock, runtime::FakeRuntime};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use lifecycle::{PodKey, PodSource, Tick};
use seams::{
    HostError, RuntimeError,
    host::FsUsage,
    stats::{
        Amount, Cpu, Filesystem, GroupReading, Interface, Layer, Named, PodReading, TreeReading, VolumePlace,
    },
};
use serde_json::json;

use super::*;

/// A kernel with one pod, whose CPU is always busy; one path of disks may hang.
pub(super) struct Kernel {
    clock: Arc<dyn Clock>,
    pub(super) reads: AtomicUsize,
    depths: Mutex<Vec<Depth>>,
    /// Groups in the pod.
    inside: Mutex<Vec<&'static str>>,
}

impl Kernel {
    fn group(&self, path: &str) -> GroupReading {
        let Tick { mono, wall } = self.clock.now();
        GroupReading {
            path: path.into(),
            read_at: wall,
            cpu: Some(Cpu { usage_ns: u64::try_from(mono.as_nanos()).unwrap(), ..Cpu::default() }),
            ..GroupReading::default()
        }
    }
}

pub(super) const SPACE: FsUsage =
    FsUsage { capacity_bytes: 1000, available_bytes: 600, used_bytes: 300, inodes: 100, inodes_free: 90 };

impl Meters for Kernel {
    fn read(&self, depth: Depth) -> Result<TreeReading, HostError> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        self.depths.lock().push(depth);
        let inside = self.inside.lock();
        let inside = inside.iter().map(|id| (Arc::from(*id), self.group(&format!("/kubepods/podu/{id}"))));
        let pod = PodReading {
            uid: "u".into(),
            group: self.group("/kubepods/podu"),
            inside: inside.collect(),
            network: Some(vec![Interface::default()]),
        };
        Ok(TreeReading { root: self.group("/"), pods: vec![pod], ..TreeReading::default() })
    }

    fn measure(&self, target: &Target) -> Result<Figure, HostError> {
        let amount = |bytes| Amount { bytes, inodes: 1 };
        Ok(match target {
            Target::Space(_) | Target::Mount(_) => Figure::Space(SPACE),
            Target::Tree(_) => Figure::Tree(amount(10), SPACE),
            Target::Logs(path) => {
                assert_eq!(&**path, Path::new("/logs/default_web_u"));
                Figure::Logs(amount(1), vec![("app".to_owned(), amount(100))])
            }
            Target::File(path) => {
                assert_eq!(&**path, Path::new("/root/pods/u/etc-hosts"));
                Figure::File(amount(1000))
            }
        })
    }

    fn filesystems(&self) -> Vec<Filesystem> {
        vec![Filesystem { device: "/dev/sda".to_owned(), mountpoint: Path::new("/").into(), counters: None }]
    }

    fn processors(&self) -> (u64, u64) {
        (4, 1)
    }
}

/// A runtime that names one sandbox and one container.
#[derive(Default)]
struct Names {
    asked: AtomicUsize,
    images: AtomicUsize,
    layers: AtomicUsize,
    hangs: std::sync::atomic::AtomicBool,
    made: AtomicU64,
    /// Containers that it does not list yet.
    unlisted: Mutex<Vec<&'static str>>,
}

#[async_trait]
impl RuntimeMeters for Names {
    async fn named(&self) -> Result<Vec<Named>, RuntimeError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if self.hangs.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        let named = |id: &str, container: Option<&str>| Named {
            id: id.into(),
            container: container.map(str::to_owned),
            uid: "u".into(),
            namespace: "default".to_owned(),
            pod: "web".to_owned(),
            image: container.map(|_| "sha256:1").unwrap_or_default().to_owned(),
            created_at: Timestamp::UNIX_EPOCH,
        };
        let mut all = vec![named("box", None), named("c1", Some("app")), named("c2", Some("app"))];
        all.retain(|named| !self.unlisted.lock().contains(&&*named.id));
        Ok(all)
    }

    async fn sandbox_image(&self, _: &str) -> Result<String, RuntimeError> {
        self.images.fetch_add(1, Ordering::SeqCst);
        Ok("pause:3".to_owned())
    }

    async fn layers(&self) -> Result<Vec<Layer>, RuntimeError> {
        self.layers.fetch_add(1, Ordering::SeqCst);
        if self.hangs.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        let amount = Amount { bytes: 10_000 + self.made.load(Ordering::SeqCst), inodes: 1 };
        let mountpoint = "/snapshots".to_owned();
        Ok(vec![Layer { container: "c1".to_owned(), mountpoint, amount, at: Timestamp::UNIX_EPOCH }])
    }
}

struct Volumes;

impl VolumePlaces for Volumes {
    fn places(&self, pod: &Pod) -> Vec<VolumePlace> {
        let volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
        let places = volumes.map(|volume| VolumePlace {
            name: volume.name.clone(),
            target: Target::Tree(Path::new("/volumes").join(&volume.name).into()),
            ephemeral: volume.empty_dir.is_some(),
        });
        places.collect()
    }
}

struct Rig {
    kernel: Arc<Kernel>,
    names: Arc<Names>,
    stats: Arc<Stats>,
}

fn rig(volume_period: Option<Duration>) -> Rig {
    let begin = Timestamp::from_second(1_795_000_000).unwrap();
    let clock: Arc<dyn Clock> = Arc::new(TokioClock::at(begin));
    let kernel = Arc::new(Kernel {
        clock: Arc::clone(&clock),
        reads: AtomicUsize::new(0),
        depths: Mutex::default(),
        inside: Mutex::new(vec!["box", "c1"]),
    });
    let names = Arc::new(Names::default());
    let wanted = Wanted::default();
    let pod: Pod = serde_json::from_value(json!({
        "metadata": {"name": "web", "namespace": "default", "uid": "u"},
        "spec": {
            "containers": [{"name": "app", "image": "registry.test/app"}],
            "volumes": [{"name": "secret", "secret": {}}, {"name": "data", "emptyDir": {}}],
        },
    }))
    .unwrap();
    wanted.insert("u".into(), PodSource::Api, Arc::new(pod));
    let parts = StatsParts {
        meters: Arc::clone(&kernel) as Arc<dyn Meters>,
        runtime: Arc::clone(&names) as Arc<dyn RuntimeMeters>,
        volumes: Arc::new(Volumes),
        volume_period,
    };
    let around = Around {
        node_name: "node".to_owned(),
        root_dir: "/root".into(),
        pod_logs_dir: "/logs".into(),
        facts: MachineFacts { memory_bytes: 1000, hugepages: vec![(100, 2)], ..MachineFacts::default() },
        runtime: Arc::new(FakeRuntime::new()),
        records: Arc::new(Records::new(Arc::clone(&clock))),
        metrics: Metrics::new(),
        clock,
        wanted,
    };
    Rig { kernel, names, stats: Arc::new(Stats::new(parts, around)) }
}

const MINUTE: Option<Duration> = Some(Duration::from_secs(60));

#[tokio::test(start_paused = true)]
async fn who_asks_at_the_same_time_shares_one_reading() {
    let Rig { kernel, stats, .. } = rig(MINUTE);
    let (first, second, third) = tokio::join!(stats.resource(), stats.resource(), stats.resource());
    assert!(Arc::ptr_eq(&first.unwrap(), &second.unwrap()) && third.is_ok());
    assert_eq!(kernel.reads.load(Ordering::SeqCst), 1);
    stats.detailed().await.unwrap();
    assert_eq!(kernel.reads.load(Ordering::SeqCst), 2, "a deeper one is another");
    stats.resource().await.unwrap();
    assert_eq!(kernel.reads.load(Ordering::SeqCst), 2, "which serves the shallower too");
    tokio::time::advance(FRESH + Duration::from_millis(1)).await;
    stats.resource().await.unwrap();
    assert_eq!(*kernel.depths.lock(), [Depth::Resource, Depth::Everything, Depth::Resource]);
}

#[tokio::test(start_paused = true)]
async fn a_summary_has_rates_from_the_first_on() {
    let Rig { kernel, stats, .. } = rig(MINUTE);
    let began = tokio::time::Instant::now();
    let (first, second) = tokio::join!(stats.summary(Disk::Skipped), stats.summary(Disk::Skipped));
    assert_eq!(began.elapsed(), Duration::from_secs(1), "two readings were made");
    let snapshot = first.unwrap().snapshot;
    assert_eq!(snapshot.node.group.nano_cores, Some(1_000_000_000));
    assert_eq!(snapshot.pods[0].containers[0].group.nano_cores, Some(1_000_000_000));
    assert!(second.unwrap().snapshot.node.group.nano_cores.is_some());
    assert_eq!(kernel.reads.load(Ordering::SeqCst), 2, "for both");
    for _ in 0..5 {
        tokio::time::advance(Duration::from_secs(30)).await;
        let before = tokio::time::Instant::now();
        let summary = stats.summary(Disk::Skipped).await.unwrap();
        assert_eq!(before.elapsed(), Duration::ZERO, "the last reading is there to compare with");
        assert!(summary.snapshot.pods[0].group.nano_cores.is_some());
    }
    tokio::time::advance(Duration::from_secs(100)).await;
    let before = tokio::time::Instant::now();
    assert!(stats.summary(Disk::Skipped).await.unwrap().snapshot.node.group.nano_cores.is_some());
    assert_eq!(before.elapsed(), Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn the_runtime_is_asked_for_names_only_when_there_are_new_ones() {
    let Rig { kernel, names, stats } = rig(MINUTE);
    let again = async || {
        tokio::time::advance(Duration::from_secs(30)).await;
        stats.detailed().await.unwrap()
    };
    let first = again().await;
    let pod = &first.snapshot.pods[0];
    assert_eq!(
        (pod.namespace.as_str(), pod.name.as_str(), pod.sandboxes[0].image.as_str()),
        ("default", "web", "pause:3")
    );
    assert_eq!(pod.containers[0].image, "registry.test/app:latest", "as the spec has it, in full");
    assert_eq!(first.snapshot.node.memory_bytes, 800, "without huge pages");
    again().await;
    assert_eq!((names.asked.load(Ordering::SeqCst), names.images.load(Ordering::SeqCst)), (1, 1));
    kernel.inside.lock().push("of-the-pod's-own");
    assert_eq!(again().await.snapshot.pods[0].containers.len(), 1, "no container");
    again().await;
    assert_eq!(names.asked.load(Ordering::SeqCst), 3, "asked again about the stranger while it is new");
    tokio::time::advance(Duration::from_secs(60)).await;
    again().await;
    let asked = names.asked.load(Ordering::SeqCst);
    for _ in 0..3 {
        again().await;
    }
    assert_eq!(names.asked.load(Ordering::SeqCst), asked, "no more when it is old");
    *kernel.inside.lock() = vec!["box", "c2"];
    assert_eq!(&*again().await.snapshot.pods[0].containers[0].id, "c2");
    assert_eq!((names.asked.load(Ordering::SeqCst), names.images.load(Ordering::SeqCst)), (asked + 1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_container_that_the_runtime_names_late_is_told() {
    let Rig { kernel, names, stats } = rig(MINUTE);
    names.unlisted.lock().push("c2");
    *kernel.inside.lock() = vec!["box", "c1", "c2"];
    assert_eq!(stats.detailed().await.unwrap().snapshot.pods[0].containers.len(), 1);
    names.unlisted.lock().clear();
    tokio::time::advance(FRESH + Duration::from_millis(1)).await;
    assert_eq!(stats.detailed().await.unwrap().snapshot.pods[0].containers.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_runtime_that_hangs_holds_scrapes_up_once() {
    let Rig { names, stats, .. } = rig(MINUTE);
    names.hangs.store(true, Ordering::SeqCst);
    let began = tokio::time::Instant::now();
    let snapshot = stats.resource().await.unwrap();
    assert!(snapshot.incomplete && snapshot.pods[0].containers.is_empty());
    assert_eq!(began.elapsed(), names::PATIENCE);
    tokio::time::advance(Duration::from_secs(3)).await;
    let before = tokio::time::Instant::now();
    assert!(stats.resource().await.unwrap().incomplete);
    assert_eq!(before.elapsed(), Duration::ZERO);
    names.hangs.store(false, Ordering::SeqCst);
    tokio::time::advance(Duration::from_secs(30)).await;
    assert!(!stats.resource().await.unwrap().incomplete);
}

#[tokio::test]
async fn disk_use_is_put_together() {
    let Rig { stats, .. } = rig(MINUTE);
    let disk = stats.summary(Disk::Wanted).await.unwrap().disk.unwrap();
    assert_eq!(disk.node.unwrap().used, Amount { bytes: 300, inodes: 10 });
    assert_eq!(disk.images.unwrap().filesystem, Some(SPACE));
    assert_eq!(disk.containers.unwrap().used.inodes, 10, "the runtime does not tell them apart");
    let pod = &disk.pods[&"u".into()];
    let container = pod.containers["c1"];
    assert_eq!((container.rootfs.unwrap().used.bytes, container.logs.unwrap().used.bytes), (10_000, 100));
    let volumes: Vec<_> = pod.volumes.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(volumes, ["data", "secret"], "ephemeral ones first");
    // Layer, logs of the container and of the pod, hosts file, the volume that counts.
    assert_eq!(pod.ephemeral.unwrap().used, Amount { bytes: 11_111, inodes: 5 });
    assert_eq!(stats.detailed().await.unwrap().filesystems[0].1, Some(SPACE));
}

#[tokio::test]
async fn logs_are_told_of_containers_that_run() {
    let Rig { stats, kernel, .. } = rig(None);
    assert_eq!(stats.logs().await, [], "nothing runs");
    let pod = PodKey { namespace: "default".into(), name: "web".into(), uid: "u".into() };
    let told = stats.disk.logs(vec![(pod.clone(), vec!["app".into(), "without-a-log".into()])]).await;
    assert_eq!(told, [LogUse { pod, container: "app".into(), bytes: 100 }]);
    assert_eq!(kernel.reads.load(Ordering::SeqCst), 0, "no cgroup is read for that");
}

#[tokio::test]
async fn volumes_are_not_measured_where_that_is_off() {
    let Rig { stats, .. } = rig(None);
    let disk = stats.summary(Disk::Wanted).await.unwrap().disk.unwrap();
    let pod = &disk.pods[&"u".into()];
    assert!(pod.volumes.is_empty());
    assert_eq!(pod.ephemeral.unwrap().used.bytes, 11_101);
}

#[tokio::test(start_paused = true)]
async fn the_runtimes_figures_are_kept_for_a_while() {
    let Rig { names, stats, .. } = rig(MINUTE);
    let layer = async || {
        let disk = stats.summary(Disk::Wanted).await.unwrap().disk.unwrap();
        disk.pods[&"u".into()].containers["c1"].rootfs.unwrap().used.bytes
    };
    assert_eq!(layer().await, 10_000);
    names.made.store(5, Ordering::SeqCst);
    tokio::time::advance(Duration::from_secs(3)).await;
    assert_eq!(layer().await, 10_000);
    tokio::time::advance(Duration::from_secs(20)).await;
    assert_eq!(layer().await, 10_005);
    names.hangs.store(true, Ordering::SeqCst);
    tokio::time::advance(Duration::from_secs(20)).await;
    assert_eq!(layer().await, 10_005, "what was known before");
}
