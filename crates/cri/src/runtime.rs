//! [`CriRuntime`]: the seam, call by call. What a call needs beyond one message is in files of its own.

mod containers;
mod images;
mod node;
mod sandboxes;
mod stats;
mod streams;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use k8s_openapi::api::core::v1::Pod;
use lifecycle::{ContainerId, LogFate, PodUid, SandboxId, observation::RuntimePod};
use seams::{
    Runtime, RuntimeError,
    runtime::{
        CgroupDriver, ContainerRequest, ExecResult, ImageFs, ImageInfo, ListedPod, RegistryAuth, RuntimeHint,
        RuntimeStatus, RuntimeVersion, SandboxRequest, Streams,
    },
};
use tokio::sync::mpsc;

use crate::{
    client::Client,
    config::{CriConfig, DEFAULT_REQUEST_TIMEOUT},
    endpoint::{self, EndpointError},
    hints,
    links::Due,
    log_files::LogFiles,
    observe::{self, Memory, MessageReader},
    render::{HostFacts, RenderError},
};

/// The container runtime behind a unix socket. Cheap to clone.
#[derive(Clone, Debug)]
pub struct CriRuntime {
    client: Client,
    logs: LogFiles,
    host: Arc<HostFacts>,
    messages: MessageReader,
    memory: Arc<Memory>,
    links: Arc<Due>,
    warnings: Arc<[String]>,
}

impl CriRuntime {
    /// Sets the client up. Dials nothing yet: a runtime that is not there shows as [`RuntimeError::Unreachable`] in
    /// the calls, and is found as soon as it is. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// An endpoint that can never work.
    pub fn connect(config: &CriConfig) -> Result<Self, EndpointError> {
        let runtime = endpoint::parse(&config.runtime_endpoint)?;
        let image = match config.image_endpoint.trim() {
            "" => None,
            text => Some(endpoint::parse(text)?),
        };
        let timeout =
            if config.request_timeout.is_zero() { DEFAULT_REQUEST_TIMEOUT } else { config.request_timeout };
        let warnings = runtime.warning.iter().chain(image.iter().filter_map(|i| i.warning.as_ref()));
        Ok(Self {
            client: Client::new(
                &runtime.endpoint,
                image.as_ref().map(|i| &i.endpoint),
                timeout,
                Arc::clone(&config.metrics),
            ),
            logs: LogFiles { root: config.pod_logs_dir.clone(), links: config.container_links_dir.clone() },
            host: Arc::new(config.host.clone()),
            messages: MessageReader::new(config.pod_logs_dir.clone()),
            memory: Arc::default(),
            links: Arc::default(),
            warnings: warnings.cloned().collect(),
        })
    }

    /// What to tell the operator about the configuration; empty mostly.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// `podLogsDir`.
    pub(crate) fn log_root(&self) -> &Path {
        &self.logs.root
    }

    /// The calls.
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// Makes a directory for logs on the blocking pool.
    async fn make_log_dir(&self, call: &'static str, path: &Path) -> Result<(), RuntimeError> {
        let dir = path.to_owned();
        let made = on_disk(move || LogFiles::make_dir(&dir)).await;
        made.map_err(|error| RuntimeError::Invalid {
            call,
            message: format!("cannot make the log directory {}: {error}", path.display()),
        })
    }
}

/// Runs file work on the blocking pool.
async fn on_disk<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> std::io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(std::io::Error::other)?
}

/// A request that cannot be rendered.
fn invalid(call: &'static str) -> impl Fn(RenderError) -> RuntimeError {
    move |error| RuntimeError::Invalid { call, message: error.to_string() }
}

/// CRI counts whole seconds, and 0 has meanings of its own: what is not zero is at least one.
fn seconds(duration: Duration) -> i64 {
    let whole = duration.as_secs().saturating_add(u64::from(duration.subsec_nanos() > 0));
    i64::try_from(whole).unwrap_or(i64::MAX)
}

#[async_trait]
impl Runtime for CriRuntime {
    async fn version(&self) -> Result<RuntimeVersion, RuntimeError> {
        self.read_version().await
    }

    async fn status(&self) -> Result<RuntimeStatus, RuntimeError> {
        self.read_status().await
    }

    async fn cgroup_driver(&self) -> Result<Option<CgroupDriver>, RuntimeError> {
        self.read_cgroup_driver().await
    }

    async fn set_pod_cidr(&self, cidr: &str) -> Result<(), RuntimeError> {
        self.write_pod_cidr(cidr).await
    }

    async fn list_pods(&self) -> Result<Vec<ListedPod>, RuntimeError> {
        let (sandboxes, containers) = futures::try_join!(
            observe::list_sandboxes(&self.client, None),
            observe::list_containers(&self.client, None)
        )?;
        let pods = observe::group(&sandboxes, &containers);
        self.memory.exited.keep_only_listed(pods.iter().flat_map(|p| p.containers.iter().map(|(id, _)| id)));
        self.memory.expected.keep_only(pods.iter().map(|pod| &pod.uid));
        Ok(pods)
    }

    async fn inspect_pod(&self, uid: &PodUid) -> Result<RuntimePod, RuntimeError> {
        observe::inspect(&self.client, &self.memory, &self.messages, uid).await
    }

    async fn skeleton(&self, uid: &PodUid) -> Result<Option<Pod>, RuntimeError> {
        let (sandboxes, containers) = futures::try_join!(
            observe::list_sandboxes(&self.client, Some(uid)),
            observe::list_containers(&self.client, Some(uid))
        )?;
        Ok(observe::skeleton(uid, &sandboxes, &containers))
    }

    async fn run_sandbox(&self, request: &SandboxRequest) -> Result<SandboxId, RuntimeError> {
        self.run_pod_sandbox(request).await
    }

    async fn stop_sandbox(&self, id: &SandboxId) -> Result<(), RuntimeError> {
        self.stop_pod_sandbox(id).await
    }

    async fn remove_sandbox(&self, id: &SandboxId) -> Result<(), RuntimeError> {
        self.remove_pod_sandbox(id).await
    }

    async fn create_container(&self, request: &ContainerRequest) -> Result<ContainerId, RuntimeError> {
        self.create(request).await
    }

    async fn start_container(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        self.start(id).await
    }

    async fn link_log(&self, id: &ContainerId) {
        self.link(id).await;
    }

    async fn stop_container(&self, id: &ContainerId, grace: Duration) -> Result<(), RuntimeError> {
        self.stop(id, grace).await
    }

    async fn remove_container(&self, id: &ContainerId, log: LogFate) -> Result<(), RuntimeError> {
        self.remove(id, log).await
    }

    async fn log_path(&self, id: &ContainerId) -> Result<Option<PathBuf>, RuntimeError> {
        let status = observe::container_status(&self.client, id).await?;
        Ok(Some(PathBuf::from(status.log_path)).filter(|path| !path.as_os_str().is_empty()))
    }

    async fn reopen_log(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        self.reopen_container_log(id).await
    }

    async fn unlink_logs(&self, log_directory: &Path) -> Result<(), RuntimeError> {
        let (logs, dir) = (self.logs.clone(), log_directory.to_owned());
        on_disk(move || logs.unlink_below(&dir)).await.map_err(|error| RuntimeError::Invalid {
            call: "unlink logs",
            message: format!("cannot remove the links to logs below {}: {error}", log_directory.display()),
        })
    }

    async fn unlink_lost_logs(&self) -> Result<(), RuntimeError> {
        let logs = self.logs.clone();
        on_disk(move || logs.unlink_lost()).await.map_err(|error| RuntimeError::Invalid {
            call: "unlink logs",
            message: format!("cannot remove the links to logs that are gone: {error}"),
        })
    }

    async fn exec(
        &self,
        id: &ContainerId,
        command: &[String],
        timeout: Duration,
    ) -> Result<ExecResult, RuntimeError> {
        self.exec_sync(id, command, timeout).await
    }

    async fn exec_url(
        &self,
        id: &ContainerId,
        command: &[String],
        streams: Streams,
    ) -> Result<String, RuntimeError> {
        self.exec_address(id, command, streams).await
    }

    async fn attach_url(&self, id: &ContainerId, streams: Streams) -> Result<String, RuntimeError> {
        self.attach_address(id, streams).await
    }

    async fn port_forward_url(&self, id: &SandboxId, ports: &[u16]) -> Result<String, RuntimeError> {
        self.port_forward_address(id, ports).await
    }

    async fn checkpoint(
        &self,
        id: &ContainerId,
        archive: &Path,
        limit: Duration,
    ) -> Result<(), RuntimeError> {
        self.write_checkpoint(id, archive, limit).await
    }

    async fn image_status(&self, image: &str, handler: &str) -> Result<Option<ImageInfo>, RuntimeError> {
        self.read_image(image, handler).await
    }

    async fn pull_image(
        &self,
        image: &str,
        auth: Option<&RegistryAuth>,
        sandbox: &SandboxRequest,
    ) -> Result<String, RuntimeError> {
        self.pull(image, auth, sandbox).await
    }

    async fn list_images(&self) -> Result<Vec<ImageInfo>, RuntimeError> {
        self.read_images().await
    }

    async fn remove_image(&self, image: &str) -> Result<(), RuntimeError> {
        self.delete_image(image).await
    }

    async fn image_fs(&self) -> Result<(Vec<ImageFs>, Vec<ImageFs>), RuntimeError> {
        self.read_image_fs().await
    }

    fn hints(&self) -> mpsc::Receiver<RuntimeHint> {
        hints::start(self.client.clone())
    }
}
