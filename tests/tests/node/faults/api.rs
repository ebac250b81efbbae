//! An API server that is away for a while, or does not let the kubelet in.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use lab::Service;
use node_tests::{Node, gone};
use serde_json::{Value, json};

use super::{BOUND, Kept, Log, pod, ready_again, running, sleeper, static_sleeper};

/// The container of a pod, in the runtime.
fn container_id(lab: &lab::Lab, name: &str) -> Result<String> {
    let pod = pod(lab, name)?;
    let id = pod["status"]["containerStatuses"][0]["containerID"].as_str().context("no container")?;
    Ok(id.rsplit('/').next().unwrap_or_default().to_owned())
}

/// Pods end and static pods change while the server is away; when it is back, it holds what is true.
pub(super) fn away(node: &Node, kept: &Kept) -> Result<()> {
    node.apply(&(sleeper("ends", "  restartPolicy: Never\n") + &sleeper("restarts", "")))?;
    node.add_static_pod("leaves.yaml", &static_sleeper("leaves"))?;
    let mirror = |name: &str| format!("{name}-{}", node.plan().node_name);
    for name in ["ends", "restarts", &mirror("leaves")] {
        node.eventually("pods before the outage", BOUND, |lab| running(lab, name))?;
    }
    let (ends, restarts) = (container_id(node, "ends")?, container_id(node, "restarts")?);

    let log = Log::mark(node);
    node.service(Service::ApiServer).kill()?;
    log.wait(node, "Cannot reach the API server")?;
    node.ctr(&["task", "kill", "--signal", "SIGKILL", &ends])?;
    node.ctr(&["task", "kill", "--signal", "SIGKILL", &restarts])?;
    fs::remove_file(node.paths().manifests.join("leaves.yaml"))?;
    node.add_static_pod("comes.yaml", &static_sleeper("comes"))?;
    node.wait_pod_seen("default", "comes", BOUND)?;
    let filter = format!("labels.\"io.kubernetes.pod.name\"=={}", mirror("leaves"));
    node.eventually("a static pod to leave without the API", BOUND, |lab| {
        let left = lab.ctr(&["containers", "ls", "--quiet", &filter])?;
        ensure!(left.trim().is_empty(), "its containers are still there");
        Ok(())
    })?;
    let outages = log.since(node).matches("Cannot reach the API server").count();
    ensure!(outages == 1, "one outage was told {outages} times");

    node.service(Service::ApiServer).start()?;
    node.eventually("the final status of the pod that ended", BOUND, |lab| {
        let pod = pod(lab, "ends")?;
        let ended = &pod["status"]["containerStatuses"][0]["state"]["terminated"];
        ensure!(pod["status"]["phase"] == "Failed" && ended["exitCode"] == 137, "{}", pod["status"]);
        Ok(())
    })?;
    node.eventually("the restart to be reported", BOUND, |lab| {
        let pod = running(lab, "restarts")?;
        let status = &pod["status"]["containerStatuses"][0];
        ensure!(status["restartCount"] == 1, "{status}");
        ensure!(status["lastState"]["terminated"]["exitCode"] == 137, "{status}");
        Ok(())
    })?;
    node.eventually("the new static pod's mirror", BOUND, |lab| running(lab, &mirror("comes")))?;
    node.eventually("the end of the old one's", BOUND, |lab| gone(lab, &mirror("leaves")))?;
    ensure!(log.since(node).contains("The API server answers again"), "the end of the outage was not told");
    kept.unharmed(node, "an outage of the API server")?;
    fs::remove_file(node.paths().manifests.join("comes.yaml"))?;
    node.kubectl(&["delete", "pod", "ends", "restarts"])?;
    node.eventually("the mirror's end", BOUND, |lab| gone(lab, &mirror("comes")))
}

/// Credentials that nobody knows (401), and another's (403): the kubelet stays up and says so, static pods run, and with
/// the right kubeconfig everything goes on.
pub(super) fn refused(node: &mut Node, kept: &Kept) -> Result<()> {
    let paths = node.paths().clone();
    let good = fs::read_to_string(&paths.kubelet_kubeconfig)?;
    let write = |name: &str, text: &str| -> Result<String> {
        let file = paths.dir.join(name);
        fs::write(&file, text)?;
        Ok(format!("--kubeconfig={}", file.display()))
    };
    // A token that nobody issued; the scheduler's certificate, which is no node's.
    let mut unknown: Value = serde_json::from_str(&good)?;
    unknown["users"][0]["user"] = json!({ "token": "nobody-issued-this" });
    let foreign = fs::read_to_string(paths.pki_file("scheduler.kubeconfig"))?;
    let cases = [
        (
            "unknown.kubeconfig",
            unknown.to_string(),
            "The API server does not accept the kubelet's credentials",
        ),
        ("foreign.kubeconfig", foreign, "forbidden"),
    ];
    for (name, text, told) in cases {
        let flag = write(name, &text)?;
        node.lab()?.kubelet().stop()?;
        node.lab()?.kubelet().set_flags(&[flag])?;
        let log = Log::mark(node);
        node.lab()?.kubelet().start()?;
        log.wait(node, told)?;
        node.add_static_pod("alone.yaml", &static_sleeper("alone"))?;
        node.wait_pod_seen("default", "alone", BOUND)?;
        fs::remove_file(paths.manifests.join("alone.yaml"))?;
        ensure!(node.service(Service::Kubelet).is_running(), "the kubelet ended over {name}");
    }
    node.lab()?.kubelet().stop()?;
    node.lab()?.kubelet().set_flags(&[])?;
    node.lab()?.kubelet().start()?;
    node.eventually("the node to report again", BOUND, ready_again)?;
    kept.unharmed(node, "refused credentials")
}
