//! The kubelet of a lab, ours, upstream's or any other: one configuration that all of them take.

use std::{net::SocketAddr, path::Path, process::Command, time::Duration};

use anyhow::{Context as _, Result};
use rustix::process::Pid;
use serde_json::{Map, Value, json};

use crate::{
    artifacts, containerd,
    daemon::{Daemon, Invocation},
    plan::{Plan, Service, make_dir, write},
    run,
    spec::{Credentials, KubeletBinary, Mode},
    wait,
};

/// Longest for a kubelet to answer `/healthz`. Upstream's takes a second; one under a loaded machine more.
const READY_BOUND: Duration = Duration::from_secs(90);

/// KubeletConfiguration, before what the spec lays over it.
fn base_config(plan: &Plan) -> Value {
    let cluster = plan.spec.mode == Mode::Cluster;
    let paths = &plan.paths;
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": plan.addresses.node,
        "port": plan.ports.kubelet,
        "readOnlyPort": 0,
        // On the node's address, so that the machine can ask too.
        "healthzBindAddress": plan.addresses.node,
        "healthzPort": plan.ports.kubelet_healthz,
        "authentication": {
            "anonymous": { "enabled": false },
            "webhook": { "enabled": cluster },
            "x509": { "clientCAFile": paths.pki_file("ca.crt") },
        },
        // Without an API server there is nobody to ask; a certificate of the lab's is then enough.
        "authorization": { "mode": if cluster { "Webhook" } else { "AlwaysAllow" } },
        "registerNode": cluster,
        "containerRuntimeEndpoint": format!("unix://{}", paths.containerd_socket.display()),
        "staticPodPath": paths.manifests,
        "podLogsDir": paths.pod_logs,
        "volumePluginDir": paths.dir.join("volume-plugins"),
        "resolvConf": paths.resolv_conf,
        "clusterDNS": [plan.addresses.dns],
        "clusterDomain": "cluster.local",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": plan.cgroup_root,
        "cgroupsPerQOS": true,
        "enforceNodeAllocatable": ["pods"],
        "failSwapOn": false,
        // Development machines still have it; its refusal is tested on its own.
        "failCgroupV1": false,
        // A full disk of the development machine must not evict the tests' pods.
        "evictionHard": {
            "memory.available": "50Mi",
            "nodefs.available": "1%",
            "nodefs.inodesFree": "1%",
            "imagefs.available": "1%",
            "imagefs.inodesFree": "1%",
        },
        "imageGCHighThresholdPercent": 99,
        "imageGCLowThresholdPercent": 98,
    })
}

/// Lay a JSON merge patch (RFC 7396) over a value: objects merge, null deletes, the rest replaces.
fn lay_over(target: &mut Value, patch: &Map<String, Value>) {
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(fields) = target else { return };
    for (name, value) in patch {
        match value {
            Value::Null => {
                fields.remove(name);
            }
            Value::Object(inner) => lay_over(fields.entry(name.clone()).or_insert(Value::Null), inner),
            other => {
                fields.insert(name.clone(), other.clone());
            }
        }
    }
}

/// Write the configuration and the folders and files it names.
///
/// # Errors
/// One cannot be written.
pub fn write_configuration(plan: &Plan) -> Result<()> {
    let paths = &plan.paths;
    for folder in [&paths.kubelet_root, &paths.kubelet_certs, &paths.manifests, &paths.pod_logs] {
        make_dir(folder)?;
    }
    write(&paths.resolv_conf, &format!("nameserver {}\noptions ndots:5\n", plan.addresses.host))?;
    let mut config = base_config(plan);
    lay_over(&mut config, &plan.spec.kubelet_config);
    write(&paths.kubelet_config, &format!("{config:#}\n"))?;
    for manifest in &plan.spec.manifests {
        let name = manifest.file_name().with_context(|| format!("{} is not a file", manifest.display()))?;
        std::fs::copy(manifest, paths.manifests.join(name))
            .with_context(|| format!("cannot copy the manifest {}", manifest.display()))?;
    }
    Ok(())
}

/// The kubelet's command line.
pub(crate) fn invocation(plan: &Plan) -> Invocation {
    let paths = &plan.paths;
    let mut arguments = vec![
        format!("--config={}", paths.kubelet_config.display()),
        format!("--root-dir={}", paths.kubelet_root.display()),
        format!("--cert-dir={}", paths.kubelet_certs.display()),
        format!("--hostname-override={}", plan.node_name),
        format!("--node-ip={}", plan.addresses.node),
        "--v=2".to_owned(),
    ];
    if plan.spec.mode == Mode::Cluster {
        arguments.push(format!("--kubeconfig={}", paths.kubelet_kubeconfig.display()));
        if plan.spec.credentials == Credentials::BootstrapToken {
            arguments.push(format!("--bootstrap-kubeconfig={}", paths.bootstrap_kubeconfig.display()));
        }
    }
    arguments.extend(plan.spec.kubelet_flags.iter().cloned());
    let mut invocation = Invocation::new(&plan.kubelet, arguments);
    let variables = plan.spec.kubelet_environment.iter();
    invocation.environment.extend(variables.map(|(name, value)| (name.clone(), value.into())));
    invocation
}

/// The kubelet of a running lab.
#[derive(Debug)]
pub struct Kubelet<'lab> {
    plan: &'lab mut Plan,
}

impl<'lab> Kubelet<'lab> {
    pub(crate) fn new(plan: &'lab mut Plan) -> Self {
        Self { plan }
    }

    fn daemon(&self) -> Daemon<'_> {
        Daemon::new(self.plan, Service::Kubelet)
    }

    /// Its process, if it runs.
    #[must_use]
    pub fn pid(&self) -> Option<Pid> {
        self.daemon().pid()
    }

    /// Start it and wait until `/healthz` answers.
    ///
    /// # Errors
    /// It ends, or does not answer in time.
    pub fn start(&self) -> Result<()> {
        let daemon = self.daemon();
        daemon.start()?;
        daemon.ready(READY_BOUND, || match healthz(self.plan) {
            Ok(()) => wait::Look::Ready(()),
            Err(error) => wait::Look::NotYet(format!("/healthz: {error:#}")),
        })
    }

    /// Start it and do not wait for anything.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn spawn(&self) -> Result<Pid> {
        self.daemon().start()
    }

    /// End it with SIGTERM.
    ///
    /// # Errors
    /// It does not end.
    pub fn stop(&self) -> Result<()> {
        self.daemon().stop()
    }

    /// End it with SIGKILL.
    ///
    /// # Errors
    /// It does not go.
    pub fn kill(&self) -> Result<()> {
        self.daemon().kill()
    }

    /// Let another program be this lab's kubelet from the next start on: how two kubelets take over from each other.
    ///
    /// # Errors
    /// It is not there, or the plan cannot be written.
    pub fn set_binary(&mut self, binary: &KubeletBinary) -> Result<()> {
        self.plan.kubelet = artifacts::kubelet(binary, &self.plan.tools)?;
        self.plan.spec.kubelet = binary.clone();
        self.plan.save()
    }

    /// Let the kubelet have these flags after the lab's own from the next start on.
    ///
    /// # Errors
    /// The plan cannot be written.
    pub fn set_flags(&mut self, flags: &[String]) -> Result<()> {
        self.plan.spec.kubelet_flags = flags.to_vec();
        self.plan.save()
    }

    /// Let the kubelet have these environment variables besides the inherited ones from the next start on.
    ///
    /// # Errors
    /// The plan cannot be written.
    pub fn set_environment(&mut self, variables: &[(String, String)]) -> Result<()> {
        self.plan.spec.kubelet_environment = variables.to_vec();
        self.plan.save()
    }

    /// Lay a JSON merge patch over the lab's KubeletConfiguration, in place of an earlier one, from the next start on.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn set_config(&mut self, patch: Map<String, Value>) -> Result<()> {
        self.plan.spec.kubelet_config = patch;
        self.plan.save()?;
        let mut config = base_config(self.plan);
        lay_over(&mut config, &self.plan.spec.kubelet_config);
        write(&self.plan.paths.kubelet_config, &format!("{config:#}\n"))
    }

    /// Whether `/healthz` answers `ok`.
    ///
    /// # Errors
    /// It does not; the error says what happened.
    pub fn healthz(&self) -> Result<()> {
        healthz(self.plan)
    }

    /// GET a path of its HTTPS API, such as `/pods`, as the lab's administrator.
    ///
    /// # Errors
    /// It does not answer, or not with a 2xx code.
    pub fn get(&self, path: &str) -> Result<String> {
        get(self.plan, path)
    }
}

/// One request to the plain health port.
fn healthz(plan: &Plan) -> Result<()> {
    use std::io::{Read as _, Write as _};
    let address: SocketAddr = (plan.addresses.node, plan.ports.kubelet_healthz).into();
    let bound = Duration::from_secs(2);
    let mut stream = std::net::TcpStream::connect_timeout(&address, bound)?;
    stream.set_read_timeout(Some(bound))?;
    stream.write_all(
        format!("GET /healthz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").as_bytes(),
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let first = answer.lines().next().unwrap_or_default();
    anyhow::ensure!(first.contains(" 200 "), "answered {first:?}");
    Ok(())
}

/// One request to the HTTPS API with the administrator's certificate. The kubelet's own is signed by itself, so it is not
/// checked.
pub(crate) fn get(plan: &Plan, path: &str) -> Result<String> {
    let url = format!("https://{}:{}{path}", plan.addresses.node, plan.ports.kubelet);
    run::output(
        Command::new("curl")
            .args(["--silent", "--show-error", "--fail", "--insecure", "--max-time", "20", "--cert"])
            .arg(plan.paths.pki_file("admin.crt"))
            .arg("--key")
            .arg(plan.paths.pki_file("admin.key"))
            .arg(url),
    )
}

/// A running container of a pod on the node, as the runtime and the log folder show it, whatever kubelet runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Name of the pod, with the node's name behind it if it is a static one.
    pub pod: String,
    /// Name of the container.
    pub container: String,
    /// What it wrote last, without time and stream.
    pub log_line: String,
}

/// Look for a pod whose containers run and have written a line. `name` is the name in the manifest: a static pod's gets
/// `-NODE` appended.
///
/// # Errors
/// `ctr` fails.
pub(crate) fn see(plan: &Plan, namespace: &str, name: &str) -> Result<wait::Look<Seen>> {
    let prefix = format!("{namespace}_{name}");
    let Ok(folders) = std::fs::read_dir(&plan.paths.pod_logs) else {
        return Ok(wait::Look::NotYet("no folder of pod logs".to_owned()));
    };
    for folder in folders.flatten() {
        let folder_name = folder.file_name().to_string_lossy().into_owned();
        // The folder is NAMESPACE_NAME_UID.
        let Some((pod, _uid)) = folder_name.rsplit_once('_') else { continue };
        if pod != prefix && pod != format!("{prefix}-{}", plan.node_name) {
            continue;
        }
        let pod = pod.trim_start_matches(&format!("{namespace}_")).to_owned();
        for container in std::fs::read_dir(folder.path()).into_iter().flatten().flatten() {
            let Some(log_line) = last_line(&container.path()) else { continue };
            let container = container.file_name().to_string_lossy().into_owned();
            if is_task_running(plan, &pod, &container)? {
                return Ok(wait::Look::Ready(Seen { pod, container, log_line }));
            }
        }
        return Ok(wait::Look::NotYet(format!(
            "pod {pod} has a log folder, but no container that runs and has written"
        )));
    }
    Ok(wait::Look::NotYet(format!("no pod {namespace}/{name} in {}", plan.paths.pod_logs.display())))
}

/// The last line of a container's newest log, in CRI's format `TIME STREAM TAG TEXT`.
fn last_line(folder: &Path) -> Option<String> {
    let newest = std::fs::read_dir(folder)
        .ok()?
        .flatten()
        .filter_map(|file| {
            let name = file.file_name().to_string_lossy().into_owned();
            let attempt: u32 = name.strip_suffix(".log")?.parse().ok()?;
            Some((attempt, file.path()))
        })
        .max()?;
    let line = run::tail(&newest.1, 1);
    line.splitn(4, ' ').nth(3).map(str::to_owned)
}

/// Whether the runtime has a running task for a container of a pod.
fn is_task_running(plan: &Plan, pod: &str, container: &str) -> Result<bool> {
    let filter = format!(
        "labels.\"io.kubernetes.pod.name\"=={pod},labels.\"io.kubernetes.container.name\"=={container}"
    );
    let ids = run::output(containerd::ctr(plan).args(["containers", "list", "--quiet", &filter]))?;
    let tasks = run::output(containerd::ctr(plan).args(["tasks", "list"]))?;
    Ok(ids.lines().any(|id| {
        tasks.lines().any(|task| {
            let mut words = task.split_whitespace();
            words.next() == Some(id) && words.nth(1) == Some("RUNNING")
        })
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{artifacts::Tools, plan::Slot, spec::Spec};

    fn plan(mode: Mode) -> Plan {
        let mut spec = Spec::new("a", mode).unwrap();
        spec.state = "/s".into();
        Plan::new(spec, Slot(1), Tools::default(), "/k".into()).unwrap()
    }

    #[test]
    fn standalone_has_nobody_to_ask() {
        let config = base_config(&plan(Mode::Standalone));
        assert_eq!(config["authorization"]["mode"], "AlwaysAllow");
        assert_eq!(config["authentication"]["anonymous"]["enabled"], false);
        assert!(
            !invocation(&plan(Mode::Standalone))
                .arguments
                .iter()
                .any(|flag| flag.to_string_lossy().contains("kubeconfig"))
        );
        assert_eq!(base_config(&plan(Mode::Cluster))["authorization"]["mode"], "Webhook");
    }

    #[test]
    fn a_patch_merges_deletes_and_replaces() {
        let mut value = json!({ "a": { "b": 1, "c": 2 }, "d": [1], "e": 1 });
        let Value::Object(patch) = json!({ "a": { "b": null, "f": { "g": 1 } }, "d": [2], "e": { "h": 1 } })
        else {
            unreachable!()
        };
        lay_over(&mut value, &patch);
        assert_eq!(value, json!({ "a": { "c": 2, "f": { "g": 1 } }, "d": [2], "e": { "h": 1 } }));
    }

    #[test]
    fn the_newest_attempt_has_the_last_line() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("9.log"), "2026-01-01T00:00:00Z stdout F old\n").unwrap();
        std::fs::write(folder.path().join("10.log"), "2026-01-01T00:00:00Z stdout F hello you\n").unwrap();
        assert_eq!(last_line(folder.path()).unwrap(), "hello you");
    }
}
