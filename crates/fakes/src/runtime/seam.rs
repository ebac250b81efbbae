//! The core as [`seams::Runtime`], without a socket.
//!
//! Messages are made in [`render`], accounts in [`records`], errors in [`errors`]: each as the edge would.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use async_trait::async_trait;
use k8s_openapi::{
    api::core::v1::{Pod, PodSpec},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use lifecycle::{ContainerId, LogFate, PodUid, SandboxId, observation::RuntimePod, spec::containers::images};
use proto::cri::{
    AuthConfig, ContainerEventType, CreateContainerRequest, PodSandboxState, RunPodSandboxRequest,
};
use seams::{
    Runtime, RuntimeError,
    runtime::{
        Became, CgroupDriver, ContainerRequest, ExecResult, HandlerInfo, ImageFs, ImageInfo, ListedPod,
        ObjectEvent, RegistryAuth, RuntimeCondition, RuntimeHint, RuntimeStatus, RuntimeVersion,
        SandboxRequest, Streams,
    },
};
use tokio::sync::{broadcast::error::RecvError, mpsc};
use tonic::Code;

use super::{
    container_request,
    core::{Core, Sandbox, not_found},
};

mod errors;
mod records;
mod render;

use errors::error;
use records::{container_record, image_info, sandbox_record, state};
use render::{container_config, sandbox_config};

const UID: &str = "io.kubernetes.pod.uid";
const HASH: &str = "io.kubernetes.container.hash";
const GRACE: &str = "io.kubernetes.pod.terminationGracePeriod";

/// The runtime, as the agent sees it. Cheap to clone; clones share the core.
#[derive(Clone, Debug, Default)]
pub struct FakeRuntime {
    /// What is behind it: script, calls, contents.
    pub core: Core,
}

impl FakeRuntime {
    /// On a new core.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes a sandbox and starts these containers of its pod in it.
    ///
    /// # Errors
    /// Those of the calls.
    pub async fn start_pod(
        &self,
        sandbox: &SandboxRequest,
        containers: &[&str],
    ) -> Result<(SandboxId, Vec<ContainerId>), RuntimeError> {
        let sandbox_id = self.run_sandbox(sandbox).await?;
        let mut ids = Vec::new();
        for name in containers {
            let id = self.create_container(&container_request(sandbox, &sandbox_id, name, 0)).await?;
            self.start_container(&id).await?;
            ids.push(id);
        }
        Ok((sandbox_id, ids))
    }
}

#[async_trait]
impl Runtime for FakeRuntime {
    async fn version(&self) -> Result<RuntimeVersion, RuntimeError> {
        let guard = self.core.enter("Version", "").await.map_err(error("Version"))?;
        let (name, version) = self.core.identity();
        guard
            .leave(RuntimeVersion { name, version, api_version: "v1".into() })
            .await
            .map_err(error("Version"))
    }

    async fn status(&self) -> Result<RuntimeStatus, RuntimeError> {
        let guard = self.core.enter("Status", "").await.map_err(error("Status"))?;
        let (runtime, network) = {
            let state = self.core.state.lock();
            (state.script.not_ready.clone(), state.script.network_not_ready.clone())
        };
        let condition = |name: &str, problem: Option<(String, String)>| {
            let (ready, (reason, message)) = (problem.is_none(), problem.unwrap_or_default());
            Some(RuntimeCondition { name: name.to_owned(), ready, reason, message })
        };
        let status = RuntimeStatus {
            runtime_ready: condition("RuntimeReady", runtime),
            network_ready: condition("NetworkReady", network),
            handlers: vec![HandlerInfo { recursive_read_only_mounts: true, ..HandlerInfo::default() }],
            supplemental_groups_policy: true,
        };
        guard.leave(status).await.map_err(error("Status"))
    }

    async fn cgroup_driver(&self) -> Result<Option<CgroupDriver>, RuntimeError> {
        const CALL: &str = "RuntimeConfig";
        let guard = self.core.enter(CALL, "").await.map_err(error(CALL))?;
        let known = !self.core.state.lock().script.no_runtime_config;
        guard.leave(known.then_some(CgroupDriver::Cgroupfs)).await.map_err(error(CALL))
    }

    async fn set_pod_cidr(&self, cidr: &str) -> Result<(), RuntimeError> {
        const CALL: &str = "UpdateRuntimeConfig";
        let guard = self.core.enter(CALL, cidr).await.map_err(error(CALL))?;
        guard.leave(()).await.map_err(error(CALL))
    }

    async fn list_pods(&self) -> Result<Vec<ListedPod>, RuntimeError> {
        const CALL: &str = "ListPodSandbox";
        let guard = self.core.enter(CALL, "").await.map_err(error(CALL))?;
        let mut pods: BTreeMap<PodUid, ListedPod> = BTreeMap::new();
        let (sandboxes, mut containers) = (self.core.sandboxes(), self.core.containers());
        // A runtime's order may change from list to list.
        if self.core.count(CALL).is_multiple_of(2) {
            containers.reverse();
        }
        for sandbox in &sandboxes {
            let meta = sandbox.config.metadata.clone().unwrap_or_default();
            let uid = PodUid::from(meta.uid);
            let pod = pods.entry(uid.clone()).or_insert_with(|| ListedPod {
                uid,
                namespace: meta.namespace,
                name: meta.name,
                sandboxes: Vec::new(),
                containers: Vec::new(),
            });
            let ready = sandbox.state == PodSandboxState::SandboxReady;
            pod.sandboxes.push((sandbox.id.as_str().into(), ready));
        }
        for container in containers {
            let uid = container.config.labels.get(UID).cloned().unwrap_or_default();
            if let Some(pod) = pods.get_mut(&PodUid::from(uid)) {
                pod.containers.push((container.id.as_str().into(), state(container.state)));
            }
        }
        guard.leave(pods.into_values().collect()).await.map_err(error(CALL))
    }

    async fn inspect_pod(&self, uid: &PodUid) -> Result<RuntimePod, RuntimeError> {
        const CALL: &str = "PodSandboxStatus";
        let guard = self.core.enter(CALL, uid.as_str()).await.map_err(error(CALL))?;
        let of_pod = |labels: &BTreeMap<String, String>| labels.get(UID).is_some_and(|u| u == uid.as_str());
        let mut pod = RuntimePod {
            sandboxes: self
                .core
                .sandboxes()
                .iter()
                .filter(|s| of_pod(&s.config.labels))
                .map(sandbox_record)
                .collect(),
            containers: self
                .core
                .containers()
                .iter()
                .filter(|c| of_pod(&c.config.labels))
                .map(container_record)
                .collect(),
        };
        pod.sandboxes.reverse();
        pod.containers.reverse();
        guard.leave(pod).await.map_err(error(CALL))
    }

    async fn skeleton(&self, uid: &PodUid) -> Result<Option<Pod>, RuntimeError> {
        let sandboxes = self.core.sandboxes();
        let meta = |s: &Sandbox| s.config.metadata.clone().unwrap_or_default();
        let Some(found) = sandboxes.iter().rev().find(|s| meta(s).uid == uid.as_str()) else {
            return Ok(None);
        };
        let containers = self.core.containers();
        let grace = containers
            .iter()
            .rev()
            .find(|c| c.sandbox == found.id)
            .and_then(|c| c.config.annotations.get(GRACE)?.parse().ok());
        let meta = meta(found);
        Ok(Some(Pod {
            metadata: ObjectMeta {
                name: Some(meta.name),
                namespace: Some(meta.namespace),
                uid: Some(meta.uid),
                ..ObjectMeta::default()
            },
            spec: Some(PodSpec { termination_grace_period_seconds: grace, ..PodSpec::default() }),
            status: None,
        }))
    }

    async fn run_sandbox(&self, request: &SandboxRequest) -> Result<SandboxId, RuntimeError> {
        let message = RunPodSandboxRequest {
            config: Some(sandbox_config(request)),
            runtime_handler: request.runtime_handler.clone(),
        };
        let id = self.core.run_pod_sandbox(message).await.map_err(error("RunPodSandbox"))?;
        Ok(id.into())
    }

    async fn stop_sandbox(&self, id: &SandboxId) -> Result<(), RuntimeError> {
        self.core.stop_pod_sandbox(id.as_str()).await.map_err(error("StopPodSandbox"))
    }

    async fn remove_sandbox(&self, id: &SandboxId) -> Result<(), RuntimeError> {
        self.core.remove_pod_sandbox(id.as_str()).await.map_err(error("RemovePodSandbox"))
    }

    async fn create_container(&self, request: &ContainerRequest) -> Result<ContainerId, RuntimeError> {
        const CALL: &str = "CreateContainer";
        let spec = request.sandbox.pod.spec.as_ref();
        let found = spec.and_then(|spec| images(spec).find(|(name, _)| *name == request.name.as_str()));
        let (_, image) = found.ok_or_else(|| RuntimeError::Invalid {
            call: CALL,
            message: format!("the pod's spec has no container {:?}", request.name.as_str()),
        })?;
        let message = CreateContainerRequest {
            pod_sandbox_id: request.sandbox_id.as_str().to_owned(),
            config: Some(container_config(request, image.unwrap_or_default())),
            sandbox_config: None,
        };
        let id = self.core.create_container(message).await.map_err(error(CALL))?;
        Ok(id.into())
    }

    async fn start_container(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        self.core.start_container(id.as_str()).await.map_err(error("StartContainer"))
    }

    async fn link_log(&self, _: &ContainerId) {}

    async fn stop_container(&self, id: &ContainerId, grace: Duration) -> Result<(), RuntimeError> {
        self.core.stop_container(id.as_str(), grace).await.map_err(error("StopContainer"))
    }

    async fn remove_container(&self, id: &ContainerId, _: LogFate) -> Result<(), RuntimeError> {
        self.core.remove_container(id.as_str()).await.map_err(error("RemoveContainer"))
    }

    async fn log_path(&self, id: &ContainerId) -> Result<Option<PathBuf>, RuntimeError> {
        const CALL: &str = "ContainerStatus";
        let guard = self.core.enter(CALL, id.as_str()).await.map_err(error(CALL))?;
        let found = self.core.containers().into_iter().find(|c| c.id == id.as_str());
        let found = found.ok_or_else(|| error(CALL)(not_found("container", id.as_str())))?;
        let path = Some(PathBuf::from(found.log_path)).filter(|path| !path.as_os_str().is_empty());
        guard.leave(path).await.map_err(error(CALL))
    }

    async fn reopen_log(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        self.core.reopen_container_log(id.as_str()).await.map_err(error("ReopenContainerLog"))
    }

    async fn unlink_logs(&self, _: &Path) -> Result<(), RuntimeError> {
        Ok(())
    }

    async fn unlink_lost_logs(&self) -> Result<(), RuntimeError> {
        Ok(())
    }

    async fn exec(
        &self,
        id: &ContainerId,
        _: &[String],
        timeout: Duration,
    ) -> Result<ExecResult, RuntimeError> {
        const CALL: &str = "ExecSync";
        match self.core.exec_sync(id.as_str(), timeout).await {
            Ok(answer) => {
                Ok(ExecResult { stdout: answer.stdout, stderr: answer.stderr, exit_code: answer.exit_code })
            }
            Err(status) if status.code() == Code::DeadlineExceeded => {
                Err(RuntimeError::Deadline { call: CALL, after: timeout })
            }
            Err(status) => Err(error(CALL)(status)),
        }
    }

    async fn exec_url(
        &self,
        id: &ContainerId,
        command: &[String],
        _: Streams,
    ) -> Result<String, RuntimeError> {
        self.core.exec_url(id.as_str(), command).await.map_err(error("Exec"))
    }

    async fn attach_url(&self, id: &ContainerId, _: Streams) -> Result<String, RuntimeError> {
        self.core.attach_url(id.as_str()).await.map_err(error("Attach"))
    }

    async fn port_forward_url(&self, id: &SandboxId, _: &[u16]) -> Result<String, RuntimeError> {
        self.core.port_forward_url(id.as_str()).await.map_err(error("PortForward"))
    }

    async fn checkpoint(&self, id: &ContainerId, archive: &Path, _: Duration) -> Result<(), RuntimeError> {
        self.core.checkpoint(id.as_str(), archive).await.map_err(error("CheckpointContainer"))
    }

    async fn image_status(&self, image: &str, _: &str) -> Result<Option<ImageInfo>, RuntimeError> {
        const CALL: &str = "ImageStatus";
        let guard = self.core.enter(CALL, image).await.map_err(error(CALL))?;
        guard.leave(self.core.image(image).map(image_info)).await.map_err(error(CALL))
    }

    async fn pull_image(
        &self,
        image: &str,
        auth: Option<&RegistryAuth>,
        _: &SandboxRequest,
    ) -> Result<String, RuntimeError> {
        let auth = auth.map(|a| AuthConfig {
            username: a.username.clone(),
            password: a.password.clone(),
            ..Default::default()
        });
        self.core.pull_image(image, auth.as_ref()).await.map_err(error("PullImage"))
    }

    async fn list_images(&self) -> Result<Vec<ImageInfo>, RuntimeError> {
        const CALL: &str = "ListImages";
        let guard = self.core.enter(CALL, "").await.map_err(error(CALL))?;
        let images = self.core.state.lock().images.values().cloned().map(image_info).collect();
        guard.leave(images).await.map_err(error(CALL))
    }

    async fn remove_image(&self, image: &str) -> Result<(), RuntimeError> {
        const CALL: &str = "RemoveImage";
        let guard = self.core.enter(CALL, image).await.map_err(error(CALL))?;
        if let Some(found) = self.core.image(image) {
            self.core.state.lock().images.remove(&found.id);
        }
        guard.leave(()).await.map_err(error(CALL))
    }

    async fn image_fs(&self) -> Result<(Vec<ImageFs>, Vec<ImageFs>), RuntimeError> {
        const CALL: &str = "ImageFsInfo";
        let guard = self.core.enter(CALL, "").await.map_err(error(CALL))?;
        let used_bytes = self.core.state.lock().images.values().map(|i| i.size).sum();
        let fs = ImageFs { mountpoint: "/var/lib/fake".into(), used_bytes, inodes_used: 10 };
        guard.leave((vec![fs], Vec::new())).await.map_err(error(CALL))
    }

    fn hints(&self) -> mpsc::Receiver<RuntimeHint> {
        let (sender, receiver) = mpsc::channel(256);
        let mut events = self.core.events.subscribe();
        let mut streams = self.core.streams.subscribe();
        tokio::spawn(async move {
            loop {
                let hint = tokio::select! {
                    // Losing a received event here only happens when nobody listens any more.
                    event = events.recv() => match event {
                        Ok(event) => {
                            let became = match event.container_event_type() {
                                ContainerEventType::ContainerCreatedEvent => Became::Made,
                                ContainerEventType::ContainerStartedEvent => Became::Started,
                                ContainerEventType::ContainerStoppedEvent => Became::Stopped,
                                ContainerEventType::ContainerDeletedEvent => Became::Gone,
                            };
                            let event_of = ObjectEvent { id: event.container_id.as_str().into(), became };
                            let meta = event.pod_sandbox_status.and_then(|s| s.metadata);
                            meta.map_or(RuntimeHint::Everything, |meta| {
                                RuntimeHint::Object(meta.uid.into(), event_of)
                            })
                        }
                        Err(RecvError::Lagged(_)) => RuntimeHint::Everything,
                        Err(RecvError::Closed) => return,
                    },
                    // A broken stream is opened again by the edge, which then knows nothing any more.
                    Ok(()) = streams.changed() => RuntimeHint::Everything,
                    () = sender.closed() => return,
                };
                if sender.send(hint).await.is_err() {
                    return;
                }
            }
        });
        receiver
    }
}
