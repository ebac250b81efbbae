//! The pods that are on the node while kubelets change, and what is to be seen of each.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use lab::Lab;
use serde_json::Value;

use super::identity::{containers, summary};

/// Manifests of the shapes; `@DIR@` stands for a folder of the node.
pub(super) const PODS: &str = include_str!("pods.yaml");

/// Each shape with what the API shows of it once it has settled.
pub(super) const SHAPES: &[(&str, &str)] = &[
    ("web", "Running Ready web=running"),
    (
        "sidecar",
        "Running Ready first=terminated:Completed side=running last=terminated:Completed main=running",
    ),
    ("succeeded", "Succeeded NotReady main=terminated:Completed"),
    ("failed", "Failed NotReady bad=terminated:Error good=terminated:Completed"),
    ("half-done", "Running NotReady done=terminated:Completed runs=running"),
    ("on-failure", "Succeeded NotReady main=terminated:Completed"),
    ("restarted", "Running Ready main=running"),
    ("probes", "Running Ready exec=running grpc=running http=running tcp=running"),
    ("unready", "Running NotReady main=running"),
    ("not-started", "Running NotReady main=running"),
    ("started-once", "Running Ready main=running"),
    ("gated", "Running NotReady main=running"),
    ("host-network", "Running Ready main=running"),
    ("volumes", "Running Ready main=running"),
    ("guaranteed", "Running Ready main=running"),
    ("burstable", "Running Ready a=running b=running c=running"),
    ("shared", "Running Ready a=running b=running"),
    ("hooked", "Running Ready main=running"),
    ("ephemeral", "Running Ready main=running debug=running"),
    ("no-image", "Pending NotReady bad=waiting:NoImage good=running"),
    ("never-pulled", "Pending NotReady main=waiting:ErrImageNeverPull"),
    ("no-key", "Pending NotReady main=waiting:CreateContainerConfigError"),
    ("no-volume", "Pending NotReady main=waiting:ContainerCreating"),
    (
        "initialising",
        "Pending NotReady first=terminated:Completed waits=running main=waiting:PodInitializing",
    ),
    ("deadline", "Running Ready main=running"),
    ("environment", "Running Ready main=running"),
    ("stopping", "Running Ready main=running"),
    ("leaving", "Running Ready main=running"),
    ("fixed", "Running Ready main=running"),
    ("hashed", "Running Ready main=running"),
];

/// Pods that come and go.
pub(super) const CHURN: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: churn}
spec:
  replicas: 2
  selector: {matchLabels: {app: churn}}
  template:
    metadata: {labels: {app: churn}}
    spec:
      terminationGracePeriodSeconds: 2
      containers:
      - name: main
        image: registry.test/testbox:1
        args: [serve]
        readinessProbe: {httpGet: {path: /readyz, port: 8080}, periodSeconds: 1}
";

/// Started by one kubelet, deleted by the next.
pub(super) fn victim(round: usize) -> String {
    format!(
        "
apiVersion: v1
kind: Pod
metadata: {{name: victim-{round}, labels: {{victim: \"{round}\"}}}}
spec:
  terminationGracePeriodSeconds: 30
  containers:
  - name: main
    image: registry.test/busybox:1
    command: [sh, -c, \"trap 'exit 0' TERM; while true; do sleep 1; done\"]
    lifecycle: {{preStop: {{exec: {{command: [sh, -c, \"echo stopped > /host/victim-{round}\"]}}}}}}
    volumeMounts: [{{name: host, mountPath: /host}}, {{name: memory, mountPath: /memory}}, {{name: disk, mountPath: /part, subPath: part}}]
  volumes:
  - {{name: host, hostPath: {{path: \"@DIR@\", type: DirectoryOrCreate}}}}
  - {{name: memory, emptyDir: {{medium: Memory}}}}
  - {{name: disk, emptyDir: {{}}}}
"
    )
}

/// A static pod, with a uid or without.
pub(super) fn static_pod(name: &str, uid: &str) -> String {
    format!(
        "
apiVersion: v1
kind: Pod
metadata: {{name: {name}, labels: {{shape: {name}}}{uid}}}
spec:
  terminationGracePeriodSeconds: 3
  volumes: [{{name: v, emptyDir: {{}}}}, {{name: h, hostPath: {{path: /tmp}}}}]
  containers:
  - name: main
    image: registry.test/testbox:1
    args: [serve]
    resources: {{limits: {{memory: 0.05Gi}}, requests: {{cpu: 0.010}}}}
    readinessProbe: {{httpGet: {{path: /readyz, port: 8080}}, periodSeconds: 2}}
    volumeMounts: [{{name: v, mountPath: /v}}]
"
    )
}

/// The pods of a shape's label, by name.
fn of_shape(lab: &Lab) -> Result<BTreeMap<String, Vec<Value>>> {
    let mut shapes: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for pod in node_tests::pods(lab, "shape")? {
        let shape = pod.pointer("/metadata/labels/shape").and_then(Value::as_str).unwrap_or_default();
        shapes.entry(shape.to_owned()).or_default().push(pod);
    }
    Ok(shapes)
}

/// All pods that must not change, by name, once each of them shows what its shape asks for.
pub(super) fn settled(lab: &Lab) -> Result<BTreeMap<String, Value>> {
    let shapes = of_shape(lab)?;
    let mut pods = BTreeMap::new();
    for (shape, want) in SHAPES {
        let of = shapes.get(*shape).map(Vec::as_slice).unwrap_or_default();
        let count = if *shape == "web" { 2 } else { 1 };
        ensure!(of.len() == count, "{} pods of the shape {shape}, not {count}", of.len());
        for pod in of {
            let name = pod["metadata"]["name"].as_str().unwrap_or_default();
            let have = summary(pod);
            ensure!(have == *want, "{name} is {have:?}, not {want:?}");
            pods.insert(name.to_owned(), pod.clone());
        }
    }
    let crashing = shapes.get("crashing").and_then(|pods| pods.first()).context("no crashing pod")?;
    let restarts = containers(crashing).first().and_then(|it| it["restartCount"].as_u64()).unwrap_or(0);
    ensure!(restarts >= 2, "the crashing pod has restarted {restarts} times only");
    let restarted = pods.get("restarted").context("no restarted pod")?;
    ensure!(containers(restarted)[0]["restartCount"] == 1, "the restarted pod has not restarted");
    Ok(pods)
}

/// Its readiness is switched off and on after each swap.
pub(super) const TOGGLED: &str = "
apiVersion: v1
kind: Pod
metadata: {name: toggled}
spec:
  terminationGracePeriodSeconds: 2
  containers:
  - name: main
    image: registry.test/testbox:1
    args: [serve]
    readinessProbe: {httpGet: {path: /readyz, port: 8080}, periodSeconds: 1, failureThreshold: 1}
";
