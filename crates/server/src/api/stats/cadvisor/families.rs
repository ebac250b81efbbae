//! What each metric of the page is, in the order of names.

use metrics::{
    table::{Metric, Page, find},
    text::Page as Text,
};
use seams::{
    host::FsUsage,
    stats::{
        CpuLimits, Detailed, DeviceIo, DiskCounters, GroupReading, Interface, Limits, MachineUse,
        MemoryDetail, Stall,
    },
};

use super::subjects::Subject;

/// Takes one sample: labels beside those of the group, and a value.
type Take<'a> = &'a mut dyn FnMut(&[(&str, &str)], f64);

/// Where the samples of a metric come from.
pub(super) enum Value {
    /// One of each group, with the time of its reading.
    Group(fn(&GroupReading) -> Option<f64>),
    /// One of each group, without a time: it does not change with readings.
    Constant(fn(&Subject, &Detailed) -> Option<f64>),
    /// Several of each group, with a label more.
    Labelled(fn(&GroupReading, Take<'_>)),
    /// One of each network interface.
    Interface(fn(&Interface) -> u64),
    /// One of each file system of the node.
    Space(fn(&FsUsage) -> u64),
    /// One of each block device: of the node from what the device did, of groups from their share of it.
    Device { of_node: fn(&DiskCounters) -> f64, of_groups: Option<fn(&DeviceIo) -> u64> },
    /// One of the machine.
    Machine(fn(&MachineUse) -> f64),
    /// As it comes.
    Once(fn(&mut Text, &'static str, &Detailed)),
}

use Value::{Constant, Device, Group, Labelled, Machine, Once, Space};

const fn row(name: &'static str, value: Value) -> (&'static Metric, Value) {
    (find(Page::Cadvisor, name), value)
}

fn seconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e9
}

/// Bytes and counts of memory that every reading has.
macro_rules! memory {
    ($($field:ident).+) => {
        Group(|group| Some(group.memory.as_ref()?.$($field).+ as f64))
    };
}

fn detail(group: &GroupReading, of: fn(&MemoryDetail) -> u64) -> Option<f64> {
    Some(of(group.memory.as_ref()?.detail.as_ref()?) as f64)
}

macro_rules! throttling {
    ($field:ident) => {
        Group(|group| Some(group.cpu.as_ref()?.throttling.as_ref()?.$field as f64))
    };
    ($field:ident seconds) => {
        Group(|group| Some(seconds(group.cpu.as_ref()?.throttling.as_ref()?.$field)))
    };
}

macro_rules! pressure {
    ($resource:ident, $kind:ident) => {
        Group(|group| Some(stalled(&group.pressure.$resource.as_ref()?.$kind)))
    };
}

fn stalled(stall: &Stall) -> f64 {
    stall.total_us as f64 / 1e6
}

/// What the device does, in milliseconds, as seconds.
macro_rules! busy {
    ($field:ident) => {
        Device { of_node: |device| device.$field as f64 / 1e3, of_groups: None }
    };
}

macro_rules! device {
    ($field:ident) => {
        Device { of_node: |device| device.$field as f64, of_groups: None }
    };
    ($field:ident, $share:ident) => {
        Device { of_node: |device| device.$field as f64, of_groups: Some(|io| io.$share) }
    };
}

/// Bytes that the node's devices moved are told by their sectors, of this many bytes.
const SECTOR: f64 = 512.0;

/// Bytes of a group by device, numbered too, and by direction.
fn device_bytes(group: &GroupReading, take: Take<'_>) {
    for io in &group.io {
        let (major, minor) = io.number.split_once(':').unwrap_or((&io.number, ""));
        for (operation, bytes) in [("Read", io.read_bytes), ("Write", io.written_bytes)] {
            let more = [
                ("device", io.device.as_str()),
                ("major", major),
                ("minor", minor),
                ("operation", operation),
            ];
            take(&more, bytes as f64);
        }
    }
}

/// Limits of a group.
fn limits(subject: &Subject, found: &Detailed) -> Option<Limits> {
    subject.group(&found.snapshot).reading.limits
}

/// Limit of memory of a group; of the node what the machine has, pages that are set aside as huge ones among it.
fn memory_limit(subject: &Subject, found: &Detailed) -> Option<f64> {
    let own = limits(subject, found)?.memory.unwrap_or(0);
    Some(if subject.is_node() { found.machine.facts.memory_bytes } else { own } as f64)
}

/// Limit of swap, likewise.
fn swap_limit(subject: &Subject, found: &Detailed) -> Option<f64> {
    let limits = limits(subject, found)?;
    let own = limits.swap.unwrap_or(if subject.is_node() { found.snapshot.node.swap_bytes } else { 0 });
    Some(own as f64)
}

fn reservation(subject: &Subject, found: &Detailed) -> Option<f64> {
    Some(limits(subject, found)?.memory_reservation.unwrap_or(0) as f64)
}

fn cpu_quota(subject: &Subject, found: &Detailed) -> Option<f64> {
    Some(limits(subject, found)?.cpu?.quota_us? as f64)
}

fn cpu_of(subject: &Subject, found: &Detailed) -> Option<CpuLimits> {
    limits(subject, found)?.cpu
}

/// Started when its group was made: a container may have been made long before.
fn started(subject: &Subject, found: &Detailed) -> Option<f64> {
    let group = subject.group(&found.snapshot).reading.created_at;
    group.map(|at| at.as_second() as f64).or_else(|| subject.created(&found.snapshot))
}

fn failures(group: &GroupReading, take: Take<'_>) {
    let Some(memory) = &group.memory else { return };
    let faults = &memory.faults;
    take(&[("failure_type", "pgfault"), ("scope", "container")], faults.own as f64);
    take(&[("failure_type", "pgfault"), ("scope", "hierarchy")], faults.all as f64);
    take(&[("failure_type", "pgmajfault"), ("scope", "container")], faults.own_major as f64);
    take(&[("failure_type", "pgmajfault"), ("scope", "hierarchy")], faults.major as f64);
}

fn open_files_limit(group: &GroupReading, take: Take<'_>) {
    if let Some(limit) = group.processes.as_ref().and_then(|processes| processes.open_files_limit) {
        take(&[("ulimit", "max_open_files")], limit as f64);
    }
}

fn version(text: &mut Text, name: &'static str, found: &Detailed) {
    let facts = &found.machine.facts;
    let labels = [
        ("cadvisorRevision", ""),
        ("cadvisorVersion", ""),
        ("dockerVersion", ""),
        ("kernelVersion", facts.kernel_version.as_str()),
        ("osVersion", &facts.os_image),
    ];
    text.sample(name, &labels, 1.0, None);
}

fn persistent_memory(text: &mut Text, name: &'static str, found: &Detailed) {
    let facts = &found.machine.facts;
    for mode in ["app_direct_mode", "memory_mode"] {
        let labels = [
            ("boot_id", facts.boot_id.as_str()),
            ("machine_id", &facts.machine_id),
            ("mode", mode),
            ("system_uuid", &facts.system_uuid),
        ];
        text.sample(name, &labels, 0.0, None);
    }
}

/// By name.
#[rustfmt::skip]
pub(super) const FAMILIES: &[(&Metric, Value)] = &[
    row("cadvisor_version_info", Once(version)),
    row("container_blkio_device_usage_total", Labelled(device_bytes)),
    row("container_cpu_cfs_burst_periods_total", throttling!(bursts)),
    row("container_cpu_cfs_burst_seconds_total", throttling!(burst_ns seconds)),
    row("container_cpu_cfs_periods_total", throttling!(periods)),
    row("container_cpu_cfs_throttled_periods_total", throttling!(throttled_periods)),
    row("container_cpu_cfs_throttled_seconds_total", throttling!(throttled_ns seconds)),
    row("container_cpu_system_seconds_total", Group(|group| Some(seconds(group.cpu.as_ref()?.split_ns?.1)))),
    row("container_cpu_usage_seconds_total", Labelled(|group, take| {
        if let Some(cpu) = &group.cpu {
            take(&[("cpu", "total")], seconds(cpu.usage_ns));
        }
    })),
    row("container_cpu_user_seconds_total", Group(|group| Some(seconds(group.cpu.as_ref()?.split_ns?.0)))),
    row("container_creation_time_seconds", Constant(|subject, found| subject.created(&found.snapshot))),
    row("container_file_descriptors", Group(|group| Some(group.processes.as_ref()?.open_files?.0 as f64))),
    row("container_fs_inodes_free", Space(|space| space.inodes_free)),
    row("container_fs_inodes_total", Space(|space| space.inodes)),
    row("container_fs_io_current", device!(in_progress)),
    row("container_fs_io_time_seconds_total", busy!(busy_ms)),
    row("container_fs_io_time_weighted_seconds_total", busy!(weighted_ms)),
    row("container_fs_limit_bytes", Space(|space| space.capacity_bytes)),
    row("container_fs_read_seconds_total", busy!(read_ms)),
    row("container_fs_reads_bytes_total", Device { of_node: |device| device.sectors_read as f64 * SECTOR, of_groups: Some(|io| io.read_bytes) }),
    row("container_fs_reads_merged_total", device!(reads_merged)),
    row("container_fs_reads_total", device!(reads, reads)),
    row("container_fs_sector_reads_total", device!(sectors_read)),
    row("container_fs_sector_writes_total", device!(sectors_written)),
    row("container_fs_usage_bytes", Space(|space| space.used_bytes)),
    row("container_fs_write_seconds_total", busy!(write_ms)),
    row("container_fs_writes_bytes_total", Device { of_node: |device| device.sectors_written as f64 * SECTOR, of_groups: Some(|io| io.written_bytes) }),
    row("container_fs_writes_merged_total", device!(writes_merged)),
    row("container_fs_writes_total", device!(writes, writes)),
    row("container_health_state", Group(|_| Some(-1.0))),
    row("container_last_seen", Group(|group| Some(group.read_at.as_second() as f64))),
    row("container_memory_cache", memory!(cache)),
    row("container_memory_events_high_total", Group(|group| detail(group, |detail| detail.high_events))),
    row("container_memory_events_max_total", Group(|group| detail(group, |detail| detail.max_events))),
    row("container_memory_failcnt", Group(|group| detail(group, |detail| detail.limit_hits))),
    row("container_memory_failures_total", Labelled(failures)),
    row("container_memory_file_dirty_bytes", memory!(dirty)),
    row("container_memory_file_writeback_bytes", memory!(writeback)),
    row("container_memory_kernel_usage", Group(|group| detail(group, |detail| detail.kernel))),
    row("container_memory_mapped_file", memory!(mapped_file)),
    row("container_memory_max_usage_bytes", Group(|group| detail(group, |detail| detail.max_usage))),
    row("container_memory_pgscan_total", memory!(scanned)),
    row("container_memory_pgsteal_total", memory!(stolen)),
    row("container_memory_rss", memory!(rss)),
    row("container_memory_swap", Group(|group| Some(group.swap.as_ref()?.usage as f64))),
    row("container_memory_total_active_file_bytes", memory!(active_file)),
    row("container_memory_total_inactive_file_bytes", memory!(inactive_file)),
    row("container_memory_usage_bytes", memory!(usage)),
    row("container_memory_working_set_bytes", memory!(working_set)),
    row("container_memory_workingset_refault_anon_total", memory!(refault_anon)),
    row("container_memory_workingset_refault_file_total", memory!(refault_file)),
    row("container_network_receive_bytes_total", Value::Interface(|interface| interface.received.bytes)),
    row("container_network_receive_errors_total", Value::Interface(|interface| interface.received.errors)),
    row("container_network_receive_packets_dropped_total", Value::Interface(|interface| interface.received.dropped)),
    row("container_network_receive_packets_total", Value::Interface(|interface| interface.received.packets)),
    row("container_network_transmit_bytes_total", Value::Interface(|interface| interface.transmitted.bytes)),
    row("container_network_transmit_errors_total", Value::Interface(|interface| interface.transmitted.errors)),
    row("container_network_transmit_packets_dropped_total", Value::Interface(|interface| interface.transmitted.dropped)),
    row("container_network_transmit_packets_total", Value::Interface(|interface| interface.transmitted.packets)),
    row("container_oom_events_total", Group(|group| detail(group, |detail| detail.oom_kills))),
    row("container_pressure_cpu_stalled_seconds_total", pressure!(cpu, full)),
    row("container_pressure_cpu_waiting_seconds_total", pressure!(cpu, some)),
    row("container_pressure_io_stalled_seconds_total", pressure!(io, full)),
    row("container_pressure_io_waiting_seconds_total", pressure!(io, some)),
    row("container_pressure_memory_stalled_seconds_total", pressure!(memory, full)),
    row("container_pressure_memory_waiting_seconds_total", pressure!(memory, some)),
    row("container_processes", Group(|group| Some(group.processes.as_ref()?.count as f64))),
    row("container_scrape_error", Once(|text, name, _| text.sample(name, &[], 0.0, None))),
    row("container_sockets", Group(|group| Some(group.processes.as_ref()?.open_files?.1 as f64))),
    row("container_spec_cpu_period", Constant(|subject, found| Some(cpu_of(subject, found)?.period_us as f64))),
    row("container_spec_cpu_quota", Constant(cpu_quota)),
    row("container_spec_cpu_shares", Constant(|subject, found| Some(cpu_of(subject, found)?.shares as f64))),
    row("container_spec_memory_limit_bytes", Constant(memory_limit)),
    row("container_spec_memory_reservation_limit_bytes", Constant(reservation)),
    row("container_spec_memory_swap_limit_bytes", Constant(swap_limit)),
    row("container_start_time_seconds", Constant(started)),
    row("container_threads", Group(|group| Some(group.tasks.as_ref()?.count as f64))),
    row("container_threads_max", Group(|group| Some(group.tasks.as_ref()?.limit.unwrap_or(0) as f64))),
    row("container_ulimits_soft", Labelled(open_files_limit)),
    row("machine_cpu_books", Machine(|_| 0.0)),
    row("machine_cpu_cores", Machine(|machine| f64::from(machine.facts.cpus))),
    row("machine_cpu_drawers", Machine(|_| 0.0)),
    row("machine_cpu_physical_cores", Machine(|machine| machine.processors.0 as f64)),
    row("machine_cpu_sockets", Machine(|machine| machine.processors.1 as f64)),
    row("machine_memory_bytes", Machine(|machine| machine.facts.memory_bytes as f64)),
    row("machine_nvm_avg_power_budget_watts", Machine(|_| 0.0)),
    row("machine_nvm_capacity", Once(persistent_memory)),
    row("machine_scrape_error", Once(|text, name, _| text.sample(name, &[], 0.0, None))),
    row("machine_swap_bytes", Machine(|machine| machine.facts.swap_bytes as f64)),
];
