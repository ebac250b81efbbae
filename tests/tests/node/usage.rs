//! What is used, as both kubelets tell it of the same pods: every name and every field of upstream's is here or stands in
//! `docs/compat.md` as absent; and what ours tells agrees with the kernel's files and with what the pods were made to use.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use lab::{Lab, Runtime, images};
use metrics::table::Page;
use node_tests::{
    beside::{Beside, Both},
    eventually, exposition,
    statistics::{Families, compare_pages, compare_summaries},
};
use serde_json::{Value, json};

const BOUND: Duration = Duration::from_secs(180);
/// What a figure may differ from the kernel's: it moves while it is read.
const TOLERANCE: f64 = 0.02;
/// So many readings may differ before that is no coincidence: a process that lived for a moment is in one of them only.
const READINGS: usize = 5;
/// Bytes that a pod writes into its volume, into its container and into its log.
const WRITTEN: f64 = 4.0 * 1024.0 * 1024.0;

/// Pods that do nothing, beside those that do something.
const IDLE: usize = 16;

fn objects() -> String {
    let pod = |name: String, spec: Value| {
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}).to_string()
    };
    let sleeps = || json!({"name": "main", "image": images::BUSYBOX, "command": ["sleep", "100000"]});
    let mut objects: Vec<String> = (0..IDLE)
        .map(|at| {
            let spec = json!({"terminationGracePeriodSeconds": 1, "containers": [sleeps()]});
            pod(format!("idle-{at}"), spec)
        })
        .collect();
    let config = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "config"}, "data": {"key": "value"},
    });
    objects.push(config.to_string());
    let writes = "dd if=/dev/zero of=/data/file bs=1M count=4; dd if=/dev/zero of=/own bs=1M count=4; \
                  dd if=/dev/zero of=/memory/file bs=1M count=4; \
                  i=0; while [ $i -lt 4096 ]; do printf '%1000s\\n' x; i=$((i+1)); done; sync; sleep 100000";
    let mut writer = sleeps();
    writer["command"] = json!(["sh", "-c", writes]);
    writer["volumeMounts"] = json!([
        {"name": "data", "mountPath": "/data"},
        {"name": "memory", "mountPath": "/memory"},
        {"name": "config", "mountPath": "/config"},
    ]);
    let volumes = json!([
        {"name": "data", "emptyDir": {}},
        {"name": "memory", "emptyDir": {"medium": "Memory"}},
        {"name": "config", "configMap": {"name": "config"}},
    ]);
    let spec = json!({"terminationGracePeriodSeconds": 1, "containers": [writer], "volumes": volumes});
    objects.push(pod("writer".to_owned(), spec));
    let mut limited = sleeps();
    limited["command"] = json!([
        "sh",
        "-c",
        "while true; do i=0; while [ $i -lt 2000 ]; do i=$((i+1)); done; sleep 0.1; done"
    ]);
    limited["resources"] = json!({"limits": {"cpu": "200m", "memory": "64Mi"}, "requests": {"cpu": "100m"}});
    let spec = json!({"terminationGracePeriodSeconds": 1, "containers": [limited]});
    objects.push(pod("limited".to_owned(), spec));
    let spec = json!({"terminationGracePeriodSeconds": 1, "hostNetwork": true, "containers": [sleeps()]});
    objects.push(pod("host".to_owned(), spec));
    let mut side = sleeps();
    side["name"] = json!("side");
    let spec = json!({"terminationGracePeriodSeconds": 1, "containers": [sleeps(), side]});
    objects.push(pod("two".to_owned(), spec));
    objects.join("\n---\n")
}

fn summary(lab: &Lab, query: &str) -> Result<Value> {
    Ok(serde_json::from_str(&lab.kubelet_get(&format!("/stats/summary{query}"))?)?)
}

fn pod_of<'a>(summary: &'a Value, name: &str) -> Result<&'a Value> {
    let pods = summary["pods"].as_array().context("no pods")?;
    pods.iter().find(|pod| pod["podRef"]["name"] == name).with_context(|| format!("{name} is not told"))
}

/// Waits until a summary tells everything that it ever will: volumes and rates come later than the rest.
fn settled(lab: &Lab) -> Result<Value> {
    eventually(lab, "a whole summary", BOUND, |lab| {
        let summary = summary(lab, "")?;
        for name in (0..IDLE)
            .map(|at| format!("idle-{at}"))
            .chain(["writer", "limited", "host", "two"].map(str::to_owned))
        {
            let pod = pod_of(&summary, &name)?;
            let containers = pod["containers"].as_array().context("no containers")?;
            ensure!(!containers.is_empty(), "{name} has no container");
            for container in containers {
                ensure!(container["cpu"]["usageNanoCores"].is_number(), "{name}: no rate yet");
            }
        }
        let writer = pod_of(&summary, "writer")?;
        ensure!(
            writer["volume"].as_array().is_some_and(|volumes| volumes.len() >= 3),
            "{}",
            writer["volume"]
        );
        let used = |place: &Value| place["usedBytes"].as_f64().unwrap_or(0.0);
        let container = &writer["containers"][0];
        ensure!(used(&container["rootfs"]) >= WRITTEN && used(&container["logs"]) >= WRITTEN, "{container}");
        ensure!(used(&writer["ephemeral-storage"]) >= 3.0 * WRITTEN, "{}", writer["ephemeral-storage"]);
        Ok(summary)
    })
}

/// A file of the kernel's for a group: of v1 in the hierarchy of its controller, of v2 in the only one.
fn kernel(id: &str, controller: &str, v1: &str, v2: &str) -> Result<String> {
    let root = Path::new("/sys/fs/cgroup");
    let below = id.trim_start_matches('/');
    let v1: PathBuf = root.join(controller).join(below).join(v1);
    let path = if root.join(controller).is_dir() { v1 } else { root.join(below).join(v2) };
    fs::read_to_string(&path).with_context(|| path.display().to_string())
}

fn cpu_seconds(id: &str) -> Result<f64> {
    let text = kernel(id, "cpuacct", "cpuacct.usage", "cpu.stat")?;
    Ok(match text.trim().strip_prefix("usage_usec ") {
        Some(rest) => rest.lines().next().context("no usage")?.parse::<f64>()? / 1e6,
        None => text.trim().parse::<f64>()? / 1e9,
    })
}

type Read = fn(&str) -> Result<f64>;

fn memory_bytes(id: &str) -> Result<f64> {
    Ok(kernel(id, "memory", "memory.usage_in_bytes", "memory.current")?.trim().parse()?)
}

/// Compares our figures with the kernel's, read before and after.
fn check_values(lab: &Lab, found: &mut Vec<String>) -> Result<()> {
    let groups = |page: &Families, name: &str| -> Result<BTreeMap<String, f64>> {
        let family = page.get(name).with_context(|| format!("no {name}"))?;
        Ok(family.samples.iter().map(|(_, labels, value)| (labels["id"].clone(), *value)).collect())
    };
    let machine = |page: &Families| {
        groups(page, "container_cpu_usage_seconds_total").map(|groups| groups.get("/").copied())
    };
    let page = exposition::read(&lab.kubelet_get(Page::Cadvisor.path())?)?;
    let ids: Vec<String> =
        groups(&page, "container_memory_usage_bytes")?.into_keys().filter(|id| id != "/").collect();
    ensure!(ids.len() > 2 * (IDLE + 4), "{} groups", ids.len());
    let figures: [(&str, Read, f64); 2] = [
        ("container_cpu_usage_seconds_total", cpu_seconds, 0.002),
        ("container_memory_usage_bytes", memory_bytes, 256.0 * 1024.0),
    ];
    for (name, read, least) in figures {
        let mut differing = Vec::new();
        for _ in 0..READINGS {
            let before: Vec<f64> = ids.iter().map(|id| read(id)).collect::<Result<_>>()?;
            // Readings are shared for a while: one that is newer than the files were read has another use of the machine.
            let shared = exposition::read(&lab.kubelet_get(Page::Cadvisor.path())?)?;
            let page = eventually(lab, "another reading", BOUND, |lab| {
                let page = exposition::read(&lab.kubelet_get(Page::Cadvisor.path())?)?;
                ensure!(machine(&page)? != machine(&shared)?, "it is the same");
                Ok(page)
            })?;
            let told = groups(&page, name)?;
            differing.clear();
            for (id, before) in ids.iter().zip(before) {
                let after = read(id)?;
                let value = *told.get(id).with_context(|| format!("{name} of {id}"))?;
                let (low, high) = (before.min(after), before.max(after));
                let room = (high * TOLERANCE).max(least);
                if value < low - room || value > high + room {
                    differing.push(format!(
                        "{name} of {id} is {value}, the kernel says {before} and then {after}"
                    ));
                }
            }
            if differing.is_empty() {
                break;
            }
        }
        found.extend(differing);
    }
    Ok(())
}

/// What pods were made to use is what is told.
fn check_use(summary: &Value, found: &mut Vec<String>) -> Result<()> {
    let mut expect = |what: &str, value: &Value, low: f64, high: f64| {
        if !value.as_f64().is_some_and(|value| (low..=high).contains(&value)) {
            found.push(format!("{what} is {value}, not from {low} to {high}"));
        }
    };
    let writer = pod_of(summary, "writer")?;
    let volume = |name: &str| {
        let volumes = writer["volume"].as_array().into_iter().flatten();
        volumes.into_iter().find(|volume| volume["name"] == name).cloned().unwrap_or_default()
    };
    let slack = 1.05;
    expect("the volume on disk", &volume("data")["usedBytes"], WRITTEN, WRITTEN * slack);
    expect("the volume in memory", &volume("memory")["usedBytes"], WRITTEN, WRITTEN * slack);
    expect("inodes of the volume", &volume("data")["inodesUsed"], 2.0, 2.0);
    expect(
        "the writable layer",
        &writer["containers"][0]["rootfs"]["usedBytes"],
        WRITTEN,
        WRITTEN * slack + 200_000.0,
    );
    expect("the log", &writer["containers"][0]["logs"]["usedBytes"], WRITTEN, WRITTEN * 1.2);
    let limited = pod_of(summary, "limited")?;
    expect("the rate of the busy one", &limited["containers"][0]["cpu"]["usageNanoCores"], 5e6, 3e8);
    expect("its memory", &limited["containers"][0]["memory"]["availableBytes"], 3e7, 67_108_864.0);
    expect(
        "processes of two containers",
        &pod_of(summary, "two")?["process_stats"]["process_count"],
        2.0,
        2.0,
    );
    let idle = pod_of(summary, "idle-0")?;
    expect("what its network received", &idle["network"]["rxBytes"], 1.0, 1e9);
    expect("capacity of the node", &summary["node"]["fs"]["capacityBytes"], 1e9, 1e18);
    expect("images", &summary["node"]["runtime"]["imageFs"]["usedBytes"], 1e4, 1e18);
    Ok(())
}

fn pages(beside: &Beside, page: Page) -> Result<Both<Families>> {
    let Both { upstream, ours } = beside.each(|lab| lab.kubelet_get(page.path()))?;
    let name = page.path().trim_start_matches('/').replace('/', "-");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    fs::write(folder.join(format!("{name}-upstream.prom")), &upstream)?;
    fs::write(folder.join(format!("{name}-ours.prom")), &ours)?;
    Ok(Both { upstream: exposition::read(&upstream)?, ours: exposition::read(&ours)? })
}

fn used(runtime: Runtime, name: &str) -> Result<()> {
    let beside = Beside::up(name, runtime)?;
    beside.each(|lab| lab.apply(&objects()))?;
    let both = beside.each(settled)?;
    both.keep(Path::new(env!("CARGO_TARGET_TMPDIR")), "summary")?;
    let mut found = Vec::new();
    compare_summaries("", &both, &mut found)?;
    check_use(&both.ours, &mut found)?;
    let query = "?only_cpu_and_memory=true";
    let both = beside.each(|lab| summary(lab, query))?;
    both.keep(Path::new(env!("CARGO_TARGET_TMPDIR")), "summary-short")?;
    compare_summaries(query, &both, &mut found)?;
    for page in [Page::Resource, Page::Cadvisor] {
        compare_pages(page, &pages(&beside, page)?, &mut found);
    }
    check_values(&beside.ours, &mut found)?;
    beside.down()?;
    ensure!(found.is_empty(), "{} differences:\n  {}", found.len(), found.join("\n  "));
    Ok(())
}

#[test]
#[ignore = "wants root, containerd and the control plane: make test"]
fn what_is_used_beside_upstream_on_containerd_2() {
    used(Runtime::Containerd2, "t-usage2").unwrap();
}

#[test]
#[ignore = "wants root, containerd and the control plane: make test"]
fn what_is_used_beside_upstream_on_containerd_1() {
    used(Runtime::Containerd1, "t-usage1").unwrap();
}
