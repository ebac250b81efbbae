//! Logs of the machine's services by the node log query: journald's.

use anyhow::{Result, ensure};
use lab::{Lab, machine::Machine};

use super::page;

/// What both kubelets are asked: the first lines of a service that says no more about that time.
pub(super) const QUERY: &str = "/logs/?query=ssh&pattern=Server%20listening";

/// Lines of a service by number, by pattern, by time, and of a service that is not there.
///
/// # Errors
/// An answer is not the journal's.
pub(super) fn queries(lab: &Lab, machine: &Machine<'_>) -> Result<()> {
    let lines = |query: &str| -> Result<usize> {
        let text = page(lab, &format!("/logs/?{query}"))?;
        Ok(text.lines().filter(|line| !line.starts_with("-- ")).count())
    };
    ensure!(lines("query=kubelet&tailLines=3")? == 3, "three lines are asked for");
    let journal = machine.run(
        "journalctl --unit containerd --no-pager --grep 'containerd successfully booted' --quiet | wc -l",
    )?;
    let told = lines("query=containerd&pattern=containerd%20successfully%20booted")?;
    ensure!(journal.trim() == told.to_string(), "{told} lines are told, and the journal has {journal}");
    ensure!(lines("query=kubelet&boot=0&sinceTime=2099-01-01T00:00:00Z")? == 0, "lines of the future");
    ensure!(lines("query=kubelet&untilTime=2020-01-01T00:00:00Z")? == 0, "lines of before");
    Ok(())
}
