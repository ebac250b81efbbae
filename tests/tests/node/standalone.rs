use std::{fs, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use lab::{Mode, Runtime};
use node_tests::{Node, kubelet_log, nothing_left};

const BOUND: Duration = Duration::from_secs(60);

fn manifest(name: &str, text: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec:\n  terminationGracePeriodSeconds: 2\n  \
         containers:\n  - name: main\n    image: registry.test/busybox:1\n    command: [sh, -c, \"echo {text}; trap \
         'exit 0' TERM; while true; do sleep 0.2; done\"]\n"
    )
}

/// Last lines of all containers of a static pod.
fn printed(node: &Node, pod: &str) -> Result<String> {
    let mut text = String::new();
    for folder in fs::read_dir(&node.paths().pod_logs)?.flatten() {
        if folder.file_name().to_string_lossy().starts_with(&format!("default_{pod}-")) {
            text.push_str(&fs::read_to_string(folder.path().join("main/0.log")).unwrap_or_default());
        }
    }
    Ok(text)
}

fn static_pods(runtime: Runtime, name: &str) -> Result<()> {
    let mut node = Node::plain(name, Mode::Standalone, runtime)?;
    node.add_static_pod("a.yaml", &manifest("a", "one"))?;
    node.wait_pod_seen("default", "a", BOUND)?;
    let tasks = |node: &Node| node.ctr(&["tasks", "ls", "--quiet"]);
    let before = tasks(&node)?;

    // A broken neighbour costs nothing that runs, and is reported by name.
    node.add_static_pod("broken.yaml", "kind: Pod\nspec: [")?;
    node.add_static_pod("b.yaml", &manifest("b", "two"))?;
    node.wait_pod_seen("default", "b", BOUND)?;
    ensure!(kubelet_log(&node).contains("broken.yaml"), "the broken manifest was not reported");
    let after = tasks(&node)?;
    ensure!(before.lines().all(|id| after.contains(id)), "a running container was replaced");

    // Killed and started again, the kubelet takes up what runs.
    node.lab()?.kubelet().kill()?;
    node.lab()?.kubelet().start()?;
    node.eventually("the log of the restarted kubelet", BOUND, |lab| {
        let log = kubelet_log(lab);
        ensure!(log.matches("Updated Node Allocatable limit").count() >= 2, "not started yet");
        Ok(())
    })?;
    node.add_static_pod("c.yaml", &manifest("c", "three"))?;
    node.wait_pod_seen("default", "c", BOUND)?;
    let restarted = tasks(&node)?;
    ensure!(
        after.lines().all(|id| restarted.contains(id)),
        "the restart of the kubelet disturbed a container"
    );

    // An edited manifest replaces its pod, a removed one removes it.
    node.add_static_pod("a.yaml", &manifest("a", "edited"))?;
    node.eventually("the edited pod", BOUND, |_| {
        let text = printed(&node, "a")?;
        if text.contains("edited") { Ok(()) } else { bail!("its logs: {text}") }
    })?;
    for file in ["a.yaml", "b.yaml", "c.yaml"] {
        fs::remove_file(node.paths().manifests.join(file)).context("remove a manifest")?;
    }
    node.eventually("the end of all pods", BOUND, nothing_left)?;
    node.down()
}

#[test]
#[ignore = "wants root and containerd: make test"]
fn static_pods_on_containerd_2() {
    static_pods(Runtime::Containerd2, "t-static2").unwrap();
}

#[test]
#[ignore = "wants root and containerd: make test"]
fn static_pods_on_containerd_1() {
    static_pods(Runtime::Containerd1, "t-static1").unwrap();
}
