//! What the kernel knows of this process: for its own metrics.
//!
//! What cannot be read is not told, and no reason for anything else: metrics are looked at, nothing depends on them.

use std::{fs, time::Duration};

use rustix::process::{Resource, getrlimit};

use crate::facts::Roots;

/// What the process has used and holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// CPU, user's and system's.
    pub cpu: Duration,
    /// Bytes of the address space.
    pub virtual_bytes: u64,
    /// Bytes in RAM.
    pub resident_bytes: u64,
}

/// Bytes of IP in the network namespace of the process, loopback included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traffic {
    /// Received.
    pub received: u64,
    /// Sent.
    pub sent: u64,
}

/// Position of fields of `/proc/<pid>/stat` behind the name, which ends with a parenthesis (proc(5), counted from 3).
const UTIME: usize = 14 - 3;
const STIME: usize = 15 - 3;
const START_TIME: usize = 22 - 3;
const VSIZE: usize = 23 - 3;
const RSS: usize = 24 - 3;

/// The fields behind the name.
fn stat(roots: &Roots) -> Option<Vec<u64>> {
    let text = fs::read_to_string(roots.proc.join("self/stat")).ok()?;
    let (_, fields) = text.rsplit_once(')')?;
    // Some are letters or negative; those that are asked for are neither.
    Some(fields.split_ascii_whitespace().map(|field| field.parse().unwrap_or(0)).collect())
}

fn ticks(count: u64) -> Duration {
    let per_second = rustix::param::clock_ticks_per_second().max(1);
    Duration::from_secs(count / per_second)
        + Duration::from_nanos(count % per_second * 1_000_000_000 / per_second)
}

/// What the process has used.
#[must_use]
pub fn usage(roots: &Roots) -> Option<Usage> {
    let stat = stat(roots)?;
    let page = u64::try_from(rustix::param::page_size()).unwrap_or(4096);
    Some(Usage {
        cpu: ticks(stat.get(UTIME)?.saturating_add(*stat.get(STIME)?)),
        virtual_bytes: *stat.get(VSIZE)?,
        resident_bytes: stat.get(RSS)?.saturating_mul(page),
    })
}

/// When the machine was booted, since the epoch.
#[must_use]
pub fn booted_at(roots: &Roots) -> Option<Duration> {
    let text = fs::read_to_string(roots.proc.join("stat")).ok()?;
    let seconds = text.lines().find_map(|line| line.strip_prefix("btime "))?;
    Some(Duration::from_secs(seconds.trim().parse().ok()?))
}

/// When the process was started, since the epoch.
#[must_use]
pub fn started_at(roots: &Roots) -> Option<Duration> {
    Some(booted_at(roots)? + ticks(*stat(roots)?.get(START_TIME)?))
}

/// Files that the process has open.
#[must_use]
pub fn open_files(roots: &Roots) -> Option<usize> {
    // The directory's own descriptor is one of them.
    Some(fs::read_dir(roots.proc.join("self/fd")).ok()?.count().saturating_sub(1))
}

/// Most files that it may have open; `None` without a limit.
#[must_use]
pub fn most_files() -> Option<u64> {
    getrlimit(Resource::Nofile).current
}

/// Most bytes of its address space; `None` without a limit.
#[must_use]
pub fn most_memory() -> Option<u64> {
    getrlimit(Resource::As).current
}

/// Bytes in and out.
#[must_use]
pub fn traffic(roots: &Roots) -> Option<Traffic> {
    traffic_of(&fs::read_to_string(roots.proc.join("self/net/netstat")).ok()?)
}

/// The file has pairs of lines: names, then values.
fn traffic_of(netstat: &str) -> Option<Traffic> {
    let mut lines = netstat.lines().filter_map(|line| line.strip_prefix("IpExt: "));
    let (names, values) = (lines.next()?, lines.next()?);
    let mut pairs = names.split(' ').zip(values.split(' '));
    let (mut received, mut sent) = (None, None);
    for (name, value) in &mut pairs {
        match name {
            "InOctets" => received = value.parse().ok(),
            "OutOctets" => sent = value.parse().ok(),
            _ => {}
        }
    }
    Some(Traffic { received: received?, sent: sent? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_known() {
        let roots = Roots::default();
        let usage = usage(&roots).unwrap();
        assert!(usage.resident_bytes > 0 && usage.virtual_bytes > usage.resident_bytes);
        let (booted, started) = (booted_at(&roots).unwrap(), started_at(&roots).unwrap());
        assert!(started > booted && booted > Duration::from_secs(1 << 30));
        assert!(open_files(&roots).unwrap() >= 3);
        assert!(most_files().is_none_or(|most| most >= 3));
        assert!(traffic(&roots).is_some());
    }

    #[test]
    fn traffic_is_read_by_name() {
        let text = "TcpExt: A B\nTcpExt: 1 2\nIpExt: InNoRoutes InOctets OutOctets\nIpExt: 0 34 56\n";
        assert_eq!(traffic_of(text), Some(Traffic { received: 34, sent: 56 }));
        assert_eq!(traffic_of("IpExt: InOctets\nIpExt: x\n"), None);
    }
}
