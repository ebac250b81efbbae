//! Disk use.

use std::{collections::HashMap, path::Path, sync::Arc};

use jiff::Timestamp;
use lifecycle::{ContainerName, PodKey, PodUid};

use crate::host::FsUsage;

/// What is measured, and how.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// The file system that holds a path, as statfs(2) tells it.
    Space(Arc<Path>),
    /// A volume that is a file system of its own, as statfs(2) tells it.
    Mount(Arc<Path>),
    /// What is below a directory, file by file, on the same file system.
    Tree(Arc<Path>),
    /// A pod's directory of logs: its own files, and those of each container's directory.
    Logs(Arc<Path>),
    /// One file.
    File(Arc<Path>),
}

impl Target {
    /// Where.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self {
            Self::Space(path)
            | Self::Mount(path)
            | Self::Tree(path)
            | Self::Logs(path)
            | Self::File(path) => path,
        }
    }
}

/// How much of a disk something takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Amount {
    /// Bytes on disk, in whole blocks.
    pub bytes: u64,
    /// Inodes; a file with several names counts once.
    pub inodes: u64,
}

impl std::ops::AddAssign for Amount {
    fn add_assign(&mut self, other: Self) {
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.inodes = self.inodes.saturating_add(other.inodes);
    }
}

/// What was measured of a [`Target`] of the same name; of a mount, its space.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Figure {
    /// Of a file system.
    Space(FsUsage),
    /// Of a directory, and of the file system that holds it.
    Tree(Amount, FsUsage),
    /// Of the directory's own files; of each directory in it by name.
    Logs(Amount, Vec<(String, Amount)>),
    /// Of a file.
    File(Amount),
}

/// What the log files of a running container take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogUse {
    /// Its pod.
    pub pod: PodKey,
    /// Its name in the spec.
    pub container: ContainerName,
    /// Bytes on disk, rotated files too.
    pub bytes: u64,
}

/// Use of some part of a file system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Space {
    /// When it was measured.
    pub at: Timestamp,
    /// The file system; `None` when it did not answer.
    pub filesystem: Option<FsUsage>,
    /// The part of it.
    pub used: Amount,
}

/// Disk use of a container.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ContainerDisk {
    /// What it wrote over its image.
    pub rootfs: Option<Space>,
    /// Its logs.
    pub logs: Option<Space>,
}

/// Disk use of a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodDisk {
    /// Volumes by name: the ephemeral ones, then the others.
    pub volumes: Vec<(String, Space)>,
    /// Sum of what counts as ephemeral storage.
    pub ephemeral: Option<Space>,
    /// Containers by id.
    pub containers: HashMap<Arc<str>, ContainerDisk>,
}

/// Disk use of the node and of its pods.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DiskUse {
    /// The root directory's file system.
    pub node: Option<Space>,
    /// Images.
    pub images: Option<Space>,
    /// Writable layers.
    pub containers: Option<Space>,
    /// Pods.
    pub pods: HashMap<PodUid, PodDisk>,
}

/// What a block device did (`/proc/diskstats`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskCounters {
    /// Reads.
    pub reads: u64,
    /// Reads that were merged with others.
    pub reads_merged: u64,
    /// Sectors of 512 bytes read.
    pub sectors_read: u64,
    /// Milliseconds.
    pub read_ms: u64,
    /// Writes.
    pub writes: u64,
    /// Writes that were merged with others.
    pub writes_merged: u64,
    /// Sectors of 512 bytes written.
    pub sectors_written: u64,
    /// Milliseconds.
    pub write_ms: u64,
    /// Operations under way.
    pub in_progress: u64,
    /// Milliseconds in which something was under way.
    pub busy_ms: u64,
    /// The same, weighted by how much was.
    pub weighted_ms: u64,
}

/// A file system on a block device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filesystem {
    /// Device, such as `/dev/sda1`.
    pub device: String,
    /// One of the places where it is mounted.
    pub mountpoint: Arc<Path>,
    /// What the device did; `None` where the kernel does not count.
    pub counters: Option<DiskCounters>,
}
