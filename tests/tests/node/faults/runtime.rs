//! A runtime that is restarted, frozen, or hangs in one call; and one lab for these and the API server's faults.

use std::{fs, path::Path, time::Duration};

use anyhow::{Result, ensure};
use lab::{Mode, Service, Signal, Spec, containerd};
use node_tests::{Node, gone, nothing_left};

use super::{BOUND, Kept, Log, api, behind, ready, ready_again, running, sleeper};

/// Silence of a runtime after which the node is not ready is 30 s; it shows at most a period of the report later.
const SILENT: Duration = Duration::from_secs(75);

/// Grace of the pod that is deleted while there is no runtime.
const GRACE: Duration = Duration::from_secs(6);

/// A pod that writes down that its hook ran, and, three seconds after SIGTERM, that it ended by itself.
fn hooked(name: &str, into: &Path) -> String {
    let (grace, into) = (GRACE.as_secs(), into.display());
    format!(
        r#"
apiVersion: v1
kind: Pod
metadata: {{name: {name}}}
spec:
  terminationGracePeriodSeconds: {grace}
  volumes: [{{name: told, hostPath: {{path: "{into}"}}}}]
  containers:
  - name: c
    image: registry.test/busybox:1
    command: [sh, -c, "trap 'sleep 3; touch /told/ended; exit 0' TERM; sleep 100000 & wait"]
    volumeMounts: [{{name: told, mountPath: /told}}]
    lifecycle: {{preStop: {{exec: {{command: [touch, /told/hook]}}}}}}
---
"#
    )
}

/// Kubelet and containers are not touched by a restart of the runtime, and it is too short to be the node's condition. A pod
/// that is deleted meanwhile, and whose grace period would be over, has its hook and its time when it can be told.
fn restarted(node: &Node, kept: &Kept) -> Result<()> {
    let told = node.paths().dir.join("told");
    fs::create_dir(&told)?;
    node.apply(&hooked("told-later", &told))?;
    node.eventually("the pod that is to be deleted", BOUND, |lab| running(lab, "told-later"))?;
    let before = ready(node)?;
    let log = Log::mark(node);
    node.service(Service::Containerd).kill()?;
    node.apply(&sleeper("meanwhile", ""))?;
    node.kubectl(&["delete", "pod", "told-later", "--wait=false"])?;
    log.wait(node, "nothing listens on the socket")?;
    lab::wait::pause(GRACE + Duration::from_secs(1));
    node.service(Service::Containerd).start()?;
    node.eventually("the pod that came meanwhile", BOUND, |lab| running(lab, "meanwhile"))?;
    node.eventually("the end of the pod that went meanwhile", BOUND, |lab| gone(lab, "told-later"))?;
    ensure!(told.join("hook").exists(), "its hook was not run");
    ensure!(told.join("ended").exists(), "it was killed before it could end");
    kept.unharmed(node, "a restart of the runtime")?;
    let after = ready(node)?;
    ensure!(after["status"] == "True", "{after}");
    ensure!(before["lastTransitionTime"] == after["lastTransitionTime"], "the node was not ready meanwhile");
    node.kubectl(&["delete", "pod", "meanwhile"])?;
    node.eventually("its end", BOUND, |lab| gone(lab, "meanwhile"))
}

/// A frozen runtime is the node's condition after 30 s, and over when it goes on.
fn frozen(node: &Node, kept: &Kept) -> Result<()> {
    let log = Log::mark(node);
    node.service(Service::Containerd).signal(Signal::STOP)?;
    let told = node.eventually("the node not to be ready", SILENT, |lab| {
        let condition = ready(lab)?;
        ensure!(condition["status"] == "False", "{condition}");
        Ok(condition)
    });
    let said = log.since(node);
    let healthy = node.service(Service::Kubelet).is_running();
    node.service(Service::Containerd).signal(Signal::CONT)?;
    let told = told?;
    ensure!(told["reason"] == "KubeletNotReady", "{told}");
    ensure!(
        told["message"].as_str().is_some_and(|text| text.contains("container runtime is down")),
        "{told}"
    );
    ensure!(said.contains("The container runtime does not answer"), "the log does not tell");
    ensure!(said.contains("The node is not ready"), "the log does not say why");
    ensure!(healthy, "the kubelet ended");
    node.eventually("the node to be ready", BOUND, ready_again)?;
    kept.unharmed(node, "a frozen runtime")
}

/// One pod's OCI runtime hangs, first in its creation, then in its kill: the others start and stop as ever.
fn hung_call(node: &Node, kept: &Kept) -> Result<()> {
    let class = format!(
        "apiVersion: node.k8s.io/v1\nkind: RuntimeClass\nmetadata: {{name: scripted}}\nhandler: {}\n",
        containerd::SCRIPTED_HANDLER
    );
    node.apply(&class)?;
    let flag = node.paths().dir.join("hangs");
    let entered = node.paths().dir.join("entered");
    // The sandbox goes through; the container of the pod hangs while the flag is there.
    let hang = |verb: &str, only: &str| {
        containerd::script_runtime(
            node.plan(),
            &format!(
                "case \" $* \" in *\" {verb} \"*) {only} while [ -e {} ]; do touch {}; sleep 0.1; done;; esac",
                flag.display(),
                entered.display()
            ),
        )
    };
    let container_only = "for a in \"$@\"; do [ -e \"$a/config.json\" ] && grep -q '\"io.kubernetes.cri.container-type\":\"sandbox\"' \"$a/config.json\" && exec_now=1; done; [ -n \"$exec_now\" ] ||";
    fs::write(&flag, "")?;
    hang("create", container_only)?;
    node.apply(&sleeper("stuck", "  runtimeClassName: scripted\n"))?;
    let hangs = |what: &str| {
        node.eventually(what, BOUND, |_| {
            ensure!(entered.exists(), "the call has not come yet");
            Ok(())
        })
    };
    hangs("the creation to hang")?;
    node.apply(&(sleeper("beside-a", "") + &sleeper("beside-b", "")))?;
    for name in ["beside-a", "beside-b"] {
        node.eventually("a pod beside the hung one", BOUND, |lab| running(lab, name))?;
    }
    node.kubectl(&["delete", "pod", "beside-a", "--wait=false"])?;
    node.eventually("the end of a pod beside the hung one", BOUND, |lab| gone(lab, "beside-a"))?;
    ensure!(running(node, "stuck").is_err(), "the call did not hang");
    fs::remove_file(&flag)?;
    node.eventually("the hung pod to go on", BOUND, |lab| running(lab, "stuck"))?;

    fs::remove_file(&entered)?;
    fs::write(&flag, "")?;
    hang("kill", "")?;
    node.kubectl(&["delete", "pod", "stuck", "--wait=false"])?;
    hangs("the kill to hang")?;
    node.kubectl(&["delete", "pod", "beside-b", "--wait=false"])?;
    node.eventually("the end of a pod beside the hung one", BOUND, |lab| gone(lab, "beside-b"))?;
    ensure!(gone(node, "stuck").is_err(), "the kill did not hang");
    ensure!(ready(node)?["status"] == "True", "one hung pod is not the node's condition");
    fs::remove_file(&flag)?;
    node.eventually("the hung pod to end", BOUND, |lab| gone(lab, "stuck"))?;
    containerd::script_runtime(node.plan(), "")?;
    kept.unharmed(node, "a hung call")
}

#[test]
#[ignore = "wants root, containerd and the control plane: make test"]
fn a_node_under_faults() {
    let mut node = Node::up(Spec::new("t-faults", Mode::Cluster).unwrap()).unwrap();
    let kept = Kept::start(&node).unwrap();
    restarted(&node, &kept).unwrap();
    hung_call(&node, &kept).unwrap();
    behind::our_back(&node, &kept).unwrap();
    api::away(&node, &kept).unwrap();
    api::refused(&mut node, &kept).unwrap();
    behind::killed_under_churn(&mut node, &kept).unwrap();
    frozen(&node, &kept).unwrap();
    node.kubectl(&["delete", "deployment", "keep"]).unwrap();
    node.eventually("nothing to be left", BOUND, nothing_left).unwrap();
    node.down().unwrap();
}
