//! What the node's HTTPS API is told: pods, where their logs are, and ways into them.
//!
//! It only reads: the dispatcher's pods, the newest statuses, and the runtime. No pod's worker is asked, so that a
//! runtime that hangs for one pod does not keep the logs of others away.
//!
//! The refusals are upstream's, text by text (contract §17, §25): people and controllers read them.

use std::{path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::{Container, ContainerStatus, Pod, PodSpec, PodStatus};
use lifecycle::{
    ContainerId, PodKey, PodUid, SandboxId,
    observation::{ContainerRecord, RuntimePod, RuntimeState},
    spec::containers,
};
use seams::{
    Clock, NodeApi, Runtime, RuntimeError,
    logs::LogSource,
    node_api::{CheckpointRefusal, LogRefusal, PodPath, StreamRefusal},
    runtime::{ExecResult, ListedPod, Streams},
};

use crate::{AgentConfig, pods::wanted::Wanted, status::StatusQueue};

mod checkpoint;
mod log_status;

/// Pods that the runtime is asked about at once for one list.
const INSPECTIONS: usize = 8;

/// The agent, as the API sees it.
pub struct Api {
    config: AgentConfig,
    runtime: Arc<dyn Runtime>,
    wanted: Wanted,
    statuses: Arc<StatusQueue>,
    clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for Api {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Api").field("node", &self.config.node_name).finish_non_exhaustive()
    }
}

impl Api {
    pub(crate) fn new(
        config: AgentConfig,
        runtime: Arc<dyn Runtime>,
        wanted: Wanted,
        statuses: Arc<StatusQueue>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { config, runtime, wanted, statuses, clock }
    }

    fn with_status(&self, uid: &PodUid, pod: Arc<Pod>) -> Arc<Pod> {
        match self.statuses.get(uid) {
            Some(status) => Arc::new(Pod { status: Some(status), ..Pod::clone(&pod) }),
            None => pod,
        }
    }

    /// The pod that a path means.
    fn meant(&self, path: &PodPath) -> Result<Arc<Pod>, StreamRefusal> {
        self.wanted.named(&path.namespace, &path.name).map(|(_, pod)| pod).ok_or(StreamRefusal::NoPod)
    }

    async fn inspected(&self, pod: &Pod) -> Result<RuntimePod, StreamRefusal> {
        let uid = PodKey::of(pod).uid;
        self.runtime.inspect_pod(&uid).await.map_err(|source| StreamRefusal::Runtime { source })
    }

    /// The container of a name that runs in the pod that a path means.
    async fn running(&self, path: &PodPath, container: &str) -> Result<ContainerId, StreamRefusal> {
        let pod = self.meant(path)?;
        let none = || StreamRefusal::NoContainer(container.to_owned());
        if path.uid.is_some() && path.uid != pod.metadata.uid {
            return Err(none());
        }
        let seen = self.inspected(&pod).await?;
        let mut of_name = seen.containers.into_iter().filter(|record| record.name.as_str() == container);
        of_name.find(|record| record.state == RuntimeState::Running).map(|record| record.id).ok_or_else(none)
    }
}

#[async_trait]
impl NodeApi for Api {
    fn pods(&self) -> Vec<Arc<Pod>> {
        self.wanted.all().into_iter().map(|(uid, (_, pod))| self.with_status(&uid, pod)).collect()
    }

    async fn running_pods(&self) -> Result<Vec<Pod>, RuntimeError> {
        let listed = self.runtime.list_pods().await?.into_iter().filter(runs);
        let looks = listed.map(|listed| async move {
            let seen = self.runtime.inspect_pod(&listed.uid).await?;
            Ok(skeleton(&listed, &seen))
        });
        futures::stream::iter(looks).buffered(INSPECTIONS).collect::<Vec<_>>().await.into_iter().collect()
    }

    async fn log_source(
        &self,
        path: &PodPath,
        container: &str,
        previous: bool,
    ) -> Result<LogSource, LogRefusal> {
        let (_, pod) = self.wanted.named(&path.namespace, &path.name).ok_or(LogRefusal::NoPod)?;
        if !has_container(&pod, container) {
            return Err(LogRefusal::NoContainer);
        }
        let key = PodKey::of(&pod);
        let status = self.statuses.get(&key.uid).or_else(|| pod.status.clone()).unwrap_or_default();
        let full =
            log_status::container_id(&path.name, &status, container, previous).map_err(LogRefusal::NoLog)?;
        let id = full.split_once("://").map_or(full.as_str(), |(_, id)| id);
        let failed = |source| LogRefusal::Runtime { container: full.clone(), source };
        let seen = self.runtime.inspect_pod(&key.uid).await.map_err(failed)?;
        let record = seen.containers.iter().find(|record| record.id.as_str() == id).ok_or_else(|| {
            failed(RuntimeError::NotFound { call: "ContainerStatus", message: format!("container {id:?}") })
        })?;
        Ok(LogSource {
            path: self.config.pod_log_dir(&key).join(container).join(format!("{}.log", record.attempt)),
            container: record.id.clone(),
        })
    }

    async fn exec_url(
        &self,
        pod: &PodPath,
        container: &str,
        command: &[String],
        streams: Streams,
    ) -> Result<String, StreamRefusal> {
        let id = self.running(pod, container).await?;
        let answer = self.runtime.exec_url(&id, command, streams).await;
        answer.map_err(|source| StreamRefusal::Runtime { source })
    }

    async fn attach_url(
        &self,
        pod: &PodPath,
        container: &str,
        streams: Streams,
    ) -> Result<(String, Streams), StreamRefusal> {
        let id = self.running(pod, container).await.map_err(|refusal| match refusal {
            StreamRefusal::NoContainer(container) => {
                let pod = format!("{}_{}", pod.name, pod.namespace);
                StreamRefusal::NothingToAttachTo { container, pod }
            }
            other => other,
        })?;
        let tty = is_terminal(&*self.meant(pod)?, container);
        // What a container was made with decides, as upstream does; it has one way out with a terminal.
        let streams = Streams { tty, stderr: streams.stderr && !tty, ..streams };
        let answer = self.runtime.attach_url(&id, streams).await;
        answer.map(|url| (url, streams)).map_err(|source| StreamRefusal::Runtime { source })
    }

    async fn port_forward_url(&self, path: &PodPath, ports: &[u16]) -> Result<String, StreamRefusal> {
        let pod = self.meant(path)?;
        if path.uid.is_some() && path.uid != pod.metadata.uid {
            return Err(StreamRefusal::OtherPod);
        }
        let seen = self.inspected(&pod).await?;
        let sandbox: Option<&SandboxId> = seen.sandboxes.iter().find(|one| one.ready).map(|one| &one.id);
        let sandbox = sandbox.ok_or_else(|| {
            let PodKey { namespace, name, uid } = PodKey::of(&pod);
            StreamRefusal::NoSandbox(format!("\"{name}_{namespace}({uid})\""))
        })?;
        let answer = self.runtime.port_forward_url(sandbox, ports).await;
        answer.map_err(|source| StreamRefusal::Runtime { source })
    }

    async fn checkpoint(
        &self,
        pod: &PodPath,
        container: &str,
        limit: Duration,
    ) -> Result<PathBuf, CheckpointRefusal> {
        self.write_checkpoint(pod, container, limit).await
    }

    async fn run(
        &self,
        pod: &PodPath,
        container: &str,
        command: &[String],
    ) -> Result<ExecResult, StreamRefusal> {
        let id = self.running(pod, container).await?;
        // No time limit, as upstream's: the client that waits goes away, or does not.
        let answer = self.runtime.exec(&id, command, Duration::ZERO).await;
        answer.map_err(|source| StreamRefusal::Runtime { source })
    }
}

/// Whether anything of a pod runs.
fn runs(pod: &ListedPod) -> bool {
    pod.sandboxes.iter().any(|(_, ready)| *ready)
        || pod.containers.iter().any(|(_, state)| *state == RuntimeState::Running)
}

/// What the runtime knows of a pod, in the form of one.
fn skeleton(listed: &ListedPod, seen: &RuntimePod) -> Pod {
    let container = |record: &ContainerRecord| Container {
        name: record.name.as_str().to_owned(),
        image: Some(record.image_ref.clone()),
        ..Container::default()
    };
    let running = seen.containers.iter().filter(|record| record.state == RuntimeState::Running);
    let mut pod = Pod::default();
    pod.metadata.name = Some(listed.name.clone());
    pod.metadata.namespace = Some(listed.namespace.clone());
    pod.metadata.uid = Some(listed.uid.as_str().to_owned());
    pod.spec = Some(PodSpec { containers: running.map(container).collect(), ..PodSpec::default() });
    pod.status = Some(PodStatus::default());
    pod
}

fn has_container(pod: &Pod, name: &str) -> bool {
    pod.spec.as_ref().and_then(|spec| containers::kind_of(spec, name)).is_some()
}

fn is_terminal(pod: &Pod, name: &str) -> bool {
    let found = pod.spec.as_ref().and_then(|spec| containers::find(spec, name));
    found.is_some_and(|(_, container)| container.tty == Some(true))
}

/// Status of a container of any kind.
fn status_of<'a>(status: &'a PodStatus, name: &str) -> Option<&'a ContainerStatus> {
    let lists =
        [&status.container_statuses, &status.init_container_statuses, &status.ephemeral_container_statuses];
    lists.into_iter().flatten().flatten().find(|status| status.name == name)
}

#[cfg(test)]
mod tests;
