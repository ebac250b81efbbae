//! Rotation of container logs: what the files beside a log are, and what has to happen to them (contract §17).
//!
//! ```text
//!   0.log                           the runtime writes here
//!   0.log.20260102-030405           rotated last: plain, since a reader or a collector may not be through with it
//!   0.log.20260102-020405.gz        older, oldest first in the order of names
//!   0.log.20260102-020405.tmp       a compression that has not ended
//! ```
//!
//! Invariants of a [`plan`]:
//! - steps may stop after any of them, or in the middle of one: the plan that is made of what is then there comes to
//!   the same end;
//! - no step loses what another file does not hold, but for the deletion of the oldest;
//! - a new name is not taken, and comes after all others, whatever the clock does;
//! - after each step there are at most `max_files` files that hold lines, unless there were more before.

use jiff::{Span, civil::DateTime};

pub mod looks;

/// Ending of compressed logs.
const COMPRESSED: &str = ".gz";
/// Ending of what is being written by a compression.
const TEMPORARY: &str = ".tmp";
/// The time in names: `20260102-030405`.
const STAMP: &str = "%Y%m%d-%H%M%S";

/// Limits of a container's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogPolicy {
    /// `containerLogMaxSize`, bytes: a log of that size or more is rotated. Upstream's default is 10 MiB.
    pub max_size: u64,
    /// `containerLogMaxFiles`, the newest among them; at least 2. Upstream's default is 5.
    pub max_files: usize,
}

/// One step, on names in the directory of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogStep {
    /// Remove a file; fine if it is gone.
    Delete(String),
    /// Let the runtime go on in a new file: rename the log to this name, which nobody has, and have it reopened. Undone
    /// when the runtime does not reopen it.
    Rotate(String),
    /// Compress a file into one with `.gz` behind its name, by way of `.tmp`, and remove it.
    Compress(String),
}

/// Whether a name is that of something rotated from `log`, in whatever state: `<log>.…`.
#[must_use]
pub fn belongs(log: &str, name: &str) -> bool {
    name.strip_prefix(log).is_some_and(|rest| rest.len() > 1 && rest.starts_with('.'))
}

/// The name under which a file was rotated from `log`, without what compression added to it; `None` for everything
/// else, temporary files among it.
#[must_use]
pub fn rotated_name<'n>(log: &str, name: &'n str) -> Option<&'n str> {
    let plain = name.strip_suffix(COMPRESSED).unwrap_or(name);
    let stamp = plain.strip_prefix(log)?.strip_prefix('.')?;
    parse_stamp(stamp).map(|_| plain)
}

/// Name of the compressed form.
#[must_use]
pub fn compressed_name(name: &str) -> String {
    format!("{name}{COMPRESSED}")
}

/// Name of the compressed form while it is being written.
#[must_use]
pub fn temporary_name(name: &str) -> String {
    format!("{name}{TEMPORARY}")
}

/// Plans what has to happen to `log`, whose size is given, among `names` in its directory; `now` is local time.
///
/// A log that is not due gets a plan too, which clears away what a rotation left that did not come to its end.
#[must_use]
pub fn plan(policy: LogPolicy, log: &str, size: u64, names: &[String], now: DateTime) -> Vec<LogStep> {
    let mut siblings: Vec<&str> =
        names.iter().map(String::as_str).filter(|name| belongs(log, name)).collect();
    siblings.sort_unstable();
    siblings.dedup();
    let twin = |name: &str| siblings.binary_search(&compressed_name(name).as_str()).is_ok();
    let (useless, mut rotated): (Vec<&str>, Vec<&str>) = siblings
        .iter()
        .copied()
        .partition(|name| name.ends_with(TEMPORARY) || !name.ends_with(COMPRESSED) && twin(name));
    let due = size >= policy.max_size;
    let mut steps: Vec<LogStep> = useless.into_iter().map(delete).collect();
    // The log itself is a file too, and the one that is rotated now stays beside it.
    let keep = policy.max_files.saturating_sub(if due { 2 } else { 1 });
    steps.extend(rotated.drain(..rotated.len().saturating_sub(keep)).map(delete));
    let newest = rotated.last().copied();
    if due {
        steps.push(LogStep::Rotate(free_name(log, &siblings, now)));
    }
    let compress = rotated.iter().filter(|name| !name.ends_with(COMPRESSED));
    // The newest stays plain; once the log itself is rotated, that is the newest.
    steps.extend(
        compress
            .filter(|name| due || Some(**name) != newest)
            .map(|name| LogStep::Compress((*name).to_owned())),
    );
    steps
}

fn delete(name: &str) -> LogStep {
    LogStep::Delete(name.to_owned())
}

/// A name after all those that are there. It says the time, unless the clock stood still or was put back (as it is each
/// autumn): then it says the second after the newest.
fn free_name(log: &str, siblings: &[&str], now: DateTime) -> String {
    let newest = siblings.iter().filter_map(|name| stamp_of(log, name)).max();
    let after = newest.and_then(|newest| newest.checked_add(Span::new().seconds(1)).ok());
    let at = after.map_or(now, |after| after.max(now));
    format!("{log}.{}", at.strftime(STAMP))
}

/// When something was rotated, compressed or not, whole or not.
fn stamp_of(log: &str, name: &str) -> Option<DateTime> {
    let stamp = name.strip_prefix(log)?.strip_prefix('.')?;
    parse_stamp(stamp.split('.').next()?)
}

fn parse_stamp(stamp: &str) -> Option<DateTime> {
    // strptime(3) takes shorter numbers too, and blanks.
    let exact = stamp.len() == "20260102-030405".len()
        && stamp
            .bytes()
            .enumerate()
            .all(|(at, byte)| if at == 8 { byte == b'-' } else { byte.is_ascii_digit() });
    if exact { DateTime::strptime(STAMP, stamp).ok() } else { None }
}

#[cfg(test)]
mod tests;
