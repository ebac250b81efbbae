//! A node as operators have it: Debian with systemd, journald, swap, and one cgroup v2 hierarchy, in a virtual machine;
//! the kubelet is a unit with a watchdog and finds everything at its default place. Upstream's is the node's first, ours
//! takes over, and what both make of the same pods is compared.

use std::{collections::BTreeMap, path::Path, time::Duration};

use anyhow::{Context as _, Result, ensure};
use lab::{Lab, Mode, Runtime, machine::Machine};
use metrics::table::Page;
use node_tests::{
    Node, all_ready,
    beside::Both,
    eventually, exposition, gone, is_ready,
    statistics::{Families, compare_pages, compare_summaries},
};
use serde_json::Value;

use self::{
    groups::{Groups, differences, groups},
    pods::{LABEL, NAMES, PODS},
};

mod groups;
mod journal;
mod pods;

/// Longest for anything: the machine's processor is emulated, and slow.
const BOUND: Duration = Duration::from_secs(400);

/// What the machine shows of its pods under one kubelet.
struct Account {
    groups: Groups,
    instances: BTreeMap<String, String>,
    summary: Value,
    pages: Vec<(Page, Families)>,
    node: Value,
    journal: String,
}

fn page(lab: &Lab, path: &str) -> Result<String> {
    let path = format!("/api/v1/nodes/{}/proxy{path}", lab.plan().node_name);
    lab.kubectl(&["get", "--raw", &path])
}

/// Pods and containers by name, with the ids of containers and how often they were restarted.
fn instances(lab: &Lab) -> Result<BTreeMap<String, String>> {
    let pods = all_ready(lab, LABEL, NAMES.len())?;
    let mut found = BTreeMap::new();
    for pod in &pods {
        for container in pod["status"]["containerStatuses"].as_array().context("no containers")? {
            found.insert(
                format!("{} {}", pod["metadata"]["name"], container["name"]),
                container["containerID"].as_str().unwrap_or_default().to_owned(),
            );
        }
    }
    Ok(found)
}

/// Waits until the pods are Ready and their use is wholly told.
fn account(lab: &Lab, machine: &Machine<'_>) -> Result<Account> {
    let instances = eventually(lab, "the pods", BOUND, instances)?;
    let summary = eventually(lab, "a whole summary", BOUND, |lab| {
        let summary: Value = serde_json::from_str(&page(lab, "/stats/summary")?)?;
        let pods = summary["pods"].as_array().context("no pods")?;
        ensure!(pods.len() == NAMES.len(), "{} pods", pods.len());
        for pod in pods {
            let containers = pod["containers"].as_array().context("no containers")?;
            ensure!(
                containers.iter().all(|it| it["cpu"]["usageNanoCores"].is_number()),
                "no rate yet: {pod}"
            );
            ensure!(pod["ephemeral-storage"]["usedBytes"].is_number(), "no storage yet: {pod}");
        }
        Ok(summary)
    })?;
    let mut pages = Vec::new();
    for which in [Page::Resource, Page::Cadvisor] {
        pages.push((which, exposition::read(&page(lab, which.path())?)?));
    }
    Ok(Account {
        groups: groups(lab, machine)?,
        instances,
        summary,
        pages,
        node: lab.api()?.get(&format!("/api/v1/nodes/{}", lab.plan().node_name))?,
        journal: page(lab, journal::QUERY)?,
    })
}

/// Adds what differs between two kubelets' accounts of the same machine.
fn compare(theirs: &Account, ours: &Account, found: &mut Vec<String>) -> Result<()> {
    found.extend(differences(&theirs.groups, &ours.groups));
    let both = Both { upstream: theirs.summary.clone(), ours: ours.summary.clone() };
    both.keep(Path::new(env!("CARGO_TARGET_TMPDIR")), "machine-summary")?;
    compare_summaries("", &both, found)?;
    for ((page, upstream), (_, ours)) in theirs.pages.iter().zip(&ours.pages) {
        compare_pages(*page, &Both { upstream: upstream.clone(), ours: ours.clone() }, found);
    }
    for part in ["addresses", "allocatable", "capacity", "features", "nodeInfo", "runtimeHandlers"] {
        let (theirs, ours) = (&theirs.node["status"][part], &ours.node["status"][part]);
        if theirs != ours {
            found.push(format!("{part} of the node: {theirs}, ours {ours}"));
        }
    }
    if theirs.journal != ours.journal {
        found.push(format!("the journal:\n{}\nours:\n{}", theirs.journal, ours.journal));
    }
    Ok(())
}

/// PSI and swap are told as the kernel tells them.
fn check_pressure(lab: &Lab, machine: &Machine<'_>, found: &mut Vec<String>) -> Result<()> {
    let summary: Value = serde_json::from_str(&page(lab, "/stats/summary")?)?;
    let pods = summary["pods"].as_array().context("no pods")?;
    let pod = pods.iter().find(|pod| pod["podRef"]["name"] == "burstable").context("no pod")?;
    let uid = pod["podRef"]["uid"].as_str().context("no uid")?;
    for (controller, what) in [("cpu", &pod["cpu"]), ("memory", &pod["memory"]), ("io", &pod["io"])] {
        let file = format!("/sys/fs/cgroup/kubepods/burstable/pod{uid}/{controller}.pressure");
        let text = machine.run(&format!("cat {file}"))?;
        let total = text.lines().next().and_then(|line| line.rsplit_once("total=")).context("no total")?.1;
        // The file was read later.
        let (told, now) = (what["psi"]["some"]["total"].as_u64(), total.parse::<u64>()?);
        if !told.is_some_and(|told| told <= now && now - told < 10_000_000) {
            found.push(format!("{controller} pressure is told as {told:?} µs, the kernel says {now}"));
        }
    }
    let main = pod["containers"].as_array().into_iter().flatten().find(|it| it["name"] == "main");
    let limit = machine.run(&format!(
        "cat /sys/fs/cgroup/kubepods/burstable/pod{uid}/*/memory.swap.max | grep -v -e max -e '^0$' | head -n 1"
    ))?;
    let swap = main.map_or(&Value::Null, |main| &main["swap"]["swapAvailableBytes"]);
    if swap.as_u64() != limit.trim().parse().ok() {
        found.push(format!("swap that is left to the container: {swap}, of {limit}"));
    }
    Ok(())
}

/// A container is written to a file by CRIU, and goes on.
fn checkpoint(lab: &Lab, machine: &Machine<'_>) -> Result<()> {
    let path = format!(
        "/api/v1/nodes/{}/proxy/checkpoint/default/besteffort/main?timeout=200",
        lab.plan().node_name
    );
    let answer = lab.api()?.send("POST", &path, "json", "")?;
    let file = answer["items"][0].as_str().context("no file is named")?;
    ensure!(file.starts_with("/var/lib/kubelet/checkpoints/checkpoint-besteffort_default-main-"), "{file}");
    let listed = machine.run(&format!("stat -c '%a %U' {file}; tar tf {file}"))?;
    ensure!(listed.starts_with("600 root"), "{listed}");
    for part in ["spec.dump", "config.dump", "checkpoint/"] {
        ensure!(listed.contains(part), "{part} is not in the file: {listed}");
    }
    Ok(())
}

/// A kubelet that hangs is replaced by systemd, since it has said that it would say so; no pod notices.
fn watchdog(lab: &Lab, machine: &Machine<'_>) -> Result<()> {
    let pid = || machine.run("systemctl show --property MainPID --value kubelet");
    let before = pid()?;
    machine.run(&format!("kill -STOP {}", before.trim()))?;
    eventually(lab, "systemd to replace the kubelet that hangs", BOUND, |_| {
        ensure!(
            pid()? != before && machine.run("systemctl is-active kubelet")?.trim() == "active",
            "not yet"
        );
        Ok(())
    })?;
    let why = machine.run("systemctl show --property NRestarts --value kubelet; journalctl --unit kubelet | grep -c 'Watchdog timeout'")?;
    ensure!(why == "1\n1\n", "{why}");
    Ok(())
}

/// The machine boots anew: everything starts by itself, and containers once more in the pods that they were in.
fn reboot(lab: &Lab, machine: &Machine<'_>, before: &BTreeMap<String, String>) -> Result<()> {
    machine.reboot()?;
    eventually(lab, "the pods after a boot", BOUND, |lab| {
        let pods = lab.api()?.selected("pods", LABEL)?;
        for pod in &pods {
            let all = pod["status"]["containerStatuses"].as_array().context("no containers")?;
            ensure!(is_ready(pod) && all.iter().all(|it| it["restartCount"] == 1), "{}", pod["status"]);
            for container in all {
                let old = &before[&format!("{} {}", pod["metadata"]["name"], container["name"])];
                ensure!(container["containerID"] != old.as_str(), "the container is the old one");
            }
        }
        Ok(())
    })?;
    let fields = format!("involvedObject.name={},reason=Rebooted", lab.plan().node_name);
    eventually(lab, "the event of the boot", BOUND, |lab| {
        ensure!(lab.api()?.events(&fields)?.len() == 1, "it is not told");
        Ok(())
    })
}

fn debian(name: &str) -> Result<()> {
    let node = Node::without_kubelet(name, Mode::Cluster, Runtime::Containerd2)?;
    let machine = node.start_machine()?;
    machine.run("fallocate -l 256M /swap; chmod 600 /swap; mkswap /swap; swapon /swap; echo '/swap none swap' >>/etc/fstab")?;
    machine.run_kubelet("upstream")?;
    node.apply(PODS)?;
    let theirs = account(&node, &machine).context("with upstream's kubelet")?;

    // Taken over: the same containers in the same groups.
    machine.run_kubelet("ours")?;
    let mut found = Vec::new();
    let taken = account(&node, &machine).context("taken over")?;
    ensure!(taken.instances == theirs.instances, "the swap has replaced containers: {:?}", taken.instances);
    found
        .extend(differences(&theirs.groups, &taken.groups).into_iter().map(|it| format!("taken over: {it}")));
    check_pressure(&node, &machine, &mut found)?;

    // The same pods made anew, by ours.
    node.kubectl(&["delete", "pods", "--selector", LABEL, "--wait=false"])?;
    node.eventually("the end of the pods", BOUND, |lab| NAMES.iter().try_for_each(|name| gone(lab, name)))?;
    node.eventually("the end of groups and folders", BOUND, |_| {
        let groups = "find /sys/fs/cgroup/kubepods -mindepth 1 -type d -name 'pod*'";
        let left = machine.run(&format!("{groups}; ls /var/lib/kubelet/pods"))?;
        ensure!(left.is_empty(), "{left}");
        Ok(())
    })?;
    node.apply(PODS)?;
    let ours = account(&node, &machine).context("made by ours")?;
    compare(&theirs, &ours, &mut found)?;
    ensure!(found.is_empty(), "{} differences:\n  {}", found.len(), found.join("\n  "));

    journal::queries(&node, &machine)?;
    checkpoint(&node, &machine)?;
    watchdog(&node, &machine)?;
    let kept = node.eventually("the pods after the watchdog", BOUND, instances)?;
    ensure!(kept == ours.instances, "a kubelet that hung has cost containers: {kept:?}");
    reboot(&node, &machine, &kept)?;
    // Asked to end, it does, without error.
    let ended = machine
        .run("systemctl stop kubelet; systemctl show --property Result --property ExecMainStatus kubelet")?;
    ensure!(ended.contains("Result=success") && ended.contains("ExecMainStatus=0"), "{ended}");
    node.down()
}

#[test]
#[ignore = "boots a virtual machine, which takes minutes: make thorough"]
fn a_debian_with_systemd_and_cgroup_v2() {
    debian("t-machine").unwrap();
}
