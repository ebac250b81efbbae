//! What the kernel says about one process: memory and processor time.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context as _, Result};
use rustix::process::Pid;

/// Memory of a process, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Memory {
    /// `VmRSS`: everything mapped and present, the program's own pages included.
    pub(super) resident: u64,
    /// `RssAnon`: what it wrote itself, heap and stacks.
    pub(super) anonymous: u64,
    /// `Pss`: as resident, with shared pages divided among those who share them.
    pub(super) proportional: u64,
}

fn read(pid: Pid, file: &str) -> Result<String> {
    let path = Path::new("/proc").join(pid.as_raw_nonzero().to_string()).join(file);
    fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
}

/// The value in bytes of a line `NAME: 123 kB` (`proc_pid_status(5)`, `proc_pid_smaps(5)`).
fn kibibytes(text: &str, name: &str) -> Result<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let number = line.and_then(|line| line.trim().strip_suffix(" kB"));
    let number = number.with_context(|| format!("the kernel tells no {name}"))?;
    Ok(number.parse::<u64>().with_context(|| format!("{name} is {number:?}"))? * 1024)
}

/// How much memory a process has now.
///
/// # Errors
/// It is gone.
pub(super) fn memory(pid: Pid) -> Result<Memory> {
    let (status, rollup) = (read(pid, "status")?, read(pid, "smaps_rollup")?);
    Ok(Memory {
        resident: kibibytes(&status, "VmRSS")?,
        anonymous: kibibytes(&status, "RssAnon")?,
        proportional: kibibytes(&rollup, "Pss")?,
    })
}

/// User and system time in ticks, of the text of `/proc/PID/stat`.
fn ticks(stat: &str) -> Option<u64> {
    // The name in brackets may hold anything; behind it are the fields from the third on (proc_pid_stat(5)).
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split_ascii_whitespace().skip(11);
    Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
}

/// Processor time that a process has used, of all its threads, dead ones included; the kernel tells it in steps of 10 ms.
///
/// # Errors
/// It is gone.
pub(super) fn processor_time(pid: Pid) -> Result<Duration> {
    let stat = read(pid, "stat")?;
    let ticks = ticks(&stat).with_context(|| format!("/proc/PID/stat is {stat:?}"))?;
    Ok(Duration::from_secs(ticks) / u32::try_from(rustix::param::clock_ticks_per_second())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_found_behind_any_name() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 100 0 0 0 25 17 3 4 20 0 5 0 1 1 1";
        assert_eq!(ticks(stat), Some(42));
        assert_eq!(ticks("7 (a"), None);
    }

    #[test]
    fn sizes_are_in_kibibytes() {
        let text = "VmPeak:\t   9 kB\nVmRSS:\t   15432 kB\nThreads:\t3\n";
        assert_eq!(kibibytes(text, "VmRSS").unwrap(), 15432 * 1024);
        assert!(kibibytes(text, "Threads").is_err());
        assert!(kibibytes(text, "Vm").is_err());
    }

    #[test]
    fn this_process_has_all_of_it() {
        let own = Pid::from_raw(i32::try_from(std::process::id()).unwrap()).unwrap();
        let memory = memory(own).unwrap();
        assert!(memory.anonymous > 0 && memory.anonymous < memory.resident);
        assert!(memory.proportional <= memory.resident);
        assert!(processor_time(own).is_ok());
    }
}
