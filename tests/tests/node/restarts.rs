//! What a kubelet that starts finds on its node, and must not misjudge: pods that have ended, wishes that nobody granted,
//! what others left behind, labels that changed just now, and another kubelet.

use std::{fs, path::PathBuf, time::Duration};

use anyhow::{Context as _, Result, ensure};
use lab::{Lab, Mode, Runtime, Spec};
use node_tests::{Node, gone, is_ready};
use serde_json::{Value, json};

const BOUND: Duration = Duration::from_secs(120);
/// CPUs that the node is said to have for pods: few enough to be filled.
const CPUS: u32 = 2;

/// A pod that asks for some CPU. With a command it does that and ends, else it sleeps.
fn pod(name: &str, cpu: &str, command: Option<&str>) -> Value {
    let sleeps = "trap 'exit 0' TERM; while true; do sleep 0.1; done";
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name },
        "spec": {
            "restartPolicy": if command.is_some() { "Never" } else { "Always" },
            "terminationGracePeriodSeconds": 2,
            "containers": [{
                "name": "main", "image": "registry.test/busybox:1",
                "command": ["sh", "-c", command.unwrap_or(sleeps)],
                "resources": { "requests": { "cpu": cpu } },
            }],
        },
    })
}

fn ready(lab: &Lab, name: &str) -> Result<Value> {
    let pod = lab.pod(name)?;
    ensure!(is_ready(&pod), "{name}: {}", pod["status"]);
    Ok(pod)
}

fn id(pod: &Value) -> String {
    pod["status"]["containerStatuses"][0]["containerID"].to_string()
}

/// A value of a pod's cgroup: the limit of memory.
fn memory_limit(lab: &Lab, pod: &Value) -> Result<String> {
    let uid = pod["metadata"]["uid"].as_str().context("no uid")?;
    let group = format!("{}/kubepods/burstable/pod{uid}", lab.plan().cgroup_root.trim_start_matches('/'));
    let root = PathBuf::from("/sys/fs/cgroup");
    let v1 = root.join("memory").join(&group).join("memory.limit_in_bytes");
    let file = if v1.exists() { v1 } else { root.join(&group).join("memory.max") };
    Ok(fs::read_to_string(&file).with_context(|| file.display().to_string())?.trim().to_owned())
}

/// Pods that have ended take nothing of the node from those that run.
fn ended_pods_count_for_nothing(node: &mut Node) -> Result<()> {
    for name in ["done-1", "done-2", "done-3"] {
        node.apply(&pod(name, "1500m", Some("true")).to_string())?;
        node.eventually(name, BOUND, |lab| {
            let pod = lab.pod(name)?;
            ensure!(pod["status"]["phase"] == "Succeeded", "{}", pod["status"]);
            Ok(())
        })?;
    }
    node.apply(&pod("runs", "1500m", None).to_string())?;
    let before = node.eventually("runs", BOUND, |lab| ready(lab, "runs"))?;
    node.lab()?.kubelet().kill()?;
    node.lab()?.kubelet().start()?;
    // It has taken its pods up again when a new one runs.
    node.apply(&pod("after", "100m", None).to_string())?;
    node.eventually("after", BOUND, |lab| ready(lab, "after"))?;
    ensure!(id(&before) == id(&ready(node, "runs")?), "a pod that ran was taken for one too many");
    node.kubectl(&["delete", "pod", "runs", "after", "done-1", "done-2", "done-3", "--wait=false"])?;
    node.eventually("the end of them", BOUND, |lab| {
        ["runs", "done-3"].iter().try_for_each(|name| gone(lab, name))
    })
}

/// A wish for other resources is not granted, and not half granted by a restart or a new container either.
fn resizes_are_not_half_done(node: &mut Node) -> Result<()> {
    let mut wish = pod("wish", "50m", None);
    wish["spec"]["containers"][0]["resources"] = json!({
        "requests": { "cpu": "50m", "memory": "64Mi" }, "limits": { "cpu": "100m", "memory": "64Mi" },
    });
    node.apply(&wish.to_string())?;
    let before = node.eventually("wish", BOUND, |lab| ready(lab, "wish"))?;
    let limit = memory_limit(node, &before)?;
    for (memory, cpu) in [("8Mi", "100m"), ("128Mi", "400m")] {
        let resources =
            json!({ "requests": { "memory": memory }, "limits": { "memory": memory, "cpu": cpu } });
        let patch = json!({ "spec": { "containers": [{ "name": "main", "resources": resources }] } });
        node.kubectl(&["patch", "pod", "wish", "--subresource=resize", "--patch", &patch.to_string()])?;
        node.lab()?.kubelet().kill()?;
        node.lab()?.kubelet().start()?;
        let old = id(&node.eventually("wish", BOUND, |lab| ready(lab, "wish"))?);
        let task = old.trim_matches('"').trim_start_matches("containerd://").to_owned();
        node.ctr(&["tasks", "kill", "--signal", "SIGKILL", &task])?;
        let again = node.eventually("another container", BOUND, |lab| {
            let pod = ready(lab, "wish")?;
            ensure!(id(&pod) != old, "it is the old one");
            Ok(pod)
        })?;
        ensure!(memory_limit(node, &again)? == limit, "{memory} is asked for, and half given");
        let allocated = &again["status"]["containerStatuses"][0]["allocatedResources"];
        ensure!(allocated["memory"] == "64Mi" && allocated["cpu"] == "50m", "{allocated}");
    }
    node.kubectl(&["delete", "pod", "wish", "--wait=false"])?;
    node.eventually("the end of wish", BOUND, |lab| gone(lab, "wish"))
}

/// Logs that nobody knows go, those of others stay; a static pod that may not run here does not, though it was there first.
fn leftovers_and_early_pods(node: &mut Node) -> Result<()> {
    node.apply(&pod("kept", "10m", None).to_string())?;
    node.eventually("kept", BOUND, |lab| ready(lab, "kept"))?;
    node.lab()?.kubelet().stop()?;
    let logs = node.paths().pod_logs.clone();
    let stranger = logs.join("default_stranger_5c0c1c36-0000-4000-8000-000000000001");
    fs::create_dir_all(stranger.join("main"))?;
    fs::write(stranger.join("main/0.log"), "2026-01-01T00:00:00Z stdout F who\n")?;
    let mut early = pod("early", "10m", None);
    early["spec"]["securityContext"] = json!({ "sysctls": [{ "name": "kernel.msgmax", "value": "65536" }] });
    node.add_static_pod("early.json", &early.to_string())?;
    node.lab()?.kubelet().start()?;
    node.eventually("the end of a stranger's logs", BOUND, |_| {
        ensure!(!stranger.exists(), "they are still there");
        Ok(())
    })?;
    let mirror = format!("early-{}", node.plan().node_name);
    node.eventually("the refusal", BOUND, |lab| {
        let pod = lab.pod(&mirror)?;
        ensure!(
            pod["status"]["phase"] == "Failed" && pod["status"]["reason"] == "SysctlForbidden",
            "{}",
            pod["status"]
        );
        Ok(())
    })?;
    let folders: Vec<String> = fs::read_dir(&logs)?
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    ensure!(
        folders.iter().any(|name| name.starts_with("default_kept_")),
        "logs of a pod that runs are gone: {folders:?}"
    );
    fs::remove_file(node.paths().manifests.join("early.json"))?;
    node.kubectl(&["delete", "pod", "kept", "--wait=false"])?;
    node.eventually("the end of both", BOUND, |lab| gone(lab, "kept").and_then(|()| gone(lab, &mirror)))
}

/// A pod that waited for a label runs as soon as the node has it, though the kubelet's own report is older.
fn labels_of_now(node: &Node) -> Result<()> {
    let name = &node.plan().node_name;
    for round in 0..3 {
        let (label, pod_name) = (format!("round-{round}"), format!("picky-{round}"));
        let mut picky = pod(&pod_name, "10m", None);
        picky["spec"]["nodeSelector"] = json!({ &label: "yes" });
        node.apply(&picky.to_string())?;
        node.kubectl(&["label", "node", name, &format!("{label}=yes")])?;
        node.eventually(&pod_name, BOUND, |lab| ready(lab, &pod_name))?;
        node.kubectl(&["delete", "pod", &pod_name, "--wait=false"])?;
    }
    node.eventually("the end of them", BOUND, |lab| {
        (0..3).try_for_each(|round| gone(lab, &format!("picky-{round}")))
    })
}

/// A second kubelet on the same root directory or port ends at once and says why; the first one does not notice.
fn no_second_kubelet(node: &Node) -> Result<()> {
    let (plan, paths) = (node.plan(), node.paths());
    let started = |root: &std::path::Path| {
        node.command(&plan.kubelet.display().to_string())
            .arg(format!("--config={}", paths.kubelet_config.display()))
            .arg(format!("--root-dir={}", root.display()))
            .arg(format!("--cert-dir={}", root.join("pki").display()))
            .arg(format!("--kubeconfig={}", paths.kubelet_kubeconfig.display()))
            .arg(format!("--hostname-override={}", plan.node_name))
            .output()
    };
    let elsewhere = tempfile::tempdir()?;
    for (root, why) in [
        (paths.kubelet_root.as_path(), "another kubelet runs on the root directory"),
        (elsewhere.path(), "failed to listen on"),
    ] {
        let ended = started(root)?;
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        ensure!(ended.status.code() == Some(1) && said.contains(why), "{:?}: {said}", ended.status);
    }
    node.kubelet_get("/healthz").map(drop)
}

/// However long a pod may take to stop, it is asked to, and its neighbours go on.
fn endless_grace(node: &Node) -> Result<()> {
    let mut patient = pod("patient", "10m", None);
    patient["spec"]["terminationGracePeriodSeconds"] = json!(i64::MAX);
    node.apply(&patient.to_string())?;
    node.eventually("patient", BOUND, |lab| ready(lab, "patient"))?;
    node.kubectl(&["delete", "pod", "patient", "--wait=false"])?;
    node.eventually("the end of patient", BOUND, |lab| gone(lab, "patient"))
}

fn restarts(name: &str) -> Result<()> {
    let mut spec = Spec::new(name, Mode::Cluster)?;
    spec.runtime = Runtime::Containerd2;
    let cpus = std::thread::available_parallelism()?.get();
    // As if the machine had no more than that.
    let reserved = u32::try_from(cpus)?.saturating_sub(CPUS);
    if reserved > 0 {
        spec.kubelet_config.insert("systemReserved".to_owned(), json!({ "cpu": reserved.to_string() }));
    }
    let mut node = Node::up(spec)?;
    ended_pods_count_for_nothing(&mut node)?;
    resizes_are_not_half_done(&mut node)?;
    leftovers_and_early_pods(&mut node)?;
    labels_of_now(&node)?;
    no_second_kubelet(&node)?;
    endless_grace(&node)?;
    node.down()
}

#[test]
#[ignore = "wants root, containerd and the control plane: make test"]
fn a_kubelet_that_starts_misjudges_nothing() {
    restarts("t-restarts").unwrap();
}
