//! The tree of cgroups that the kubelet keeps: `kubepods`, the QoS groups and one group per pod (contract §18).
//!
//! ```text
//! <root>/kubepods/pod<uid>              guaranteed
//! <root>/kubepods/burstable/pod<uid>
//! <root>/kubepods/besteffort/pod<uid>
//! ```
//!
//! On v1 (and in the hybrid layout) each exists in every mounted hierarchy, because the runtime makes its containers'
//! groups in all of them; on v2 there is one. Values are written where their controller is.
//!
//! Invariants: making is idempotent and brings values up to date; removing kills what is left, works from what is on
//! disk in whatever hierarchy and QoS group it is, and is idempotent; nothing outside the root is changed, except that controllers are handed down and an empty cpuset is filled
//! on the way to it.

use std::path::{Path, PathBuf};

use lifecycle::{PodUid, spec::names::names_a_directory};
use node::{
    cgroup::{CgroupValues, CgroupVersion},
    qos::QosClass,
};
use seams::{HostError, host::PodCgroup};

use crate::{files, mounts::MountTable};

pub mod names;
mod remove;
mod v1;
mod v2;

use names::{CgroupName, Driver, Naming};

/// Controllers without which a group is not usable, if the machine has them at all.
const REQUIRED: [&str; 5] = ["cpu", "cpuset", "memory", "pids", "cpuacct"];

/// One mounted hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hierarchy {
    /// Controllers, `systemd` for the named one of that name; empty for v2, where the kernel lists them per group.
    pub controllers: Vec<String>,
    /// Where it is mounted.
    pub mount: PathBuf,
}

/// Which hierarchies there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Version of the hierarchies that hold the controllers.
    pub version: CgroupVersion,
    /// Those to make groups in.
    pub hierarchies: Vec<Hierarchy>,
    /// The v2 hierarchy without controllers of a hybrid layout. The runtime may have made groups there: they are
    /// removed with the others.
    pub hybrid: Option<PathBuf>,
}

impl Layout {
    /// Reads the layout off a mount table. v2 where a cgroup2 filesystem is at `/sys/fs/cgroup` itself (or is all there
    /// is), else v1 with one hierarchy per mount, the shortest path of each.
    ///
    /// # Errors
    /// [`HostError::Unsupported`] when no cgroup filesystem is mounted.
    pub fn of(table: &MountTable) -> Result<Self, HostError> {
        let mut v1: Vec<Hierarchy> = Vec::new();
        let mut v2: Option<PathBuf> = None;
        for entry in table.entries() {
            match entry.fs_type.as_str() {
                "cgroup" => add_v1(&mut v1, &entry.super_options, &entry.mount_point),
                "cgroup2" if v2.as_ref().is_none_or(|known| shorter(&entry.mount_point, known)) => {
                    v2 = Some(entry.mount_point.clone());
                }
                _ => {}
            }
        }
        let unified = v2.as_deref() == Some(Path::new("/sys/fs/cgroup"));
        match v2 {
            Some(mount) if unified || v1.is_empty() => Ok(Self {
                version: CgroupVersion::V2,
                hierarchies: vec![Hierarchy { controllers: Vec::new(), mount }],
                hybrid: None,
            }),
            hybrid if !v1.is_empty() => Ok(Self { version: CgroupVersion::V1, hierarchies: v1, hybrid }),
            _ => Err(HostError::Unsupported(
                "no cgroup filesystem is mounted; hint: mount cgroup2 at /sys/fs/cgroup".to_owned(),
            )),
        }
    }

    /// Mount of a v1 controller.
    #[must_use]
    pub fn mount_of(&self, controller: &str) -> Option<&Path> {
        self.hierarchies
            .iter()
            .find(|hierarchy| hierarchy.controllers.iter().any(|name| name == controller))
            .map(|hierarchy| hierarchy.mount.as_path())
    }
}

fn shorter(new: &Path, known: &Path) -> bool {
    new.as_os_str().len() < known.as_os_str().len()
}

/// Controllers stand among the options of the filesystem; one controller is in one hierarchy, which may be mounted
/// more than once.
fn add_v1(list: &mut Vec<Hierarchy>, options: &str, mount: &Path) {
    let controllers: Vec<String> = options
        .split(',')
        .filter_map(|option| match option.strip_prefix("name=") {
            Some(name) => Some(name.to_owned()),
            None => is_controller(option).then(|| option.to_owned()),
        })
        .collect();
    match list.iter_mut().find(|known| known.controllers == controllers) {
        Some(known) if shorter(mount, &known.mount) => known.mount = mount.to_path_buf(),
        Some(_) => {}
        None if controllers.is_empty() => {}
        None => list.push(Hierarchy { controllers, mount: mount.to_path_buf() }),
    }
}

fn is_controller(option: &str) -> bool {
    let known = [
        "cpuset",
        "cpu",
        "cpuacct",
        "blkio",
        "memory",
        "devices",
        "freezer",
        "net_cls",
        "perf_event",
        "net_prio",
        "hugetlb",
        "pids",
        "rdma",
        "misc",
    ];
    known.contains(&option)
}

/// Whether pods get groups of the kubelet's (`cgroupsPerQOS`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PodCgroups {
    /// As drawn above.
    PerQos,
    /// None: the runtime puts containers where it likes.
    Off,
}

/// The kubelet's tree in the machine's hierarchies.
#[derive(Debug)]
pub struct CgroupTree {
    layout: Layout,
    driver: Driver,
    root: CgroupName,
    pods: PodCgroups,
}

impl CgroupTree {
    /// A tree below `root` (`cgroupRoot`), which has to exist: `/` always does.
    ///
    /// # Errors
    /// [`HostError::Unsupported`] when the root does not exist in every hierarchy that counts.
    pub fn open(layout: Layout, driver: Driver, root: &str, pods: PodCgroups) -> Result<Self, HostError> {
        let tree = Self { layout, driver, root: names::parse_root(driver, root), pods };
        let path = driver.path(&tree.root);
        let missing: Vec<String> = tree
            .layout
            .hierarchies
            .iter()
            .filter(|hierarchy| hierarchy.controllers.is_empty() || has_required(hierarchy))
            .map(|hierarchy| join(&hierarchy.mount, &path))
            .filter(|path| !path.is_dir())
            .map(|path| path.display().to_string())
            .collect();
        if missing.is_empty() {
            return Ok(tree);
        }
        Err(HostError::Unsupported(format!(
            "invalid configuration: cgroup-root {root:?} doesn't exist: no {}; hint: create it in every hierarchy, or \
             leave cgroupRoot empty",
            missing.join(", ")
        )))
    }

    /// Version.
    #[must_use]
    pub fn version(&self) -> CgroupVersion {
        self.layout.version
    }

    /// The hierarchies.
    #[must_use]
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// CRI `cgroup_parent` of a pod: the path with cgroupfs, the slice's name with systemd, empty without pod groups.
    #[must_use]
    pub fn cgroup_parent(&self, pod: &PodCgroup) -> String {
        match self.pods {
            PodCgroups::PerQos => self.driver.parent(&self.pod_name(pod)),
            PodCgroups::Off => String::new(),
        }
    }

    /// Path of the group of all pods, as in `/proc/<pid>/cgroup`.
    #[must_use]
    pub fn kubepods_path(&self) -> String {
        self.driver.path(&self.kubepods())
    }

    /// How names become paths.
    pub(crate) fn driver(&self) -> Driver {
        self.driver
    }

    /// Path of a group that is configured by name, as `cgroupRoot` is.
    pub(crate) fn path_of(&self, name: &str) -> String {
        self.driver.path(&names::parse_root(self.driver, name))
    }

    /// The groups that hold pods; none when pods get no groups of the kubelet's.
    pub(crate) fn groups_of_pods(&self) -> Vec<CgroupName> {
        match self.pods {
            PodCgroups::PerQos => [QosClass::Guaranteed, QosClass::Burstable, QosClass::BestEffort]
                .into_iter()
                .map(|qos| self.group(qos))
                .collect(),
            PodCgroups::Off => Vec::new(),
        }
    }

    fn kubepods(&self) -> CgroupName {
        self.root.child("kubepods")
    }

    fn group(&self, qos: QosClass) -> CgroupName {
        match qos {
            QosClass::Guaranteed => self.kubepods(),
            QosClass::Burstable => self.kubepods().child("burstable"),
            QosClass::BestEffort => self.kubepods().child("besteffort"),
        }
    }

    fn pod_name(&self, pod: &PodCgroup) -> CgroupName {
        self.group(pod.qos).child(&format!("pod{}", pod.uid))
    }

    /// Makes `kubepods` with these values, and the QoS groups, best effort with the least shares.
    ///
    /// # Errors
    /// [`HostError`] of the first thing that failed.
    pub fn ensure_node(&self, kubepods: &CgroupValues) -> Result<(), HostError> {
        if self.pods == PodCgroups::Off {
            return Ok(());
        }
        self.make(&self.kubepods())?;
        for qos in [QosClass::Burstable, QosClass::BestEffort] {
            self.make(&self.group(qos))?;
        }
        let least = CgroupValues { cpu_shares: Some(node::cgroup::MIN_SHARES), ..CgroupValues::default() };
        self.apply(&self.group(QosClass::BestEffort), &least)?;
        self.apply(&self.kubepods(), kubepods)
    }

    /// Writes values of a QoS group. Guaranteed pods have none: nothing happens.
    ///
    /// # Errors
    /// [`HostError`].
    pub fn set_qos(&self, qos: QosClass, values: &CgroupValues) -> Result<(), HostError> {
        if self.pods == PodCgroups::Off || qos == QosClass::Guaranteed {
            return Ok(());
        }
        self.make(&self.group(qos))?;
        self.apply(&self.group(qos), values)
    }

    /// Whether a pod's group is there, in the first hierarchy.
    #[must_use]
    pub fn has_pod(&self, pod: &PodCgroup) -> bool {
        let path = self.driver.path(&self.pod_name(pod));
        self.mounts().next().is_some_and(|mount| join(mount, &path).is_dir())
    }

    /// Makes a pod's group, or brings its values up to date. A value that the kernel refuses is told, and the pod runs
    /// without it, as under upstream's kubelet: all pods may have that value, as a limit on their processes that is more
    /// than the machine can have.
    ///
    /// # Errors
    /// [`HostError`] when the group cannot be made.
    pub fn ensure_pod(&self, pod: &PodCgroup, values: &CgroupValues) -> Result<(), HostError> {
        if self.pods == PodCgroups::Off {
            return Ok(());
        }
        check_uid(&pod.uid)?;
        let name = self.pod_name(pod);
        self.make(&name)?;
        if let Err(error) = self.apply(&name, values) {
            let hint = "the pod runs without that value; its containers have those of their own";
            tracing::error!(uid = %pod.uid, %error, hint, "A value of a pod's cgroup was refused");
        }
        Ok(())
    }

    /// Uids that have a group anywhere: in any hierarchy, in any QoS group.
    ///
    /// # Errors
    /// [`HostError`] when a directory cannot be listed.
    pub fn pods(&self) -> Result<Vec<PodUid>, HostError> {
        let mut uids = Vec::new();
        for mount in self.mounts() {
            for qos in [QosClass::Guaranteed, QosClass::Burstable, QosClass::BestEffort] {
                let group = self.group(qos);
                for directory in files::directories(&join(mount, &self.driver.path(&group)))? {
                    let name = directory.file_name().and_then(|name| name.to_str()).unwrap_or_default();
                    uids.extend(self.driver.pod_uid(&group, name).map(PodUid::from));
                }
            }
        }
        uids.sort();
        uids.dedup();
        Ok(uids)
    }

    /// Kills what is left in a pod's groups and removes them.
    ///
    /// # Errors
    /// [`HostError`] when something is left after several seconds.
    pub async fn remove_pod(&self, uid: &PodUid) -> Result<(), HostError> {
        check_uid(uid)?;
        for qos in [QosClass::Guaranteed, QosClass::Burstable, QosClass::BestEffort] {
            let name = self.pod_name(&PodCgroup { uid: uid.clone(), qos });
            let path = self.driver.path(&name);
            let directories: Vec<PathBuf> = self.mounts().map(|mount| join(mount, &path)).collect();
            remove::remove_all(&directories).await?;
        }
        Ok(())
    }

    /// Every mount that can hold groups of pods.
    fn mounts(&self) -> impl Iterator<Item = &Path> {
        let all = self.layout.hierarchies.iter().map(|hierarchy| hierarchy.mount.as_path());
        all.chain(self.layout.hybrid.as_deref())
    }

    fn make(&self, name: &CgroupName) -> Result<(), HostError> {
        let path = self.driver.path(name);
        for hierarchy in &self.layout.hierarchies {
            match self.layout.version {
                CgroupVersion::V1 => v1::make(hierarchy, &path)?,
                CgroupVersion::V2 => v2::make(&hierarchy.mount, &path)?,
            }
        }
        Ok(())
    }

    fn apply(&self, name: &CgroupName, values: &CgroupValues) -> Result<(), HostError> {
        let path = self.driver.path(name);
        match self.layout.version {
            CgroupVersion::V1 => v1::apply(&self.layout, &path, values),
            CgroupVersion::V2 => {
                self.layout.hierarchies.iter().try_for_each(|one| v2::apply(&join(&one.mount, &path), values))
            }
        }
    }
}

/// What came of several writes, all of which are tried.
#[derive(Debug, Default)]
struct Written(Option<HostError>);

impl Written {
    fn and(&mut self, result: Result<(), HostError>) {
        if let Err(error) = result {
            self.0.get_or_insert(error);
        }
    }

    /// The first that failed.
    fn end(self) -> Result<(), HostError> {
        self.0.map_or(Ok(()), Err)
    }
}

fn has_required(hierarchy: &Hierarchy) -> bool {
    hierarchy.controllers.iter().any(|name| REQUIRED.contains(&name.as_str()))
}

/// A path inside a hierarchy, which begins with a slash, on its mount.
fn join(mount: &Path, path: &str) -> PathBuf {
    mount.join(path.trim_start_matches('/'))
}

/// A uid becomes the name of a directory that is removed later: it may not be anything else.
fn check_uid(uid: &PodUid) -> Result<(), HostError> {
    // `pod` stands before it.
    if names_a_directory(uid.as_str()) && uid.as_str().len() <= 250 {
        return Ok(());
    }
    Err(HostError::Unsupported(format!("pod uid {:?} cannot be the name of a cgroup", uid.as_str())))
}

#[cfg(test)]
mod tests;
