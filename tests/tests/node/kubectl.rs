//! kubectl against the node, command by command: what it prints and how it ends, while a log is followed over rotations;
//! and much at once. Each with both protocols that kubectl streams by: WebSockets, which it takes by itself, and SPDY.

mod asked;
mod bulk;
mod rotation;
mod script;
mod top;

use std::{
    io::Write as _,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow, ensure};
use lab::{MetricsApi, Mode, Runtime, Spec, images};
use node_tests::{Node, kubelet_log};
use serde_json::{Value, json};

const BOUND: Duration = Duration::from_secs(120);

/// How kubectl streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    WebSocket,
    Spdy,
}

/// What a command left behind.
#[derive(Clone, Debug)]
struct Done {
    code: i32,
    out: String,
    err: String,
}

/// kubectl as the administrator, with a bound on its time.
fn kubectl(node: &Node, protocol: Protocol) -> Result<Command> {
    let mut command = node.command("timeout");
    // In the foreground, so that it may read from a terminal.
    command.args(["--foreground", "120"]).arg(node.plan().tools.control_plane_program("kubectl")?);
    command.arg("--kubeconfig").arg(&node.paths().kubeconfig);
    command.arg("--cache-dir").arg(node.paths().dir.join("kubectl-cache"));
    let switch = if protocol == Protocol::WebSocket { "true" } else { "false" };
    command.env("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", switch);
    command.env("KUBECTL_PORT_FORWARD_WEBSOCKETS", switch);
    Ok(command)
}

/// Runs to the end; the input ends behind its last byte.
fn done(command: Command, input: Option<&[u8]>) -> Result<Done> {
    run(command, input, false)
}

/// Runs to the end; the input goes on in silence. When it ends, containerd lets go of the output as well, of a container
/// that has no `stdinOnce`.
fn done_with_open_input(command: Command, input: &[u8]) -> Result<Done> {
    run(command, Some(input), true)
}

fn run(mut command: Command, input: Option<&[u8]>, holds: bool) -> Result<Done> {
    command.stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() });
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().context("kubectl does not start")?;
    let writer = child.stdin.take().zip(input.map(<[u8]>::to_vec)).map(|(mut stdin, input)| {
        // A command that does not read its input is no failure of this.
        std::thread::spawn(move || {
            drop(stdin.write_all(&input));
            holds.then_some(stdin)
        })
    });
    let output = child.wait_with_output()?;
    if let Some(writer) = writer {
        drop(writer.join());
    }
    Ok(Done {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

/// Pods of the script.
fn objects() -> Value {
    let count = json!([{"name": "count", "mountPath": "/count"}]);
    // Between two streams nobody promises an order, so they are written half a second apart.
    let talk = "echo out; sleep 0.5; echo err >&2; sleep 0.5; echo last; exec sleep 100000";
    let second = "echo x >> /count/runs; echo run $(wc -l < /count/runs); [ $(wc -l < /count/runs) -gt 1 ] || exit 3; exec sleep 100000";
    let brief = "for i in 1 2 3 4 5; do echo line $i; sleep 0.3; done";
    let pod = |name: &str, more: Value| {
        let mut spec = json!({"terminationGracePeriodSeconds": 1});
        for (key, value) in more.as_object().into_iter().flatten() {
            spec[key] = value.clone();
        }
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec})
    };
    let shell = |name: &str, script: &str| json!({"name": name, "image": images::BUSYBOX, "command": ["sh", "-c", script]});
    let mut counted = shell("second", second);
    counted["volumeMounts"] = count;
    let mut terminal = shell("term", "exec sh");
    terminal["tty"] = true.into();
    terminal["stdin"] = true.into();
    let mut once = shell("main", "exec cat");
    once["stdin"] = true.into();
    once["stdinOnce"] = true.into();
    let mut items = vec![
        pod(
            "desk",
            json!({
                "containers": [shell("main", talk), counted, terminal],
                "volumes": [{"name": "count", "emptyDir": {}}],
            }),
        ),
        pod("web", json!({"containers": [{"name": "main", "image": images::TESTBOX, "args": ["serve"]}]})),
    ];
    for protocol in ["websocket", "spdy"] {
        items.push(pod(&format!("once-{protocol}"), json!({"restartPolicy": "Never", "containers": [once]})));
    }
    items.push(pod("brief", json!({"restartPolicy": "Never", "containers": [shell("main", brief)]})));
    json!({"apiVersion": "v1", "kind": "List", "items": items})
}

fn up(runtime: Runtime, metrics_api: MetricsApi, name: &str) -> Result<Node> {
    let mut spec = Spec::new(name, Mode::Cluster)?;
    spec.runtime = runtime;
    spec.metrics_api = metrics_api;
    spec.kubelet_config = json!({
        "containerLogMaxSize": "64Ki",
        "containerLogMaxFiles": 3,
        "containerLogMonitorInterval": "3s",
        "enableSystemLogQuery": true,
        "nodeStatusUpdateFrequency": "2s",
    })
    .as_object()
    .cloned()
    .unwrap_or_default();
    Node::up(spec)
}

fn ready(node: &Node) -> Result<()> {
    node.eventually("the pods", BOUND, |lab| {
        let pod = lab.pod("desk")?;
        let statuses = pod["status"]["containerStatuses"].as_array().cloned().unwrap_or_default();
        let second = statuses.iter().find(|status| status["name"] == "second").cloned().unwrap_or_default();
        ensure!(second["restartCount"] == 1 && second["state"]["running"].is_object(), "{second}");
        for name in ["web", "once-websocket", "once-spdy"] {
            let phase = &lab.pod(name)?["status"]["phase"];
            ensure!(*phase == "Running", "{name}: {phase}");
        }
        ensure!(lab.kubectl(&["logs", "desk", "-c", "main"])?.contains("last"), "not all is said");
        Ok(())
    })
}

/// The API server sends WebSockets straight here only when the node says that it takes them.
fn declares_web_sockets(node: &Node) -> Result<()> {
    node.eventually("the declared feature", BOUND, |lab| {
        let node = lab.api()?.get(&format!("/api/v1/nodes/{}", lab.plan().node_name))?;
        let features = node["status"]["declaredFeatures"].to_string();
        ensure!(features.contains("\"ExtendWebSocketsToKubelet\""), "{features}");
        Ok(())
    })
}

/// The kubelet tells that nothing is to be scheduled here, and that it is again.
fn cordoned(node: &Node) -> Result<()> {
    let name = &node.plan().node_name;
    for (verb, reason) in [("cordon", "NodeNotSchedulable"), ("uncordon", "NodeSchedulable")] {
        node.kubectl(&[verb, name])?;
        node.eventually(reason, BOUND, |lab| {
            let events = lab.api()?.events(&format!("involvedObject.kind=Node,reason={reason}"))?;
            let message = format!("Node {name} status is now: {reason}");
            ensure!(events.iter().any(|event| event["message"] == message), "{events:?}");
            Ok(())
        })?;
    }
    Ok(())
}

/// How often a stream went a way, by the kubelet's log.
fn ways(node: &Node, way: &str) -> usize {
    kubelet_log(node).matches(&format!("way={way:?}")).count()
}

fn all(runtime: Runtime, metrics_api: MetricsApi, name: &str) -> Result<()> {
    let node = up(runtime, metrics_api, name)?;
    node.apply(&objects().to_string())?;
    if metrics_api == MetricsApi::MetricsServer {
        node.apply(&top::eater().to_string())?;
    }
    // The log is followed for half a minute, whatever else is asked in it.
    thread::scope(|scope| {
        let followed = scope.spawn(|| rotation::followed(&node));
        scripts(&node)?;
        asked::what_people_ask(&node)?;
        // Last, since there are no figures before the second look.
        if metrics_api == MetricsApi::MetricsServer {
            top::agrees(&node)?;
        }
        followed.join().map_err(|_| anyhow!("the thread that follows a log has died"))?
    })?;
    node.down()
}

fn scripts(node: &Node) -> Result<()> {
    ready(node)?;
    declares_web_sockets(node)?;
    script::run(node, Protocol::WebSocket)?;
    let (translated, tunnelled) = (ways(node, "Translated"), ways(node, "Tunnelled"));
    ensure!(translated > 10 && tunnelled > 0, "{translated} translated, {tunnelled} tunnelled");
    script::run(node, Protocol::Spdy)?;
    cordoned(node)
}

#[test]
#[ignore = "wants root, containerd and the control plane: make test"]
fn every_command_on_containerd_2() {
    all(Runtime::Containerd2, MetricsApi::MetricsServer, "t-kubectl2").unwrap();
}

#[test]
#[ignore = "wants root, containerd and the control plane: make test"]
fn every_command_on_containerd_1() {
    all(Runtime::Containerd1, MetricsApi::Nobody, "t-kubectl1").unwrap();
}

fn much(runtime: Runtime, name: &str) -> Result<()> {
    let node = up(runtime, MetricsApi::Nobody, name)?;
    node.apply(&objects().to_string())?;
    ready(&node)?;
    declares_web_sockets(&node)?;
    for protocol in [Protocol::WebSocket, Protocol::Spdy] {
        bulk::copies(&node, protocol)?;
        bulk::forwards(&node, protocol)?;
        bulk::commands(&node, protocol)?;
    }
    node.down()
}

#[test]
#[ignore = "wants root, containerd and the control plane: make test"]
fn much_at_once_on_containerd_2() {
    much(Runtime::Containerd2, "t-much2").unwrap();
}

#[test]
#[ignore = "wants root, containerd and the control plane: make test"]
fn much_at_once_on_containerd_1() {
    much(Runtime::Containerd1, "t-much1").unwrap();
}
