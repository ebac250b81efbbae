//! What a lab is: every address, port, path and name, worked out once from the [`Spec`], kept in `lab.json`, and from
//! then on the only truth about where things are. Nothing here touches the machine.

use std::{
    fmt,
    net::Ipv4Addr,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::{artifacts::Tools, spec::Spec};

/// Folder for what must have a short path or be seen by labs of every checkout: shim sockets and the register of labs.
pub const MACHINE_DIR: &str = "/run/kubelet-lab";

/// Longest path of a unix socket (`sun_path` of unix(7), without the final zero).
const LONGEST_SOCKET: usize = 107;

/// Number of a lab on this machine, from 1; addresses are made from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Slot(pub u8);

impl Slot {
    /// The slots there are: 99 labs at once are more than a machine bears.
    pub fn all() -> impl Iterator<Item = Self> {
        (1..100).map(Self)
    }

    /// Second byte of the lab's addresses, 10.101.0.0/16 and up: off the ranges that clouds and Docker like.
    fn second_byte(self) -> u8 {
        100 + self.0
    }

    /// The /16 of the lab.
    #[must_use]
    pub fn prefix(self) -> String {
        format!("10.{}.", self.second_byte())
    }
}

/// Addresses of a lab.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Addresses {
    /// The machine's end of the veth pair.
    pub host: Ipv4Addr,
    /// The node, inside the network namespace. The machine reaches it.
    pub node: Ipv4Addr,
    /// Pods of every node, in CIDR notation.
    pub cluster_cidr: String,
    /// Pods of this node: the first /24 of the cluster's, which the controller manager gives to the first node.
    pub pod_cidr: String,
    /// Services.
    pub service_cidr: String,
    /// The service `kubernetes`.
    pub api_service: Ipv4Addr,
    /// What pods are told is their DNS server. Nothing answers there.
    pub dns: Ipv4Addr,
}

impl Addresses {
    fn new(slot: Slot) -> Self {
        let ten = slot.second_byte();
        Self {
            host: Ipv4Addr::new(10, ten, 0, 1),
            node: Ipv4Addr::new(10, ten, 0, 2),
            cluster_cidr: format!("10.{ten}.64.0/18"),
            pod_cidr: format!("10.{ten}.64.0/24"),
            service_cidr: format!("10.{ten}.192.0/18"),
            api_service: Ipv4Addr::new(10, ten, 192, 1),
            dns: Ipv4Addr::new(10, ten, 192, 10),
        }
    }

    /// The virtual machine, if the node is one.
    #[must_use]
    pub fn machine(&self) -> Ipv4Addr {
        self.of_machine(2)
    }

    /// The network namespace's end of the machine's cable.
    pub(crate) fn machine_gateway(&self) -> Ipv4Addr {
        self.of_machine(1)
    }

    fn of_machine(&self, last: u8) -> Ipv4Addr {
        let [ten, lab, ..] = self.node.octets();
        Ipv4Addr::new(ten, lab, 1, last)
    }
}

/// TCP ports, all inside the lab's network namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ports {
    /// The kubelet's HTTPS API, on the node's address.
    pub kubelet: u16,
    /// The kubelet's plain `/healthz`, on the node's address.
    pub kubelet_healthz: u16,
    /// The API server, on the node's address.
    pub api_server: u16,
    /// etcd's clients, on 127.0.0.1.
    pub etcd: u16,
    /// etcd's peers, on 127.0.0.1.
    pub etcd_peer: u16,
    /// The controller manager, on 127.0.0.1.
    pub controller_manager: u16,
    /// The scheduler, on 127.0.0.1.
    pub scheduler: u16,
    /// The open registry, on the node's address.
    pub registry: u16,
    /// The registry that wants a password, on the node's address.
    pub private_registry: u16,
    /// containerd's metrics, on the node's address.
    pub containerd_metrics: u16,
    /// metrics-server, on the node's address.
    #[serde(default)]
    pub metrics_server: u16,
}

impl Ports {
    fn new(base: Option<u16>) -> Self {
        let port = |usual: u16, offset: u16| base.map_or(usual, |base| base.saturating_add(offset));
        Self {
            kubelet: port(10250, 0),
            kubelet_healthz: port(10248, 1),
            api_server: port(6443, 2),
            etcd: port(2379, 3),
            etcd_peer: port(2380, 4),
            controller_manager: port(10257, 5),
            scheduler: port(10259, 6),
            registry: port(5000, 7),
            private_registry: port(5001, 8),
            containerd_metrics: port(1338, 9),
            metrics_server: port(4443, 10),
        }
    }
}

/// The long-running processes of a lab.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Service {
    /// etcd.
    Etcd,
    /// kube-apiserver.
    ApiServer,
    /// kube-controller-manager.
    ControllerManager,
    /// kube-scheduler.
    Scheduler,
    /// metrics-server.
    MetricsServer,
    /// containerd. Its shims and the containers are children of their own and live on without it.
    Containerd,
    /// The open registry.
    Registry,
    /// The registry that wants a password.
    PrivateRegistry,
    /// The virtual machine, if the node is one.
    Machine,
    /// The kubelet.
    Kubelet,
}

impl Service {
    /// All of them, in the order in which they are listed.
    pub const ALL: [Self; 10] = [
        Self::Etcd,
        Self::ApiServer,
        Self::ControllerManager,
        Self::Scheduler,
        Self::MetricsServer,
        Self::Containerd,
        Self::Registry,
        Self::PrivateRegistry,
        Self::Machine,
        Self::Kubelet,
    ];

    /// Name of its log (`NAME.log`) and pid file.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::ApiServer => "kube-apiserver",
            Self::ControllerManager => "kube-controller-manager",
            Self::Scheduler => "kube-scheduler",
            Self::MetricsServer => "metrics-server",
            Self::Containerd => "containerd",
            Self::Registry => "registry",
            Self::PrivateRegistry => "private-registry",
            Self::Machine => "machine",
            Self::Kubelet => "kubelet",
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The files of a lab. All but [`Paths::machine_dir`] are beneath `dir`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paths {
    /// `STATE/labs/NAME`.
    pub dir: PathBuf,
    /// The plan, as JSON.
    pub plan: PathBuf,
    /// Keys, certificates, service account keys.
    pub pki: PathBuf,
    /// Logs of the services.
    pub logs: PathBuf,
    /// Pid files.
    pub run: PathBuf,
    /// The administrator's kubeconfig (cluster mode).
    pub kubeconfig: PathBuf,
    /// The kubelet's kubeconfig (cluster mode).
    pub kubelet_kubeconfig: PathBuf,
    /// The kubelet's bootstrap kubeconfig (with [`crate::spec::Credentials::BootstrapToken`]).
    pub bootstrap_kubeconfig: PathBuf,
    /// Shell file with names of everything.
    pub env: PathBuf,
    /// KubeletConfiguration.
    pub kubelet_config: PathBuf,
    /// The kubelet's `--root-dir`.
    pub kubelet_root: PathBuf,
    /// The kubelet's `--cert-dir`.
    pub kubelet_certs: PathBuf,
    /// The static pod folder.
    pub manifests: PathBuf,
    /// The kubelet's `podLogsDir`.
    pub pod_logs: PathBuf,
    /// `resolv.conf` that the kubelet starts from.
    pub resolv_conf: PathBuf,
    /// containerd's root, state, configuration, CNI configuration and addresses.
    pub containerd: PathBuf,
    /// containerd's socket.
    pub containerd_socket: PathBuf,
    /// etcd's data.
    pub etcd: PathBuf,
    /// Storage and configuration of the registries.
    pub registries: PathBuf,
    /// `/run/kubelet-lab/NAME`.
    pub machine_dir: PathBuf,
}

impl Paths {
    fn new(state: &Path, name: &str) -> Self {
        let dir = state.join("labs").join(name);
        let at = |path: &str| dir.join(path);
        Self {
            plan: at("lab.json"),
            pki: at("pki"),
            logs: at("logs"),
            run: at("run"),
            kubeconfig: at("kubeconfig"),
            kubelet_kubeconfig: at("kubelet.kubeconfig"),
            bootstrap_kubeconfig: at("bootstrap.kubeconfig"),
            env: at("env"),
            kubelet_config: at("kubelet.json"),
            kubelet_root: at("kubelet"),
            kubelet_certs: at("kubelet-pki"),
            manifests: at("manifests"),
            pod_logs: at("pod-logs"),
            resolv_conf: at("resolv.conf"),
            containerd: at("containerd"),
            containerd_socket: at("containerd.sock"),
            etcd: at("etcd"),
            registries: at("registries"),
            machine_dir: Path::new(MACHINE_DIR).join(name),
            dir,
        }
    }

    /// The log of a service.
    #[must_use]
    pub fn log(&self, service: Service) -> PathBuf {
        self.logs.join(format!("{service}.log"))
    }

    /// The pid file of a service.
    #[must_use]
    pub fn pid_file(&self, service: Service) -> PathBuf {
        self.run.join(format!("{service}.pid"))
    }

    /// A file among the keys and certificates.
    #[must_use]
    pub fn pki_file(&self, name: &str) -> PathBuf {
        self.pki.join(name)
    }
}

/// Everything about one lab.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// What was asked for.
    pub spec: Spec,
    /// Number on the machine.
    pub slot: Slot,
    /// Name of the node.
    pub node_name: String,
    /// The kubelet's program.
    pub kubelet: PathBuf,
    /// Programs of the runtime and the control plane.
    pub tools: Tools,
    /// Addresses.
    pub addresses: Addresses,
    /// Ports.
    pub ports: Ports,
    /// Files.
    pub paths: Paths,
    /// Name of the network namespace, in `/run/netns`.
    pub netns: String,
    /// Name of the machine's end of the veth pair; inside it is `eth0`.
    pub veth: String,
    /// Name of the pods' bridge, inside the namespace.
    pub bridge: String,
    /// The kubelet's `cgroupRoot`, a group of this path in every hierarchy.
    pub cgroup_root: String,
}

impl Plan {
    /// Work out a lab. `state` must be absolute.
    ///
    /// # Errors
    /// The parameters are wrong, or the folder's path is too long for the sockets beneath it.
    pub fn new(spec: Spec, slot: Slot, tools: Tools, kubelet: PathBuf) -> Result<Self> {
        spec.check()?;
        let state = std::path::absolute(&spec.state).context("the state folder has no absolute path")?;
        let paths = Paths::new(&state, &spec.name);
        // The longest name that a kubelet gives to a socket of its own; plugins choose theirs.
        let longest = paths.kubelet_root.join("device-plugins/kubelet.sock");
        let length = longest.as_os_str().len();
        ensure!(
            length <= LONGEST_SOCKET,
            "{} has {length} characters, and a socket's path at most {LONGEST_SOCKET}\nhint: give a shorter --state",
            longest.display()
        );
        Ok(Self {
            node_name: spec.node_name.clone().unwrap_or_else(|| spec.name.clone()),
            netns: format!("lab-{}", spec.name),
            veth: format!("klab{}", slot.0),
            bridge: "cni0".to_owned(),
            cgroup_root: format!("/lab-{}", spec.name),
            addresses: Addresses::new(slot),
            ports: Ports::new(spec.port_base),
            paths,
            slot,
            tools,
            kubelet,
            spec,
        })
    }

    /// Read `lab.json` of a lab.
    ///
    /// # Errors
    /// There is no such lab, or the file is damaged.
    pub fn load(state: &Path, name: &str) -> Result<Self> {
        crate::spec::check_name(name)?;
        let file = state.join("labs").join(name).join("lab.json");
        let text = std::fs::read_to_string(&file)
            .with_context(|| format!("there is no lab {name:?}\nhint: `lab status` lists them"))?;
        serde_json::from_str(&text).with_context(|| format!("{} is damaged", file.display()))
    }

    /// Write `lab.json`.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn save(&self) -> Result<()> {
        let text = serde_json::to_string_pretty(self).context("cannot write the plan as JSON")?;
        write(&self.paths.plan, &text)
    }

    /// Path of the network namespace.
    #[must_use]
    pub fn netns_path(&self) -> PathBuf {
        Path::new("/run/netns").join(&self.netns)
    }

    /// URL of the API server.
    #[must_use]
    pub fn api_server(&self) -> String {
        format!("https://{}:{}", self.addresses.node, self.ports.api_server)
    }
}

/// Write a file, with its path in the error.
///
/// # Errors
/// It cannot be written.
pub(crate) fn write(file: &Path, text: &str) -> Result<()> {
    std::fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
}

/// Make a folder and those above it, with its path in the error.
///
/// # Errors
/// It cannot be made.
pub(crate) fn make_dir(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::Mode;

    fn plan(name: &str, slot: u8, state: &str) -> Result<Plan> {
        let mut spec = Spec::new(name, Mode::Cluster)?;
        spec.state = state.into();
        Plan::new(spec, Slot(slot), Tools::default(), "/k".into())
    }

    #[test]
    fn two_labs_share_nothing() {
        let (a, b) = (plan("a", 1, "/s").unwrap(), plan("b", 2, "/s").unwrap());
        assert_ne!(a.addresses, b.addresses);
        assert_ne!(a.netns, b.netns);
        assert_ne!(a.veth, b.veth);
        assert_ne!(a.cgroup_root, b.cgroup_root);
        assert_ne!(a.paths.dir, b.paths.dir);
        assert_ne!(a.paths.machine_dir, b.paths.machine_dir);
    }

    #[test]
    fn interface_names_fit_the_kernels_15_characters() {
        assert!(Slot::all().all(|slot| plan("a", slot.0, "/s").unwrap().veth.len() <= 15));
    }

    #[test]
    fn a_deep_folder_is_refused_before_a_socket_is() {
        let error = plan("a", 1, &format!("/{}", "d".repeat(90))).unwrap_err().to_string();
        assert!(error.contains("shorter --state"), "{error}");
    }

    #[test]
    fn a_plan_survives_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let plan = plan("a", 7, &folder.path().to_string_lossy()).unwrap();
        make_dir(&plan.paths.dir).unwrap();
        plan.save().unwrap();
        assert_eq!(Plan::load(folder.path(), "a").unwrap(), plan);
    }

    #[test]
    fn ports_are_the_usual_ones_or_follow_the_base() {
        assert_eq!(Ports::new(None).kubelet, 10250);
        let ports = Ports::new(Some(20_000));
        assert_eq!((ports.kubelet, ports.containerd_metrics), (20_000, 20_009));
    }
}
