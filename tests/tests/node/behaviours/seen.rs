//! What is to be seen of one pod: its past in the API, its events, the logs of its containers, its journal on the node.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context as _, Result, ensure};
use lab::{Lab, images};
use node_tests::{condition, recorder::Past};
use serde_json::Value;

/// One pod at one look.
#[derive(Clone, Copy)]
pub(super) struct Seen<'a> {
    /// The lab.
    pub(super) lab: &'a Lab,
    /// The pod's name.
    pub(super) name: &'a str,
    /// What happened to every pod.
    pub(super) pasts: &'a BTreeMap<String, Past>,
}

/// The past of a pod that never was.
static NOTHING: Past = Past { versions: Vec::new(), events: Vec::new(), gone: false };

/// Folder of a pod on the node, `$FOLDER` in its manifest; its scripts write the file `journal` in it.
pub(super) fn folder(lab: &Lab, pod: &str) -> PathBuf {
    lab.paths().dir.join("pods-of-the-test").join(pod)
}

/// The texts of a log in CRI's format (`TIME STREAM TAG TEXT`), in order; parts of one line joined.
fn texts(log: &Path) -> String {
    let raw = fs::read(log).unwrap_or_default();
    let mut out = String::new();
    for line in String::from_utf8_lossy(&raw).lines() {
        let mut fields = line.splitn(4, ' ').skip(2);
        let (tag, text) = (fields.next().unwrap_or_default(), fields.next().unwrap_or_default());
        out.push_str(text);
        if tag != "P" {
            out.push('\n');
        }
    }
    out
}

impl<'a> Seen<'a> {
    /// A manifest with the lab's names in it: `$BUSYBOX`, `$TESTBOX` and `$NAMED` (the test program as user `tester`)
    /// are images, `$NODE_IP` the node's address, `$FOLDER` see [`folder`].
    pub(super) fn filled(&self, manifest: &str) -> String {
        manifest
            .replace("$BUSYBOX", images::BUSYBOX)
            .replace("$TESTBOX", images::TESTBOX)
            .replace("$NAMED", images::TESTBOX_NAMED_USER)
            .replace("$NODE_IP", &self.lab.plan().addresses.node.to_string())
            .replace("$FOLDER", &folder(self.lab, self.name).display().to_string())
    }

    /// Another pod at the same look.
    pub(super) fn of(&self, name: &'a str) -> Self {
        Self { name, ..*self }
    }

    /// Its past.
    pub(super) fn past(&self) -> &'a Past {
        self.pasts.get(self.name).unwrap_or(&NOTHING)
    }

    /// Its newest version.
    pub(super) fn pod(&self) -> &'a Value {
        self.past().now()
    }

    /// Its newest status.
    pub(super) fn status(&self) -> &'a Value {
        &self.pod()["status"]
    }

    /// Its uid: of a mirror, the static pod's.
    pub(super) fn uid(&self) -> &'a str {
        let metadata = &self.pod()["metadata"];
        let own = metadata["annotations"]["kubernetes.io/config.hash"].as_str();
        own.or_else(|| metadata["uid"].as_str()).unwrap_or_default()
    }

    /// What a container printed, in all its runs.
    pub(super) fn log(&self, container: &str) -> String {
        let folder = format!("default_{}_{}", self.name, self.uid());
        let folder = self.lab.paths().pod_logs.join(folder).join(container);
        let mut runs: Vec<(u32, PathBuf)> = fs::read_dir(folder)
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|file| {
                let run = file.file_name().to_str()?.strip_suffix(".log")?.parse().ok()?;
                Some((run, file.path()))
            })
            .collect();
        runs.sort();
        runs.iter().map(|(_, log)| texts(log)).collect()
    }

    /// A container has printed each of these lines.
    pub(super) fn printed(&self, container: &str, lines: &[&str]) -> Result<()> {
        let log = self.log(container);
        for line in lines {
            ensure!(
                log.lines().any(|known| known == *line),
                "{container} has not printed {line:?} but {log}"
            );
        }
        Ok(())
    }

    /// How often a container printed a line.
    pub(super) fn count(&self, container: &str, line: &str) -> usize {
        self.log(container).lines().filter(|known| *known == line).count()
    }

    /// What its scripts wrote into their journal.
    pub(super) fn journal(&self) -> Vec<String> {
        let text = fs::read_to_string(folder(self.lab, self.name).join("journal")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Status of a container of any kind.
    pub(super) fn container(&self, name: &str) -> &'a Value {
        self.past().container(name)
    }

    /// A condition.
    pub(super) fn condition(&self, kind: &str) -> &'a Value {
        condition(self.pod(), kind)
    }

    /// It is `Ready`.
    pub(super) fn ready(&self) -> Result<()> {
        ensure!(
            self.past().phase() == "Running" && self.past().holds("Ready"),
            "not Ready: {}",
            self.status()
        );
        Ok(())
    }

    /// It has this phase.
    pub(super) fn phase(&self, phase: &str) -> Result<()> {
        ensure!(self.past().phase() == phase, "not {phase}: {}", self.status());
        Ok(())
    }

    /// It is gone from the API.
    pub(super) fn gone(&self) -> Result<()> {
        ensure!(self.past().gone, "it is there: {}", self.status());
        Ok(())
    }

    /// A container runs.
    pub(super) fn runs(&self, name: &str) -> Result<()> {
        let status = self.container(name);
        ensure!(status["state"]["running"].is_object(), "{name} does not run: {status}");
        Ok(())
    }

    /// A container waits or has ended, for this reason.
    pub(super) fn reason(&self, name: &str, reason: &str) -> Result<()> {
        let known = self.past().reason(name);
        ensure!(known == reason, "the reason of {name} is {known:?}: {}", self.container(name));
        Ok(())
    }

    /// A container was never restarted.
    pub(super) fn never_restarted(&self, name: &str) -> Result<()> {
        let restarts = self.past().restarts(name);
        ensure!(restarts == 0, "{name} was restarted {restarts} times: {}", self.container(name));
        Ok(())
    }

    /// A container was restarted so often at least.
    pub(super) fn restarted(&self, name: &str, times: i64) -> Result<()> {
        let restarts = self.past().restarts(name);
        ensure!(
            restarts >= times,
            "{name} was restarted {restarts} times, not {times}: {}",
            self.container(name)
        );
        Ok(())
    }

    /// How often it was told of with a reason and a text.
    pub(super) fn told(&self, reason: &str, text: &str) -> i64 {
        told(&self.past().events, reason, text)
    }

    /// There was an event with a reason and a text.
    pub(super) fn event(&self, reason: &str, text: &str) -> Result<()> {
        ensure!(self.told(reason, text) > 0, "no event {reason} with {text:?}");
        Ok(())
    }

    /// Seconds from the request to delete it until a container had ended. The last request, which is the kubelet's own,
    /// has no grace.
    pub(super) fn ended_after(&self, container: &str) -> Result<i64> {
        let grace = |pod: &Value| pod["metadata"]["deletionGracePeriodSeconds"].as_i64().filter(|it| *it > 0);
        let mut versions = self.past().versions.iter().rev();
        let asked = versions.find_map(|pod| Some((&pod["metadata"]["deletionTimestamp"], grace(pod)?)));
        let (until, grace) = asked.context("nobody asked to delete it")?;
        let requested = seconds(until)? - grace;
        let status = self.container(container);
        let ended = &status["state"]["terminated"]["finishedAt"];
        Ok(seconds(ended).with_context(|| format!("{container} has not ended: {status}"))? - requested)
    }
}

/// How often an event was told: each has its count.
fn told(events: &[Arc<Value>], reason: &str, text: &str) -> i64 {
    let mut counts: BTreeMap<String, i64> = BTreeMap::new();
    for event in events {
        if event["reason"] == reason && event["message"].as_str().is_some_and(|it| it.contains(text)) {
            let count = counts.entry(event["metadata"]["name"].to_string()).or_default();
            *count = (*count).max(event["count"].as_i64().unwrap_or(1));
        }
    }
    counts.values().sum()
}

/// A time of the API in seconds.
pub(super) fn seconds(time: &Value) -> Result<i64> {
    let text = time.as_str().with_context(|| format!("{time} is no time"))?;
    let time: jiff::Timestamp = text.parse().with_context(|| format!("{text} is no time"))?;
    Ok(time.as_second())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn parts_of_a_line_are_joined() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("0.log");
        fs::write(&file, "T stdout P one \nT stdout F line\nT stderr F \nT stdout F two words\n").unwrap();
        assert_eq!(texts(&file), "one line\n\ntwo words\n");
    }

    #[test]
    fn repeated_events_are_counted_once_for_each_time() {
        let event = |name: &str, count: i64| {
            Arc::new(json!({
                "metadata": {"name": name}, "reason": "Unhealthy", "message": "it failed", "count": count,
            }))
        };
        let events = vec![event("a", 1), event("b", 1), event("a", 2), event("a", 3)];
        assert_eq!(told(&events, "Unhealthy", "failed"), 4);
        assert_eq!(told(&events, "Unhealthy", "passed"), 0);
    }
}
