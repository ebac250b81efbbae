//! The pod's sandbox, and what it is made from.

use std::sync::Arc;

use k8s_openapi::api::core::v1::PodSpec;
use lifecycle::{
    ContainerName, Done, Failure, FailureStep, Obstacle, SandboxId,
    action::MissingObject,
    reason::{PodEvent, go_error::go_error},
    spec::{
        dns::{self, DnsConfig, DnsOutcome, ResolvConf},
        hostname,
        quote::go_quote,
    },
};
use seams::{
    ApiError, RuntimeError,
    runtime::{SandboxRequest, UserNamespace},
};

use super::{Executor, Scene, directories::blocking, failed, runtime_failed, turns::Step};
use crate::resolv_conf;

impl Executor {
    pub(super) async fn create_sandbox(&self, scene: &Scene, attempt: u32) -> Result<Done, Failure> {
        let counts = &self.edges.metrics.pods;
        let own_users = scene.pod.spec.as_ref().is_some_and(|spec| spec.host_users == Some(false));
        counts.starts.inc();
        if own_users {
            counts.user_namespace_starts.inc();
        }
        let made = self.try_to_create_sandbox(scene, attempt).await;
        if made.is_err() {
            counts.start_errors.inc();
            if own_users {
                counts.user_namespace_start_errors.inc();
            }
        }
        made
    }

    async fn try_to_create_sandbox(&self, scene: &Scene, attempt: u32) -> Result<Done, Failure> {
        let dns = self.reported_dns(scene)?;
        let request = self.request_with(scene, attempt, dns).await?;
        match self.turns.take(Step::Sandbox, self.edges.runtime.run_sandbox(&request)).await {
            Ok(id) => Ok(Done::Sandbox(id)),
            Err(error) => Err(runtime_failed(FailureStep::Sandbox, &error, error.rpc())),
        }
    }

    /// What the sandbox was made from, to create a container in it.
    pub(super) async fn sandbox_request(
        &self,
        scene: &Scene,
        attempt: u32,
        (container, instance): (&ContainerName, u32),
    ) -> Result<SandboxRequest, Failure> {
        // Containers that start together are one look to upstream.
        let mut regular = scene.pod.spec.iter().flat_map(|spec| &spec.containers).map(|known| &*known.name);
        let beside_others =
            regular.position(|known| known == container.as_str()).is_some_and(|at| at > 0) && instance == 0;
        let dns = if beside_others { self.dns(scene)?.config } else { self.reported_dns(scene)? };
        self.request_with(scene, attempt, dns).await
    }

    async fn request_with(
        &self,
        scene: &Scene,
        attempt: u32,
        dns: DnsConfig,
    ) -> Result<SandboxRequest, Failure> {
        let spec =
            scene.pod.spec.as_ref().ok_or_else(|| failed(FailureStep::Sandbox, "the pod has no spec"))?;
        let hostname = hostname::of(&scene.pod, &self.config.cluster_dns.domain).map_err(|error| {
            failed(FailureStep::Sandbox, error.to_string()).because_of(Some(Obstacle::Spec))
        })?;
        let runtime_handler = self.runtime_handler(spec).await?;
        let user_namespace = match spec.host_users {
            Some(false) => Some(self.user_namespace(scene, &runtime_handler).await?),
            _ => None,
        };
        Ok(SandboxRequest {
            user_namespace,
            runtime_handler,
            hostname: hostname.kernel_hostname,
            dns,
            ..self.bare_request(scene, attempt)
        })
    }

    /// For whom an image is pulled. A pull wants the pod's identity and cgroup; it must not fail because of a name
    /// server or a runtime class.
    pub(super) fn pull_request(&self, scene: &Scene) -> SandboxRequest {
        self.bare_request(scene, 0)
    }

    /// What needs no question to the world.
    fn bare_request(&self, scene: &Scene, attempt: u32) -> SandboxRequest {
        SandboxRequest {
            pod: Arc::clone(&scene.pod),
            attempt,
            runtime_handler: String::new(),
            hostname: String::new(),
            dns: DnsConfig::default(),
            log_directory: self.log_dir(scene).display().to_string(),
            cgroup_parent: self.edges.host.cgroup_parent(&Self::pod_cgroup(scene)),
            overhead: self.overhead_resources(scene),
            resources: Some(self.sandbox_resources(scene)),
            seccomp_default: self.config.seccomp_default,
            seccomp_root: self.config.root_dir.join("seccomp").display().to_string(),
            user_namespace: self.users.known(&scene.session.key.uid),
        }
    }

    /// The ids of a pod with `hostUsers: false`. It never runs with the node's because the runtime knows no better.
    async fn user_namespace(&self, scene: &Scene, handler: &str) -> Result<UserNamespace, Failure> {
        if !self.handler_can(handler, |known| known.user_namespaces) {
            let whose = match handler {
                "" => "runtime".to_owned(),
                handler => format!("RuntimeClass handler {}", go_quote(handler)),
            };
            let text = format!("can't set `spec.hostUsers: false`, {whose} does not support user namespaces");
            let hint = "remove spec.hostUsers, or use a container runtime that supports them (containerd 2, runc 1.2)";
            tracing::warn!(pod = %scene.session.key, handler, hint, "The pod asks for a user namespace");
            return Err(failed(FailureStep::Sandbox, text).because_of(Some(Obstacle::Node)));
        }
        let (users, uid) = (Arc::clone(&self.users), scene.session.key.uid.clone());
        let given =
            blocking(FailureStep::Sandbox, move || users.of(&uid).map_err(|error| error.to_string())).await;
        given.map_err(|failure| failure.because_of(Some(Obstacle::Node)))
    }

    async fn runtime_handler(&self, spec: &PodSpec) -> Result<String, Failure> {
        let Some(name) = spec.runtime_class_name.as_deref().filter(|name| !name.is_empty()) else {
            return Ok(String::new());
        };
        let Some(cluster) = &self.edges.cluster else {
            let text = format!(
                "runtimeClassName \"{name}\" cannot be looked up without an API server\nhint: drop it, or give --kubeconfig"
            );
            return Err(failed(FailureStep::Sandbox, text).because_of(Some(Obstacle::Spec)));
        };
        match cluster.runtime_class(name).await {
            Ok(class) => Ok(class.handler.clone()),
            Err(error) => Err(no_runtime_class(name, &error)),
        }
    }

    fn dns(&self, scene: &Scene) -> Result<DnsOutcome, Failure> {
        let sandbox = |text: String| failed(FailureStep::Sandbox, text).because_of(Some(Obstacle::Node));
        let node = match &self.config.resolv_conf {
            Some(path) => {
                let text = resolv_conf::read(path)
                    .map_err(|error| sandbox(format!("open {}: {}", path.display(), go_error(&error))))?;
                dns::parse_resolv_conf(&text).map_err(|error| {
                    sandbox(format!("Encountered error while parsing resolv conf file. Error: {error}"))
                })?
            }
            None => ResolvConf::Unset,
        };
        Ok(dns::resolve(&scene.pod, &node, &self.config.cluster_dns, &scene.node.host_ips))
    }

    /// DNS settings, with a word about what is wrong with them. As upstream, it is said whenever a sandbox is made, and again
    /// when containers are, whatever else goes wrong then.
    pub(super) fn reported_dns(&self, scene: &Scene) -> Result<DnsConfig, Failure> {
        let outcome = self.dns(scene)?;
        for (reason, message) in outcome.events {
            let event = PodEvent { warning: true, reason: reason.into(), message, field_path: None };
            self.events.record_pod(&scene.pod, event);
        }
        for (reason, message) in outcome.node_events {
            self.events.record_node(true, reason, message);
        }
        Ok(outcome.config)
    }

    pub(super) async fn stop_sandbox(&self, scene: &Scene, id: &SandboxId) -> Result<Done, Failure> {
        let uid = scene.session.key.uid.as_str();
        plain(self.edges.runtime.stop_sandbox(id).await, |error| kill_failed("PodSandbox", uid, error))
    }

    pub(super) async fn remove_sandbox(&self, id: &SandboxId) -> Result<Done, Failure> {
        plain(self.edges.runtime.remove_sandbox(id).await, ToString::to_string)
    }
}

/// A runtime class that could not be looked up, in upstream's words: its cache names the resource, and nothing more.
fn no_runtime_class(name: &str, error: &ApiError) -> Failure {
    let (text, obstacle) = match error {
        ApiError::NotFound(_) => {
            let class = MissingObject { kind: "runtimeclass", name: name.to_owned(), key: None };
            let text = format!("runtimeclass.node.k8s.io {} not found", go_quote(name));
            (text, Obstacle::Objects(vec![class]))
        }
        error => (format!("failed to lookup RuntimeClass {name}: {error}"), Obstacle::ApiServer),
    };
    failed(FailureStep::Sandbox, text).because_of(Some(obstacle))
}

/// The outcome of a call that ends something, and how its failure is told.
pub(super) fn plain(
    result: Result<(), RuntimeError>,
    tell: impl Fn(&RuntimeError) -> String,
) -> Result<Done, Failure> {
    match result {
        Ok(()) => Ok(Done::Plain),
        Err(error) => {
            let not_found = matches!(error, RuntimeError::NotFound { .. });
            Err(Failure { not_found, ..runtime_failed(FailureStep::Teardown, &error, tell(&error)) })
        }
    }
}

/// Upstream's text about a container or sandbox that could not be stopped: what follows `error killing pod: `.
pub(super) fn kill_failed(what: &str, name: &str, error: &RuntimeError) -> String {
    let (name, cause) = (go_quote(name), go_quote(&error.rpc()));
    format!("failed to \"Kill{what}\" for {name} with Kill{what}Error: {cause}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_runtime_class_is_told_in_upstreams_words() {
        let told = |error: ApiError| no_runtime_class("gvisor", &error).message;
        let missing = ApiError::NotFound("runtimeclasses.node.k8s.io \"gvisor\" not found".to_owned());
        assert_eq!(told(missing), "runtimeclass.node.k8s.io \"gvisor\" not found");
        let refused = ApiError::Forbidden("no".to_owned());
        assert_eq!(told(refused), "failed to lookup RuntimeClass gvisor: no");
    }
}
