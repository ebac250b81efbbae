//! What upstream's kubelet and ours serve as metrics after the same day with the same pods: every family of upstream's is
//! here with its type, its promise, its labels and its buckets, or the table says why it is not; and what can be counted by
//! hand was counted.

use std::{collections::BTreeMap, process::Command, time::Duration};

use anyhow::{Context as _, Result, ensure};
use lab::{Lab, Runtime, images};
use metrics::{
    table::{self, Page, Support},
    text,
};
use node_tests::{
    beside::{Beside, Both, NODE},
    eventually,
    exposition::{self, Family},
};
use serde_json::{Value, json};

const BOUND: Duration = Duration::from_secs(180);
const READ_ONLY: u16 = 10255;

type Families = BTreeMap<String, Family>;

fn pod(name: &str, spec: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec})
}

fn container(name: &str, script: &str) -> Value {
    json!({"name": name, "image": images::BUSYBOX, "command": ["sh", "-c", script]})
}

/// A pod of each kind that something is counted of.
fn objects() -> String {
    let probe = |command: &str| json!({"exec": {"command": ["sh", "-c", command]}, "periodSeconds": 1, "failureThreshold": 100});
    let mut probed = container("main", "touch /up; sleep 100000");
    probed["startupProbe"] = probe("test -e /up");
    probed["livenessProbe"] = probe("true");
    probed["readinessProbe"] = probe("true");
    probed["volumeMounts"] = json!([
        {"name": "empty", "mountPath": "/empty"},
        {"name": "config", "mountPath": "/config"},
    ]);
    let mut unready = container("main", "sleep 100000");
    unready["readinessProbe"] = probe("false");
    let mut absent = container("main", "true");
    absent["image"] = json!("registry.test/absent:1");
    let pods = [
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "config"}, "data": {"key": "value"}}),
        pod(
            "probed",
            json!({
                "terminationGracePeriodSeconds": 1,
                "initContainers": [container("init", "exit 0")],
                "containers": [probed],
                "volumes": [{"name": "empty", "emptyDir": {}}, {"name": "config", "configMap": {"name": "config"}}],
            }),
        ),
        pod("unready", json!({"terminationGracePeriodSeconds": 1, "containers": [unready]})),
        pod("ends", json!({"restartPolicy": "Never", "containers": [container("main", "exit 3")]})),
        pod("absent", json!({"containers": [absent]})),
        pod(
            "doomed",
            json!({"terminationGracePeriodSeconds": 1, "containers": [container("main", "sleep 100000")]}),
        ),
        pod(
            "rejected",
            json!({"nodeName": NODE, "nodeSelector": {"none": "such"}, "containers": [container("main", "true")]}),
        ),
    ];
    pods.map(|object| object.to_string()).join("\n---\n")
}

fn phase(lab: &Lab, name: &str) -> Result<Value> {
    Ok(lab.pod(name)?["status"].take())
}

/// Plays the day.
fn play(lab: &Lab) -> Result<()> {
    lab.apply(&objects())?;
    lab.add_static_pod(
        "static.yaml",
        &format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: static}}\nspec:\n  containers:\n  - {{name: main, image: {}, \
             command: [sleep, \"100000\"]}}\n",
            images::BUSYBOX
        ),
    )?;
    let static_pod = format!("static-{NODE}");
    eventually(lab, "all pods where they are going", BOUND, |lab| {
        for (name, wanted) in [
            ("probed", "Running"),
            ("unready", "Running"),
            ("ends", "Failed"),
            ("doomed", "Running"),
            ("rejected", "Failed"),
            (&static_pod, "Running"),
        ] {
            let status = phase(lab, name)?;
            ensure!(status["phase"] == wanted, "{name}: {status}");
        }
        let ready = &phase(lab, "probed")?["containerStatuses"][0]["ready"];
        ensure!(*ready == true, "probed is not ready");
        let waiting = &phase(lab, "absent")?["containerStatuses"][0]["state"]["waiting"]["reason"];
        ensure!(*waiting == "ImagePullBackOff" || *waiting == "ErrImagePull", "absent: {waiting}");
        Ok(())
    })?;
    ensure!(lab.kubectl(&["exec", "probed", "--", "echo", "hello"])?.trim() == "hello", "exec");
    lab.kubectl(&["logs", "probed"])?;
    lab.kubectl(&["delete", "pod", "doomed", "--wait=true"])?;
    ensure!(lab.kubelet_get("/healthz")? == "ok", "healthz");
    // Some rounds of each probe.
    eventually(lab, "probes that ran", BOUND, |lab| {
        let page = exposition::read(&lab.kubelet_get("/metrics/probes")?)?;
        let probes = page.get("prober_probe_total").context("no probe yet")?;
        for kind in ["Liveness", "Readiness"] {
            let ran = probes.sum(&[("pod", "probed"), ("probe_type", kind), ("result", "successful")]);
            ensure!(ran >= 3.0, "{kind} ran {ran} times");
        }
        let failed = probes.sum(&[("pod", "unready"), ("result", "failed")]);
        ensure!(failed >= 3.0, "{failed} failed");
        // Upstream counts pods every two seconds.
        let page = exposition::read(&lab.kubelet_get("/metrics")?)?;
        let desired = page.get("kubelet_desired_pods").context("no pod is counted")?.sum(&[("static", "")]);
        ensure!(desired == 5.0, "{desired} pods, not 5");
        Ok(())
    })
}

fn scrape(beside: &Beside, page: Page) -> Result<Both<Families>> {
    let read = |text: String| exposition::read(&text).with_context(|| page.path());
    let texts = beside.each(|lab| lab.kubelet_get(page.path()))?;
    keep(&texts, page)?;
    Ok(Both { upstream: read(texts.upstream)?, ours: read(texts.ours)? })
}

/// For a look at what the test saw.
fn keep(texts: &Both<String>, page: Page) -> Result<()> {
    let name = page.path().trim_start_matches('/').replace('/', "-");
    for (side, text) in [("upstream", &texts.upstream), ("ours", &texts.ours)] {
        let file = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{side}.prom"));
        std::fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(())
}

/// How a family differs from its row.
fn against_row(name: &str, family: &Family, row: &table::Metric) -> Vec<String> {
    let mut found = Vec::new();
    if family.kind != row.kind.word() {
        found.push(format!("{name} is a {}, and a {} in the table", family.kind, row.kind.word()));
    }
    if family.stability != row.stability.word() {
        found.push(format!("{name} is [{}], and [{}] in the table", family.stability, row.stability.word()));
    }
    let of_row: Vec<String> = row.labels.iter().map(|label| (*label).to_owned()).collect();
    for labels in family.labels.iter().filter(|labels| **labels != of_row) {
        found.push(format!("{name} has labels {labels:?}, and {of_row:?} in the table"));
    }
    let bounds: std::collections::BTreeSet<String> =
        row.buckets.iter().copied().chain([f64::INFINITY]).map(text::number).collect();
    if row.support.is_served() && row.kind == text::Kind::Histogram && family.bounds != bounds {
        found.push(format!("{name} has bounds {:?}, and {bounds:?} in the table", family.bounds));
    }
    found
}

fn compare(page: Page, both: &Both<Families>) -> Vec<String> {
    let rows: BTreeMap<&str, &table::Metric> =
        table::all().filter(|row| row.page == page).map(|row| (row.name, row)).collect();
    let mut found = Vec::new();
    for (name, family) in &both.upstream {
        match rows.get(name.as_str()) {
            None => found.push(format!("{}: {name} of upstream's has no row", page.path())),
            Some(row) if matches!(row.support, Support::Absent(_)) && row.help.is_empty() => {}
            Some(row) => {
                found.extend(
                    against_row(name, family, row).into_iter().map(|text| format!("upstream's {text}")),
                );
                if row.support.is_served() && !both.ours.contains_key(name) {
                    found.push(format!("{}: {name} is not on our page", page.path()));
                }
            }
        }
    }
    for (name, family) in &both.ours {
        match rows.get(name.as_str()) {
            Some(row) if row.support.is_served() => {
                found.extend(against_row(name, family, row).into_iter().map(|text| format!("our {text}")));
                let same_help = both.upstream.get(name).is_some_and(|theirs| theirs.help == family.help);
                if same_help {
                    found.push(format!("the help of {name} is upstream's"));
                }
            }
            _ => found.push(format!("{}: our {name} is not served, says the table", page.path())),
        }
    }
    found
}

/// Sums that are the same, since both did the same; each with the labels that it is taken over.
const COUNTED: &[(&str, &[(&str, &str)])] = &[
    ("kubelet_node_name", &[("node", NODE)]),
    ("kubelet_running_pods", &[]),
    ("kubelet_running_containers", &[("container_state", "running")]),
    ("kubelet_desired_pods", &[("static", "")]),
    ("kubelet_desired_pods", &[("static", "true")]),
    ("kubelet_active_pods", &[("static", "")]),
    ("kubelet_active_pods", &[("static", "true")]),
    ("kubelet_mirror_pods", &[]),
    ("kubelet_working_pods", &[("config", "desired"), ("lifecycle", "sync")]),
    ("kubelet_working_pods", &[("config", "orphan")]),
    ("kubelet_working_pods", &[("config", "runtime_only")]),
    ("kubelet_admission_rejections_total", &[("reason", "Other")]),
    ("kubelet_containers_per_pod_count", &[]),
    ("kubelet_started_pods_total", &[]),
    ("kubelet_started_pods_errors_total", &[]),
    ("kubelet_started_containers_total", &[("container_type", "init_container")]),
    ("kubelet_terminated_containers_total", &[("exit_code", "3"), ("reason", "Error")]),
    ("kubelet_terminated_containers_total", &[("container_type", "init_container"), ("exit_code", "0")]),
    (
        "kubelet_image_manager_ensure_image_requests_total",
        &[("present_locally", "true"), ("pull_required", "false")],
    ),
    ("kubelet_run_podsandbox_duration_seconds", &[("runtime_handler", "")]),
    ("kubelet_runtime_operations_total", &[("operation_type", "run_podsandbox")]),
    ("kubelet_runtime_operations_total", &[("operation_type", "create_container")]),
    ("kubelet_runtime_operations_total", &[("operation_type", "start_container")]),
    (
        "kubelet_http_requests_total",
        &[("path", "exec"), ("long_running", "true"), ("server_type", "readwrite")],
    ),
    ("kubelet_http_requests_total", &[("path", "containerLogs"), ("long_running", "false")]),
    (
        "volume_manager_total_volumes",
        &[("plugin_name", "kubernetes.io/configmap"), ("state", "actual_state_of_world")],
    ),
    (
        "volume_manager_total_volumes",
        &[("plugin_name", "kubernetes.io/empty-dir"), ("state", "desired_state_of_world")],
    ),
    (
        "volume_manager_total_volumes",
        &[("plugin_name", "kubernetes.io/projected"), ("state", "actual_state_of_world")],
    ),
    (
        "volume_operation_total_seconds",
        &[("plugin_name", "kubernetes.io/empty-dir"), ("operation_name", "overall_volume_mount")],
    ),
    ("kubernetes_build_info", &[("git_version", "v1.37.2"), ("major", "1"), ("minor", "37")]),
    ("kubelet_cgroup_version", &[]),
    ("kubelet_graceful_shutdown_start_time_seconds", &[]),
    ("kubelet_pod_level_resources_admission_total", &[("config_mode", ""), ("qos_class", "besteffort")]),
];

fn counted(both: &Both<Families>) -> Vec<String> {
    let sum = |families: &Families, name: &str, labels: &[(&str, &str)]| {
        families.get(name).map(|family| family.sum(labels))
    };
    let mut found = Vec::new();
    for (name, labels) in COUNTED {
        let (upstream, ours) = (sum(&both.upstream, name, labels), sum(&both.ours, name, labels));
        if upstream != ours {
            found.push(format!("{name}{labels:?}: upstream {upstream:?}, ours {ours:?}"));
        }
    }
    let gates = |families: &Families| -> BTreeMap<(String, String), f64> {
        let samples = families.get("kubernetes_feature_enabled").map(|family| &family.samples);
        let gate = |(_, labels, value): &(String, BTreeMap<String, String>, f64)| {
            ((labels["name"].clone(), labels["stage"].clone()), *value)
        };
        samples.into_iter().flatten().map(gate).collect()
    };
    let (upstream, ours) = (gates(&both.upstream), gates(&both.ours));
    for gate in upstream.keys().chain(ours.keys()).filter(|gate| upstream.get(*gate) != ours.get(*gate)) {
        found.push(format!("gate {gate:?}: upstream {:?}, ours {:?}", upstream.get(gate), ours.get(gate)));
    }
    found
}

/// Type of a page's content, and the page from the read-only port.
fn head(lab: &Lab, page: Page) -> Result<(String, String)> {
    let plan = lab.plan();
    let curl = |url: String, more: &[&str]| -> Result<String> {
        let mut command = Command::new("curl");
        command.args(["--silent", "--show-error", "--fail", "--insecure", "--max-time", "20"]);
        lab::run::output(command.args(more).arg(url))
    };
    let (certificate, key) = (plan.paths.pki_file("admin.crt"), plan.paths.pki_file("admin.key"));
    let (certificate, key) = (certificate.display().to_string(), key.display().to_string());
    let asks =
        ["--output", "/dev/null", "--write-out", "%{content_type}", "--cert", &certificate, "--key", &key];
    let node = plan.addresses.node;
    let kind = curl(format!("https://{node}:{}{}", plan.ports.kubelet, page.path()), &asks)?;
    Ok((kind, curl(format!("http://{node}:{READ_ONLY}{}", page.path()), &[])?))
}

fn compared(runtime: Runtime, name: &str) -> Result<()> {
    let mut beside = Beside::up(name, runtime)?;
    for node in [&mut beside.upstream, &mut beside.ours] {
        let mut kubelet = node.lab()?.kubelet();
        kubelet.stop()?;
        let config = json!({"readOnlyPort": READ_ONLY, "address": "0.0.0.0"});
        kubelet.set_config(config.as_object().cloned().unwrap_or_default())?;
        kubelet.start()?;
        node.wait_node_ready(BOUND)?;
    }
    beside.each(play)?;
    let mut found = Vec::new();
    for page in [Page::Metrics, Page::Probes, Page::Slis] {
        let both = scrape(&beside, page)?;
        found.extend(compare(page, &both));
        if page == Page::Metrics {
            found.extend(counted(&both));
        }
        let heads = beside.each(|lab| head(lab, page))?;
        if heads.upstream.0 != heads.ours.0 {
            found.push(format!("content: upstream {}, ours {}", heads.upstream.0, heads.ours.0));
        }
        exposition::read(&heads.ours.1).context("the read-only port")?;
    }
    // What is of a pod goes with it.
    beside.ours.kubectl(&["delete", "pod", "unready", "--wait=true"])?;
    eventually(&beside.ours, "probes without the pod that is gone", BOUND, |lab| {
        let page = lab.kubelet_get("/metrics/probes")?;
        ensure!(!page.contains("pod=\"unready\"") && page.contains("pod=\"probed\""), "{page}");
        Ok(())
    })?;
    beside.down()?;
    ensure!(found.is_empty(), "{} differences:\n  {}", found.len(), found.join("\n  "));
    Ok(())
}

#[test]
#[ignore = "wants root, containerd and the control plane: make test"]
fn metrics_beside_upstream_on_containerd_2() {
    compared(Runtime::Containerd2, "t-metrics").unwrap();
}
