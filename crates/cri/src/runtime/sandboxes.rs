//! Calls about sandboxes.

use std::path::Path;

use lifecycle::{PodUid, SandboxId};
use metrics::{End, runtime::Operation};
use proto::cri::{RemovePodSandboxRequest, RunPodSandboxRequest, StopPodSandboxRequest};
use seams::{RuntimeError, runtime::SandboxRequest};
use tokio::time::Instant;

use super::{CriRuntime, invalid};
use crate::{
    client::Deadline,
    render::{sandbox, security},
};

impl CriRuntime {
    pub(super) async fn run_pod_sandbox(&self, request: &SandboxRequest) -> Result<SandboxId, RuntimeError> {
        security::verify_user_namespace(request).map_err(invalid("RunPodSandbox"))?;
        let config = sandbox::config(request).map_err(invalid("RunPodSandbox"))?;
        self.make_log_dir("RunPodSandbox", Path::new(&config.log_directory)).await?;
        let uid = PodUid::from(request.pod.metadata.uid.clone().unwrap_or_default());
        let request =
            RunPodSandboxRequest { config: Some(config), runtime_handler: request.runtime_handler.clone() };
        let (handler, began) = (request.runtime_handler.clone(), Instant::now());
        let answer = self
            .client
            .runtime(Operation::RunPodSandbox, Deadline::Sandbox, request, async |mut c, r| {
                c.run_pod_sandbox(r).await
            })
            .await;
        self.client.metrics().sandbox(&handler, began.elapsed(), End::of(&answer));
        let answer = answer?;
        if answer.pod_sandbox_id.is_empty() {
            return Err(RuntimeError::Invalid {
                call: "RunPodSandbox",
                message: "PodSandboxId is not set in the runtime's answer".into(),
            });
        }
        let id = SandboxId::from(answer.pod_sandbox_id);
        self.memory.expected.sandbox(uid, id.clone());
        Ok(id)
    }

    /// One that is not there is stopped.
    pub(super) async fn stop_pod_sandbox(&self, id: &SandboxId) -> Result<(), RuntimeError> {
        let request = StopPodSandboxRequest { pod_sandbox_id: id.as_str().to_owned() };
        let answer = self
            .client
            .runtime(Operation::StopPodSandbox, Deadline::Default, request, async |mut c, r| {
                c.stop_pod_sandbox(r).await
            })
            .await;
        gone_is_fine(answer)
    }

    /// One that is not there is removed.
    pub(super) async fn remove_pod_sandbox(&self, id: &SandboxId) -> Result<(), RuntimeError> {
        let request = RemovePodSandboxRequest { pod_sandbox_id: id.as_str().to_owned() };
        let answer = self
            .client
            .runtime(Operation::RemovePodSandbox, Deadline::Default, request, async |mut c, r| {
                c.remove_pod_sandbox(r).await
            })
            .await;
        gone_is_fine(answer)
    }
}

/// What is to go and is gone is done.
pub(super) fn gone_is_fine<T>(answer: Result<T, RuntimeError>) -> Result<(), RuntimeError> {
    match answer {
        Ok(_) | Err(RuntimeError::NotFound { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}
