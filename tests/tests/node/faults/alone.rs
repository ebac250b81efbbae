//! A node without an API server under faults: starts that fail, systemd, and manifests of every bad kind.

use std::{fs, os::unix::fs::symlink, process::Command};

use anyhow::{Result, ensure};
use lab::{Lab, Mode, Service, Spec};
use node_tests::Node;

use super::{BOUND, Log, start, static_sleeper};

/// Manifests that no pod can be made of, and what the log has to say about each, with the file's name.
fn bad_manifests() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let edited = |name: &str, from: &str, to: &str| static_sleeper(name).replace(from, to).into_bytes();
    let bomb = (0..9).fold("a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned(), |text, at| {
        let list = vec![format!("*a{at}"); 9].join(", ");
        format!("{text}a{}: &a{} [{list}]\n", at + 1, at + 1)
    });
    vec![
        ("garbage.yaml", (0..4096u32).map(|at| (at * 7 % 251) as u8).collect(), "is neither YAML nor JSON"),
        ("huge.yaml", vec![b'a'; (10 << 20) + 1], "has more than 10485760 bytes"),
        ("empty.yaml", Vec::new(), "is empty"),
        (
            "deep.yaml",
            format!("kind: Pod\nspec: {}", "[".repeat(50_000)).into_bytes(),
            "is neither YAML nor JSON",
        ),
        ("bomb.yaml", bomb.into_bytes(), "is neither YAML nor JSON"),
        ("kind.yaml", edited("k", "kind: Pod", "kind: Podd"), "holds a Podd, not a Pod"),
        ("deployment.yaml", edited("d", "kind: Pod", "kind: Deployment"), "holds a Deployment, not a Pod"),
        ("version.yaml", edited("v", "apiVersion: v1", "apiVersion: v7"), "not a pod: apiVersion"),
        ("name.yaml", static_sleeper("Bad_Name").into_bytes(), "metadata.name"),
        (
            "namespace.yaml",
            edited("spaced", "name: spaced}", "name: spaced, namespace: A_b}"),
            "metadata.namespace",
        ),
        ("image.yaml", edited("i", "image: registry.test/busybox:1", "imagePullPolicy: Never"), "image"),
        ("nospec.yaml", b"apiVersion: v1\nkind: Pod\nmetadata: {name: s}\n".to_vec(), "spec.containers"),
        (
            "reference.yaml",
            edited("r", "    command:", "    envFrom: [{configMapRef: {name: x}}]\n    command:"),
            "static pods may not reference configmaps",
        ),
        (
            "account.yaml",
            edited("a", "spec:", "spec:\n  serviceAccountName: x"),
            "static pods may not reference serviceaccounts",
        ),
    ]
}

fn tasks(lab: &Lab) -> Result<Vec<String>> {
    Ok(lab.ctr(&["tasks", "ls", "--quiet"])?.lines().map(str::to_owned).collect())
}

/// Each bad manifest is told once, with its file and a cause; its neighbours start, run and go.
fn manifests(node: &Node) -> Result<()> {
    node.add_static_pod("before.yaml", &static_sleeper("before"))?;
    node.wait_pod_seen("default", "before", BOUND)?;
    let before = tasks(node)?;
    let log = Log::mark(node);
    let folder = node.paths().manifests.clone();
    let bad = bad_manifests();
    for (name, text, _) in &bad {
        // Beside, then renamed: whole at once, as tools write manifests.
        let partial = node.paths().dir.join(name);
        fs::write(&partial, text)?;
        fs::rename(&partial, folder.join(name))?;
    }
    fs::create_dir(folder.join("folder.yaml"))?;
    symlink("/none", folder.join("dangling.yaml"))?;
    symlink("loop.yaml", folder.join("loop.yaml"))?;
    symlink("/dev/zero", folder.join("zero.yaml"))?;
    ensure!(Command::new("mkfifo").arg(folder.join("pipe.yaml")).status()?.success(), "mkfifo failed");
    node.add_static_pod("zz-after.yaml", &static_sleeper("after"))?;
    node.wait_pod_seen("default", "after", BOUND)?;
    let told = |text: &str, name: &str, cause: &str| {
        let blocks: Vec<&str> = text.split("\nE").filter(|block| block.contains(name)).collect();
        (blocks.len(), blocks.iter().any(|block| block.contains(cause)))
    };
    node.eventually("every bad manifest to be told", BOUND, |lab| {
        let text = log.since(lab);
        for (name, _, cause) in &bad {
            let (_, with_cause) = told(&text, name, cause);
            ensure!(with_cause, "{name} is not told with {cause:?}");
        }
        for name in ["dangling.yaml", "loop.yaml"] {
            ensure!(text.contains(name), "{name} is not told");
        }
        Ok(())
    })?;
    // Another look at the folder: nothing is told again.
    node.add_static_pod("zz-last.yaml", &static_sleeper("last"))?;
    node.wait_pod_seen("default", "last", BOUND)?;
    let text = log.since(node);
    for (name, _, cause) in &bad {
        let (times, _) = told(&text, name, cause);
        ensure!(times == 1, "{name} is told {times} times");
    }
    let after = tasks(node)?;
    ensure!(before.iter().all(|task| after.contains(task)), "a running container was replaced");
    ensure!(node.service(Service::Kubelet).is_running(), "the kubelet ended");
    // A bad manifest that is mended becomes a pod.
    node.add_static_pod("kind.yaml", &static_sleeper("mended"))?;
    node.wait_pod_seen("default", "mended", BOUND).map(drop)
}

#[test]
#[ignore = "wants root and containerd: make test"]
fn a_node_alone_under_faults() {
    let mut node = Node::up(Spec::new("t-alone", Mode::Standalone).unwrap()).unwrap();
    node.lab().unwrap().kubelet().stop().unwrap();
    start::bad(&node).unwrap();
    start::notifies(&mut node).unwrap();
    node.lab().unwrap().kubelet().start().unwrap();
    manifests(&node).unwrap();
    node.down().unwrap();
}
