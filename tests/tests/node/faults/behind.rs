//! What others do behind our back: containers, shims, sandboxes and networks that vanish, and the kubelet itself killed.

use std::{fs, process::Command, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use lab::Lab;
use node_tests::{Node, all_ready, gone, pods};
use serde_json::Value;

use super::{BOUND, Kept, pod, running, sleeper};

/// Container and sandbox of a pod with one container, in the runtime.
struct Ids {
    container: String,
    sandbox: String,
}

impl Ids {
    fn of(lab: &Lab, name: &str) -> Result<Self> {
        let filter = format!("labels.\"io.kubernetes.pod.name\"=={name}");
        let listed = lab.ctr(&["containers", "ls", "--quiet", &filter])?;
        let (mut container, mut sandbox) = (None, None);
        for id in listed.lines().filter(|id| !id.is_empty()) {
            let info: Value = serde_json::from_str(&lab.ctr(&["containers", "info", id])?)?;
            match info["Labels"]["io.cri-containerd.kind"].as_str() {
                Some("container") => container = Some(id.to_owned()),
                Some("sandbox") => sandbox = Some(id.to_owned()),
                other => bail!("{id} is a {other:?}"),
            }
        }
        Ok(Self { container: container.context("no container")?, sandbox: sandbox.context("no sandbox")? })
    }
}

/// Process of a task.
fn process(lab: &Lab, id: &str) -> Result<i32> {
    let tasks = lab.ctr(&["task", "ls"])?;
    let line = tasks.lines().find(|line| line.starts_with(id)).context("no such task")?;
    line.split_whitespace().nth(1).and_then(|pid| pid.parse().ok()).context("no process")
}

fn parent(pid: i32) -> Result<i32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("PPid:")).context("no parent")?;
    Ok(line.trim().parse()?)
}

fn restarts(pod: &Value) -> i64 {
    pod["status"]["containerStatuses"][0]["restartCount"].as_i64().unwrap_or(-1)
}

/// Each pod comes back by itself, or goes when it is asked to, whatever was taken from it.
pub(super) fn our_back(node: &Node, kept: &Kept) -> Result<()> {
    let names = ["killed", "deleted", "no-sandbox", "no-shim", "no-network"];
    node.apply(&names.map(|name| sleeper(name, "")).concat())?;
    for name in names {
        node.eventually("pods to disturb", BOUND, |lab| running(lab, name))?;
    }
    let ids = |name: &str| Ids::of(node, name);

    node.ctr(&["task", "kill", "--signal", "SIGKILL", &ids("killed")?.container])?;
    let deleted = ids("deleted")?.container;
    node.ctr(&["task", "kill", "--signal", "SIGKILL", &deleted])?;
    // Refused until the runtime has seen the end of the task.
    node.eventually("a container's record to be deleted", BOUND, |lab| {
        lab.ctr(&["containers", "delete", &deleted])
    })?;
    node.ctr(&["task", "kill", "--signal", "SIGKILL", &ids("no-sandbox")?.sandbox])?;
    let shim = parent(process(node, &ids("no-shim")?.sandbox)?)?;
    let killed = Command::new("kill").args(["-KILL", &shim.to_string()]).status()?;
    ensure!(killed.success(), "cannot kill the shim {shim}");
    let sandbox: Value =
        serde_json::from_str(&node.ctr(&["containers", "info", &ids("no-network")?.sandbox])?)?;
    let namespaces = sandbox["Spec"]["linux"]["namespaces"].as_array().cloned().unwrap_or_default();
    let network = namespaces.iter().find(|namespace| namespace["type"] == "network");
    let network = network.and_then(|namespace| namespace["path"].as_str()).context("no network namespace")?;
    lab::mounts::unmount_beneath(network.as_ref())?;
    fs::remove_file(network)?;

    for name in ["killed", "deleted", "no-sandbox", "no-shim"] {
        node.eventually(&format!("{name} to come back"), BOUND, |lab| {
            let pod = running(lab, name)?;
            ensure!(restarts(&pod) == 1, "{name} restarted {} times", restarts(&pod));
            let ready = pod["status"]["containerStatuses"][0]["ready"] == true;
            ensure!(ready && pod["status"]["podIP"].is_string(), "{}", pod["status"]);
            Ok(())
        })?;
    }
    ensure!(restarts(&pod(node, "no-network")?) == 0, "the pod without a network namespace restarted");
    kept.unharmed(node, "what was done to others")?;
    let mut all = vec!["delete", "pod", "--wait=false"];
    all.extend(names);
    node.kubectl(&all)?;
    for name in names {
        node.eventually(&format!("{name} to go"), BOUND, |lab| gone(lab, name))?;
    }
    Ok(())
}

const CHURN: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: churn}
spec:
  replicas: 4
  selector: {matchLabels: {app: churn}}
  template:
    metadata: {labels: {app: churn}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - {name: a, image: "registry.test/busybox:1", command: [sleep, "100000"]}
      - {name: b, image: "registry.test/busybox:1", command: [sleep, "100000"]}
"#;

/// The kubelet is killed again and again while pods come and go: no container is doubled, none restarts, nothing stays.
pub(super) fn killed_under_churn(node: &mut Node, kept: &Kept) -> Result<()> {
    node.apply(CHURN)?;
    for replicas in [8, 2, 9, 1, 6] {
        node.kubectl(&["scale", "deployment/churn", &format!("--replicas={replicas}")])?;
        // At different places of the work: as far as it got by the next pod's first sign of life, or at once.
        if replicas > 4 {
            node.eventually("a sign of life", Duration::from_secs(20), |lab| {
                let some = pods(lab, "app=churn")?.iter().any(|pod| pod["status"]["phase"] == "Running");
                ensure!(some, "none runs");
                Ok(())
            })?;
        }
        node.lab()?.kubelet().kill()?;
        node.lab()?.kubelet().spawn()?;
    }
    node.eventually("six pods in the end", BOUND, |lab| all_ready(lab, "app=churn", 6))?;
    node.eventually("one container a name", BOUND, |lab| {
        let filter = "labels.\"app\"==churn,labels.\"io.cri-containerd.kind\"==sandbox";
        let sandboxes = lab.ctr(&["containers", "ls", "--quiet", filter])?.lines().count();
        let of = |name: &str| -> Result<usize> {
            let filter = format!("labels.\"io.kubernetes.container.name\"=={name}");
            Ok(lab.ctr(&["containers", "ls", "--quiet", &filter])?.lines().count())
        };
        let seen = (sandboxes, of("a")?, of("b")?);
        ensure!(seen == (6, 6, 6), "sandboxes and containers: {seen:?}");
        Ok(())
    })?;
    kept.unharmed(node, "kills of the kubelet")?;
    node.kubectl(&["delete", "deployment", "churn"])?;
    node.eventually("the end of the churn", BOUND, |lab| {
        ensure!(pods(lab, "app=churn")?.is_empty(), "pods are left");
        let dirs = fs::read_dir(lab.paths().kubelet_root.join("pods"))?.count();
        ensure!(dirs == 3, "{dirs} pod directories, not those of the three kept pods");
        Ok(())
    })
}
