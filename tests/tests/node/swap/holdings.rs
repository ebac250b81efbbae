//! What the node holds of pods: their folders and their cgroups, as lines that are the same for the same pods, whatever
//! their uids, ids and addresses.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::MetadataExt as _,
    path::Path,
};

use anyhow::{Context as _, Result};
use lab::{Lab, cgroups::Groups};
use serde_json::Value;

/// Facts: where and what.
pub(super) type Holdings = BTreeSet<String>;

/// Replaces what is another one at each start of a pod.
struct Normaliser {
    words: Vec<(String, String)>,
}

impl Normaliser {
    fn new(pods: &BTreeMap<String, Value>) -> Self {
        let mut words = Vec::new();
        for (name, pod) in pods {
            let shape = pod["metadata"]["labels"]["shape"].as_str().unwrap_or_default();
            let mirror = pod.pointer("/metadata/annotations/kubernetes.io~1config.mirror");
            for (value, stands) in [
                (mirror.unwrap_or(&Value::Null), format!("UID-{shape}")),
                (&pod["metadata"]["uid"], format!("UID-{shape}")),
                (&pod["status"]["podIP"], "ADDRESS".to_owned()),
            ] {
                if let Some(text) = value.as_str().filter(|text| text.contains(['-', '.']) || text.len() > 20)
                {
                    words.push((text.to_owned(), stands));
                }
            }
            if shape == "web" {
                words.push((name.clone(), "web-NAME".to_owned()));
                if let Some(hash) = pod.pointer("/metadata/labels/pod-template-hash").and_then(Value::as_str)
                {
                    words.push((hash.to_owned(), "HASH".to_owned()));
                }
            }
        }
        // The node's own address is that of pods on its network.
        words.retain(|(text, stands)| stands != "ADDRESS" || !is_shared(pods, text));
        // One address may begin like another.
        words.sort_by_key(|(text, _)| std::cmp::Reverse(text.len()));
        Self { words }
    }

    fn line(&self, text: &str) -> String {
        let mut line = text.to_owned();
        for (word, stands) in &self.words {
            line = line.replace(word, stands);
        }
        without_ids(&line)
    }
}

fn is_shared(pods: &BTreeMap<String, Value>, address: &str) -> bool {
    pods.values().any(|pod| pod["spec"]["hostNetwork"] == true && pod["status"]["podIP"] == address)
}

/// Container ids, hexadecimal names of termination logs, and the times in names of volume contents.
fn without_ids(line: &str) -> String {
    let mut out = String::new();
    let mut rest = line;
    while let Some(first) = rest.chars().next() {
        let run = rest.chars().take_while(char::is_ascii_hexdigit).count();
        if run == 64 {
            out.push_str("ID");
        } else if run == 8
            && out.ends_with('/')
            && rest[8..].chars().next().is_none_or(|c| !c.is_alphanumeric())
        {
            out.push_str("HEX");
        } else if rest.starts_with("..20") {
            out.push_str("..TIME");
            rest = rest.trim_start_matches(|c: char| c == '.' || c == '_' || c.is_ascii_digit());
            continue;
        } else {
            let step = run.max(first.len_utf8());
            out.push_str(&rest[..step]);
            rest = &rest[step..];
            continue;
        }
        rest = &rest[run..];
    }
    out
}

/// Everything in a pod's folder, with mode and owner, and what small files say.
fn folders(root: &Path, normaliser: &Normaliser, all: &mut Holdings) -> Result<()> {
    for folder in fs::read_dir(root).with_context(|| format!("list {}", root.display()))?.flatten() {
        let name = folder.file_name().to_string_lossy().into_owned();
        walk(&folder.path(), &name, normaliser, all);
    }
    Ok(())
}

fn walk(path: &Path, name: &str, normaliser: &Normaliser, all: &mut Holdings) {
    let Ok(meta) = fs::symlink_metadata(path) else { return };
    let what = if meta.is_symlink() {
        format!("-> {}", fs::read_link(path).unwrap_or_default().display())
    } else {
        format!("{:o} {}:{}", meta.mode() & 0o7777, meta.uid(), meta.gid())
    };
    let shape = if meta.is_dir() { "folder" } else { "file" };
    all.insert(normaliser.line(&format!("{shape} {name} {what}")));
    if meta.is_dir() {
        for entry in fs::read_dir(path).into_iter().flatten().flatten() {
            let name = format!("{name}/{}", entry.file_name().to_string_lossy());
            walk(&entry.path(), &name, normaliser, all);
        }
    } else if meta.is_file() && meta.len() < 4096 && !name.ends_with("/token") {
        let content = fs::read_to_string(path).unwrap_or_default();
        all.insert(normaliser.line(&format!("content {name} {content:?}")));
    }
}

/// Values of the pods' cgroups that a kubelet writes.
fn groups(lab: &Lab, normaliser: &Normaliser, all: &mut Holdings) -> Result<()> {
    const FILES: [&str; 9] = [
        "cpu.shares",
        "cpu.cfs_quota_us",
        "cpu.cfs_period_us",
        "cpu.weight",
        "cpu.max",
        "memory.limit_in_bytes",
        "memory.max",
        "pids.max",
        "memory.oom.group",
    ];
    let mut look = |path: &Path, name: &str| {
        for file in FILES {
            if let Ok(value) = fs::read_to_string(path.join(file)) {
                all.insert(normaliser.line(&format!("cgroup {name} {file} {}", value.trim())));
            }
        }
    };
    for hierarchy in Groups::new(&lab.plan().cgroup_root)?.existing() {
        let top = hierarchy.join("kubepods");
        for class in ["", "burstable", "besteffort"] {
            let folder = top.join(class);
            look(&folder, &format!("kubepods/{class}"));
            for pod in fs::read_dir(&folder).into_iter().flatten().flatten() {
                let name = pod.file_name().to_string_lossy().into_owned();
                if name.starts_with("pod") {
                    look(&pod.path(), &format!("kubepods/{class}/{name}"));
                }
            }
        }
    }
    Ok(())
}

/// What a swap must leave as it is: folders with their volumes, and cgroups, of the pods that run. Of the others either
/// kubelet has empty folders only, and clears away or makes more of them than the other one.
pub(super) fn kept(lab: &Lab, pods: &BTreeMap<String, Value>) -> Result<Holdings> {
    let running = pods.iter().filter(|(_, pod)| pod["status"]["phase"] == "Running");
    let normaliser = Normaliser::new(&running.map(|(name, pod)| (name.clone(), pod.clone())).collect());
    let mut all = Holdings::new();
    folders(&lab.paths().kubelet_root.join("pods"), &normaliser, &mut all)?;
    groups(lab, &normaliser, &mut all)?;
    all.retain(|line| line.contains("UID-"));
    Ok(all)
}
