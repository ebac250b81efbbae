//! The kinds of containers beside the ordinary one, and what starts them again: sidecars, debug containers, restart
//! rules. Their order is told by the containers themselves: each writes into the journal of its pod, a file on the
//! node, when it begins and when it is asked to end.

use std::{fs, path::PathBuf, time::Duration};

use anyhow::{Context as _, Result, ensure};
use lab::{Lab, Mode, Runtime, images};
use node_tests::{Node, condition, gone, is_ready, nothing_left};
use serde_json::{Value, json};

const BOUND: Duration = Duration::from_secs(120);

/// What every script can say and do.
const SHELL: &str = "say() { echo \"$1\" >> /pod/journal; }; stay() { while true; do sleep 0.1; done; }; ";

/// Folder of a pod on the node; its containers see it as `/pod`.
fn folder(lab: &Lab, pod: &str) -> PathBuf {
    lab.paths().dir.join("pods-of-the-test").join(pod)
}

/// Tells the scripts of a pod something.
fn mark(lab: &Lab, pod: &str, name: &str) -> Result<()> {
    Ok(fs::write(folder(lab, pod).join(name), "")?)
}

fn journal(lab: &Lab, pod: &str) -> Vec<String> {
    let text = fs::read_to_string(folder(lab, pod).join("journal")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn sorted(lines: &[String]) -> Vec<&str> {
    let mut lines: Vec<_> = lines.iter().map(String::as_str).collect();
    lines.sort_unstable();
    lines
}

/// A container that runs a script; `more` are further fields.
fn container(name: &str, script: &str, more: Value) -> Value {
    let mut container = json!({
        "name": name,
        "image": images::BUSYBOX,
        "command": ["sh", "-c", format!("{SHELL}{script}")],
        "volumeMounts": [{"name": "pod", "mountPath": "/pod"}],
    });
    if let (Some(fields), Value::Object(more)) = (container.as_object_mut(), more) {
        fields.extend(more);
    }
    container
}

fn create(lab: &Lab, name: &str, mut spec: Value) -> Result<()> {
    let folder = folder(lab, name);
    fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
    let mut volumes = vec![json!({"name": "pod", "hostPath": {"path": folder}})];
    volumes.extend(spec["volumes"].as_array().into_iter().flatten().cloned());
    spec["volumes"] = volumes.into();
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec});
    lab.apply(&pod.to_string())?;
    Ok(())
}

fn get(lab: &Lab, name: &str) -> Result<Value> {
    lab.pod(name)
}

/// Status of one container, of whatever kind.
fn status<'p>(pod: &'p Value, name: &str) -> Result<&'p Value> {
    let lists = ["initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses"];
    let mut all = lists.iter().filter_map(|list| pod["status"][list].as_array()).flatten();
    all.find(|status| status["name"] == name)
        .with_context(|| format!("no status of {name}: {}", pod["status"]))
}

fn runs(pod: &Value, name: &str) -> Result<()> {
    let status = status(pod, name)?;
    ensure!(status["state"]["running"].is_object(), "{name} does not run: {status}");
    Ok(())
}

fn create_sidecars(lab: &Lab) -> Result<()> {
    let begin = |name: &str| format!("say '{name} up'; trap 'say \"{name} down\"; exit 0' TERM; ");
    let started = |name: &str| format!("sleep 1; say '{name} started'; : > /tmp/started; stay");
    let sidecar = |name: &str, hook: Value| {
        let probe = json!({"exec": {"command": ["sh", "-c", "[ -e /tmp/started ]"]}, "periodSeconds": 1,
                           "timeoutSeconds": 10, "failureThreshold": 100});
        let more = json!({"restartPolicy": "Always", "startupProbe": probe, "lifecycle": hook});
        container(name, &(begin(name) + &started(name)), more)
    };
    let hook = "echo 'early hook' >> /pod/journal; : > /pod/hooked";
    let hook = json!({"preStop": {"exec": {"command": ["sh", "-c", hook]}}});
    // It ends only when the hook of a sidecar has run that is stopped after it.
    let main = "say 'main up'; trap 'say \"main asked\"; until [ -e /pod/hooked ]; do sleep 0.1; done; \
                say \"main down\"; exit 0' TERM; stay";
    create(
        lab,
        "sidecars",
        json!({
            "terminationGracePeriodSeconds": 40,
            "initContainers": [
                sidecar("early", hook),
                container("between", "say between", json!({})),
                sidecar("late", Value::Null),
            ],
            "containers": [container("main", main, json!({}))],
        }),
    )
}

/// They start one after the other, each when the one before it has started, and stop the other way round, after the
/// regular containers. A preStop hook does not wait for the turn of its container.
fn sidecars(node: &Node) -> Result<()> {
    node.eventually("the pod with sidecars to be Ready", BOUND, |lab| {
        let pod = get(lab, "sidecars")?;
        ensure!(is_ready(&pod), "{}", pod["status"]);
        Ok(())
    })?;
    let up = ["early up", "early started", "between", "late up", "late started", "main up"];
    node.eventually("the last to tell that it is up", BOUND, |lab| {
        let journal = journal(lab, "sidecars");
        ensure!(journal == up, "they came up as {journal:?}");
        Ok(())
    })?;
    node.kubectl(&["delete", "pod", "sidecars", "--wait=false"])?;
    node.eventually("the pod with sidecars to go", BOUND, |lab| {
        gone(lab, "sidecars").with_context(|| format!("{:?}", journal(lab, "sidecars")))
    })?;
    let journal = journal(node, "sidecars");
    let end = journal.get(up.len()..).unwrap_or_default();
    ensure!(end.len() == 5, "they ended as {end:?}");
    ensure!(sorted(&end[..2]) == ["early hook", "main asked"], "they ended as {end:?}");
    ensure!(end[2..] == ["main down", "late down", "early down"], "they ended as {end:?}");
    Ok(())
}

fn create_debugged(lab: &Lab) -> Result<()> {
    let main = container("main", "say 'main up'; stay", json!({}));
    let unused = json!({"name": "unused", "emptyDir": {}});
    let spec = json!({"terminationGracePeriodSeconds": 1, "containers": [main], "volumes": [unused]});
    create(lab, "debugged", spec)
}

fn debug(lab: &Lab, name: &str, script: &str, more: &[&str]) -> Result<()> {
    let (image, container) = (format!("--image={}", images::BUSYBOX), format!("--container={name}"));
    let target = ["debug", "debugged", "--target=main", "--image-pull-policy=IfNotPresent"];
    lab.kubectl(&[&target[..], more, &[&image, &container, "--", "sh", "-c", script]].concat())?;
    Ok(())
}

/// They run once, among the processes of their target, and disturb nobody; not even a restart of the kubelet has one
/// run again.
fn debug_containers(node: &mut Node) -> Result<()> {
    let before = node.eventually("the pod to debug", BOUND, |lab| {
        let pod = get(lab, "debugged")?;
        runs(&pod, "main").map(|()| pod)
    })?;
    debug(node, "first", "cat /proc/1/cmdline; exit 3", &[])?;
    let ended = |lab: &Lab| {
        let pod = get(lab, "debugged")?;
        let first = status(&pod, "first")?.clone();
        ensure!(first["state"]["terminated"]["exitCode"] == 3, "it has not ended: {first}");
        Ok(first)
    };
    let first = node.eventually("the first debug container to end", BOUND, ended)?;
    ensure!(first["restartCount"] == 0, "{first}");
    let uid = before["metadata"]["uid"].as_str().context("no uid")?;
    let log = node.paths().pod_logs.join(format!("default_debugged_{uid}/first/0.log"));
    let log = fs::read_to_string(&log).with_context(|| format!("read {}", log.display()))?;
    ensure!(log.contains("main up"), "it does not see the target's process but {log:?}");

    node.lab()?.kubelet().kill()?;
    node.lab()?.kubelet().start()?;
    debug(node, "second", "while true; do sleep 0.1; done", &[])?;
    node.eventually("the second debug container to run", BOUND, |lab| {
        runs(&get(lab, "debugged")?, "second")
    })?;
    // The first that mounts a volume of the pod.
    let mounts = node.paths().dir.join("debug.json");
    fs::write(&mounts, json!({"volumeMounts": [{"name": "unused", "mountPath": "/unused"}]}).to_string())?;
    let custom = format!("--custom={}", mounts.display());
    debug(node, "third", "echo here > /unused/file && exit 4", &[&custom])?;
    node.eventually("a debug container with a volume to end", BOUND, |lab| {
        let pod = get(lab, "debugged")?;
        let third = status(&pod, "third")?;
        ensure!(third["state"]["terminated"]["exitCode"] == 4, "{third}");
        Ok(())
    })?;
    let again = ended(node)?;
    ensure!(again["containerID"] == first["containerID"], "it ran again: {first}, then {again}");
    let after = get(node, "debugged")?;
    let id = |pod: &Value| Ok::<_, anyhow::Error>(status(pod, "main")?["containerID"].clone());
    ensure!(id(&before)? == id(&after)?, "the target was replaced: {}", after["status"]);
    ensure!(after["status"]["phase"] == "Running", "{}", after["status"]);
    Ok(())
}

fn create_together(lab: &Lab) -> Result<()> {
    let trigger = "say 'trigger up'; [ -e /pod/again ] && stay; until [ -e /pod/go ]; do sleep 0.1; done; \
                   : > /pod/again; exit 42";
    let rule = json!({"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [42]}});
    let rule = json!({"restartPolicy": "Never", "restartPolicyRules": [rule]});
    create(
        lab,
        "together",
        json!({
            "terminationGracePeriodSeconds": 1,
            "restartPolicy": "Never",
            "initContainers": [container("prepare", "say prepare", json!({}))],
            "containers": [container("trigger", trigger, rule), container("other", "say 'other up'; stay", json!({}))],
        }),
    )
}

fn sandbox(lab: &Lab, pod: &str) -> Result<String> {
    let filter =
        format!("labels.\"io.kubernetes.pod.name\"=={pod},labels.\"io.cri-containerd.kind\"==sandbox");
    let id = lab.ctr(&["containers", "ls", "--quiet", &filter])?;
    ensure!(id.lines().count() == 1, "not one sandbox of {pod}: {id:?}");
    Ok(id)
}

/// One exit code has all containers start over, the init container too, in the sandbox that is there, though the
/// policies of pod and container would never start any of them again.
fn all_together(node: &Node) -> Result<()> {
    let both = |pod: &Value| runs(pod, "trigger").and_then(|()| runs(pod, "other"));
    let before = node.eventually("both containers to run", BOUND, |lab| {
        let pod = get(lab, "together")?;
        ensure!(journal(lab, "together").len() == 3, "not all have told that they run");
        both(&pod).map(|()| pod)
    })?;
    let old = sandbox(node, "together")?;
    mark(node, "together", "go")?;
    let after = node.eventually("all to have started over", BOUND, |lab| {
        let pod = get(lab, "together")?;
        both(&pod)?;
        for name in ["prepare", "trigger", "other"] {
            let status = status(&pod, name)?;
            ensure!(status["restartCount"] == 1, "{status}");
        }
        ensure!(condition(&pod, "AllContainersRestarting")["status"] == "False", "{}", pod["status"]);
        ensure!(journal(lab, "together").len() == 6, "not all have told that they run again");
        Ok(pod)
    })?;
    for name in ["trigger", "other"] {
        let ended = &status(&after, name)?["lastState"]["terminated"];
        ensure!(ended["reason"] == "RestartingAllContainers" && ended["exitCode"] == 137, "{name}: {ended}");
    }
    ensure!(
        before["status"]["podIP"] == after["status"]["podIP"],
        "the address changed: {}",
        after["status"]
    );
    ensure!(sandbox(node, "together")? == old, "the sandbox was replaced");
    let journal = journal(node, "together");
    for round in journal.chunks(3) {
        let (first, rest) = round.split_first().context("a round of nothing")?;
        ensure!(first == "prepare" && sorted(rest) == ["other up", "trigger up"], "they ran as {journal:?}");
    }
    Ok(())
}

fn create_ruled(lab: &Lab) -> Result<()> {
    let script = "[ -e /pod/again ] && exit 3; : > /pod/again; exit 42";
    let rule = json!({"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}});
    let rule = json!({"restartPolicy": "Never", "restartPolicyRules": [rule]});
    create(lab, "ruled", json!({"restartPolicy": "Never", "containers": [container("main", script, rule)]}))
}

/// A rule starts a container again for the codes that it names, and for no other.
fn ruled(node: &Node) -> Result<()> {
    let pod = node.eventually("the pod with a rule to fail", BOUND, |lab| {
        let pod = get(lab, "ruled")?;
        ensure!(pod["status"]["phase"] == "Failed", "{}", pod["status"]);
        Ok(pod)
    })?;
    let main = status(&pod, "main")?;
    ensure!(main["state"]["terminated"]["exitCode"] == 3 && main["restartCount"] == 1, "{main}");
    ensure!(main["lastState"]["terminated"]["exitCode"] == 42, "{main}");
    Ok(())
}

fn kinds(runtime: Runtime, name: &str) -> Result<()> {
    let mut node = Node::plain(name, Mode::Cluster, runtime)?;
    for create in [create_sidecars, create_debugged, create_together, create_ruled] {
        create(&node)?;
    }
    ruled(&node)?;
    all_together(&node)?;
    sidecars(&node)?;
    debug_containers(&mut node)?;
    node.kubectl(&["delete", "pods", "--all", "--wait=false"])?;
    node.eventually("nothing to be left", BOUND, nothing_left)?;
    node.down()
}

#[test]
#[ignore = "wants root, containerd and the control plane: make test"]
fn containers_of_every_kind_on_containerd_2() {
    kinds(Runtime::Containerd2, "t-kinds2").unwrap();
}
