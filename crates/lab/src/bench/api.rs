//! The API server as the bench sees it: as administrator, over one kept connection, without kubectl's own time in between.

use std::{io::BufReader, sync::mpsc, thread, time::Duration};

use anyhow::{Context as _, Result, anyhow, bail};
use serde_json::{Value, json};

use super::{
    pod::{BENCH_LABEL, Pod},
    watch::{Event, Kind, Stamp, Watch},
};
use crate::{api, plan::Plan};

/// How long an unused connection is kept: longer than any pause of a bench, so that no measured request makes one.
const KEPT: Duration = Duration::from_secs(3600);
/// How long the API server is asked to keep the watch, in seconds: longer than any bench.
const WATCH_SECONDS: u32 = 86_400;

/// A client of the pods in the namespace `default`.
#[derive(Debug)]
pub(super) struct Api {
    api: api::Api,
    node: String,
}

impl Api {
    /// A client with the administrator's certificate.
    ///
    /// # Errors
    /// A key or certificate of the lab cannot be read.
    pub(super) fn new(plan: &Plan) -> Result<Self> {
        Ok(Self { api: api::Api::keeping(plan, KEPT)?, node: plan.node_name.clone() })
    }

    /// Create a pod on the lab's node: its name is in it already, so no scheduler takes part.
    ///
    /// # Errors
    /// The API server refuses it.
    pub(super) fn create(&self, pod: &Value) -> Result<()> {
        let mut pod = pod.clone();
        pod["spec"]["nodeName"] = json!(self.node);
        self.api.send("POST", "pods", "json", &pod.to_string()).map(drop)
    }

    /// Ask for a pod to be deleted; with its own grace period, or another in seconds.
    ///
    /// # Errors
    /// The API server refuses it.
    pub(super) fn delete(&self, name: &str, grace: Option<u32>) -> Result<()> {
        let query = grace.map(|seconds| format!("?gracePeriodSeconds={seconds}")).unwrap_or_default();
        self.api.send("DELETE", &format!("pods/{name}{query}"), "json", "").map(drop)
    }

    /// Add a toleration: the one change of a running pod's spec that concerns no container. It makes a new generation.
    ///
    /// # Errors
    /// The API server refuses it.
    pub(super) fn add_toleration(&self, name: &str, key: &str) -> Result<()> {
        let patch = json!([{
            "op": "add", "path": "/spec/tolerations/-", "value": { "key": key, "operator": "Exists" },
        }]);
        self.api.send("PATCH", &format!("pods/{name}"), "json-patch+json", &patch.to_string()).map(drop)
    }

    /// Watch the bench's pods from now on.
    ///
    /// # Errors
    /// The API server refuses it.
    pub(super) fn watch(&self) -> Result<Watch> {
        let list = self.api.get(&format!("pods?labelSelector={BENCH_LABEL}"))?;
        let version = list["metadata"]["resourceVersion"].as_str().context("a list has no version")?;
        let path = format!(
            "pods?watch=true&labelSelector={BENCH_LABEL}&resourceVersion={version}&timeoutSeconds={WATCH_SECONDS}"
        );
        let answer = self.api.open(&path).context("cannot watch the bench's pods")?;
        let mut lines = BufReader::new(answer);
        // The API server ends a watch whose reader lags behind: reading must not wait for parsing.
        let (raw, lines_read) = mpsc::channel();
        thread::spawn(move || {
            loop {
                let line = next_line(&mut lines);
                let ended = line.is_err();
                // Without a receiver the bench is over.
                if raw.send(line).is_err() || ended {
                    return;
                }
            }
        });
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || {
            for line in lines_read {
                if sender.send(line.and_then(|(at, line)| event(at, &line))).is_err() {
                    return;
                }
            }
        });
        Ok(Watch::new(receiver))
    }
}

/// The next line of a watch, stamped when it is whole.
fn next_line(lines: &mut impl std::io::BufRead) -> Result<(Stamp, String)> {
    let mut line = String::new();
    let length = lines.read_line(&mut line).context("the watch broke off")?;
    if length == 0 {
        bail!("the API server ended the watch");
    }
    Ok((Stamp::now(), line))
}

/// The event that a line of a watch tells.
fn event(at: Stamp, line: &str) -> Result<Event> {
    let event: Value = serde_json::from_str(line).context("an event is no JSON")?;
    let kind = match event["type"].as_str() {
        Some("ADDED") => Kind::Added,
        Some("MODIFIED") => Kind::Modified,
        Some("DELETED") => Kind::Deleted,
        _ => return Err(anyhow!("the watch says {}", line.trim())),
    };
    Ok(Event { at, kind, pod: Pod::of(&event["object"]).context("a pod without a name or uid")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_line_by_line_to_the_end() {
        let mut lines = std::io::Cursor::new(
            "{\"type\":\"ADDED\",\"object\":{\"metadata\":{\"name\":\"a\",\"uid\":\"u\"}}}\n\
             {\"type\":\"DELETED\",\"object\":{\"metadata\":{\"name\":\"a\",\"uid\":\"u\"}}}\n",
        );
        let mut next = || next_line(&mut lines).and_then(|(at, line)| event(at, &line));
        assert_eq!(next().unwrap().kind, Kind::Added);
        assert_eq!(next().unwrap().kind, Kind::Deleted);
        assert!(next().unwrap_err().to_string().contains("ended the watch"));
    }

    #[test]
    fn an_error_of_the_watch_is_shown() {
        let line = "{\"type\":\"ERROR\",\"object\":{\"message\":\"too old resource version\"}}\n";
        assert!(event(Stamp::now(), line).unwrap_err().to_string().contains("too old"));
    }
}
