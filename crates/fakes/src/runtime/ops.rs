//! What the calls do. Each answers with a gRPC status, in the manner of containerd.

use std::{fs, path::Path, time::Duration};

use proto::cri::{
    AuthConfig, ContainerEventType, ContainerResources, ContainerState, ContainerStatus,
    CreateContainerRequest, ExecSyncResponse, Image, LinuxPodSandboxStatus, Namespace,
    PodSandboxNetworkStatus, PodSandboxState, PodSandboxStatus, RunPodSandboxRequest,
};
use tonic::{Code, Status};

use super::{
    core::{Container, Core, Sandbox, id_of_image, is_host_network, not_found},
    script::{ImageScript, OnTerm, status},
};

/// Exit code of a killed process.
const KILLED: i32 = 137;

impl Core {
    pub(crate) async fn run_pod_sandbox(&self, request: RunPodSandboxRequest) -> Result<String, Status> {
        let config = request.config.unwrap_or_default();
        let meta = config.metadata.clone().unwrap_or_default();
        let guard = self.enter("RunPodSandbox", &format!("{}/{}", meta.namespace, meta.name)).await?;
        let id = {
            let mut state = self.state.lock();
            let name = format!("{}_{}_{}_{}", meta.name, meta.namespace, meta.uid, meta.attempt);
            if !state.reserved.insert(name.clone()) {
                return Err(Status::unknown(format!(
                    "failed to reserve sandbox name {name:?}: name is reserved"
                )));
            }
            let created_at = self.stamp(&mut state);
            let number = state.sandboxes.len() + 2;
            let id = format!("sandbox-{created_at:x}");
            let ip =
                if is_host_network(&config) { String::new() } else { format!("10.88.0.{}", number % 250) };
            let sandbox = Sandbox {
                id: id.clone(),
                config,
                handler: request.runtime_handler,
                state: PodSandboxState::SandboxReady,
                created_at,
                ip,
            };
            state.sandboxes.insert(id.clone(), sandbox);
            self.emit(&mut state, &id, ContainerEventType::ContainerStartedEvent, &id);
            id
        };
        guard.leave(id).await
    }

    pub(crate) async fn stop_pod_sandbox(&self, id: &str) -> Result<(), Status> {
        let guard = self.enter("StopPodSandbox", id).await?;
        self.stop_sandbox_now(id);
        guard.leave(()).await
    }

    pub(crate) fn stop_sandbox_now(&self, id: &str) {
        let running: Vec<String> = {
            let state = self.state.lock();
            let of_it = state.containers.values().filter(|c| c.sandbox == id);
            of_it.map(|c| c.id.clone()).collect()
        };
        for container in running {
            self.finish(&container, KILLED, "");
        }
        let mut state = self.state.lock();
        let was_ready = state.sandboxes.get_mut(id).is_some_and(|sandbox| {
            std::mem::replace(&mut sandbox.state, PodSandboxState::SandboxNotready)
                == PodSandboxState::SandboxReady
        });
        if was_ready {
            self.emit(&mut state, id, ContainerEventType::ContainerStoppedEvent, id);
        }
    }

    pub(crate) async fn remove_pod_sandbox(&self, id: &str) -> Result<(), Status> {
        let guard = self.enter("RemovePodSandbox", id).await?;
        self.stop_sandbox_now(id);
        {
            let mut state = self.state.lock();
            let gone: Vec<String> =
                state.containers.values().filter(|c| c.sandbox == id).map(|c| c.id.clone()).collect();
            for container in gone {
                self.forget_container(&mut state, &container);
            }
            if let Some(sandbox) = state.sandboxes.remove(id) {
                let meta = sandbox.config.metadata.unwrap_or_default();
                let name = format!("{}_{}_{}_{}", meta.name, meta.namespace, meta.uid, meta.attempt);
                state.reserved.remove(&name);
            }
            self.emit(&mut state, id, ContainerEventType::ContainerDeletedEvent, id);
        }
        guard.leave(()).await
    }

    fn forget_container(&self, state: &mut super::core::State, id: &str) {
        if let Some(container) = state.containers.remove(id) {
            let uid = Self::uid_of(state, &container.sandbox);
            let name = format!("{}_{}_{}", container.name(), uid, container.attempt());
            state.reserved.remove(&name);
            self.emit(state, id, ContainerEventType::ContainerDeletedEvent, &container.sandbox);
        }
    }

    fn uid_of(state: &super::core::State, sandbox: &str) -> String {
        let sandbox = state.sandboxes.get(sandbox);
        sandbox.and_then(|s| s.config.metadata.as_ref()).map(|m| m.uid.clone()).unwrap_or_default()
    }

    pub(crate) async fn create_container(&self, request: CreateContainerRequest) -> Result<String, Status> {
        let config = request.config.unwrap_or_default();
        let meta = config.metadata.clone().unwrap_or_default();
        let guard = self.enter("CreateContainer", &meta.name).await?;
        let id = {
            let mut state = self.state.lock();
            let sandbox = request.pod_sandbox_id;
            let Some(found) = state.sandboxes.get(&sandbox) else {
                return Err(not_found("sandbox", &sandbox));
            };
            if found.state != PodSandboxState::SandboxReady {
                return Err(Status::unknown(format!(
                    "failed to create container: sandbox {sandbox:?} is not ready"
                )));
            }
            let log_path = Path::new(&found.config.log_directory).join(&config.log_path);
            if let Some(error) = Self::script_of(&state, &meta.name).create_error {
                return Err(status(&error));
            }
            let image = config.image.as_ref().map(|i| i.image.clone()).unwrap_or_default();
            if find_image(&state.images, &image).is_none() {
                return Err(not_found("image", &image));
            }
            let uid = Self::uid_of(&state, &sandbox);
            let name = format!("{}_{}_{}", meta.name, uid, meta.attempt);
            if !state.reserved.insert(name.clone()) {
                return Err(Status::unknown(format!(
                    "failed to reserve container name {name:?}: name is reserved"
                )));
            }
            let created_at = self.stamp(&mut state);
            let id = format!("container-{created_at:x}");
            let container = Container {
                id: id.clone(),
                sandbox: sandbox.clone(),
                config,
                state: ContainerState::ContainerCreated,
                created_at,
                started_at: 0,
                finished_at: 0,
                exit_code: 0,
                reason: String::new(),
                log_path: log_path.to_string_lossy().into_owned(),
            };
            state.containers.insert(id.clone(), container);
            self.emit(&mut state, &id, ContainerEventType::ContainerCreatedEvent, &sandbox);
            id
        };
        guard.leave(id).await
    }

    pub(crate) async fn start_container(&self, id: &str) -> Result<(), Status> {
        let guard = self.enter("StartContainer", id).await?;
        let script = {
            let mut state = self.state.lock();
            let now = self.stamp(&mut state);
            let Some(container) = state.containers.get(id).cloned() else {
                return Err(not_found("container", id));
            };
            if container.state != ContainerState::ContainerCreated {
                return Err(Status::unknown("container is not in created state"));
            }
            let script = Self::script_of(&state, container.name());
            if let Some(error) = &script.start_error {
                return Err(status(error));
            }
            let lines: String = script
                .log
                .iter()
                .map(|line| format!("2024-01-01T00:00:00.000000000Z stdout F {line}\n"))
                .collect();
            // Without its directory there is no log, as with a runtime that logs elsewhere.
            let _ = fs::write(&container.log_path, lines);
            if let Some(container) = state.containers.get_mut(id) {
                container.state = ContainerState::ContainerRunning;
                container.started_at = now;
            }
            self.emit(&mut state, id, ContainerEventType::ContainerStartedEvent, &container.sandbox);
            script
        };
        if let Some((after, code)) = script.exits {
            let (core, id) = (self.clone(), id.to_owned());
            tokio::spawn(async move {
                tokio::time::sleep(after).await;
                core.finish(&id, code, &script.reason);
            });
        }
        guard.leave(()).await
    }

    /// Ends a running container; nothing when it does not run.
    pub(crate) fn finish(&self, id: &str, code: i32, reason: &str) {
        let mut state = self.state.lock();
        let now = self.stamp(&mut state);
        let Some(container) =
            state.containers.get_mut(id).filter(|c| c.state == ContainerState::ContainerRunning)
        else {
            return;
        };
        container.state = ContainerState::ContainerExited;
        container.finished_at = now;
        container.exit_code = code;
        container.reason = match (reason, code) {
            ("", 0) => "Completed".into(),
            ("", _) => "Error".into(),
            (reason, _) => reason.to_owned(),
        };
        let container = container.clone();
        if let Some(words) = Self::script_of(&state, container.name()).last_words {
            let path = container.config.annotations.get("io.kubernetes.container.terminationMessagePath");
            let mount = container.config.mounts.iter().find(|m| Some(&m.container_path) == path);
            if let Some(mount) = mount {
                let _ = fs::write(&mount.host_path, words);
            }
        }
        self.emit(&mut state, id, ContainerEventType::ContainerStoppedEvent, &container.sandbox);
    }

    pub(crate) async fn stop_container(&self, id: &str, grace: Duration) -> Result<(), Status> {
        let guard = self.enter("StopContainer", id).await?;
        let on_term = {
            let state = self.state.lock();
            let Some(container) = state.containers.get(id) else {
                return Err(not_found("container", id));
            };
            let running = container.state == ContainerState::ContainerRunning;
            running.then(|| Self::script_of(&state, container.name()).on_term)
        };
        match on_term {
            None => {}
            Some(OnTerm::Exit(after, code)) if after <= grace => {
                tokio::time::sleep(after).await;
                self.finish(id, code, "");
            }
            Some(_) => {
                tokio::time::sleep(grace).await;
                self.finish(id, KILLED, "");
            }
        }
        guard.leave(()).await
    }

    pub(crate) async fn reopen_container_log(&self, id: &str) -> Result<(), Status> {
        let guard = self.enter("ReopenContainerLog", id).await?;
        let path = {
            let state = self.state.lock();
            let Some(container) = state.containers.get(id) else {
                return Err(not_found("container", id));
            };
            if container.state != ContainerState::ContainerRunning {
                return Err(Status::unknown("container is not running"));
            }
            container.log_path.clone()
        };
        // A log whose directory the test has not made is none.
        let _ = fs::OpenOptions::new().append(true).create(true).open(path);
        guard.leave(()).await
    }

    pub(crate) async fn remove_container(&self, id: &str) -> Result<(), Status> {
        let guard = self.enter("RemoveContainer", id).await?;
        self.finish(id, KILLED, "");
        self.forget_container(&mut self.state.lock(), id);
        guard.leave(()).await
    }

    pub(crate) async fn exec_sync(&self, id: &str, timeout: Duration) -> Result<ExecSyncResponse, Status> {
        let guard = self.enter("ExecSync", id).await?;
        let (takes, exit_code, stdout) = {
            let state = self.state.lock();
            let Some(container) = state.containers.get(id) else {
                return Err(not_found("container", id));
            };
            if container.state != ContainerState::ContainerRunning {
                return Err(Status::unknown("container is not in running state"));
            }
            Self::script_of(&state, container.name()).exec
        };
        if !timeout.is_zero() && takes > timeout {
            tokio::time::sleep(timeout).await;
            let text = format!(
                "failed to exec in container: timeout {timeout:?} exceeded: context deadline exceeded"
            );
            return Err(Status::new(Code::DeadlineExceeded, text));
        }
        tokio::time::sleep(takes).await;
        guard.leave(ExecSyncResponse { stdout: stdout.into_bytes(), stderr: Vec::new(), exit_code }).await
    }

    pub(crate) async fn pull_image(&self, image: &str, auth: Option<&AuthConfig>) -> Result<String, Status> {
        let guard = self.enter("PullImage", image).await?;
        let script = self.state.lock().script.images.get(image).cloned();
        match script {
            None => {}
            Some(ImageScript::Pulls(time)) => tokio::time::sleep(time).await,
            Some(ImageScript::Fails(code, message)) => return Err(Status::new(code, message)),
            Some(ImageScript::Hangs) => std::future::pending().await,
            Some(ImageScript::Private(user, password))
                if !auth.is_some_and(|a| a.username == user && a.password == password) =>
            {
                return Err(Status::unknown(format!(
                    "failed to pull and unpack image {image:?}: authorization failed: no basic auth credentials"
                )));
            }
            Some(ImageScript::Private(..)) => {}
        }
        if find_image(&self.state.lock().images, image).is_none() {
            self.add_image(image, None, "");
        }
        guard.leave(id_of_image(image)).await
    }

    pub(crate) fn image(&self, image: &str) -> Option<Image> {
        find_image(&self.state.lock().images, image).cloned()
    }

    pub(crate) fn sandbox_status(sandbox: &Sandbox) -> PodSandboxStatus {
        let context = sandbox.config.linux.as_ref().and_then(|l| l.security_context.as_ref());
        PodSandboxStatus {
            id: sandbox.id.clone(),
            metadata: sandbox.config.metadata.clone(),
            state: sandbox.state as i32,
            created_at: sandbox.created_at,
            network: Some(PodSandboxNetworkStatus { ip: sandbox.ip.clone(), ..Default::default() }),
            linux: Some(LinuxPodSandboxStatus {
                namespaces: Some(Namespace { options: context.and_then(|c| c.namespace_options.clone()) }),
            }),
            labels: sandbox.config.labels.clone(),
            annotations: sandbox.config.annotations.clone(),
            runtime_handler: sandbox.handler.clone(),
        }
    }

    pub(crate) fn container_status(container: &Container) -> ContainerStatus {
        let linux = container.config.linux.as_ref().and_then(|l| l.resources.clone());
        ContainerStatus {
            id: container.id.clone(),
            metadata: container.config.metadata.clone(),
            state: container.state as i32,
            created_at: container.created_at,
            started_at: container.started_at,
            finished_at: container.finished_at,
            exit_code: container.exit_code,
            image: container.config.image.clone(),
            image_ref: container.config.image.as_ref().map(|i| i.image.clone()).unwrap_or_default(),
            reason: container.reason.clone(),
            labels: container.config.labels.clone(),
            annotations: container.config.annotations.clone(),
            mounts: container.config.mounts.clone(),
            log_path: container.log_path.clone(),
            resources: linux.map(|linux| ContainerResources { linux: Some(linux), windows: None }),
            ..Default::default()
        }
    }
}

pub(crate) fn find_image<'a>(
    images: &'a std::collections::BTreeMap<String, Image>,
    name: &str,
) -> Option<&'a Image> {
    images.get(name).or_else(|| images.values().find(|i| i.repo_tags.iter().any(|tag| tag == name)))
}
