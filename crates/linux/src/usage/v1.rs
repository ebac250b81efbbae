//! A group of cgroup v1: its files are spread over the hierarchies of the controllers.
//!
//! Figures of memory are the `total_` ones, which include the groups below as everything does on v2.

use std::path::Path;

use jiff::Timestamp;
use seams::stats::{
    Cpu, CpuLimits, Depth, GroupReading, Limits, Memory, MemoryDetail, Swap, Tasks, Throttling,
};

use super::{group::Pass, io, processes, reader::Directory};
use crate::cgroup::Layout;

/// Where the controllers are mounted; `None` for one that is not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Mounts {
    cpu: Option<String>,
    cpuacct: Option<String>,
    memory: Option<String>,
    pids: Option<String>,
    blkio: Option<String>,
}

impl Mounts {
    pub(super) fn of(layout: &Layout) -> Self {
        let mount = |name| layout.mount_of(name).and_then(Path::to_str).map(str::to_owned);
        Self {
            cpu: mount("cpu"),
            cpuacct: mount("cpuacct"),
            memory: mount("memory"),
            pids: mount("pids"),
            blkio: mount("blkio"),
        }
    }

    /// The hierarchy with the fewest files in each directory: there groups are listed.
    pub(super) fn listed(&self) -> Option<&str> {
        self.pids.as_deref().or(self.cpuacct.as_deref()).or(self.memory.as_deref())
    }
}

/// Reads a group, and tells the first process in it; `None` when it is gone.
pub(super) fn read(pass: &mut Pass<'_>, mounts: &Mounts, path: &str) -> Option<(GroupReading, Option<u32>)> {
    let depth = pass.depth;
    let mut group = GroupReading { path: path.into(), read_at: Timestamp::now(), ..GroupReading::default() };
    let accounting = pass.open(mounts.cpuacct.as_deref(), path);
    group.cpu = accounting.as_ref().and_then(|accounting| cpu(pass, accounting));
    let memory = pass.open(mounts.memory.as_deref(), path);
    if let Some(memory) = &memory {
        (group.memory, group.swap) = usage(pass, memory).unzip();
    }
    if group.cpu.is_none() && group.memory.is_none() {
        return None;
    }
    if depth == Depth::Resource {
        return Some((group, None));
    }
    group.created_at = memory
        .as_ref()
        .or(accounting.as_ref())
        .and_then(|group| super::group::made(group, "cgroup.clone_children"));
    let scheduling = pass.open(mounts.cpu.as_deref(), path);
    let members = scheduling.as_ref().or(memory.as_ref());
    let members = members.and_then(|group| processes::of_group(pass.reader, pass.proc, group, depth));
    let first = members.as_ref().and_then(|(_, first)| *first);
    group.processes = members.map(|(processes, _)| processes);
    if depth == Depth::Everything {
        detail(pass, mounts, &mut group, scheduling.as_ref(), memory.as_ref());
    }
    Some((group, first))
}

fn cpu(pass: &mut Pass<'_>, accounting: &Directory) -> Option<Cpu> {
    let usage_ns = pass.reader.number(accounting, "cpuacct.usage")?;
    let split_ns = (pass.depth == Depth::Everything).then(|| split(pass, accounting)).flatten();
    Some(Cpu { usage_ns, split_ns, throttling: None })
}

/// `user 54796` and `system 10115`, in ticks of the clock.
fn split(pass: &mut Pass<'_>, accounting: &Directory) -> Option<(u64, u64)> {
    let tick = 1_000_000_000 / rustix::param::clock_ticks_per_second().max(1);
    let text = pass.reader.text(accounting, "cpuacct.stat")?;
    let ticks = |name| crate::files::field(text, name);
    Some((ticks("user")?.saturating_mul(tick), ticks("system")?.saturating_mul(tick)))
}

fn usage(pass: &mut Pass<'_>, group: &Directory) -> Option<(Memory, Swap)> {
    let usage = pass.reader.number(group, "memory.usage_in_bytes")?;
    let mut memory = Memory { usage, ..Memory::default() };
    let mut swap = Swap::default();
    // The tightest limit on memory and swap together, of this group or one above it.
    let mut both = u64::MAX;
    for (name, value) in super::group::lines(pass.reader.text(group, "memory.stat")?) {
        match name {
            "total_cache" => memory.cache = value,
            "total_rss" => memory.rss = value,
            "total_mapped_file" => memory.mapped_file = value,
            "total_active_file" => memory.active_file = value,
            "total_inactive_file" => memory.inactive_file = value,
            "total_dirty" => memory.dirty = value,
            "total_writeback" => memory.writeback = value,
            "total_workingset_refault_anon" => memory.refault_anon = value,
            "total_workingset_refault_file" => memory.refault_file = value,
            "total_swap" => swap.usage = value,
            "hierarchical_memsw_limit" => both = value,
            "pgfault" => memory.faults.own = value,
            "pgmajfault" => memory.faults.own_major = value,
            "total_pgfault" => memory.faults.all = value,
            "total_pgmajfault" => memory.faults.major = value,
            _ => {}
        }
    }
    memory.working_set = usage.saturating_sub(memory.inactive_file);
    if pass.depth >= Depth::Summary {
        memory.limit = pass.reader.limit(group, "memory.limit_in_bytes").flatten();
    }
    // Mostly nothing is limited, and two files need not be read to know it.
    if both < 1 << 62
        && let Some(both) = pass.reader.limit(group, "memory.memsw.limit_in_bytes").flatten()
    {
        let alone = pass.reader.limit(group, "memory.limit_in_bytes").flatten();
        swap.limit = Some(both.saturating_sub(alone.unwrap_or(0)));
    }
    Some((memory, swap))
}

fn detail(
    pass: &mut Pass<'_>,
    mounts: &Mounts,
    group: &mut GroupReading,
    scheduling: Option<&Directory>,
    memory: Option<&Directory>,
) {
    let path = std::sync::Arc::clone(&group.path);
    let mut limits = Limits::default();
    if let Some(scheduling) = scheduling {
        limits.cpu = cpu_limits(pass, scheduling);
        if limits.cpu.is_some_and(|limits| limits.quota_us.is_some())
            && let Some(cpu) = &mut group.cpu
        {
            cpu.throttling = throttling(pass, scheduling);
        }
    }
    if let (Some(directory), Some(memory)) = (memory, &mut group.memory) {
        let reader = &mut *pass.reader;
        limits.memory = memory.limit;
        limits.memory_reservation = reader.limit(directory, "memory.soft_limit_in_bytes").flatten();
        limits.swap = reader.limit(directory, "memory.memsw.limit_in_bytes").flatten();
        let oom = reader.text(directory, "memory.oom_control");
        let oom_kills = oom.and_then(|text| crate::files::field(text, "oom_kill")).unwrap_or(0);
        let mut number = |name| reader.number(directory, name).unwrap_or(0);
        memory.detail = Some(MemoryDetail {
            kernel: number("memory.kmem.usage_in_bytes"),
            max_usage: number("memory.max_usage_in_bytes"),
            limit_hits: number("memory.failcnt"),
            oom_kills,
            ..MemoryDetail::default()
        });
    }
    group.limits = Some(limits);
    if let Some(pids) = pass.open(mounts.pids.as_deref(), &path) {
        group.tasks = pass
            .reader
            .number(&pids, "pids.current")
            .map(|count| Tasks { count, limit: pass.reader.number(&pids, "pids.max") });
    }
    if let Some(blkio) = pass.open(mounts.blkio.as_deref(), &path) {
        group.io = io::of_v1(pass.reader, pass.proc, &blkio, &mut pass.devices);
    }
}

fn cpu_limits(pass: &mut Pass<'_>, group: &Directory) -> Option<CpuLimits> {
    Some(CpuLimits {
        shares: pass.reader.number(group, "cpu.shares")?,
        period_us: pass.reader.number(group, "cpu.cfs_period_us").unwrap_or(0),
        // -1 is no number here.
        quota_us: pass.reader.number(group, "cpu.cfs_quota_us"),
    })
}

fn throttling(pass: &mut Pass<'_>, group: &Directory) -> Option<Throttling> {
    let mut seen = Throttling::default();
    for (name, value) in super::group::lines(pass.reader.text(group, "cpu.stat")?) {
        match name {
            "nr_periods" => seen.periods = value,
            "nr_throttled" => seen.throttled_periods = value,
            "throttled_time" => seen.throttled_ns = value,
            "nr_bursts" => seen.bursts = value,
            "burst_time" => seen.burst_ns = value,
            _ => {}
        }
    }
    Some(seen)
}
