//! What the node's own HTTPS API asks of the agent.

use std::{path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use k8s_openapi::api::core::v1::Pod;

use crate::{
    RuntimeError,
    logs::LogSource,
    runtime::{ExecResult, Streams},
};

/// A pod as a path of the API names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodPath {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Uid, where the path has one: another pod of the same name is not meant.
    pub uid: Option<String>,
}

/// Why there is no log to read.
#[derive(Debug, thiserror::Error)]
pub enum LogRefusal {
    /// The node has no such pod.
    #[error("the pod does not exist")]
    NoPod,
    /// The pod's spec has no such container.
    #[error("the pod has no such container")]
    NoContainer,
    /// The container has no log, or none of that kind. Displays as upstream tells it (contract §17).
    #[error("{0}")]
    NoLog(String),
    /// The runtime cannot tell which file it is.
    #[error("unable to retrieve container logs for {container}")]
    Runtime {
        /// Container id with the runtime's name before it.
        container: String,
        /// Cause.
        #[source]
        source: RuntimeError,
    },
}

/// Why there is no stream into a container or pod.
#[derive(Debug, thiserror::Error)]
pub enum StreamRefusal {
    /// The node has no such pod.
    #[error("pod does not exist")]
    NoPod,
    /// There is a pod of that name, but with another uid.
    #[error("pod not found")]
    OtherPod,
    /// No container of that name runs in it.
    #[error("container not found (\"{0}\")")]
    NoContainer(String),
    /// The same, for one to attach to.
    #[error("container {container} not found in pod {pod}")]
    NothingToAttachTo {
        /// The container.
        container: String,
        /// Name and namespace of the pod, as upstream joins them.
        pod: String,
    },
    /// The pod has no sandbox that runs.
    #[error("failed to find sandboxID for pod {0}")]
    NoSandbox(String),
    /// The runtime refused.
    #[error("{}", source.rpc())]
    Runtime {
        /// Runtime's answer.
        source: RuntimeError,
    },
}

/// Why there is no checkpoint of a container. Displays as upstream tells it (contract §23).
#[derive(Debug, thiserror::Error)]
pub enum CheckpointRefusal {
    /// The node has no such pod.
    #[error("pod does not exist")]
    NoPod,
    /// The pod's spec has no such container.
    #[error("container {0} does not exist")]
    NoContainer(String),
    /// None of that name runs.
    #[error("container {0} not found")]
    NotRunning(String),
    /// The directory for archives.
    #[error("cannot make {path}: {source}")]
    Directory {
        /// Which.
        path: PathBuf,
        /// System's answer.
        source: std::io::Error,
    },
    /// The runtime refused.
    #[error("{}", source.rpc())]
    Runtime {
        /// Runtime's answer.
        source: RuntimeError,
    },
}

/// The agent, as the API sees it. Reading never waits for a pod's worker.
#[async_trait]
pub trait NodeApi: Send + Sync + 'static {
    /// Every pod that a source holds, with its newest status, in order of uid.
    fn pods(&self) -> Vec<Arc<Pod>>;
    /// What runs according to the runtime, as skeletons of pods.
    async fn running_pods(&self) -> Result<Vec<Pod>, RuntimeError>;
    /// Where the log of a container is; with `previous` that of the instance before the newest.
    async fn log_source(
        &self,
        pod: &PodPath,
        container: &str,
        previous: bool,
    ) -> Result<LogSource, LogRefusal>;
    /// Address of a prepared command in the running container of that name.
    async fn exec_url(
        &self,
        pod: &PodPath,
        container: &str,
        command: &[String],
        streams: Streams,
    ) -> Result<String, StreamRefusal>;
    /// Address of the streams of its main process, and which of those that are wanted it has.
    async fn attach_url(
        &self,
        pod: &PodPath,
        container: &str,
        streams: Streams,
    ) -> Result<(String, Streams), StreamRefusal>;
    /// Address of a prepared way to ports of the pod; none named: the client says later.
    async fn port_forward_url(&self, pod: &PodPath, ports: &[u16]) -> Result<String, StreamRefusal>;
    /// Has the runtime write a checkpoint of a running container, and tells where. `limit` is zero for the runtime's
    /// own deadline.
    async fn checkpoint(
        &self,
        pod: &PodPath,
        container: &str,
        limit: Duration,
    ) -> Result<PathBuf, CheckpointRefusal>;
    /// Runs a command to its end.
    async fn run(
        &self,
        pod: &PodPath,
        container: &str,
        command: &[String],
    ) -> Result<ExecResult, StreamRefusal>;
}
