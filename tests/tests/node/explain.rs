//! `kubelet explain` and `kubelet timeline` beside a running kubelet.

use std::{fs, os::unix::fs::PermissionsExt, process::Output, time::Duration};

use anyhow::{Context as _, Result, ensure};
use lab::{Lab, Mode, Runtime};
use node_tests::{Node, no_containers};
use serde_json::Value;

const BOUND: Duration = Duration::from_secs(120);

/// Runs the kubelet's own program as an operator would.
fn kubelet(lab: &Lab, arguments: &[&str]) -> Result<Output> {
    let program = lab.plan().kubelet.display().to_string();
    let mut command = lab.command(&program);
    command.args(arguments).arg("--root-dir").arg(&lab.paths().kubelet_root);
    command.output().context("run the kubelet")
}

fn text(lab: &Lab, arguments: &[&str]) -> Result<String> {
    let output = kubelet(lab, arguments)?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

fn json(lab: &Lab, topic: &str, pod: &str) -> Result<Value> {
    let text = text(lab, &[topic, pod, "--output", "json"])?;
    serde_json::from_str(&text).with_context(|| format!("the answer is no JSON: {text}"))
}

/// Waits until the first block of a pod is about this step, after its first try, and gives the whole account.
fn blocked_on(node: &Node, pod: &str, step: &str) -> Result<Value> {
    node.eventually(&format!("{pod} to be blocked on {step}"), BOUND, |lab| {
        let told = json(lab, "explain", pod)?;
        let block = &told["blocks"][0];
        ensure!(block["step"]["name"] == step && block["state"] != "under_way", "it says {}", told["blocks"]);
        Ok(told)
    })
}

fn standing(node: &Node, pod: &str, wanted: &str) -> Result<Value> {
    node.eventually(&format!("{pod} to be {wanted}"), BOUND, |lab| {
        let told = json(lab, "explain", pod)?;
        ensure!(told["standing"]["name"] == wanted, "it says {}", told["standing"]);
        Ok(told)
    })
}

fn manifest(name: &str, image: &str, command: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec:\n  terminationGracePeriodSeconds: 1\n  \
         containers:\n  - name: main\n    image: registry.test/{image}\n    command: [sh, -c, \"{command}\"]\n"
    )
}

fn number(value: &Value, pointer: &str) -> Result<f64> {
    value.pointer(pointer).and_then(Value::as_f64).with_context(|| format!("{pointer} of {value}"))
}

/// The figures of a start add up, and its steps are there.
fn check_start(timeline: &Value) -> Result<()> {
    let [total, cri, init, added] = ["total_ms", "cri_ms", "init_ms", "added_latency_ms"]
        .map(|field| number(timeline, &format!("/start/{field}")));
    let (total, cri, init, added) = (total?, cri?, init?, added?);
    ensure!(total > 0.0 && cri > 0.0 && added > 0.0, "{}", timeline["start"]);
    ensure!((total - cri - init - added).abs() < 0.01, "{} do not add up", timeline["start"]);
    let steps = timeline["steps"].as_array().context("steps")?;
    for step in ["CreateSandbox", "EnsureImage", "CreateContainer", "StartContainer"] {
        // The last of that name: before it may stand tries that failed.
        let found = steps.iter().rev().find(|it| it["step"] == step && it["of_start"] == true);
        let found = found.with_context(|| format!("no step {step} in {steps:?}"))?;
        ensure!(found["state"] == "done", "{found}");
        let calls = found["calls"].as_array().context("calls")?;
        let inside = calls.iter().map(|call| call["duration_ms"].as_f64().unwrap_or(f64::MAX)).sum::<f64>();
        ensure!(!calls.is_empty() && inside <= number(found, "/duration_ms")?, "{found}");
    }
    Ok(())
}

fn standalone(runtime: Runtime, name: &str) -> Result<()> {
    let mut node = Node::plain(name, Mode::Standalone, runtime)?;
    let rest = "trap 'exit 0' TERM; while true; do sleep 0.2; done";
    node.add_static_pod("well.yaml", &manifest("well", "busybox:1", rest))?;
    node.add_static_pod("nowhere.yaml", &manifest("nowhere", "no-such-image:1", rest))?;
    node.add_static_pod("crash.yaml", &manifest("crash", "busybox:1", "exit 3"))?;

    // Well: nothing is blocked, and the start is told step by step.
    let well = standing(&node, "well", "Ready")?;
    ensure!(well["blocks"].as_array().is_some_and(Vec::is_empty), "{}", well["blocks"]);
    ensure!(text(&node, &["explain", "default/well"])?.contains("Nothing is blocked."));
    check_start(&json(&node, "timeline", "well")?)?;
    ensure!(text(&node, &["timeline", "well"])?.contains("added by the kubelet"));

    // Without its image: whose turn it is comes from the runtime's code.
    let nowhere = blocked_on(&node, "nowhere", "Image")?;
    let block = &nowhere["blocks"][0];
    ensure!(block["reason"] == "ErrImagePull" && block["actor"]["name"] == "ImageOwner", "{block}");
    ensure!(block["next_at"].is_string() && block["since"].is_string(), "{block}");
    ensure!(nowhere["containers"][0]["waits_for"] == "the image", "{}", nowhere["containers"]);

    // Crashing: its own turn.
    let crash = blocked_on(&node, "crash", "Restart")?;
    ensure!(crash["blocks"][0]["why"].as_str().is_some_and(|why| why.contains("exit code 3")), "{crash}");
    ensure!(crash["blocks"][0]["actor"]["name"] == "Container", "{crash}");

    // Only root may ask, and what cannot be answered is told with a hint.
    let socket = node.paths().kubelet_root.join("kubelet-rs.sock");
    ensure!(fs::metadata(&socket)?.permissions().mode() & 0o777 == 0o600);
    let wrong = kubelet(&node, &["explain", "wel"])?;
    let told = String::from_utf8_lossy(&wrong.stderr);
    ensure!(!wrong.status.success() && told.contains("knows no pod wel") && told.contains("well-"), "{told}");

    // A kubelet that died leaves a socket that refuses; its successor takes the name, and the pods.
    node.lab()?.kubelet().kill()?;
    let dead = kubelet(&node, &["explain", "well"])?;
    let told = String::from_utf8_lossy(&dead.stderr);
    ensure!(!dead.status.success() && told.contains("hint: the kubelet has stopped"), "{told}");
    node.lab()?.kubelet().start()?;
    standing(&node, "well", "Ready")?;
    let timeline = json(&node, "timeline", "well")?;
    ensure!(timeline["taken_up"] == true && timeline["start"].is_null(), "{timeline}");

    // A pod that is gone can still be asked for.
    fs::remove_file(node.paths().manifests.join("crash.yaml"))?;
    node.eventually("the end of the pod", BOUND, |lab| {
        let told = json(lab, "explain", "crash")?;
        ensure!(told["ended"].is_string(), "it says {}", told["standing"]);
        Ok(())
    })?;
    ensure!(text(&node, &["explain"])?.contains("crash-"));
    node.lab()?.kubelet().stop()?;
    ensure!(!socket.exists(), "the socket outlives its kubelet");
    node.lab()?.kubelet().start()?;
    for file in ["well.yaml", "nowhere.yaml"] {
        fs::remove_file(node.paths().manifests.join(file))?;
    }
    node.eventually("the end of all pods", BOUND, no_containers)?;
    node.down()
}

const POD: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: wanting}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: main
    image: registry.test/testbox:1
    args: [serve]
    env:
    - {name: GREETING, valueFrom: {configMapKeyRef: {name: settings, key: greeting}}}
    volumeMounts: [{name: login, mountPath: /login}]
    readinessProbe: {httpGet: {path: /no-such-page, port: 8080}, periodSeconds: 1}
  volumes:
  - {name: login, secret: {secretName: login}}
"#;

/// Each thing that the pod wants is asked for by name, one after the other.
fn wanting(runtime: Runtime, name: &str) -> Result<()> {
    let node = Node::plain(name, Mode::Cluster, runtime)?;
    node.apply(POD)?;
    let told = blocked_on(&node, "default/wanting", "Volumes")?;
    let block = &told["blocks"][0];
    ensure!(block["reason"] == "FailedMount" && block["actor"]["name"] == "ObjectOwner", "{block}");
    let who = |block: &Value| block["actor"]["text"].as_str().unwrap_or_default().to_owned();
    ensure!(who(block) == "whoever owns the pod: create secret \"login\"", "{block}");
    ensure!(told["containers"][0]["waits_for"] == "volumes", "{}", told["containers"]);

    node.kubectl(&["create", "secret", "generic", "login", "--from-literal=password=x"])?;
    let told = blocked_on(&node, "wanting", "Creation")?;
    let block = &told["blocks"][0];
    ensure!(block["reason"] == "CreateContainerConfigError", "{block}");
    ensure!(who(block) == "whoever owns the pod: create configmap \"settings\"", "{block}");
    node.kubectl(&["create", "configmap", "settings", "--from-literal=other=x"])?;
    node.eventually("the missing key to be asked for", BOUND, |lab| {
        let told = json(lab, "explain", "wanting")?;
        let block = &told["blocks"][0];
        ensure!(
            who(block) == "whoever owns the pod: add key \"greeting\" to configmap \"settings\"",
            "{block}"
        );
        Ok(())
    })?;
    node.kubectl(&["patch", "configmap", "settings", "--patch", r#"{"data":{"greeting":"hello"}}"#])?;

    // It runs, and its probe says no, with a reason.
    let told = blocked_on(&node, "wanting", "ReadinessProbe")?;
    node.eventually("the probe's own words", BOUND, |lab| {
        let told = json(lab, "explain", "wanting")?;
        let why = told["blocks"][0]["why"].as_str().unwrap_or_default();
        ensure!(why.contains("HTTP probe failed with statuscode: 404"), "it says {why}");
        Ok(())
    })?;
    ensure!(told["standing"]["name"] == "NotReady", "{}", told["standing"]);
    let timeline = json(&node, "timeline", "wanting")?;
    check_start(&timeline)?;
    ensure!(timeline["start"]["status_sent"].is_string(), "{}", timeline["start"]);

    node.kubectl(&["delete", "pod", "wanting"])?;
    node.eventually("the account of the pod's end", BOUND, |lab| {
        let told = json(lab, "explain", "wanting")?;
        ensure!(told["ended"].is_string(), "it says {}", told["standing"]);
        Ok(())
    })?;
    node.down()
}

#[test]
#[ignore = "wants root and containerd: make test"]
fn explain_static_pods_on_containerd_2() {
    standalone(Runtime::Containerd2, "t-explain2").unwrap();
}

#[test]
#[ignore = "wants root, containerd and the control plane: make test"]
fn explain_what_a_pod_wants_on_containerd_2() {
    wanting(Runtime::Containerd2, "t-wanting2").unwrap();
}
