//! Calls about containers.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use lifecycle::{ContainerId, LogFate, PodUid, observation::RuntimeState};
use metrics::runtime::Operation;
use proto::cri::{
    CheckpointContainerRequest, ContainerFilter, CreateContainerRequest, ExecSyncRequest,
    ListContainersRequest, RemoveContainerRequest, ReopenContainerLogRequest, StartContainerRequest,
    StopContainerRequest,
};
use seams::{
    RuntimeError,
    runtime::{ContainerRequest, ExecResult},
};

use super::{CriRuntime, invalid, on_disk, sandboxes::gone_is_fine, seconds};
use crate::{
    client::Deadline,
    links::Link,
    log_files::link_name,
    observe,
    render::{RenderError, container, labels, sandbox},
};

impl CriRuntime {
    pub(super) async fn create(&self, request: &ContainerRequest) -> Result<ContainerId, RuntimeError> {
        const CALL: &str = "CreateContainer";
        let pod = &request.sandbox.pod;
        let found = container::find(pod, request.name.as_str())
            .ok_or_else(|| RenderError::NoContainer(request.name.to_string()))
            .map_err(invalid(CALL))?;
        let target = match &found.target {
            Some(name) => Some(self.target(request, name).await?),
            None => None,
        };
        let config =
            container::config(request, &found, target.as_deref(), &self.host).map_err(invalid(CALL))?;
        let sandbox_config = sandbox::config(&request.sandbox).map_err(invalid(CALL))?;
        let log = Path::new(&request.sandbox.log_directory).join(&request.log_path);
        if let Some(dir) = log.parent() {
            self.make_log_dir(CALL, dir).await?;
        }
        let message = CreateContainerRequest {
            pod_sandbox_id: request.sandbox_id.as_str().to_owned(),
            config: Some(config),
            sandbox_config: Some(sandbox_config),
        };
        let answer = self
            .client
            .runtime(Operation::CreateContainer, Deadline::Default, message, async |mut c, r| {
                Box::pin(c.create_container(r)).await
            })
            .await?;
        if answer.container_id.is_empty() {
            return Err(RuntimeError::Invalid {
                call: CALL,
                message: "ContainerId is not set in the runtime's answer".into(),
            });
        }
        let id = ContainerId::from(answer.container_id);
        let meta = &pod.metadata;
        let uid = PodUid::from(meta.uid.clone().unwrap_or_default());
        self.memory.expected.container(uid, id.clone());
        let name = link_name(
            meta.name.as_deref().unwrap_or_default(),
            meta.namespace.as_deref().unwrap_or_default(),
            request.name.as_str(),
            id.as_str(),
        );
        self.links.put(id.clone(), Link { name, log });
        Ok(id)
    }

    /// The container of a name in the same sandbox, for an ephemeral container to look into: the one that runs, else the
    /// newest, of which the runtime says why it cannot be looked into.
    async fn target(&self, request: &ContainerRequest, name: &str) -> Result<String, RuntimeError> {
        let filter = ContainerFilter {
            pod_sandbox_id: request.sandbox_id.as_str().to_owned(),
            label_selector: [(labels::CONTAINER_NAME.to_owned(), name.to_owned())].into(),
            ..Default::default()
        };
        let list = ListContainersRequest { filter: Some(filter) };
        let answer = self
            .client
            .runtime(Operation::ListContainers, Deadline::Default, list, async |mut c, r| {
                c.list_containers(r).await
            })
            .await?;
        let runs = |state| observe::container_state(state) == RuntimeState::Running;
        let target = answer.containers.into_iter().max_by_key(|c| (runs(c.state), c.created_at));
        target.map(|c| c.id).ok_or_else(|| RuntimeError::Invalid {
            call: "CreateContainer",
            message: format!("unable to find target container {name}"),
        })
    }

    pub(super) async fn start(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        let request = StartContainerRequest { container_id: id.as_str().to_owned() };
        self.client
            .runtime(Operation::StartContainer, Deadline::Default, request, async |mut c, r| {
                c.start_container(r).await
            })
            .await?;
        Ok(())
    }

    /// A container without its link is still a good container: failures are told, not returned.
    pub(super) async fn link(&self, id: &ContainerId) {
        if self.logs.links.is_none() {
            return;
        }
        let link = match self.links.take(id) {
            Some(link) => link,
            None => match observe::container_status(&self.client, id).await {
                Ok(status) => Link::of(&status),
                Err(error) => {
                    tracing::warn!(container = %id, %error, "cannot learn where the container's log is; it gets no link");
                    return;
                }
            },
        };
        let logs = self.logs.clone();
        let name = link.name.clone();
        if let Err(error) = on_disk(move || logs.link(&link.name, &link.log)).await {
            tracing::warn!(container = %id, link = name, %error, "cannot link the container's log");
        }
    }

    pub(super) async fn stop(&self, id: &ContainerId, grace: Duration) -> Result<(), RuntimeError> {
        let request = StopContainerRequest { container_id: id.as_str().to_owned(), timeout: seconds(grace) };
        self.client
            .runtime(Operation::StopContainer, Deadline::After(grace), request, async |mut c, r| {
                c.stop_container(r).await
            })
            .await?;
        Ok(())
    }

    /// The runtime is told how long it may take; a limit below the default is the default, as upstream's.
    pub(super) async fn write_checkpoint(
        &self,
        id: &ContainerId,
        archive: &Path,
        limit: Duration,
    ) -> Result<(), RuntimeError> {
        let limit = limit.max(self.client.timeout);
        let request = CheckpointContainerRequest {
            container_id: id.as_str().to_owned(),
            location: archive.to_string_lossy().into_owned(),
            timeout: seconds(limit),
        };
        let deadline = Deadline::After(limit.saturating_sub(self.client.timeout));
        self.client
            .runtime(Operation::CheckpointContainer, deadline, request, async |mut c, r| {
                c.checkpoint_container(r).await
            })
            .await?;
        Ok(())
    }

    pub(super) async fn reopen_container_log(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        let request = ReopenContainerLogRequest { container_id: id.as_str().to_owned() };
        self.client
            .runtime(Operation::ReopenContainerLog, Deadline::Default, request, async |mut c, r| {
                c.reopen_container_log(r).await
            })
            .await?;
        Ok(())
    }

    /// The log goes first: once the container is gone nobody knows where it was.
    pub(super) async fn remove(&self, id: &ContainerId, log: LogFate) -> Result<(), RuntimeError> {
        if log == LogFate::Remove {
            self.remove_log(id).await?;
        }
        let request = RemoveContainerRequest { container_id: id.as_str().to_owned() };
        let answer = self
            .client
            .runtime(Operation::RemoveContainer, Deadline::Default, request, async |mut c, r| {
                c.remove_container(r).await
            })
            .await;
        gone_is_fine(answer)?;
        self.memory.exited.forget(id);
        Ok(())
    }

    /// A log that cannot be removed is told of and left behind: the pod's log directory goes with the pod.
    async fn remove_log(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        match observe::container_status(&self.client, id).await {
            Ok(status) => {
                let link = Link::of(&status);
                let logs = self.logs.clone();
                let path = PathBuf::from(&status.log_path);
                let removed = on_disk(move || {
                    if !path.as_os_str().is_empty() {
                        logs.remove(&path)?;
                    }
                    logs.unlink(&link.name)
                })
                .await;
                if let Err(error) = removed {
                    tracing::warn!(container = %id, log = status.log_path, %error, "cannot remove the container's log");
                }
            }
            Err(RuntimeError::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    pub(super) async fn exec_sync(
        &self,
        id: &ContainerId,
        command: &[String],
        timeout: Duration,
    ) -> Result<ExecResult, RuntimeError> {
        const CALL: &str = "ExecSync";
        let request = ExecSyncRequest {
            container_id: id.as_str().to_owned(),
            cmd: command.to_vec(),
            timeout: seconds(timeout),
        };
        // Zero lets the command run as long as it likes (hooks, which are bounded by their pod's grace).
        let deadline = if timeout.is_zero() { Deadline::Never } else { Deadline::After(timeout) };
        let answer = self
            .client
            .runtime(Operation::ExecSync, deadline, request, async |mut c, r| c.exec_sync(r).await)
            .await;
        match answer {
            Ok(answer) => {
                if answer.exit_code != 0 {
                    // The call went well; upstream counts what it was for.
                    self.client.metrics().operation_errors.inc(&Operation::ExecSync);
                }
                Ok(ExecResult { stdout: answer.stdout, stderr: answer.stderr, exit_code: answer.exit_code })
            }
            // The runtime ended the command at its timeout, or we ended the wait for it: the same to a probe.
            Err(RuntimeError::Failed { code: "DeadlineExceeded", .. } | RuntimeError::Deadline { .. }) => {
                Err(RuntimeError::Deadline { call: CALL, after: timeout })
            }
            Err(error) => Err(error),
        }
    }
}
