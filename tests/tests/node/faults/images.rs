//! Image pulls that go well and badly, in upstream's words, and a root directory on a full disk.

use std::{fs, process::Command};

use anyhow::{Context as _, Result, ensure};
use lab::{Lab, Mode, Service, Signal, Spec};
use node_tests::{Node, gone};
use serde_json::{Map, json};

use super::{BOUND, Kept, Log, events, pod, running, waiting};

const SECRETS: &str = r#"
apiVersion: v1
kind: Secret
metadata: {name: right}
type: kubernetes.io/dockerconfigjson
stringData: {.dockerconfigjson: '{"auths":{"private.registry.test":{"username":"lab","password":"sesame"}}}'}
---
apiVersion: v1
kind: Secret
metadata: {name: right-old}
type: kubernetes.io/dockercfg
stringData: {.dockercfg: '{"https://private.registry.test":{"auth":"bGFiOnNlc2FtZQ=="}}'}
---
apiVersion: v1
kind: Secret
metadata: {name: wrong}
type: kubernetes.io/dockerconfigjson
stringData: {.dockerconfigjson: '{"auths":{"private.registry.test":{"username":"lab","password":"guess"}}}'}
---
"#;

/// A pod with an image and a pull policy, and its pull secrets.
fn puller(name: &str, image: &str, policy: &str, secrets: &[&str]) -> String {
    let secrets = secrets.iter().map(|secret| format!("{{name: {secret}}}")).collect::<Vec<_>>().join(", ");
    let command =
        if image.contains("busybox") { ", command: [sleep, \"100000\"]" } else { ", args: [serve]" };
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec:\n  terminationGracePeriodSeconds: 1\n  \
         imagePullSecrets: [{secrets}]\n  containers: [{{name: c, image: \"{image}\", imagePullPolicy: {policy}{command}}}]\n---\n"
    )
}

/// Digest of an image that the runtime has.
fn digest(lab: &Lab, image: &str) -> Result<String> {
    let images = lab.ctr(&["images", "ls"])?;
    let line = images.lines().find(|line| line.starts_with(&format!("{image} "))).context("no such image")?;
    line.split_whitespace().find(|word| word.starts_with("sha256:")).map(str::to_owned).context("no digest")
}

/// A pod waits with a reason and a text, for which upstream has the same words.
fn waits(node: &Node, name: &str, reasons: [&str; 2], texts: &[&str]) -> Result<()> {
    node.eventually(&format!("{name} to say why it waits"), BOUND, |lab| {
        let (reason, message) = waiting(&pod(lab, name)?)?;
        ensure!(reasons.contains(&reason.as_str()), "{reason}: {message}");
        for text in texts {
            ensure!(message.contains(text), "{reason}: {message}");
        }
        Ok(())
    })
}

const PULL: [&str; 2] = ["ErrImagePull", "ImagePullBackOff"];
const NOT_FOUND: &str =
    "rpc error: code = NotFound desc = failed to pull and unpack image \"registry.test/none:1\"";

fn forms(node: &mut Node) -> Result<()> {
    let busybox = digest(node, "registry.test/busybox:1")?;
    let private = "private.registry.test/busybox:1";
    node.apply(SECRETS)?;
    let pods = [
        puller("config", private, "Always", &["wrong", "right"]),
        puller("cfg", private, "Always", &["right-old"]),
        puller("digest", &format!("registry.test/busybox@{busybox}"), "Always", &[]),
        puller("always", "registry.test/busybox:1", "Always", &[]),
        puller("wrong", "private.registry.test/testbox:1", "Always", &["wrong", "missing"]),
        puller("node", "private.registry.test/testbox:1", "Always", &[]),
        puller("absent", "registry.test/none:1", "IfNotPresent", &[]),
        puller("never", "registry.test/none:2", "Never", &[]),
        puller("name", "registry.test/NONE:2", "Always", &[]),
    ];
    node.apply(&pods.concat())?;
    for name in ["config", "cfg", "digest", "always"] {
        node.eventually(&format!("{name} to run"), BOUND, |lab| running(lab, name))?;
        let pulled = events(node, name, "Pulled")?;
        ensure!(
            pulled.iter().any(|text| text.starts_with("Successfully pulled image")),
            "{name}: {pulled:?}"
        );
    }
    waits(node, "wrong", PULL, &["401 Unauthorized"])?;
    let missing =
        "Unable to retrieve some image pull secrets (missing); attempting to pull the image may not succeed.";
    node.eventually("the missing secret to be told", BOUND, |lab| {
        let told = events(lab, "wrong", "FailedToRetrieveImagePullSecret")?;
        ensure!(told.iter().any(|text| text == missing), "{told:?}");
        Ok(())
    })?;
    waits(node, "node", PULL, &["no basic auth credentials"])?;
    waits(node, "absent", PULL, &[NOT_FOUND])?;
    waits(
        node,
        "absent",
        ["ImagePullBackOff"; 2],
        &["Back-off pulling image \"registry.test/none:1\": ErrImagePull: rpc"],
    )?;
    let failed = events(node, "absent", "Failed")?;
    let full = format!("Failed to pull image \"registry.test/none:1\": {NOT_FOUND}");
    ensure!(failed.iter().any(|text| text.starts_with(&full)), "{failed:?}");
    let never = "Container image \"registry.test/none:2\" is not present with pull policy of Never";
    waits(node, "never", ["ErrImageNeverPull"; 2], &[never])?;
    let lower = "invalid reference format: repository name (NONE) must be lowercase";
    waits(node, "name", ["InvalidImageName"; 2], &[lower])?;

    // The node's own credentials count from the next try on.
    let config = r#"{"auths":{"private.registry.test":{"auth":"bGFiOnNlc2FtZQ=="}}}"#;
    fs::write(node.paths().kubelet_root.join("config.json"), config)?;
    node.eventually("the node's credentials to be used", BOUND, |lab| running(lab, "node"))?;
    fs::remove_file(node.paths().kubelet_root.join("config.json"))?;
    others_images(node)?;
    let all = ["config", "cfg", "digest", "always", "wrong", "node", "absent", "never", "name"];
    let mut delete = vec!["delete", "pod", "--wait=false"];
    delete.extend(all);
    node.kubectl(&delete).map(drop)
}

/// An image that a pod's secret pulled is there for pods with that secret, and for nobody else; also after a restart.
fn others_images(node: &mut Node) -> Result<()> {
    let image = "private.registry.test/busybox:1";
    for run in ["first", "after-restart"] {
        let names = ["owner", "copy", "stranger", "quiet"].map(|name| format!("{name}-{run}"));
        let [owner, copy, stranger, quiet] = &names;
        let pods = [
            puller(owner, image, "IfNotPresent", &["right"]),
            puller(copy, image, "Never", &["right-old"]),
            puller(stranger, image, "IfNotPresent", &[]),
            puller(quiet, image, "Never", &["wrong"]),
        ];
        node.apply(&pods.concat())?;
        for name in [owner, copy] {
            node.eventually(&format!("{name} to run"), BOUND, |lab| running(lab, name))?;
            let told = events(node, name, "Pulled")?;
            let text = format!(
                "Container image \"{image}\" already present on machine and can be accessed by the pod"
            );
            ensure!(told == [text], "{name}: {told:?}");
        }
        waits(node, stranger, PULL, &["no basic auth credentials"])?;
        let never = format!("Container image \"{image}\" is not present with pull policy of Never");
        waits(node, quiet, ["ErrImageNeverPull"; 2], &[&never])?;
        let mut delete = vec!["delete", "pod", "--wait=false"];
        delete.extend(names.iter().map(String::as_str));
        node.kubectl(&delete)?;
        node.lab()?.kubelet().stop()?;
        node.lab()?.kubelet().start()?;
    }
    Ok(())
}

/// The order in which pulls ended, as the log tells it, while one registry hangs for a while.
fn order_of_pulls(node: &Node, run: u32) -> Result<Vec<String>> {
    let names = [format!("slow-{run}"), format!("quick-{run}")];
    let log = Log::mark(node);
    node.service(Service::Registry).signal(Signal::STOP)?;
    node.apply(&puller(&names[0], "registry.test/busybox:1", "Always", &[]))?;
    log.wait(node, "Pulling image \\\"registry.test/busybox:1\\\"")?;
    node.apply(&puller(&names[1], "private.registry.test/busybox:1", "Always", &["right"]))?;
    log.wait(node, "Pulling image \\\"private.registry.test/busybox:1\\\"")?;
    let quick = (run == 1)
        .then(|| node.eventually("the quick pull beside the slow", BOUND, |lab| running(lab, &names[1])));
    node.service(Service::Registry).signal(Signal::CONT)?;
    quick.transpose()?;
    for name in &names {
        node.eventually("both to run", BOUND, |lab| running(lab, name))?;
    }
    let text = log.since(node);
    let pulled =
        text.lines().filter(|line| line.contains("events.rs") && line.contains("Successfully pulled image"));
    let order =
        pulled.map(|line| if line.contains("private.") { "quick" } else { "slow" }.to_owned()).collect();
    node.kubectl(&["delete", "pod", &names[0], &names[1], "--wait=false"])?;
    Ok(order)
}

/// A full disk under the runtime: the pull says so, and succeeds when there is space again.
fn full_while_pulling(node: &Node) -> Result<()> {
    let content = node.paths().containerd.join("root/io.containerd.content.v1.content");
    let mounted =
        Command::new("mount").args(["-t", "tmpfs", "-o", "size=4k", "tmpfs"]).arg(&content).status()?;
    ensure!(mounted.success(), "cannot mount over {}", content.display());
    for part in ["blobs/sha256", "ingest"] {
        fs::create_dir_all(content.join(part))?;
    }
    let told = node
        .apply(&puller("full-pull", "registry.test/testbox:2", "Always", &[]))
        .and_then(|_| waits(node, "full-pull", PULL, &["no space left on device"]));
    lab::mounts::unmount_beneath(&content)?;
    told?;
    node.eventually("the pull to succeed with space", BOUND, |lab| running(lab, "full-pull"))?;
    node.kubectl(&["delete", "pod", "full-pull"]).map(drop)
}

const VOLUMES: &str = r#"
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {greeting: hello}
---
apiVersion: v1
kind: Pod
metadata: {name: full}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: c
    image: registry.test/busybox:1
    command: [sleep, "100000"]
    volumeMounts: [{name: settings, mountPath: /settings}]
  volumes: [{name: settings, configMap: {name: settings}}]
"#;

/// A full root directory: what needs space fails with a clear event, what runs goes on, and all is well with space.
fn full_root(node: &mut Node) -> Result<()> {
    node.lab()?.kubelet().stop()?;
    let root = node.paths().kubelet_root.clone();
    let mounted =
        Command::new("mount").args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"]).arg(&root).status()?;
    ensure!(mounted.success(), "cannot mount over {}", root.display());
    node.lab()?.kubelet().start()?;
    let kept = Kept::start(node)?;
    let ballast = root.join("ballast");
    // Ends with "no space left on device".
    drop(fs::write(&ballast, vec![0; 8 << 20]));
    node.apply(VOLUMES)?;
    node.eventually("the full disk to be told", BOUND, |lab| {
        let told = [events(lab, "full", "FailedMount")?, events(lab, "full", "Failed")?].concat();
        ensure!(told.iter().any(|text| text.to_lowercase().contains("no space left on device")), "{told:?}");
        Ok(())
    })?;
    ensure!(running(node, "full").is_err(), "it runs without its volume");
    kept.unharmed(node, "a full disk")?;
    fs::remove_file(&ballast)?;
    node.eventually("the pod to start with space", BOUND, |lab| running(lab, "full"))?;
    node.kubectl(&["delete", "pod", "full", "--wait=false"])?;
    node.kubectl(&["delete", "deployment", "keep"])?;
    node.eventually("its end", BOUND, |lab| gone(lab, "full"))
}

#[test]
#[ignore = "wants root, containerd and the control plane: make test"]
fn image_pulls_and_full_disks() {
    let mut node = Node::up(Spec::new("t-images", Mode::Cluster).unwrap()).unwrap();
    forms(&mut node).unwrap();
    assert_eq!(order_of_pulls(&node, 1).unwrap(), ["quick", "slow"], "side by side");
    full_while_pulling(&node).unwrap();
    let serial = json!({ "serializeImagePulls": true });
    let patch: Map<_, _> = serial.as_object().unwrap().clone();
    node.lab().unwrap().kubelet().stop().unwrap();
    node.lab().unwrap().kubelet().set_config(patch).unwrap();
    node.lab().unwrap().kubelet().start().unwrap();
    assert_eq!(order_of_pulls(&node, 2).unwrap(), ["slow", "quick"], "one after the other");
    full_root(&mut node).unwrap();
    node.down().unwrap();
}
