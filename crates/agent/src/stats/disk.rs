//! Disk use of the node and its pods, put together from the runtime's figures and our own measurements.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use lifecycle::{ContainerName, PodKey};
use seams::{
    RuntimeError,
    host::FsUsage,
    runtime::ImageFs,
    stats::{
        Amount, ContainerDisk, DiskUse, Figure, Layer, LogUse, PodDisk, PodUse, RuntimeMeters, Snapshot,
        Space, Target, VolumePlace, VolumePlaces,
    },
};
use tokio::sync::Mutex;

use super::{
    Around, StatsParts,
    measures::{Dated, Measures},
};
use crate::config::log_dir;

/// Age at which file systems, logs and the runtime's figures are asked for again. Runtimes measure layers no more often
/// themselves (containerd: every 10 s).
const FRESH: Duration = Duration::from_secs(10);
/// Longest wait for the runtime.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the runtime tells.
#[derive(Clone, Default)]
struct RuntimeSide {
    /// By container.
    layers: HashMap<String, Layer>,
    images: Option<(ImageFs, Timestamp)>,
    containers: Option<(ImageFs, Timestamp)>,
}

/// Asks and measures.
pub(super) struct DiskSide {
    around: Arc<Around>,
    meters: Arc<dyn RuntimeMeters>,
    volumes: Arc<dyn VolumePlaces>,
    volume_period: Option<Duration>,
    measures: Measures,
    told: Mutex<Option<(Duration, Arc<RuntimeSide>)>>,
}

/// What is measured of one pod.
struct PodTargets {
    logs: Target,
    hosts: Target,
    volumes: Vec<VolumePlace>,
}

type Figures = HashMap<Target, Dated>;

impl DiskSide {
    pub(super) fn new(parts: &StatsParts, around: Arc<Around>) -> Self {
        Self {
            meters: Arc::clone(&parts.runtime),
            volumes: Arc::clone(&parts.volumes),
            volume_period: parts.volume_period,
            measures: Measures::new(
                Arc::clone(&parts.meters),
                Arc::clone(&around.clock),
                Arc::clone(&around.metrics),
            ),
            around,
            told: Mutex::default(),
        }
    }

    /// Figures of file systems.
    pub(super) async fn spaces(&self, targets: Vec<Target>) -> Figures {
        let wanted: Vec<_> = targets.into_iter().map(|target| (target, FRESH)).collect();
        self.measures.of(&wanted).await
    }

    /// Logs of these containers. They grow all the time, and are looked at as often as in a summary.
    pub(super) async fn logs(&self, running: Vec<(PodKey, Vec<ContainerName>)>) -> Vec<LogUse> {
        let target = |pod: &PodKey| Target::Logs(log_dir(&self.around.pod_logs_dir, pod).into());
        let wanted: Vec<_> = running.iter().map(|(pod, _)| (target(pod), FRESH)).collect();
        let figures = self.measures.of(&wanted).await;
        let of_pod = |((pod, containers), (target, _)): (&(PodKey, Vec<ContainerName>), &(Target, _))| {
            let inside = match figures.get(target) {
                Some((Figure::Logs(_, inside), _)) => inside.as_slice(),
                _ => &[],
            };
            let of_container = |container: &ContainerName| {
                let (_, amount) = inside.iter().find(|(name, _)| name == container.as_str())?;
                Some(LogUse { pod: pod.clone(), container: container.clone(), bytes: amount.bytes })
            };
            containers.iter().filter_map(of_container).collect::<Vec<_>>()
        };
        running.iter().zip(&wanted).flat_map(of_pod).collect()
    }

    /// Disk use of the node and of the pods of a snapshot.
    pub(super) async fn of(&self, snapshot: &Snapshot) -> DiskUse {
        let runtime = self.ask_runtime().await;
        let node = Target::Space(self.around.root_dir.as_path().into());
        let mut wanted = vec![(node.clone(), FRESH)];
        let mounts = runtime.layers.values().map(|layer| layer.mountpoint.as_str());
        let images = [&runtime.images, &runtime.containers].into_iter().flatten();
        let mut mounts: Vec<&str> = mounts.chain(images.map(|(fs, _)| fs.mountpoint.as_str())).collect();
        mounts.sort_unstable();
        mounts.dedup();
        wanted.extend(mounts.into_iter().map(|mount| (Target::Space(Path::new(mount).into()), FRESH)));
        let targets: Vec<PodTargets> = snapshot.pods.iter().map(|pod| self.targets(pod)).collect();
        for pod in &targets {
            wanted.extend([(pod.logs.clone(), FRESH), (pod.hosts.clone(), FRESH)]);
            if let Some(period) = self.volume_period {
                wanted.extend(pod.volumes.iter().map(|place| (place.target.clone(), period)));
            }
        }
        let figures = self.measures.of(&wanted).await;
        let space = space_of(&figures, &node);
        let pods = snapshot.pods.iter().zip(&targets);
        DiskUse {
            node: space.map(|(usage, at)| whole(usage, at)),
            images: runtime.images.as_ref().map(|(fs, at)| image_space(&figures, fs, *at)),
            containers: runtime.containers.as_ref().map(|(fs, at)| image_space(&figures, fs, *at)),
            pods: pods
                .map(|(pod, targets)| (pod.uid.clone(), of_pod(pod, targets, &figures, &runtime, space)))
                .collect(),
        }
    }

    fn targets(&self, pod: &PodUse) -> PodTargets {
        let key = PodKey {
            namespace: pod.namespace.as_str().into(),
            name: pod.name.as_str().into(),
            uid: pod.uid.clone(),
        };
        let hosts: PathBuf = self.around.root_dir.join("pods").join(pod.uid.as_str()).join("etc-hosts");
        let volumes = self.around.wanted.get(&pod.uid).map(|pod| self.volumes.places(&pod));
        PodTargets {
            logs: Target::Logs(log_dir(&self.around.pod_logs_dir, &key).into()),
            hosts: Target::File(hosts.into()),
            volumes: volumes.unwrap_or_default(),
        }
    }

    /// The runtime's figures, of before when it does not answer in time.
    async fn ask_runtime(&self) -> Arc<RuntimeSide> {
        let mut told = self.told.lock().await;
        let now = self.around.clock.now().mono;
        if let Some((at, side)) = told.as_ref().filter(|(at, _)| now.saturating_sub(*at) < FRESH) {
            tracing::trace!(age = ?now.saturating_sub(*at), "The runtime's figures are fresh");
            return Arc::clone(side);
        }
        let before = told.as_ref().map(|(_, side)| Arc::clone(side)).unwrap_or_default();
        let asked = async { futures::join!(self.meters.layers(), self.around.runtime.image_fs()) };
        let side = match tokio::time::timeout(PATIENCE, asked).await {
            Ok((layers, images)) => Arc::new(self.taken(&before, layers, images)),
            Err(_) => {
                tracing::warn!("The runtime does not tell the use of its disks in time");
                before
            }
        };
        *told = Some((now, Arc::clone(&side)));
        side
    }

    fn taken(
        &self,
        before: &RuntimeSide,
        layers: Result<Vec<Layer>, RuntimeError>,
        images: Result<(Vec<ImageFs>, Vec<ImageFs>), RuntimeError>,
    ) -> RuntimeSide {
        let mut side = before.clone();
        match layers {
            Ok(layers) => {
                side.layers = layers.into_iter().map(|layer| (layer.container.clone(), layer)).collect();
            }
            Err(error) => tracing::warn!(%error, "The runtime does not tell the sizes of writable layers"),
        }
        match images {
            Ok((images, containers)) => {
                let at = self.around.clock.now().wall;
                let first = |list: Vec<ImageFs>| list.into_iter().next().map(|fs| (fs, at));
                side.images = first(images);
                // Older runtimes do not name it: there it is the same.
                side.containers = first(containers).or_else(|| side.images.clone());
            }
            Err(error) => tracing::warn!(%error, "The runtime does not tell the use of its images"),
        }
        side
    }
}

fn space_of(figures: &Figures, target: &Target) -> Option<(FsUsage, Timestamp)> {
    match figures.get(target)? {
        (Figure::Space(usage), at) => Some((*usage, *at)),
        _ => None,
    }
}

/// All that is used of a file system.
fn whole(usage: FsUsage, at: Timestamp) -> Space {
    let used = Amount { bytes: usage.used_bytes, inodes: usage.inodes.saturating_sub(usage.inodes_free) };
    Space { at, filesystem: Some(usage), used }
}

fn image_space(figures: &Figures, fs: &ImageFs, at: Timestamp) -> Space {
    let target = Target::Space(Path::new(&fs.mountpoint).into());
    let used = Amount { bytes: fs.used_bytes, inodes: fs.inodes_used };
    Space { at, filesystem: space_of(figures, &target).map(|(usage, _)| usage), used }
}

fn of_pod(
    pod: &PodUse,
    targets: &PodTargets,
    figures: &Figures,
    runtime: &RuntimeSide,
    node: Option<(FsUsage, Timestamp)>,
) -> PodDisk {
    let filesystem = node.map(|(usage, _)| usage);
    let mut ephemeral = Amount::default();
    let mut newest = None;
    let logs = match figures.get(&targets.logs) {
        Some((Figure::Logs(own, inside), at)) => {
            ephemeral += *own;
            newest = newest.max(Some(*at));
            Some((inside, *at))
        }
        _ => None,
    };
    if let Some((Figure::File(amount), _)) = figures.get(&targets.hosts) {
        ephemeral += *amount;
    }
    let mut disk = PodDisk::default();
    for container in &pod.containers {
        let rootfs = runtime.layers.get(&*container.id).map(|layer| {
            let target = Target::Space(Path::new(&layer.mountpoint).into());
            let filesystem = space_of(figures, &target).map(|(usage, _)| usage);
            Space { at: layer.at, filesystem, used: layer.amount }
        });
        let logs = logs.and_then(|(inside, at)| {
            let (_, used) = inside.iter().find(|(name, _)| *name == container.name)?;
            Some(Space { at, filesystem, used: *used })
        });
        for space in [rootfs, logs].into_iter().flatten() {
            ephemeral += space.used;
            newest = newest.max(Some(space.at));
        }
        disk.containers.insert(Arc::clone(&container.id), ContainerDisk { rootfs, logs });
    }
    let (mut volumes, mut lasting) = (Vec::new(), Vec::new());
    for place in &targets.volumes {
        let space = match figures.get(&place.target) {
            Some((Figure::Tree(used, usage), at)) => Space { at: *at, filesystem: Some(*usage), used: *used },
            Some((Figure::Space(usage), at)) => whole(*usage, *at),
            _ => continue,
        };
        if place.ephemeral {
            ephemeral += space.used;
            newest = newest.max(Some(space.at));
            volumes.push((place.name.clone(), space));
        } else {
            lasting.push((place.name.clone(), space));
        }
    }
    volumes.append(&mut lasting);
    disk.volumes = volumes;
    disk.ephemeral = newest.map(|at| Space { at, filesystem, used: ephemeral });
    disk
}
