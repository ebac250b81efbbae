//! A group of the unified hierarchy: one directory, opened once.
//!
//! The root group has no files for its own memory and swap: there they are what the machine uses, added up as upstream
//! does. What only v1 counts by itself (kernel memory, how often the limit was hit) is 0, as upstream tells it.

use jiff::Timestamp;
use node::cgroup::shares_of_weight;
use seams::stats::{
    Cpu, CpuLimits, Depth, Faults, GroupReading, Limits, Memory, MemoryDetail, Swap, Tasks, Throttling,
};

use super::{group::Pass, io, pressure, processes, reader::Directory};

/// Reads a group, and tells the first process in it; `None` when it is gone.
pub(super) fn read(pass: &mut Pass<'_>, mount: &str, path: &str) -> Option<(GroupReading, Option<u32>)> {
    let depth = pass.depth;
    let directory = pass.open(Some(mount), path)?;
    let mut group = GroupReading { path: path.into(), read_at: Timestamp::now(), ..GroupReading::default() };
    group.cpu = cpu(pass, &directory);
    group.memory = memory(pass, &directory);
    if group.cpu.is_none() && group.memory.is_none() {
        return None;
    }
    group.swap = group.memory.map(|_| swap(pass, &directory, path));
    if depth == Depth::Resource {
        return Some((group, None));
    }
    group.created_at = super::group::made(&directory, "cgroup.events");
    group.pressure = pressure::of_group(pass.reader, &directory);
    if let Some(memory) = &mut group.memory {
        memory.limit = pass.reader.limit(&directory, "memory.max").flatten();
    }
    let members = processes::of_group(pass.reader, pass.proc, &directory, depth);
    let first = members.as_ref().and_then(|(_, first)| *first);
    group.processes = members.map(|(processes, _)| processes);
    if depth == Depth::Everything {
        detail(pass, &directory, &mut group);
    }
    Some((group, first))
}

/// `cpu.stat` is there without the controller too, but then it has no periods.
fn cpu(pass: &mut Pass<'_>, group: &Directory) -> Option<Cpu> {
    let everything = pass.depth == Depth::Everything;
    let mut usage_ns = None;
    let mut split_ns = (0, 0);
    let mut seen = Throttling::default();
    for (name, value) in super::group::lines(pass.reader.text(group, "cpu.stat")?) {
        let nanoseconds = value.saturating_mul(1000);
        match name {
            "usage_usec" => usage_ns = Some(nanoseconds),
            "user_usec" => split_ns.0 = nanoseconds,
            "system_usec" => split_ns.1 = nanoseconds,
            "nr_periods" => seen.periods = value,
            "nr_throttled" => seen.throttled_periods = value,
            "throttled_usec" => seen.throttled_ns = nanoseconds,
            "nr_bursts" => seen.bursts = value,
            "burst_usec" => seen.burst_ns = nanoseconds,
            _ => {}
        }
    }
    Some(Cpu {
        usage_ns: usage_ns?,
        split_ns: everything.then_some(split_ns),
        throttling: everything.then_some(seen),
    })
}

fn memory(pass: &mut Pass<'_>, group: &Directory) -> Option<Memory> {
    let usage = pass.reader.number(group, "memory.current");
    let everything = pass.depth == Depth::Everything;
    let mut memory = Memory::default();
    for (name, value) in super::group::lines(pass.reader.text(group, "memory.stat")?) {
        match name {
            "anon" => memory.rss = value,
            "file" => memory.cache = value,
            "file_mapped" => memory.mapped_file = value,
            "file_dirty" => memory.dirty = value,
            "file_writeback" => memory.writeback = value,
            "active_file" => memory.active_file = value,
            "inactive_file" => memory.inactive_file = value,
            "workingset_refault_anon" => memory.refault_anon = value,
            "workingset_refault_file" => memory.refault_file = value,
            "pgscan" => memory.scanned = value,
            "pgsteal" => memory.stolen = value,
            "pgfault" => memory.faults.all = value,
            "pgmajfault" => memory.faults.major = value,
            _ => {}
        }
    }
    memory.usage = usage.unwrap_or(memory.rss.saturating_add(memory.cache));
    memory.working_set = memory.usage.saturating_sub(memory.inactive_file);
    let Faults { all, major, .. } = memory.faults;
    memory.faults = Faults { all, major, own: all, own_major: major };
    if everything {
        memory.detail = Some(MemoryDetail::default());
    }
    Some(memory)
}

/// Where the kernel does not account for swap, nothing is used, as upstream tells it.
fn swap(pass: &mut Pass<'_>, group: &Directory, path: &str) -> Swap {
    let usage = match pass.reader.number(group, "memory.swap.current") {
        Some(usage) => usage,
        None if path == "/" => machine_swap(pass).unwrap_or(0),
        None => 0,
    };
    Swap { usage, limit: pass.reader.limit(group, "memory.swap.max").flatten() }
}

/// Bytes of swap that the machine uses.
fn machine_swap(pass: &mut Pass<'_>) -> Option<u64> {
    let directory = pass.reader.open(pass.proc, "/")?;
    let text = pass.reader.text(&directory, "meminfo")?;
    let kibibytes =
        crate::files::field(text, "SwapTotal")?.saturating_sub(crate::files::field(text, "SwapFree")?);
    Some(kibibytes.saturating_mul(1024))
}

fn detail(pass: &mut Pass<'_>, directory: &Directory, group: &mut GroupReading) {
    let reader = &mut *pass.reader;
    let cpu = cpu_limits(reader, directory, &group.path);
    if let (Some(cpu), None) = (&mut group.cpu, cpu.and_then(|limits| limits.quota_us)) {
        cpu.throttling = None;
    }
    group.limits = Some(Limits {
        cpu,
        memory: group.memory.and_then(|memory| memory.limit),
        memory_reservation: reader.limit(directory, "memory.min").flatten(),
        swap: group.swap.and_then(|swap| swap.limit),
    });
    if let Some(detail) = group.memory.as_mut().and_then(|memory| memory.detail.as_mut()) {
        detail.max_usage = reader.number(directory, "memory.peak").unwrap_or(0);
        for (name, value) in super::group::lines(reader.text(directory, "memory.events").unwrap_or_default())
        {
            match name {
                "high" => detail.high_events = value,
                "max" => detail.max_events = value,
                "oom_kill" => detail.oom_kills = value,
                _ => {}
            }
        }
    }
    group.tasks = reader
        .number(directory, "pids.current")
        .map(|count| Tasks { count, limit: reader.number(directory, "pids.max") });
    group.io = io::of_v2(reader, pass.proc, directory, &mut pass.devices);
}

/// The root group has no weight and no period: it competes with nobody.
fn cpu_limits(reader: &mut super::reader::Reader, group: &Directory, path: &str) -> Option<CpuLimits> {
    let shares = match reader.number(group, "cpu.weight") {
        Some(weight) => shares_of_weight(weight),
        None if path == "/" => return Some(CpuLimits { shares: 0, period_us: 0, quota_us: None }),
        None => return None,
    };
    // `max 100000` or `20000 100000`
    let text = reader.text(group, "cpu.max").unwrap_or("max 100000");
    let (quota, period) = text.split_once(' ')?;
    Some(CpuLimits { shares, period_us: period.trim().parse().ok()?, quota_us: quota.parse().ok() })
}
