//! A swap of kubelets on a live node: upstream's is stopped and ours started with the same flags and files, and the
//! other way round. No container may notice, no status may be lost, Ready may not flip in any version that the API
//! server shows, folders and cgroups stay, and what one kubelet started the other one must be able to delete. Meanwhile
//! other pods come and go, and a container is killed before, in or after the gap: it is replaced once, and its end told.
//!
//! The variable `KUBELET_SWAPS` says how many swaps are made in a row; three by default: to ours, back, and to ours
//! again. The long run is `KUBELET_SWAPS=10`: some five minutes a runtime.
//!
//! Upstream's own restart changes what the API shows of some pods ([`CHANGED_BY_UPSTREAM`]); ours changes nothing.

use std::{collections::BTreeMap, fs, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use lab::{KubeletBinary, Lab, Mode, Runtime, Spec, wait};
use node_tests::{Node, is_ready, nothing_left, ours, recorder::Recorder};
use serde_json::Value;

use self::{
    holdings::kept,
    identity::{containers, identity, instances, processes, summary},
    shapes::{CHURN, PODS, TOGGLED, settled, static_pod, victim},
};

mod holdings;
mod identity;
mod shapes;

/// Pods that are told to go before the first swap, and cannot before the last: one runs its hook, the other ignores its
/// signal.
const LEAVING: &str = "shape in (leaving, stopping)";

/// Longest for anything to come about. Failing pulls and crash loops back off up to half of it.
const BOUND: Duration = Duration::from_secs(240);

/// Pods of which upstream's kubelet changes more than instances of containers whenever it starts, also when it was
/// upstream's before (`KUBELET_BIN=upstream` shows that). Ours changes none of them.
const CHANGED_BY_UPSTREAM: &[&str] = &[
    // Static pods start from nothing: their start time is new, Ready flips until the first probe.
    "fixed",
    "hashed",
    // Why a container waits is forgotten until the step has failed again.
    "never-pulled",
    "no-image",
    "no-key",
    // Pods that have ended lose their addresses.
    "failed",
    "on-failure",
    "succeeded",
    // A container that runs for more than 10 s counts as started, though its startup probe never succeeded.
    "not-started",
];

/// Lets readiness of the pod `probes` go and come again: proof that the kubelet probes and reports.
fn toggle(node: &Node) -> Result<()> {
    let ready = |want: bool| {
        move |lab: &Lab| {
            let pod = lab.pod("toggled")?;
            ensure!(is_ready(&pod) == want, "{}", summary(&pod));
            Ok(pod["status"]["podIP"].as_str().unwrap_or_default().to_owned())
        }
    };
    let ip = node.eventually("the toggled pod to be Ready", BOUND, ready(true))?;
    for (code, want) in [(500, false), (200, true)] {
        let url = format!("http://{ip}:8080/control/http?status={code}&path=/readyz");
        let status = node.command("curl").args(["--silent", "--max-time", "10", &url]).output()?.status;
        ensure!(status.success(), "cannot switch the toggled pod: {status}");
        node.eventually("the toggled pod to follow its probe", BOUND, ready(want))?;
    }
    Ok(())
}

/// What differs between two accounts of a pod.
fn difference(before: &Value, after: &Value, to: &KubeletBinary) -> Vec<String> {
    let shape = before.pointer("/metadata/labels/shape").and_then(Value::as_str).unwrap_or_default();
    let facts = match (to, shape) {
        (KubeletBinary::Upstream, shape) if CHANGED_BY_UPSTREAM.contains(&shape) => instances,
        // Ours does not wait for volumes before it makes a sandbox.
        (_, "no-volume") => instances,
        _ => identity,
    };
    let (old, new) = (facts(before), facts(after));
    let lost = old.iter().filter(|fact| !new.contains(fact)).map(|fact| format!("- {fact}"));
    let gained = new.iter().filter(|fact| !old.contains(fact)).map(|fact| format!("+ {fact}"));
    lost.chain(gained).collect()
}

/// When a container is killed.
#[derive(Clone, Copy, PartialEq)]
enum Moment {
    /// While the old kubelet still runs.
    Before,
    /// While none does.
    Between,
    /// While the new one starts.
    After,
}

impl Moment {
    fn of(round: usize) -> Self {
        [Self::Between, Self::After, Self::Before][(round - 1) % 3]
    }
}

/// Id of a pod's first container, as the runtime knows it.
fn id_of(pod: &Value) -> Result<&str> {
    let id = pod.pointer("/status/containerStatuses/0/containerID").and_then(Value::as_str);
    let id = id.context("the container has no id")?;
    id.split_once("://").map(|(_, id)| id).with_context(|| format!("{id} is no container id"))
}

struct Swaps {
    node: Node,
    folder: String,
}

impl Swaps {
    fn apply(&self, text: &str) -> Result<()> {
        self.node.apply(&text.replace("@DIR@", &self.folder)).map(drop)
    }

    fn prepare(&self) -> Result<()> {
        self.apply(PODS)?;
        self.apply(CHURN)?;
        self.apply(TOGGLED)?;
        self.node.add_static_pod("fixed.yaml", &static_pod("fixed", ", uid: fixed-uid-1"))?;
        self.node.add_static_pod("hashed.yaml", &static_pod("hashed", ""))?;
        self.node.eventually("the pod of the ephemeral container", BOUND, |lab| {
            let pod = lab.pod("ephemeral")?;
            ensure!(is_ready(&pod), "{}", summary(&pod));
            Ok(())
        })?;
        let patch = r#"{"spec": {"ephemeralContainers": [{"name": "debug", "image": "registry.test/testbox:1",
            "args": ["sleep"], "targetContainerName": "main"}]}}"#;
        self.node.kubectl(&[
            "patch",
            "pod",
            "ephemeral",
            "--subresource=ephemeralcontainers",
            "--patch",
            patch,
        ])?;
        self.node.eventually("the pods that are to leave", BOUND, |lab| {
            let pods = node_tests::pods(lab, LEAVING)?;
            ensure!(pods.len() == 2, "{} pods, not 2", pods.len());
            let bad: Vec<_> = pods.iter().filter(|pod| !is_ready(pod)).map(summary).collect();
            ensure!(bad.is_empty(), "{bad:?}");
            Ok(())
        })?;
        self.node.kubectl(&["delete", "pods", "--selector", LEAVING, "--wait=false"]).map(drop)
    }

    /// Pods come and go while the kubelets change.
    fn churn(&self, round: usize) -> Result<()> {
        self.node.kubectl(&["delete", "pods", "--selector=app=churn", "--wait=false"])?;
        let replicas = format!("--replicas={}", 2 + round % 2 * 2);
        self.node.kubectl(&["scale", "deployment/churn", &replicas]).map(drop)
    }

    fn churned(&self, round: usize) -> Result<()> {
        let count = 2 + round % 2 * 2;
        self.node.eventually("the churn to settle", BOUND, |lab| {
            let pods = node_tests::pods(lab, "app=churn")?;
            ensure!(pods.len() == count, "{} pods, not {count}", pods.len());
            let bad: Vec<_> = pods.iter().filter(|pod| !is_ready(pod)).map(summary).collect();
            ensure!(bad.is_empty(), "{bad:?}");
            Ok(())
        })
    }

    /// One swap.
    fn swap(&mut self, round: usize, to: &KubeletBinary) -> Result<()> {
        self.apply(&victim(round))?;
        let victim = format!("victim-{round}");
        self.node.eventually("the victim to run", BOUND, |lab| {
            let pod = lab.pod(&victim)?;
            ensure!(is_ready(&pod), "{}", summary(&pod));
            Ok(())
        })?;
        let mut before = self.node.eventually("every shape to settle", BOUND, settled)?;
        let processes_before = processes(&self.node)?;
        let mut kept_before = kept(&self.node, &before)?;
        let recorder = Recorder::of(&self.node)?;
        self.node.eventually("the watch to begin", BOUND, |_| {
            let missing =
                recorder.look(|pasts| before.keys().filter(|name| !pasts.contains_key(*name)).count())?;
            ensure!(missing == 0, "{missing} pods were not told of yet");
            Ok(())
        })?;

        let doomed = self.node.pod("killed")?;
        self.churn(round)?;
        self.kill_in(Moment::Before, round, &doomed)?;
        let lab = self.node.lab()?;
        // Both ways out of a kubelet's life.
        if round.is_multiple_of(2) {
            lab.kubelet().stop()?
        } else {
            lab.kubelet().kill()?
        }
        lab.kubelet().set_binary(to)?;
        self.kill_in(Moment::Between, round, &doomed)?;
        let lab = self.node.lab()?;
        lab.kubelet().spawn()?;
        self.kill_in(Moment::After, round, &doomed)?;
        let lab = self.node.lab()?;
        wait::until("the kubelet to answer", BOUND, || {
            Ok(match lab.kubelet().healthz() {
                Ok(()) => wait::Look::Ready(()),
                Err(error) => wait::Look::NotYet(format!("{error:#}")),
            })
        })?;
        lab.wait_node_ready(BOUND)?;

        toggle(&self.node)?;
        self.restarted(round, &doomed, to)?;
        self.churned(round)?;
        self.node.kubectl(&["delete", "pod", &victim, "--wait=false"])?;
        self.node.eventually("the victim to go", BOUND, |lab| {
            ensure!(node_tests::pods(lab, &format!("victim={round}"))?.is_empty(), "it is there");
            Ok(())
        })?;
        ensure!(
            fs::read_to_string(format!("{}/victim-{round}", self.folder))?.trim() == "stopped",
            "the victim's preStop hook did not run"
        );
        self.unchanged(&before, &recorder, to)?;
        if *to == KubeletBinary::Upstream {
            self.node.kubectl(&["delete", "pod", "not-started"])?;
            before.remove("not-started");
            kept_before.retain(|line| !line.contains("UID-not-started"));
            self.apply(PODS)?;
        }
        self.node.eventually("every shape to be as it was", BOUND, settled)?;
        self.unchanged(&before, &recorder, to)?;
        self.undisturbed(&before, &processes_before)?;
        self.node.eventually("folders and cgroups to be as they were", BOUND, |lab| {
            let now = kept(lab, &before)?;
            let lost: Vec<_> = kept_before.difference(&now).collect();
            let gained: Vec<_> = now.difference(&kept_before).collect();
            ensure!(lost.is_empty() && gained.is_empty(), "lost {lost:#?}, gained {gained:#?}");
            Ok(())
        })
    }

    /// Kills the container of the pod `killed`, if this is the moment for it in this round.
    fn kill_in(&self, moment: Moment, round: usize, pod: &Value) -> Result<()> {
        if Moment::of(round) != moment {
            return Ok(());
        }
        self.node.ctr(&["tasks", "kill", "--signal", "SIGKILL", id_of(pod)?]).map(drop)
    }

    /// The container that was killed was replaced once, and its end is told.
    fn restarted(&self, round: usize, before: &Value, to: &KubeletBinary) -> Result<()> {
        let killed = id_of(before)?;
        let count = |pod: &Value| containers(pod)[0]["restartCount"].as_u64().unwrap_or_default();
        let pod = self.node.eventually("the killed container to be replaced", BOUND, |lab| {
            let pod = lab.pod("killed")?;
            ensure!(is_ready(&pod) && id_of(&pod)? != killed, "{}", summary(&pod));
            Ok(pod)
        })?;
        let more = count(&pod) - count(before);
        let last = &containers(&pod)[0]["lastState"]["terminated"];
        // What the old kubelet had created but not started, upstream's replaces and counts.
        if more == 2 && *to == KubeletBinary::Upstream && Moment::of(round) == Moment::Before {
            return Ok(());
        }
        ensure!(more == 1, "it restarted {more} times, not once");
        let id = last["containerID"].as_str().unwrap_or_default();
        ensure!(id.ends_with(killed) && last["exitCode"] == 137, "its last state is {last}");
        Ok(())
    }

    /// No event of the watch may ever have shown another identity.
    fn unchanged(
        &self,
        before: &BTreeMap<String, Value>,
        recorder: &Recorder,
        to: &KubeletBinary,
    ) -> Result<()> {
        let mut wrong = recorder.look(|pasts| {
            let mut wrong: BTreeMap<String, Vec<String>> = BTreeMap::new();
            for (name, old) in before {
                let Some(past) = pasts.get(name) else { continue };
                let changes = wrong.entry(name.clone()).or_default();
                if past.gone {
                    changes.push("the object was deleted".to_owned());
                }
                changes.extend(past.versions.iter().flat_map(|version| difference(old, version, to)));
            }
            wrong
        })?;
        wrong.retain(|_, changes| !changes.is_empty());
        if wrong.is_empty() {
            return Ok(());
        }
        let mut text = String::new();
        for (name, mut changes) in wrong {
            changes.dedup();
            text.push_str(&format!("{name}:\n  {}\n", changes.join("\n  ")));
        }
        bail!("the swap changed what the API shows of\n{text}")
    }

    /// The same processes run, and none twice.
    fn undisturbed(&self, before: &BTreeMap<String, Value>, old: &identity::Processes) -> Result<()> {
        let new = processes(&self.node)?;
        for ((uid, container), running) in &new {
            ensure!(running.len() == 1, "{} processes run as {container:?} of the pod {uid}", running.len());
        }
        // A static pod's uid is in its mirror's annotation.
        for (name, pod) in before.iter().filter(|(name, _)| *name != "no-volume") {
            let mirror = pod.pointer("/metadata/annotations/kubernetes.io~1config.mirror");
            let uid = mirror.unwrap_or(&pod["metadata"]["uid"]).as_str().unwrap_or_default();
            let of = |all: &identity::Processes| -> identity::Processes {
                all.iter().filter(|((of, _), _)| of == uid).map(|(k, v)| (k.clone(), v.clone())).collect()
            };
            ensure!(of(old) == of(&new), "{name}: {:?} ran before, {:?} now", of(old), of(&new));
        }
        Ok(())
    }

    /// Everything can be deleted cleanly by whichever kubelet runs last.
    fn finish(&self) -> Result<()> {
        fs::write(format!("{}/leave", self.folder), "")?;
        self.node.eventually("the leaving pods to leave", BOUND, |lab| {
            let left = node_tests::pods(lab, LEAVING)?.len();
            ensure!(left == 0, "{left} are there");
            Ok(())
        })?;
        self.node.kubectl(&["delete", "deployments", "--all", "--wait=false"])?;
        self.node.kubectl(&["delete", "pods", "--all", "--wait=false"])?;
        for file in ["fixed.yaml", "hashed.yaml"] {
            fs::remove_file(self.node.paths().manifests.join(file))?;
        }
        self.node.eventually("nothing to be left", BOUND, |lab| {
            let pods = lab.api()?.selected("pods", "")?;
            ensure!(pods.is_empty(), "pods are left: {:?}", pods.iter().map(summary).collect::<Vec<_>>());
            nothing_left(lab)
        })?;
        ensure!(
            fs::read_to_string(format!("{}/hooked", self.folder))?.trim() == "stopped",
            "the preStop hook did not run"
        );
        Ok(())
    }
}

fn swaps(runtime: Runtime, name: &str) -> Result<()> {
    let count: usize = match std::env::var("KUBELET_SWAPS") {
        Ok(text) => text.parse().context("KUBELET_SWAPS is no number")?,
        Err(_) => 3,
    };
    let mut spec = Spec::new(name, Mode::Cluster)?;
    spec.runtime = runtime;
    spec.kubelet = KubeletBinary::Upstream;
    let node = Node::up(spec)?;
    let folder = node.paths().dir.join("host").display().to_string();
    fs::create_dir_all(&folder)?;
    // A pod of the user 1000 writes here too.
    let mut swaps = Swaps { node, folder };
    swaps.prepare()?;
    for round in 1..=count {
        let to = if round % 2 == 1 { ours()? } else { KubeletBinary::Upstream };
        swaps.swap(round, &to).with_context(|| format!("swap {round} of {count}, to {to:?}"))?;
        eprintln!("swap {round} of {count}, to {to:?}: fine");
    }
    swaps.finish()?;
    swaps.node.down()
}

#[test]
#[ignore = "wants root, containerd and the control plane: make test"]
fn swaps_on_containerd_2() {
    swaps(Runtime::Containerd2, "t-swap2").unwrap();
}

#[test]
#[ignore = "wants root, containerd and the control plane: make test"]
fn swaps_on_containerd_1() {
    swaps(Runtime::Containerd1, "t-swap1").unwrap();
}
