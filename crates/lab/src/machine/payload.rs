//! What a machine is given on a second disk: the runtime, kubelets, images, and its files under `/etc` and `/var/lib`, as
//! an operator's tools (kubeadm, a distribution) would lay them out. Every path of the kubelet is its default.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::{
    images,
    plan::{Plan, make_dir, write},
    run,
    spec::Mode,
};

/// Where the disk is mounted.
pub(super) const MOUNTED: &str = "/payload";
/// The kubelet's program; a link to the one of the payload that runs.
pub(super) const KUBELET: &str = "/usr/bin/kubelet";
/// Programs of the runtime.
const PROGRAMS: &str = "/usr/local/bin";
/// CNI's.
const CNI: &str = "/opt/cni/bin";

const CONTAINERD_UNIT: &str = "\
[Unit]
Description=containerd
After=network.target

[Service]
ExecStart=/usr/local/bin/containerd
Type=notify
Delegate=yes
KillMode=process
OOMScoreAdjust=-999

[Install]
WantedBy=multi-user.target
";

/// The watchdog is far above the pause between two signs of life, so that a slow machine is not restarted.
const KUBELET_UNIT: &str = "\
[Unit]
Description=kubelet
Wants=containerd.service
After=containerd.service

[Service]
EnvironmentFile=/etc/default/kubelet
ExecStart=/usr/bin/kubelet $KUBELET_FLAGS
Type=notify
WatchdogSec=20
Restart=always
RestartSec=1
KillMode=process

[Install]
WantedBy=multi-user.target
";

/// Lay out the files and make the disk of them.
///
/// # Errors
/// A file cannot be copied or written.
pub(super) fn make(plan: &Plan, kubelets: &[(String, PathBuf)], disk: &Path) -> Result<()> {
    let folder = disk.with_extension("files");
    let _ = fs::remove_dir_all(&folder);
    let programs = inside(&folder, PROGRAMS)?;
    for program in ["containerd", "containerd-shim-runc-v2", "ctr"] {
        copy(&plan.tools.shim_dir.join(program), &programs.join(program))?;
    }
    copy(&plan.tools.runc, &programs.join("runc"))?;
    let plugins = inside(&folder, CNI)?;
    for entry in fs::read_dir(&plan.tools.cni).context("cannot list CNI's plugins")?.flatten() {
        copy(&entry.path(), &plugins.join(entry.file_name()))?;
    }
    let out = folder.join("kubelets");
    make_dir(&out)?;
    for (name, program) in kubelets {
        copy(program, &out.join(name))?;
    }
    let archives = folder.join("images");
    make_dir(&archives)?;
    for (number, image) in images::build_all(&plan.spec.state)?.iter().enumerate() {
        copy(&image.tar, &archives.join(format!("{number}.tar")))?;
    }
    configure(plan, &folder)?;
    run::output(Command::new("mke2fs").args(["-q", "-t", "ext4", "-d"]).arg(&folder).arg(disk).arg("1G"))?;
    fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))
}

/// The folder of the payload whose contents go to a folder of the machine.
fn inside(folder: &Path, place: &str) -> Result<PathBuf> {
    let made = folder.join("files").join(place.trim_start_matches('/'));
    make_dir(&made)?;
    Ok(made)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::copy(from, to).with_context(|| format!("cannot copy {}", from.display()))?;
    Ok(())
}

fn configure(plan: &Plan, folder: &Path) -> Result<()> {
    let units = inside(folder, "/etc/systemd/system")?;
    write(&units.join("containerd.service"), CONTAINERD_UNIT)?;
    write(&units.join("kubelet.service"), KUBELET_UNIT)?;
    write(&inside(folder, "/etc/containerd")?.join("config.toml"), &containerd_config())?;
    write(&inside(folder, "/etc/cni/net.d")?.join("10-lab.conflist"), &format!("{:#}\n", cni(plan)))?;
    let kubernetes = inside(folder, "/etc/kubernetes")?;
    make_dir(&kubernetes.join("manifests"))?;
    copy(&plan.paths.pki_file("ca.crt"), &inside(folder, "/etc/kubernetes/pki")?.join("ca.crt"))?;
    if plan.spec.mode == Mode::Cluster {
        copy(&plan.paths.kubelet_kubeconfig, &kubernetes.join("kubelet.conf"))?;
    }
    write(
        &inside(folder, "/var/lib/kubelet")?.join("config.yaml"),
        &format!("{:#}\n", kubelet_config(plan)),
    )?;
    let flags = kubelet_flags(plan).join(" ");
    write(&inside(folder, "/etc/default")?.join("kubelet"), &format!("KUBELET_FLAGS={flags}\n"))?;
    // The kernel's names for what pods need; a distribution's packages load them so.
    write(&inside(folder, "/etc/modules-load.d")?.join("pods.conf"), "overlay\nbr_netfilter\n")?;
    write(&inside(folder, "/etc/sysctl.d")?.join("90-pods.conf"), "net.ipv4.ip_forward = 1\n")
}

fn containerd_config() -> String {
    format!(
        "version = 3

[plugins.\"io.containerd.cri.v1.runtime\".cni]
  bin_dirs = [\"{CNI}\"]
  conf_dir = \"/etc/cni/net.d\"

[plugins.\"io.containerd.cri.v1.runtime\".containerd.runtimes.runc]
  runtime_type = \"io.containerd.runc.v2\"

[plugins.\"io.containerd.cri.v1.runtime\".containerd.runtimes.runc.options]
  SystemdCgroup = false

[plugins.\"io.containerd.cri.v1.images\".pinned_images]
  sandbox = \"{}\"
",
        images::PAUSE
    )
}

fn cni(plan: &Plan) -> Value {
    json!({
        "cniVersion": "1.0.0",
        "name": "lab",
        "plugins": [
            {
                "type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": true, "hairpinMode": true,
                "ipam": {
                    "type": "host-local",
                    "ranges": [[{ "subnet": plan.addresses.pod_cidr }]],
                    "routes": [{ "dst": "0.0.0.0/0" }],
                },
            },
            { "type": "portmap", "capabilities": { "portMappings": true } },
        ],
    })
}

/// KubeletConfiguration: what kubeadm writes, and what shows more of what cgroup v2 and systemd can do.
fn kubelet_config(plan: &Plan) -> Value {
    let cluster = plan.spec.mode == Mode::Cluster;
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": { "enabled": false },
            "webhook": { "enabled": cluster },
            "x509": { "clientCAFile": "/etc/kubernetes/pki/ca.crt" },
        },
        "authorization": { "mode": if cluster { "Webhook" } else { "AlwaysAllow" } },
        "cgroupDriver": "cgroupfs",
        "clusterDNS": [plan.addresses.dns],
        "clusterDomain": "cluster.local",
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        "registerNode": cluster,
        "staticPodPath": "/etc/kubernetes/manifests",
        "failSwapOn": false,
        "memorySwap": { "swapBehavior": "LimitedSwap" },
        "enableSystemLogQuery": true,
        "featureGates": { "NodeLogQuery": true },
        "volumeStatsAggPeriod": "5s",
    })
}

fn kubelet_flags(plan: &Plan) -> Vec<String> {
    let mut flags = vec![
        "--config=/var/lib/kubelet/config.yaml".to_owned(),
        format!("--hostname-override={}", plan.node_name),
        format!("--node-ip={}", plan.addresses.machine()),
        "--v=2".to_owned(),
    ];
    if plan.spec.mode == Mode::Cluster {
        flags.push("--kubeconfig=/etc/kubernetes/kubelet.conf".to_owned());
    }
    flags.extend(plan.spec.kubelet_flags.iter().cloned());
    flags
}
