//! Lifecycle hooks (contract §7.1).
//!
//! A preStop hook runs inside the grace period, before SIGTERM; its failure is reported, never a reason not to stop. A
//! postStart hook runs right after the start; its failure ends the container.

use std::{fmt::Display, sync::Arc, time::Duration};

use k8s_openapi::api::core::v1::{Container, HTTPGetAction, LifecycleHandler};
use lifecycle::{ContainerId, ContainerName, reason::PodEvent, spec::quote::go_quote};
use tokio::{
    sync::{Notify, watch},
    time::Instant,
};

use super::{Executor, Listed, Scene};
use crate::{
    address,
    http_get::{self, Cause, Purpose},
};

/// How a hook ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hook {
    /// There is none, or it went well, or it slept for longer than there was time.
    Passed,
    /// It failed, or did something for longer than there was time.
    Failed,
}

impl Executor {
    /// Runs the preStop hook if there is one, until the `deadline` at most, which may move.
    pub(super) async fn pre_stop(
        &self,
        scene: &Scene,
        name: &ContainerName,
        id: &ContainerId,
        deadline: &mut watch::Receiver<Instant>,
    ) -> Hook {
        let container = scene.container(name).map(|(container, _)| container);
        let handler =
            container.as_ref().and_then(|container| container.lifecycle.as_ref()?.pre_stop.as_ref());
        let (Some(container), Some(handler)) = (&container, handler) else {
            return Hook::Passed;
        };
        // Neither arm is polled again once the other has ended.
        let result = tokio::select! {
            result = self.run_hook(scene, container, id, handler) => result,
            () = passed(deadline) => overran(handler),
        };
        match result {
            Ok(()) => Hook::Passed,
            Err(error) => {
                tracing::warn!(pod = %scene.session.key, container = %name, error, "preStop hook failed");
                Hook::Failed
            }
        }
    }

    /// Runs the postStart hook if there is one, with no bound but its own, and no longer than the container is left alone:
    /// what waits for the end of a container that was stopped must not wait for a server that is silent.
    pub(super) async fn post_start(
        &self,
        scene: &Scene,
        name: &ContainerName,
        id: &ContainerId,
    ) -> Result<(), String> {
        let container = scene.container(name).map(|(container, _)| container);
        let handler =
            container.as_ref().and_then(|container| container.lifecycle.as_ref()?.post_start.as_ref());
        match (&container, handler) {
            (Some(container), Some(handler)) => {
                let stopped = Arc::new(Notify::new());
                let _listed = Listed::new(&scene.session.post_starts, id, Arc::clone(&stopped));
                // Neither arm is polled again once the other has ended.
                tokio::select! {
                    result = self.run_hook(scene, container, id, handler) => result,
                    () = stopped.notified() => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }

    /// Runs a hook to its end. The error is upstream's text about it, which `waiting.message` shows.
    async fn run_hook(
        &self,
        scene: &Scene,
        container: &Container,
        id: &ContainerId,
        hook: &LifecycleHandler,
    ) -> Result<(), String> {
        let failed = |kind: &str, what: &dyn Display, cause: &dyn Display| {
            let (name, pod) = (go_quote(&container.name), go_quote(&scene.session.key.to_string()));
            format!(
                "{kind} lifecycle hook ({what}) for Container {name} in Pod {pod} failed - error: {cause}"
            )
        };
        if let Some(exec) = &hook.exec {
            let command = exec.command.as_deref().unwrap_or_default();
            return self.exec_hook(id, command).await.map_err(|(cause, output)| {
                let told = failed("Exec", &format!("[{}]", command.join(" ")), &cause);
                format!("{told}, message: {}", go_quote(&output))
            });
        }
        if let Some(get) = &hook.http_get {
            let path = get.path.as_deref().unwrap_or_default();
            return self
                .http_hook(scene, container, get)
                .await
                .map_err(|cause| failed("HTTP", &path, &cause));
        }
        if let Some(sleep) = &hook.sleep {
            tokio::time::sleep(Duration::from_secs(u64::try_from(sleep.seconds).unwrap_or(0))).await;
            return Ok(());
        }
        Err(NO_HANDLER.to_owned())
    }

    /// Cause of a failure, and what the command printed. No limit of its own: a hook takes as long as it takes.
    async fn exec_hook(&self, id: &ContainerId, command: &[String]) -> Result<(), (String, String)> {
        let answer = self.edges.runtime.exec(id, command, Duration::ZERO).await;
        let answer = answer.map_err(|error| (error.rpc(), String::new()))?;
        if answer.exit_code == 0 {
            return Ok(());
        }
        let (stdout, stderr) = (printed(&answer.stdout), printed(&answer.stderr));
        let cause = format!("command '{}' exited with {}: {stderr}", command.join(" "), answer.exit_code);
        Err((cause, stdout + &stderr))
    }

    /// Sends the request; any answer is a success (the status code is not looked at). A server that speaks plain HTTP
    /// behind an HTTPS hook is asked again in its own way.
    async fn http_hook(
        &self,
        scene: &Scene,
        container: &Container,
        get: &HTTPGetAction,
    ) -> Result<(), String> {
        let own = || scene.pod_ips.first().map(String::as_str);
        let host = get.host.as_deref().filter(|host| !host.is_empty()).or_else(own);
        let host = host.ok_or("failed to find networking container: the pod has no IP")?;
        let ports = container.ports.as_deref().unwrap_or_default();
        let port = address::port(&get.port, ports).ok_or_else(|| address::no_port(&get.port))?;
        let error = match http_get::get(&http_get::url(get, host, port), get, Purpose::Hook).await {
            Ok(_) => return Ok(()),
            Err(error) => error,
        };
        if !matches!(error.cause, Cause::NotTls) {
            return Err(error.to_string());
        }
        let plain = without_tls(get);
        if http_get::get(&http_get::url(&plain, host, port), &plain, Purpose::Hook).await.is_err() {
            return Err(error.to_string());
        }
        let message = format!(
            "request to HTTPS lifecycle hook {}:{port} got HTTP response, retry with HTTP succeeded",
            address::bracketed(host)
        );
        let event =
            PodEvent { warning: true, reason: "LifecycleHTTPFallback".into(), message, field_path: None };
        self.events.record_pod(&scene.pod, event);
        self.edges.metrics.pods.hook_http_fallbacks.inc();
        Ok(())
    }
}

/// Of what a hook wrote to one of its outputs, bytes that are told. All of it would be in the pod's status, and megabytes
/// there keep every other word about the pod from the API server.
const PRINTED: usize = 10 << 10;

fn printed(output: &[u8]) -> String {
    String::from_utf8_lossy(&output[..output.len().min(PRINTED)]).into_owned()
}

/// What a preStop hook comes to that outlasts the grace period. Upstream stops waiting and lets it go on, so that it is told
/// of what then fails with the container: a command, a request. A sleep fails never, and nothing of it is cut short.
fn overran(hook: &LifecycleHandler) -> Result<(), String> {
    if hook.exec.is_none() && hook.http_get.is_none() && hook.sleep.is_some() {
        return Ok(());
    }
    Err("the hook did not end within the grace period".to_owned())
}

/// Waits for a deadline that may move.
async fn passed(deadline: &mut watch::Receiver<Instant>) {
    loop {
        let at = *deadline.borrow_and_update();
        // Cancel-safe: a change that is not seen here is read above.
        tokio::select! {
            biased;
            () = tokio::time::sleep_until(at) => return,
            moved = deadline.changed() => if moved.is_err() {
                // Nobody is left to move it.
                tokio::time::sleep_until(at).await;
                return;
            },
        }
    }
}

/// The same request in plain HTTP. What authorises must not cross the wire in the open.
fn without_tls(get: &HTTPGetAction) -> HTTPGetAction {
    let mut plain = get.clone();
    plain.scheme = Some("HTTP".to_owned());
    if let Some(headers) = &mut plain.http_headers {
        headers.retain(|header| !header.name.eq_ignore_ascii_case("authorization"));
    }
    plain
}

/// Why a hook cannot be run; upstream's text up to the colon.
const NO_HANDLER: &str = "Cannot run handler: invalid handler: a kubelet runs exec, httpGet and sleep hooks";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_hook_printed_is_told_in_part() {
        assert_eq!(printed(b"no such table\n"), "no such table\n");
        assert_eq!(printed(&vec![b'x'; 16 << 20]).len(), PRINTED);
    }

    #[test]
    fn only_what_does_something_fails_for_want_of_time() {
        let ended = |hook: serde_json::Value| overran(&serde_json::from_value(hook).unwrap()).is_ok();
        assert!(ended(json!({"sleep": {"seconds": 60}})));
        assert!(!ended(json!({"exec": {"command": ["sleep", "60"]}})));
        assert!(!ended(json!({"httpGet": {"port": 1}})));
    }
}
