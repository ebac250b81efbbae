//! What is read of cgroups.

use std::sync::Arc;

use jiff::Timestamp;
use lifecycle::PodUid;

/// How much is read of each group; each includes the ones before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Depth {
    /// CPU, memory and swap of the node, of pods and of what is in them: three or four files a group.
    Resource,
    /// Pressure, limits, processes and network, and the system groups.
    Summary,
    /// Everything that `/metrics/cadvisor` shows, also of the QoS groups.
    Everything,
}

/// One group. A part that the kernel does not have, or that was not asked for, is `None`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GroupReading {
    /// Path inside the hierarchy, beginning with `/`.
    pub path: Arc<str>,
    /// When it was read.
    pub read_at: Timestamp,
    /// When the group was made. Not read at [`Depth::Resource`].
    pub created_at: Option<Timestamp>,
    /// CPU.
    pub cpu: Option<Cpu>,
    /// Memory.
    pub memory: Option<Memory>,
    /// Swap.
    pub swap: Option<Swap>,
    /// Pressure.
    pub pressure: Pressures,
    /// Threads.
    pub tasks: Option<Tasks>,
    /// Processes in the group itself, not in groups below it.
    pub processes: Option<Processes>,
    /// IO by device.
    pub io: Vec<DeviceIo>,
    /// Limits, at [`Depth::Everything`].
    pub limits: Option<Limits>,
}

/// CPU time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cpu {
    /// Nanoseconds.
    pub usage_ns: u64,
    /// (user, system) in nanoseconds; only as exact as the kernel's ticks on cgroup v1.
    pub split_ns: Option<(u64, u64)>,
    /// What the quota held back.
    pub throttling: Option<Throttling>,
}

/// What a CPU quota held back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Throttling {
    /// Periods that went by with something to run.
    pub periods: u64,
    /// Those in which the quota was used up.
    pub throttled_periods: u64,
    /// Nanoseconds that threads waited for the next period.
    pub throttled_ns: u64,
    /// Periods with a burst.
    pub bursts: u64,
    /// Nanoseconds run beyond the quota in bursts.
    pub burst_ns: u64,
}

/// Memory, in bytes where nothing else is said. On v1 the figures include the groups below, as on v2.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Everything that is charged to the group.
    pub usage: u64,
    /// Usage without inactive page cache.
    pub working_set: u64,
    /// Anonymous memory.
    pub rss: u64,
    /// Page cache.
    pub cache: u64,
    /// Page cache that is mapped.
    pub mapped_file: u64,
    /// Active page cache.
    pub active_file: u64,
    /// Inactive page cache.
    pub inactive_file: u64,
    /// Page cache that is to be written.
    pub dirty: u64,
    /// Page cache that is being written.
    pub writeback: u64,
    /// Page faults.
    pub faults: Faults,
    /// Anonymous pages that came back soon after they were swapped out; number of pages.
    pub refault_anon: u64,
    /// Pages of files, likewise.
    pub refault_file: u64,
    /// Pages that reclaim looked at; 0 on v1, which does not count them.
    pub scanned: u64,
    /// Pages that reclaim took; likewise.
    pub stolen: u64,
    /// Limit of the group itself; `None` when it has none, and at [`Depth::Resource`].
    pub limit: Option<u64>,
    /// More files, at [`Depth::Everything`].
    pub detail: Option<MemoryDetail>,
}

/// Page faults.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// With the groups below.
    pub all: u64,
    /// Those that waited for a disk, with the groups below.
    pub major: u64,
    /// Of processes in the group itself; the same as `all` on v2, which does not tell them apart.
    pub own: u64,
    /// Likewise, those that waited for a disk.
    pub own_major: u64,
}

/// What takes files of its own to know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryDetail {
    /// Bytes of the kernel's own memory.
    pub kernel: u64,
    /// Most bytes that were ever charged.
    pub max_usage: u64,
    /// How often the limit was hit.
    pub limit_hits: u64,
    /// How often `memory.high` was exceeded; v2.
    pub high_events: u64,
    /// How often `memory.max` was about to be exceeded; v2.
    pub max_events: u64,
    /// Processes that the kernel killed for want of memory.
    pub oom_kills: u64,
}

/// Swap, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swap {
    /// Used.
    pub usage: u64,
    /// Limit of the group itself, of swap alone; `None` when it has none.
    pub limit: Option<u64>,
}

/// Shares of time in which something waited (PSI).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Stall {
    /// Microseconds, since the group was made.
    pub total_us: u64,
    /// Percent of the last 10 s.
    pub avg10: f64,
    /// Percent of the last 60 s.
    pub avg60: f64,
    /// Percent of the last 300 s.
    pub avg300: f64,
}

/// Pressure on one resource.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Pressure {
    /// At least one thread waited.
    pub some: Stall,
    /// All threads that had something to do waited.
    pub full: Stall,
}

/// Pressure on each resource; `None` where the kernel does not measure it: groups of cgroup v1 never have it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Pressures {
    /// CPU.
    pub cpu: Option<Pressure>,
    /// Memory.
    pub memory: Option<Pressure>,
    /// IO.
    pub io: Option<Pressure>,
}

/// Threads, with the groups below.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tasks {
    /// How many.
    pub count: u64,
    /// Most; `None` is no limit.
    pub limit: Option<u64>,
}

/// Processes in a group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Processes {
    /// How many.
    pub count: u64,
    /// (open files, those of them that are sockets), at [`Depth::Everything`].
    pub open_files: Option<(u64, u64)>,
    /// Soft limit on open files of the first process, at [`Depth::Everything`]; `None` also for no limit.
    pub open_files_limit: Option<u64>,
}

/// What a group did on one block device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceIo {
    /// Device, such as `/dev/sda`.
    pub device: String,
    /// Its number, `major:minor`.
    pub number: String,
    /// Bytes read.
    pub read_bytes: u64,
    /// Bytes written.
    pub written_bytes: u64,
    /// Reads.
    pub reads: u64,
    /// Writes.
    pub writes: u64,
}

/// Limits of a group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// CPU.
    pub cpu: Option<CpuLimits>,
    /// Bytes of memory; `None` is no limit.
    pub memory: Option<u64>,
    /// Bytes of memory that are kept when it is scarce.
    pub memory_reservation: Option<u64>,
    /// Bytes as the kernel has the value: on v1 of memory and swap together, on v2 of swap.
    pub swap: Option<u64>,
}

/// CPU limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuLimits {
    /// In v1 terms, 2 to 262144.
    pub shares: u64,
    /// Microseconds.
    pub period_us: u64,
    /// Microseconds in each period; `None` is no limit.
    pub quota_us: Option<u64>,
}

/// What went one way through a network interface.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Bytes.
    pub bytes: u64,
    /// Packets.
    pub packets: u64,
    /// Errors.
    pub errors: u64,
    /// Packets that were dropped.
    pub dropped: u64,
}

/// A network interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interface {
    /// Name.
    pub name: String,
    /// Received.
    pub received: Traffic,
    /// Transmitted.
    pub transmitted: Traffic,
}

/// A pod's group and what is directly in it.
#[derive(Clone, Debug, PartialEq)]
pub struct PodReading {
    /// Uid, from the group's name.
    pub uid: PodUid,
    /// The pod's group.
    pub group: GroupReading,
    /// Groups in it, by the runtime's id from their names: sandboxes and containers, and what others may have made.
    pub inside: Vec<(Arc<str>, GroupReading)>,
    /// Interfaces of the pod's network; `None` when it is the node's, or no process could be asked.
    pub network: Option<Vec<Interface>>,
}

/// One pass over the tree.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TreeReading {
    /// When the machine was started; not at [`Depth::Resource`].
    pub booted_at: Option<Timestamp>,
    /// The root group: all of the machine.
    pub root: GroupReading,
    /// Interfaces of the node; empty at [`Depth::Resource`].
    pub network: Vec<Interface>,
    /// (threads of the machine, most); not at [`Depth::Resource`].
    pub tasks: Option<(u64, u64)>,
    /// Group of all pods.
    pub kubepods: Option<GroupReading>,
    /// The QoS groups, at [`Depth::Everything`].
    pub qos: Vec<GroupReading>,
    /// Configured groups of the system by name (`kubelet`, `runtime`, `misc`); empty at [`Depth::Resource`].
    pub system: Vec<(&'static str, GroupReading)>,
    /// Pods, in order of uid.
    pub pods: Vec<PodReading>,
}
