//! Bringing a lab up, and what a caller does with it then.
//!
//! ```text
//! Spec ──plan──▶ Plan ──network, cgroups, keys, configuration──▶ ┬─ containerd, images ─┬─▶ kubelet ──▶ Lab
//!                                                                ├─ registries ─────────┤
//!                                                                └─ control plane ──────┘
//! ```
//!
//! The three in the middle start side by side. A [`Lab`] is a handle: dropping it leaves everything running.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow, bail};

use crate::{
    api::Api,
    artifacts,
    cgroups::Groups,
    containerd, control_plane,
    daemon::Daemon,
    env, host, images,
    kubelet::{self, Kubelet, Seen},
    machine::Machine,
    network, pki,
    plan::{Paths, Plan, Service, make_dir},
    run,
    spec::{KubeletBinary, Mode, Spec},
    teardown, wait,
};

/// Longest for a node to become Ready after its kubelet answers.
const NODE_READY_BOUND: Duration = Duration::from_secs(120);

/// A lab that is up.
#[derive(Debug)]
pub struct Lab {
    plan: Plan,
    /// Made when it is first wanted.
    api: OnceLock<Api>,
}

impl Lab {
    /// Build what is missing, start everything, and return when the kubelet answers and, in cluster mode, its node is Ready.
    ///
    /// # Errors
    /// A step fails. What was started stays for a look at its logs; [`Lab::open`] and [`Lab::down`] clear it away.
    pub fn up(spec: Spec) -> Result<Self> {
        let mut lab = Self::up_without_kubelet(spec)?;
        lab.kubelet().start()?;
        if lab.plan.spec.mode == Mode::Cluster {
            lab.wait_node_ready(NODE_READY_BOUND)?;
        }
        Ok(lab)
    }

    /// As [`Lab::up`], but the kubelet is not started.
    ///
    /// # Errors
    /// As [`Lab::up`].
    pub fn up_without_kubelet(mut spec: Spec) -> Result<Self> {
        spec.check()?;
        if !rustix::process::geteuid().is_root() {
            bail!("the lab makes network namespaces, mounts and cgroups\nhint: run it as root");
        }
        spec.state = std::path::absolute(&spec.state).context("the state folder has no absolute path")?;
        let (tools, kubelet) = artifacts::ensure(&spec)?;
        let archives = images::build_all(&spec.state)?;
        let slot = host::enter(&spec.name, &spec.state)?;
        let name = spec.name.clone();
        let plan = match Plan::new(spec, slot, tools, kubelet) {
            Ok(plan) => plan,
            Err(error) => {
                host::leave(&name)?;
                return Err(error);
            }
        };
        let lab = Self::of(plan);
        lab.prepare()?;
        lab.start_world(&archives)?;
        Ok(lab)
    }

    fn of(plan: Plan) -> Self {
        Self { plan, api: OnceLock::new() }
    }

    /// Folders, files, network and cgroups.
    fn prepare(&self) -> Result<()> {
        let plan = &self.plan;
        for folder in [&plan.paths.dir, &plan.paths.logs, &plan.paths.run, &plan.paths.machine_dir] {
            make_dir(folder)?;
        }
        // From here on `down` finds the lab.
        plan.save()?;
        network::up(plan)?;
        Groups::new(&plan.cgroup_root)?.make()?;
        pki::make(plan)?;
        containerd::write_configuration(plan)?;
        kubelet::write_configuration(plan)?;
        env::write_file(plan)
    }

    /// Everything but the kubelet, side by side.
    fn start_world(&self, archives: &[images::ImageArchive]) -> Result<()> {
        let plan = &self.plan;
        thread::scope(|scope| {
            let mut parts = vec![
                scope.spawn(|| containerd::up(plan, archives)),
                scope.spawn(|| containerd::registries_up(plan, archives)),
            ];
            if plan.spec.mode == Mode::Cluster {
                parts.push(scope.spawn(|| control_plane::up(plan)));
            }
            // All are joined, so that an error of one does not hide behind another's wait.
            let results: Vec<Result<()>> = parts
                .into_iter()
                .map(|part| part.join().unwrap_or_else(|_| Err(anyhow!("a part of the start panicked"))))
                .collect();
            results.into_iter().collect()
        })
    }

    /// The handle of a lab that was brought up earlier, perhaps by another process.
    ///
    /// # Errors
    /// There is none of that name in the state folder.
    pub fn open(state: &Path, name: &str) -> Result<Self> {
        let state = std::path::absolute(state).context("the state folder has no absolute path")?;
        Ok(Self::of(Plan::load(&state, name)?))
    }

    /// Names of the labs in a state folder, up or cut off half way.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn list(state: &Path) -> Result<Vec<String>> {
        let folder = state.join("labs");
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error).with_context(|| format!("cannot list {}", folder.display())),
        };
        let mut names: Vec<String> = entries
            .flatten()
            .filter(|entry| entry.path().join("lab.json").exists())
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        Ok(names)
    }

    /// Everything about it.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Its files.
    #[must_use]
    pub fn paths(&self) -> &Paths {
        &self.plan.paths
    }

    /// Its kubelet.
    pub fn kubelet(&mut self) -> Kubelet<'_> {
        Kubelet::new(&mut self.plan)
    }

    /// One of its processes, to stop, kill, hang and start.
    #[must_use]
    pub fn service(&self, service: Service) -> Daemon<'_> {
        Daemon::new(&self.plan, service)
    }

    /// Start a virtual machine as its node, in place of the kubelet and the runtime on this machine. It has our kubelet, as
    /// `ours`, and upstream's; neither runs yet.
    ///
    /// # Errors
    /// As [`Machine::start`], or a kubelet is not there.
    pub fn start_machine(&self) -> Result<Machine<'_>> {
        let mut kubelets = vec![("ours".to_owned(), self.plan.kubelet.clone())];
        if self.plan.tools.control_plane.is_some() {
            let upstream = artifacts::kubelet(&KubeletBinary::Upstream, &self.plan.tools)?;
            kubelets.push(("upstream".to_owned(), upstream));
        }
        Machine::start(&self.plan, &kubelets)
    }

    /// A command in its network namespace.
    #[must_use]
    pub fn command(&self, program: &str) -> Command {
        network::enter(&self.plan, Path::new(program))
    }

    /// Its API server.
    ///
    /// # Errors
    /// It has none.
    pub fn api(&self) -> Result<&Api> {
        match self.api.get() {
            Some(api) => Ok(api),
            None => Api::new(&self.plan).map(|api| self.api.get_or_init(|| api)),
        }
    }

    /// A pod of the namespace `default`.
    ///
    /// # Errors
    /// It is not there, or there is no control plane.
    pub fn pod(&self, name: &str) -> Result<serde_json::Value> {
        self.api()?.get(&format!("pods/{name}"))
    }

    /// Whether there is a pod of that name in the namespace `default`.
    ///
    /// # Errors
    /// The API server cannot be reached.
    pub fn has_pod(&self, name: &str) -> Result<bool> {
        Ok(self.api()?.find(&format!("pods/{name}"))?.is_some())
    }

    /// Run kubectl as the administrator and give what it prints. What needs no kubectl is cheaper by [`Lab::api`].
    ///
    /// # Errors
    /// It fails; the error has its output. Or the lab has no control plane.
    pub fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        run::output(control_plane::kubectl(&self.plan)?.args(arguments))
    }

    /// `kubectl apply` of manifests (YAML or JSON).
    ///
    /// # Errors
    /// As [`Lab::kubectl`].
    pub fn apply(&self, manifests: &str) -> Result<String> {
        run::output_with_input(control_plane::kubectl(&self.plan)?.args(["apply", "-f", "-"]), manifests)
    }

    /// Run ctr on the lab's containerd, in the namespace of Kubernetes.
    ///
    /// # Errors
    /// It fails; the error has its output.
    pub fn ctr(&self, arguments: &[&str]) -> Result<String> {
        run::output(containerd::ctr(&self.plan).args(arguments))
    }

    /// Wait until the node's condition Ready is True.
    ///
    /// # Errors
    /// The bound is over, or the kubelet has ended; the error says what the condition was.
    pub fn wait_node_ready(&self, bound: Duration) -> Result<()> {
        let path = format!("/api/v1/nodes/{}", self.plan.node_name);
        let api = self.api()?;
        self.service(Service::Kubelet).ready(bound, || api.look(&path, "Ready"))
    }

    /// Wait until a pod is running as the runtime and its log file show it, whatever the kubelet says. Works without a
    /// control plane. `name` is the manifest's; a static pod's gets the node's name appended.
    ///
    /// # Errors
    /// The bound is over, or the kubelet has ended.
    pub fn wait_pod_seen(&self, namespace: &str, name: &str, bound: Duration) -> Result<Seen> {
        let mut found = None;
        self.service(Service::Kubelet).ready(bound, || match kubelet::see(&self.plan, namespace, name) {
            Ok(wait::Look::Ready(seen)) => {
                found = Some(seen);
                wait::Look::Ready(())
            }
            Ok(wait::Look::NotYet(text)) => wait::Look::NotYet(text),
            Err(error) => wait::Look::NotYet(error.to_string()),
        })?;
        found.context("a pod was seen and lost")
    }

    /// GET a path of the kubelet's HTTPS API as the administrator.
    ///
    /// # Errors
    /// It does not answer, or not with a 2xx code.
    pub fn kubelet_get(&self, path: &str) -> Result<String> {
        kubelet::get(&self.plan, path)
    }

    /// Put a manifest into the static pod folder, whole at once.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn add_static_pod(&self, file_name: &str, manifest: &str) -> Result<PathBuf> {
        let partial = self.plan.paths.dir.join("manifest.partial");
        let file = self.plan.paths.manifests.join(file_name);
        crate::plan::write(&partial, manifest)?;
        fs::rename(&partial, &file).with_context(|| format!("cannot place {}", file.display()))?;
        Ok(file)
    }

    /// Take it down; its logs are kept in `STATE/logs/NAME`.
    ///
    /// # Errors
    /// Something is left; the error lists it.
    pub fn down(self) -> Result<()> {
        teardown::down(&self.plan)
    }
}
