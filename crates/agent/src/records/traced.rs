//! Runtime calls, and waits for a place, that write themselves into the record of the pod for which they are made.
//!
//! The step that makes them is known to the task ([`in_step`]), so that nobody on the way has to hand it on, and none
//! can be forgotten. Calls outside of any step (the observer's lists, the prober's commands) are recorded nowhere.

use std::{
    future::Future,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use k8s_openapi::api::core::v1::Pod;
use lifecycle::{ContainerId, LogFate, PodUid, SandboxId, observation::RuntimePod, record::StepId};
use seams::{
    Clock, Runtime, RuntimeError,
    runtime::{
        CgroupDriver, ContainerRequest, ExecResult, ImageFs, ImageInfo, ListedPod, RegistryAuth, RuntimeHint,
        RuntimeStatus, RuntimeVersion, SandboxRequest, Streams,
    },
};
use tokio::sync::mpsc;

use super::PodRecord;

tokio::task_local! {
    static STEP: (Arc<PodRecord>, StepId);
}

/// Runs a step: calls within it are recorded as its own.
pub fn in_step<F: Future>(record: Arc<PodRecord>, id: StepId, step: F) -> impl Future<Output = F::Output> {
    STEP.scope((record, id), step)
}

/// A wait for a place, within a step. It ends when this is dropped.
#[must_use]
pub struct Wait<'a> {
    step: Option<(Arc<PodRecord>, StepId)>,
    clock: &'a dyn Clock,
}

/// The step that is under way in this task, if one is, waits for a place from now on.
pub fn wait(clock: &dyn Clock) -> Wait<'_> {
    let step = STEP.try_with(Clone::clone).ok();
    if let Some((record, id)) = &step {
        record.inner.lock().record.wait_began(*id, clock.now());
    }
    Wait { step, clock }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        if let Some((record, id)) = &self.step {
            record.inner.lock().record.wait_ended(*id, self.clock.now());
        }
    }
}

/// The runtime, with its calls recorded.
pub struct TracedRuntime {
    runtime: Arc<dyn Runtime>,
    clock: Arc<dyn Clock>,
}

/// A call under way. It ends when this is dropped, be it by an answer or because nobody waits for one any more.
struct Call<'a> {
    step: Option<(Arc<PodRecord>, StepId)>,
    name: &'static str,
    clock: &'a dyn Clock,
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        if let Some((record, id)) = &self.step {
            record.inner.lock().record.call_ended(*id, self.name, self.clock.now());
        }
    }
}

impl TracedRuntime {
    /// Around the runtime itself.
    #[must_use]
    pub fn new(runtime: Arc<dyn Runtime>, clock: Arc<dyn Clock>) -> Self {
        Self { runtime, clock }
    }

    fn call(&self, name: &'static str) -> Call<'_> {
        let step = STEP.try_with(Clone::clone).ok();
        if let Some((record, id)) = &step {
            record.inner.lock().record.call_began(*id, name, self.clock.now());
        }
        Call { step, name, clock: &*self.clock }
    }
}

#[async_trait]
impl Runtime for TracedRuntime {
    async fn version(&self) -> Result<RuntimeVersion, RuntimeError> {
        self.runtime.version().await
    }

    async fn status(&self) -> Result<RuntimeStatus, RuntimeError> {
        self.runtime.status().await
    }

    async fn cgroup_driver(&self) -> Result<Option<CgroupDriver>, RuntimeError> {
        self.runtime.cgroup_driver().await
    }

    async fn set_pod_cidr(&self, cidr: &str) -> Result<(), RuntimeError> {
        self.runtime.set_pod_cidr(cidr).await
    }

    async fn list_pods(&self) -> Result<Vec<ListedPod>, RuntimeError> {
        self.runtime.list_pods().await
    }

    async fn inspect_pod(&self, uid: &PodUid) -> Result<RuntimePod, RuntimeError> {
        // Several calls, told as one: lists, then the status of each thing found.
        let _call = self.call("PodSandboxStatus, ContainerStatus");
        self.runtime.inspect_pod(uid).await
    }

    async fn skeleton(&self, uid: &PodUid) -> Result<Option<Pod>, RuntimeError> {
        self.runtime.skeleton(uid).await
    }

    async fn run_sandbox(&self, request: &SandboxRequest) -> Result<SandboxId, RuntimeError> {
        let _call = self.call("RunPodSandbox");
        self.runtime.run_sandbox(request).await
    }

    async fn stop_sandbox(&self, id: &SandboxId) -> Result<(), RuntimeError> {
        let _call = self.call("StopPodSandbox");
        self.runtime.stop_sandbox(id).await
    }

    async fn remove_sandbox(&self, id: &SandboxId) -> Result<(), RuntimeError> {
        let _call = self.call("RemovePodSandbox");
        self.runtime.remove_sandbox(id).await
    }

    async fn create_container(&self, request: &ContainerRequest) -> Result<ContainerId, RuntimeError> {
        let _call = self.call("CreateContainer");
        self.runtime.create_container(request).await
    }

    async fn start_container(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        let _call = self.call("StartContainer");
        self.runtime.start_container(id).await
    }

    async fn link_log(&self, id: &ContainerId) {
        self.runtime.link_log(id).await;
    }

    async fn stop_container(&self, id: &ContainerId, grace: Duration) -> Result<(), RuntimeError> {
        let _call = self.call("StopContainer");
        self.runtime.stop_container(id, grace).await
    }

    async fn remove_container(&self, id: &ContainerId, log: LogFate) -> Result<(), RuntimeError> {
        let _call = self.call("RemoveContainer");
        self.runtime.remove_container(id, log).await
    }

    async fn log_path(&self, id: &ContainerId) -> Result<Option<PathBuf>, RuntimeError> {
        self.runtime.log_path(id).await
    }

    async fn reopen_log(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        self.runtime.reopen_log(id).await
    }

    async fn unlink_logs(&self, log_directory: &Path) -> Result<(), RuntimeError> {
        self.runtime.unlink_logs(log_directory).await
    }

    async fn unlink_lost_logs(&self) -> Result<(), RuntimeError> {
        self.runtime.unlink_lost_logs().await
    }

    async fn exec(
        &self,
        id: &ContainerId,
        command: &[String],
        timeout: Duration,
    ) -> Result<ExecResult, RuntimeError> {
        let _call = self.call("ExecSync");
        self.runtime.exec(id, command, timeout).await
    }

    async fn exec_url(
        &self,
        id: &ContainerId,
        command: &[String],
        streams: Streams,
    ) -> Result<String, RuntimeError> {
        self.runtime.exec_url(id, command, streams).await
    }

    async fn attach_url(&self, id: &ContainerId, streams: Streams) -> Result<String, RuntimeError> {
        self.runtime.attach_url(id, streams).await
    }

    async fn port_forward_url(&self, id: &SandboxId, ports: &[u16]) -> Result<String, RuntimeError> {
        self.runtime.port_forward_url(id, ports).await
    }

    async fn checkpoint(
        &self,
        id: &ContainerId,
        archive: &Path,
        limit: Duration,
    ) -> Result<(), RuntimeError> {
        self.runtime.checkpoint(id, archive, limit).await
    }

    async fn image_status(&self, image: &str, handler: &str) -> Result<Option<ImageInfo>, RuntimeError> {
        let _call = self.call("ImageStatus");
        self.runtime.image_status(image, handler).await
    }

    async fn pull_image(
        &self,
        image: &str,
        auth: Option<&RegistryAuth>,
        sandbox: &SandboxRequest,
    ) -> Result<String, RuntimeError> {
        let _call = self.call("PullImage");
        self.runtime.pull_image(image, auth, sandbox).await
    }

    async fn list_images(&self) -> Result<Vec<ImageInfo>, RuntimeError> {
        self.runtime.list_images().await
    }

    async fn remove_image(&self, image: &str) -> Result<(), RuntimeError> {
        self.runtime.remove_image(image).await
    }

    async fn image_fs(&self) -> Result<(Vec<ImageFs>, Vec<ImageFs>), RuntimeError> {
        self.runtime.image_fs().await
    }

    fn hints(&self) -> mpsc::Receiver<RuntimeHint> {
        self.runtime.hints()
    }
}
