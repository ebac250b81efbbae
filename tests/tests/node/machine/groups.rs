//! Control groups of pods as the machine's kernel shows them.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result};
use lab::{Lab, machine::Machine};
use regex::Regex;

use super::pods::LABEL;

/// Files of groups, by `GROUP/FILE`; pods and containers have their names in place of ids.
pub(super) type Groups = BTreeMap<String, String>;

/// What a kubelet or the runtime may set.
const FILES: &str = "cgroup.subtree_control cpu.idle cpu.max cpu.weight cpuset.cpus cpuset.mems hugetlb.2MB.max io.weight \
                     memory.high memory.low memory.max memory.min memory.oom.group memory.swap.max pids.max";

/// Reads them.
///
/// # Errors
/// The machine or the API server does not answer.
pub(super) fn groups(lab: &Lab, machine: &Machine<'_>) -> Result<Groups> {
    let script = format!(
        "cd /sys/fs/cgroup
         find kubepods -type d | while read -r group; do
             for file in {FILES}; do
                 if [ -e \"$group/$file\" ]; then echo \"$group/$file=$(cat \"$group/$file\")\"; fi
             done
         done"
    );
    let mut text = machine.run(&script)?;
    for pod in lab.api()?.selected("pods", LABEL)? {
        let name = |value: &serde_json::Value| value.as_str().map(str::to_owned).context("a name is no text");
        text =
            text.replace(&name(&pod["metadata"]["uid"])?, &format!("-{}", name(&pod["metadata"]["name"])?));
        for container in pod["status"]["containerStatuses"].as_array().into_iter().flatten() {
            let id = name(&container["containerID"])?;
            text = text.replace(id.trim_start_matches("containerd://"), &name(&container["name"])?);
        }
    }
    let text = Regex::new("/[0-9a-f]{64}/")?.replace_all(&text, "/sandbox/").into_owned();
    Ok(text
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(file, value)| (file.to_owned(), value.to_owned()))
        .collect())
}

/// What differs, a line each.
pub(super) fn differences(theirs: &Groups, ours: &Groups) -> Vec<String> {
    let files: BTreeSet<&String> = theirs.keys().chain(ours.keys()).collect();
    files
        .into_iter()
        .filter(|file| theirs.get(*file) != ours.get(*file))
        .map(|file| format!("{file} is {:?}, ours {:?}", theirs.get(file), ours.get(file)))
        .collect()
}
