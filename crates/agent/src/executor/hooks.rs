//! Lifecycle hooks (contract §7.1).
//!
//! A preStop hook runs inside the grace period, before SIGTERM; its failure is reported, never a reason not to stop. A
//! postStart hook runs right after the start; its failure ends the container.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, HTTPGetAction, LifecycleHandler};
use lifecycle::{ContainerId, ContainerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Executor, Scene};
use crate::address;

/// Bound on what is read of an answer: its arrival is all that counts.
const ANSWER_BYTES: usize = 10 << 10;

/// How a hook ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hook {
    /// There is none, or it went well.
    Passed,
    /// It failed, or took too long.
    Failed,
}

impl Executor {
    /// Runs the preStop hook if there is one. Returns how long it took, never more than the grace period, and
    /// whether it went well.
    pub(super) async fn pre_stop(
        &self,
        scene: &Scene,
        name: &ContainerName,
        id: &ContainerId,
        grace: Duration,
    ) -> (Duration, Hook) {
        let container = scene.container(name).map(|(container, _)| container);
        let handler = container.and_then(|container| container.lifecycle.as_ref()?.pre_stop.as_ref());
        let (Some(container), Some(handler)) = (container, handler) else {
            return (Duration::ZERO, Hook::Passed);
        };
        let began = self.edges.clock.now().mono;
        let result =
            match tokio::time::timeout(grace, self.run_hook(scene, container, id, handler, grace)).await {
                Ok(result) => result,
                Err(_) => Err(format!("the hook did not end within the grace period of {grace:?}")),
            };
        let spent = self.edges.clock.now().mono.saturating_sub(began);
        match result {
            Ok(()) => (spent, Hook::Passed),
            Err(error) => {
                tracing::warn!(pod = %scene.session.key, container = %name, error, "preStop hook failed");
                (spent, Hook::Failed)
            }
        }
    }

    /// Runs the postStart hook if there is one, with no bound but its own.
    pub(super) async fn post_start(
        &self,
        scene: &Scene,
        name: &ContainerName,
        id: &ContainerId,
    ) -> Result<(), String> {
        let container = scene.container(name).map(|(container, _)| container);
        let handler = container.and_then(|container| container.lifecycle.as_ref()?.post_start.as_ref());
        match (container, handler) {
            (Some(container), Some(handler)) => {
                self.run_hook(scene, container, id, handler, self.config.runtime_request_timeout).await
            }
            _ => Ok(()),
        }
    }

    async fn run_hook(
        &self,
        scene: &Scene,
        container: &Container,
        id: &ContainerId,
        hook: &LifecycleHandler,
        limit: Duration,
    ) -> Result<(), String> {
        if let Some(exec) = &hook.exec {
            let command = exec.command.as_deref().unwrap_or_default();
            let answer =
                self.edges.runtime.exec(id, command, limit).await.map_err(|error| error.to_string())?;
            return match answer.exit_code {
                0 => Ok(()),
                code => Err(format!("command exited with {code}")),
            };
        }
        if let Some(sleep) = &hook.sleep {
            tokio::time::sleep(Duration::from_secs(u64::try_from(sleep.seconds).unwrap_or(0))).await;
            return Ok(());
        }
        if let Some(get) = &hook.http_get {
            return http_get(get, container, scene.pod_ips.first().map(String::as_str)).await;
        }
        Err("the hook has no handler that a kubelet can run\nhint: use exec, httpGet or sleep".to_owned())
    }
}

/// Sends the request; any answer is a success (the status code is not looked at).
async fn http_get(get: &HTTPGetAction, container: &Container, pod_ip: Option<&str>) -> Result<(), String> {
    if get.scheme.as_deref() == Some("HTTPS") {
        return Err(
            "httpGet hooks over HTTPS are not supported yet\nhint: use HTTP or an exec hook".to_owned()
        );
    }
    let host = get.host.as_deref().filter(|host| !host.is_empty()).or(pod_ip).ok_or("the pod has no IP")?;
    let port = address::port(&get.port, container.ports.as_deref().unwrap_or_default()).ok_or_else(|| {
        format!("the hook's port {:?} is neither a port number nor a named port of the container", get.port)
    })?;
    let path = get.path.as_deref().filter(|path| !path.is_empty()).unwrap_or("/");
    let shown = address::bracketed(host);
    let mut request = format!(
        "GET /{} HTTP/1.1\r\nUser-Agent: kube-lifecycle/1.37\r\nConnection: close\r\n",
        path.trim_start_matches('/')
    );
    let headers = get.http_headers.as_deref().unwrap_or_default();
    if !headers.iter().any(|header| header.name.eq_ignore_ascii_case("host")) {
        request.push_str(&format!("Host: {shown}:{port}\r\n"));
    }
    for header in headers {
        // A line break would smuggle further headers, or a second request, into the connection.
        if header.name.contains(['\r', '\n']) || header.value.contains(['\r', '\n']) {
            return Err(format!("header {:?} of the hook contains a line break", header.name));
        }
        request.push_str(&format!("{}: {}\r\n", header.name, header.value));
    }
    request.push_str("\r\n");
    let unreachable = |error: std::io::Error| format!("{shown}:{port}: {error}");
    let mut stream = tokio::net::TcpStream::connect((host, port)).await.map_err(unreachable)?;
    stream.write_all(request.as_bytes()).await.map_err(unreachable)?;
    let mut answer = vec![0; ANSWER_BYTES];
    match stream.read(&mut answer).await.map_err(unreachable)? {
        0 => Err(format!("{shown}:{port} closed the connection without an answer")),
        _ => Ok(()),
    }
}
