//! Faults, for real: each gives a clear message and hurts no other pod.
//!
//! Few labs, many faults in each: bringing a lab up costs more than most faults do. The deployment `keep` is the other
//! pod that nothing may hurt: after each fault it has the same containers, never restarted, all Ready.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Result, ensure};
use lab::Lab;
use node_tests::{Node, all_ready, condition, kubelet_log};
use serde_json::Value;

mod alone;
mod api;
mod behind;
mod images;
mod runtime;
mod start;

/// Longest for anything to come about that is not waited for on purpose.
const BOUND: Duration = Duration::from_secs(60);

const KEEP: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: keep}
spec:
  replicas: 3
  selector: {matchLabels: {app: keep}}
  template:
    metadata: {labels: {app: keep}}
    spec:
      terminationGracePeriodSeconds: 2
      containers:
      - name: web
        image: registry.test/testbox:1
        args: [serve]
        readinessProbe: {httpGet: {path: /healthz, port: 8080}, periodSeconds: 2}
"#;

/// The containers of `keep`, by pod.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Kept(BTreeMap<String, String>);

impl Kept {
    fn look(lab: &Lab) -> Result<Self> {
        let pods = all_ready(lab, "app=keep", 3)?;
        let id = |pod: &Value| pod["status"]["containerStatuses"][0]["containerID"].to_string();
        Ok(Self(pods.iter().map(|pod| (pod["metadata"]["name"].to_string(), id(pod))).collect()))
    }

    fn start(node: &Node) -> Result<Self> {
        node.apply(KEEP)?;
        node.eventually("the pods to keep", BOUND, Self::look)
    }

    /// Same containers, never restarted, all Ready.
    fn unharmed(&self, node: &Node, by: &str) -> Result<()> {
        node.eventually(&format!("the other pods to be as before after {by}"), BOUND, |lab| {
            ensure!(Self::look(lab)? == *self, "{by} replaced a container");
            Ok(())
        })
    }
}

/// A pod that sleeps. `more` are further fields of its spec, `command` replaces the sleep.
fn sleeper(name: &str, more: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, labels: {{app: {name}}}}}\nspec:\n  \
         terminationGracePeriodSeconds: 1\n  containers: [{{name: c, image: registry.test/busybox:1, command: \
         [sleep, \"100000\"]}}]\n{more}---\n"
    )
}

/// The manifest of a static pod that sleeps.
fn static_sleeper(name: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec:\n  terminationGracePeriodSeconds: 1\n  \
         containers:\n  - name: c\n    image: registry.test/busybox:1\n    command: [sh, -c, \"echo {name}; exec sleep \
         100000\"]\n"
    )
}

fn pod(lab: &Lab, name: &str) -> Result<Value> {
    lab.pod(name)
}

fn running(lab: &Lab, name: &str) -> Result<Value> {
    let pod = pod(lab, name)?;
    let state = &pod["status"]["containerStatuses"][0];
    ensure!(state["state"]["running"].is_object(), "{name} does not run: {state}");
    Ok(pod)
}

/// Reason and message of a container's waiting state.
fn waiting(pod: &Value) -> Result<(String, String)> {
    let waiting = &pod["status"]["containerStatuses"][0]["state"]["waiting"];
    let text = |field: &str| waiting[field].as_str().unwrap_or_default().to_owned();
    ensure!(waiting.is_object(), "it does not wait: {}", pod["status"]);
    Ok((text("reason"), text("message")))
}

/// Messages of the events about a pod with a reason.
fn events(lab: &Lab, pod: &str, reason: &str) -> Result<Vec<String>> {
    let events = lab.api()?.events(&format!("involvedObject.name={pod},reason={reason}"))?;
    Ok(events.iter().filter_map(|event| Some(event["message"].as_str()?.to_owned())).collect())
}

/// The node's Ready condition.
fn ready(lab: &Lab) -> Result<Value> {
    let node = lab.api()?.get(&format!("/api/v1/nodes/{}", lab.plan().node_name))?;
    let ready = condition(&node, "Ready");
    ensure!(ready.is_object(), "no condition Ready");
    Ok(ready.clone())
}

/// The node reports that it is ready, after a fault.
fn ready_again(lab: &Lab) -> Result<()> {
    let condition = ready(lab)?;
    ensure!(condition["status"] == "True", "{condition}");
    Ok(())
}

/// What the kubelet wrote since a mark.
struct Log(usize);

impl Log {
    fn mark(lab: &Lab) -> Self {
        Self(kubelet_log(lab).len())
    }

    fn since(&self, lab: &Lab) -> String {
        kubelet_log(lab).split_off(self.0)
    }

    /// Waits for a line.
    fn wait(&self, node: &Node, text: &str) -> Result<()> {
        node.eventually(&format!("the log to say {text:?}"), BOUND, |lab| {
            ensure!(self.since(lab).contains(text), "it does not");
            Ok(())
        })
    }
}
