//! What people ask of a pod through the API server: its logs, a command in it, files out of it and into it. And the pages of
//! the node's own API.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use lab::images;
use node_tests::Node;
use serde_json::{Value, json};

use super::BOUND;

/// Bytes copied each way: many frames, and more than any buffer on the way holds.
const COPIED: usize = 8 << 20;

fn objects() -> Value {
    // Between two streams nobody promises an order, so they are written half a second apart.
    let talk = "echo out $(cat /count/runs 2>/dev/null); sleep 0.5; echo err >&2; echo x >> /count/runs; \
                [ $(wc -l < /count/runs) -gt 1 ] || exit 3; sleep 100000";
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "talker"},
        "spec": {
            "terminationGracePeriodSeconds": 1,
            "containers": [{
                "name": "main",
                "image": images::BUSYBOX,
                "command": ["sh", "-c", talk],
                "volumeMounts": [{"name": "count", "mountPath": "/count"}],
            }],
            "volumes": [{"name": "count", "emptyDir": {}}],
        },
    })
}

fn logs(node: &Node) -> Result<()> {
    node.eventually("the log of the second run", BOUND, |lab| {
        let log = lab.kubectl(&["logs", "talker"])?;
        ensure!(log == "out x\nerr\n", "{log:?}");
        Ok(())
    })?;
    ensure!(node.kubectl(&["logs", "talker", "--previous"])? == "out\nerr\n", "the log of the first run");
    ensure!(node.kubectl(&["logs", "talker", "--tail=1"])? == "err\n", "its last line");
    ensure!(node.kubectl(&["logs", "talker", "--limit-bytes=3"])? == "out", "its first bytes");
    let stamped = node.kubectl(&["logs", "talker", "--timestamps"])?;
    ensure!(stamped.lines().all(|line| line.starts_with("20") && line.contains("Z ")), "{stamped}");
    ensure!(node.kubectl(&["logs", "talker", "--since=1s", "--tail=0"])?.is_empty(), "no line at all");
    Ok(())
}

/// The error of a command that has to fail.
fn refused(node: &Node, arguments: &[&str]) -> Result<String> {
    match node.kubectl(arguments) {
        Ok(output) => anyhow::bail!("kubectl {arguments:?} did not fail: {output}"),
        Err(error) => Ok(format!("{error:#}")),
    }
}

fn commands(node: &Node) -> Result<()> {
    let output =
        node.kubectl(&["exec", "talker", "--", "sh", "-c", "echo one; echo two >&2; cat /count/runs"])?;
    ensure!(output == "one\nx\nx\n", "standard output alone: {output}");
    let error = refused(node, &["exec", "talker", "--", "sh", "-c", "exit 7"])?;
    ensure!(error.contains("exit code 7"), "{error}");
    let error = refused(node, &["exec", "talker", "-c", "nobody", "--", "true"])?;
    ensure!(error.contains("nobody"), "{error}");
    for turn in 0..5 {
        let output = node.kubectl(&["exec", "talker", "--", "echo", &turn.to_string()])?;
        ensure!(output.trim() == turn.to_string(), "command {turn} says {output}");
    }
    Ok(())
}

fn copies(node: &Node) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (there, back) = (folder.path().join("there"), folder.path().join("back"));
    let bytes: Vec<u8> = (0..COPIED).map(|at| (at * 31 + at / 251) as u8).collect();
    fs::write(&there, &bytes)?;
    let (from, to) = (there.display().to_string(), back.display().to_string());
    node.kubectl(&["cp", &from, "talker:/tmp/copied"])?;
    node.kubectl(&["cp", "talker:/tmp/copied", &to])?;
    ensure!(fs::read(&back).context("the file that came back")? == bytes, "the file came back another");
    Ok(())
}

fn pages(node: &Node) -> Result<()> {
    let name = &node.plan().node_name;
    let page = |path: &str| node.kubectl(&["get", "--raw", &format!("/api/v1/nodes/{name}/proxy/{path}")]);
    ensure!(page("healthz")? == "ok", "healthz");
    let pods: Value = serde_json::from_str(&page("pods")?)?;
    let talker = |list: &Value| {
        let items = list["items"].as_array().cloned().unwrap_or_default();
        items.into_iter().find(|pod| pod["metadata"]["name"] == "talker").context("the list has no talker")
    };
    ensure!(pods["kind"] == "PodList", "{pods}");
    let status = &talker(&pods)?["status"];
    ensure!(status["phase"] == "Running", "{status}");
    talker(&serde_json::from_str(&page("runningpods/")?)?)?;
    let config: Value = serde_json::from_str(&page("configz")?)?;
    ensure!(config["kubeletconfig"]["kind"] == "KubeletConfiguration", "{config}");
    let error = refused(node, &["get", "--raw", &format!("/api/v1/nodes/{name}/proxy/nothing")])?;
    ensure!(error.contains("could not find") || error.contains("NotFound"), "{error}");
    Ok(())
}

/// Beside whatever else runs on the node.
pub(super) fn what_people_ask(node: &Node) -> Result<()> {
    node.apply(&objects().to_string())?;
    node.eventually("the second run", BOUND, |lab| {
        let pod = lab.pod("talker")?;
        let status = &pod["status"]["containerStatuses"][0];
        ensure!(status["restartCount"] == 1 && status["state"]["running"].is_object(), "{status}");
        Ok(())
    })?;
    logs(node)?;
    commands(node)?;
    copies(node)?;
    pages(node)
}
