//! Every version of the pods, and every event about them, as the API server hands them to a watcher.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader},
    process::{Child, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use anyhow::{Context as _, Result, bail};
use lab::{Lab, control_plane};
use serde_json::Value;

/// What happened to one pod since the recorder began. A pod is known by its name: no test uses one twice.
#[derive(Clone, Debug, Default)]
pub struct Past {
    /// Every version, oldest first, the one at its deletion included.
    pub versions: Vec<Arc<Value>>,
    /// Every version of every event about it, oldest first.
    pub events: Vec<Arc<Value>>,
    /// The object is gone.
    pub gone: bool,
}

impl Past {
    /// The newest version.
    #[must_use]
    pub fn now(&self) -> &Value {
        self.versions.last().map_or(&Value::Null, |version| version)
    }

    /// `status.phase`.
    #[must_use]
    pub fn phase(&self) -> &str {
        self.now()["status"]["phase"].as_str().unwrap_or_default()
    }

    /// Whether a condition is `True`.
    #[must_use]
    pub fn holds(&self, condition: &str) -> bool {
        let conditions = self.now()["status"]["conditions"].as_array();
        conditions.into_iter().flatten().any(|c| c["type"] == condition && c["status"] == "True")
    }

    /// The status of a container of any kind.
    #[must_use]
    pub fn container(&self, name: &str) -> &Value {
        let lists = ["containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"];
        let all = lists.iter().filter_map(|list| self.now()["status"][list].as_array()).flatten();
        all.into_iter().find(|status| status["name"] == name).unwrap_or(&Value::Null)
    }

    /// Reason for which a container waits or ended; empty when it runs, or waits without one.
    #[must_use]
    pub fn reason(&self, container: &str) -> &str {
        let state = &self.container(container)["state"];
        let reasons = [&state["waiting"]["reason"], &state["terminated"]["reason"]];
        reasons.into_iter().find_map(Value::as_str).unwrap_or_default()
    }

    /// How often a container was restarted.
    #[must_use]
    pub fn restarts(&self, container: &str) -> i64 {
        self.container(container)["restartCount"].as_i64().unwrap_or_default()
    }

    /// Whether there was an event with this reason.
    #[must_use]
    pub fn event(&self, reason: &str) -> bool {
        self.events.iter().any(|event| event["reason"] == reason)
    }
}

/// Pods of one lab.
#[derive(Debug, Default)]
struct Record {
    pods: BTreeMap<String, Past>,
    /// Why no more will come.
    broken: Option<String>,
}

impl Record {
    /// Takes one line of a watch.
    fn take(&mut self, line: &str) -> Result<()> {
        let mut change: Value = serde_json::from_str(line).context("a watch printed no JSON")?;
        let object = change["object"].take();
        let text = |path: &str| object.pointer(path).and_then(Value::as_str).map(str::to_owned);
        match (change["type"].as_str().unwrap_or_default(), text("/kind").as_deref()) {
            ("ADDED" | "MODIFIED", Some("Event")) => {
                if text("/involvedObject/kind").as_deref() == Some("Pod") {
                    let name = text("/involvedObject/name").context("an event about nothing")?;
                    self.pods.entry(name).or_default().events.push(Arc::new(object));
                }
            }
            ("DELETED", Some("Event")) => {}
            (kind @ ("ADDED" | "MODIFIED" | "DELETED"), Some("Pod")) => {
                let name = text("/metadata/name").context("a pod without a name")?;
                let past = self.pods.entry(name).or_default();
                past.gone = kind == "DELETED";
                past.versions.push(Arc::new(object));
            }
            (kind, _) => bail!("a watch said {kind}: {object}"),
        }
        Ok(())
    }
}

/// Watches the pods and events of all namespaces until it is dropped.
#[derive(Debug)]
pub struct Recorder {
    record: Arc<Mutex<Record>>,
    watches: Vec<Child>,
}

impl Recorder {
    /// Begins. What is there already counts as the first version.
    ///
    /// # Errors
    /// kubectl cannot be run.
    pub fn of(lab: &Lab) -> Result<Self> {
        let mut recorder = Self { record: Arc::default(), watches: Vec::new() };
        for resource in ["pods", "events"] {
            let mut child = control_plane::kubectl(lab.plan())?
                .args(["get", "--raw", &format!("/api/v1/{resource}?watch=1")])
                .stdout(Stdio::piped())
                .spawn()
                .context("cannot run kubectl")?;
            let lines = child.stdout.take().context("kubectl has no output")?;
            recorder.watches.push(child);
            let record = Arc::clone(&recorder.record);
            std::thread::spawn(move || {
                for line in BufReader::new(lines).lines() {
                    let line = line.context("a watch cannot be read");
                    let mut record = lock(&record);
                    if let Err(error) = line.and_then(|line| record.take(&line)) {
                        record.broken.get_or_insert_with(|| format!("{error:#}"));
                    }
                }
                lock(&record).broken.get_or_insert_with(|| format!("the watch of {resource} ended"));
            });
        }
        Ok(recorder)
    }

    /// Looks at what came so far, by the names of the pods.
    ///
    /// # Errors
    /// A watch has ended: something is missing.
    pub fn look<T>(&self, look: impl FnOnce(&BTreeMap<String, Past>) -> T) -> Result<T> {
        let record = lock(&self.record);
        if let Some(why) = &record.broken {
            bail!("the recorder is broken: {why}");
        }
        Ok(look(&record.pods))
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        for watch in &mut self.watches {
            // It ends with its pipe at the latest.
            drop(watch.kill());
            drop(watch.wait());
        }
    }
}

fn lock(record: &Mutex<Record>) -> MutexGuard<'_, Record> {
    record.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_and_events_are_kept_by_pod() {
        let mut record = Record::default();
        for line in [
            r#"{"type":"ADDED","object":{"kind":"Pod","metadata":{"name":"a"}}}"#,
            r#"{"type":"ADDED","object":{"kind":"Event","involvedObject":{"kind":"Pod","name":"a"}}}"#,
            r#"{"type":"ADDED","object":{"kind":"Event","involvedObject":{"kind":"Node","name":"a"}}}"#,
            r#"{"type":"DELETED","object":{"kind":"Pod","metadata":{"name":"a"},"status":{}}}"#,
        ] {
            record.take(line).unwrap();
        }
        let past = &record.pods["a"];
        assert_eq!((past.versions.len(), past.events.len(), past.gone), (2, 1, true));
        assert!(past.now().get("status").is_some());
    }

    #[test]
    fn an_error_of_the_server_is_not_taken_for_a_pod() {
        let line = r#"{"type":"ERROR","object":{"kind":"Status","code":410}}"#;
        assert!(Record::default().take(line).is_err());
    }
}
