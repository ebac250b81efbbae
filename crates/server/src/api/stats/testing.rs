//! Figures that are made up.

use std::{collections::HashMap, sync::Arc};

use async_trait::async_trait;
use jiff::Timestamp;
use lifecycle::PodKey;
use parking_lot::Mutex;
use seams::{
    HostError, NodeStats,
    host::{FsUsage, MachineFacts},
    stats::{
        Amount, ContainerDisk, ContainerUse, Cpu, CpuLimits, Detailed, DeviceIo, Disk, DiskCounters, DiskUse,
        Faults, Filesystem, GroupReading, GroupUse, Interface, Limits, LogUse, MachineUse, Memory,
        MemoryDetail, NodeUse, PodDisk, PodUse, Pressure, Pressures, Processes, Snapshot, Space, Stall,
        StatsError, Summary, Swap, SystemGroup, Tasks, Throttling, Traffic,
    },
};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millisecond(1_795_000_000_000 + seconds * 1000 + 250).unwrap()
}

fn group(path: &str, figure: u64) -> GroupUse {
    let pressure = Pressure {
        some: Stall { total_us: 1_500_000, avg10: 0.5, avg60: 0.25, avg300: 0.0 },
        full: Stall { total_us: 500_000, ..Stall::default() },
    };
    let throttling = Throttling {
        periods: 8,
        throttled_periods: 2,
        throttled_ns: 500_000_000,
        bursts: 1,
        burst_ns: 250_000_000,
    };
    GroupUse {
        nano_cores: Some(figure),
        reading: GroupReading {
            path: path.into(),
            read_at: at(60),
            created_at: Some(at(0)),
            cpu: Some(Cpu {
                usage_ns: figure * 1_000_000,
                split_ns: Some((figure * 600_000, figure * 400_000)),
                throttling: Some(throttling),
            }),
            memory: Some(Memory {
                usage: figure * 10,
                working_set: figure * 9,
                rss: figure * 8,
                cache: figure * 2,
                faults: Faults { all: 50, major: 2, own: 5, own_major: 1 },
                limit: Some(figure * 100),
                detail: Some(MemoryDetail { oom_kills: 1, ..MemoryDetail::default() }),
                ..Memory::default()
            }),
            swap: Some(Swap { usage: 7, limit: Some(10) }),
            pressure: Pressures { cpu: Some(pressure), memory: Some(pressure), io: Some(pressure) },
            tasks: Some(Tasks { count: 3, limit: Some(100) }),
            processes: Some(Processes { count: 2, open_files: Some((9, 4)), open_files_limit: Some(1024) }),
            io: vec![DeviceIo {
                device: "/dev/sda".to_owned(),
                number: "8:0".to_owned(),
                read_bytes: 4096,
                written_bytes: 8192,
                reads: 1,
                writes: 2,
            }],
            limits: Some(Limits {
                cpu: Some(CpuLimits { shares: 204, period_us: 100_000, quota_us: Some(20_000) }),
                memory: Some(figure * 100),
                memory_reservation: None,
                swap: Some(10),
            }),
        },
    }
}

fn interfaces() -> Vec<Interface> {
    let traffic = |bytes| Traffic { bytes, packets: 3, errors: 2, dropped: 1 };
    let interface =
        |name: &str| Interface { name: name.to_owned(), received: traffic(1000), transmitted: traffic(500) };
    vec![interface("eth0"), interface("eth1")]
}

fn container(path: &str, name: &str, figure: u64) -> ContainerUse {
    let id = if name.is_empty() { "5a9d" } else { "c0de" };
    ContainerUse {
        id: id.into(),
        name: name.to_owned(),
        image: if name.is_empty() { "pause:3" } else { "registry.test/app:1" }.to_owned(),
        created_at: at(-1),
        group: group(&format!("{path}/{id}"), figure),
    }
}

/// A node with one pod, which has a sandbox and a container, and one that has nothing yet.
pub(in super::super) fn snapshot() -> Snapshot {
    let path = "/kubepods/podu";
    let pod = PodUse {
        uid: "u".into(),
        namespace: "default".to_owned(),
        name: "web".to_owned(),
        started_at: Some(at(-2)),
        group: group(path, 30),
        sandboxes: vec![container(path, "", 1)],
        containers: vec![container(path, "app", 20)],
        network: Some(interfaces()),
    };
    let empty = PodUse {
        uid: "v".into(),
        name: "empty".to_owned(),
        group: group("/kubepods/podv", 1),
        sandboxes: Vec::new(),
        containers: Vec::new(),
        network: None,
        ..pod.clone()
    };
    Snapshot {
        incomplete: false,
        node: NodeUse {
            name: "node".to_owned(),
            booted_at: Some(at(-1000)),
            group: group("/", 1000),
            network: interfaces(),
            tasks: Some((345, 32768)),
            memory_bytes: 1_000_000,
            swap_bytes: 100,
        },
        system: vec![SystemGroup { name: "pods", group: group("/kubepods", 100) }],
        qos: vec![group("/kubepods/burstable", 50)],
        pods: vec![pod, empty],
    }
}

pub(in super::super) fn usage() -> FsUsage {
    FsUsage { capacity_bytes: 1000, available_bytes: 600, used_bytes: 300, inodes: 100, inodes_free: 90 }
}

/// Disk use of that node.
pub(in super::super) fn disk() -> DiskUse {
    let space = |bytes| Space { at: at(50), filesystem: Some(usage()), used: Amount { bytes, inodes: 4 } };
    let container = ContainerDisk { rootfs: Some(space(40)), logs: Some(space(41)) };
    let pod = PodDisk {
        volumes: vec![("data".to_owned(), space(42))],
        ephemeral: Some(space(43)),
        containers: HashMap::from([(Arc::from("c0de"), container)]),
    };
    DiskUse {
        node: Some(space(44)),
        images: Some(space(45)),
        containers: None,
        pods: HashMap::from([("u".into(), pod)]),
    }
}

/// Tells the same every time.
#[derive(Default)]
pub(in super::super) struct Figures {
    /// What was asked of the summary.
    pub(in super::super) asked: Mutex<Vec<Disk>>,
    /// There are none.
    pub(in super::super) broken: bool,
}

impl Figures {
    fn check(&self) -> Result<(), StatsError> {
        if self.broken {
            return Err(StatsError::Host(HostError::Unsupported("no cgroups; hint: mount them".to_owned())));
        }
        Ok(())
    }
}

#[async_trait]
impl NodeStats for Figures {
    async fn resource(&self) -> Result<Arc<Snapshot>, StatsError> {
        self.check()?;
        Ok(Arc::new(snapshot()))
    }

    async fn summary(&self, disk: Disk) -> Result<Summary, StatsError> {
        self.check()?;
        self.asked.lock().push(disk);
        let disk = (disk == Disk::Wanted).then(self::disk);
        Ok(Summary { snapshot: Arc::new(snapshot()), disk })
    }

    async fn detailed(&self) -> Result<Detailed, StatsError> {
        self.check()?;
        let facts = MachineFacts {
            cpus: 2,
            memory_bytes: 1_200_000,
            machine_id: "m".to_owned(),
            system_uuid: "s".to_owned(),
            boot_id: "b".to_owned(),
            kernel_version: "6.1".to_owned(),
            os_image: "Linux".to_owned(),
            ..MachineFacts::default()
        };
        let counters = DiskCounters { reads: 5, sectors_read: 16, read_ms: 1500, ..DiskCounters::default() };
        let filesystem = Filesystem {
            device: "/dev/sda1".to_owned(),
            mountpoint: std::path::Path::new("/").into(),
            counters: Some(counters),
        };
        Ok(Detailed {
            snapshot: Arc::new(snapshot()),
            machine: Arc::new(MachineUse { facts, processors: (2, 1) }),
            filesystems: vec![(filesystem, Some(usage()))],
        })
    }

    async fn logs(&self) -> Vec<LogUse> {
        let pod = PodKey { namespace: "default".into(), name: "web".into(), uid: "u".into() };
        vec![LogUse { pod, container: "app".into(), bytes: 8192 }]
    }
}
