//! What of a pod must be the same after a swap: as the API shows it, and as the runtime holds it.

use std::{collections::BTreeMap, fmt::Write as _};

use anyhow::{Context as _, Result};
use lab::Lab;
use node_tests::is_ready;
use serde_json::Value;

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// All container statuses: init, regular, ephemeral.
pub(super) fn containers(pod: &Value) -> Vec<Value> {
    ["initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses"]
        .iter()
        .flat_map(|list| pod["status"][list].as_array().cloned().unwrap_or_default())
        .collect()
}

fn state(container: &Value) -> String {
    let Some((kind, inner)) = container["state"].as_object().and_then(|state| state.iter().next()) else {
        return "none".to_owned();
    };
    match inner["reason"].as_str() {
        // A pull that fails shows two faces in turn.
        Some("ErrImagePull" | "ImagePullBackOff") => format!("{kind}:NoImage"),
        Some(reason) => format!("{kind}:{reason}"),
        None => kind.clone(),
    }
}

/// Phase, readiness and the state of each container, as in `Running Ready main=running`.
pub(super) fn summary(pod: &Value) -> String {
    let mut line = text(pod, "/status/phase").to_owned();
    line.push_str(if is_ready(pod) { " Ready" } else { " NotReady" });
    for container in containers(pod) {
        let _ = write!(line, " {}={}", text(&container, "/name"), state(&container));
    }
    line
}

/// Everything that a swap must leave as it is, a fact a line.
pub(super) fn identity(pod: &Value) -> Vec<String> {
    let mut facts = vec![summary(pod)];
    for pointer in [
        "/metadata/uid",
        "/metadata/deletionTimestamp",
        "/status/podIP",
        "/status/podIPs",
        "/status/hostIP",
        "/status/startTime",
        "/status/qosClass",
        "/status/reason",
        "/status/message",
    ] {
        facts.push(format!("{pointer} {}", pod.pointer(pointer).unwrap_or(&Value::Null)));
    }
    let conditions = pod.pointer("/status/conditions").and_then(Value::as_array).cloned().unwrap_or_default();
    let mut conditions: Vec<_> = conditions
        .iter()
        .map(|it| {
            format!(
                "condition {} {} {} {} {}",
                it["type"], it["status"], it["reason"], it["message"], it["lastTransitionTime"]
            )
        })
        .collect();
    conditions.sort();
    facts.extend(conditions);
    for container in containers(pod) {
        let mut line = format!("container {}", container["name"]);
        for field in ["containerID", "imageID", "image", "restartCount", "ready", "started", "lastState"] {
            let _ = write!(line, " {field}={}", container[field]);
        }
        if !state(&container).starts_with("waiting") {
            let _ = write!(line, " state={}", container["state"]);
        }
        facts.push(line);
    }
    facts
}

/// The part of [`identity`] that every kubelet keeps over its own restart: the pod, and the instances of its containers.
pub(super) fn instances(pod: &Value) -> Vec<String> {
    let mut facts = vec![pod["metadata"]["uid"].to_string()];
    for container in containers(pod) {
        let mut line = format!("container {}", container["name"]);
        for field in ["containerID", "restartCount", "lastState"] {
            let _ = write!(line, " {field}={}", container[field]);
        }
        facts.push(line);
    }
    facts
}

/// Ids and pids of the processes that run in a pod's containers, sandboxes included, by pod uid and container name.
pub(super) type Processes = BTreeMap<(String, String), Vec<(String, String)>>;

/// What runs on the node.
pub(super) fn processes(lab: &Lab) -> Result<Processes> {
    let tasks = lab.ctr(&["tasks", "list"])?;
    let mut all = Processes::new();
    for line in tasks.lines().skip(1) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [id, pid, "RUNNING"] = words[..] else { continue };
        // It may be gone by now.
        let Ok(info) = lab.ctr(&["containers", "info", id]) else { continue };
        let info: Value = serde_json::from_str(&info).context("ctr printed something else than JSON")?;
        let labels = info.get("Labels").or_else(|| info.get("labels")).cloned().unwrap_or_default();
        let label = |name: &str| labels[name].as_str().unwrap_or_default().to_owned();
        let key = (label("io.kubernetes.pod.uid"), label("io.kubernetes.container.name"));
        all.entry(key).or_default().push((id.to_owned(), pid.to_owned()));
    }
    Ok(all)
}
